"""Trains the motion generator (CMG) and measures how well it obeys when it runs freely."""

import json
import math

import torch
from rich import box
from rich.table import Table

from . import _C
from .checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from .cli import FAILED, SUCCESS
from .cmg_calibrate import calibrate
from .cmg_exam import Exam, exam_table
from .fields import Section, to_dict
from .loop import Loop, Metrics
from .progress import Progress
from .references import (
    CMG_COPY,
    clip_motion,
    cmg_contract,
    command_grid,
    gait_motion,
    load_cmg,
    mixed_motion,
)
from .runs import LAST, RunFolder
from .session import Request, Session, total_iterations

Cell = dict[str, float]
HORIZONS = (1, 10, 50, 200)  # frames
JUDGED_HORIZON = 50


def train_cmg(request: Request) -> int:
    """Trains, or continues to train; the exit code."""
    session = Session(request)
    _exam(session)  # says what is wrong with it before the training, not after
    trainer = _build(session)
    with session.begin() as run:
        best = Best(session, trainer, run)
        done, loop = _iterate(session, trainer, run, best)
        if not done:
            session.say_how_to_resume(run)
            session.finish(run, run.checkpoints / LAST, {"interrupted": True, **loop.metrics})
            return FAILED
        best.look()
        compared = _compared(trainer)
        session.console.print(_held_out_table(compared))
        cells = []
        if session.config.cmg.profile == "full":
            best.calibrate(session.workers)
            cells = free_running(load_cmg(best.file, session.robot), session)
            session.console.print(exam_table({"cells": cells}, "free running, each command"))
        answer = {"held_out": compared, "cells": cells, "best_iteration": best.iteration}
        run.write("evaluation.json", json.dumps(answer, indent=2) + "\n")
        session.say(f"trained CMG, best after {best.iteration} iterations: {best.file}")
        metrics = {**loop.metrics, "cmg": str(best.file), "best_iteration": best.iteration}
        if cells:
            metrics["worst_velocity_error"] = max(cell["velocity_error"] for cell in cells)
        session.finish(run, run.checkpoints / LAST, metrics)
    return SUCCESS


class Best:
    """Keeps cmg.pt of a run at the network with the least free-running error so far."""

    def __init__(self, session: Session, trainer: _C.CmgTrainer, run: RunFolder) -> None:
        self.file = run.path / CMG_COPY
        self.iteration = 0
        self._error = math.inf
        self._config, self._robot, self._trainer = session.config, session.robot, trainer
        if session.resumed is not None and self.file.is_file():
            kept = load_checkpoint(self.file, "cmg")
            if kept.iteration <= session.resumed.iteration:
                self.iteration, self._error = kept.iteration, float(kept.state["error"])

    def look(self) -> Metrics:
        """Measures on motion that was kept back; saves the network if it is the best."""
        errors = (
            self._trainer.held_out(_horizons(self._trainer)) if _horizons(self._trainer) else {}
        )
        # the longest horizon that is still about the gait and not about its phase
        error = errors.get(JUDGED_HORIZON, min(errors.values(), default=-self._trainer.iteration))
        if error < self._error:
            self._error, self.iteration = error, self._trainer.iteration
            self._save(self._trainer.model().state())
        return {f"held_out/{horizon}": value for horizon, value in errors.items()}

    def calibrate(self, workers: _C.Workers) -> None:
        """Adds to cmg.pt what makes mean velocities true."""
        kept = load_checkpoint(self.file, "cmg").policy
        self._save(calibrate(kept, self._robot, self._config.commands, workers))

    def _save(self, model: dict[str, torch.Tensor]) -> None:
        """cmg.pt: the network alone, and the error it was chosen by."""
        config, contract = to_dict(self._config), cmg_contract(self._robot)
        state = {"error": torch.tensor(self._error)}
        checkpoint = Checkpoint("cmg", config, self.iteration, 0, state, model, contract)
        save_checkpoint(checkpoint, self.file)


def free_running(cmg: _C.Cmg, session: Session) -> list[Cell]:
    """How well the motion obeys each command of `evaluation` that lies in the set walked."""
    settings, commands = session.config.evaluation, session.config.commands
    grid = [c for c in command_grid(settings) if _C.supports(commands, c)]
    return _exam(session).cells(_C.CmgGenerator(cmg), grid)


def _exam(session: Session) -> Exam:
    config = session.config
    return Exam(session.robot, config.commands, session.workers, config.evaluation.seconds)


def _build(session: Session) -> _C.CmgTrainer:
    config, robot, workers = session.config, session.robot, session.workers
    session.say(f"making motion to learn from ({config.data.source})")
    motion = _motion(config, session)
    trainer = _C.CmgTrainer(
        config.cmg, config.cmg_train, config.windows, motion, robot, workers, config.train.device
    )
    if session.resumed is not None:
        trainer.load_state(session.resumed.state)
    return trainer


def _motion(config: Section, session: Session) -> _C.Trajectories:
    data, robot = config.data, session.robot
    parts = []
    if data.source in ("gait", "both"):
        plan = _C.random_plan(config.commands, data.streams, data.frames, data.seed)
        library = gait_motion(robot, config.gait, plan, session.workers)
        parts.append((library, 1 - data.clips_share if data.source == "both" else 1.0))
    if data.source in ("clips", "both"):
        recorded = clip_motion(robot, data.clips, session.say)
        parts.append((recorded, data.clips_share if data.source == "both" else 1.0))
    return mixed_motion(parts)


def _iterate(
    session: Session, trainer: _C.CmgTrainer, run: RunFolder, best: Best
) -> tuple[bool, Loop]:
    config = session.config
    done = session.resumed.iteration if session.resumed else 0

    contract = cmg_contract(session.robot)

    def snapshot(iteration: int, metrics: Metrics) -> Checkpoint:
        state, model = trainer.state(), trainer.model().state()
        return Checkpoint("cmg", to_dict(config), iteration, 0, state, model, contract)

    total = total_iterations(config)
    with Progress(session.console, "cmg", total, done) as progress:
        loop = Loop(run, config.train, total, progress, trainer.update, snapshot, best.look, done)
        return loop.iterate(), loop


def _horizons(trainer: _C.CmgTrainer) -> list[int]:
    return [horizon for horizon in HORIZONS if horizon <= trainer.longest_horizon]


def _compared(trainer: _C.CmgTrainer) -> dict[str, dict[int, float]]:
    """The same beside trivial guesses: hold the pose, repeat the last cycle."""
    horizons = _horizons(trainer)
    if not horizons:
        return {}
    return {how: trainer.held_out(horizons, how) for how in ("model", "hold", "repeat")}


def _held_out_table(compared: dict[str, dict[int, float]]) -> Table:
    title = "held out: mean square error after free running, in variances"
    table = Table("frames", *compared, title=title, box=box.SIMPLE)
    for horizon in compared.get("model", ()):
        errors = (f"{of[horizon]:.4f}" for of in compared.values())
        table.add_row(str(horizon), *errors)
    return table
