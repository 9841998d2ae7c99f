"""The motion file: one clip of recorded motion as a versioned NPZ.

Keys: format_version, fps, joint_names (joints), root_pos (frames, 3) m in the world,
root_quat_wxyz (frames, 4) pelvis to world, dof_pos (frames, joints) rad, and provenance (JSON:
where the clip comes from and what was done to it).
"""

import io
import json
import zipfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checkpoints import write_aside

FORMAT_VERSION = 1
FPS_RANGE = (5.0, 1000.0)

Array = NDArray[np.float64]
_KEYS = ("fps", "joint_names", "root_pos", "root_quat_wxyz", "dof_pos", "provenance")


@dataclass(frozen=True)
class Provenance:
    """Where a clip comes from: the name of its first file, and everything done since."""

    source: str = ""
    format: str = ""
    sha256: str = ""  # of the source file
    licence: str = ""
    weight: float = 1.0  # how often to show it, relative to other clips
    description: str = ""
    done: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Clip:
    """One recorded motion, finite or not; its parts have the same number of frames."""

    name: str
    fps: float
    joint_names: list[str]
    root_pos: Array  # (frames, 3) m
    root_quat_wxyz: Array  # (frames, 4)
    dof_pos: Array  # (frames, joints) rad
    dof_vel: Array | None = None  # rad/s as the source has them; judged, never stored
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def seconds(self) -> float:
        """From the first frame to the last."""
        return (len(self.root_pos) - 1) / self.fps

    def as_dict(self) -> dict[str, Any]:
        """The form the C++ core takes."""
        return {name: value for name, value in vars(self).items() if name != "provenance"}


def write_clip(path: Path, clip: Clip) -> None:
    """Writes a motion file; at every moment it is the old one or the whole new one."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        format_version=np.int64(FORMAT_VERSION),
        fps=np.float64(clip.fps),
        joint_names=np.array(clip.joint_names, dtype=np.str_),
        root_pos=clip.root_pos,
        root_quat_wxyz=clip.root_quat_wxyz,
        dof_pos=clip.dof_pos,
        provenance=np.array(json.dumps(asdict(clip.provenance))),
    )
    write_aside(path, buffer.getvalue())


def read_clip(path: Path, name: str) -> Clip:
    """The clip of a motion file; ValueError in one sentence if it is damaged or not one."""
    data = read_npz(path, ("format_version", *_KEYS))
    version = data.get("format_version")
    if version is None:
        raise ValueError(f"{path} is no motion file of this program: it has no format_version")
    if version.shape != () or version.dtype.kind not in "iu" or version != FORMAT_VERSION:
        raise ValueError(
            f"{path} has motion format {version.tolist()!r}, but this version reads format "
            f"{FORMAT_VERSION}"
        )
    require(path, data, _KEYS)
    dof_pos = numbers(path, data, "dof_pos", (None, None))
    frames = len(dof_pos)
    names = strings(path, data, "joint_names")
    if len(names) != dof_pos.shape[1]:
        raise ValueError(f"{path}: {len(names)} joint names for {dof_pos.shape[1]} joints")
    return Clip(
        name,
        frame_rate(path, data["fps"]),
        names,
        numbers(path, data, "root_pos", (frames, 3)),
        numbers(path, data, "root_quat_wxyz", (frames, 4)),
        dof_pos,
        provenance=_provenance(path, data["provenance"]),
    )


def npz_keys(path: Path) -> list[str]:
    """The names of the arrays in an NPZ file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except Exception as error:  # there is no end to what they raise at damaged files
        raise _damaged(path, error) from error


def read_npz(path: Path, wanted: Collection[str]) -> dict[str, NDArray[Any]]:
    """Those of the wanted arrays that an NPZ file has; nothing in it is ever executed."""
    try:
        with path.open("rb") as file:
            archive = np.lib.npyio.NpzFile(file, allow_pickle=False)
            return {key: np.asarray(archive[key]) for key in archive.files if key in wanted}
    except Exception as error:  # there is no end to what they raise at damaged files
        raise _damaged(path, error) from error


def require(path: Path, data: Mapping[str, Any], keys: Sequence[str]) -> None:
    """ValueError naming the keys that a file lacks."""
    missing = [key for key in keys if key not in data]
    if missing:
        raise ValueError(
            f"{path} lacks {', '.join(missing)}: it must have the keys {', '.join(keys)}"
        )


def numbers(
    path: Path, data: Mapping[str, Any], key: str, shape: Sequence[int | None], last: str = "joints"
) -> Array:
    """An array of real numbers (NaN included) whose shape agrees; None is any length."""
    try:
        values = np.asarray(data[key])
    except (TypeError, ValueError) as error:  # ragged lists
        raise ValueError(f"{path}: {key} must be an array of numbers") from error
    if values.dtype.kind not in "iuf":
        raise ValueError(f"{path}: {key} must be an array of numbers, not of {values.dtype}")
    agrees = values.ndim == len(shape) and all(
        wanted is None or wanted == given for wanted, given in zip(shape, values.shape, strict=True)
    )
    if not agrees:
        names = ["frames" if i == 0 else last for i in range(len(shape))]
        wanted = [names[i] if n is None else str(n) for i, n in enumerate(shape)]
        raise ValueError(f"{path}: {key} must be ({', '.join(wanted)}), not {values.shape}")
    return values.astype(np.float64)


def strings(path: Path, data: Mapping[str, Any], key: str) -> list[str]:
    """A list of names."""
    value = data[key]
    given = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(given, list | tuple) or not all(isinstance(name, str) for name in given):
        raise ValueError(f"{path}: {key} must be a list of names, not {given!r}")
    return list(given)


def frame_rate(path: Path, value: Any) -> float:
    """Frames a second: a number, or an array that holds one."""
    try:
        fps = float(np.asarray(value).reshape(()))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: fps must be a number, not {value!r}") from error
    if not FPS_RANGE[0] <= fps <= FPS_RANGE[1]:
        raise ValueError(f"{path}: fps must lie in [5, 1000], not be {fps!r}")
    return fps


def _provenance(path: Path, value: NDArray[Any]) -> Provenance:
    try:
        read = json.loads(str(value))
        known = Provenance(**read)
        plain = {item.name: type(getattr(Provenance(), item.name)) for item in fields(known)}
        if all(isinstance(getattr(known, name), kind) for name, kind in plain.items()):
            return known
    except (TypeError, ValueError, RecursionError):
        pass  # told below
    valid = ", ".join(item.name for item in fields(Provenance))
    raise ValueError(f"{path}: provenance must be a JSON mapping of {valid}")


def _damaged(path: Path, error: BaseException) -> ValueError:
    text = getattr(error, "strerror", None) or str(error).partition("\n")[0]
    reason = " ".join(text.split()) or type(error).__name__
    return ValueError(f"{path} is damaged or no NPZ file: {reason}")
