"""Tables of what the exams found, for people."""

import math
from collections.abc import Callable, Mapping, Sequence

from rich import box
from rich.table import Table

from .exams import KICKS, MEASURES, Answer, summary
from .trials import QUALITY, Cell


def grid_table(cells: Sequence[Cell], title: str) -> Table:
    """Survival and velocity of each command, and their mean."""
    table = Table(title=title, show_footer=True, footer_style="bold", box=box.SIMPLE)
    mean = summary(list(cells))
    table.add_column("   vx    vy    wz", footer="all", no_wrap=True)
    table.add_column("mean of each", no_wrap=True)
    heads = ("survival", "v RMSE", "1-s RMSE", "yaw 1-s")
    for head, name in zip(heads, MEASURES, strict=True):
        table.add_column(head, justify="right", footer=_number(name, mean[name]), no_wrap=True)
    for cell in cells:
        measures = [_number(name, cell[name]) for name in MEASURES]
        moved = [_velocity(cell[f"mean_{axis}"]) for axis in ("vx", "vy", "wz")]
        table.add_row(_command(cell), " ".join(moved), *measures)
    return table


def exam_table(name: str, answer: Answer) -> Table:
    """The table of one exam."""
    return _TABLES[name](answer)


def _grid(answer: Answer) -> Table:
    cells = answer["cells"]
    table = grid_table(cells, f"command grid, {cells[0]['episodes']} episodes each")
    score = answer["statue_score"]
    table.caption = "a statue would earn " + ("-" if score is None else f"{score:.0%}")
    table.caption += " of the policy's reward on the walking commands"
    return table


def _fast(answer: Answer) -> Table:
    return grid_table(answer["cells"], "fast")


def _standing(answer: Answer) -> Table:
    table = _table("standing for 20 s", "survival", "drift")
    table.add_row(_share(answer), f"{100 * answer['drift']:.1f} cm")
    return table


def _quality(answer: Answer) -> Table:
    cells = answer["cells"]
    table = _table("quality", "", *(_command(cell) for cell in cells))
    for name in ("velocity_rmse_1s", "yaw_rate_rmse_1s", *QUALITY):
        unit = _UNITS[name]
        table.add_row(name + (f", {unit}" if unit else ""), *(_plain(cell[name]) for cell in cells))
    return table


def _kicks(answer: Answer) -> Table:
    table = _table("survival of kicks", "   vx    vy    wz", *(f"{speed:g} m/s" for speed in KICKS))
    _rows_of(table, answer["cells"], len(KICKS))
    return table


def _pulses(answer: Answer) -> Table:
    cells = answer["cells"]
    first = [cell for cell in cells if _command(cell) == _command(cells[0])]
    heads = (f"{cell['newton']:g} N x {cell['seconds']:g} s" for cell in first)
    table = _table("survival of forces on the pelvis", "   vx    vy    wz", *heads)
    _rows_of(table, cells, len(first))
    return table


def _transitions(answer: Answer) -> Table:
    table = _table("new commands", "", "survival", "to 90 %, s", "overshoot")
    for cell in answer["cells"]:
        rise = _plain(cell["rise_s"])
        table.add_row(cell["name"], _share(cell), rise, f"{cell['overshoot']:.0%}")
    return table


def _sweep(answer: Answer) -> Table:
    return _conditions(answer, "other bodies, floors and sensors", "parameter", "value")


def _terrain(answer: Answer) -> Table:
    return _conditions(answer, "uneven ground", "kind", "size")


def _conditions(answer: Answer, title: str, name: str, value: str) -> Table:
    table = _table(title, name, value, "survival", "1-s RMSE", "yaw 1-s")
    for cell in answer["cells"]:
        errors = _plain(cell["velocity_rmse_1s"]), _plain(cell["yaw_rate_rmse_1s"])
        table.add_row(str(cell[name]), f"{cell[value]:g}", _share(cell), *errors)
    return table


_TABLES: Mapping[str, Callable[[Answer], Table]] = {
    "grid": _grid,
    "standing": _standing,
    "quality": _quality,
    "fast": _fast,
    "kicks": _kicks,
    "pulses": _pulses,
    "transitions": _transitions,
    "sweep": _sweep,
    "terrain": _terrain,
}
_UNITS = dict.fromkeys(("velocity_rmse_1s", "slip"), "m/s") | {
    "yaw_rate_rmse_1s": "rad/s",
    "clearance": "m",
    "target_jerk": "rad/s^3",
    "torque_rate": "N m/s",
    "saturation": "",
    "power": "W",
    "cost_of_transport": "",
    "peak_force": "weights",
    "asymmetry": "rad",
    "joint_error": "rad",
    "key_body_error": "m",
    "tilt_error": "rad",
    "height_error": "m",
}


def _table(title: str, *heads: str) -> Table:
    table = Table(title=title, box=box.SIMPLE)
    for i, head in enumerate(heads):
        table.add_column(head, justify="right" if i else "left", no_wrap=True)
    return table


def _rows_of(table: Table, cells: Sequence[Cell], columns: int) -> None:
    for i in range(0, len(cells), columns):
        row = cells[i : i + columns]
        table.add_row(_command(row[0]), *(f"{cell['survival']:.1%}" for cell in row))


def _share(cell: Cell) -> str:
    """A survival with its 95 % interval."""
    return f"{cell['survival']:.1%} ({cell['survival_low']:.0%}-{cell['survival_high']:.0%})"


def _command(cell: Cell) -> str:
    return " ".join(_velocity(cell[axis]) for axis in ("vx", "vy", "wz"))


def _number(name: str, value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.1%}" if name == "survival" else f"{value:.3f}"


def _plain(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "-"


def _velocity(value: float) -> str:
    return f"{value:5.2f}" if math.isfinite(value) else "    -"
