"""Trains the motion generator (CMG) and measures how well it obeys when it runs freely."""

import json
from pathlib import Path

from . import _C
from .checkpoints import Checkpoint, save_checkpoint
from .cli import FAILED, SUCCESS
from .cmg_exam import Exam, exam_table
from .fields import Section, to_dict
from .loop import Loop, Metrics
from .progress import Progress
from .references import CMG_COPY, clip_motion, cmg_contract, command_grid, gait_motion
from .runs import LAST, RunFolder
from .session import Request, Session, total_iterations

Cell = dict[str, float]


def train_cmg(request: Request) -> int:
    """Trains, or continues to train; the exit code."""
    session = Session(request)
    _exam(session)  # says what is wrong with it before the training, not after
    trainer = _build(session)
    with session.begin() as run:
        done, loop = _iterate(session, trainer, run)
        if not done:
            session.say_how_to_resume(run)
            session.finish(run, run.checkpoints / LAST, {"interrupted": True, **loop.metrics})
            return FAILED
        held_out = _held_out(trainer)
        cells = []
        if session.config.cmg.profile == "full":
            cells = free_running(trainer.model(), session)
            session.console.print(exam_table({"cells": cells}, "free running, each command"))
        answer = {"held_out": held_out, "cells": cells}
        run.write("evaluation.json", json.dumps(answer, indent=2) + "\n")
        file = _save_model(session, trainer, run, loop)
        session.say(f"trained CMG: {file}")
        metrics = {**loop.metrics, **held_out, "cmg": str(file)}
        if cells:
            metrics["worst_velocity_error"] = max(cell["velocity_error"] for cell in cells)
        session.finish(run, run.checkpoints / LAST, metrics)
    return SUCCESS


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
    data = config.data
    if data.source == "clips":
        return clip_motion(session.robot, data.clips, session.say)
    plan = _C.random_plan(config.commands, data.streams, data.frames, data.seed)
    return gait_motion(session.robot, config.gait, plan, session.workers)


def _iterate(session: Session, trainer: _C.CmgTrainer, run: RunFolder) -> tuple[bool, Loop]:
    config = session.config
    done = session.resumed.iteration if session.resumed else 0

    contract = cmg_contract(session.robot)

    def snapshot(iteration: int, metrics: Metrics) -> Checkpoint:
        state, model = trainer.state(), trainer.model().state()
        return Checkpoint("cmg", to_dict(config), iteration, 0, state, model, contract)

    def held_out() -> Metrics:
        return _held_out(trainer)

    total = total_iterations(config)
    with Progress(session.console, "cmg", total, done) as progress:
        loop = Loop(run, config.train, total, progress, trainer.update, snapshot, held_out, done)
        return loop.iterate(), loop


def _held_out(trainer: _C.CmgTrainer) -> Metrics:
    """Errors on motion that was kept back, by the number of frames run freely."""
    return {f"held_out/{horizon}": error for horizon, error in trainer.held_out().items()}


def _save_model(session: Session, trainer: _C.CmgTrainer, run: RunFolder, loop: Loop) -> Path:
    """cmg.pt: the trained network alone."""
    model = trainer.model().state()
    config, contract = to_dict(session.config), cmg_contract(session.robot)
    checkpoint = Checkpoint("cmg", config, loop.iteration, policy=model, contract=contract)
    file = run.path / CMG_COPY
    save_checkpoint(checkpoint, file)
    return file
