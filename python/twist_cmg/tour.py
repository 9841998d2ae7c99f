"""A tour of commands: what to walk when, what a robot did on it, and how well that was."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from . import _C
from .controls import STAND, limited
from .locomotion import FRAMES_PER_S
from .references import Command
from .walker import Walker, status

_SHORTEST_S, _LONGEST_S = 1 / FRAMES_PER_S, 900.0  # an episode ends after 1000 s
_KICK_EVERY, _KICK_FIRST = 4 * FRAMES_PER_S, 3 * FRAMES_PER_S
_SETTLE = FRAMES_PER_S  # frames of a segment that do not count: a change of speed takes time


class Segment(NamedTuple):
    """A command (m/s, m/s, rad/s) and for how long it holds."""

    seconds: float
    command: Command

    @property
    def frames(self) -> int:
        """At least one."""
        return max(1, round(self.seconds * FRAMES_PER_S))


DEFAULT_TOUR = (
    Segment(2, STAND),
    Segment(4, (0.5, 0.0, 0.0)),
    Segment(4, (1.0, 0.0, 0.0)),
    Segment(4, (0.5, 0.0, 0.7)),
    Segment(4, (0.5, 0.0, -0.7)),
    Segment(4, (0.0, 0.3, 0.0)),
    Segment(4, (-0.4, 0.0, 0.0)),
    Segment(4, STAND),
)


def make_tour(
    text: str | None, seconds: float | None, settings: _C.CommandSettings
) -> list[Segment]:
    """The tour of a text, or the default one as far as it is supported, lasting `seconds`.

    It is cut or begun again to last that long. ValueError if it is too long.
    """
    if text is None:
        tour = [Segment(s, limited(settings, command)) for s, command in DEFAULT_TOUR]
    else:
        tour = parse_tour(text, settings)
    whole = sum(segment.seconds for segment in tour)
    wanted = whole if seconds is None else seconds
    if not _SHORTEST_S <= wanted <= _LONGEST_S:
        raise ValueError(
            f"a tour must last from {_SHORTEST_S:g} to {_LONGEST_S:g} s, not {wanted:g} s"
        )
    lasting: list[Segment] = []
    for duration, command in chain.from_iterable(repeat(tour)):
        if wanted < _SHORTEST_S / 2:
            return lasting
        lasting.append(Segment(min(duration, wanted), command))
        wanted -= duration
    raise AssertionError("a tour that repeats has no end")


def parse_tour(text: str, settings: _C.CommandSettings) -> list[Segment]:
    """The tour of "SECONDS:VX,VY,WZ; ...". ValueError names the part that is wrong."""
    parts = [part.strip() for part in text.split(";") if part.strip()]
    if not parts:
        raise ValueError(f"the tour {text!r} is empty; write SECONDS:VX,VY,WZ; ...")
    return [_segment(part, settings) for part in parts]


def _segment(part: str, settings: _C.CommandSettings) -> Segment:
    duration, _, command = part.partition(":")
    try:
        seconds = float(duration)
        vx, vy, wz = map(float, command.split(","))
    except ValueError:
        raise ValueError(
            f"{part!r} is not a part of a tour; write SECONDS:VX,VY,WZ such as 3:0.5,0,0"
        ) from None
    if not _SHORTEST_S <= seconds <= _LONGEST_S:
        raise ValueError(
            f"{part!r}: seconds must lie in [{_SHORTEST_S:g}, {_LONGEST_S:g}], not be {seconds:g}"
        )
    for name, value in zip(("vx", "vy", "wz"), (vx, vy, wz), strict=True):
        low, high = getattr(settings, name)
        if not low <= value <= high:
            raise ValueError(f"{part!r}: {name} must lie in [{low:g}, {high:g}], not be {value:g}")
    if not _C.supports(settings, (vx, vy, wz)):
        _, most_vy, most_wz = limited(settings, (vx, math.inf, math.inf))
        raise ValueError(
            f"{part!r}: at vx {vx:g} only vy up to {most_vy:.2g} and wz up to {most_wz:.2g}"
            " can be walked"
        )
    return Segment(seconds, (vx, vy, wz))


@dataclass
class Walk:
    """What a robot did on a tour, a row for every frame at 50 Hz."""

    tour: Sequence[Segment]
    poses: list[NDArray[np.float64]] = field(default_factory=list)  # (nq,)
    ghosts: list[NDArray[np.float64]] = field(default_factory=list)  # (nq,)
    velocities: list[NDArray[np.float64]] = field(default_factory=list)  # (3,)
    captions: list[str] = field(default_factory=list)
    falls: list[int] = field(default_factory=list)  # frames at which the robot stood up again

    @property
    def distance(self) -> float:
        """Metres walked, from second to second: the sway within a stride does not count."""
        ways = np.diff(np.array(self.poses)[:, :2], axis=0, prepend=self.poses[0][None, :2])
        ways[self.falls] = 0  # it was carried
        seconds = [*range(0, len(ways), FRAMES_PER_S), len(ways) - 1]
        places = np.cumsum(ways, axis=0)[seconds]
        return float(np.linalg.norm(np.diff(places, axis=0), axis=1).sum())

    def means(self) -> list[NDArray[np.float64]]:
        """The mean velocity (3,) of each segment, without the time of the change."""
        ends = np.cumsum([segment.frames for segment in self.tour])
        starts = [
            end - max(segment.frames - _SETTLE, (segment.frames + 1) // 2)
            for segment, end in zip(self.tour, ends, strict=True)
        ]
        velocities = np.array(self.velocities)
        return [velocities[a:b].mean(axis=0) for a, b in zip(starts, ends, strict=True)]


def record(walker: Walker, tour: Sequence[Segment], kick: float | None = None) -> Walk:
    """Walks a tour; every 4 s the robot is kicked by `kick` m/s. A fall does not end it."""
    walk = Walk(tour)
    kicked = -_KICK_EVERY
    commands = chain.from_iterable(repeat(part.command, part.frames) for part in tour)
    for frame, command in enumerate(commands):
        if kick is not None and frame % _KICK_EVERY == _KICK_FIRST:
            walker.kick(kick)
            kicked = frame
        if walker.step(command):
            walk.falls.append(frame)
        lines = list(status(command, walker.velocity))
        if frame - kicked < FRAMES_PER_S:
            lines.append(f"kicked by {kick:g} m/s")
        walk.poses.append(walker.pose)
        walk.ghosts.append(walker.ghost)
        walk.velocities.append(walker.velocity)
        walk.captions.append("\n".join(lines))
    return walk


def walk_table(walk: Walk) -> Table:
    """How well each segment was walked, for people."""
    table = Table(title="the tour", box=box.SIMPLE)
    for head in ("seconds", "vx    vy    wz", "mean of each", "speed error", "turn error"):
        table.add_column(head, justify="right", no_wrap=True)
    for segment, mean in zip(walk.tour, walk.means(), strict=True):
        error = mean - segment.command
        asked, walked = (" ".join(f"{v:5.2f}" for v in row) for row in (segment.command, mean))
        numbers = f"{math.hypot(error[0], error[1]):.3f}", f"{abs(error[2]):.3f}"
        table.add_row(f"{segment.seconds:g}", asked, walked, *numbers)
    return table


def verdict(walk: Walk) -> str:
    """One sentence: how far the robot came and whether it fell."""
    times = ", ".join(f"{frame / FRAMES_PER_S:.1f} s" for frame in walk.falls)
    count = "once" if len(walk.falls) == 1 else f"{len(walk.falls)} times"
    end = f"fell {count} (at {times})" if times else "never fell"
    return f"walked {walk.distance:.1f} m in {len(walk.poses) / FRAMES_PER_S:g} s, {end}"
