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


def settings(**changes):
    values = _C.CmgTrainSettings()
    values.iterations, values.batch, values.warmup = 20, 30, 3
    values.unroll_min, values.unroll_max, values.unroll_growth = 6, 6, 0.0
    for name, value in changes.items():
        setattr(values, name, value)
    return values


def make_trainer(profile="full", predicts="change", windows=None, **changes):
    network = _C.CmgSettings()
    network.profile, network.predicts = profile, predicts
    network.hidden, network.gate_hidden, network.experts = 24, 16, 3
    windows = windows or _C.CmgDataSettings()
    return _C.CmgTrainer(
        network, settings(**changes), windows, smooth_motion(), ROBOT, _C.Workers(1)
    )


FORCED = {"teacher_forcing": 0.5, "teacher_forcing_decay": 1.0}
RECIPES = {  # what differs from the defaults: profile, what is predicted, training
    "ours": ("full", "change", {}),
    "squared": ("full", "change", {"loss": "mse"}),
    "next": ("full", "next", {}),
    "joints": ("joints", "change", {}),
    "forced": ("full", "change", FORCED),
    "forced together": ("joints", "next", FORCED | {"teacher_draw": "batch"}),
    "steps alone": ("full", "change", {"through_time": False}),
    "seed": (
        "joints",
        "next",
        FORCED | {"loss": "mse", "through_time": False, "teacher_draw": "batch"},
    ),
}


@pytest.fixture(params=RECIPES.values(), ids=RECIPES)
def recipe(request):
    """A trainer, and what the twin must know: the carry and the settings."""
    profile, predicts, changes = request.param
    trainer = make_trainer(profile, predicts, **changes)
    return trainer, float(predicts == "change"), settings(**changes)


def normalised(statistics, rows):
    mean, deviation = torch.tensor(statistics.mean), torch.tensor(statistics.deviation)
    return (rows - mean) / deviation * torch.tensor(statistics.active)


def twin_output(weights, features, commands):
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
        if name.startswith("network.") and name != "network.carry"
    }


def twin_error(difference, values):
    if values.loss == "mse":
        return difference**2
    error, beta = difference.abs(), values.huber_beta
    return torch.where(error < beta, 0.5 * error**2 / beta, error - 0.5 * beta)


def twin_loss(weights, active, probe, carry, values):
    """Windows unrolled step by step; a forced step goes on from the truth."""
    state, steps = probe["start"].double(), probe["truth"].shape[0]
    total = 0.0
    for k in range(steps):
        if not values.through_time:
            state = state.detach()
        truth, command = probe["truth"][k].double(), probe["commands"][k].double()
        state = carry * state + active * twin_output(weights, state, command)
        total = total + (twin_error(state - truth, values) * active).sum()
        if "teacher" in probe:
            state = torch.where(probe["teacher"][k], truth, state)
    return total / (active.sum() * steps * state.shape[0])


def test_prediction_agrees(recipe):
    trainer, carry, _ = recipe
    trainer.update()
    model = trainer.model()
    statistics, width = model.statistics, len(model.statistics.mean)
    motion = smooth_motion()
    features = normalised(statistics, torch.tensor(motion.rows[:, 7, :width]))
    low, high = torch.tensor(statistics.command_low), torch.tensor(statistics.command_high)
    commands = 2 * (torch.tensor(motion.targets[:, 7]) - low) / (high - low) - 1
    active = torch.tensor(statistics.active)
    output = twin_output(twin_weights(model.state()), features.double(), commands.double())
    expected = (carry * features + active * output).detach()
    made = model.predict(features, commands)
    torch.testing.assert_close(made.double(), expected, rtol=1e-5, atol=1e-5)
    assert active.sum() == len(active) - sum(still < width for still in STILL)


def test_loss_and_gradient_agree(recipe):
    trainer, carry, values = recipe
    for _ in range(3):
        trainer.update()
    probe = trainer.probe()
    weights = twin_weights(trainer.state())
    active = torch.tensor(trainer.model().statistics.active).double()
    loss = twin_loss(weights, active, probe, carry, values)
    loss.backward()
    assert probe["loss"].item() == pytest.approx(loss.item(), rel=1e-5)
    largest = max(weight.grad.abs().max().item() for weight in weights.values())
    for name, weight in weights.items():
        difference = (probe[f"gradient.{name}"].double() - weight.grad).abs().max().item()
        assert difference < 1e-5 * largest, name


