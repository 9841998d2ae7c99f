"""The CMG in plain PyTorch, written apart from the C++ code: prediction, loss, gradient, Adam."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from twist_cmg import _C
from twist_cmg.config import load_robot

_C.choose_matmul_backend()  # and one thread for each operation
ROBOT = load_robot("g1_29dof")
JOINTS = ROBOT.num_joints
WIDTH = 2 * JOINTS + 12
STILL = {3: 0.25, JOINTS + 3: 0.0, 9: 0.25, JOINTS + 9: 0.0, 2 * JOINTS: 0.75}


def smooth_motion(streams=12, frames=80):
    """Rows of smooth random curves; two joints and the height never move."""
    random = np.random.default_rng(0)
    phase = random.uniform(0, 6.28, (streams, 1, WIDTH))
    speed = random.uniform(0.05, 0.35, WIDTH)
    rows = np.sin(np.arange(frames)[:, None] * speed + phase)
    rows[..., list(STILL)] = list(STILL.values())
    targets = random.uniform(-0.5, 0.5, (streams, 4, 3)).repeat(frames // 4, axis=1)
    targets[::3, : frames // 4] = 0
    motion = _C.Trajectories(streams, frames, JOINTS)
    motion.rows[:], motion.targets[:], motion.commands[:] = rows, targets, targets
    return motion


def settings():
    values = _C.CmgTrainSettings()
    values.iterations, values.batch, values.warmup = 20, 30, 3
    values.unroll_min, values.unroll_max, values.unroll_growth = 6, 6, 0.0
    return values


@pytest.fixture
def trainer():
    network = _C.CmgSettings()
    network.hidden, network.gate_hidden, network.experts = 24, 16, 3
    return _C.CmgTrainer(network, settings(), smooth_motion(), ROBOT, _C.Workers(1))


def normalised(statistics, rows):
    mean, deviation = torch.tensor(statistics.mean), torch.tensor(statistics.deviation)
    return (rows - mean) / deviation * torch.tensor(statistics.active)


def twin_change(weights, features, commands):
    """The network as the seed writes it: blend the experts' weights per row, then multiply."""
    x = torch.cat([features, commands], dim=1)
    gate = functional.elu(x @ weights["gate.0.weight"] + weights["gate.0.bias"])
    gate = torch.softmax(gate @ weights["gate.2.weight"] + weights["gate.2.bias"], dim=1)
    for layer in range(3):
        blended = torch.einsum("be,eio->bio", gate, weights[f"layers.{layer}.weight"])
        bias = gate @ weights[f"layers.{layer}.bias"]
        x = torch.einsum("bi,bio->bo", x, blended) + bias
        if layer < 2:
            x = functional.elu(x)
    return x


def twin_weights(state):
    """The network's tensors in double precision, as leaves."""
    return {
        name.removeprefix("network."): tensor.double().requires_grad_()
        for name, tensor in state.items()
        if name.startswith("network.")
    }


def twin_loss(weights, active, probe, beta):
    state, steps = probe["start"].double(), probe["truth"].shape[0]
    total = 0.0
    for k in range(steps):
        state = state + active * twin_change(weights, state, probe["commands"][k].double())
        error = (state - probe["truth"][k].double()).abs()
        huber = torch.where(error < beta, 0.5 * error**2 / beta, error - 0.5 * beta)
        total = total + (huber * active).sum()
    return total / (active.sum() * steps * state.shape[0])


def test_prediction_agrees(trainer):
    trainer.update()
    model = trainer.model()
    statistics = model.statistics
    motion = smooth_motion()
    features = normalised(statistics, torch.tensor(motion.rows[:, 7]))
    low, high = torch.tensor(statistics.command_low), torch.tensor(statistics.command_high)
    commands = torch.tensor(motion.targets[:, 7]) / torch.maximum(-low, high)
    active = torch.tensor(statistics.active)
    change = twin_change(twin_weights(model.state()), features.double(), commands.double())
    expected = (features + active * change).detach()
    made = model.predict(features, commands)
    torch.testing.assert_close(made.double(), expected, rtol=1e-5, atol=1e-5)
    assert active.sum() == len(active) - len(STILL)


def test_loss_and_gradient_agree(trainer):
    for _ in range(3):
        trainer.update()
    probe = trainer.probe()
    weights = twin_weights(trainer.state())
    active = torch.tensor(trainer.model().statistics.active).double()
    loss = twin_loss(weights, active, probe, settings().huber_beta)
    loss.backward()
    assert probe["loss"].item() == pytest.approx(loss.item(), rel=1e-5)
    largest = max(weight.grad.abs().max().item() for weight in weights.values())
    for name, weight in weights.items():
        difference = (probe[f"gradient.{name}"].double() - weight.grad).abs().max().item()
        assert difference < 1e-5 * largest, name


def test_optimiser_step_agrees(trainer):
    weights = twin_weights(trainer.state())
    active = torch.tensor(trainer.model().statistics.active).double()
    adam = torch.optim.Adam(weights.values())
    for step in range(3):
        probe = trainer.probe()
        adam.zero_grad()
        twin_loss(weights, active, probe, settings().huber_beta).backward()
        norm = torch.nn.utils.clip_grad_norm_(weights.values(), settings().grad_clip)
        update = trainer.update()
        assert update["grad_norm"] == pytest.approx(norm.item(), rel=1e-4)
        assert update["iteration"] == step + 1
        adam.param_groups[0]["lr"] = update["lr"]
        adam.step()
    state = trainer.state()
    for name, weight in weights.items():
        made = state[f"network.{name}"].double()
        torch.testing.assert_close(made, weight.detach(), rtol=1e-4, atol=2e-5)


def test_windows_of_a_batch_come_from_the_motion(trainer):
    """Every true row of a batch is a normalised row of the motion or of its mirror image."""
    rows = torch.tensor(smooth_motion().rows).flatten(0, 1)
    swap = [*ROBOT.mirror_joint, *(JOINTS + j for j in ROBOT.mirror_joint)]
    swap += [*range(2 * JOINTS, WIDTH - 2), WIDTH - 1, WIDTH - 2]
    sign = [*ROBOT.mirror_sign, *ROBOT.mirror_sign, 1, 1, -1, 1, 1, -1, 1, -1, 1, -1, 1, 1]
    everything = torch.cat([rows, rows[:, swap] * torch.tensor(sign)])
    everything = normalised(trainer.model().statistics, everything).double()
    truth = trainer.probe()["truth"].flatten(0, 1).double()
    nearest = torch.cdist(truth, everything).min(dim=1)
    assert nearest.values.max() < 1e-4
    assert 0.2 < (nearest.indices >= len(rows)).double().mean() < 0.8
