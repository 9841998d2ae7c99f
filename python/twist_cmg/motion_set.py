"""A training set on the disk: hours of motion that are mapped into memory, not loaded.

rows.npy float32 (frames, FrameLayout::width), commands.npy float32 (frames, 3) and set.json; the
frames of all clips follow each other.
"""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _C
from .locomotion import FRAMES_PER_S, Floats

FORMAT_VERSION = 1
_INFO = "set.json"


class MotionSet(NamedTuple):
    """An opened training set; `rows` and `commands` stay on the disk until they are touched."""

    rows: Floats  # (frames, width) np.memmap; changes stay in memory
    commands: Floats  # (frames, 3) np.memmap
    lengths: NDArray[np.int64]  # (clips) frames; clips follow each other
    weights: NDArray[np.float64]  # (clips) relative, greater than 0
    info: dict[str, Any]  # set.json


def is_set(path: Path) -> bool:
    """Whether a folder was made by `data window`."""
    return (path / _INFO).is_file()


def open_set(path: Path, joint_names: Sequence[str]) -> MotionSet:
    """Opens a set for a robot with these joints.

    ValueError in one sentence if it is damaged, has another version, or was made for other joints.
    """
    info = _read_info(path / _INFO)
    for index, (theirs, ours) in enumerate(_pairs(info["joint_names"], joint_names)):
        if theirs != ours:
            raise ValueError(
                f"{path} was made for another robot: its joint {index} is {theirs!r}, here it is "
                f"{ours!r}"
            )
    lengths = np.array([clip["frames"] for clip in info["clips"]], dtype=np.int64)
    weights = np.array([clip["weight"] for clip in info["clips"]], dtype=np.float64)
    frames = int(lengths.sum())
    rows = _open_array(path / "rows.npy", (frames, _C.row_layout(len(joint_names))["width"]))
    commands = _open_array(path / "commands.npy", (frames, 3))
    return MotionSet(rows, commands, lengths, weights, info)


class SetWriter:
    """Writes a set clip by clip into a new folder; it is whole only after `finish`."""

    def __init__(self, folder: Path, robot: _C.Robot) -> None:
        folder.mkdir()
        self._folder = folder
        self._joints = list(robot.joint_names)
        self._rows = _Appender(folder / "rows.npy", _C.row_layout(robot.num_joints)["width"])
        self._commands = _Appender(folder / "commands.npy", 3)
        self.clips: list[dict[str, Any]] = []

    def append(self, rows: Floats, commands: Floats, about: dict[str, Any]) -> None:
        """One clip; `about` says at least its name and weight."""
        place = {"first": self._rows.count, "frames": len(rows)}
        self.clips.append({**about, **place})
        self._rows.append(rows)
        self._commands.append(commands)

    def finish(self, **more: Any) -> None:
        """Completes the files; `more` is written to set.json too."""
        self.close()
        info = {
            "format_version": FORMAT_VERSION,
            "fps": FRAMES_PER_S,
            "joint_names": self._joints,
            **more,
            "clips": self.clips,
        }
        (self._folder / _INFO).write_text(json.dumps(info, indent=1) + "\n")

    def close(self) -> None:
        """Closes the files."""
        self._rows.close()
        self._commands.close()


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """An empty folder beside `path` to build in; what is left of it at the end is removed."""
    path = path.absolute()
    if not path.parent.is_dir():
        raise ValueError(f"--out {path}: there is no folder {path.parent} to make it in")
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    aside.mkdir()
    try:
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def replace_set(path: Path, built: Path) -> None:
    """Moves a built set to its place, where nothing or an older set may be."""
    old = built.with_name(built.name + ".old")
    if path.exists():
        path.rename(old)
    built.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def check_place(path: Path, force: bool) -> None:
    """ValueError if a set must not be written there."""
    if not path.exists():
        return
    if not (path / _INFO).is_file():
        raise ValueError(f"{path} exists and is no motion set: name another place for --out")
    if not force:
        raise ValueError(f"there is a motion set {path} already: --force replaces it")


class _Appender:
    """An .npy file of float32 (frames, width) that grows; NumPy's header has room for any count."""

    def __init__(self, path: Path, width: int) -> None:
        self._file = path.open("wb")
        self._width = width
        self.count = 0
        self._write_header()
        self._begin = self._file.tell()

    def append(self, rows: Floats) -> None:
        assert rows.ndim == 2 and rows.shape[1] == self._width
        self._file.write(np.ascontiguousarray(rows, dtype="<f4").data)
        self.count += len(rows)

    def close(self) -> None:
        if self._file.closed:
            return
        self._file.seek(0)
        self._write_header()
        assert self._file.tell() == self._begin
        self._file.close()

    def _write_header(self) -> None:
        shape = (self.count, self._width)
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)


def _read_info(path: Path) -> dict[str, Any]:
    try:
        info = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"{path.parent} is no motion set: {path.name}: {reason}") from error
    version = info.get("format_version") if isinstance(info, dict) else None
    if version != FORMAT_VERSION:
        raise ValueError(
            f"{path} has format {version!r}, but this version reads format {FORMAT_VERSION}"
        )
    if info.get("fps") != FRAMES_PER_S:
        raise ValueError(f"{path}: fps must be {FRAMES_PER_S}, not {info.get('fps')!r}")
    if not _are(info.get("joint_names"), str) or not _are(info.get("clips"), dict):
        raise ValueError(f"{path} must have lists joint_names and clips")
    first = 0
    for clip in info["clips"]:
        frames, weight = clip.get("frames"), clip.get("weight")
        whole = type(frames) is int and frames > 0 and clip.get("first") == first
        if not whole or not isinstance(weight, int | float) or not 0 < weight < float("inf"):
            raise ValueError(
                f"{path}: the clip {clip.get('name')!r} must begin at row {first}, with frames and "
                "a weight above 0"
            )
        first += frames
    return info


def _open_array(path: Path, shape: tuple[int, int]) -> Floats:
    try:
        array = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise ValueError(f"{path} is damaged: {reason}") from error
    if not isinstance(array, np.memmap) or array.dtype != np.float32 or array.shape != shape:
        what = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else "something else"
        raise ValueError(f"{path} must hold float32 {shape}, as set.json says, not {what}")
    return array


def _pairs(theirs: Sequence[str], ours: Sequence[str]) -> Iterator[tuple[str, str]]:
    for i in range(max(len(theirs), len(ours))):
        yield tuple(row[i] if i < len(row) else "none" for row in (theirs, ours))  # type: ignore[misc]


def _are(values: Any, kind: type) -> bool:
    return isinstance(values, list) and bool(values) and all(isinstance(v, kind) for v in values)
