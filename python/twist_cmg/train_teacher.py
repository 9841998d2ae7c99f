"""Trains a teacher by PPO, measures it on the command grid and films it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _C
from .checkpoints import Checkpoint, check_contract, save_checkpoint
from .cli import FAILED, SUCCESS
from .config import robot_settings
from .evaluation import (
    FRAMES_PER_S,
    MEASURES,
    Cell,
    evaluate,
    evaluation_table,
    known,
    load_policy,
    report,
    summary,
    track,
)
from .fields import to_dict
from .film import render_film
from .loop import Loop, Metrics
from .progress import Progress
from .references import Command, Motion, keep_sources, kept_sources
from .runs import LAST, RunFolder
from .session import Request, Session, total_iterations

FILM_COMMANDS: list[Command] = [(0.8, 0.0, 0.0), (0.4, 0.0, 0.7), (0.0, 0.3, 0.0), (0.0, 0.0, 0.0)]
_FILM_S = 3  # of each command


def train_teacher(request: Request) -> int:
    """Trains, or continues to train; the exit code."""
    session = Session(request)
    teacher = _build(session)
    with session.begin() as run:
        if session.resumed is None:
            keep_sources(run, session.config)
        done, loop = _iterate(session, teacher, run)
        if not done:
            session.say_how_to_resume(run)
            session.finish(run, run.checkpoints / LAST, {"interrupted": True, **loop.metrics})
            return FAILED
        cells = _measure(session, teacher, run, loop)
        if session.config.train.film:
            _film(session, teacher, run)
        metrics = {**loop.metrics, "evaluation": summary(cells)}
        session.finish(run, run.checkpoints / LAST, metrics)
    return SUCCESS


@dataclass(frozen=True)
class _Teacher:
    motion: Motion
    pool: _C.MotionPool
    ppo: _C.Ppo


def _build(session: Session) -> _Teacher:
    config = session.config
    folder = session.old_folder
    cmg_file = kept_sources(folder, config) if folder is not None else None
    motion = Motion(session.robot, config, session.workers, cmg_file)
    session.say(f"making reference motion ({config.reference.source})")
    pool = motion.training_pool(session.say)
    train = config.train
    env = _C.Env(session.robot, config.env, pool, train.envs, session.workers, train.seed)
    ppo = _C.Ppo(env, config.ppo, train.seed, train.device)
    if session.resumed is not None:
        ppo.load_state(session.resumed.state)
    elif train.start:
        start = load_policy(train.start).checkpoint
        check_contract(start, _C.contract(session.robot))
        ppo.warm_start(start.policy)
    return _Teacher(motion, pool, ppo)


def _iterate(session: Session, teacher: _Teacher, run: RunFolder) -> tuple[bool, Loop]:
    config, ppo = session.config, teacher.ppo
    done = session.resumed.iteration if session.resumed else 0
    steps = session.resumed.env_steps if session.resumed else 0

    def snapshot(iteration: int, metrics: Metrics) -> Checkpoint:
        env_steps = int(metrics.get("env_steps", steps))
        state, policy = ppo.state(), ppo.policy_state()
        contract = _C.contract(session.robot)
        return Checkpoint("teacher", to_dict(config), iteration, env_steps, state, policy, contract)

    def measure() -> Metrics:
        cell = track(teacher.motion, teacher.pool, ppo.policy_state())
        return {f"{name}_10s": cell[name] for name in MEASURES}

    total = total_iterations(config)
    with Progress(session.console, "teacher", total, done) as progress:
        loop = Loop(run, config.train, total, progress, ppo.iterate, snapshot, measure, done)
        return loop.iterate(), loop


def _measure(session: Session, teacher: _Teacher, run: RunFolder, loop: Loop) -> list[Cell]:
    """The final evaluation: table, evaluation.json, last row of the learning curve, policy.pt."""
    session.say("evaluating on the command grid")
    checkpoint = run.last("teacher")
    cells = evaluate(teacher.motion, checkpoint.policy)
    run.log("evaluation", loop.iteration, known(summary(cells)))
    answer = report(str(run.path), session.config, checkpoint, cells)
    run.write("evaluation.json", json.dumps(answer, indent=2) + "\n")
    checkpoint.state = {}
    save_checkpoint(checkpoint, run.path / "policy.pt")
    seconds = session.config.evaluation.seconds
    title = f"{cells[0]['episodes']:.0f} episodes of {seconds:g} s for each command"
    session.console.print(evaluation_table(cells, title))
    return cells


def _film(session: Session, teacher: _Teacher, run: RunFolder) -> None:
    """film.mp4 and film.png in the run folder, or a sentence about why not."""
    film, still = run.path / "film.mp4", run.path / "film.png"
    qpos = film_motion(teacher.motion, teacher.ppo.policy_state())
    model = Path(robot_settings(session.config.robot).mjcf)
    problem = render_film(model, qpos, film, still)
    session.say(problem or f"film: {film}")


def film_motion(motion: Motion, policy: Mapping[str, Any]) -> NDArray[np.float64]:
    """The robot under a few commands, one after the other: (frames, nq) at 50 Hz."""
    config = motion.config
    frames = int((config.evaluation.seconds + 2) * FRAMES_PER_S)
    pool = motion.command_pool(FILM_COMMANDS, max(frames, (_FILM_S + 2) * FRAMES_PER_S))
    what = motion.robot, config.env, config.evaluation, pool, dict(policy)
    episodes = [
        _C.record_episode(*what, stream, config.train.seed) for stream in range(len(FILM_COMMANDS))
    ]
    return np.concatenate([episode[: _FILM_S * FRAMES_PER_S] for episode in episodes])
