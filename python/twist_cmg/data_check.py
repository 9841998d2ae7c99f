"""`data check`: a doctor for recorded motion."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from . import _C
from .answers import check_json_place, write_json
from .cli import FAILED, SUCCESS, Parser
from .clips import trim
from .data_import import move_files
from .data_options import (
    WHERE,
    Reading,
    add_reading_options,
    target_files,
)
from .motion_file import Clip, write_clip
from .motion_set import staged
from .progress import Progress, make_console

SEVERITIES = ("error", "warning", "info")
_ROWS = 12  # findings of a clip that are shown
_EXAMPLES = """\
  python -m twist_cmg.data check motions
  python -m twist_cmg.data check walk.pkl --json -
  python -m twist_cmg.data check motions --fix --out mended"""


@dataclass
class Visit:
    """What the doctor found and did about one clip."""

    name: str
    frames: int = 0
    fps: float = 0.0
    floor: float = 0.0  # m
    stretch: tuple[int, int] = (0, 0)  # first and last frame of the longest plausible stretch
    usable: bool = False
    findings: list[dict[str, Any]] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)  # what was done
    remaining: list[dict[str, Any]] | None = None  # findings after mending
    error: str = ""  # why the file cannot be read or mended

    def failed(self) -> bool:
        """Whether an error is there (still there, where the clip was mended)."""
        judged = self.findings if self.remaining is None else self.remaining
        return bool(self.error) or any(finding["severity"] == "error" for finding in judged)


def check_main(arguments: Sequence[str]) -> int:
    """Prints what is wrong; the exit code is 1 if something is an error."""
    parser = _parser()
    options = parser.parse_intermixed_args(list(arguments))
    if options.fix != (options.out is not None):
        parser.error("--fix and --out DIR go together")
    check_json_place(options.json)
    options.skip_broken = True  # a file that cannot be read is a finding too
    reading = Reading(options)
    console = make_console(json=options.json == "-")
    visits = _mend_all(reading, console) if options.fix else _examine_all(reading, console)
    visits += [Visit(source.name, error=message) for source, message in reading.broken]
    counts = Counter(finding["severity"] for visit in visits for finding in visit.findings)
    failed = sum(visit.failed() for visit in visits)
    text = ", ".join(f"{counts[severity]} x {severity}" for severity in SEVERITIES)
    verdict = f"{failed} with errors" + (" that remain" if options.fix else "")
    console.print(f"{len(visits)} clips: {text}; {verdict}", soft_wrap=True)
    summary = {"clips": len(visits), "failed": failed, **{s: counts[s] for s in SEVERITIES}}
    write_json(options.json, {"clips": [vars(visit) for visit in visits], "summary": summary})
    return FAILED if failed else SUCCESS


def _examine_all(reading: Reading, console: Console) -> list[Visit]:
    doctor = _C.Doctor(reading.robot)
    visits = []
    with Progress(console, "check", len(reading.sources)) as progress:
        for _, clip in reading.clips(progress):
            visits.append(_visit(clip, doctor))
            _show(visits[-1], console)
    return visits


def _mend_all(reading: Reading, console: Console) -> list[Visit]:
    """Examines, mends and examines again; writes what could be mended."""
    doctor, out = _C.Doctor(reading.robot), Path(reading.options.out)
    files = target_files(reading.sources, out, reading.options.force)
    targets = dict(zip(reading.sources, files, strict=True))
    visits, written = [], []
    with staged(out) as aside, Progress(console, "mend", len(files)) as progress:
        for source, clip in reading.clips(progress):
            visit = _visit(clip, doctor)
            mended = _mend(clip, doctor, visit)
            if mended is not None:
                place = targets[source].relative_to(out)
                (aside / place).parent.mkdir(parents=True, exist_ok=True)
                write_clip(aside / place, mended)
                written.append(place)
            visits.append(visit)
            _show(visit, console)
        move_files(aside, out, written)
    return visits


def _visit(clip: Clip, doctor: _C.Doctor) -> Visit:
    found = doctor.examine(clip.as_dict())
    stretch = found.first, found.last - 1
    findings = _findings(found)
    return Visit(
        clip.name, len(clip.root_pos), clip.fps, found.floor, stretch, found.usable, findings
    )


def _findings(found: _C.Diagnosis) -> list[dict[str, Any]]:
    """The findings as plain values, the worst first."""
    names = ("kind", "severity", "first", "last", "worst", "limit", "reason")
    plain = [{name: getattr(finding, name) for name in names} for finding in found.findings]
    for finding in plain:  # JSON has no infinity
        finding["worst"] = finding["worst"] if math.isfinite(finding["worst"]) else None
    return sorted(plain, key=lambda finding: SEVERITIES.index(finding["severity"]))


def _mend(clip: Clip, doctor: _C.Doctor, visit: Visit) -> Clip | None:
    """The mended clip, or None and the reason in `visit.error`."""
    kept, why = trim(clip, doctor)
    if kept is None:
        visit.error = why
        return None
    parts, visit.mended = doctor.mend(clip.as_dict())
    done = [*clip.provenance.done, *visit.mended]
    mended = Clip(**parts, provenance=replace(clip.provenance, done=done))
    visit.remaining = _findings(doctor.examine(mended.as_dict()))
    return mended


def _show(visit: Visit, console: Console) -> None:
    name = escape(visit.name)
    if not visit.findings:
        console.print(f"{name}: nothing found")
        return
    table = Table(title=f"{name}: {visit.frames} frames at {visit.fps:.4g} fps", box=box.SIMPLE)
    for head in ("", "kind", "frames"):
        table.add_column(head, no_wrap=True)
    table.add_column("what")
    for finding in visit.findings[:_ROWS]:
        frames = f"{finding['first']} to {finding['last']}"
        cells = finding["severity"], finding["kind"], frames, finding["reason"]
        table.add_row(*(escape(cell) for cell in cells))
    if len(visit.findings) > _ROWS:
        table.add_row("", "", "", f"and {len(visit.findings) - _ROWS} more (--json has all)")
    console.print(table)
    for line in [*visit.mended, visit.error]:
        if line:
            console.print(f"  {line}", markup=False, soft_wrap=True)


def _parser() -> Parser:
    about = f"Says what is wrong with recorded motion; exit code 1 if there are errors.\n\n{WHERE}"
    parser = Parser("data check", about, _EXAMPLES)
    add_reading_options(parser)
    parser.add_argument("--json", metavar="FILE", help="write all findings (-: standard output)")
    parser.add_argument(
        "--fix",
        action="store_true",
        help="write clips with the longest plausible stretch, joints inside their ranges and the "
        "soles on the floor",
    )
    parser.add_argument("--out", metavar="DIR", help="folder for the mended motion files")
    parser.add_argument("--force", action="store_true", help="replace motion files that are there")
    return parser
