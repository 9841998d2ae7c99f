"""Recorded motion in: `python -m twist_cmg.data import|check|stats|window`."""

import sys
from collections.abc import Callable, Sequence

from .cli import Parser, run_command
from .data_check import check_main
from .data_import import import_main
from .data_set import stats_main, window_main

_COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "import": import_main,
    "check": check_main,
    "stats": stats_main,
    "window": window_main,
}
_EXAMPLES = """\
  python -m twist_cmg.data import recordings --out motions     # any format to motion files
  python -m twist_cmg.data check motions                       # what is wrong with them
  python -m twist_cmg.data check motions --fix --out mended
  python -m twist_cmg.data stats mended                        # speeds, and what is locomotion
  python -m twist_cmg.data window mended --out walks           # a training set
  python -m twist_cmg.data import --help                       # more about each"""


def main(arguments: Sequence[str]) -> int:
    """Calls one of the four commands with the rest of the command line."""
    if arguments and arguments[0] in _COMMANDS:
        return _COMMANDS[arguments[0]](arguments[1:])
    parser = Parser("data", __doc__ or "", _EXAMPLES)
    parser.add_argument("what", choices=tuple(_COMMANDS), help="what to do")
    parser.parse_args(list(arguments))
    parser.error(f"{arguments[0]!r} must come first, before any option")


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
