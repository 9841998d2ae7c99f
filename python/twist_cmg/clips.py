"""Recorded motion for training: read, checked, trimmed, and made into rows at 50 Hz.

All numerical work is C++: `_C.Doctor` judges and trims, `_C.clip_trajectories` resamples and finds
velocities, contacts and commands.
"""

from collections.abc import Sequence
from dataclasses import replace

from . import _C
from .importers import ReadOptions, read_motion
from .motion_file import Clip
from .motion_sources import Source


def read_clips(
    sources: Sequence[Source], robot: _C.Robot, options: ReadOptions | None = None
) -> tuple[list[Clip], list[str]]:
    """All usable clips, and a line about every clip that was trimmed or left out.

    ValueError for a file that is no motion of this robot, or if nothing usable remains.
    """
    doctor = _C.Doctor(robot)
    clips: list[Clip] = []
    report: list[str] = []
    for source in sources:
        kept, line = trim(read_motion(source, robot, options), doctor)
        if line:
            report.append(line)
        if kept is not None:
            clips.append(kept)
    if not clips:
        raise ValueError(f"no usable clip among {len(sources)} files; the last: {report[-1]}")
    return clips, report


def trim(clip: Clip, doctor: _C.Doctor) -> tuple[Clip | None, str]:
    """The longest stretch of plausible frames (None if too short), and a line if it is not all."""
    found = doctor.examine(clip.as_dict())
    total = len(clip.root_pos)
    wrong_rate = [finding.reason for finding in found.findings if finding.kind == "fps"]
    if wrong_rate:
        return None, f"{clip.name}: left out, {wrong_rate[0]}"
    if not found.usable:
        return None, f"{clip.name}: left out, less than 2 s are usable ({found.why})"
    if (found.first, found.last) == (0, total):
        return clip, ""
    kept = slice(found.first, found.last)
    line = f"kept frames {found.first} to {found.last - 1} of {total} ({found.why})"
    cut = replace(
        clip,
        root_pos=clip.root_pos[kept],
        root_quat_wxyz=clip.root_quat_wxyz[kept],
        dof_pos=clip.dof_pos[kept],
        dof_vel=None if clip.dof_vel is None else clip.dof_vel[kept],
        provenance=replace(clip.provenance, done=[*clip.provenance.done, line]),
    )
    return cut, f"{clip.name}: {line}"


def rows_of(clips: Sequence[Clip], robot: _C.Robot) -> _C.Trajectories:
    """The clips as streams of rows at 50 Hz."""
    return _C.clip_trajectories(robot, [clip.as_dict() for clip in clips])
