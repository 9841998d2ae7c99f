"""The beginning and the end that all trainings share: new or resumed run, final JSON line."""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import _C
from .checkpoints import Checkpoint, state_hash
from .config import config_from_dict, load_config, load_robot, parse_override, resolved
from .config_checks import check_commands, check_device
from .fields import Section, apply, nest
from .progress import json_line, make_console
from .runs import RunFolder, check_free, create_run, open_run

_MAY_CHANGE = ("train.iterations", "train.threads")


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    kind: str
    config: str | None = None
    overrides: tuple[str, ...] = ()
    flags: Mapping[str, object] = field(default_factory=dict)
    out: str | None = None
    resume: str | None = None
    json: bool = False


class Session:
    """One training from command line to exit code. `resumed` is the checkpoint it starts from.

    The run folder is made by `begin`, when everything that can be wrong with the input has been
    looked at.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.start = time.monotonic()
        self.console = make_console(request.json)
        self.resumed: Checkpoint | None = None
        self._run: RunFolder | None = None
        if request.resume is not None:
            self.config = self._resume(request.resume)
        else:
            if request.out is not None:
                check_free(request.out)
            self.config = load_config(
                request.kind, request.config, request.overrides, request.flags
            )
        check_commands(self.config.commands)
        check_device(self.config.train.device)
        self.robot = load_robot(self.config.robot)
        self.workers = _C.Workers(self.config.train.threads)
        backend = _C.choose_matmul_backend()
        self.say(f"{self.workers.count} threads, matrix products by {backend}")

    @property
    def old_folder(self) -> Path | None:
        """The folder of the resumed run."""
        return self._run.path if self._run is not None and self.resumed is not None else None

    def begin(self) -> RunFolder:
        """Makes the run folder, or makes that of the resumed run ready to go on."""
        text = resolved(self.config)
        if self._run is None:
            kind, out = self.request.kind, self.request.out
            seed = (self.config.cmg_train if kind == "cmg" else self.config.train).seed
            self._run = create_run(kind, out, text, seed)
        if self.resumed is not None:
            self._run.rewind(self.resumed.iteration)
            self._run.write("config.yaml", text)
        self.say(f"run folder {self._run.path}")
        return self._run

    def say(self, text: str) -> None:
        """A line for people."""
        self.console.print(text, markup=False, soft_wrap=True)

    def say_how_to_resume(self, run: RunFolder) -> None:
        """After Ctrl-C."""
        kind = self.request.kind
        self.say(
            "stopped and saved; to continue: "
            f"python -m twist_cmg.train {kind} --resume '{run.path}'"
        )

    def finish(self, run: RunFolder, file: Path, metrics: Mapping[str, Any]) -> None:
        """The last line for scripts, if asked for; `file` is the last checkpoint."""
        if not self.request.json:
            return
        checkpoint = run.last(self.request.kind)
        answer = {
            "run": str(run.path),
            "checkpoint": str(file),
            "hash": state_hash(checkpoint.state),
            "iterations": checkpoint.iteration,
            "env_steps": checkpoint.env_steps,
            "wall_s": round(time.monotonic() - self.start, 3),
        }
        answer = {**metrics, **answer}
        json_line(json.dumps({name: _json_value(value) for name, value in answer.items()}))

    def _resume(self, name: str) -> Section:
        changes = _changes(self.request)
        self._run = open_run(name)
        self.resumed = self._run.last(self.request.kind)
        config = config_from_dict(self.request.kind, self.resumed.config, f"{name}/checkpoints")
        for key, value in changes.items():
            apply(config, nest(key, value))
        if total_iterations(config) < self.resumed.iteration:
            raise ValueError(
                f"{name} has {self.resumed.iteration} iterations already; --iterations is the "
                f"total, so it must not be {total_iterations(config)}"
            )
        return config


def total_iterations(config: Section) -> int:
    """When the training ends; a CMG normally ends with its schedule."""
    return config.train.iterations or config.cmg_train.iterations


def _changes(request: Request) -> dict[str, object]:
    """What a resumed run does differently; ValueError unless that leaves its results the same."""
    for option, value in (("--config", request.config), ("--out", request.out)):
        if value is not None:
            raise ValueError(f"{option} is not valid with --resume, which continues a run as it is")
    changes = {**dict(map(parse_override, request.overrides)), **request.flags}
    for key in changes:
        if key not in _MAY_CHANGE:
            valid = " and ".join(_MAY_CHANGE)
            raise ValueError(f"a resumed run cannot change {key!r}; only {valid} may change")
    return changes


def _json_value(value: Any) -> Any:
    """NaN and infinity are not JSON."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
