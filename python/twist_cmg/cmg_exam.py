"""What a motion generator is worth: does its motion obey, and could a robot do it?"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from . import _C
from .locomotion import FRAMES_PER_S

Command = tuple[float, float, float]
Report = dict[str, float]

GRID = ((-0.5, 0.0, 0.3, 0.6, 1.0, 1.5, 2.0), (-0.3, 0.0, 0.3), (-0.8, 0.0, 0.8))
STARTS = (0, 100, 113)  # frames of slow walking before the command: from standing, from two phases
SLOW = (0.3, 0.0, 0.0)
SETTLE = 200  # frames after the command until motion is judged
SHORTEST = 8.0  # s: as much again is judged
WORST = (
    *("velocity_error", "yaw_rate_error", "slip_max", "limit_violations", "nonfinite", "drift"),
    *("drift_height", "drift_knee", "largest_step", "motion"),
)


@dataclass(frozen=True)
class Exam:
    """How a generator is examined."""

    robot: _C.Robot
    commands: _C.CommandSettings  # the set that the generator was made for
    workers: _C.Workers
    seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.seconds < SHORTEST:
            raise ValueError(f"an exam of {self.seconds:g} s is too short; it takes {SHORTEST:g} s")

    def cells(self, generator: _C.Generator, grid: Sequence[Command]) -> list[Report]:
        """One report a command: the worst over the starts, means of what are shares."""
        frames = round(self.seconds * FRAMES_PER_S)
        lead = max(STARTS)
        targets = np.zeros((len(grid), len(STARTS), lead + frames, 3))
        for i, command in enumerate(grid):
            for k, start in enumerate(STARTS):
                targets[i, k, lead - start : lead] = SLOW
                targets[i, k, lead:] = command
        plan = _C.plan(targets.reshape(-1, lead + frames, 3))
        motion = _C.generate(generator, plan, self.workers)
        reports = _C.measure_motion(self.robot, motion, lead + SETTLE, self.workers)
        per_command = zip(*[iter(reports)] * len(STARTS), strict=True)
        return [_merge(command, list(of)) for command, of in zip(grid, per_command, strict=True)]

    def changes(self, generator: _C.Generator, streams: int = 16, seconds: float = 600.0) -> Report:
        """Commands that change every 2 s: how far joints leave the range of the gait library.

        The range is that of the library under commands of the same kind.
        """
        known = self._library_range()
        settings = _C.CommandSettings()
        for field in settings.fields():
            setattr(settings, field.name, getattr(self.commands, field.name))
        settings.hold_s = [2.0, 2.0]
        plan = _C.random_plan(settings, streams, round(seconds * FRAMES_PER_S), 17)
        motion = _C.generate(generator, plan, self.workers)
        reports = _C.measure_motion(self.robot, motion, SETTLE, self.workers)
        q = motion.rows[..., : self.robot.num_joints]
        beyond = np.maximum(known[0] - q, q - known[1]).max(axis=2)
        return {
            "streams": streams,
            "seconds": seconds,
            "nonfinite": sum(report["nonfinite"] for report in reports),
            "put_back": getattr(generator, "nonfinite", 0),
            "limit_violations": sum(report["limit_violations"] for report in reports),
            "largest_step": max(report["largest_step"] for report in reports),
            "impossible": float(np.mean([report["impossible"] for report in reports])),
            "beyond_library_rad": float(max(0.0, beyond.max())),
            "beyond_library_share": float((beyond > 0.1).mean()),
        }

    def _library_range(self) -> tuple[np.ndarray, np.ndarray]:
        """Least and largest joint angles (joints) of the library, both sides alike."""
        library = _C.GaitLibrary(self.robot, _C.GaitSettings())
        plan = _C.random_plan(self.commands, 64, 1000, 18)
        motion = _C.generate_balanced(self.robot, library, plan, self.workers)
        q = motion.rows[..., : self.robot.num_joints].reshape(-1, self.robot.num_joints)
        mirrored = q[:, self.robot.mirror_joint] * np.asarray(self.robot.mirror_sign)
        both = np.concatenate([q, mirrored])
        return both.min(axis=0), both.max(axis=0)


def examine(exam: Exam, generator: _C.Generator, note: Callable[[str], None]) -> dict[str, Any]:
    """The whole examination: cells, the commands that were left out, changing commands."""
    everything = list(itertools.product(*GRID))
    grid = [command for command in everything if _C.supports(exam.commands, command)]
    note(f"{len(grid)} commands, {len(STARTS)} starts, {exam.seconds:g} s each")
    cells = exam.cells(generator, grid)
    note("commands that change every 2 s for 10 minutes")
    return {
        "seconds": exam.seconds,
        "cells": cells,
        "skipped": [list(command) for command in everything if command not in grid],
        "impossible": float(np.mean([cell["impossible"] for cell in cells])),
        "changes": exam.changes(generator),
    }


def missed(cell: Report) -> list[str]:
    """What a cell falls short of: 0.05 m/s or 5 %, 0.05 rad/s, 2 cm of slip, limits, drift."""
    speed = math.hypot(cell["vx"], cell["vy"])
    faults = {
        "velocity": cell["velocity_error"] > max(0.05, 0.05 * speed),
        "yaw rate": cell["yaw_rate_error"] > 0.05,
        "slip": cell["slip_max"] > 0.02,
        "limits": cell["limit_violations"] > 0,
        "not finite": cell["nonfinite"] > 0,
        "drift": cell["drift"] > 0.02,
        "unrest": speed == 0 and cell["wz"] == 0 and cell["motion"] > 1e-3,
    }
    return [name for name, wrong in faults.items() if wrong]


def exam_table(answer: dict[str, Any], title: str) -> Table:
    """The cells as a table that a person can read."""
    table = Table(title=title, box=box.SIMPLE)
    heads = ("vx vy wz", "velocity error", "yaw rate error", "slip, largest (cm)", "drift (m/s)")
    for head in (*heads, "impossible frames", "misses"):
        table.add_column(head, justify="right")
    for cell in answer["cells"]:
        table.add_row(
            f"{cell['vx']:.1f} {cell['vy']:.1f} {cell['wz']:.1f}",
            f"{cell['velocity_error']:.3f}",
            f"{cell['yaw_rate_error']:.3f}",
            f"{100 * cell['slip_mean']:.1f}, {100 * cell['slip_max']:.1f}",
            f"{cell['drift']:.3f}",
            f"{100 * cell['impossible']:.1f} %",
            ", ".join(missed(cell)),
        )
    return table


def _merge(command: Command, reports: list[Report]) -> Report:
    for report in reports:
        error = report["mean_vx"] - command[0], report["mean_vy"] - command[1]
        report["velocity_error"] = math.hypot(*error)
        report["yaw_rate_error"] = abs(report["mean_wz"] - command[2])
    merged = {key: float(np.mean([r[key] for r in reports])) for key in reports[0]}
    merged.update({key: max(r[key] for r in reports) for key in WORST})
    merged.update(zip(("vx", "vy", "wz"), command, strict=True))
    merged["slip_m"] = merged["slip_max"]
    return merged
