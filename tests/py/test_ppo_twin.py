"""One iteration of PPO by the C++ code against its twin in plain PyTorch (ppo_twin.py)."""

from dataclasses import dataclass

import pytest
import torch

from ppo_twin import (
    ADAM_STEPS,
    EPOCHS,
    GRAD_NORM,
    LEARNING_RATE,
    MINIBATCHES,
    TARGET_KL,
    Adam,
    Setup,
    Twin,
    UnsuitableSeed,
    disturbed,
    philox,
)
from twist_cmg import _C
from twist_cmg.config import load_robot


def test_philox_gives_the_known_answer():
    answer = [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert philox([0, 0, 0, 0], [0, 0]) == answer


@dataclass
class Pair:
    """The C++ learner before and after one iteration, what it reported, and the twin after it."""

    before: dict
    after: dict
    log: dict
    twin: Twin
    optimiser: Adam
    average: dict


@pytest.fixture(scope="module", params=["teacher", "labels", "student"])
def pair(request):
    """A teacher; a student that learns from labels only; one that learns by PPO, too."""
    torch.set_num_threads(1)
    robot, workers = load_robot("g1_29dof"), _C.Workers(1)
    plan = _C.random_plan(_C.CommandSettings(), 4, 600, 3)
    motion = _C.generate_balanced(robot, _C.GaitLibrary(robot), plan, workers)
    setup = Setup(robot, _C.MotionPool(robot, motion, workers), workers)
    if request.param != "teacher":
        taught = disturbed(setup.ppo().state())
        setup.teacher = {n: value for n, value in taught.items() if n.startswith("policy.")}
        setup.dagger = {"labels": 20, "student": 4}[request.param]
    for setup.seed in range(1, 100):
        ppo = setup.ppo()
        before = disturbed(ppo.state())
        twin = Twin(setup, before)
        try:
            optimiser, average = twin.learn(before)
        except UnsuitableSeed:
            continue
        ppo.load_state(before)
        log = ppo.iterate()
        return Pair(before, ppo.state(), log, twin, optimiser, average)
    raise AssertionError("no seed has both a fall and a time-out")


# ---- both arrive at the same place


def relative(ours, theirs, start):
    """How far two results are apart, in units of how far they have come."""
    return ((ours - theirs).norm() / (theirs - start).norm()).item()


def test_this_is_a_test_of_everything(pair):
    assert min(pair.twin.ends.values()) > 0
    assert max(pair.twin.norms) > GRAD_NORM, "a gradient should be clipped"
    if pair.twin.imitates_only:
        return
    assert 0.1 < pair.log["clipped"] < 0.9, "some ratios should be clipped"


@pytest.mark.parametrize("moment", ["mean", "square"])
def test_gradient_moments(pair, moment):
    start, end = (state[f"adam.{moment}"].double() for state in (pair.before, pair.after))
    assert relative(end, pair.optimiser.flat(moment), start) < 1e-4
    assert pair.after["adam.steps"] == ADAM_STEPS + EPOCHS * MINIBATCHES


@pytest.mark.parametrize("kind", ["learner", "policy"])
def test_weights(pair, kind):
    twin = pair.twin.weights if kind == "learner" else pair.average
    for name, weight in twin.items():
        start, end = (state[f"{kind}.{name}"].double() for state in (pair.before, pair.after))
        assert relative(end, weight.detach(), start) < 1e-3, name


def test_learning_rate_follows_the_kl_of_the_last_epoch(pair):
    kl, plain = (sum(column) for column in zip(*pair.twin.epoch_kl, strict=True))
    assert pair.log["kl"] == pytest.approx(kl / plain, rel=1e-3)
    if pair.twin.imitates_only:
        assert pair.after["ppo.learning_rate"].item() == pytest.approx(LEARNING_RATE)
        return
    factor = 1 / 1.3 if kl / plain > 2 * TARGET_KL else 1.2 if kl / plain < TARGET_KL / 2 else 1.0
    assert factor != 1.0, "choose a target that changes the learning rate"
    assert pair.after["ppo.learning_rate"].item() == pytest.approx(LEARNING_RATE * factor)


def test_normaliser(pair):
    raw = pair.twin.raw
    mirrored = raw[:, pair.twin.observation_source] * pair.twin.observation_sign
    both = torch.cat([raw, mirrored])
    start, end = (
        [state[f"policy.normaliser.{name}"] for name in ("count", "mean", "variance")]
        for state in (pair.before, pair.after)
    )
    total = start[0] + len(raw)
    mean = (start[0] * start[1] + len(raw) * both.mean(0)) / total
    square = (start[0] * (start[2] + start[1] ** 2) + len(raw) * both.square().mean(0)) / total
    torch.testing.assert_close(end[0], total)
    torch.testing.assert_close(end[1], mean, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(end[2], square - mean**2, atol=1e-4, rtol=1e-3)
