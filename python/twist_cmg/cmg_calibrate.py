"""Calibrates a trained CMG: which command must the network see to walk at the velocity wished?"""

import itertools
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from . import _C

ROUNDS = 3
TERMS = 12  # of motion/cmg.h
FRAMES, SETTLE = 1000, 300  # of a roll-out
Floats = NDArray[np.float64]


def calibrate(
    state: Mapping[str, torch.Tensor],
    robot: _C.Robot,
    commands: _C.CommandSettings,
    workers: _C.Workers,
) -> dict[str, torch.Tensor]:
    """The state of the CMG with a calibration: least squares over a grid of the command set.

    Each round runs the generator freely and adds what is still missing to the command.
    """
    wishes = _grid(commands)
    calibrated = dict(state)
    matrix = np.zeros((TERMS, 3))
    for _ in range(ROUNDS):
        missing = wishes - _reached(calibrated, robot, wishes, workers)
        matrix += np.linalg.lstsq(_terms(wishes), missing, rcond=None)[0]
        calibrated["statistics.calibration"] = torch.tensor(matrix.ravel(), dtype=torch.float32)
    return calibrated


def calibrated(calibration: Floats, commands: Floats) -> Floats:
    """What the network sees of commands (n, 3); `calibration` is that of the statistics, flat."""
    return commands + _terms(commands) @ np.reshape(calibration, (TERMS, 3))


def _grid(commands: _C.CommandSettings) -> Floats:
    """Commands all over the set that is walked, without those that hardly move."""

    def steps(low: float, high: float, count: int) -> Floats:
        return np.linspace(0.95 * low, 0.95 * high, count)

    axes = steps(*commands.vx, 8), steps(*commands.vy, 5), steps(*commands.wz, 5)
    everything = np.array(list(itertools.product(*axes)))
    moving = np.abs(everything).max(axis=1) > 0.1
    inside = np.array([_C.supports(commands, tuple(c)) for c in everything])
    return everything[moving & inside]


def _reached(
    state: Mapping[str, torch.Tensor], robot: _C.Robot, wishes: Floats, workers: _C.Workers
) -> Floats:
    generator = _C.CmgGenerator(_C.Cmg.from_state(dict(state)))
    motion = _C.generate(generator, _C.constant_plan([tuple(c) for c in wishes], FRAMES), workers)
    velocity = 2 * robot.num_joints + 4
    rows = motion.rows[:, SETTLE:].astype(np.float64)
    return rows[:, :, [velocity, velocity + 1, velocity + 5]].mean(axis=1)


def _terms(c: Floats) -> Floats:
    x, y, w = c.T
    return np.concatenate([c, c**2, c**3, np.stack([y * w, x * y, x * w], axis=1)], axis=1)
