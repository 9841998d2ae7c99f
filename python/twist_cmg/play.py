"""Lets a trained robot walk as you tell it: `python -m twist_cmg.play [POLICY]`.

With a screen, the robot is commanded by keys or a gamepad; --video films a tour of commands. Its
reference walks beside it as a translucent ghost.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from . import _C
from .answers import check_place
from .cli import FAILED, SUCCESS, Parser, run_command
from .config import robot_settings
from .controls import HELP, Controls
from .evaluation import POLICY_NAMES, load_policy, motion_for
from .film import render_film
from .progress import make_console
from .tour import Walk, make_tour, record, verdict, walk_table
from .walker import Walker
from .window import Game, has_screen, play

_KICK, _HARDEST_KICK = 1.0, 10.0  # m/s; the first in the window
_EXAMPLES = """\
  python -m twist_cmg.play
  python -m twist_cmg.play runs/teacher-20260101-1 --video walk.mp4
  python -m twist_cmg.play student --video mine.mp4 --tour "3:0.5,0,0; 4:0.5,0,0.8"
  python -m twist_cmg.play student --video kicked.mp4 --kick 1.2 --seconds 60"""


def main(arguments: Sequence[str]) -> int:
    """Parses the command line and plays; exit code 1 if the robot of a film fell."""
    options = _parser().parse_args(list(arguments))
    _check(options)
    policy = load_policy(options.policy)
    tour = make_tour(options.tour, options.seconds, policy.config.commands)
    if options.video is None and not has_screen():
        raise ValueError("no screen: use --video out.mp4")
    walker = Walker.following(motion_for(policy, _C.Workers(1)), policy.checkpoint.policy)
    model = Path(robot_settings(policy.config.robot).mjcf)
    say = make_console(json=False).print
    if options.video is not None:
        walk = record(walker, tour, options.kick)
        return _film(walk, model, options, say)
    say(HELP, markup=False)
    game = Game(walker, Controls(policy.config.commands), options.kick or _KICK, say)
    play(game, model, with_ghost=not options.no_ghost)
    return SUCCESS


def _film(walk: Walk, model: Path, options: argparse.Namespace, say: Callable[..., None]) -> int:
    say(walk_table(walk))
    say("filming: seconds with a GPU, minutes without one")
    ghosts = None if options.no_ghost else np.array(walk.ghosts)
    film = Path(options.video)
    problem = render_film(model, np.array(walk.poses), film, ghost=ghosts, captions=walk.captions)
    if problem:
        raise RuntimeError(problem)
    say(f"{film}: {verdict(walk)}")
    return FAILED if walk.falls else SUCCESS


def _check(options: argparse.Namespace) -> None:
    """ValueError if options do not fit each other or a film could not be written."""
    if options.kick is not None and not 0 < options.kick <= _HARDEST_KICK:
        raise ValueError(f"--kick must lie in (0, {_HARDEST_KICK:g}] m/s, not be {options.kick:g}")
    if options.video is None:
        for name in ("tour", "seconds"):
            if (value := getattr(options, name)) is not None:
                raise ValueError(f"--{name} {value} is for films: it needs --video out.mp4")
        return
    film = Path(options.video)
    if film.suffix != ".mp4":
        raise ValueError(f"--video {film}: the name of a film must end in .mp4")
    check_place("--video", film)


def _parser() -> Parser:
    parser = Parser("play", __doc__ or "", _EXAMPLES)
    doc = f"{POLICY_NAMES} (student)"
    parser.add_argument("policy", metavar="POLICY", nargs="?", default="student", help=doc)
    parser.add_argument("--video", metavar="FILE", help="film a tour of commands, without a screen")
    parser.add_argument(
        "--tour", metavar="S:VX,VY,WZ;...", help="the tour, in s, m/s, m/s and rad/s"
    )
    parser.add_argument(
        "--seconds", type=float, metavar="S", help="length of the film: the tour is cut or repeated"
    )
    parser.add_argument(
        "--kick",
        type=float,
        metavar="M/S",
        help="kick the robot every 4 s of the film, or so hard in the window (1)",
    )
    parser.add_argument("--no-ghost", action="store_true", help="do not show the reference")
    return parser


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
