"""Recorded motion: TWIST and TWIST2 pickles in, checked clips out.

Resampling, velocities, contacts and commands are made from them in C++ (`_C.clip_trajectories`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .fields import did_you_mean
from .pickles import read_arrays

Array = NDArray[np.float64]

MAX_ROOT_SPEED = 5.0  # m/s
MAX_ROOT_TURN = 12.0  # rad/s
MAX_JOINT_SPEED = 30.0  # rad/s; the G1's joints turn at 20 to 37
HEIGHTS = (0.4, 1.1)  # m, pelvis above the floor
MIN_SECONDS = 2.0


@dataclass(frozen=True)
class Clip:
    """One recorded motion: what was kept of it."""

    name: str
    fps: float
    joint_names: list[str]
    root_pos: Array  # (frames, 3) m
    root_quat_wxyz: Array  # (frames, 4)
    dof_pos: Array  # (frames, joints) rad

    def as_dict(self) -> dict[str, Any]:
        """The form `_C.clip_trajectories` takes."""
        return dict(vars(self))


def clip_files(where: Sequence[str]) -> list[Path]:
    """The .pkl files of folders and single files, sorted within each folder."""
    if not where:
        raise ValueError("no recorded motion is named: set clips to a folder of .pkl files")
    files: list[Path] = []
    for name in where:
        path = Path(name)
        found = sorted(path.glob("*.pkl")) if path.is_dir() else [path]
        if not found:
            raise ValueError(f"the folder {path} holds no .pkl files")
        files += found
    for path in files:
        if not path.is_file():
            raise ValueError(f"there is no motion file {path}")
    return files


def read_clips(files: Sequence[Path], joints: Sequence[str]) -> tuple[list[Clip], list[str]]:
    """All usable clips, and a line about every clip that was trimmed or left out.

    `joints` are the robot's joint names. ValueError for a file that is no motion of this robot, or
    if nothing usable remains.
    """
    clips: list[Clip] = []
    report: list[str] = []
    for file in files:
        whole = read_clip(file, joints)
        kept, line = trim(whole)
        if line:
            report.append(line)
        if kept is not None:
            clips.append(kept)
    if not clips:
        raise ValueError(f"no usable clip among {len(files)} files; the last: {report[-1]}")
    return clips, report


def read_clip(file: Path, joints: Sequence[str]) -> Clip:
    """One file as it is; ValueError if it is not a motion of a robot with these joints."""
    data = read_arrays(file)
    needed = ("fps", "root_pos", "root_rot", "dof_pos")
    if not isinstance(data, Mapping) or any(key not in data for key in needed):
        raise ValueError(f"{file} is not a TWIST motion: it must have the keys {', '.join(needed)}")
    dof_pos = _array(file, data, "dof_pos", None)
    names = _joint_names(file, data, dof_pos.shape[1], joints)
    root_pos = _array(file, data, "root_pos", 3)
    root_rot = _array(file, data, "root_rot", 4)
    if not len(dof_pos) == len(root_pos) == len(root_rot):
        raise ValueError(
            f"{file}: dof_pos, root_pos and root_rot have "
            f"{len(dof_pos)}, {len(root_pos)} and {len(root_rot)} frames; they must have the same"
        )
    wxyz = root_rot[:, [3, 0, 1, 2]]  # the files have x y z w
    return Clip(file.stem, _fps(file, data["fps"]), names, root_pos, wxyz, dof_pos)


def trim(clip: Clip) -> tuple[Clip | None, str]:
    """The longest stretch of plausible frames (None if too short), and a line if it is not all."""
    total = len(clip.root_pos)
    good, reason = _plausible(clip)
    first, last = _longest_stretch(good, _broken_steps(clip))
    if first == 0 and last == total and total / clip.fps >= MIN_SECONDS:
        return clip, ""
    why = reason or _step_reason(clip)
    if (last - first) / clip.fps < MIN_SECONDS:
        return None, f"{clip.name}: left out, less than {MIN_SECONDS:g} s are usable ({why})"
    kept = slice(first, last)
    line = f"{clip.name}: kept frames {first} to {last - 1} of {total} ({why})"
    parts = clip.root_pos[kept], clip.root_quat_wxyz[kept], clip.dof_pos[kept]
    return Clip(clip.name, clip.fps, clip.joint_names, *parts), line


def _array(file: Path, data: Mapping[str, Any], key: str, width: int | None) -> Array:
    try:
        values = np.asarray(data[key], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file}: {key} must be an array of numbers") from error
    if values.ndim != 2 or (width is not None and values.shape[1] != width):
        wanted = "joints" if width is None else str(width)
        raise ValueError(f"{file}: {key} must be (frames, {wanted}), not {values.shape}")
    return values


def _fps(file: Path, value: Any) -> float:
    try:
        fps = float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file}: fps must be a number, not {value!r}") from error
    if not 5 <= fps <= 1000:
        raise ValueError(f"{file}: fps must lie in [5, 1000], not be {fps!r}")
    return fps


def _joint_names(
    file: Path, data: Mapping[str, Any], columns: int, joints: Sequence[str]
) -> list[str]:
    """Names of the columns of dof_pos; without names in the file, those of the robot in order."""
    if columns != len(joints):
        raise ValueError(f"{file}: dof_pos has {columns} joints; the robot has {len(joints)}")
    if "joint_names" not in data:
        return list(joints)
    given = data["joint_names"]
    if not isinstance(given, list | tuple | np.ndarray):
        raise ValueError(f"{file}: joint_names must be a list of names, not {given!r}")
    names = [str(name) for name in given]
    for name in names:
        if name not in joints:
            hint = did_you_mean(name, joints)
            raise ValueError(f"{file}: the robot has no joint {name!r}{hint}")
    for joint in joints:
        if names.count(joint) != 1:
            times = names.count(joint)
            raise ValueError(f"{file}: the joint {joint!r} stands {times} times in joint_names")
    return names


def _plausible(clip: Clip) -> tuple[NDArray[np.bool_], str]:
    """Which frames are plausible in themselves, and what is wrong with the first that is not."""
    everything = np.hstack([clip.root_pos, clip.root_quat_wxyz, clip.dof_pos])
    finite = np.isfinite(everything).all(axis=1)
    height = clip.root_pos[:, 2]
    norm = np.linalg.norm(clip.root_quat_wxyz, axis=1)
    upright = (height >= HEIGHTS[0]) & (height <= HEIGHTS[1])
    unit = np.abs(norm - 1) < 0.05
    good = finite & upright & unit
    if good.all():
        return good, ""
    frame = int(np.argmin(good))
    if not finite[frame]:
        return good, f"a value that is not finite in frame {frame}"
    if not upright[frame]:
        return good, f"pelvis height {height[frame]:.2f} m in frame {frame}"
    return good, f"a quaternion of length {norm[frame]:.2f} in frame {frame}"


def _speeds(clip: Clip) -> tuple[Array, Array, Array]:
    """From each frame to the next (frames - 1): root m/s, root rad/s, fastest joint rad/s."""
    root = np.linalg.norm(np.diff(clip.root_pos, axis=0), axis=1)
    q = clip.root_quat_wxyz
    turn = 2 * np.arccos(np.clip(np.abs(np.sum(q[1:] * q[:-1], axis=1)), 0, 1))
    joint = np.abs(np.diff(clip.dof_pos, axis=0)).max(axis=1, initial=0)
    return root * clip.fps, turn * clip.fps, joint * clip.fps


def _broken_steps(clip: Clip) -> NDArray[np.bool_]:
    """Between which frames something jumps (NaN counts as a jump)."""
    root, turn, joint = _speeds(clip)
    smooth = (root <= MAX_ROOT_SPEED) & (turn <= MAX_ROOT_TURN) & (joint <= MAX_JOINT_SPEED)
    return ~smooth


def _step_reason(clip: Clip) -> str:
    broken = _broken_steps(clip)
    if not broken.any():
        return f"{len(clip.root_pos)} frames"
    frame = int(np.argmax(broken))
    root, turn, joint = (speed[frame] for speed in _speeds(clip))
    return f"{root:.1f} m/s, {turn:.1f} rad/s, joints {joint:.1f} rad/s after frame {frame}"


def _longest_stretch(good: NDArray[np.bool_], broken: NDArray[np.bool_]) -> tuple[int, int]:
    """The longest [first, last) of good frames without a broken step inside."""
    best, first = (0, 0), 0
    for frame in range(len(good)):
        if not good[frame]:
            first = frame + 1
        elif frame > first and broken[frame - 1]:
            first = frame
        if frame + 1 - first > best[1] - best[0]:
            best = first, frame + 1
    return best
