"""What a configuration contains: C++ settings structs and the few sections that Python reads."""

from . import _C
from .fields import Field, Section


def teacher_schema() -> Section:
    """Everything `train teacher` can be told, with its default values."""
    return _policy_schema(_policy_run())


def student_schema() -> Section:
    """Everything `train student` can be told, with its default values."""
    doc = "who is imitated: a run folder, .pt file or 'teacher', the shipped one"
    schema = _policy_schema([Field("teacher", "str", "teacher", doc), *_policy_run()])
    schema.env.observe.kind = "student"
    return schema


def _policy_schema(run: list[Field]) -> Section:
    return Section(
        Field("robot", "str", "g1_29dof", "name of a shipped robot, or path of its YAML file"),
        _part("reference", _reference(), "where the reference motion comes from"),
        _part("commands", _C.CommandSettings(), "the velocity commands"),
        _part("gait", _C.GaitSettings(), "the gait library"),
        _part("env", _C.EnvSettings(), "the simulated environment"),
        _part("ppo", _C.PpoSettings(), "the learner"),
        _part("train", Section(*run), "the run"),
        _part("evaluation", _C.EvaluationSettings(), "the command grid"),
    )


def cmg_schema() -> Section:
    """Everything `train cmg` can be told, with its default values."""
    return Section(
        Field("robot", "str", "g1_29dof", "name of a shipped robot, or path of its YAML file"),
        _part("commands", _C.CommandSettings(), "the velocity commands"),
        _part("gait", _C.GaitSettings(), "the gait library"),
        _part("data", _cmg_data(), "the motion to learn from"),
        _part("windows", _C.CmgDataSettings(), "how windows are drawn from the motion"),
        _part("cmg", _C.CmgSettings(), "the network"),
        _part("cmg_train", _C.CmgTrainSettings(), "the optimisation"),
        _part("train", Section(_cmg_total(), *_run()), "the run"),
        _part("evaluation", _free_running(), "the free-running check at the end"),
    )


# the gait library and a CMG ahead of time, a CMG while the robots walk, recorded motion
REFERENCE_SOURCES = ("gait", "cmg_pool", "cmg_online", "clips")
SCHEMAS = {"teacher": teacher_schema, "student": student_schema, "cmg": cmg_schema}
MAX_SEED = 2**31 - 1


def _part(name: str, settings: object, doc: str) -> Field:
    return Field(name, "settings", settings, doc)


def _motion(source: str, sources: tuple[str, ...], *more: Field) -> Section:
    return Section(
        Field("source", "str", source, "what makes the motion", choices=sources),
        *more,
        Field(
            "clips",
            "list[str]",
            [],
            "recorded motion: a folder, files, lists, or a set of `data window`",
            single=True,
        ),
        Field("streams", "int", 512, "independent sequences of motion", 1, 1_000_000),
        Field("frames", "int", 1000, "length of each at 50 Hz", 100, 1_000_000),
        Field("seed", "int", 1, "seed of the commands", 0, MAX_SEED),
    )


def _cmg_data() -> Section:
    doc = "with source both: share of the frames drawn that are recorded"
    share = Field("clips_share", "float", 0.5, doc, 0, 1)
    return _motion("gait", ("gait", "clips", "both"), share)


def _reference() -> Section:
    cmg = Field("cmg", "str", "shipped", "'shipped', or the path of a trained CMG or its run")
    grid = ("auto", "gait", "cmg")
    doc = "what the evaluation follows; auto: the source's generator, gait for clips"
    evaluate = Field("evaluate", "str", "auto", doc, choices=grid)
    doc = "iterations after which gait and cmg_pool make new motion; 0: never"
    refresh = Field("refresh", "int", 0, doc, 0, 10_000_000)
    doc = "command presets that are walked one after the other (refresh iterations each) at first"
    stages = Field("stages", "list[str]", [], doc, single=True)
    doc = "a robot that is pushed gets a reference that steps as it moves"
    reflexes = Field("reflexes", "bool", True, doc)
    return _motion("gait", REFERENCE_SOURCES, cmg, evaluate, refresh, stages, reflexes)


def _policy_run() -> list[Field]:
    return [
        Field("iterations", "int", 1000, "iterations in all", 1, 10_000_000),
        Field("seed", "int", 1, "seed of everything random in the run", 0, MAX_SEED),
        Field("envs", "int", 512, "environments simulated side by side", 1, 1_000_000),
        Field("film", "bool", True, "film the robot at the end"),
        Field("start", "str", "", "a policy to start from: run folder, .pt file or 'teacher'"),
        *_run(),
    ]


def _cmg_total() -> Field:
    doc = "iterations in all; 0: as many as cmg_train.iterations, the length of its schedule"
    return Field("iterations", "int", 0, doc, 0, 10_000_000)


def _run() -> list[Field]:
    return [
        Field("threads", "int", 0, "worker threads; 0: one for each usable core", 0, 1024),
        Field("device", "str", "cpu", "where the networks learn", choices=("cpu", "cuda")),
        Field("checkpoint_every", "int", 100, "iterations between checkpoints", 1, 10_000_000),
        Field("evaluate_every", "int", 0, "iterations between evaluations; 0: only at the end", 0),
        Field("keep", "int", 3, "numbered checkpoints kept; 0: all", 0, 10_000_000),
    ]


def _free_running() -> Section:
    return Section(
        Field("vx", "list[float]", [-0.5, 0.0, 0.5, 1.0], "forward velocities in m/s", -5, 5),
        Field("vy", "list[float]", [0.0, 0.3], "lateral velocities in m/s", -5, 5),
        Field("wz", "list[float]", [0.0, 0.8], "yaw rates in rad/s", -5, 5),
        Field("seconds", "float", 20.0, "length of each roll-out", 4, 3600),
    )
