"""`data import`: recorded motion of any format becomes motion files."""

import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from . import _C
from .cli import FAILED, SUCCESS, Parser
from .data_options import WHERE, Reading, add_reading_options, target_files
from .motion_file import Clip, write_clip
from .motion_set import staged
from .progress import Progress, make_console

_TELLING = 0.15  # relative error of a frame rate that is worth a remark, as in cpp/motion/doctor.h
_LINES = 5  # about what was done while reading
_EXAMPLES = """\
  python -m twist_cmg.data import twist2_walks --out motions
  python -m twist_cmg.data import lists/walking.yaml --out motions --licence CC-BY-4.0
  python -m twist_cmg.data import dance.npz --joints isaac --out motions
  python -m twist_cmg.data import lafan1 --fps 30 --skip-broken --out motions"""


def import_main(arguments: Sequence[str]) -> int:
    """Reads everything first aside, then moves it to its place; the exit code."""
    options = _parser().parse_intermixed_args(list(arguments))
    reading, out = Reading(options), Path(options.out)
    files = target_files(reading.sources, out, options.force)
    targets = dict(zip(reading.sources, files, strict=True))
    console = make_console(json=False)
    seconds, written = 0.0, []
    done: Counter[str] = Counter()
    with staged(out) as aside, Progress(console, "import", len(targets)) as progress:
        for source, clip in reading.clips(progress):
            remark = _rate_remark(clip)
            if remark:
                progress.note(f"{clip.name}: {remark}")
            place = targets[source].relative_to(out)
            (aside / place).parent.mkdir(parents=True, exist_ok=True)
            write_clip(aside / place, clip)
            written.append(place)
            seconds += clip.seconds
            done.update(clip.provenance.done)
        move_files(aside, out, written)
    for line, count in done.most_common(_LINES):
        console.print(f"{count} x {line}", markup=False, soft_wrap=True)
    text = f"{len(written)} clips, {seconds:.0f} s in all, are in {out}"
    if reading.broken:
        text += f"; {len(reading.broken)} files were left out"
    console.print(text, markup=False, soft_wrap=True)
    return SUCCESS if written else FAILED


def move_files(aside: Path, out: Path, places: Sequence[Path]) -> None:
    """Moves finished files from one folder to the same places in another."""
    for place in places:
        (out / place).parent.mkdir(parents=True, exist_ok=True)
        os.replace(aside / place, out / place)


def _rate_remark(clip: Clip) -> str:
    """The velocities of a source are not kept, so it must be said now if they tell another rate."""
    fits = _C.fps_of_velocities(clip.as_dict())
    if math.isnan(fits) or abs(fits / clip.fps - 1) <= _TELLING:
        return ""
    return (
        f"the file says {clip.fps:g} frames a second, but its own joint velocities fit {fits:.3g}; "
        "--fps tells the true rate"
    )


def _parser() -> Parser:
    parser = Parser("data import", f"Makes motion files of recorded motion.\n\n{WHERE}", _EXAMPLES)
    add_reading_options(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the motion files")
    parser.add_argument("--licence", default="", metavar="TEXT", help="a note kept in every file")
    parser.add_argument("--force", action="store_true", help="replace motion files that are there")
    return parser
