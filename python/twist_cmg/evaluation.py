"""Measures a policy over the command grid (the protocol of the project's peer comparison)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from . import _C, paths
from .checkpoints import Checkpoint, check_contract, load_checkpoint
from .config import config_from_dict, load_robot
from .fields import Section, apply, to_dict
from .locomotion import FRAMES_PER_S
from .references import Motion, command_grid, kept_sources
from .runs import LAST

CURVE_S = 10.0  # of an episode of the learning curve
CURVE_EPISODES = 64
_AHEAD_S = 2  # the policy looks at frames beyond the end of the episode

KICKED = ((0.5, 0.0, 0.0), (0.0, 0.0, 0.0))  # commands under which the robot is kicked
KICKS = (0.8, 1.2, 1.6, 2.0)  # m/s
KICK_S = 10.0  # of a reference for kicks

Cell = dict[str, float]
MEASURES = ("survival", "velocity_rmse", "velocity_rmse_1s", "yaw_rate_rmse_1s")


@dataclass(frozen=True)
class Policy:
    """A trained policy with everything needed to try it."""

    file: Path
    folder: Path  # where the files of its run lie
    config: Section
    checkpoint: Checkpoint


def load_policy(name: str) -> Policy:
    """A policy by run folder, checkpoint file, or "teacher"/"student" for the shipped ones."""
    if name in ("teacher", "student"):
        file = paths.shipped(f"{name}.pt")
        if not file.is_file():
            raise ValueError(f"no {name} is shipped with this installation; name a run folder")
    else:
        file = _policy_file(Path(name))
    checkpoint = load_checkpoint(file, "teacher")
    if not checkpoint.policy:
        raise ValueError(f"{file} holds no policy")
    in_run = file.parent.name == "checkpoints"
    folder = file.parent.parent if in_run else file.parent
    config = config_from_dict("teacher", checkpoint.config, str(file))
    return Policy(file, folder, config, checkpoint)


def motion_for(policy: Policy, workers: _C.Workers) -> Motion:
    """The motion that a policy follows; ValueError if it was made for another robot."""
    robot = load_robot(policy.config.robot)
    check_contract(policy.checkpoint, _C.contract(robot))
    return Motion(robot, policy.config, workers, kept_sources(policy.folder, policy.config))


def evaluate(motion: Motion, policy: Mapping[str, Any]) -> list[Cell]:
    """Episodes of the deterministic policy for every command of the grid of `evaluation`."""
    config = motion.config
    commands = command_grid(config.evaluation)
    frames = math.ceil((config.evaluation.seconds + _AHEAD_S) * FRAMES_PER_S)
    return _C.evaluate_policy(
        motion.robot,
        config.env,
        config.evaluation,
        motion.command_pool(commands, frames),
        commands,
        dict(policy),
        motion.workers,
        config.train.seed,
    )


def kick(motion: Motion, policy: Mapping[str, Any]) -> list[Cell]:
    """Survival of kicks in 8 directions at 4 phases, twice each, standing and walking."""
    config = motion.config
    pool = motion.command_pool(KICKED, round(KICK_S * FRAMES_PER_S))
    what = motion.robot, config.env, config.evaluation, pool, list(KICKED), list(KICKS), 2
    return _C.evaluate_kicks(*what, dict(policy), motion.workers, config.train.seed)


def kick_table(cells: Sequence[Cell]) -> Table:
    """Survival of each kick, for people."""
    table = Table(title="survival of kicks", box=box.SIMPLE)
    table.add_column("   vx    vy    wz", no_wrap=True)
    for speed in KICKS:
        table.add_column(f"{speed:g} m/s", justify="right")
    for i in range(0, len(cells), len(KICKS)):
        row = cells[i : i + len(KICKS)]
        asked = " ".join(_velocity(row[0][axis]) for axis in ("vx", "vy", "wz"))
        table.add_row(asked, *(f"{cell['survival']:.1%}" for cell in row))
    return table


def track(motion: Motion, pool: _C.MotionPool, policy: Mapping[str, Any]) -> Cell:
    """The learning curve: 10-s episodes of the deterministic policy on the training references.

    Starts anywhere on the references, with the start noise of training; velocity errors are against
    the reference. Physics and the definition of a fall are those of `evaluation`.
    """
    config = motion.config
    settings = _C.EvaluationSettings()
    apply(settings, {**to_dict(config.evaluation), "seconds": CURVE_S, "episodes": CURVE_EPISODES})
    what = motion.robot, config.env, settings, pool, dict(policy)
    return _C.evaluate_tracking(*what, motion.workers, config.train.seed)


def summary(cells: Sequence[Cell]) -> dict[str, float | None]:
    """The mean of each measure over the cells in which it is known (None if in none)."""
    means: dict[str, float | None] = {}
    for name in MEASURES:
        known = [cell[name] for cell in cells if math.isfinite(cell[name])]
        means[name] = sum(known) / len(known) if known else None
    return means


def known(values: Mapping[str, float | None]) -> dict[str, float]:
    """Without the measures that are not known (nobody stood long enough)."""
    return {name: value for name, value in values.items() if value is not None}


def report(
    policy: str, config: Section, checkpoint: Checkpoint, cells: Sequence[Cell]
) -> dict[str, Any]:
    """The evaluation as it is written to JSON; values that are not known are null."""
    settings = config.evaluation
    return {
        "policy": policy,
        "iteration": checkpoint.iteration,
        "env_steps": checkpoint.env_steps,
        "seconds": settings.seconds,
        "timestep": settings.timestep,
        "decimation": settings.decimation,
        "collision": settings.collision,
        "seed": config.train.seed,
        "cells": [{name: _or_null(value) for name, value in cell.items()} for cell in cells],
        "summary": summary(cells),
    }


def evaluation_table(cells: Sequence[Cell], title: str) -> Table:
    """The cells and their mean, for people."""
    table = Table(title=title, show_footer=True, footer_style="bold", box=box.SIMPLE)
    mean = summary(cells)
    table.add_column("   vx    vy    wz", footer="all", no_wrap=True)
    table.add_column("mean of each", no_wrap=True)
    heads = ("survival", "v RMSE", "1-s RMSE", "yaw 1-s")
    for head, name in zip(heads, MEASURES, strict=True):
        table.add_column(head, justify="right", footer=_number(name, mean[name]), no_wrap=True)
    for cell in cells:
        measures = [_number(name, cell[name]) for name in MEASURES]
        moved = [_velocity(cell[f"mean_{axis}"]) for axis in ("vx", "vy", "wz")]
        asked = [_velocity(cell[axis]) for axis in ("vx", "vy", "wz")]
        table.add_row(" ".join(asked), " ".join(moved), *measures)
    return table


def _policy_file(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise ValueError(f"there is no policy {path}; give a run folder, a .pt file or 'teacher'")
    candidates = [path / "checkpoints" / LAST, path / "policy.pt"]
    for file in candidates:
        if file.is_file():
            return file
    raise ValueError(f"{path} holds no policy yet ({' or '.join(map(str, candidates))})")


def _or_null(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(name: str, value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.1%}" if name == "survival" else f"{value:.3f}"


def _velocity(value: float) -> str:
    return f"{value:5.2f}" if math.isfinite(value) else "    -"
