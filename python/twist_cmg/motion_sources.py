"""Finds recorded motion: files, folders within folders, and YAML lists with weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .fields import did_you_mean
from .strict_yaml import read_yaml

SUFFIXES = (".pkl", ".pickle", ".npz", ".csv")
_ENTRY = ("file", "weight", "description")


@dataclass(frozen=True)
class Source:
    """A file of recorded motion, not yet read."""

    path: Path
    name: str  # its place in its folder or list, without suffix: "walks/slow"
    weight: float | None = None  # None: what the file says, or 1
    description: str = ""


def find_sources(where: Sequence[str]) -> list[Source]:
    """Every motion file of files, folders (and folders in them) and YAML lists, in order.

    ValueError for what is not there, an empty folder, or a list with a fault.
    """
    if not where:
        raise ValueError(
            f"no recorded motion is named: give a folder, a YAML list or {_suffixes()} files"
        )
    found: list[Source] = []
    for given in where:
        path = Path(given).expanduser()
        if path.is_dir():
            found += _folder(path)
        elif not path.is_file():
            raise ValueError(f"there is no motion file {path}")
        elif path.suffix in (".yaml", ".yml"):
            found += _listed(path)
        else:
            found.append(Source(path, path.stem))
    return found


def _folder(folder: Path) -> list[Source]:
    files = sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES)
    found = [
        Source(path, path.relative_to(folder).with_suffix("").as_posix())
        for path in files
        if path.is_file() and not path.name.startswith(".")
    ]
    if not found:
        raise ValueError(f"the folder {folder} holds no {_suffixes()} files")
    return found


def _listed(path: Path) -> list[Source]:
    """The entries of a TWIST data set list; relative paths begin at the list's own folder."""
    values = read_yaml(path)
    if not isinstance(values, dict) or set(values) - {"root_path"} != {"motions"}:
        raise ValueError(f"{path} is no motion list: it must have the keys root_path and motions")
    root, motions = values.get("root_path", "."), values["motions"]
    if not isinstance(root, str):
        raise ValueError(f"{path}: root_path must be a folder, not {root!r}")
    if not isinstance(motions, list) or not motions:
        raise ValueError(f"{path}: motions must be a list of entries with {', '.join(_ENTRY)}")
    folder = path.parent / Path(root).expanduser()
    return [_entry(f"{path}: motions[{i}]", entry, folder) for i, entry in enumerate(motions)]


def _entry(where: str, entry: Any, folder: Path) -> Source:
    if not isinstance(entry, dict) or not isinstance(entry.get("file"), str):
        raise ValueError(f"{where} must name a file, with weight and description, not be {entry!r}")
    for key in entry:
        if key not in _ENTRY:
            hint = did_you_mean(str(key), _ENTRY)
            raise ValueError(f"{where} has the key {key!r}{hint}; valid are {', '.join(_ENTRY)}")
    weight, text = entry.get("weight"), entry.get("description")
    number = isinstance(weight, int | float) and not isinstance(weight, bool)
    if "weight" in entry and not (number and 0 <= weight < 1e9):
        raise ValueError(f"{where}: weight must be a number from 0 on, not {weight!r}")
    file = Path(entry["file"]).expanduser()
    if not (folder / file).is_file():
        raise ValueError(f"{where}: there is no motion file {folder / file}")
    name = file.name if file.is_absolute() or ".." in file.parts else file.as_posix()
    description = "" if text is None else str(text)
    name = name.removesuffix(file.suffix)
    return Source(folder / file, name, None if weight is None else float(weight), description)


def _suffixes() -> str:
    return ", ".join(SUFFIXES)
