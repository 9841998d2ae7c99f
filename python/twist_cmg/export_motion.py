"""Writes generated motion: `python -m twist_cmg.export motion`."""

import math
from collections.abc import Sequence
from pathlib import Path

from . import _C
from .checkpoints import write_aside
from .cli import SUCCESS, Parser
from .config import load_robot
from .motion_out import FPS, LIST_NAME, Recording, as_npz, as_pickle, data_set
from .progress import make_console
from .references import Command, find_cmg, gait_motion, load_cmg
from .strict_yaml import dump_yaml

_EXAMPLES = """\
  python -m twist_cmg.export motion --command 0.5 0 0 --out walks
  python -m twist_cmg.export motion --command 0.5 0 0 --command 0 0 0.8 --seconds 20 --out walks
  python -m twist_cmg.export motion --command 0.3 0.2 0 --format pkl --source gait --out twist"""

_WRITERS = {"npz": as_npz, "pkl": as_pickle}
_SECONDS = (1.0, 3600.0)


def main(arguments: Sequence[str]) -> int:
    """Parses the command line, generates, and writes one file a command and a list of them."""
    options = _parser().parse_args(list(arguments))
    if options.source == "gait" and options.cmg is not None:
        raise ValueError("--cmg is not valid with --source gait, which has no network")
    if not _SECONDS[0] <= options.seconds <= _SECONDS[1]:
        raise ValueError(f"--seconds must lie in [1, 3600], not be {options.seconds:g}")
    commands = [_command(given) for given in options.command]
    names = [_file_name(i, command, options.format) for i, command in enumerate(commands)]
    folder = Path(options.out)
    _check_free(folder, [*names, LIST_NAME], options.force)

    robot = load_robot(options.robot)
    made = _generate(robot, options.source, options.cmg or "shipped", commands, options.seconds)
    recordings = {
        name: Recording(robot, made, stream, _description(options.source, commands[stream]))
        for stream, name in enumerate(names)
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, recording in recordings.items():
        write_aside(folder / name, _WRITERS[options.format](recording))
    write_aside(folder / LIST_NAME, dump_yaml(data_set(folder, recordings)).encode())
    console = make_console(json=False)
    console.print(
        f"{len(names)} motions of {options.seconds:g} s in {folder}, listed in {LIST_NAME}"
    )
    return SUCCESS


def _generate(
    robot: _C.Robot, source: str, cmg: str, commands: Sequence[Command], seconds: float
) -> _C.Trajectories:
    plan = _C.constant_plan(list(commands), round(seconds * FPS))
    workers = _C.Workers()
    if source == "gait":
        return gait_motion(robot, _C.GaitSettings(), plan, workers)
    return _C.generate(_C.CmgGenerator(load_cmg(find_cmg(cmg), robot)), plan, workers)


def _command(given: Sequence[float]) -> Command:
    """ValueError unless the command is one that the shipped motion was measured for."""
    supported = _C.CommandSet()
    for name, value in zip(("vx", "vy", "wz"), given, strict=True):
        low, high = getattr(supported, name)
        if not (math.isfinite(value) and low <= value <= high):
            raise ValueError(f"--command: {name} must lie in [{low:g}, {high:g}], not be {value:g}")
    vx, vy, wz = given
    if not _C.supports(_C.CommandSettings(), (vx, vy, wz)):
        raise ValueError(
            f"--command {vx:g} {vy:g} {wz:g}: vy and wz must be smaller at that vx; they shrink to "
            f"zero from {supported.fast_from:g} to {supported.vx[1]:g} m/s"
        )
    return vx, vy, wz


def _file_name(index: int, command: Command, suffix: str) -> str:
    return f"{index:03d}_" + "_".join(f"{value:g}" for value in command) + f".{suffix}"


def _description(source: str, command: Command) -> str:
    vx, vy, wz = command
    return f"{source}: from standing to vx {vx:g} m/s, vy {vy:g} m/s, yaw rate {wz:g} rad/s"


def _check_free(folder: Path, names: Sequence[str], force: bool) -> None:
    """ValueError if something would be overwritten, before any work is done."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out {folder} is a file; give a folder")
    for name in names:
        if (folder / name).exists() and not force:
            raise ValueError(f"{folder / name} exists already; --force overwrites it")


def _parser() -> Parser:
    parser = Parser("export motion", __doc__ or "", _EXAMPLES)
    parser.add_argument(
        "--command",
        nargs=3,
        type=float,
        action="append",
        required=True,
        metavar=("VX", "VY", "WZ"),
        help="m/s, m/s, rad/s, held after a start from standing; may be given several times",
    )
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="of each (10)")
    parser.add_argument("--source", choices=("cmg", "gait"), default="cmg", help="default: cmg")
    parser.add_argument("--cmg", metavar="F", help="checkpoint or run folder (default: shipped)")
    parser.add_argument(
        "--format", choices=tuple(_WRITERS), default="npz", help="pkl is for TWIST (default: npz)"
    )
    parser.add_argument("--robot", default="g1_29dof", metavar="R", help="default: g1_29dof")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the files")
    parser.add_argument("--force", action="store_true", help="overwrite files that exist")
    return parser
