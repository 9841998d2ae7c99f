"""Measures speed: `python -m twist_cmg.bench env`, `bench cmg` and `bench policy`."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from . import _C
from .bench_cmg import ENVS, headline
from .bench_policy import measure_policy
from .bench_rings import MODES, cases_of, measure
from .cli import SUCCESS, Parser, positive, run_command
from .config import load_config, load_robot
from .evaluation import POLICY_NAMES
from .progress import json_line, make_console
from .references import Motion

_EXAMPLES = """\
  python -m twist_cmg.bench env --json
  python -m twist_cmg.bench cmg --mode scaling
  python -m twist_cmg.bench policy --policy bundle
  python -m twist_cmg.bench env --threads 1 env.sim.timestep=0.005 env.sim.decimation=4"""


def main(arguments: Sequence[str]) -> int:
    """Parses the command line, measures, and prints a table or one JSON line."""
    options = _parser().parse_intermixed_args(list(arguments))
    console = make_console(options.json)
    result, table = {"env": _env, "cmg": _cmg, "policy": _policy}[options.what](options, console)
    if options.json:
        json_line(json.dumps(result))
    else:
        console.print(table)
    return SUCCESS


def _env(options: argparse.Namespace, console: Console) -> tuple[dict[str, Any], Table]:
    flags = {"train.envs": options.envs, "train.threads": options.threads}
    given = {name: value for name, value in flags.items() if value is not None}
    overrides = [f"reference.source={options.source}", *options.overrides]
    config = load_config("teacher", options.config, overrides, given)
    workers = _C.Workers(config.train.threads)
    robot = load_robot(config.robot)
    pool = Motion(robot, config, workers).training_pool(console.print)
    result = _C.bench_env(robot, config.env, pool, config.train.envs, workers, options.seconds)
    return result, _table(result)


def _cmg(options: argparse.Namespace, console: Console) -> tuple[dict[str, Any], Table]:
    if options.overrides or options.config:
        raise ValueError("bench cmg knows --mode, --envs, --threads and --json, and no settings")
    result: dict[str, Any] = {"mode": options.mode}
    if options.mode in ("quick", "full"):
        console.print("every form in turn, on one thread")
        result |= headline(options.envs or ENVS)
    threads = options.threads or _C.Workers(0).count
    cases = cases_of(options.mode)
    result["rings"] = []
    for case in cases:
        console.print("rings:", *case)
        result["rings"].append(measure(case, threads))
    return result, _cmg_table(result)


def _policy(options: argparse.Namespace, console: Console) -> tuple[dict[str, Any], Table]:
    if options.overrides or options.config:
        raise ValueError("bench policy knows --policy and --json, and no settings")
    console.print("one observation at a time, on one thread, every form in turn")
    result = measure_policy(options.policy)
    table = Table("", "", title=options.policy, show_header=False, box=box.SIMPLE)
    for name, value in result.items():
        table.add_row(name, f"{value:.3g}")
    return result, table


def _cmg_table(result: Mapping[str, Any]) -> Table:
    table = Table(title="motion generator", show_header=False, box=box.SIMPLE)
    table.add_column()
    table.add_column(justify="right")
    for key, value in result.items():
        if isinstance(value, float):
            table.add_row(key, f"{value:,.0f}" if value >= 1000 else f"{value:.3g}")
    for ring in result["rings"]:
        table.add_row(
            f"{ring['mode']} {ring['envs']} x {ring['frames']}",
            f"made in {ring['reset_ms']:,.0f} ms ({ring['frames_per_s']:,.0f} frames/s), read "
            f"{ring['read_ms']:.3f} ms, {ring['ring_mb']:.0f} MB, peak {ring['peak_mb']:.0f} MB",
        )
    return table


def _table(result: Mapping[str, Any]) -> Table:
    title = f"{result['envs']} environments, {result['threads']} threads"
    table = Table("", "", title=title, show_header=False, box=box.SIMPLE)
    table.add_row("environment steps/s", f"{result['env_steps_per_s']:,.0f}")
    table.add_row("bare mj_step loop, same steps/s", f"{result['raw_env_steps_per_s']:,.0f}")
    table.add_row("ratio", f"{result['ratio']:.3f}")
    for phase, microseconds in result["profile"].items():
        table.add_row(phase, f"{microseconds:.2f} us per environment step")
    return table


def _parser() -> Parser:
    parser = Parser("bench", __doc__ or "", _EXAMPLES)
    parser.add_argument(
        "what", choices=("env", "cmg", "policy"), help="the simulation, the generator, a policy"
    )
    parser.add_argument("--mode", choices=MODES, default="quick", help="cmg: what to measure")
    parser.add_argument(
        "overrides",
        nargs="*",
        default=[],
        metavar="section.key=value",
        help="settings, such as env.sim.timestep",
    )
    doc = f"policy: {POLICY_NAMES} (student)"
    parser.add_argument("--policy", metavar="NAME", default="student", help=doc)
    parser.add_argument("--config", metavar="F", help="YAML file, or name of a shipped one")
    parser.add_argument("--envs", type=positive, metavar="N", help="environments side by side")
    parser.add_argument("--threads", type=positive, metavar="N", help="default: all usable cores")
    parser.add_argument(
        "--source",
        default="gait",
        choices=("gait", "cmg_pool", "clips"),
        help="env: what makes the reference motion (gait)",
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="measuring time (10)")
    parser.add_argument("--json", action="store_true", help="one JSON line on standard output")
    return parser


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
