"""Trials of a policy, and what can be said about groups of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _C
from .locomotion import FRAMES_PER_S
from .references import Command, Motion

Columns = dict[str, NDArray[np.float64]]  # a number for each trial
Cell = dict[str, float]
Answer = dict[str, Any]  # of an exam

STAND: Command = (0.0, 0.0, 0.0)
WALK: Command = (0.5, 0.0, 0.0)  # m/s: the usual speed

AHEAD_S = 2.0  # references are longer than trials: the policy looks ahead
RMSE = ("velocity_rmse", "yaw_rate_rmse", "reference_rmse", "reference_yaw_rmse")
QUALITY = (
    "slip",
    "clearance",
    "target_jerk",
    "torque_rate",
    "saturation",
    "power",
    "cost_of_transport",
    "peak_force",
    "asymmetry",
    "joint_error",
    "key_body_error",
    "tilt_error",
    "height_error",
)
SURVIVAL = ("episodes", "survival", "survival_low", "survival_high")
_CONFIDENCE_Z = 1.96  # of 95 %
_RESAMPLES = 500


@dataclass(frozen=True)
class Subject:
    """A policy under examination, with its motion."""

    motion: Motion
    policy: Mapping[str, Any]

    def make_environment(self) -> _C.EnvSettings:
        """Plain MuJoCo at 2 ms with full collisions, nothing random; a copy of its own."""
        config = self.motion.config
        return _C.evaluation_environment(config.evaluation, config.env)

    def trial(self, stream: int) -> _C.Trial:
        """An undisturbed trial from standing, of the robot that `evaluation` describes."""
        trial = _C.Trial()
        trial.stream = stream
        body = _C.Body()
        body.friction = self.motion.config.evaluation.friction
        body.delay = self.motion.config.evaluation.delay
        trial.body = body
        return trial

    def run(
        self,
        pool: _C.MotionPool,
        trials: Sequence[_C.Trial],
        seconds: float,
        settle_s: float = 0.0,
        environment: _C.EnvSettings | None = None,
        series: bool = False,
    ) -> Columns:
        """All trials of `seconds` (s), whose errors count from `settle_s` (s) on.

        `environment` is the usual one unless given. A column for each result; with `series` also
        velocity (trials, steps, 3) and more, see `_C.run_trials`.
        """
        return _C.run_trials(
            self.motion.robot,
            environment or self.make_environment(),
            pool,
            list(trials),
            steps(seconds),
            steps(settle_s),
            dict(self.policy),
            self.motion.workers,
            self.motion.config.train.seed,
            series,
        )


def named(command: Command) -> Cell:
    """A command as part of a cell."""
    return dict(zip(("vx", "vy", "wz"), command, strict=True))


def steps(seconds: float) -> int:
    """Control steps in a time."""
    return round(seconds * FRAMES_PER_S)


def frames_for(seconds: float) -> int:
    """Frames of a reference for trials of a length."""
    return math.ceil((seconds + AHEAD_S) * FRAMES_PER_S)


def grouped(columns: Columns, size: int) -> list[Columns]:
    """Consecutive groups of `size` trials."""
    count, rest = divmod(len(columns["survived"]), size)
    assert rest == 0, "every group has the same number of trials"
    return [{k: v[i * size : (i + 1) * size] for k, v in columns.items()} for i in range(count)]


def summarise(columns: Columns) -> Cell:
    """A group of trials in one cell: survival, errors, means, quality; NaN where not known.

    Errors come with 95 % intervals: survival by Wilson's score, velocity by a bootstrap of trials.
    """
    trials = len(columns["survived"])
    low, high = wilson(int(columns["survived"].sum()), trials)
    cell = {
        "episodes": trials,
        "survival": float(columns["survived"].mean()),
        "survival_low": low,
        "survival_high": high,
    }
    for name in RMSE:
        cell[name] = _root_mean(columns[name], columns["counted"])
        cell[f"{name}_1s"] = _root_mean(columns[f"{name}_1s"], columns["windows"])
    low, high = _bootstrap(columns["velocity_rmse_1s"], columns["windows"])
    cell |= {"velocity_rmse_1s_low": low, "velocity_rmse_1s_high": high}
    for name in ("mean_vx", "mean_vy", "mean_wz", *QUALITY):
        cell[name] = _mean(columns[name], columns["counted"])
    reward = float(columns["reward"].mean())
    cell |= {"reward": reward, "statue": float(columns["statue"].mean())}
    cell["drift"] = _mean(columns["drift"], columns["survived"])
    return cell


def brief(columns: Columns, *more: str) -> Cell:
    """The survival of a group of trials, and some more of its summary."""
    cell = summarise(columns)
    return {name: cell[name] for name in (*SURVIVAL, *more)}


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """95 % score interval of a share (Wilson 1927)."""
    if trials == 0:
        return 0.0, 1.0
    z2 = _CONFIDENCE_Z**2
    share = successes / trials
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2)) / (1 + z2 / trials)
    half *= _CONFIDENCE_Z
    return max(0.0, middle - half), min(1.0, middle + half)


def _mean(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    used = (weights > 0) & np.isfinite(values)
    return float(np.average(values[used], weights=weights[used])) if used.any() else math.nan


def _root_mean(rmse: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    return math.sqrt(mean) if math.isfinite(mean := _mean(rmse**2, weights)) else math.nan


def _bootstrap(rmse: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[float, float]:
    """95 % percentile interval of the root mean square over trials."""
    used = weights > 0
    if not used.any():
        return math.nan, math.nan
    squares, weights = (rmse**2 * weights)[used], weights[used]
    draws = np.random.default_rng(0).integers(len(squares), size=(_RESAMPLES, len(squares)))
    means = np.sqrt(squares[draws].sum(1) / weights[draws].sum(1))
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)
