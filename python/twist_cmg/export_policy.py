"""Writes a policy as a bundle that other programs can run: `python -m twist_cmg.export RUN`."""

from collections.abc import Sequence
from pathlib import Path

from . import _C
from .bundle_writer import write_bundle
from .checkpoints import check_contract
from .cli import SUCCESS, Parser
from .config import load_robot
from .evaluation import load_policy
from .progress import make_console

_EXAMPLES = """\
  python -m twist_cmg.export student --out bundle
  python -m twist_cmg.export runs/student-20260101-1 --out bundle --force"""


def main(arguments: Sequence[str]) -> int:
    """Parses the command line and writes the folder."""
    parser = Parser("export", __doc__ or "", _EXAMPLES)
    parser.add_argument("policy", metavar="RUN", help="run folder, .pt file, 'student', 'teacher'")
    parser.add_argument("--out", metavar="DIR", required=True, help="the folder to make")
    parser.add_argument("--force", action="store_true", help="replace a bundle that is there")
    options = parser.parse_args(list(arguments))
    out = Path(options.out).absolute()
    _check_place(out, options.force)
    policy = load_policy(options.policy)
    robot = load_robot(policy.config.robot)
    check_contract(policy.checkpoint, _C.contract(robot, policy.config.env.observe))
    parity = write_bundle(policy, out)
    say = make_console(json=False).print
    for form, error in parity.items():
        say(f"{form}: largest difference from the training's network {error:.1e}")
    say(f"{options.out}: a {policy.checkpoint.kind}; the same in all forms, golden pairs answered")
    return SUCCESS


def _check_place(out: Path, force: bool) -> None:
    """ValueError unless a bundle can be made there."""
    if not out.parent.is_dir():
        raise ValueError(f"--out {out}: there is no such folder to write in")
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / "contract.json").is_file():
        raise ValueError(f"--out {out} exists already and is no bundle")
    if not force:
        raise ValueError(f"--out {out} holds a bundle already; --force replaces it")
