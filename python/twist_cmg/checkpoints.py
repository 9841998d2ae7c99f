"""Checkpoint files: written aside and renamed, read back with suspicion."""

import hashlib
import io
import os
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

FORMAT_VERSION = 1


@dataclass
class Checkpoint:
    """A moment of a training.

    `state` holds every tensor that is needed to continue exactly (empty in a file that only
    carries a trained result); `policy` what is needed to act, and `contract` the names of joints,
    actions and observation blocks it was made for. `config` is the resolved configuration.
    """

    kind: str  # "teacher", "student" or "cmg"
    config: dict[str, Any]
    iteration: int = 0
    env_steps: int = 0
    state: dict[str, torch.Tensor] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)
    contract: dict[str, list[str]] = field(default_factory=dict)


def save_checkpoint(checkpoint: Checkpoint, *paths: Path) -> None:
    """Writes the files so that at every moment each is the old one or the whole new one."""
    buffer = io.BytesIO()  # torch reports a full disk as RuntimeError, a Python file as OSError
    torch.save({"format": FORMAT_VERSION, **vars(checkpoint)}, buffer)
    for path in paths:
        write_aside(path, buffer.getvalue())


def load_checkpoint(path: Path, kind: str | None = None) -> Checkpoint:
    """Reads a checkpoint; ValueError in one sentence if it is damaged or not one of `kind`."""
    if not path.is_file():
        raise ValueError(f"there is no checkpoint {path}")
    values = _read(path)
    names = [name for name in vars(Checkpoint("", {}))]
    if not isinstance(values, dict) or "format" not in values:
        raise ValueError(f"{path} is not a checkpoint of this program")
    if values["format"] != FORMAT_VERSION:
        raise ValueError(
            f"{path} has checkpoint format {values['format']!r}, but this version reads "
            f"format {FORMAT_VERSION}"
        )
    missing = [name for name in names if name not in values]
    if missing:
        raise ValueError(f"{path} is not a whole checkpoint: it lacks {', '.join(missing)}")
    if kind is not None and values["kind"] != kind:
        raise ValueError(f"{path} holds a {values['kind']}, not a {kind}")
    return Checkpoint(**{name: values[name] for name in names})


def check_contract(checkpoint: Checkpoint, here: Mapping[str, list[str]]) -> None:
    """ValueError naming the first joint, action or observation block that differs from `here`."""
    for part, names in here.items():
        made_for = checkpoint.contract.get(part, [])
        for index in range(max(len(names), len(made_for))):
            theirs, ours = (row[index] if index < len(row) else "none" for row in (made_for, names))
            if theirs != ours:
                raise ValueError(
                    f"the {checkpoint.kind} was made for another robot or version: number {index} "
                    f"of its {part} is {theirs!r}, here it is {ours!r}"
                )


def policy_hash(policy: Mapping[str, Any]) -> str:
    """`state_hash` of the tensors among what a policy needs to act."""
    return state_hash({n: value for n, value in policy.items() if isinstance(value, torch.Tensor)})


def state_hash(state: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over the names, types, shapes and bytes of all tensors, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def write_aside(path: Path, content: bytes) -> None:
    """Writes a temporary file in the same folder, makes sure it is on the disk, and renames it."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise OSError(error.errno, f"{path} could not be saved: {reason}") from error
    except BaseException:  # interrupted: leave no litter behind
        aside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Makes the rename itself last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> object:
    damaged = f"{path} is damaged or not a checkpoint"
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
        if bad is not None:
            raise ValueError(f"{damaged}: its part {bad} does not match its check sum")
        return torch.load(path, map_location="cpu", weights_only=True)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{damaged}: {error}") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError) as error:
        reason = str(error).strip().splitlines()
        raise ValueError(f"{damaged}: {reason[0] if reason else type(error).__name__}") from error
