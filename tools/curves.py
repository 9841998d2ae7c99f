"""Draws the learning curves of teachers: `python tools/curves.py PICTURE RUN...`.

Each run folder is a line: the evaluation of its policy while it was trained, and its falls with
exploration, pushes and randomisation. Needs matplotlib.
"""

import csv
import sys
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt

SMOOTH = 20  # iterations


def columns(file: Path, *names: str) -> list[list[float]]:
    """Of the rows that hold them all."""
    with file.open() as lines:
        rows = [row for row in csv.DictReader(lines) if all(row[name] for name in names)]
    return [[float(row[name]) for row in rows] for name in names]


def draw(picture: Path, runs: list[Path]) -> None:
    figure, (survival, error, falls) = plt.subplots(1, 3, figsize=(11, 3), layout="constrained")
    for run in runs:
        steps, rate = columns(run / "progress.csv", "env_steps", "fall_rate")
        steps.insert(0, 0.0)
        names = ("iteration", "survival_10s", "velocity_rmse_1s_10s")
        iterations, survived, errors = columns(run / "evaluation.csv", *names)
        at = [steps[int(i)] / 1e6 for i in iterations]
        survival.plot(at, [100 * x for x in survived], label=run.name)
        error.plot(at, errors)
        means = [sum(rate[max(0, i - SMOOTH) : i]) / min(i, SMOOTH) for i in range(1, len(rate))]
        falls.plot([step / 1e6 for step in steps[1 : len(rate)]], means)
    survival.set_ylabel("10-s episodes survived, %")
    error.set_ylabel("velocity RMSE over 1 s, m/s")
    falls.set_ylabel("falls per s in training")
    for axes in (survival, error, falls):
        axes.set_xlabel("million environment steps")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    survival.legend()
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    draw(Path(sys.argv[1]), [Path(run) for run in sys.argv[2:]])
