"""Measures a trained policy or motion generator.

`python -m twist_cmg.evaluate policy RUN` and `python -m twist_cmg.evaluate cmg [CHECKPOINT]`.
"""

import argparse
import sys
from collections.abc import Sequence

import torch

from . import _C
from .answers import check_json_place, write_json
from .checkpoints import load_checkpoint, state_hash
from .cli import SUCCESS, Parser, positive, run_command
from .cmg_exam import Exam, exam_table, examine
from .config import config_from_dict, load_robot, parse_override
from .evaluation import (
    Policy,
    evaluate,
    evaluation_table,
    kick,
    kick_table,
    load_policy,
    motion_for,
    report,
)
from .fields import apply, nest
from .progress import make_console
from .references import find_cmg, load_cmg

_EXAMPLES = """\
  python -m twist_cmg.evaluate policy runs/teacher-20260101-1
  python -m twist_cmg.evaluate policy teacher --episodes 32 --json cells.json
  python -m twist_cmg.evaluate cmg --json cells.json
  python -m twist_cmg.evaluate cmg runs/cmg-20260101-1 --seconds 20
  python -m twist_cmg.evaluate policy runs/mine "evaluation.vx=[0.5, 1, 1.5]" --json -"""


def main(arguments: Sequence[str]) -> int:
    """Parses the command line, evaluates, prints a table and writes JSON."""
    options = _parser().parse_intermixed_args(list(arguments))
    check_json_place(options.json)
    (_cmg if options.what == "cmg" else _policy)(options)
    return SUCCESS


def _policy(options: argparse.Namespace) -> None:
    if options.model is None:
        raise ValueError("evaluate policy needs a run folder, a .pt file, 'teacher' or 'student'")
    policy = load_policy(options.model)
    for text in options.overrides:
        apply(policy.config, nest(*parse_override(text)))
    flags = {"evaluation.episodes": options.episodes, "train.threads": options.threads}
    flags |= {"train.seed": options.seed, "evaluation.seconds": options.seconds}
    for key, value in flags.items():
        if value is not None:
            apply(policy.config, nest(key, value))
    _evaluate(policy, options.model, options.kicks, options.json)


def _cmg(options: argparse.Namespace) -> None:
    if options.overrides or options.episodes or options.seed is not None:
        raise ValueError("evaluate cmg knows --seconds, --threads and --json, and no settings")
    seconds = 60.0 if options.seconds is None else options.seconds
    if seconds < 10:
        raise ValueError(f"--seconds {seconds:g}: a roll-out must last at least 10 s")
    console = make_console(json=options.json == "-")
    _C.choose_matmul_backend()
    name = options.model or "shipped"
    file = find_cmg(name)
    config = config_from_dict("cmg", load_checkpoint(file, "cmg").config, str(file))
    robot = load_robot(config.robot)
    exam = Exam(robot, config.commands, _C.Workers(options.threads or 0), seconds)
    answer = examine(exam, _C.CmgGenerator(load_cmg(file, robot)), console.print)
    console.print(exam_table(answer, f"{name}: {seconds:g} s roll-outs"))
    console.print("changing commands:", answer["changes"])
    console.print(f"outside the set that is walked: {len(answer['skipped'])} commands")
    write_json(options.json, {"cmg": name, "checkpoint": str(file), **answer})


def _evaluate(policy: Policy, name: str, kicks: bool, json_file: str | None) -> None:
    console = make_console(json=json_file == "-")
    config = policy.config
    motion = motion_for(policy, _C.Workers(config.train.threads))
    cells = evaluate(motion, policy.checkpoint.policy)
    title = f"{name}: {config.evaluation.episodes} episodes of {config.evaluation.seconds:g} s"
    console.print(evaluation_table(cells, title))
    answer = report(name, config, policy.checkpoint, cells)
    if kicks:
        answer["kicks"] = kick(motion, policy.checkpoint.policy)
        console.print(kick_table(answer["kicks"]))
    answer["checkpoint"] = str(policy.file)
    tensors = {n: v for n, v in policy.checkpoint.policy.items() if isinstance(v, torch.Tensor)}
    answer["policy_hash"] = state_hash(tensors)
    write_json(json_file, answer)


def _parser() -> Parser:
    parser = Parser("evaluate", __doc__ or "", _EXAMPLES)
    parser.add_argument("what", choices=("policy", "cmg"), help="what to measure")
    parser.add_argument(
        "model",
        nargs="?",
        help="run folder or .pt file; the shipped ones are 'teacher' and 'student', or 'shipped'"
        " for the CMG (its default)",
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        default=[],
        metavar="section.key=value",
        help="settings, such as evaluation.vx",
    )
    parser.add_argument("--seconds", type=float, metavar="S", help="length of a roll-out")
    parser.add_argument("--episodes", type=positive, metavar="N", help="episodes a command")
    parser.add_argument("--threads", type=positive, metavar="N", help="default: as in the run")
    parser.add_argument("--seed", type=int, metavar="N", help="default: as in the run")
    parser.add_argument("--kicks", action="store_true", help="kick the robot too")
    parser.add_argument("--json", metavar="FILE", help="write the cells there (-: standard output)")
    return parser


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
