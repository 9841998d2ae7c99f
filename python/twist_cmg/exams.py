"""What is asked of a policy: each exam is a set of trials and the numbers that come of them.

The protocol is that of the project's comparison of public policies. Every exam takes a `Subject`
and the number of episodes for each figure, and answers with plain dictionaries for JSON;
`exam_tables.py` shows them to people. Those in which something happens are in `exam_events.py`,
those under other conditions in `exam_conditions.py`.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from .exam_conditions import exam_clips, exam_sweep, exam_terrain
from .exam_events import exam_kicks, exam_pulses, exam_transitions
from .fields import Section
from .references import Command, command_grid
from .trials import STAND, WALK, Answer, Cell, Subject, frames_for, grouped, named, summarise

STRAIGHT: tuple[Command, ...] = (WALK, (1.0, 0.0, 0.0), (-0.5, 0.0, 0.0))
FAST: tuple[Command, ...] = ((1.5, 0.0, 0.0), (2.0, 0.0, 0.0))
MEASURES = ("survival", "velocity_rmse", "velocity_rmse_1s", "yaw_rate_rmse_1s")


def exam_grid(subject: Subject, episodes: int) -> Answer:
    """Constant commands over the grid of `evaluation`."""
    config = subject.motion.config.evaluation
    cells = constant(subject, command_grid(config), episodes, config.seconds, config.settle_s)
    return {"cells": cells, "summary": summary(cells), "statue_score": statue_score(cells)}


def exam_standing(subject: Subject, episodes: int) -> Answer:
    """Standing still: survival and drift (m)."""
    return constant(subject, [STAND], episodes, 20.0, 2.0)[0]


def exam_quality(subject: Subject, episodes: int) -> Answer:
    """Straight walking at three speeds: errors, energy, smoothness, slip."""
    return {"cells": constant(subject, STRAIGHT, episodes, 20.0, 2.0)}


def exam_fast(subject: Subject, episodes: int) -> Answer:
    """Faster than the grid."""
    return {"cells": constant(subject, FAST, episodes, 20.0, 4.0)}


EXAMS: Mapping[str, Callable[[Subject, int], Answer]] = {
    "grid": exam_grid,
    "standing": exam_standing,
    "quality": exam_quality,
    "fast": exam_fast,
    "kicks": exam_kicks,
    "pulses": exam_pulses,
    "transitions": exam_transitions,
    "sweep": exam_sweep,
    "terrain": exam_terrain,
    "clips": exam_clips,
}


def usual_exams(config: Section) -> list[str]:
    """All exams, those of recorded clips only for a policy that was trained on some."""
    return [name for name in EXAMS if name != "clips" or config.reference.source == "clips"]


def constant(
    subject: Subject, commands: Sequence[Command], episodes: int, seconds: float, settle_s: float
) -> list[Cell]:
    """A cell for each constant command; errors count from `settle_s` (s) on."""
    pool = subject.motion.command_pool(commands, frames_for(seconds))
    trials = [subject.trial(stream) for stream in range(len(commands)) for _ in range(episodes)]
    groups = grouped(subject.run(pool, trials, seconds, settle_s), episodes)
    return [
        named(command) | summarise(group) for command, group in zip(commands, groups, strict=True)
    ]


def summary(cells: Sequence[Cell]) -> dict[str, float | None]:
    """The mean of each measure over the cells in which it is known (None if in none)."""
    means: dict[str, float | None] = {}
    for name in MEASURES:
        known = [cell[name] for cell in cells if math.isfinite(cell[name])]
        means[name] = sum(known) / len(known) if known else None
    return means


def statue_score(cells: Sequence[Cell]) -> float | None:
    """What standing still would earn on the walking commands, as a share of what the policy did.

    None if no command walks or the policy earned nothing.
    """
    walking = [cell for cell in cells if any(cell[axis] for axis in ("vx", "vy", "wz"))]
    earned = sum(cell["reward"] for cell in walking)
    return sum(cell["statue"] for cell in walking) / earned if earned > 0 else None
