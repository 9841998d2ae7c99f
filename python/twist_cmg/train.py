"""Trains the motion generator, the teacher or the student of it.

`python -m twist_cmg.train cmg|teacher|student`
"""

import argparse
import sys
from collections.abc import Sequence

from .cli import Parser, positive, run_command
from .session import Request
from .train_cmg import train_cmg
from .train_policy import train_policy

_EXAMPLES = """\
  python -m twist_cmg.train teacher
  python -m twist_cmg.train teacher --config smoke --out /tmp/first
  python -m twist_cmg.train teacher reference.source=clips reference.clips=my_recordings
  python -m twist_cmg.train teacher --envs 1024 ppo.gamma=0.98 --json
  python -m twist_cmg.train teacher --resume runs/teacher-20260101-1 --iterations 2000
  python -m twist_cmg.train student --teacher runs/teacher-20260101-1
  python -m twist_cmg.train cmg --out runs/cmg"""

# flag -> the setting it writes; a CMG's settings know their iterations and seed themselves
_POLICY = {"iterations": "train.iterations", "seed": "train.seed", "envs": "train.envs"}
_FLAGS = {
    "teacher": _POLICY,
    "student": {**_POLICY, "teacher": "train.teacher"},
    "cmg": {"iterations": "cmg_train.iterations", "seed": "cmg_train.seed"},
}


def main(arguments: Sequence[str]) -> int:
    """Parses the command line and trains."""
    options = _parser().parse_intermixed_args(list(arguments))
    train = train_cmg if options.what == "cmg" else train_policy
    return train(_request(options))


def _parser() -> Parser:
    parser = Parser("train", __doc__ or "", _EXAMPLES)
    parser.add_argument("what", choices=("cmg", "teacher", "student"), help="what to train")
    parser.add_argument(
        "overrides",
        nargs="*",
        default=[],
        metavar="section.key=value",
        help="settings that win over the file",
    )
    parser.add_argument("--config", metavar="F", help="YAML file, or name of a shipped one")
    parser.add_argument("--iterations", type=positive, metavar="N", help="iterations in all")
    parser.add_argument("--envs", type=positive, metavar="N", help="environments side by side")
    parser.add_argument(
        "--teacher", metavar="RUN", help="of a student (default: 'teacher', the shipped one)"
    )
    parser.add_argument("--threads", type=positive, metavar="N", help="default: all usable cores")
    parser.add_argument("--seed", type=int, metavar="N", help="seed of everything random")
    parser.add_argument("--out", metavar="DIR", help="run folder (default: runs/KIND-DATE-N)")
    parser.add_argument("--resume", metavar="RUN", help="continue the run in this folder exactly")
    parser.add_argument("--json", action="store_true", help="end with one JSON line on stdout")
    return parser


def _request(options: argparse.Namespace) -> Request:
    keys = {"threads": "train.threads", **_FLAGS[options.what]}
    if options.resume is not None:
        keys["iterations"] = "train.iterations"
    if options.envs is not None and "envs" not in keys:
        raise ValueError(f"--envs {options.envs} is not valid: a CMG learns without environments")
    if options.teacher is not None and options.what != "student":
        raise ValueError(f"--teacher {options.teacher} is not valid: a {options.what} has none")
    given = {key: getattr(options, name) for name, key in keys.items()}
    return Request(
        kind=options.what,
        config=options.config,
        overrides=tuple(options.overrides),
        flags={key: value for key, value in given.items() if value is not None},
        out=options.out,
        resume=options.resume,
        json=options.json,
    )


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
