"""Exams under other conditions: bodies, floors, sensors and terrain that are not the nominal ones,
and recorded motion.

Conditions are tried over four commands, for 10 s of which the first 2 s do not count.
"""

import math

from . import _C
from .locomotion import FRAMES_PER_S
from .references import Command
from .trials import WALK, Answer, Cell, Subject, brief, frames_for

SWEEP: dict[str, tuple[float, ...]] = {
    "friction": (0.3, 0.4, 0.6, 1.0, 1.2, 1.5),
    "mass": (0.8, 0.85, 1.15, 1.2),  # factor
    "payload": (-1.0, 2.0, 5.0),  # kg on the torso
    "com": (-0.05, 0.05),  # m, of the torso's centre of mass, forward
    "kp": (0.8, 1.2),  # factors
    "kd": (0.8, 1.2),
    "strength": (0.7, 0.85),
    "delay": (0.5, 1.0, 1.5, 2.0),  # control steps by which actions come late
    "noise": (1.0, 2.0, 3.0),  # factor on the sensor noise of training
    "timestep": (0.005,),  # s, of the physics
}
TERRAINS = (  # m, degrees for slopes
    ("rough", 0.02),
    ("rough", 0.04),
    ("slopes", 5.0),
    ("slopes", 10.0),
    ("steps", 0.04),
)
MIXED: tuple[Command, ...] = (WALK, (0.5, 0.0, 0.8), (0.0, 0.3, 0.0), (-0.5, 0.0, 0.0))
_SECONDS, _SETTLE_S = 10.0, 2.0


def exam_sweep(subject: Subject, episodes: int) -> Answer:
    """One parameter of body, floor, actuators or sensors at a time."""
    pool = subject.motion.command_pool(MIXED, frames_for(_SECONDS))
    cells = []
    for name, value in [(name, value) for name, values in SWEEP.items() for value in values]:
        environment, trials = subject.make_environment(), _trials(subject, episodes)
        if name == "noise":
            environment.randomise.noise = value
        elif name == "timestep":
            environment.sim.timestep = value
            environment.sim.decimation = round(1 / (FRAMES_PER_S * value))
        else:
            for trial in trials:
                setattr(trial.body, name, (value, 0.0, 0.0) if name == "com" else value)
        cell = _walk(subject, pool, trials, environment)
        cells.append({"parameter": name, "value": value, **cell})
    return {"cells": cells}


def exam_terrain(subject: Subject, episodes: int) -> Answer:
    """Uneven ground."""
    pool = subject.motion.command_pool(MIXED, frames_for(_SECONDS))
    cells = []
    for kind, size in TERRAINS:
        environment, trials = subject.make_environment(), _trials(subject, episodes)
        environment.terrain.kind = kind
        setattr(environment.terrain, "slope_deg" if kind == "slopes" else "height", size)
        for trial in trials:
            trial.body.terrain = 1.0
        cells.append({"kind": kind, "size": size, **_walk(subject, pool, trials, environment)})
    return {"cells": cells}


def exam_clips(subject: Subject, episodes: int) -> Answer:
    """Each recorded clip from its beginning to its end: survival and tracking errors."""
    names, pool = subject.motion.clip_pool()
    cells = []
    for stream, (name, frames) in enumerate(zip(names, pool.lengths, strict=True)):
        trials = [subject.trial(stream) for _ in range(episodes)]
        for trial in trials:
            trial.frame = 0
        seconds = (frames - 2) / FRAMES_PER_S
        columns = subject.run(pool, trials, seconds)
        lived = float(columns["steps"].mean()) / FRAMES_PER_S
        errors = brief(columns, "reference_rmse_1s", "joint_error", "key_body_error", "tilt_error")
        cells.append({"name": name, "seconds": seconds, "lived_s": lived, **errors})
    return {"cells": cells}


def _trials(subject: Subject, episodes: int) -> list[_C.Trial]:
    """At least `episodes`, as many of each command."""
    each = math.ceil(episodes / len(MIXED))
    return [subject.trial(stream) for stream in range(len(MIXED)) for _ in range(each)]


def _walk(
    subject: Subject, pool: _C.MotionPool, trials: list[_C.Trial], environment: _C.EnvSettings
) -> Cell:
    columns = subject.run(pool, trials, _SECONDS, _SETTLE_S, environment)
    return brief(columns, "velocity_rmse_1s", "yaw_rate_rmse_1s")
