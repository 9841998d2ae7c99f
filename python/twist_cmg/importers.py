"""Reads recorded motion of any known format for one robot."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from . import _C
from .joint_names import ORDERS, to_robot, unnamed
from .motion_file import (
    Array,
    Clip,
    Provenance,
    frame_rate,
    npz_keys,
    numbers,
    read_clip,
    read_npz,
    require,
    strings,
)
from .motion_sources import SUFFIXES, Source
from .pickles import read_arrays

_XYZW = [3, 0, 1, 2]  # where w x y z stand in x y z w
_LAFAN1_FPS = 30.0
MIN_FRAMES = 10


@dataclass(frozen=True)
class ReadOptions:
    """What a file does not say about itself."""

    format: str = "auto"
    joints: str | None = None  # order of joints without names, one of ORDERS
    fps: float | None = None  # instead of what the file says
    licence: str = ""


@dataclass(frozen=True)
class _Raw:
    """What a reader finds: rates, root and joints, not yet in the robot's order."""

    fps: float
    joint_names: Sequence[str] | None
    root_pos: Array
    root_quat_wxyz: Array
    dof_pos: Array
    dof_vel: Array | None = None
    order: str | None = "g1"  # of joints without names; None: it must be told


def read_motion(source: Source, robot: _C.Robot, options: ReadOptions | None = None) -> Clip:
    """One file as it is, its joints in the robot's order.

    ValueError in one sentence if it is damaged, or no motion of this robot.
    """
    options = options or ReadOptions()
    path = source.path
    kind = _detect(path) if options.format == "auto" else options.format
    if kind == "twist_cmg":
        raw = read_clip(path, source.name)
        past = raw.provenance
    else:
        raw = _READERS[kind](path)
        past = Provenance(path.name, kind, hashlib.sha256(path.read_bytes()).hexdigest())
    if len(raw.dof_pos) < MIN_FRAMES:
        raise ValueError(f"{path} has {len(raw.dof_pos)} frames; at least {MIN_FRAMES} are needed")
    fps, done = _rate(raw.fps, options.fps)
    names = raw.joint_names or _order(path, raw, robot, options.joints)
    dof_pos, remarks = to_robot(path, names, raw.dof_pos, robot)
    dof_vel = None if raw.dof_vel is None else to_robot(path, names, raw.dof_vel, robot)[0]
    provenance = replace(
        past,
        licence=options.licence or past.licence,
        weight=past.weight if source.weight is None else source.weight,
        description=source.description or past.description,
        done=[*past.done, *done, *remarks],
    )
    root = raw.root_pos, raw.root_quat_wxyz
    return Clip(source.name, fps, list(robot.joint_names), *root, dof_pos, dof_vel, provenance)


def _detect(path: Path) -> str:
    """The format, by suffix; of an NPZ file by what is in it."""
    if path.suffix in _SUFFIXES:
        return _SUFFIXES[path.suffix]
    if path.suffix != ".npz":
        raise ValueError(
            f"{path} has the suffix {path.suffix!r}; motion files end in {', '.join(SUFFIXES)}"
        )
    keys = npz_keys(path)
    for key, kind in _SIGNS.items():
        if key in keys:
            return kind
    raise ValueError(
        f"{path} is no known kind of motion: it has the keys {', '.join(keys) or 'none'}, but none "
        f"of {', '.join(_SIGNS)}"
    )


def _rate(given: float, told: float | None) -> tuple[float, list[str]]:
    if told is None or told == given:
        return given, []
    return told, [f"took {told:g} frames a second instead of {given:g}"]


def _order(path: Path, raw: Any, robot: _C.Robot, told: str | None) -> list[str]:
    order = told or raw.order
    if order is None:
        valid = " or ".join(ORDERS)
        raise ValueError(f"{path} does not name its joints: tell their order, --joints {valid}")
    return unnamed(path, raw.dof_pos.shape[1], robot, order)


def _read_twist(path: Path) -> _Raw:
    """TWIST, TWIST2 and GMR pickles: quaternions x y z w, 29 or 23 joints, mostly without names."""
    data = read_arrays(path)
    needed = ("fps", "root_pos", "root_rot", "dof_pos")
    if not isinstance(data, Mapping):
        raise ValueError(f"{path} is not a TWIST motion: it must have the keys {', '.join(needed)}")
    require(path, data, needed)
    names = strings(path, data, "joint_names") if "joint_names" in data else None
    quat = numbers(path, data, "root_rot", (None, 4))
    return _raw(path, data, names, ("root_pos", "dof_pos"), quat[:, _XYZW])


