"""The answer of a command as JSON: `--json FILE`, or `-` for standard output."""

import json
import math
from pathlib import Path
from typing import Any

from .checkpoints import write_aside
from .progress import json_line


def check_json_place(where: str | None) -> None:
    """ValueError if a file cannot be written there."""
    if where is not None and where != "-":
        check_place("--json", Path(where))


def check_place(option: str, file: Path) -> None:
    """ValueError naming the option if a file cannot be written there."""
    if not file.absolute().parent.is_dir():
        raise ValueError(f"{option} {file}: there is no such folder to write in")
    if file.is_dir():
        raise ValueError(f"{option} {file} is a folder; give the name of a file")


def write_json(where: str | None, answer: dict[str, Any]) -> None:
    """Writes the answer to a file, or as one line to standard output for "-"."""
    if where == "-":
        json_line(json.dumps(tidy(answer)))
    elif where is not None:
        _write(Path(where), json.dumps(tidy(answer), indent=2) + "\n")


def tidy(answer: Any) -> Any:
    """The same for JSON: numbers that are not known are null."""
    if isinstance(answer, dict):
        return {key: tidy(value) for key, value in answer.items()}
    if isinstance(answer, (list, tuple)):
        return [tidy(value) for value in answer]
    return None if isinstance(answer, float) and not math.isfinite(answer) else answer


def _write(path: Path, text: str) -> None:
    if path.exists() and not path.is_file():  # a pipe or a device
        path.write_text(text)
    else:
        write_aside(path, text.encode())
