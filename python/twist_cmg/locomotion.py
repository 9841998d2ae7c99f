"""How fast clips go, and which of them are locomotion."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _C

FRAMES_PER_S = 50
PERCENTILES = (5, 50, 95)
AXES = ("vx", "vy", "wz")

Floats = NDArray[np.float32]
Summary = dict[str, dict[str, float]]


@dataclass(frozen=True)
class LocomotionFilter:
    """Keeps clips that walk or run forwards all the time; speeds are 5 % and 95 % percentiles."""

    min_speed: float = 0.3  # m/s
    max_speed: float = 4.0  # m/s
    max_lateral: float = 1.5  # m/s
    max_yaw_rate: float = 2.0  # rad/s
    reject_backward: bool = True

    def verdict(self, velocities: Floats) -> str:
        """Why a clip is rejected, one of REASONS, or "" if it is kept."""
        vx, vy, wz = velocities.T
        slow, fast = np.percentile(np.hypot(vx, vy), (5, 95))
        if fast > self.max_speed or slow < self.min_speed:
            return "speed"
        if np.percentile(np.abs(vy), 95) > self.max_lateral:
            return "lateral"
        if np.percentile(np.abs(wz), 95) > self.max_yaw_rate:
            return "yaw"
        if self.reject_backward and np.percentile(vx, 5) < 0:
            return "backward"
        return ""


REASONS = ("speed", "lateral", "yaw", "backward")


def velocities_of(rows: Floats, joints: int) -> Floats:
    """(frames, 3): forward and lateral velocity in the heading frame, and yaw rate, of rows."""
    layout = _C.row_layout(joints)
    planar = layout["lin_vel"]
    return np.column_stack([rows[:, planar : planar + 2], rows[:, layout["ang_vel"] + 2]])


def summary(velocities: Floats) -> Summary:
    """Mean and percentiles of each velocity: {"vx": {"mean": m/s, "p5": ..., ...}, ...}."""
    result: Summary = {}
    for axis, values in zip(AXES, velocities.T, strict=True):
        low_to_high = np.percentile(values, PERCENTILES)
        named = {f"p{p}": float(x) for p, x in zip(PERCENTILES, low_to_high, strict=True)}
        result[axis] = {"mean": float(values.mean(dtype=np.float64)), **named}
    return result


def windows(frames: int, length: int) -> int:
    """Training windows of `length` steps, half overlapping: starts 0, length // 2, ... below
    frames - length."""
    stride = max(1, length // 2)
    return max(0, -(-(frames - length) // stride))


def filter_from(options: Mapping[str, Any]) -> LocomotionFilter:
    """The filter of command line options."""
    return LocomotionFilter(**{name: options[name] for name in vars(LocomotionFilter())})