def _read_amass(path: Path) -> _Raw:
    """AMASS retargeted to the G1: joints with names, bodies of which the first is the pelvis."""
    keys = ("fps", "dof_names", "dof_positions", "body_positions", "body_rotations")
    data = read_npz(path, (*keys, "dof_velocities"))
    require(path, data, keys)
    names = strings(path, data, "dof_names")
    root = _first_body(path, data, "body_positions", 3), _first_body(path, data, keys[-1], 4)
    data = {**data, "root": root[0]}
    return _raw(path, data, names, ("root", "dof_positions"), root[1], "dof_velocities")


def _read_beyondmimic(path: Path) -> _Raw:
    """BeyondMimic and mjlab: joints in the simulator's order, bodies of which the first is root."""
    keys = ("fps", "joint_pos", "body_pos_w", "body_quat_w")
    data = read_npz(path, (*keys, "joint_vel", "joint_names"))
    require(path, data, keys)
    names = strings(path, data, "joint_names") if "joint_names" in data else None
    root = _first_body(path, data, "body_pos_w", 3), _first_body(path, data, keys[-1], 4)
    raw = _raw(path, {**data, "root": root[0]}, names, ("root", "joint_pos"), root[1], "joint_vel")
    return replace(raw, order=None)


def _read_lafan1(path: Path) -> _Raw:
    """LAFAN1 for the G1: rows of root x y z, quaternion x y z w and the joints, without header."""
    try:
        text = path.read_text(encoding="ascii")
        lines = [line for line in text.splitlines() if line.strip()]
        table = np.loadtxt(lines, delimiter=",", comments=None, ndmin=2) if lines else np.empty(0)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} is not rows of numbers without a header: {reason}") from error
    if table.ndim != 2 or table.shape[1] < 8:
        raise ValueError(
            f"{path} must have rows of root x y z, quaternion x y z w and joints, not "
            f"{table.shape[1] if table.ndim == 2 else 0} columns"
        )
    return _Raw(_LAFAN1_FPS, None, table[:, :3], table[:, 3:7][:, _XYZW], table[:, 7:])


def _first_body(path: Path, data: Mapping[str, Any], key: str, width: int) -> Array:
    bodies = numbers(path, data, key, (None, None, width), "bodies")
    if bodies.shape[1] == 0:
        raise ValueError(f"{path}: {key} has no bodies; the first must be the pelvis")
    return bodies[:, 0]


def _raw(
    path: Path,
    data: Mapping[str, Any],
    names: Sequence[str] | None,
    keys: tuple[str, str],
    quat: Array,
    velocities: str = "",
) -> _Raw:
    """Checks what all formats have: as many frames everywhere, as many names as joints."""
    root_pos = numbers(path, data, keys[0], (None, 3))
    dof_pos = numbers(path, data, keys[1], (None, None))
    lengths = len(dof_pos), len(root_pos), len(quat)
    if len(set(lengths)) != 1:
        raise ValueError(
            f"{path}: joints, root positions and root rotations have "
            f"{lengths[0]}, {lengths[1]} and {lengths[2]} frames; they must have the same"
        )
    if names is not None and len(names) != dof_pos.shape[1]:
        raise ValueError(f"{path}: {len(names)} joint names for {dof_pos.shape[1]} joints")
    dof_vel = numbers(path, data, velocities, dof_pos.shape) if velocities in data else None
    return _Raw(frame_rate(path, data["fps"]), names, root_pos, quat, dof_pos, dof_vel)


_READERS: dict[str, Callable[[Path], _Raw]] = {
    "twist": _read_twist,
    "amass": _read_amass,
    "lafan1": _read_lafan1,
    "beyondmimic": _read_beyondmimic,
}
FORMATS = ("auto", "twist_cmg", *_READERS)
_SUFFIXES = {".pkl": "twist", ".pickle": "twist", ".csv": "lafan1"}
_SIGNS = {"format_version": "twist_cmg", "dof_positions": "amass", "joint_pos": "beyondmimic"}
