"""Made-up results of trials, in the columns that `_C.run_trials` gives."""

from typing import Any

import numpy as np

from twist_cmg.trials import QUALITY, RMSE, Columns

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