def test_optimiser_step_agrees(recipe):
    trainer, carry, values = recipe
    weights = twin_weights(trainer.state())
    active = torch.tensor(trainer.model().statistics.active).double()
    adam = torch.optim.Adam(weights.values())
    for step in range(3):
        probe = trainer.probe()
        adam.zero_grad()
        twin_loss(weights, active, probe, carry, values).backward()
        norm = torch.nn.utils.clip_grad_norm_(weights.values(), values.grad_clip)
        update = trainer.update()
        assert update["grad_norm"] == pytest.approx(norm.item(), rel=1e-4)
        assert update["iteration"] == step + 1
        adam.param_groups[0]["lr"] = update["lr"]
        adam.step()
    state = trainer.state()
    for name, weight in weights.items():
        made = state[f"network.{name}"].double()
        torch.testing.assert_close(made, weight.detach(), rtol=1e-4, atol=2e-5)


def test_one_step_of_the_optimiser_agrees_closely(recipe):
    """From the same gradient: Adam divides by small numbers, which would blow up rounding."""
    trainer, _, values = recipe
    weights = twin_weights(trainer.state())
    probe = trainer.probe()
    for name, weight in weights.items():
        weight.grad = probe[f"gradient.{name}"].double()
    torch.nn.utils.clip_grad_norm_(weights.values(), values.grad_clip)
    adam = torch.optim.Adam(weights.values(), lr=values.learning_rate / values.warmup)
    adam.step()
    trainer.update()
    for name, weight in weights.items():
        made = trainer.state()[f"network.{name}"].double()
        torch.testing.assert_close(made, weight.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("draw", ["window", "batch"])
def test_teacher_draws_are_shared_as_told(draw):
    trainer = make_trainer(teacher_draw=draw, teacher_forcing=0.4, teacher_forcing_decay=1.0)
    forced = []
    for _ in range(40):
        forced.append(trainer.probe()["teacher"][..., 0].double())
        trainer.update()
    forced = torch.stack(forced)  # (updates, steps, windows)
    alone = forced.std(dim=2).bool().double().mean().item()
    assert alone == (0 if draw == "batch" else 1)
    draws = forced.numel() / (forced.shape[2] if draw == "batch" else 1)
    assert forced.mean().item() == pytest.approx(0.4, abs=5 * (0.24 / draws) ** 0.5)
    assert forced.mean(dim=(0, 2)).std() < 0.15, "no step is special"


def test_teacher_forcing_decays_by_epoch_to_its_floor():
    windows = _C.CmgDataSettings()
    windows.stride, windows.mirror_share, windows.held_out_share = 10, 0.0, 0.0
    # 12 streams of 8 windows: 3.2 updates an epoch
    forcing = {"teacher_forcing": 1.0, "teacher_forcing_decay": 0.5, "teacher_forcing_floor": 0.3}
    trainer = make_trainer(windows=windows, **forcing)
    for i in range(12):
        assert trainer.epoch == pytest.approx(i * 30 / 96)
        expected = max(0.3, 0.5 ** int(trainer.epoch))
        share = trainer.probe()["teacher"].double().mean().item()
        assert share == pytest.approx(expected, abs=5 * (0.25 / 180) ** 0.5 if expected < 1 else 0)
        trainer.update()


def test_without_forcing_nothing_is_forced():
    assert "teacher" not in make_trainer().probe()


@pytest.mark.parametrize("patience", [0, 2])
def test_plateau_is_that_of_pytorch(patience):
    windows = _C.CmgDataSettings()
    windows.stride = 20
    values = {"schedule": "plateau", "plateau_factor": 0.6, "plateau_patience": patience}
    values |= {"plateau_lowest": 1e-4, "learning_rate": 2e-2, "warmup": 0}
    trainer = make_trainer(windows=windows, **values)
    leaf = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.SGD([leaf], lr=2e-2)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, factor=0.6, patience=patience, min_lr=1e-4
    )
    losses, rates = [], set()
    for _ in range(300):
        epoch, expected = int(trainer.epoch), optimiser.param_groups[0]["lr"]
        update = trainer.update()
        assert update["lr"] == pytest.approx(expected, rel=1e-9), update["iteration"]
        rates.add(expected)
        losses.append(update["loss"])
        if int(trainer.epoch) > epoch:
            scheduler.step(float(np.mean(losses)))
            losses = []
    assert len(rates) > 3


def test_windows_of_a_batch_come_from_the_motion():
    """Every true row of a batch is a normalised row of the motion or of its mirror image."""
    trainer = make_trainer()
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
