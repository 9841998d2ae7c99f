"""Trains a teacher, or a student of it, by PPO; measures it on the command grid and films it."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import _C
from .answers import tidy
from .checkpoints import Checkpoint, check_contract, save_checkpoint
from .cli import FAILED, SUCCESS
from .config import robot_settings
from .config_checks import check_policy, makes_generations
from .evaluation import Policy, curve_point, curve_row, load_policy, report, track
from .exam_tables import grid_table
from .exams import exam_grid, summary
from .fields import Section, to_dict
from .film import render_film
from .loop import Loop, Metrics
from .progress import Progress
from .references import Motion, keep_sources, kept_sources
from .runs import LAST, RunFolder
from .session import Request, Session, total_iterations
from .tour import make_tour, record, verdict
from .trials import Cell, Subject
from .walker import Walker

TEACHER_COPY = "teacher.pt"  # whom a student imitates, in its run folder
_FILM_S = 14  # stands, walks, walks fast, turns


def train_policy(request: Request) -> int:
    """Trains, or continues to train; the exit code."""
    session = Session(request)
    learner = _build(session)
    with session.begin() as run:
        if session.resumed is None:
            keep_sources(run, session.config)
            if learner.teacher:
                shutil.copy(learner.teacher.file, run.path / TEACHER_COPY)
        done, loop = _iterate(session, learner, run)
        if not done:
            session.say_how_to_resume(run)
            session.finish(run, run.checkpoints / LAST, {"interrupted": True, **loop.metrics})
            return FAILED
        cells = _measure(session, learner, run, loop)
        if session.config.train.film:
            _film(session, learner, run)
        metrics = {**loop.metrics, "evaluation": summary(cells)}
        session.finish(run, run.checkpoints / LAST, metrics)
    return SUCCESS


@dataclass
class _Learner:
    teacher: Policy | None  # of a student
    motion: Motion
    live: _C.LiveMotion | None  # with reference.source = cmg_online
    env: _C.Env
    ppo: _C.Ppo


def _build(session: Session) -> _Learner:
    config, train = session.config, session.config.train
    check_policy(config, session.request.kind)
    start, teacher = _start_policy(session), _teacher(session)
    folder = session.old_folder
    cmg_file = kept_sources(folder, config) if folder is not None else None
    motion = Motion(session.robot, config, session.workers, cmg_file)
    session.say(f"making reference motion ({config.reference.source})")
    done, live = session.resumed.iteration if session.resumed else 0, None
    if config.reference.source == "cmg_online":
        live = motion.training_live(train.seed + done)
    generation = _generation(config, max(0, done - 1))
    pool = live.pool if live else motion.training_pool(session.say, generation)
    env = _C.Env(session.robot, config.env, pool, train.envs, session.workers, train.seed)
    imitated = teacher and _C.Teacher(teacher.checkpoint.policy, teacher.config.env, env)
    ppo = _C.Ppo(env, config.ppo, train.seed, train.device, imitated)
    if session.resumed is not None:
        ppo.load_state(session.resumed.state)
    elif start is not None:
        _warm_start(ppo, start, train.start)
    return _Learner(teacher, motion, live, env, ppo)


def _start_policy(session: Session) -> Checkpoint | None:
    """What a new training starts from, if anything; ValueError if it is for another robot."""
    name = session.config.train.start
    if not name or session.resumed is not None:
        return None
    start = load_policy(name).checkpoint
    check_contract(start, _C.contract(session.robot, session.config.env.observe))
    return start


def _teacher(session: Session) -> Policy | None:
    """Whom a student imitates; ValueError if it is not a teacher of this robot."""
    if session.request.kind != "student":
        return None
    folder = session.old_folder
    teacher = load_policy(str(folder / TEACHER_COPY) if folder else session.config.train.teacher)
    if teacher.checkpoint.kind != "teacher":
        raise ValueError(f"train.teacher: {teacher.file} holds a {teacher.checkpoint.kind}")
    check_contract(teacher.checkpoint, _C.contract(session.robot))
    return teacher


def _warm_start(ppo: _C.Ppo, start: Checkpoint, name: str) -> None:
    try:
        ppo.warm_start(start.policy)
    except ValueError as error:
        raise ValueError(f"train.start {name} has another ppo.network: {error}") from error


def _generation(config: Section, iteration: int) -> int:
    """Which motion an iteration learns from: the first, or one made later."""
    refresh = config.reference.refresh
    return iteration // refresh if refresh and makes_generations(config) else 0


def _renew_motion(session: Session, learner: _Learner, iteration: int, first: bool) -> None:
    """Before an iteration: live motion goes on, or a new generation of motion begins."""
    config = session.config
    if learner.live:
        if not first:
            learner.live.advance(config.ppo.horizon)
        return
    generation = _generation(config, iteration)
    if generation > _generation(config, max(0, iteration - 1)):
        learner.env.set_pool(learner.motion.training_pool(session.say, generation))


def _iterate(session: Session, learner: _Learner, run: RunFolder) -> tuple[bool, Loop]:
    config, ppo = session.config, learner.ppo
    done = session.resumed.iteration if session.resumed else 0
    steps = session.resumed.env_steps if session.resumed else 0

    def step() -> Metrics:
        _renew_motion(session, learner, loop.iteration, first=loop.iteration == done)
        return ppo.iterate()

    def snapshot(iteration: int, metrics: Metrics) -> Checkpoint:
        env_steps = int(metrics.get("env_steps", steps))
        state, policy = ppo.state(), ppo.policy_state()
        contract, kind = _C.contract(session.robot, config.env.observe), session.request.kind
        return Checkpoint(kind, to_dict(config), iteration, env_steps, state, policy, contract)

    def measure() -> Metrics:
        return curve_point(track(learner.motion, ppo.policy_state()))

    total = total_iterations(config)
    with Progress(session.console, session.request.kind, total, done) as progress:
        loop = Loop(run, config.train, total, progress, step, snapshot, measure, done)
        return loop.iterate(), loop


def _measure(session: Session, learner: _Learner, run: RunFolder, loop: Loop) -> list[Cell]:
    """The final evaluation: table, evaluation.json, last row of the learning curve, policy.pt."""
    session.say("evaluating on the command grid")
    checkpoint = run.last(session.request.kind)
    subject = Subject(learner.motion, checkpoint.policy)
    grid = exam_grid(subject, session.config.evaluation.episodes)
    cells = grid["cells"]
    run.log("evaluation", loop.iteration, curve_row(cells))
    answer = report(str(run.path), session.config, checkpoint) | {"grid": grid}
    run.write("evaluation.json", json.dumps(tidy(answer), indent=2) + "\n")
    checkpoint.state = {}
    save_checkpoint(checkpoint, run.path / "policy.pt")
    seconds = session.config.evaluation.seconds
    title = f"{cells[0]['episodes']:.0f} episodes of {seconds:g} s for each command"
    session.console.print(grid_table(cells, title))
    return cells


def _film(session: Session, learner: _Learner, run: RunFolder) -> None:
    """film.mp4 and film.png of a short tour in the run folder, or a sentence about why not."""
    made = run.path / "film.mp4", run.path / "film.png"
    walker = Walker.following(learner.motion, learner.ppo.policy_state())
    walk = record(walker, make_tour(None, _FILM_S, session.config.commands))
    model = Path(robot_settings(session.config.robot).mjcf)
    ghosts = np.array(walk.ghosts)
    problem = render_film(model, np.array(walk.poses), *made, ghost=ghosts, captions=walk.captions)
    session.say(problem or f"film: {made[0]}: {verdict(walk)}")
