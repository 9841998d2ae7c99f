"""Drawings of motion, for the notebooks.

A drawing takes recordings: streams of motion, each with a description for the legend. It goes to a
new figure of pyplot, in which colours stand for recordings.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from . import _C
from .locomotion import AXES, FRAMES_PER_S, summary, velocities_of
from .motion_out import Recording
from .strides import footprints, stances, strides

try:
    import matplotlib.pyplot as plt
    from matplotlib.axes import Axes
    from matplotlib.patches import Ellipse
except ImportError as error:
    raise ImportError(
        "drawings need matplotlib, which the extra 'test' brings: `pip install '.[test]'` in the "
        "source folder, or `pip install matplotlib`"
    ) from error

UNITS = ("m/s", "m/s", "rad/s")
SHOE = (0.19, 0.07)  # length and width of a footprint, m
_GREY = "0.65"
_LINE = 115  # characters of a legend

Floats = NDArray[np.float64]
Span = tuple[float, float] | None  # s; None: all


def recordings(
    robot: _C.Robot, motion: _C.Trajectories, descriptions: Sequence[str]
) -> list[Recording]:
    """The streams of a motion, each by its name."""
    named = zip(range(motion.streams), descriptions, strict=True)
    return [Recording(robot, motion, stream, text) for stream, text in named]


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """A table that a notebook shows; numbers are rounded."""
    made = Table(title=title, box=box.SIMPLE)
    for head in heads:
        made.add_column(head)
    for row in rows:
        made.add_row(*(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row))
    return made


def joint_curves(of: Sequence[Recording], joints: Sequence[str], between: Span = None) -> None:
    """Angles of some joints over time; what is beyond the range of the joint is shaded."""
    lines = -(-len(joints) // 2)
    _, axes = plt.subplots(
        lines, 2, figsize=(11, 1 + 1.6 * lines), sharex=True, layout="constrained", squeeze=False
    )
    for axis, joint in zip(axes.flat, joints, strict=False):
        index = of[0].robot.joint_names.index(joint)
        for recording in of:
            time = _seconds(recording)
            shown = (between[0] <= time) & (time <= between[1]) if between else slice(None)
            angle = recording.rows[:, index]
            axis.plot(time[shown], angle[shown], label=recording.description, lw=1.3)
        low, high = of[0].robot.lower[index], of[0].robot.upper[index]
        _shade_beyond(axis, low, high)
        axis.set_title(f"{_plain(joint)} ({low:.2f} to {high:.2f})", fontsize=10, loc="left")
    for axis in axes[:, 0]:
        axis.set_ylabel("rad")
    for axis in axes[-1]:
        axis.set_xlabel("s")
    _legend(axes.flat[0])


def joint_ranges(of: Sequence[Recording]) -> None:
    """How much of the range of every joint is used: 0 is its lower limit, 100 % the upper one."""
    robot = of[0].robot
    lower, upper = np.asarray(robot.lower), np.asarray(robot.upper)
    _, axis = plt.subplots(figsize=(11, 0.27 * robot.num_joints), layout="constrained")
    height = 0.8 / len(of)
    for number, recording in enumerate(of):
        used = 100 * (recording.rows[:, : robot.num_joints] - lower) / (upper - lower)
        low, high = used.min(axis=0), used.max(axis=0)
        place = np.arange(robot.num_joints) - 0.4 + height * (number + 0.5)
        bars = axis.barh(place, high - low, height, left=low, label=recording.description)
        for bar in bars:  # the edge is what is seen of a joint that does not move
            bar.set(edgecolor=f"C{number}", linewidth=1)
    axis.set_yticks(range(robot.num_joints), [_plain(name) for name in robot.joint_names])
    axis.set_ylim(robot.num_joints - 0.5, -0.5)
    left, right = axis.get_xlim()
    axis.set_xlim(min(left, -2), max(right, 102))
    for limit in (0, 100):
        axis.axvline(limit, color="black", lw=1)
    axis.set_xlabel("% of the range of the joint")
    axis.grid(axis="x", alpha=0.3)
    _legend(axis)


def footfalls(of: Sequence[Recording], between: Span = None) -> None:
    """When each foot is on the ground; where bars overlap, both are."""
    _, axis = plt.subplots(figsize=(11, 0.9 + 0.65 * len(of)), layout="constrained")
    ticks = []
    for number, recording in enumerate(of):
        for side in range(2):
            place = 3 * number + side
            bars = [
                (first / FRAMES_PER_S, (last - first) / FRAMES_PER_S)
                for first, last in stances(recording, side)
            ]
            axis.broken_barh(bars, (place - 0.4, 0.8), color=f"C{number}", alpha=1 - 0.4 * side)
            ticks.append((place, f"{recording.description}   L" if side == 0 else "R"))
    axis.set_yticks(*zip(*ticks, strict=True))
    axis.set_ylim(3 * len(of) - 1.3, -0.7)
    axis.set_xlim(between or (0, max(len(recording.rows) for recording in of) / FRAMES_PER_S))
    axis.set_xlabel("s")


def paths(of: Sequence[Recording]) -> None:
    """The way of the pelvis from above, and where the feet stood (left filled, right hollow)."""
    figure, axis = plt.subplots(layout="constrained")
    for number, recording in enumerate(of):
        poses = _C.body_poses(recording.robot, recording.motion, recording.stream)
        pelvis = poses["positions"][:, 0]
        axis.plot(*pelvis[:, :2].T, color=f"C{number}", label=recording.description)
        for side, centre, heading in footprints(recording, poses):
            shoe = Ellipse(centre, *SHOE, angle=heading, ec=f"C{number}", lw=0.8, alpha=0.5)
            shoe.set_facecolor(f"C{number}" if side == 0 else "none")
            axis.add_patch(shoe)
    axis.plot(0, 0, "ko", ms=5)
    axis.annotate("start", (0, 0), (6, 6), textcoords="offset points", fontsize=9)
    axis.set(aspect="equal", xlabel="x, m", ylabel="y, m")
    axis.margins(0.05)
    axis.grid(alpha=0.3)
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    width, height = np.ptp(axis.get_xlim()), np.ptp(axis.get_ylim())
    figure.set_size_inches(11, np.clip(8.5 * height / width, 2.5, 8))


def velocities(of: Sequence[Recording]) -> None:
    """Velocities, averaged over the second around, and the command of the first (dashed)."""
    _, axes = plt.subplots(3, 1, figsize=(11, 5.5), sharex=True, layout="constrained")
    second = np.ones(FRAMES_PER_S) / FRAMES_PER_S
    for recording in of:
        now = velocities_of(recording.rows, recording.robot.num_joints)
        time = _seconds(recording)[FRAMES_PER_S // 2 :][: len(now) - FRAMES_PER_S + 1]
        for axis, values in zip(axes, now.T, strict=True):
            smooth = np.convolve(values, second, mode="valid")
            axis.plot(time, smooth, label=recording.description)
    targets = of[0].motion.targets[of[0].stream, : len(of[0].rows)]
    for axis, values, name, unit in zip(axes, targets.T, AXES, UNITS, strict=True):
        axis.plot(_seconds(of[0]), values, "k--", lw=1, label="command")
        axis.set_ylabel(f"{name}, {unit}")
        axis.grid(alpha=0.3)
        low, high = axis.get_ylim()  # at least 0.2 wide, so that noise looks like noise
        axis.set_ylim(min(low, (low + high) / 2 - 0.1), max(high, (low + high) / 2 + 0.1))
    axes[-1].set_xlabel("s")
    _legend(axes[0])


def obedience(reports: Mapping[str, Sequence[Mapping[str, float]]]) -> None:
    """Velocity reached over velocity commanded, of `_C.measure_motion`, by generator."""
    _, axes = plt.subplots(1, 3, figsize=(11, 3.8), layout="constrained")
    for axis, name, unit in zip(axes, AXES, UNITS, strict=True):
        for marker, (generator, cells) in zip("o+x^", reports.items(), strict=False):
            wanted = [cell[name] for cell in cells]
            got = [cell[f"mean_{name}"] for cell in cells]
            axis.plot(wanted, got, marker, label=generator, ms=7, mfc="none", alpha=0.8)
        axis.axline((0, 0), slope=1, color=_GREY, lw=1, zorder=0)
        axis.set(title=f"{name}, {unit}", xlabel="commanded")
        axis.set_aspect("equal", adjustable="datalim")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("reached")
    axes[0].legend(loc="upper left", frameon=False)


def speed_bars(of: Sequence[Recording], verdicts: Sequence[str]) -> None:
    """Median and 5 % to 95 % of velocities; grey where a verdict says why a clip is left out."""
    _, axes = plt.subplots(
        1, 3, figsize=(11, 0.9 + 0.32 * len(of)), sharey=True, layout="constrained"
    )
    for place, (recording, verdict) in enumerate(zip(of, verdicts, strict=True)):
        speeds = summary(velocities_of(recording.rows, recording.robot.num_joints))
        color = _GREY if verdict else "C0"
        for axis, name in zip(axes, AXES, strict=True):
            about = speeds[name]
            axis.plot([about["p5"], about["p95"]], [place, place], color=color, lw=5)
            axis.plot(about["p50"], place, "o", color="white", mec=color, ms=7)
    for axis, name, unit in zip(axes, AXES, UNITS, strict=True):
        axis.axvline(0, color="black", lw=0.8, zorder=0)
        axis.set_xlabel(f"{name}, {unit}")
        axis.grid(axis="x", alpha=0.3)
    labels = [
        f"{recording.description} (out: {verdict})" if verdict else recording.description
        for recording, verdict in zip(of, verdicts, strict=True)
    ]
    axes[0].set_yticks(range(len(of)), labels)
    axes[0].set_ylim(len(of) - 0.5, -0.5)


def command_cloud(commands: NDArray[np.float32]) -> None:
    """Which commands (frames, 3) are there: forward against sideways, forward against turning."""
    _, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for axis, other in zip(axes, (1, 2), strict=True):
        shown = commands[:, [0, other]]
        low, high = np.minimum(shown.min(axis=0), -0.5), np.maximum(shown.max(axis=0), (1.5, 0.5))
        extent = (low[0], high[0], low[1], high[1])
        counts = axis.hexbin(*shown.T, gridsize=(40, 20), bins="log", mincnt=1, extent=extent)
        axis.set(xlabel=f"vx, {UNITS[0]}", ylabel=f"{AXES[other]}, {UNITS[other]}")
        axis.grid(alpha=0.3)
    axes[0].figure.colorbar(counts, ax=axes, label="frames")


def stride_curves(of: Sequence[Recording], joints: Sequence[str]) -> None:
    """Joint angles over one stride, from left foot to left foot: mean, and 90 % of the strides."""
    _, axes = plt.subplots(
        1, len(joints), figsize=(11, 3.4), sharex=True, layout="constrained", squeeze=False
    )
    share = np.linspace(0, 100, 101)
    for recording in of:
        angles = strides(recording)
        for axis, joint in zip(axes.flat, joints, strict=True):
            of_joint = angles[:, :, recording.robot.joint_names.index(joint)]
            (line,) = axis.plot(share, of_joint.mean(axis=0), label=recording.description)
            band = np.percentile(of_joint, (5, 95), axis=0)
            axis.fill_between(share, *band, color=line.get_color(), alpha=0.2, lw=0)
    for axis, joint in zip(axes.flat, joints, strict=True):
        axis.set(title=_plain(joint), xlabel="% of the stride")
        axis.grid(alpha=0.3)
    axes.flat[0].set_ylabel("rad")
    _legend(axes.flat[0])


def _seconds(recording: Recording) -> Floats:
    return np.arange(len(recording.rows)) / FRAMES_PER_S


def _plain(joint: str) -> str:
    return joint.removesuffix("_joint").replace("_", " ")


def _shade_beyond(axis: Axes, low: float, high: float) -> None:
    """Shades what is in sight below and above a range."""
    bottom, top = axis.get_ylim()
    margin = 0.05 * (top - bottom)
    bottom, top = bottom - margin, top + margin
    for first, last in ((bottom, low), (high, top)):
        if first < last:
            axis.axhspan(first, last, color="tab:red", alpha=0.15, lw=0)
    axis.set_ylim(bottom, top)


def _legend(axis: Axes) -> None:
    """Above the figure, in as many columns as fit."""
    lines, labels = axis.get_legend_handles_labels()
    columns = max(1, _LINE // (6 + max(map(len, labels))))
    place = "outside upper center"
    axis.figure.legend(lines, labels, loc=place, ncol=min(columns, len(labels)), frameon=False)
