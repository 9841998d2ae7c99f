"""The headline figures of an evaluation, and how two policies compare in them."""

import math
from collections.abc import Mapping

from rich import box
from rich.table import Table

from .trials import Answer

# of the cells of straight walking: those at 0.5 m/s
_QUALITY = ("cost_of_transport", "slip", "torque_rate", "target_jerk")


def headline(answer: Answer) -> dict[str, float]:
    """The figures by which policies are compared, of those exams that were held."""
    figures: dict[str, float | None] = {}
    if "grid" in answer:
        figures |= {f"grid {name}": value for name, value in answer["grid"]["summary"].items()}
    if "standing" in answer:
        figures |= {f"standing {name}": answer["standing"][name] for name in ("survival", "drift")}
    for name in ("kicks", "pulses"):
        for cell in answer.get(name, {}).get("cells", []):
            how = "walking" if cell["vx"] else "standing"
            size = f"{cell['speed']:g} m/s" if name == "kicks" else f"{cell['newton_seconds']:g} Ns"
            figures[f"{name} {how} {size} survival"] = cell["survival"]
    for cell in answer.get("fast", {}).get("cells", []):
        figures[f"{cell['vx']:g} m/s survival"] = cell["survival"]
        figures[f"{cell['vx']:g} m/s mean_vx"] = cell["mean_vx"]
    for cell in answer.get("quality", {}).get("cells", [])[:1]:
        figures |= {f"{cell['vx']:g} m/s {name}": cell[name] for name in _QUALITY}
    return {name: value for name, value in figures.items() if _known(value)}


def ratios(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """one / other of every figure that both have and that is not zero in the other."""
    return {name: one[name] / other[name] for name in one if other.get(name)}


def comparison_table(names: tuple[str, str], one: Answer, other: Answer) -> Table:
    """The headline figures of two policies beside each other, and their ratio."""
    first, second = headline(one), headline(other)
    shares = ratios(first, second)
    table = Table(title=f"{names[0]} against {names[1]}", box=box.SIMPLE)
    for head in ("", *names, "ratio"):
        table.add_column(head, justify="right" if head else "left", no_wrap=True)
    for name, value in first.items():
        if name in second:
            share = f"{shares[name]:.2f}" if name in shares else "-"
            table.add_row(name, f"{value:.3g}", f"{second[name]:.3g}", share)
    return table


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
