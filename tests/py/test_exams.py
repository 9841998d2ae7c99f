"""Exams under conditions and on the grid; tables; all of them for real."""

import json
import math
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from columns import Paper
from motions import two_clips
from tiny import TINY, answer, call, train_tiny
from twist_cmg import evaluate, exam_conditions, exam_events
from twist_cmg.exam_tables import exam_table
from twist_cmg.exams import EXAMS, MEASURES, exam_grid, statue_score, summary
from twist_cmg.trials import QUALITY, SURVIVAL

COMMAND = {"vx", "vy", "wz"}


# --- conditions


def test_the_sweep_changes_one_thing_at_a_time() -> None:
    subject = Paper()
    cells = EXAMS["sweep"](subject, 5)["cells"]
    assert len(cells) == len(subject.runs) == 29
    for cell, (trials, seconds, settle_s, environment) in zip(cells, subject.runs, strict=True):
        assert (seconds, settle_s, cell["episodes"]) == (10, 2, 8)  # 5 rounded up over 4 commands
        assert [t.stream for t in trials] == [0, 0, 1, 1, 2, 2, 3, 3]
        name, value = cell["parameter"], cell["value"]
        usual = {"friction": 0.8, "payload": 0.0, "delay": 0.0}
        usual |= dict.fromkeys(("mass", "kp", "kd", "strength"), 1.0)
        wanted = {**usual, name: value} if name in usual else usual
        for trial in trials:
            assert {key: getattr(trial.body, key) for key in usual} == wanted
            assert list(trial.body.com) == [value if name == "com" else 0, 0, 0]
        assert environment.randomise.noise == (value if name == "noise" else 0)
        assert environment.sim.timestep == (value if name == "timestep" else 0.002)
        assert environment.sim.timestep * environment.sim.decimation == pytest.approx(0.02)


def test_terrain_is_what_the_cell_says() -> None:
    subject = Paper()
    cells = EXAMS["terrain"](subject, 4)["cells"]
    for cell, (trials, _, _, environment) in zip(cells, subject.runs, strict=True):
        terrain = environment.terrain
        size = terrain.slope_deg if cell["kind"] == "slopes" else terrain.height
        assert (terrain.kind, size) == (cell["kind"], cell["size"])
        assert all(trial.body.terrain == 1 for trial in trials)
    assert {cell["kind"] for cell in cells} == {"rough", "slopes", "steps"}


# --- cells


def cell(vx: float, reward: float = 1.0, statue: float = 0.5, **more: float) -> dict[str, float]:
    command = {"vx": vx, "vy": 0.0, "wz": 0.0}
    return {**command, "reward": reward, "statue": statue, **dict.fromkeys(MEASURES, 0.1), **more}


def test_the_statue_earns_a_share_of_the_walking_commands() -> None:
    cells = [cell(0, 9, 9), cell(0.5, 2, 1), cell(-0.5, 4, 0.5), cell(0, 2, 0.5) | {"wz": 0.8}]
    assert statue_score(cells) == pytest.approx((1 + 0.5 + 0.5) / (2 + 4 + 2))
    assert statue_score([cell(0, 9, 9)]) is None  # it may stand there
    assert statue_score([cell(1, -2, 1)]) is None  # a policy that earns nothing has no share


def test_a_summary_is_over_what_is_known() -> None:
    cells = [cell(0, survival=1.0), cell(1, survival=0.0) | {"velocity_rmse": math.nan}]
    mean = summary(cells)
    assert mean["survival"] == 0.5 and mean["velocity_rmse"] == pytest.approx(0.1)
    assert summary([cell(0) | {"velocity_rmse": math.nan}])["velocity_rmse"] is None


def test_the_grid_is_that_of_the_configuration() -> None:
    subject = Paper()
    settings = subject.motion.config.evaluation
    settings.vx, settings.vy, settings.wz = [0.0, 1.0], [0.0], [-0.8, 0.8]
    settings.seconds, settings.settle_s = 7, 3
    answer = exam_grid(subject, 3)
    commands = [(cell["vx"], cell["vy"], cell["wz"]) for cell in answer["cells"]]
    assert commands == [(0, 0, -0.8), (0, 0, 0.8), (1, 0, -0.8), (1, 0, 0.8)]
    ((trials, *times),) = subject.runs
    assert [t.stream for t in trials] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3] and times == [7, 3]
    assert {cell["episodes"] for cell in answer["cells"]} == {3}


# --- all of it for real


@pytest.fixture(scope="module")
def short() -> Iterator[None]:
    """Fewer conditions than usual."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exam_events, "KICKS", (0.8,))
        patch.setattr(exam_events, "PULSES", ((0.08, 200.0),))
        patch.setattr(exam_conditions, "SWEEP", {"friction": (0.6,), "com": (0.05,)})
        patch.setattr(exam_conditions, "TERRAINS", (("slopes", 5.0), ("steps", 0.04)))
        yield


@pytest.fixture(scope="module")
def examined(
    short: None, tiny_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The JSON of all exams of a policy that falls at once."""
    file = tmp_path_factory.mktemp("exams") / "cells.json"
    wanted = ("--episodes", "2", "--seconds", "1.2", "evaluation.settle_s=0.1")
    assert call(evaluate.main, "policy", str(tiny_run), *wanted, "--json", str(file)) == 0
    return json.loads(file.read_text(), parse_constant=pytest.fail)


