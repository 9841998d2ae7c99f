"""Joints by name: the orders that files without names use, and the way to a robot's own order."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from . import _C
from .fields import did_you_mean
from .motion_file import Array

_LEG = ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
_WAIST = ("waist_yaw", "waist_roll", "waist_pitch")
_ARM = ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow")
_WRIST = ("wrist_roll", "wrist_pitch", "wrist_yaw")


def _chain(side: str, parts: Sequence[str], depth: int = 0) -> list[tuple[int, str]]:
    """(steps from the pelvis, name) of the joints of a limb."""
    return [(depth + i, f"{side}{part}_joint") for i, part in enumerate(parts)]


_TREE = [
    *_chain("left_", _LEG),
    *_chain("right_", _LEG),
    *_chain("", _WAIST),
    *_chain("left_", _ARM + _WRIST, len(_WAIST)),
    *_chain("right_", _ARM + _WRIST, len(_WAIST)),
]

# g1: limb after limb, as motors and MuJoCo have them; isaac: breadth first, as Isaac Lab has them
ORDERS = {
    "g1": [name for _, name in _TREE],
    "isaac": [name for _, name in sorted(_TREE, key=lambda joint: joint[0])],
}


def unnamed(path: Path, columns: int, robot: _C.Robot, order: str) -> list[str]:
    """Names for the columns of a file that has none.

    29 are all joints of the G1 in that order, 23 those without the wrists (as TWIST has them); a
    robot that is no G1 must have as many joints as the file.
    """
    names = ORDERS[order]
    if not set(robot.joint_names) <= set(names):
        known = {len(robot.joint_names): list(robot.joint_names)}
    else:
        known = {len(names): names, 23: [name for name in names if "wrist" not in name]}
    if columns not in known:
        valid = " or ".join(map(str, known))
        raise ValueError(f"{path} has {columns} joints without names; it must have {valid}")
    return known[columns]


def to_robot(
    path: Path, names: Sequence[str], values: Array, robot: _C.Robot
) -> tuple[Array, list[str]]:
    """The columns (frames, names) in the robot's order, and what was filled in or left out.

    Joints that the file lacks take the robot's default pose, but legs must be whole. ValueError
    for a joint that is unknown, given twice, or missing in a leg.
    """
    columns = _columns(path, names, robot)
    mapped = np.tile(np.asarray(robot.default_pose), (len(values), 1))
    lacking = []
    for index, (joint, in_leg) in enumerate(zip(robot.joint_names, robot.in_leg, strict=True)):
        if joint in columns:
            mapped[:, index] = values[:, columns[joint]]
        elif in_leg:
            raise ValueError(f"{path} has no joint {joint!r}; it has {', '.join(names)}")
        else:
            lacking.append(joint)
    left_out = [name for name in columns if name not in robot.joint_names]
    remarks = [
        ("took the default pose for joints that the file lacks", lacking),
        ("left out joints that the robot lacks", left_out),
    ]
    return mapped, [f"{what}: {', '.join(which)}" for what, which in remarks if which]


def _columns(path: Path, names: Sequence[str], robot: _C.Robot) -> dict[str, int]:
    """Where each known joint stands; names may leave out their "_joint"."""
    known = list(dict.fromkeys([*robot.joint_names, *ORDERS["g1"]]))
    columns: dict[str, int] = {}
    for column, given in enumerate(names):
        name = given if given in known else f"{given}_joint"
        if name not in known:
            raise ValueError(f"{path}: there is no joint {given!r}{did_you_mean(given, known)}")
        if name in columns:
            raise ValueError(f"{path}: the joint {given!r} stands twice in its joint names")
        columns[name] = column
    return columns
