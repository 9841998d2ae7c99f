"""What the data commands share: naming motion, reading it one clip after the other, JSON."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from . import _C
from .cli import Parser
from .config import load_robot
from .importers import FORMATS, ReadOptions, read_motion
from .joint_names import ORDERS
from .motion_file import FPS_RANGE, Clip
from .motion_sources import Source, find_sources
from .progress import Progress

WHERE = """\
Motion is named by files, folders (all motion in them and their folders) and YAML lists in the form
of TWIST (root_path, motions: file, weight, description). Formats: our motion files, TWIST, TWIST2
and GMR pickles, AMASS for the G1, LAFAN1 CSV, BeyondMimic and mjlab NPZ."""


def add_reading_options(parser: Parser) -> None:
    """The options that say which motion, for which robot, and what files do not say themselves."""
    parser.add_argument("where", nargs="+", metavar="MOTION", help="file, folder or YAML list")
    parser.add_argument(
        "--robot", default="g1_29dof", metavar="R", help="name or YAML file (g1_29dof)"
    )
    parser.add_argument(
        "--format", choices=FORMATS, default="auto", help="of all files (default: by what is in it)"
    )
    parser.add_argument(
        "--joints",
        choices=tuple(ORDERS),
        help="order of joints without names: limb after limb, or breadth first as in Isaac Lab",
    )
    parser.add_argument(
        "--fps", type=_rate, metavar="N", help="frames a second, whatever the files say"
    )
    parser.add_argument(
        "--skip-broken", action="store_true", help="leave files out that cannot be read, and say so"
    )


@dataclass
class Reading:
    """Motion that a command line names; `robot` and `sources` are found at once."""

    options: argparse.Namespace
    robot: _C.Robot = field(init=False)
    sources: list[Source] = field(init=False)
    broken: list[tuple[Source, str]] = field(default_factory=list)  # files, and what is wrong

    def __post_init__(self) -> None:
        self.robot = load_robot(self.options.robot)
        self.sources = find_sources(self.options.where)

    def clips(self, progress: Progress) -> Iterator[tuple[Source, Clip]]:
        """Reads one clip after the other; ValueError at the first broken one, or it is noted."""
        given = self.options
        how = ReadOptions(given.format, given.joints, given.fps, getattr(given, "licence", ""))
        for done, source in enumerate(self.sources, start=1):
            try:
                clip = read_motion(source, self.robot, how)
            except ValueError as error:
                if not given.skip_broken:
                    raise
                self.broken.append((source, str(error)))
                progress.note(f"left out: {error}")
            else:
                yield source, clip
            progress.update(done, {})


def target_files(sources: list[Source], out: Path, force: bool) -> list[Path]:
    """Where the motion file of each source goes; ValueError if something stands there."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} must be a folder")
    targets: dict[Path, Source] = {}
    for source in sources:
        target = out / f"{source.name}.npz"
        if target in targets:
            both = f"{targets[target].path} and {source.path}"
            raise ValueError(f"{both} would both become {target}: name them differently")
        if target.exists() and not force:
            raise ValueError(f"there is a file {target} already: --force replaces it")
        targets[target] = source
    return list(targets)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not FPS_RANGE[0] <= rate <= FPS_RANGE[1]:
        low, high = FPS_RANGE
        raise argparse.ArgumentTypeError(f"{text!r} is not a rate from {low:g} to {high:g}")
    return rate
