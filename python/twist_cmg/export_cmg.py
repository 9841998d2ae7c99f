"""Writes a CMG as ONNX: `python -m twist_cmg.export cmg`."""

from collections.abc import Sequence
from pathlib import Path

from .checkpoints import write_aside
from .cli import SUCCESS, Parser
from .cmg_onnx import MAX_ERROR, largest_error, to_onnx
from .config import load_robot
from .progress import make_console
from .references import find_cmg, load_cmg

_EXAMPLES = """\
  python -m twist_cmg.export cmg --out cmg.onnx
  python -m twist_cmg.export cmg runs/cmg --out cmg.onnx --force"""


def main(arguments: Sequence[str]) -> int:
    """Parses the command line, builds the graph, compares it with the C++ core and writes it."""
    options = _parser().parse_args(list(arguments))
    out = Path(options.out)
    if out.suffix != ".onnx":
        raise ValueError(f"--out {out} must end in .onnx")
    if not out.absolute().parent.is_dir():
        raise ValueError(f"--out {out}: there is no such folder to write in")
    if out.is_dir() or (out.exists() and not options.force):
        raise ValueError(f"{out} exists already; --force overwrites a file")
    robot = load_robot(options.robot)
    cmg = load_cmg(find_cmg(options.checkpoint), robot)
    content = to_onnx(cmg, robot.joint_names)
    error = largest_error(content, cmg)
    if not error <= MAX_ERROR:
        raise RuntimeError(
            f"the ONNX model differs from the C++ core by {error:.1e} standard deviations, more "
            f"than {MAX_ERROR:g}; nothing was written"
        )
    write_aside(out, content)
    make_console(json=False).print(
        f"{out}: {len(content) / 1e6:.1f} MB, differs from the C++ core by at most "
        f"{error:.1e} standard deviations of a feature"
    )
    return SUCCESS


def _parser() -> Parser:
    parser = Parser("export cmg", __doc__ or "", _EXAMPLES)
    parser.add_argument(
        "checkpoint",
        nargs="?",
        default="shipped",
        help="checkpoint or run folder of `train cmg` (default: shipped)",
    )
    parser.add_argument("--robot", default="g1_29dof", metavar="R", help="default: g1_29dof")
    parser.add_argument("--out", required=True, metavar="FILE", help="the .onnx file")
    parser.add_argument("--force", action="store_true", help="overwrite a file that exists")
    return parser
