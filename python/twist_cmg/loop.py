"""The iterations of a training, with everything that happens between them."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from .checkpoints import Checkpoint
from .fields import Section
from .progress import Progress
from .runs import RunFolder

Metrics = dict[str, float]


@dataclass
class Loop:
    """Repeats `step` until `total` iterations are done or Ctrl-C is pressed.

    `snapshot` makes a checkpoint of the moment; `evaluate` is called every `train.evaluate_every`
    iterations (and before the first) and returns what to log.
    """

    run: RunFolder
    train: Section
    total: int
    progress: Progress
    step: Callable[[], Metrics]
    snapshot: Callable[[int, Metrics], Checkpoint]
    evaluate: Callable[[], Metrics] | None = None
    iteration: int = 0
    metrics: Metrics = field(default_factory=dict)
    _start: float = field(default_factory=time.monotonic)

    def iterate(self) -> bool:
        """Whether all iterations were done; False if the user asked to stop. Saves either way."""
        saved = self.iteration or -1  # a resumed run lies on the disk already
        if self.iteration == 0:
            self._evaluate()
        with Stop() as stop:
            while self.iteration < self.total and not stop.requested:
                self._one()
                if self.iteration % self.train.checkpoint_every == 0:
                    self._save()
                    saved = self.iteration
                if self.iteration < self.total:
                    self._evaluate()
            if saved < self.iteration:
                self._save()
        return self.iteration >= self.total

    def _one(self) -> None:
        self.metrics = self.step()
        self.metrics.pop("iteration", None)  # the first column of the table anyway
        self.metrics["elapsed_s"] = time.monotonic() - self._start
        self.iteration += 1
        self.run.log("progress", self.iteration, self.metrics)
        self.progress.update(self.iteration, self.metrics)

    def _evaluate(self) -> None:
        every = self.train.evaluate_every
        if self.evaluate is None or every == 0 or self.iteration % every != 0:
            return
        result = self.evaluate()
        self.run.log("evaluation", self.iteration, result)
        shown = ", ".join(f"{name} {value:.3f}" for name, value in result.items())
        self.progress.note(f"evaluation after {self.iteration} iterations: {shown}")

    def _save(self) -> None:
        self.run.save(self.snapshot(self.iteration, self.metrics), self.train.keep)


class Stop:
    """Turns the first Ctrl-C (or SIGTERM) into a request that is read between iterations.

    Another one a second or more later interrupts at once (wrappers such as make and timeout pass
    the same Ctrl-C on twice).
    """

    def __init__(self) -> None:
        self.requested = False
        self._when = 0.0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Stop":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested and time.monotonic() - self._when > 1:
            raise KeyboardInterrupt
        self.requested, self._when = True, time.monotonic()
