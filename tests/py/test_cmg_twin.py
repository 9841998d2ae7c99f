"""The CMG in plain PyTorch, written apart from the C++ code: prediction, loss, gradient, Adam."""

import pytest
import torch
from torch.nn import functional

from twist_cmg import _C

JOINTS = 4
MIRROR_JOINT = [1, 0, 2, 3]
MIRROR_SIGN = [1.0, 1.0, -1.0, 1.0]


def smooth_motion(streams=12, frames=80):
    """Rows of smooth random curves; one joint and the height never move."""
    generator = torch.Generator().manual_seed(0)
    width = 2 * JOINTS + 12
    phase = torch.rand(streams, 1, width, generator=generator) * 6.28
    speed = torch.rand(1, 1, width, generator=generator) * 0.3 + 0.05
    rows = torch.sin(torch.arange(frames).view(1, -1, 1) * speed + phase)
    rows[..., [3, JOINTS + 3, 2 * JOINTS]] = torch.tensor([0.25, 0.0, 0.75])
    targets = torch.rand(streams, 4, 3, generator=generator) - 0.5
    targets = targets.repeat_interleave(frames // 4, dim=1)
    targets[::3, : frames // 4] = 0
    return rows, targets


@pytest.fixture
def trainer():
    network = _C.CmgSettings()
    network.hidden, network.gate_hidden, network.experts = 24, 16, 3
    settings = _C.CmgTrainSettings()
    settings.iterations, settings.batch, settings.warmup = 20, 30, 3
    settings.unroll_min, settings.unroll_max, settings.unroll_growth = 6, 6, 0.0
    rows, targets = smooth_motion()
    motion = _C.trajectories_of(rows, targets, targets)
    limits = [2.0] * JOINTS
    trainer = _C.CmgTrainer(
        network,
        settings,
        motion,
        MIRROR_JOINT,
        MIRROR_SIGN,
        [-x for x in limits],
        limits,
        _C.Workers(1),
    )
    return trainer, settings


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


def test_forward_pass_agrees(trainer):
    trainer, _ = trainer
    trainer.update()
    model = trainer.model()
    statistics = model.statistics
    rows, targets = smooth_motion()
    mean, deviation = torch.tensor(statistics.mean), torch.tensor(statistics.deviation)
    active = torch.tensor(statistics.active)
    features = (rows[:, 7] - mean) / deviation * active
    low, high = torch.tensor(statistics.command_low), torch.tensor(statistics.command_high)
    commands = targets[:, 7] / torch.maximum(-low, high)
    weights = twin_weights(model.save())
    expected = features + active * twin_change(weights, features.double(), commands.double())
    made = model.predict(features, commands)
    torch.testing.assert_close(made.double(), expected.detach(), rtol=1e-5, atol=1e-5)
    assert active.sum() == len(active) - 3


def test_loss_and_gradient_agree(trainer):
    trainer, settings = trainer
    for _ in range(3):
        trainer.update()
    probe = trainer.probe()
    weights = twin_weights(trainer.state())
    active = torch.tensor(trainer.model().statistics.active).double()
    loss = twin_loss(weights, active, probe, settings.huber_beta)
    loss.backward()
    assert abs(loss.item() - probe["loss"].item()) < 1e-5 * loss.item()
    largest = max(weight.grad.abs().max().item() for weight in weights.values())
    for name, weight in weights.items():
        difference = (probe[f"gradient.{name}"].double() - weight.grad).abs().max().item()
        assert difference < 1e-5 * largest, name


def test_optimiser_step_agrees(trainer):
    trainer, settings = trainer
    weights = twin_weights(trainer.state())
    active = torch.tensor(trainer.model().statistics.active).double()
    adam = torch.optim.Adam(weights.values(), lr=settings.learning_rate)
    for step in range(3):
        probe = trainer.probe()
        adam.zero_grad()
        twin_loss(weights, active, probe, settings.huber_beta).backward()
        norm = torch.nn.utils.clip_grad_norm_(weights.values(), settings.grad_clip)
        update = trainer.update()
        assert update.grad_norm == pytest.approx(norm.item(), rel=1e-4)
        adam.param_groups[0]["lr"] = update.learning_rate
        adam.step()
        assert update.iteration == step + 1
    state = trainer.state()
    for name, weight in weights.items():
        torch.testing.assert_close(
            state[f"network.{name}"].double(), weight.detach(), rtol=1e-4, atol=2e-5
        )


def test_windows_of_the_batch_come_from_the_motion(trainer):
    """Every true row of a batch is a normalised row of the data or of its mirror image."""
    trainer, _ = trainer
    statistics = trainer.model().statistics
    rows, _ = smooth_motion()
    rows = rows[trainer.training_streams].reshape(-1, rows.shape[-1])
    swap = [*MIRROR_JOINT, *(JOINTS + j for j in MIRROR_JOINT), *range(2 * JOINTS, 2 * JOINTS + 12)]
    swap[-2:] = [2 * JOINTS + 11, 2 * JOINTS + 10]
    sign = [*MIRROR_SIGN, *MIRROR_SIGN, 1, 1, -1, 1, 1, -1, 1, -1, 1, -1, 1, 1]
    everything = torch.cat([rows, rows[:, swap] * torch.tensor(sign)])
    mean, deviation = torch.tensor(statistics.mean), torch.tensor(statistics.deviation)
    everything = (everything - mean) / deviation * torch.tensor(statistics.active)
    truth = trainer.probe()["truth"].flatten(0, 1)
    nearest = torch.cdist(truth.double(), everything.double()).min(dim=1)
    assert nearest.values.max() < 1e-4
    mirrored = (nearest.indices >= len(rows)).float().mean()
    assert 0.2 < mirrored < 0.8
