"""What a person sees of a running training: a live table, or plain lines without a terminal."""

import math
import sys
import time
from collections import deque
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

_LINE_EVERY_S = 10.0
_WINDOW = 20  # iterations over which the speed is averaged

# metric, label, format; shown first, in this order, where present
_MAIN = [
    ("env_steps", "environment steps", "{:,.0f}"),
    ("survival", "survival, 10 s (estimate)", "{:.0%}"),
    ("episode_length_s", "episode length", "{:.1f} s"),
    ("velocity_error", "velocity error", "{:.3f} m/s"),
    ("yaw_rate_error", "yaw rate error", "{:.3f} rad/s"),
    ("reward", "reward", "{:.3f}"),
    ("loss", "loss", "{:.4f}"),
]


def make_console(json: bool) -> Console:
    """The console for people; standard output is kept for the JSON line where one is asked for."""
    console = Console(stderr=json, highlight=False)
    if not console.is_terminal:
        console.width = 120  # a file has no width; tables should not be squeezed
    return console


class Progress:
    """Shows metrics of an iterated computation. Use it as a context manager."""

    def __init__(self, console: Console, title: str, total: int, done: int = 0) -> None:
        self._console = console
        self._title = title
        self._total = total
        self._history: deque[tuple[float, int, float]] = deque(maxlen=_WINDOW)
        self._history.append((time.monotonic(), done, float("nan")))
        self._last_line = 0.0
        # frames are drawn by us after each iteration, so no thread disturbs the workers
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> "Progress":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def note(self, text: str) -> None:
        """A line that stays."""
        self._console.print(text, markup=False, soft_wrap=True)

    def update(self, iteration: int, metrics: Mapping[str, float]) -> None:
        """Shows the state after `iteration` iterations."""
        now = time.monotonic()
        self._history.append((now, iteration, metrics.get("env_steps", float("nan"))))
        shown = _with_survival(metrics)
        if self._live is not None:
            self._live.update(self._table(iteration, shown), refresh=True)
        elif now - self._last_line > _LINE_EVERY_S or iteration == self._total:
            self._last_line = now
            self.note(self._line(iteration, shown))

    def _speeds(self) -> tuple[float, float]:
        """Iterations and environment steps a second."""
        (t0, i0, s0), (t1, i1, s1) = self._history[0], self._history[-1]
        if s0 != s0 and len(self._history) > 2:  # steps are not known before the first iteration
            return (i1 - i0) / max(t1 - t0, 1e-9), _rate(self._history[1], self._history[-1])
        return (i1 - i0) / max(t1 - t0, 1e-9), (s1 - s0) / max(t1 - t0, 1e-9)

    def _head(self, iteration: int) -> str:
        iterations, steps = self._speeds()
        parts = [f"{self._title} {iteration}/{self._total}"]
        if steps == steps:
            parts.append(f"{steps:,.0f} steps/s")
        if iterations > 0:
            parts.append(f"{_clock((self._total - iteration) / iterations)} left")
        return " | ".join(parts)

    def _line(self, iteration: int, metrics: Mapping[str, float]) -> str:
        parts = [f"{label} {text}" for label, text in _main_rows(metrics)]
        return " | ".join([self._head(iteration), *parts])

    def _table(self, iteration: int, metrics: Mapping[str, float]) -> Group:
        table = Table.grid(padding=(0, 2))
        for label, text in [*_main_rows(metrics), *_other_rows(metrics)]:
            table.add_row(label, text)
        bar = ProgressBar(total=self._total, completed=iteration, width=60)
        return Group(self._head(iteration), bar, table)


def json_line(text: str) -> None:
    """The one line on standard output that scripts read."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _rate(first: tuple[float, int, float], last: tuple[float, int, float]) -> float:
    return (last[2] - first[2]) / max(last[0] - first[0], 1e-9)


def _with_survival(metrics: Mapping[str, float]) -> dict[str, float]:
    """Adds the share of 10-s episodes that would not fall at the present rate of falls a second."""
    shown = dict(metrics)
    if "fall_rate" in shown:
        shown["survival"] = math.exp(-10.0 * shown["fall_rate"])
    return shown


def _main_rows(metrics: Mapping[str, float]) -> list[tuple[str, str]]:
    return [(label, form.format(metrics[name])) for name, label, form in _MAIN if name in metrics]


def _other_rows(metrics: Mapping[str, float]) -> list[tuple[str, str]]:
    """Reward terms and causes of termination."""
    wanted = ("reward/", "termination/", "held_out/")
    return [(n, f"{v:.4f}") for n, v in metrics.items() if n.startswith(wanted)]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
