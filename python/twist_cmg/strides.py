"""When feet stand, where they stand, and the strides between."""

from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .locomotion import FRAMES_PER_S
from .motion_out import Recording

FEET = ("left", "right")
DOWN = 0.1  # a foot is on the ground from this share of the load on
STRIDE_S = (0.5, 2.0)  # a stride that is shorter or longer is none


def stances(recording: Recording, side: int) -> list[tuple[int, int]]:
    """First frame and the one after the last, each time the left (0) or right (1) foot stands."""
    down = np.concatenate([[False], recording.rows[:, -2 + side] > DOWN, [False]])
    edges = np.flatnonzero(down[1:] != down[:-1])
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def strides(recording: Recording) -> NDArray[np.float64]:
    """(strides, 101, joints): the angles from one left touch-down to the next.

    ValueError if the robot does not walk.
    """
    angles = recording.rows[:, : recording.robot.num_joints]
    starts = [first for first, _ in stances(recording, 0) if first > 0]
    found = [
        _resampled(angles[first : last + 1], 101)
        for first, last in pairwise(starts)
        if STRIDE_S[0] <= (last - first) / FRAMES_PER_S <= STRIDE_S[1]
    ]
    if not found:
        raise ValueError(f"{recording.description}: there is no stride in it")
    return np.array(found)


def footprints(
    recording: Recording, poses: Mapping[str, NDArray[np.float64]]
) -> Iterator[tuple[int, NDArray[np.float64], float]]:
    """Side, place (x, y) and heading in degrees of a foot in the middle of each of its stances."""
    for side, name in enumerate(FEET):
        body = list(poses["names"]).index(f"{name}_ankle_roll_link")
        for first, last in stances(recording, side):
            middle = (first + last) // 2
            w, x, y, z = poses["rotations"][middle, body]
            heading = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
            yield side, poses["positions"][middle, body, :2], float(np.degrees(heading))


def _resampled(curves: NDArray[np.float32], points: int) -> NDArray[np.float64]:
    there, wanted = np.linspace(0, 1, len(curves)), np.linspace(0, 1, points)
    return np.stack([np.interp(wanted, there, curve) for curve in curves.T], axis=1)
