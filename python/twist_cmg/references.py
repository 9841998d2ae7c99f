"""Reference motion for a configuration: from the gait library, a CMG, or recorded clips."""

import hashlib
import itertools
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from . import _C, paths
from .checkpoints import Checkpoint, check_contract, load_checkpoint
from .clips import read_clips, rows_of
from .fields import Section
from .motion_set import is_set, open_set
from .motion_sources import find_sources
from .runs import RunFolder
from .schema import MAX_SEED
from .seed_cmg import from_seed, is_seed_layout, read_seed_file

CMG_COPY = "cmg.pt"  # the CMG of a run, beside its configuration
CLIP_LIST = "clips.json"  # the recorded motion of a run, by content

Command = tuple[float, float, float]


@dataclass(frozen=True)
class Motion:
    """What is needed to make reference motion; `cmg_file` only where a CMG is used."""

    robot: _C.Robot
    config: Section
    workers: _C.Workers
    cmg_file: Path | None = None

    def training_pool(self, note: Callable[[str], None], generation: int = 0) -> _C.MotionPool:
        """What the teacher learns to follow; see `training_motion`."""
        return self._pool(self.training_motion(note, generation))

    def training_motion(self, note: Callable[[str], None], generation: int = 0) -> _C.Trajectories:
        """The motion that the teacher learns to follow; remarks about clips go to `note`.

        Generation 0 is the first; with `reference.refresh` others follow, each its own.
        """
        reference = self.config.reference
        if reference.source == "clips":
            return clip_motion(self.robot, reference.clips, note)
        commands, stages = self.config.commands, reference.stages
        if generation < len(stages):
            commands = _C.stage_commands(commands, stages[generation])
        seed = reference.seed + generation
        plan = _C.random_plan(commands, reference.streams, reference.frames, seed)
        return self._generate(training_source(self.config), plan)

    @cached_property
    def exam_pool(self) -> _C.MotionPool:
        """The motion of the learning curve: the same all through a training."""
        reference = self.config.reference
        if reference.source == "clips":
            return self.clip_pool()[1]
        plan = _C.random_plan(self.config.commands, 64, reference.frames, reference.seed + MAX_SEED)
        return self._pool(self._generate(training_source(self.config), plan))

    def clip_pool(self) -> tuple[list[str], _C.MotionPool]:
        """The recorded motion, a stream for each clip, and their names."""
        names, motion = named_clips(self.robot, self.config.reference.clips, lambda _: None)
        return names, self._pool(motion)

    def command_pool(self, commands: Sequence[Command], frames: int) -> _C.MotionPool:
        """Constant commands, one a stream, made by the generator that the evaluation follows."""
        return self.planned_pool(_C.constant_plan(list(commands), frames))

    def planned_pool(self, plan: _C.CommandPlan) -> _C.MotionPool:
        """Commands over time, made by the generator that the evaluation follows."""
        return self._pool(self._generate(evaluation_source(self.config), plan))

    def live(self) -> _C.LiveMotion:
        """Motion for one robot, by the generator that the evaluation follows, made while it walks.

        Commands may change at any time; it runs as far ahead as the policy looks.
        """
        source = evaluation_source(self.config)
        return self._live(source, streams=1, ahead=self.config.env.lookahead + 2)

    def training_live(self, seed: int) -> _C.LiveMotion:
        """Motion for all environments with random commands: `advance` it by the PPO horizon."""
        config = self.config
        ahead = config.ppo.horizon + config.env.lookahead + 2
        live = self._live(training_source(config), config.train.envs, ahead)
        live.draw_commands(config.commands, seed)
        return live

    def _live(self, source: str, streams: int, ahead: int) -> _C.LiveMotion:
        cmg = source == "cmg"
        generator = self._cmg() if cmg else _C.GaitLibrary(self.robot, self.config.gait)
        live = _C.LiveMotion(self.robot, generator, streams, ahead, self.workers)
        if self.config.reference.reflexes:
            live.pool.set_reflexes(self._reflexes)
        return live

    def _pool(self, made: _C.Trajectories) -> _C.MotionPool:
        pool = _C.MotionPool(self.robot, made, self.workers)
        if self.config.reference.reflexes:
            pool.set_reflexes(self._reflexes)
        return pool

    @cached_property
    def _reflexes(self) -> _C.Reflexes:
        return _C.make_reflexes(self.robot, self.config.gait, self.workers)

    def _generate(self, source: str, plan: _C.CommandPlan) -> _C.Trajectories:
        if source == "cmg":
            return _C.generate(self._cmg(), plan, self.workers)
        return gait_motion(self.robot, self.config.gait, plan, self.workers)

    def _cmg(self) -> _C.CmgGenerator:
        file = self.cmg_file or find_cmg(self.config.reference.cmg)
        return _C.CmgGenerator(load_cmg(file, self.robot))


def gait_motion(
    robot: _C.Robot, settings: _C.GaitSettings, plan: _C.CommandPlan, workers: _C.Workers
) -> _C.Trajectories:
    """Motion of the gait library whose ground forces a real sole can give."""
    return _C.generate_balanced(robot, _C.GaitLibrary(robot, settings), plan, workers)


