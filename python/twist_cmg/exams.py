"""What is asked of a policy: each exam is a set of trials and the numbers that come of them.

The protocol is that of the project's comparison of public policies. Every exam takes a `Subject`
and answers with plain dictionaries for JSON; `exam_tables.py` shows them to people.
"""

import math
from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _C
from .locomotion import FRAMES_PER_S
from .references import Command, command_grid
from .trials import Cell, Columns, Subject, frames_for, grouped, steps, summarise

Answer = dict[str, Any]

STAND: Command = (0.0, 0.0, 0.0)
WALK: Command = (0.5, 0.0, 0.0)
STRAIGHT: tuple[Command, ...] = ((0.5, 0.0, 0.0), (1.0, 0.0, 0.0), (-0.5, 0.0, 0.0))
FAST: tuple[Command, ...] = ((1.5, 0.0, 0.0), (2.0, 0.0, 0.0))
KICKS = (0.8, 1.2, 1.6, 2.0)  # m/s
DIRECTIONS, PHASES = 8, 4
_BEFORE_S, _AFTER_S, _PHASE_S = 3.0, 4.0, 0.2  # of a kick; a quarter of a stride
PULSES = ((0.08, 200.0), (0.08, 400.0), (0.08, 600.0), (0.2, 100.0), (0.2, 200.0))  # s, N
TRANSITIONS: tuple[tuple[str, Command, Command], ...] = (
    ("start", STAND, WALK),
    ("stop", WALK, STAND),
    ("reverse", WALK, (-0.5, 0.0, 0.0)),
    ("turn", WALK, (0.5, 0.0, 0.8)),
)
SWEEP: dict[str, tuple[float, ...]] = {
    "friction": (0.3, 0.4, 0.6, 1.0, 1.5),
    "mass": (0.8, 0.9, 1.1, 1.2),
    "payload": (-1.0, 2.0, 5.0),
    "com": (-0.05, 0.05),
    "kp": (0.8, 1.2),
    "kd": (0.8, 1.2),
    "strength": (0.7, 0.85),
    "delay": (0.5, 1.0),
    "noise": (1.0, 2.0, 3.0),
}
TERRAINS = (("rough", 0.02), ("rough", 0.04), ("slopes", 5.0), ("slopes", 10.0), ("steps", 0.04))
_MIXED: tuple[Command, ...] = (WALK, (0.5, 0.0, 0.8), (0.0, 0.3, 0.0), (-0.5, 0.0, 0.0))


def exam_grid(subject: Subject, episodes: int) -> Answer:
    """Constant commands over the grid of `evaluation`."""
    config = subject.motion.config.evaluation
    cells = constant(subject, command_grid(config), episodes, config.seconds, config.settle_s)
    return {"cells": cells, "summary": summary(cells), "statue_score": statue_score(cells)}


def exam_standing(subject: Subject, episodes: int) -> Answer:
    """Standing still: survival and drift."""
    return constant(subject, [STAND], episodes, 20.0, 2.0)[0]


def exam_quality(subject: Subject, episodes: int) -> Answer:
    """Straight walking at three speeds: errors, energy, smoothness, slip."""
    return {"cells": constant(subject, STRAIGHT, episodes, 20.0, 2.0)}


def exam_fast(subject: Subject, episodes: int) -> Answer:
    """Faster than the grid."""
    return {"cells": constant(subject, FAST, episodes, 20.0, 4.0)}


def exam_kicks(subject: Subject, episodes: int) -> Answer:
    """Jumps of the pelvis velocity in 8 directions at 4 phases, walking and standing."""
    repeats = math.ceil(episodes / (DIRECTIONS * PHASES))
    commands = (WALK, STAND)
    pool = subject.motion.command_pool(commands, frames_for(_BEFORE_S + 1 + _AFTER_S))
    trials = []
    for stream, speed in product(range(len(commands)), KICKS):
        for direction, phase, _ in product(range(DIRECTIONS), range(PHASES), range(repeats)):
            trial = subject.trial(stream)
            angle = 2 * math.pi * direction / DIRECTIONS
            trial.push_step = steps(_BEFORE_S + phase * _PHASE_S)
            trial.push = (speed * math.cos(angle), speed * math.sin(angle))
            trials.append(trial)
    last = _BEFORE_S + (PHASES - 1) * _PHASE_S + _AFTER_S
    cells = []
    groups = grouped(subject.run(pool, trials, last), DIRECTIONS * PHASES * repeats)
    for (command, speed), group in zip(product(commands, KICKS), groups, strict=True):
        cells.append({**_named(command), "speed": speed, **_survival(group)})
    return {"cells": cells}


def exam_pulses(subject: Subject, episodes: int) -> Answer:
    """Forces on the pelvis for a moment, in 8 directions, walking and standing."""
    repeats = math.ceil(episodes / DIRECTIONS)
    commands = (WALK, STAND)
    pool = subject.motion.command_pool(commands, frames_for(_BEFORE_S + _AFTER_S + 1))
    trials = []
    for stream, (seconds, newton) in product(range(len(commands)), PULSES):
        for i in range(DIRECTIONS * repeats):
            trial = subject.trial(stream)
            angle = 2 * math.pi * i / DIRECTIONS
            trial.pull_steps = steps(seconds)
            trial.pull_step = steps(_BEFORE_S + 0.1 * (i % 8))
            trial.pull = (newton * math.cos(angle), newton * math.sin(angle), 0.0)
            trials.append(trial)
    groups = grouped(subject.run(pool, trials, _BEFORE_S + _AFTER_S + 0.8), DIRECTIONS * repeats)
    cells = []
    for (command, (seconds, newton)), group in zip(product(commands, PULSES), groups, strict=True):
        pulse = {"seconds": seconds, "newton": newton, "newton_seconds": seconds * newton}
        cells.append({**_named(command), **pulse, **_survival(group)})
    return {"cells": cells}


