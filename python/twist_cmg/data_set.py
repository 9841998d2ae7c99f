"""`data stats` and `data window`: what is locomotion, and the training set made of it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from . import _C
from .answers import check_json_place, write_json
from .cli import FAILED, SUCCESS, Parser, positive
from .clips import rows_of, trim
from .data_options import WHERE, Reading, add_reading_options
from .locomotion import (
    AXES,
    FRAMES_PER_S,
    Floats,
    LocomotionFilter,
    Summary,
    filter_from,
    summary,
    velocities_of,
    windows,
)
from .motion_file import Clip
from .motion_set import SetWriter, check_place, replace_set, staged
from .progress import Progress, make_console

_STATS = """\
  python -m twist_cmg.data stats motions
  python -m twist_cmg.data stats lists/walking.yaml --no-backward-reject --min-speed 0 --json -"""
_WINDOW = """\
  python -m twist_cmg.data window motions --out walks
  python -m twist_cmg.data window lists/walking.yaml --no-filter --out everything"""


@dataclass(frozen=True)
class Candidate:
    """A clip at 50 Hz, and why it is left out ("" if it is kept)."""

    clip: Clip
    rows: Floats
    commands: Floats
    speeds: Summary
    rejected: str


def candidates(
    reading: Reading, rule: LocomotionFilter | None, counts: Counter[str], progress: Progress
) -> Iterator[Candidate]:
    """Every usable clip, trimmed, one after the other; those that are not are counted and noted."""
    doctor = _C.Doctor(reading.robot)
    for _, whole in reading.clips(progress):
        clip, line = trim(whole, doctor)
        if line:
            progress.note(line)
        if clip is None:
            counts["unusable"] += 1
            continue
        made = rows_of([clip], reading.robot)
        velocities = velocities_of(made.rows[0], reading.robot.num_joints)
        rejected = rule.verdict(velocities) if rule else ""
        if not rejected and clip.provenance.weight == 0:
            rejected = "weight 0"
        counts[rejected or "kept"] += 1
        yield Candidate(clip, made.rows[0], made.commands[0], summary(velocities), rejected)
    counts["broken"] = len(reading.broken)


def stats_main(arguments: Sequence[str]) -> int:
    """Prints speeds and verdicts; the exit code."""
    options = _parser("stats", "Measures speeds of recorded motion.", _STATS).parse_intermixed_args(
        list(arguments)
    )
    check_json_place(options.json)
    reading, rule = Reading(options), _rule(options)
    console = make_console(json=options.json == "-")
    counts: Counter[str] = Counter()
    clips: list[dict[str, Any]] = []
    with Progress(console, "stats", len(reading.sources)) as progress:
        for found in candidates(reading, rule, counts, progress):
            about = {"name": found.clip.name, "frames": len(found.rows), "rejected": found.rejected}
            about["windows"] = windows(len(found.rows), options.seq)
            clips.append({**about, "speeds": found.speeds})
    total = {
        "clips": len(clips),
        "frames": sum(clip["frames"] for clip in clips),
        "windows": sum(clip["windows"] for clip in clips if not clip["rejected"]),
        "counts": {name: count for name, count in counts.items() if count},
    }
    console.print(_table(clips))
    console.print(_total_line(total), markup=False, soft_wrap=True)
    write_json(options.json, {"clips": clips, "total": total, "filter": _plain(rule)})
    return SUCCESS if clips else FAILED


def window_main(arguments: Sequence[str]) -> int:
    """Builds a training set aside and moves it to its place; the exit code."""
    options = _parser("window", "Makes a training set.", _WINDOW).parse_intermixed_args(
        list(arguments)
    )
    out = Path(options.out)
    check_place(out, options.force)
    reading, rule = Reading(options), _rule(options)
    console = make_console(json=False)
    counts: Counter[str] = Counter()
    with (
        staged(out) as aside,
        Progress(console, "window", len(reading.sources)) as progress,
        closing(SetWriter(aside / "set", reading.robot)) as writer,
    ):
        for found in candidates(reading, rule, counts, progress):
            if not found.rejected:
                writer.append(found.rows, found.commands, _about(found))
        left_out = {name: n for name, n in counts.items() if n and name != "kept"}
        writer.finish(filter=_plain(rule), left_out=left_out)
        if not writer.clips:
            raise ValueError(f"no clip is left for the set: {_counted(left_out)}")
        replace_set(out, aside / "set")
    seconds = sum(clip["frames"] for clip in writer.clips) / FRAMES_PER_S
    kept = f"{len(writer.clips)} clips, {seconds:.0f} s, are in {out}"
    told = f"{kept}; left out: {_counted(left_out)}" if left_out else kept
    console.print(told, markup=False, soft_wrap=True)
    return SUCCESS


def _about(found: Candidate) -> dict[str, Any]:
    """What set.json says about a clip, besides its place."""
    provenance = asdict(found.clip.provenance)
    weight = provenance["weight"]
    return {
        "name": found.clip.name,
        "weight": weight,
        "speeds": found.speeds,
        "provenance": provenance,
    }


def _rule(options: Any) -> LocomotionFilter | None:
    return None if options.no_filter else filter_from(vars(options))


def _plain(rule: LocomotionFilter | None) -> dict[str, Any] | None:
    return None if rule is None else asdict(rule)


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} x {name}" for name, count in counts.items())


def _total_line(total: dict[str, Any]) -> str:
    seconds = total["frames"] / FRAMES_PER_S
    verdicts = _counted(total["counts"])
    return f"{total['clips']} clips, {seconds:.0f} s, {total['windows']} windows kept; {verdicts}"


def _table(clips: Sequence[dict[str, Any]]) -> Table:
    table = Table(title="velocities at 50 Hz: mean (5 %, 50 %, 95 %)", box=box.SIMPLE)
    for head in ("clip", "s", "vx m/s", "vy m/s", "yaw rad/s", "windows", "filter"):
        table.add_column(head, justify="left" if head in ("clip", "filter") else "right")
    for clip in clips:
        seconds = f"{clip['frames'] / FRAMES_PER_S:.1f}"
        speeds = [
            "{mean:.2f} ({p5:.2f}, {p50:.2f}, {p95:.2f})".format(**clip["speeds"][a]) for a in AXES
        ]
        verdict = clip["rejected"] or "kept"
        table.add_row(escape(clip["name"]), seconds, *speeds, str(clip["windows"]), verdict)
    return table


def _parser(command: str, about: str, examples: str) -> Parser:
    parser = Parser(f"data {command}", f"{about}\n\n{WHERE}", examples)
    add_reading_options(parser)
    rule = LocomotionFilter()
    for name, unit in (("min_speed", "m/s"), ("max_speed", "m/s"), ("max_lateral", "m/s")):
        _number(parser, name, unit, getattr(rule, name))
    _number(parser, "max_yaw_rate", "rad/s", rule.max_yaw_rate)
    parser.add_argument(
        "--no-backward-reject",
        dest="reject_backward",
        action="store_false",
        help="keep clips that go backwards at times",
    )
    parser.add_argument("--no-filter", action="store_true", help="keep whatever is usable")
    if command == "stats":
        parser.add_argument("--json", metavar="FILE", help="write it (-: standard output)")
        parser.add_argument(
            "--seq", type=positive, default=30, metavar="N", help="steps in a window (30)"
        )
    else:
        parser.add_argument("--out", required=True, metavar="DIR", help="folder of the set")
        parser.add_argument("--force", action="store_true", help="replace the set that is there")
    return parser


def _number(parser: Parser, name: str, unit: str, default: float) -> None:
    option = f"--{name.replace('_', '-')}"
    parser.add_argument(
        option, type=float, default=default, metavar="X", help=f"{unit} ({default:g})"
    )
