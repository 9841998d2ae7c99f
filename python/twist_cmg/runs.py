"""Run folders: configuration, versions, curves and checkpoints of one training."""

import csv
import json
import platform
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import mujoco
import torch
from torch.utils.tensorboard import SummaryWriter

from . import paths
from .checkpoints import Checkpoint, load_checkpoint, save_checkpoint, write_aside

LAST = "last.pt"


class RunFolder:
    """One training on disk.

    config.yaml, versions.json, progress.csv, evaluation.csv, TensorBoard events and checkpoints/.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self._writer: SummaryWriter | None = None

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def write(self, name: str, text: str) -> Path:
        """Writes a small file whole or not at all."""
        path = self.path / name
        write_aside(path, text.encode())
        return path

    def log(self, table: str, iteration: int, metrics: Mapping[str, float]) -> None:
        """Adds a row to `table`.csv and to the TensorBoard events."""
        _append_row(self.path / f"{table}.csv", {"iteration": iteration, **metrics})
        if self._writer is None:
            self._writer = SummaryWriter(str(self.path), purge_step=iteration)
        for name, value in metrics.items():
            self._writer.add_scalar(f"{table}/{name}", value, iteration)

    def save(self, checkpoint: Checkpoint, keep: int) -> Path:
        """Saves a numbered file and last.pt; keeps the newest `keep` numbered ones (0: all)."""
        numbered = self.checkpoints / f"iter_{checkpoint.iteration:06d}.pt"
        save_checkpoint(checkpoint, numbered, self.checkpoints / LAST)
        copies = sorted(self.checkpoints.glob("iter_*.pt"))
        for old in copies[: max(0, len(copies) - keep)] if keep else []:
            old.unlink()
        return numbered

    def last(self, kind: str) -> Checkpoint:
        """The newest checkpoint; ValueError if there is none or it is of another kind."""
        return load_checkpoint(self.checkpoints / LAST, kind)

    def rewind(self, iteration: int) -> None:
        """Drops what came after the checkpoint from which the training continues."""
        for litter in self.checkpoints.glob(".*.tmp"):
            litter.unlink()
        for table in ("progress", "evaluation"):
            _drop_rows_after(self.path / f"{table}.csv", iteration)


def create_run(kind: str, out: str | None, config: str, seed: int) -> RunFolder:
    """Makes the folder `out`, or runs/<kind>-<date>-<n>; ValueError if `out` is in use."""
    if out is not None:
        check_free(out)
        path = Path(out)
        path.mkdir(parents=True, exist_ok=True)
    else:
        path = _claim_dated(kind)
    run = RunFolder(path.resolve())
    run.checkpoints.mkdir()
    run.write("config.yaml", config)
    run.write("versions.json", json.dumps(_versions(seed), indent=2) + "\n")
    return run


def check_free(out: str) -> None:
    """ValueError if a run folder cannot be made there because something is."""
    path = Path(out)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(
            f"{out} already exists and is not empty; give another --out, "
            f"or continue that run with --resume {out}"
        )


def open_run(name: str) -> RunFolder:
    """An existing run folder; ValueError if it is none."""
    path = Path(name)
    if not (path / "config.yaml").is_file() or not (path / "checkpoints").is_dir():
        raise ValueError(f"{name} is not a run folder (config.yaml or checkpoints/ is missing)")
    return RunFolder(path.resolve())


def _claim_dated(kind: str) -> Path:
    """mkdir decides between trainings that start at the same time."""
    date = time.strftime("%Y%m%d")
    for number in range(1, 10_000):
        path = Path("runs") / f"{kind}-{date}-{number}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        return path
    raise ValueError(f"runs/{kind}-{date}-* are all in use; give --out")


def _versions(seed: int) -> dict[str, Any]:
    from . import __version__

    return {
        "twist_cmg": __version__,
        "torch": torch.__version__,
        "mujoco": mujoco.__version__,
        "python": platform.python_version(),
        "git_commit": _git_commit(),
        "seed": seed,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _git_commit() -> str | None:
    """The commit of the source tree the package lies in, if it lies in one."""
    command = ["git", "-C", str(paths.PACKAGE), "rev-parse", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _read_rows(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    if not path.exists():
        return [], []
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        return list(reader.fieldnames or []), list(reader)


def _write_rows(path: Path, columns: list[str], rows: list[dict[str, str]]) -> None:
    lines = [columns, *([row.get(name) or "" for name in columns] for row in rows)]
    write_aside(path, "".join(",".join(line) + "\n" for line in lines).encode())


def _append_row(path: Path, row: Mapping[str, float]) -> None:
    """Appends a row; columns that appear later are added to the whole file."""
    columns = _columns(path)
    new = [name for name in row if name not in columns]
    if new:
        _write_rows(path, columns + new, _read_rows(path)[1])
        columns += new
    with path.open("a", newline="") as file:
        csv.writer(file, lineterminator="\n").writerow([row.get(name, "") for name in columns])


def _columns(path: Path) -> list[str]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return next(csv.reader(file), [])


def _drop_rows_after(path: Path, iteration: int) -> None:
    columns, rows = _read_rows(path)
    kept = [row for row in rows if _iteration(row) <= iteration]
    if len(kept) < len(rows):
        _write_rows(path, columns, kept)


def _iteration(row: Mapping[str, str]) -> int:
    """A row that a crash cut short counts as later than everything."""
    text = row.get("iteration") or ""
    return int(text) if text.isdigit() else 2**62