def exam_transitions(subject: Subject, episodes: int) -> Answer:
    """Starting, stopping, reversing, turning: how the velocity answers a new command."""
    change, end = 6.0, 12.0
    plans = []
    for _, before, after in TRANSITIONS:
        plans.append([before] * steps(change) + [after] * (frames_for(end) - steps(change)))
    pool = subject.motion.planned_pool(_C.plan(np.array(plans)))
    trials = [subject.trial(stream) for stream in range(len(plans)) for _ in range(episodes)]
    columns = subject.run(pool, trials, end, series=True)
    cells = []
    for (name, before, after), group in zip(TRANSITIONS, grouped(columns, episodes), strict=True):
        axis = int(np.argmax(np.abs(np.subtract(after, before))))
        answer = _step_response(group["velocity"][..., axis], before[axis], after[axis], change)
        cells.append({"name": name, **_survival(group), **answer})
    return {"cells": cells}


def exam_sweep(subject: Subject, episodes: int) -> Answer:
    """Other bodies and floors, one parameter at a time, over four commands."""
    each = math.ceil(episodes / len(_MIXED))
    pool = subject.motion.command_pool(_MIXED, frames_for(10.0))
    cells = []
    for name, values in SWEEP.items():
        for value in values:
            environment = _C.evaluation_environment(
                subject.motion.config.evaluation, subject.motion.config.env
            )
            trials = [subject.trial(i) for i in range(len(_MIXED)) for _ in range(each)]
            if name == "noise":
                environment.randomise.noise = value
            for trial in trials:
                _set_body(trial, name, value)
            columns = subject.run(pool, trials, 10.0, 2.0, environment)
            cells.append({"parameter": name, "value": value, **_brief(columns)})
    return {"cells": cells}


def exam_terrain(subject: Subject, episodes: int) -> Answer:
    """Uneven ground under four commands; heights in m, slopes in degrees."""
    each = math.ceil(episodes / len(_MIXED))
    pool = subject.motion.command_pool(_MIXED, frames_for(10.0))
    cells = []
    for kind, size in TERRAINS:
        config = subject.motion.config
        environment = _C.evaluation_environment(config.evaluation, config.env)
        environment.terrain.kind = kind
        setattr(environment.terrain, "slope_deg" if kind == "slopes" else "height", size)
        trials = [subject.trial(i) for i in range(len(_MIXED)) for _ in range(each)]
        for trial in trials:
            _set_body(trial, "terrain", 1.0)
        columns = subject.run(pool, trials, 10.0, 2.0, environment)
        cells.append({"kind": kind, "size": size, **_brief(columns)})
    return {"cells": cells}


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
}


def constant(
    subject: Subject,
    commands: tuple[Command, ...] | list[Command],
    episodes: int,
    seconds: float,
    settle_s: float,
) -> list[Cell]:
    """A cell for each constant command."""
    pool = subject.motion.command_pool(commands, frames_for(seconds))
    trials = [subject.trial(stream) for stream in range(len(commands)) for _ in range(episodes)]
    groups = grouped(subject.run(pool, trials, seconds, settle_s), episodes)
    return [
        {**_named(command), **summarise(group)}
        for command, group in zip(commands, groups, strict=True)
    ]


MEASURES = ("survival", "velocity_rmse", "velocity_rmse_1s", "yaw_rate_rmse_1s")


def summary(cells: list[Cell]) -> dict[str, float | None]:
    """The mean of each measure over the cells in which it is known (None if in none)."""
    means: dict[str, float | None] = {}
    for name in MEASURES:
        known = [cell[name] for cell in cells if math.isfinite(cell[name])]
        means[name] = sum(known) / len(known) if known else None
    return means


def statue_score(cells: list[Cell]) -> float | None:
    """What standing still would earn on the walking commands, as a share of what the policy did."""
    walking = [cell for cell in cells if any(cell[axis] for axis in ("vx", "vy", "wz"))]
    earned = sum(cell["reward"] for cell in walking)
    return sum(cell["statue"] for cell in walking) / earned if earned > 0 else None


def _named(command: Command) -> Cell:
    return dict(zip(("vx", "vy", "wz"), command, strict=True))


def _survival(columns: Columns) -> Cell:
    cell = summarise(columns)
    return {name: cell[name] for name in ("episodes", "survival", "survival_low", "survival_high")}


def _brief(columns: Columns) -> Cell:
    cell = summarise(columns)
    names = ("episodes", "survival", "survival_low", "survival_high")
    return {name: cell[name] for name in (*names, "velocity_rmse_1s", "yaw_rate_rmse_1s")}


def _set_body(trial: _C.Trial, name: str, value: float) -> None:
    body = trial.body
    if name == "com":
        body.com = (value, 0.0, 0.0)
    elif name != "noise":
        setattr(body, name, value)
    trial.body = body


def _step_response(
    velocity: NDArray[np.float32], before: float, after: float, change_s: float
) -> dict[str, float]:
    """Of (trials, steps): the mean over trials, smoothed over a stride, after the change.

    Seconds until 90 % of the way are done, and the share of the way by which it goes too far.
    """
    stride = round(0.7 * FRAMES_PER_S)
    mean = np.convolve(velocity.mean(0), np.ones(stride) / stride, "valid")
    way = (mean[steps(change_s) - stride // 2 :] - before) / (after - before)
    done = np.flatnonzero(way >= 0.9)
    rise = float(done[0]) / FRAMES_PER_S if len(done) else math.nan
    return {"rise_s": rise, "overshoot": max(0.0, float(way.max()) - 1.0)}
