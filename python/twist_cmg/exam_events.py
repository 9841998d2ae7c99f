"""Exams in which something happens: kicks, forces, new commands.

Kicks and forces come 3 s after the start (0, 0.2, 0.4 or 0.6 s later: the phases of a stride) and
are survived by who stands 4 s after them.
"""

import math
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from . import _C
from .locomotion import FRAMES_PER_S
from .references import Command
from .trials import STAND, WALK, Answer, Cell, Subject, brief, frames_for, grouped, named, steps

KICKS = (0.8, 1.2, 1.6, 2.0)  # m/s
PULSES = ((0.08, 200.0), (0.08, 400.0), (0.08, 600.0), (0.2, 100.0), (0.2, 200.0))  # s, N
DIRECTIONS, PHASES = 8, 4
TRANSITIONS: tuple[tuple[str, Command, Command], ...] = (
    ("start", STAND, WALK),
    ("stop", WALK, STAND),
    ("reverse", WALK, (-0.5, 0.0, 0.0)),
    ("turn", WALK, (0.5, 0.0, 0.8)),
)
_BEFORE_S, _PHASE_S, _AFTER_S = 3.0, 0.2, 4.0  # of a disturbance
_END_S = _BEFORE_S + (PHASES - 1) * _PHASE_S + _AFTER_S
_CHANGE_S, _STOP_S = 6.0, 12.0  # of a transition
_STRIDE = round(0.7 * FRAMES_PER_S)  # frames

# a trial, what is done, its direction (x, y; left is +y) and the control step at which it is done
Disturb = Callable[[_C.Trial, Cell, tuple[float, float], int], None]


def exam_kicks(subject: Subject, episodes: int) -> Answer:
    """Jumps of the pelvis velocity by `speed` (m/s), walking and standing."""

    def kick(trial: _C.Trial, cell: Cell, way: tuple[float, float], step: int) -> None:
        trial.push_step = step
        trial.push = (cell["speed"] * way[0], cell["speed"] * way[1])

    return _disturbed(subject, [{"speed": speed} for speed in KICKS], episodes, kick)


def exam_pulses(subject: Subject, episodes: int) -> Answer:
    """Forces on the pelvis of `newton` (N) for `seconds` (s), walking and standing."""

    def pull(trial: _C.Trial, cell: Cell, way: tuple[float, float], step: int) -> None:
        trial.pull_step, trial.pull_steps = step, steps(cell["seconds"])
        trial.pull = (cell["newton"] * way[0], cell["newton"] * way[1], 0.0)

    pulses = [{"seconds": s, "newton": n, "newton_seconds": s * n} for s, n in PULSES]
    return _disturbed(subject, pulses, episodes, pull)


def _disturbed(subject: Subject, kinds: Sequence[Cell], episodes: int, disturb: Disturb) -> Answer:
    """The survival of each kind of disturbance, walking and standing.

    All 8 directions at all 4 phases: `episodes` are rounded up to a multiple of 32.
    """
    pool = subject.motion.command_pool((WALK, STAND), frames_for(_END_S))
    repeats = math.ceil(episodes / (DIRECTIONS * PHASES))
    cells: list[Cell] = []
    trials: list[_C.Trial] = []
    for (stream, command), kind in product(enumerate((WALK, STAND)), kinds):
        cells.append({**named(command), **kind})
        for _, direction, phase in product(range(repeats), range(DIRECTIONS), range(PHASES)):
            angle = 2 * math.pi * direction / DIRECTIONS
            trial = subject.trial(stream)
            step = steps(_BEFORE_S + phase * _PHASE_S)
            disturb(trial, kind, (math.cos(angle), math.sin(angle)), step)
            trials.append(trial)
    groups = grouped(subject.run(pool, trials, _END_S), len(trials) // len(cells))
    return {"cells": [cell | brief(group) for cell, group in zip(cells, groups, strict=True)]}


def exam_transitions(subject: Subject, episodes: int) -> Answer:
    """Starting, stopping, reversing, turning: how the velocity answers a new command."""
    frames, change = frames_for(_STOP_S), steps(_CHANGE_S)
    plans = [[old] * change + [new] * (frames - change) for _, old, new in TRANSITIONS]
    pool = subject.motion.planned_pool(_C.plan(np.array(plans)))
    trials = [subject.trial(stream) for stream in range(len(plans)) for _ in range(episodes)]
    columns = subject.run(pool, trials, _STOP_S, series=True)
    cells = []
    for (name, old, new), group in zip(TRANSITIONS, grouped(columns, episodes), strict=True):
        axis = int(np.argmax(np.abs(np.subtract(new, old))))
        velocity = group["velocity"][group["survived"] > 0, :, axis]
        response = step_response(velocity, old[axis], new[axis], change)
        cells.append({"name": name, **brief(group), **response})
    return {"cells": cells}


def step_response(velocity: NDArray[np.floating], old: float, new: float, change: int) -> Cell:
    """How velocities (trials, steps) go from an old to a new command, given at step `change`.

    `rise_s`: seconds until 90 % of the way are done; `overshoot`: the share of the way by which
    they go too far. Of the mean over trials and over a stride (0.7 s), since every step sways; NaN
    if that never comes, or without trials.
    """
    if len(velocity) == 0:
        return {"rise_s": math.nan, "overshoot": math.nan}
    mean = np.convolve(velocity.mean(0), np.ones(_STRIDE) / _STRIDE, "valid")
    way = (mean[change - _STRIDE // 2 :] - old) / (new - old)
    done = np.flatnonzero(way >= 0.9)
    rise = float(done[0]) / FRAMES_PER_S if len(done) else math.nan
    return {"rise_s": rise, "overshoot": max(0.0, float(way.max()) - 1.0)}
