"""Writes what other programs read: `python -m twist_cmg.export motion` or `export cmg`."""

import sys
from collections.abc import Sequence

from . import export_cmg, export_motion
from .cli import Parser, run_command

_EXAMPLES = """\
  python -m twist_cmg.export motion --command 0.5 0 0 --out walks
  python -m twist_cmg.export cmg --out cmg.onnx
each has a --help of its own"""

_COMMANDS = {"motion": export_motion.main, "cmg": export_cmg.main}


def main(arguments: Sequence[str]) -> int:
    """Hands the command line to what is to be exported."""
    if arguments and arguments[0] in _COMMANDS:
        return _COMMANDS[arguments[0]](arguments[1:])
    parser = Parser("export", __doc__ or "", _EXAMPLES)
    parser.add_argument(
        "what",
        choices=tuple(_COMMANDS),
        help="motion: NPZ, or pickles for TWIST; cmg: the network as ONNX",
    )
    parser.parse_args(list(arguments))  # says what is wrong, or shows the help
    parser.error(f"give the options after {arguments[-1]!r}")


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
