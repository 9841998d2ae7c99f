"""Tables of what the exams found, for people."""

import math
from collections.abc import Callable, Mapping, Sequence

from rich import box
from rich.table import Table

from .exams import MEASURES, summary
from .trials import QUALITY, Answer, Cell


def grid_table(cells: Sequence[Cell], title: str) -> Table:
    """Survival and velocity errors of each command, and their mean; 1-s: averaged over a second."""
    table = Table(title=title, show_footer=True, footer_style="bold", box=box.SIMPLE)
    mean = summary(cells)
    table.add_column("   vx    vy    wz", footer="all", no_wrap=True)
    table.add_column("mean of each", no_wrap=True)
    heads = ("survival", "v RMSE", "v 1-s", "yaw 1-s")
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
    table.add_row(_share(answer), _plain(100 * answer["drift"], " cm"))
    return table


def _quality(answer: Answer) -> Table:
    cells = answer["cells"]
    table = _table("quality of straight walking", "", *(f"{cell['vx']:g} m/s" for cell in cells))
    for name in ("velocity_rmse_1s", "yaw_rate_rmse_1s", *QUALITY):
        table.add_row(_with_unit(name), *(_plain(cell[name]) for cell in cells))
    return table


def _kicks(answer: Answer) -> Table:
    return _survivals(answer, "survival of kicks", "{speed:g} m/s")


def _pulses(answer: Answer) -> Table:
    return _survivals(answer, "survival of forces on the pelvis", "{newton:g} N\n{seconds:g} s")


def _transitions(answer: Answer) -> Table:
    table = _table("new commands", "", "survival", "to 90 %, s", "overshoot")
    for cell in answer["cells"]:
        rise, overshoot = _plain(cell["rise_s"]), _plain(100 * cell["overshoot"], "%")
        table.add_row(cell["name"], _share(cell), rise, overshoot)
    return table


def _sweep(answer: Answer) -> Table:
    return _conditions(answer, "other bodies, floors and sensors", "parameter", "value")


def _terrain(answer: Answer) -> Table:
    return _conditions(answer, "uneven ground", "kind", "size")


def _clips(answer: Answer) -> Table:
    heads = ("survival", "lived, s", "of", "1-s RMSE", "joints, rad", "key bodies, m")
    table = _table("recorded clips", "", *heads)
    for cell in answer["cells"]:
        errors = (cell[name] for name in ("reference_rmse_1s", "joint_error", "key_body_error"))
        lived = f"{cell['lived_s']:.1f}", f"{cell['seconds']:.1f}"
        table.add_row(cell["name"], _share(cell), *lived, *map(_plain, errors))
    return table


def _conditions(answer: Answer, title: str, name: str, value: str) -> Table:
    table = _table(title, name, value, "survival", "v 1-s", "yaw 1-s")
    for cell in answer["cells"]:
        errors = _plain(cell["velocity_rmse_1s"]), _plain(cell["yaw_rate_rmse_1s"])
        table.add_row(_with_unit(cell[name]), f"{cell[value]:g}", _share(cell), *errors)
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
    "clips": _clips,
}
_UNITS = dict.fromkeys(("velocity_rmse_1s", "slip"), "m/s") | {
    "yaw_rate_rmse_1s": "rad/s",
    "clearance": "m",
    "target_jerk": "rad/s^3",
    "torque_rate": "N m/s",
    "power": "W",
    "peak_force": "weights",
    "asymmetry": "rad",
    "joint_error": "rad",
    "key_body_error": "m",
    "tilt_error": "rad",
    "height_error": "m",
    "payload": "kg",
    "com": "m",
    "delay": "steps",
    "timestep": "s",
    "rough": "m",
    "slopes": "deg",
    "steps": "m",
}


def _table(title: str, *heads: str) -> Table:
    table = Table(title=title, box=box.SIMPLE)
    for i, head in enumerate(heads):
        table.add_column(head, justify="right" if i else "left", no_wrap=True)
    return table


def _survivals(answer: Answer, title: str, head: str) -> Table:
    """A row for each command, a column for each disturbance, whose `head` is a format."""
    rows: dict[str, list[Cell]] = {}
    for cell in answer["cells"]:
        rows.setdefault(_command(cell), []).append(cell)
    first = next(iter(rows.values()))
    table = _table(title, "   vx    vy    wz", *(head.format(**cell) for cell in first))
    for command, cells in rows.items():
        table.add_row(command, *(f"{cell['survival']:.1%}" for cell in cells))
    return table


def _with_unit(name: str) -> str:
    return f"{name}, {_UNITS[name]}" if name in _UNITS else name


def _share(cell: Cell) -> str:
    """A survival with its 95 % interval."""
    return f"{cell['survival']:.1%} ({cell['survival_low']:.0%}-{cell['survival_high']:.0%})"


def _command(cell: Cell) -> str:
    return " ".join(_velocity(cell[axis]) for axis in ("vx", "vy", "wz"))


def _number(name: str, value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.1%}" if name == "survival" else f"{value:.3f}"


def _plain(value: float, unit: str = "") -> str:
    return f"{value:.3g}{unit}" if math.isfinite(value) else "-"


def _velocity(value: float) -> str:
    return f"{value:5.2f}" if math.isfinite(value) else "    -"
