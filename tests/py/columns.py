"""Made-up results of trials, in the columns that `_C.run_trials` gives, and who gives them."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from twist_cmg import _C
from twist_cmg.trials import QUALITY, RMSE, Columns, Subject

NAMES = (
    *("survived", "steps", "counted", "windows", "mean_vx", "mean_vy", "mean_wz", "drift"),
    *("reward", "statue", *RMSE, *(f"{name}_1s" for name in RMSE), *QUALITY),
)


def made_up(trials: int, **given: Any) -> Columns:
    """Columns of trials that all survived and were measured for 100 steps, 51 windows of 1 s.

    `given` are values, or one for all trials; everything else is 0.5.
    """
    usual = {"survived": 1.0, "steps": 100.0, "counted": 100.0, "windows": 51.0}
    values = dict.fromkeys(NAMES, 0.5) | usual | given
    unknown = set(values) - set(NAMES)
    assert not unknown, unknown
    return {
        name: np.broadcast_to(np.asarray(value, float), trials).copy()
        for name, value in values.items()
    }


class Paper:
    """A subject whose trials are noted, not run; `survived` and `velocity` are what they give."""

    trial, make_environment = Subject.trial, Subject.make_environment

    def __init__(self, survived: Any = 1.0, velocity: Any = None) -> None:
        self.survived, self.velocity = survived, velocity
        self.asked: list[Any] = []
        self.runs: list[Any] = []
        self.motion = SimpleNamespace(
            config=SimpleNamespace(evaluation=_C.EvaluationSettings(), env=_C.EnvSettings()),
            command_pool=lambda commands, frames: self.asked.append((tuple(commands), frames)),
            planned_pool=self.asked.append,
        )

    def run(
        self, pool: Any, trials: Sequence[_C.Trial], seconds: float, *more: Any, **named: Any
    ) -> Columns:
        self.runs.append((list(trials), seconds, *more))
        survived = self.survived(trials) if callable(self.survived) else self.survived
        columns = made_up(len(trials), survived=survived)
        return columns if self.velocity is None else columns | {"velocity": self.velocity}
