"""Policies by name, and the learning curve of one that is being trained."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import _C, paths
from .bundle import CONTRACT, Bundle
from .checkpoints import Checkpoint, check_contract, load_checkpoint, policy_hash
from .config import config_from_dict, load_robot
from .exams import MEASURES, summary
from .fields import Section, to_dict
from .policy_forms import PolicyNet
from .references import Motion, kept_sources
from .runs import LAST
from .strict_yaml import read_yaml
from .trials import Answer, Cell, Columns, Subject, steps, summarise

POLICY_KINDS = ("teacher", "student")
POLICY_NAMES = "a run folder, a bundle, a .pt file, 'student' or 'teacher'"  # for load_policy
CURVE_S = 10.0  # of an episode of the learning curve
CURVE_EPISODES = 64


@dataclass(frozen=True)
class Policy:
    """A trained policy with everything needed to try it."""

    file: Path
    folder: Path  # where the files of its run lie
    config: Section
    checkpoint: Checkpoint


def load_policy(name: str) -> Policy:
    """A policy by run folder, checkpoint file, or "teacher"/"student" for the shipped ones."""
    if (Path(name) / CONTRACT).is_file():
        return _bundled(Path(name))
    file = paths.shipped(f"{name}.pt") if name in POLICY_KINDS else _policy_file(Path(name))
    checkpoint = load_checkpoint(file)
    if checkpoint.kind not in POLICY_KINDS:
        kinds = " or ".join(POLICY_KINDS)
        raise ValueError(f"{file} holds a {checkpoint.kind}, not a {kinds}")
    if not checkpoint.policy:
        raise ValueError(f"{file} holds no policy")
    in_run = file.parent.name == "checkpoints"
    folder = file.parent.parent if in_run else file.parent
    config = config_from_dict(checkpoint.kind, checkpoint.config, str(file))
    return Policy(file, folder, config, checkpoint)


def _bundled(folder: Path) -> Policy:
    """The policy of an exported bundle, which answers its golden observations first."""
    bundle = Bundle(folder)
    contract = bundle.contract
    kind, source = contract["kind"], str(folder / "config.yaml")
    config = config_from_dict(kind, read_yaml(folder / "config.yaml"), source)
    robot, observe = load_robot(config.robot), config.env.observe
    _C.Bundle(str(folder)).check(robot, observe)
    observation = contract["observation"]
    history = observation["history"]
    net = PolicyNet(bundle.tensors, observation["width"], history["frames"], history["width"])
    names = _C.contract(robot, observe)
    checkpoint = Checkpoint(kind, to_dict(config), contract["iteration"], contract=names)
    checkpoint.policy = net.state()
    return Policy(folder / CONTRACT, folder, config, checkpoint)


def motion_for(policy: Policy, workers: _C.Workers) -> Motion:
    """The motion that a policy follows; ValueError if it was made for another robot.

    The CMG of its run is used unless the configuration was changed to name another one.
    """
    robot = load_robot(policy.config.robot)
    check_contract(policy.checkpoint, _C.contract(robot, policy.config.env.observe))
    cmg_file = kept_sources(policy.folder, policy.config)
    if policy.config.reference.cmg != policy.checkpoint.config["reference"].get("cmg", "shipped"):
        cmg_file = None
    return Motion(robot, policy.config, workers, cmg_file)


def track(motion: Motion, policy: Mapping[str, Any]) -> Cell:
    """The learning curve: 10-s episodes of the deterministic policy on the training references.

    Starts anywhere on the references, with the start noise of training; velocity errors are against
    the reference. Physics and the definition of a fall are those of the exams.
    """
    subject = Subject(motion, policy)
    return summarise(tracking_trials(subject, motion.exam_pool, CURVE_EPISODES, CURVE_S))


def tracking_trials(
    subject: Subject, pool: _C.MotionPool, episodes: int, seconds: float
) -> Columns:
    """Trials of `seconds` (s) that begin anywhere on the references.

    On a reference that is too short a trial begins at frame 0 and ends with it.
    """
    draw = np.random.default_rng(subject.motion.config.train.seed)
    lengths, trials = pool.lengths, []
    for _ in range(episodes):
        trial = subject.trial(int(draw.integers(len(lengths))))
        last = lengths[trial.stream] - 1 - steps(seconds)
        trial.frame = int(draw.integers(max(1, last)))
        trials.append(trial)
    return subject.run(pool, trials, seconds)


def known(values: Mapping[str, float | None]) -> dict[str, float]:
    """Without the measures that are not known (nobody stood long enough)."""
    return {n: value for n, value in values.items() if value is not None and math.isfinite(value)}


def report(policy: str, config: Section, checkpoint: Checkpoint) -> Answer:
    """What was examined, and how."""
    settings = config.evaluation
    return {
        "policy": policy,
        "iteration": checkpoint.iteration,
        "env_steps": checkpoint.env_steps,
        "timestep": settings.timestep,
        "decimation": settings.decimation,
        "episodes": settings.episodes,
        "collision": settings.collision,
        "friction": settings.friction,
        "noise": settings.noise,
        "delay": settings.delay,
        "seed": config.train.seed,
        "policy_hash": policy_hash(checkpoint.policy),
    }


def curve_row(cells: Sequence[Cell]) -> dict[str, float]:
    """The last row of a learning curve: the grid."""
    return known(summary(cells))


def curve_point(cell: Cell) -> dict[str, float]:
    """A row of a learning curve on the training references."""
    against = {name: name.replace("velocity_rmse", "reference_rmse") for name in MEASURES}
    against["yaw_rate_rmse_1s"] = "reference_yaw_rmse_1s"
    return known({f"{name}_10s": cell[source] for name, source in against.items()})


def _policy_file(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise ValueError(f"there is no policy {path}; give {POLICY_NAMES}")
    candidates = [path / "checkpoints" / LAST, path / "policy.pt"]
    for file in candidates:
        if file.is_file():
            return file
    raise ValueError(f"{path} holds no policy yet ({' or '.join(map(str, candidates))})")
