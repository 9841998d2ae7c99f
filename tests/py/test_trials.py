"""Trials in groups: intervals, weights, what is not known; a trial measured by hand."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from columns import NAMES, made_up
from twist_cmg import _C
from twist_cmg.evaluation import load_policy, motion_for
from twist_cmg.trials import (
    QUALITY,
    STAND,
    WALK,
    Subject,
    brief,
    frames_for,
    grouped,
    named,
    steps,
    summarise,
    wilson,
)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [  # R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_against_published_values(
    successes: int, trials: int, low: float, high: float
) -> None:
    assert wilson(successes, trials) == pytest.approx((low, high), abs=6e-5)
    mirrored = wilson(trials - successes, trials)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=6e-5)


@pytest.mark.parametrize(("successes", "trials"), [(1, 2), (3, 8), (32, 32), (0, 1), (7, 9)])
def test_the_ends_of_wilson_are_196_deviations_away(successes: int, trials: int) -> None:
    share = successes / trials
    for p in wilson(successes, trials):
        assert (share - p) ** 2 == pytest.approx(1.96**2 * p * (1 - p) / trials, abs=1e-12)
    low, high = wilson(successes, trials)
    assert 0 <= low <= share <= high <= 1 and high - low > 0


def test_without_trials_nothing_is_known() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


def test_errors_are_weighted_by_the_time_they_are_means_of() -> None:
    cell = summarise(
        made_up(
            3,
            counted=[100, 300, 0],
            windows=[30, 10, 0],
            velocity_rmse=[0.1, 0.3, np.nan],
            velocity_rmse_1s=[0.2, 0.4, np.nan],
            mean_vx=[0.4, 0.8, np.nan],
            power=[100, 200, np.nan],
        )
    )
    assert cell["velocity_rmse"] == pytest.approx(math.sqrt((0.01 + 3 * 0.09) / 4))
    assert cell["velocity_rmse_1s"] == pytest.approx(math.sqrt((3 * 0.04 + 0.16) / 4))
    assert cell["mean_vx"] == pytest.approx(0.7) and cell["power"] == pytest.approx(175)


def test_a_value_that_is_not_finite_is_left_out_of_a_mean() -> None:
    # the asymmetry of a robot that took no step is not known although it was measured for a while
    cell = summarise(made_up(2, counted=[100, 300], asymmetry=[0.5, np.nan]))
    assert cell["asymmetry"] == pytest.approx(0.5)


def test_what_nobody_lived_to_see_is_not_a_number() -> None:
    fallen = dict.fromkeys(NAMES, np.nan) | {"survived": 0, "counted": 0, "windows": 0}
    cell = summarise(made_up(4, **fallen | {"reward": 0.1, "statue": 0.2, "steps": 20}))
    assert (cell["episodes"], cell["survival"]) == (4, 0)
    assert (cell["survival_low"], cell["survival_high"]) == wilson(0, 4)
    assert (cell["reward"], cell["statue"]) == pytest.approx((0.1, 0.2))
    known = {"episodes", "survival", "survival_low", "survival_high", "reward", "statue"}
    assert {name for name, value in cell.items() if math.isfinite(value)} == known
    assert set(QUALITY) <= set(cell) and "velocity_rmse_1s_low" in cell


def test_drift_is_that_of_robots_that_stand() -> None:
    cell = summarise(made_up(3, survived=[1, 0, 1], drift=[0.1, 9, 0.3]))
    assert cell["drift"] == pytest.approx(0.2)
    assert cell["survival"] == pytest.approx(2 / 3)


def test_the_bootstrap_brackets_the_error() -> None:
    draw = np.random.default_rng(3)
    spread = np.abs(draw.normal(0.2, 0.05, 400))
    cell = summarise(made_up(400, velocity_rmse_1s=spread))
    low, high = cell["velocity_rmse_1s_low"], cell["velocity_rmse_1s_high"]
    assert low < cell["velocity_rmse_1s"] < high
    # the square of the error is a mean of 400 squares: its deviation by the central limit theorem
    deviation = np.std(spread**2) / math.sqrt(400)
    assert high**2 - low**2 == pytest.approx(2 * 1.96 * deviation, rel=0.15)
    assert summarise(made_up(400, velocity_rmse_1s=spread)) == cell  # no chance in it
    few = summarise(made_up(40, velocity_rmse_1s=spread[:40]))
    assert few["velocity_rmse_1s_high"] - few["velocity_rmse_1s_low"] > 2 * (high - low)


def test_the_bootstrap_knows_the_weights() -> None:
    same = summarise(made_up(5, velocity_rmse_1s=0.3, windows=[1, 2, 3, 4, 5]))
    assert same["velocity_rmse_1s_low"] == pytest.approx(0.3)
    assert same["velocity_rmse_1s_high"] == pytest.approx(0.3)
    errors, windows = [0.1] * 20 + [0.5] * 20, [1000] * 20 + [1] * 20
    cell = summarise(made_up(40, velocity_rmse_1s=errors, windows=windows))
    assert cell["velocity_rmse_1s_high"] < 0.12


def test_groups_are_consecutive() -> None:
    columns = made_up(6, drift=np.arange(6)) | {"velocity": np.arange(6 * 4).reshape(6, 4)}
    groups = grouped(columns, 2)
    assert [group["drift"].tolist() for group in groups] == [[0, 1], [2, 3], [4, 5]]
    assert groups[1]["velocity"][0].tolist() == [8, 9, 10, 11]
    with pytest.raises(AssertionError):
        grouped(columns, 4)


def test_small_things() -> None:
    assert named((0.5, -0.1, 0.8)) == {"vx": 0.5, "vy": -0.1, "wz": 0.8}
    assert (steps(0.08), steps(2), frames_for(0.01)) == (4, 100, 101)
    wanted = ["episodes", "survival", "survival_low", "survival_high", "drift"]
    assert list(brief(made_up(2), "drift")) == wanted


@pytest.fixture(scope="module")
def subject(tiny_run: Path) -> Subject:
    policy = load_policy(str(tiny_run))
    policy.config.reference.reflexes = False  # the reference is what was asked for
    return Subject(motion_for(policy, _C.Workers(2)), policy.checkpoint.policy)


def test_a_trial_is_nominal_and_its_body_may_be_changed(subject: Subject) -> None:
    trial = subject.trial(3)
    assert (trial.stream, trial.frame, trial.push_step, trial.pull_step) == (3, -1, -1, -1)
    assert (trial.body.friction, trial.body.mass, trial.body.payload) == (0.8, 1, 0)
    trial.body.mass, trial.body.com = 1.2, (0.05, 0.0, 0.0)
    assert trial.body.mass == 1.2 and list(trial.body.com) == [0.05, 0, 0]
    assert subject.trial(3).body.mass == 1 and subject.trial(3).body.delay == 0


def test_an_evaluation_may_have_poor_sensors_and_be_late(subject: Subject) -> None:
    evaluation = subject.motion.config.evaluation
    evaluation.noise, evaluation.delay = 2.0, 1.5
    try:
        assert subject.make_environment().randomise.noise == 2
        assert subject.trial(0).body.delay == 1.5
    finally:
        evaluation.noise = evaluation.delay = 0.0


def test_an_environment_is_a_copy(subject: Subject) -> None:
    subject.make_environment().randomise.noise = 3
    environment = subject.make_environment()
    assert environment.randomise.noise == 0 and environment.sim.timestep == 0.002
    assert environment.sim.collision == "full" and environment.terrain.kind == "flat"


def test_errors_are_those_of_the_series(subject: Subject) -> None:
    pool = subject.motion.command_pool([STAND], frames_for(1.2))
    columns = subject.run(pool, [subject.trial(0) for _ in range(3)], 1.2, 0.1, series=True)
    assert columns["survived"].tolist() == [1, 1, 1] and columns["steps"].tolist() == [60] * 3
    velocity = columns["velocity"][:, steps(0.1) :]  # the command is zero: this is the error
    planar = (velocity[..., :2] ** 2).sum(-1)
    np.testing.assert_allclose(columns["velocity_rmse"], np.sqrt(planar.mean(1)), rtol=1e-5)
    np.testing.assert_allclose(columns["mean_wz"], velocity[..., 2].mean(1), rtol=1e-4)
    seconds = np.stack([velocity[:, i : i + 50].mean(1) for i in range(6)], axis=1)
    expected = np.sqrt((seconds[..., :2] ** 2).sum(-1).mean(1))
    np.testing.assert_allclose(columns["velocity_rmse_1s"], expected, rtol=1e-4)
    yaw = np.sqrt((seconds[..., 2] ** 2).mean(1))
    np.testing.assert_allclose(columns["yaw_rate_rmse_1s"], yaw, rtol=1e-4)
    assert columns["counted"].tolist() == [55] * 3 and columns["windows"].tolist() == [6] * 3
    place = columns["position"]
    assert place.shape == columns["reference"].shape == (3, 60, 36)
    # positions are those before each step
    moved = np.linalg.norm(place[:, -1, :2] - place[:, 0, :2], axis=1)
    np.testing.assert_allclose(columns["drift"], moved, atol=0.02)


def test_threads_do_not_change_a_result(subject: Subject) -> None:
    pool = subject.motion.command_pool([WALK], frames_for(0.2))
    trials = [subject.trial(0) for _ in range(6)]  # not a whole group of those that act together
    motion = replace(subject.motion, workers=_C.Workers(1))
    one = Subject(motion, subject.policy).run(pool, trials, 0.2)
    for _ in range(20):  # who takes the only group is a matter of luck
        two = subject.run(pool, trials, 0.2)
        for name in NAMES:
            np.testing.assert_array_equal(one[name], two[name], err_msg=name)


def test_a_fallen_robot_is_counted_until_it_falls(subject: Subject) -> None:
    pool = subject.motion.command_pool([WALK], frames_for(4))
    trial = subject.trial(0)
    trial.push_step, trial.push = 20, (4.0, 0.0)
    columns = subject.run(pool, [trial], 4, 0, series=True)
    fall = int(columns["steps"][0])
    assert columns["survived"].tolist() == [0] and 20 < fall < 200
    assert columns["counted"].tolist() == [fall - 1]
    speed = columns["velocity"][0, :, 0]
    assert speed[19] < 1 and speed[21] > 2  # the kick
    assert not columns["velocity"][0, fall - 1 :].any() and speed[: fall - 1].all()
