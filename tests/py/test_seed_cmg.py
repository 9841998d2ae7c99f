"""A CMG in the original layout, written here in plain PyTorch, loads and predicts the same."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from twist_cmg.config import load_robot
from twist_cmg.references import load_cmg

ROBOT = load_robot("g1_29dof")
FEATURES, COMMANDS, HIDDEN, EXPERTS = 58, 3, 40, 4


class Layer(nn.Module):
    """Experts whose parameters are blended for every row; weights are (in, out)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        shapes = (inputs, outputs), (outputs,)
        weights = [nn.Parameter(torch.randn(shapes[0]) / inputs**0.5) for _ in range(EXPERTS)]
        self.expert_weights = nn.ParameterList(weights)
        self.expert_biases = nn.ParameterList(
            nn.Parameter(0.1 * torch.randn(shapes[1])) for _ in range(EXPERTS)
        )

    def forward(self, x, gate):
        weight = sum(g[:, None, None] * w for g, w in zip(gate.T, self.expert_weights, strict=True))
        bias = sum(g[:, None] * b for g, b in zip(gate.T, self.expert_biases, strict=True))
        return torch.bmm(x[:, None], weight)[:, 0] + bias


class Gating(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gating_network = nn.Sequential(
            nn.Linear(FEATURES + COMMANDS, HIDDEN), nn.ELU(), nn.Linear(HIDDEN, EXPERTS)
        )

    def forward(self, x):
        return torch.softmax(self.gating_network(x), dim=1)


class Original(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gating = Gating()
        self.layers = nn.ModuleList(
            [Layer(FEATURES + COMMANDS, HIDDEN), Layer(HIDDEN, HIDDEN), Layer(HIDDEN, FEATURES)]
        )

    def forward(self, motion, command):
        x = torch.cat([motion, command], dim=1)
        gate = self.gating(x)
        for index, layer in enumerate(self.layers):
            x = layer(x, gate)
            x = nn.functional.elu(x) if index < 2 else x
        return x


def statistics():
    random = np.random.default_rng(0)
    return {
        "motion_mean": random.normal(0, 0.3, FEATURES).astype(np.float32),
        "motion_std": random.uniform(0.1, 2, FEATURES).astype(np.float32),
        "command_min": np.float32([-0.23, -1.37, -4.48]),
        "command_max": np.float32([3.98, 1.37, 4.48]),
        "num_joints": 29,
        "motion_dim": 58,
    }


@pytest.fixture
def original(tmp_path):
    torch.manual_seed(0)
    network, stats = Original(), statistics()
    file = tmp_path / "cmg_final.pt"
    torch.save({"model_state_dict": network.state_dict(), "stats": stats}, file)
    return network, stats, file


@torch.no_grad()
def test_predicts_what_the_original_predicts(original):
    network, stats, file = original
    cmg = load_cmg(file, ROBOT)
    random = torch.Generator().manual_seed(1)
    motion = torch.randn(20, FEATURES, generator=random)
    low, high = torch.tensor(stats["command_min"]), torch.tensor(stats["command_max"])
    command = low + (high - low) * torch.rand(20, COMMANDS, generator=random)
    expected = network(motion, 2 * (command - low) / (high - low) - 1)

    s = cmg.statistics
    ours = (command - torch.tensor(s.command_centre)) * torch.tensor(s.command_factor)
    torch.testing.assert_close(cmg.predict(motion, ours), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(s.mean, stats["motion_mean"])
    np.testing.assert_allclose(1 / np.float32(s.feature_factor), stats["motion_std"], rtol=1e-6)


def test_a_bare_state_says_what_it_lacks(original, tmp_path):
    file = tmp_path / "cmg_best.pt"
    torch.save(original[0].state_dict(), file)
    with pytest.raises(ValueError, match=r"cmg_best\.pt holds no statistics"):
        load_cmg(file, ROBOT)


def test_a_changed_network_is_refused_by_name(original, tmp_path):
    state = original[0].state_dict()
    del state["layers.1.expert_weights.2"]
    file = tmp_path / "cmg_final.pt"
    torch.save({"model_state_dict": state, "stats": statistics()}, file)
    with pytest.raises(ValueError, match=r"layers\.1\.expert_weights\.2"):
        load_cmg(file, ROBOT)


class Hostile:
    def __reduce__(self):
        return Path.touch, (Path("hostile.txt"),)


def test_a_hostile_file_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "cmg_final.pt"
    torch.save({"model_state_dict": {}, "stats": Hostile()}, file)
    with pytest.raises(ValueError, match=r"cmg_final\.pt"):
        load_cmg(file, ROBOT)
    assert not Path("hostile.txt").exists()
    pickle.loads(pickle.dumps(Hostile()))  # it would have worked
    assert Path("hostile.txt").exists()