def test_the_grid_has_every_figure(examined: dict[str, Any]) -> None:
    grid = examined["grid"]
    assert [(c["vx"], c["vy"], c["wz"]) for c in grid["cells"]] == [(0.5, 0, 0), (0.5, 0, 0.8)]
    for figures in grid["cells"]:
        assert {*COMMAND, *SURVIVAL, *MEASURES, *QUALITY, "drift", "statue"} <= set(figures)
        assert figures["episodes"] == 2 and figures["survival"] == 1  # so soon nobody falls
        unknown = {name for name, value in figures.items() if value is None}
        assert unknown <= {"asymmetry", "clearance"}
        assert figures["velocity_rmse_1s_low"] <= figures["velocity_rmse_1s"]
        assert 0 < figures["velocity_rmse_1s"] <= figures["velocity_rmse_1s_high"] < 2
    assert set(grid["summary"]) == set(MEASURES) and grid["statue_score"] > 0


def test_unknown_numbers_are_null(examined: dict[str, Any]) -> None:
    standing = examined["standing"]
    assert standing["survival"] == 0 and standing["velocity_rmse"] is None
    assert standing["drift"] is None and standing["survival_high"] < 1
    for name in ("quality", "fast"):
        for figures in examined[name]["cells"]:
            assert set(figures) == set(standing) and figures["velocity_rmse_1s"] is None
    assert [c["vx"] for c in examined["quality"]["cells"]] == [0.5, 1.0, -0.5]
    assert [c["vx"] for c in examined["fast"]["cells"]] == [1.5, 2.0]
    assert examined["transitions"]["cells"][0]["rise_s"] is None


@pytest.mark.parametrize(
    ("exam", "names", "cells"),
    [
        ("kicks", {*COMMAND, *SURVIVAL, "speed"}, 2),
        ("pulses", {*COMMAND, *SURVIVAL, "seconds", "newton", "newton_seconds"}, 2),
        ("transitions", {*SURVIVAL, "name", "rise_s", "overshoot"}, 4),
        (
            "sweep",
            {*SURVIVAL, "parameter", "value", "velocity_rmse_1s", "yaw_rate_rmse_1s"},
            2,
        ),
        ("terrain", {*SURVIVAL, "kind", "size", "velocity_rmse_1s", "yaw_rate_rmse_1s"}, 2),
    ],
)
def test_every_other_exam_has_its_cells(
    examined: dict[str, Any], exam: str, names: set[str], cells: int
) -> None:
    assert [set(figures) for figures in examined[exam]["cells"]] == [names] * cells
    for figures in examined[exam]["cells"]:
        assert 0 <= figures["survival_low"] <= figures["survival"] <= figures["survival_high"] <= 1


def test_the_answer_says_what_was_examined(examined: dict[str, Any], tiny_run: Path) -> None:
    assert set(EXAMS) - {"clips"} == set(EXAMS) & set(examined)
    assert examined["policy"] == str(tiny_run) and examined["iteration"] == 2
    assert examined["env_steps"] == 2 * 20 * 16 and examined["episodes"] == 2
    assert (examined["timestep"], examined["decimation"]) == (0.002, 10)
    assert (examined["collision"], examined["friction"]) == ("full", 0.8)
    assert examined["checkpoint"].endswith("last.pt") and len(examined["policy_hash"]) == 64


@pytest.mark.parametrize("exam", [name for name in EXAMS if name != "clips"])
def test_tables_fit_and_have_no_holes(exam: str) -> None:
    survived = 1.0 if exam != "standing" else 0.0
    velocity = np.zeros((64, 600, 3), np.float32)
    subject = Paper(survived, velocity[: 4 * 2] if exam == "transitions" else None)
    text = StringIO()
    Console(file=text, width=80).print(exam_table(exam, EXAMS[exam](subject, 2)))
    assert "nan" not in text.getvalue() and "…" not in text.getvalue()
    expected = "  - " if exam in ("standing", "transitions") else "100.0%"
    assert (expected if exam != "quality" else "joint_error, rad") in text.getvalue()


# --- the command


@pytest.mark.parametrize("given", ["nonsense", "", "grid,nonsense", "grid kicks"])
def test_an_unknown_exam_is_refused(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(evaluate.main, "policy", "no_such", "--exams", given) == 2
    told = capsys.readouterr().err
    named = given.rpartition(",")[2]
    assert f"there is no exam {named!r}; there are {', '.join(EXAMS)}" in told


def test_exams_may_be_chosen(
    short: None, tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = ("--exams", "terrain, pulses,terrain", "--episodes", "1", "--json", "-")
    assert call(evaluate.main, "policy", str(tiny_run / "policy.pt"), *wanted) == 0
    output = capsys.readouterr()
    answer = json.loads(output.out)
    assert [name for name in answer if name in EXAMS] == ["terrain", "pulses"]
    assert output.err.count("uneven ground") == output.err.count("survival of forces") == 1


def test_recorded_clips_are_examined_one_by_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = f"{tmp_path}/run"
    train_tiny(capsys, *TINY, *two_clips(tmp_path), "--iterations", "1", "--out", where)
    wanted = ("--exams", "clips", "--episodes", "3", "--json", "-")
    assert call(evaluate.main, "policy", where, *wanted) == 0
    cells = answer(capsys)["clips"]["cells"]
    assert [(cell["name"], cell["episodes"]) for cell in cells] == [("a", 3), ("b", 3)]
    for cell in cells:
        assert 0 < cell["lived_s"] <= cell["seconds"]
        assert cell["joint_error"] > 0 and cell["key_body_error"] > 0
