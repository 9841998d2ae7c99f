"""Writes what other programs read: `python -m twist_cmg.export RUN`, or `export motion|cmg`."""

import sys
from collections.abc import Sequence

from . import export_cmg, export_motion, export_policy
from .cli import FAILED, Parser, run_command

_EXAMPLES = """\
  python -m twist_cmg.export student --out bundle
  python -m twist_cmg.export motion --command 0.5 0 0 --out walks
  python -m twist_cmg.export cmg --out cmg.onnx
motion and cmg have a --help of their own"""

_COMMANDS = {"motion": export_motion.main, "cmg": export_cmg.main}


def main(arguments: Sequence[str]) -> int:
    """Hands the command line to what is to be exported."""
    if arguments and arguments[0] in _COMMANDS:
        return _COMMANDS[arguments[0]](arguments[1:])
    if arguments and arguments[0] not in ("-h", "--help"):
        return export_policy.main(arguments)
    parser = Parser("export", __doc__ or "", _EXAMPLES)
    doc = "a trained policy; motion: NPZ, or pickles for TWIST; cmg: the network as ONNX"
    parser.add_argument("what", metavar="RUN|motion|cmg", help=doc)
    parser.add_argument("--out", metavar="DIR", required=True, help="the folder or file to make")
    parser.parse_args(list(arguments))  # says what is missing, or shows the help
    return FAILED


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