def training_source(config: Section) -> str:
    """The generator, gait or cmg, of the motion to train on, if that is not clips."""
    return "cmg" if config.reference.source.startswith("cmg") else "gait"


def evaluation_source(config: Section) -> str:
    """The generator, gait or cmg, that the evaluation follows; clips cannot be told a command."""
    evaluate = config.reference.evaluate
    return training_source(config) if evaluate == "auto" else evaluate


def needs_cmg(config: Section) -> bool:
    """Whether training or evaluation uses a CMG."""
    return "cmg" in (training_source(config), evaluation_source(config))


def find_cmg(name: str) -> Path:
    """The file of a trained CMG: 'shipped', a checkpoint, or a run folder of `train cmg`."""
    how = "make one with `python -m twist_cmg.train cmg` and name its folder in reference.cmg"
    if name == "shipped":
        file = paths.shipped(CMG_COPY)
        if not file.is_file():
            raise ValueError(f"no CMG is shipped with this installation ({file}); {how}")
        return file
    path = Path(name)
    file = path / CMG_COPY if path.is_dir() else path
    if not file.is_file():
        raise ValueError(f"there is no trained CMG {file}; {how}")
    return file


def load_cmg(file: Path, robot: _C.Robot) -> _C.Cmg:
    """The network of a CMG file; ValueError if it is damaged or was made for other joints.

    A file in the layout of the original system is converted.
    """
    checkpoint = load_cmg_checkpoint(file, robot)
    check_contract(checkpoint, cmg_contract(robot))
    return _C.Cmg.from_state(checkpoint.policy)


def load_cmg_checkpoint(file: Path, robot: _C.Robot) -> Checkpoint:
    """A CMG file of ours, or one in the layout of the original system, converted."""
    try:
        return load_checkpoint(file, "cmg")
    except ValueError:
        values = read_seed_file(file)
        if not is_seed_layout(values):
            raise
        return from_seed(values, robot, str(file))


def cmg_contract(robot: _C.Robot) -> dict[str, list[str]]:
    """What a CMG relies on: the names of the joints, in order."""
    return {"joints": list(robot.joint_names)}


def keep_sources(run: RunFolder, config: Section) -> Path | None:
    """Copies the CMG into a new run folder and notes the clips, so that the run can be repeated."""
    if config.reference.source == "clips":
        files = [source.path for source in find_sources(config.reference.clips)]
        content = {str(file): _digest(file) for file in files}
        run.write(CLIP_LIST, json.dumps(content, indent=2) + "\n")
    if not needs_cmg(config):
        return None
    return Path(shutil.copy(find_cmg(config.reference.cmg), run.path / CMG_COPY))


def kept_sources(folder: Path, config: Section) -> Path | None:
    """The CMG copy of a run, if it has one; ValueError if a clip of the run has changed."""
    listed = folder / CLIP_LIST
    if config.reference.source == "clips" and listed.is_file():
        for name, digest in json.loads(listed.read_text()).items():
            if not Path(name).is_file() or _digest(Path(name)) != digest:
                raise ValueError(f"the clip {name} is gone or has changed since the run began")
    copy = folder / CMG_COPY
    return copy if copy.is_file() else None


def clip_motion(
    robot: _C.Robot, where: Sequence[str], note: Callable[[str], None]
) -> _C.Trajectories:
    """Recorded motion as 50-Hz trajectories; a line to `note` about every clip that was cut.

    A folder made by `data window` is mapped into memory, not loaded.
    """
    return named_clips(robot, where, note)[1]


def named_clips(
    robot: _C.Robot, where: Sequence[str], note: Callable[[str], None]
) -> tuple[list[str], _C.Trajectories]:
    """The same, with a name for each stream."""
    if len(where) == 1 and is_set(Path(where[0])):
        rows, commands, lengths, weights, _ = open_set(Path(where[0]), robot.joint_names)
        motion = _C.Trajectories.mapped(rows, commands, lengths.tolist(), robot.num_joints)
        motion.weights = weights.tolist()
        return [f"stream {i}" for i in range(len(lengths))], motion
    clips, report = read_clips(find_sources(where), robot)
    for line in report:
        note(line)
    return [clip.name for clip in clips], rows_of(clips, robot)


def mixed_motion(parts: Sequence[tuple[_C.Trajectories, float]]) -> _C.Trajectories:
    """Motion of several sources; each gets its share of the frames that are drawn."""
    mixed = _C.Trajectories(0, 0, parts[0][0].joints)
    for motion, share in parts:
        frames = sum(n * w for n, w in zip(motion.lengths, motion.weights, strict=True))
        mixed.append(motion, share / frames)
    return mixed


def command_grid(settings: Section | _C.EvaluationSettings) -> list[Command]:
    """Every combination of the velocities of an evaluation section."""
    return list(itertools.product(settings.vx, settings.vy, settings.wz))


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
