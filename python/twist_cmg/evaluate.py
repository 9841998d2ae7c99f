"""Measures a trained policy: `python -m twist_cmg.evaluate policy RUN`."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from . import _C
from .checkpoints import check_contract, state_hash, write_aside
from .cli import SUCCESS, Parser, positive, run_command
from .config import load_robot, parse_override
from .evaluation import Policy, evaluate, evaluation_table, load_policy, report
from .fields import apply, nest
from .progress import json_line, make_console
from .references import Motion, kept_sources

_EXAMPLES = """\
  python -m twist_cmg.evaluate policy runs/teacher-20260101-1
  python -m twist_cmg.evaluate policy teacher --episodes 32 --json cells.json
  python -m twist_cmg.evaluate policy runs/mine "evaluation.vx=[0.5, 1, 1.5]" --json -"""


def main(arguments: Sequence[str]) -> int:
    """Parses the command line, evaluates, prints a table and writes JSON."""
    options = _parser().parse_intermixed_args(list(arguments))
    policy = load_policy(options.policy)
    for text in options.overrides:
        apply(policy.config, nest(*parse_override(text)))
    flags = {"evaluation.episodes": options.episodes, "train.threads": options.threads}
    flags["train.seed"] = options.seed
    for key, value in flags.items():
        if value is not None:
            apply(policy.config, nest(key, value))
    if options.json not in (None, "-") and not Path(options.json).absolute().parent.is_dir():
        raise ValueError(f"--json {options.json}: there is no such folder to write in")
    _evaluate(policy, options.policy, options.json)
    return SUCCESS


def _evaluate(policy: Policy, name: str, json_file: str | None) -> None:
    console = make_console(json=json_file == "-")
    config = policy.config
    workers = _C.Workers(config.train.threads)
    robot = load_robot(config.robot)
    check_contract(policy.checkpoint, _C.contract(robot))
    motion = Motion(robot, config, workers, kept_sources(policy.folder, config))
    cells = evaluate(motion, policy.checkpoint.policy)
    title = f"{name}: {config.evaluation.episodes} episodes of {config.evaluation.seconds:g} s"
    console.print(evaluation_table(cells, title))
    answer = report(name, config, policy.checkpoint, cells)
    answer["checkpoint"] = str(policy.file)
    tensors = {n: v for n, v in policy.checkpoint.policy.items() if isinstance(v, torch.Tensor)}
    answer["policy_hash"] = state_hash(tensors)
    if json_file == "-":
        json_line(json.dumps(answer))
    elif json_file is not None:
        _write(Path(json_file), json.dumps(answer, indent=2) + "\n")


def _write(path: Path, text: str) -> None:
    if path.exists() and not path.is_file():  # a pipe or a device
        path.write_text(text)
    else:
        write_aside(path, text.encode())


def _parser() -> Parser:
    parser = Parser("evaluate", __doc__ or "", _EXAMPLES)
    parser.add_argument("what", choices=("policy",), help="what to measure")
    parser.add_argument(
        "policy", help="run folder, .pt file, or 'teacher' or 'student' for the shipped ones"
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        default=[],
        metavar="section.key=value",
        help="settings, such as evaluation.vx",
    )
    parser.add_argument("--episodes", type=positive, metavar="N", help="episodes a command")
    parser.add_argument("--threads", type=positive, metavar="N", help="default: as in the run")
    parser.add_argument("--seed", type=int, metavar="N", help="default: as in the run")
    parser.add_argument("--json", metavar="FILE", help="write the cells there (-: standard output)")
    return parser


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
