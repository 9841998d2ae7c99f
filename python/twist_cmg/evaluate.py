"""Measures a trained policy or motion generator.

`python -m twist_cmg.evaluate policy RUN` and `python -m twist_cmg.evaluate cmg [CHECKPOINT]`.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from . import _C
from .answers import check_json_place, write_json
from .checkpoints import load_checkpoint
from .cli import SUCCESS, Parser, positive, run_command
from .cmg_exam import Exam, examine
from .cmg_exam import exam_table as cmg_table
from .comparison import comparison_table, headline, ratios
from .config import config_from_dict, load_robot, parse_override
from .config_checks import check_evaluation
from .evaluation import Policy, load_policy, motion_for, report
from .exam_tables import exam_table
from .exams import EXAMS, usual_exams
from .fields import apply, nest
from .progress import make_console
from .references import find_cmg, load_cmg
from .trials import Subject

_EPISODES = 32  # of each figure
_EXAMPLES = """\
  python -m twist_cmg.evaluate policy runs/teacher-20260101-1
  python -m twist_cmg.evaluate policy teacher --exams grid,kicks --json cells.json
  python -m twist_cmg.evaluate policy student --against teacher
  python -m twist_cmg.evaluate policy student evaluation.noise=1 evaluation.delay=1
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
    names = [options.model] if options.against is None else [options.model, options.against]
    policies = [_asked(name, options) for name in names]  # all that is wrong is said first
    console = make_console(json=options.json == "-")
    answers = [
        _evaluate(name, policy, options.exams, console)
        for name, policy in zip(names, policies, strict=True)
    ]
    answer = answers[0]
    if options.against is not None:
        console.print(comparison_table((names[0], names[1]), *answers))
        answer["against"] = answers[1]
        answer["ratios"] = ratios(*map(headline, answers))
    write_json(options.json, answer)


def _asked(name: str, options: argparse.Namespace) -> Policy:
    """A policy with the settings of the command line."""
    policy = load_policy(name)
    policy.config.evaluation.episodes = _EPISODES
    for text in options.overrides:
        apply(policy.config, nest(*parse_override(text)))
    for key, value in _flags(options).items():
        if value is not None:
            apply(policy.config, nest(key, value))
    check_evaluation(policy.config.evaluation)
    return policy


def _flags(options: argparse.Namespace) -> dict[str, object]:
    return {
        "train.threads": options.threads,
        "train.seed": options.seed,
        "evaluation.seconds": options.seconds,
        "evaluation.episodes": options.episodes,
    }


def _cmg(options: argparse.Namespace) -> None:
    unknown = (options.overrides, options.episodes, options.exams, options.against)
    if any(unknown) or options.seed is not None:
        raise ValueError("evaluate cmg knows --seconds, --threads and --json, and no settings")
    seconds = 60.0 if options.seconds is None else options.seconds
    if not 10 <= seconds <= 3600:
        raise ValueError(f"--seconds must lie in [10, 3600] for a roll-out, not be {seconds:g}")
    console = make_console(json=options.json == "-")
    _C.choose_matmul_backend()
    name = options.model or "shipped"
    file = find_cmg(name)
    config = config_from_dict("cmg", load_checkpoint(file, "cmg").config, str(file))
    robot = load_robot(config.robot)
    exam = Exam(robot, config.commands, _C.Workers(options.threads or 0), seconds)
    answer = examine(exam, _C.CmgGenerator(load_cmg(file, robot)), console.print)
    console.print(cmg_table(answer, f"{name}: {seconds:g} s roll-outs"))
    console.print("changing commands:", answer["changes"])
    console.print(f"outside the set that is walked: {len(answer['skipped'])} commands")
    write_json(options.json, {"cmg": name, "checkpoint": str(file), **answer})


def _evaluate(
    name: str, policy: Policy, exams: Sequence[str] | None, console: Console
) -> dict[str, Any]:
    _C.choose_matmul_backend()
    motion = motion_for(policy, _C.Workers(policy.config.train.threads))
    subject = Subject(motion, policy.checkpoint.policy)
    answer = report(name, policy.config, policy.checkpoint)
    for exam in exams or usual_exams(policy.config):
        answer[exam] = EXAMS[exam](subject, policy.config.evaluation.episodes)
        console.print(exam_table(exam, answer[exam]))
    answer["checkpoint"] = str(policy.file)
    return answer


def _exam_list(text: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in EXAMS:
            raise argparse.ArgumentTypeError(
                f"there is no exam {name!r}; there are {', '.join(EXAMS)}"
            )
    return names


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
    parser.add_argument(
        "--seconds",
        type=float,
        metavar="S",
        help="length of a roll-out; of a policy: in the exam grid",
    )
    parser.add_argument(
        "--exams",
        type=_exam_list,
        metavar="A,B",
        help=f"of a policy, some of {','.join(EXAMS)}; default: all",
    )
    parser.add_argument(
        "--against", metavar="POLICY", help="another policy in the same exams, and the ratios"
    )
    parser.add_argument(
        "--episodes", type=positive, metavar="N", help=f"of each figure (default {_EPISODES})"
    )
    parser.add_argument("--threads", type=positive, metavar="N", help="default: as in the run")
    parser.add_argument("--seed", type=int, metavar="N", help="default: as in the run")
    parser.add_argument("--json", metavar="FILE", help="write the cells there (-: standard output)")
    return parser


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
