"""Exams: which trials they ask for, what they make of the results, and each of them for real."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from columns import made_up
from motions import save_pickle, twist
from tiny import TINY, answer, call, train_tiny
from twist_cmg import _C, evaluate, exam_conditions, exam_events
from twist_cmg.exam_events import exam_kicks, exam_pulses, exam_transitions, step_response
from twist_cmg.exam_tables import exam_table
from twist_cmg.exams import EXAMS, MEASURES, exam_grid, statue_score, summary
from twist_cmg.trials import QUALITY, STAND, SURVIVAL, WALK, Columns, Subject

COMMAND = {"vx", "vy", "wz"}


class Paper:
    """A subject whose trials are noted, not run; `survived` and `velocity` are what they give."""

    trial, make_environment = Subject.trial, Subject.make_environment

    def __init__(self, survived: Any = 1.0, velocity: Any = None) -> None:
        self.survived, self.velocity = survived, velocity
        self.asked: list[Any] = []
        self.runs: list[Any] = []
        self.motion = SimpleNamespace(
            config=SimpleNamespace(evaluation=_C.EvaluationSettings(), env=_C.EnvSettings()),
            command_pool=lambda commands, frames: self.asked.append((tuple(commands), frames)),
            planned_pool=self.asked.append,
        )

    def run(
        self, pool: Any, trials: Sequence[_C.Trial], seconds: float, *more: Any, **named: Any
    ) -> Columns:
        self.runs.append((list(trials), seconds, *more))
        survived = self.survived(trials) if callable(self.survived) else self.survived
        columns = made_up(len(trials), survived=survived)
        return columns if self.velocity is None else columns | {"velocity": self.velocity}


def angle(x: float, y: float) -> int:
    """In eighths of a turn."""
    eighths = math.atan2(y, x) / (math.pi / 4)
    assert eighths == pytest.approx(round(eighths), abs=1e-6)
    return round(eighths) % 8


@pytest.mark.parametrize(("episodes", "repeats"), [(1, 1), (32, 1), (33, 2)])
def test_kicks_come_from_all_sides_at_all_phases(episodes: int, repeats: int) -> None:
    subject = Paper()
    answer = exam_kicks(subject, episodes)
    ((commands, frames),) = subject.asked
    ((trials, seconds),) = subject.runs
    assert commands == (WALK, STAND) and frames > 50 * seconds
    seen = Counter(
        (trial.stream, round(math.hypot(*trial.push), 6), angle(*trial.push), trial.push_step)
        for trial in trials
    )
    steps = (150, 160, 170, 180)  # 3 s, then quarters of a stride of 0.8 s
    speeds = (0.8, 1.2, 1.6, 2.0)
    assert set(seen.values()) == {repeats}
    assert set(seen) == {
        (stream, speed, direction, step)
        for stream in range(2)
        for speed in speeds
        for direction in range(8)
        for step in steps
    }
    assert seconds * 50 >= max(steps) + 4 * 50  # the last kick must be survived for 4 s
    assert [(cell["vx"], cell["speed"], cell["episodes"]) for cell in answer["cells"]] == [
        (vx, speed, 32 * repeats) for vx in (0.5, 0.0) for speed in speeds
    ]


def test_pulses_come_from_all_sides_at_all_phases() -> None:
    subject = Paper()
    cells = exam_pulses(subject, 8)["cells"]
    ((trials, _),) = subject.runs
    seen = {
        (t.stream, t.pull_steps, round(math.hypot(*t.pull[:2])), angle(*t.pull[:2]), t.pull_step)
        for t in trials
    }
    pulses = ((4, 200), (4, 400), (4, 600), (10, 100), (10, 200))  # control steps, N
    assert seen == {
        (stream, *pulse, direction, step)
        for stream in range(2)
        for pulse in pulses
        for direction in range(8)
        for step in (150, 160, 170, 180)
    }
    assert len(trials) == len(seen) == 2 * 5 * 32
    assert all(t.pull[2] == 0 and t.pull_body == 1 and t.push_step == -1 for t in trials)
    assert [cell["newton_seconds"] for cell in cells[:5]] == pytest.approx([16, 32, 48, 20, 40])


def test_survival_goes_to_the_cell_of_its_trials() -> None:
    def only_hard_kicks_while_standing_fell(trials: Sequence[_C.Trial]) -> list[float]:
        return [float(t.stream == 0 or math.hypot(*t.push) < 1.9) for t in trials]

    cells = exam_kicks(Paper(only_hard_kicks_while_standing_fell), 32)["cells"]
    lost = [(cell["vx"], cell["speed"]) for cell in cells if cell["survival"] < 1]
    assert lost == [(0.0, 2.0)] and cells[-1]["survival"] == 0


# --- the answer to a new command


def ramp(old: float, new: float, begin_s: float, rise_s: float) -> np.ndarray:
    """A velocity (600) over 12 s that begins to change at a time and takes its time."""
    time = np.arange(600) / 50
    return old + (new - old) * np.clip((time - begin_s) / rise_s, 0, 1)


@pytest.mark.parametrize(("old", "new"), [(0.0, 0.5), (0.5, -0.5), (0.0, -0.8)])
def test_the_time_of_a_ramp_is_told(old: float, new: float) -> None:
    # a straight ramp of 2 s: its mean over 0.7 s is the ramp itself until its last 0.35 s
    response = step_response(ramp(old, new, 6, 2)[None], old, new, 300)
    assert response["rise_s"] == pytest.approx(0.9 * 2, abs=0.05)
    assert response["overshoot"] < 1e-9


def test_a_ramp_half_way_never_arrives() -> None:
    response = step_response(ramp(0, 0.25, 6, 1)[None], 0, 0.5, 300)
    assert math.isnan(response["rise_s"]) and response["overshoot"] == 0


def test_what_was_before_the_command_does_not_count() -> None:
    early = ramp(0, 0.5, 3, 1) - ramp(0, 0.5, 5, 0.5) + ramp(0, 0.5, 8, 0.02)
    rise = step_response(early[None], 0, 0.5, 300)["rise_s"]
    assert rise == pytest.approx(2 + 0.4 * 0.7, abs=0.03)  # 90 % of a mean over 0.7 s


def test_the_overshoot_is_a_share_of_the_way() -> None:
    over = ramp(0.5, -0.7, 6, 0.5) + ramp(0, 0.2, 9, 0.5)
    assert step_response(over[None], 0.5, -0.5, 300)["overshoot"] == pytest.approx(0.2)


def test_sway_within_a_stride_and_between_trials_is_averaged() -> None:
    time = np.arange(600) / 50
    sway = 0.3 * np.sin(2 * np.pi * time / 0.7)
    two = np.stack([ramp(0, 0.4, 6, 2) + sway, ramp(0, 0.6, 6, 2) + sway])
    response = step_response(two, 0, 0.5, 300)
    assert response["rise_s"] == pytest.approx(1.8, abs=0.05)
    assert response["overshoot"] == pytest.approx(0, abs=0.01)


def test_without_trials_there_is_no_answer() -> None:
    response = step_response(np.zeros((0, 600)), 0.5, 0, 300)
    assert math.isnan(response["rise_s"]) and math.isnan(response["overshoot"])


def test_transitions_look_at_the_axis_that_changes_and_at_survivors() -> None:
    walks = [(0, 0.5, 0), (0.5, 0, 0), (0.5, -0.5, 0), (0, 0.8, 2)]  # old, new, axis
    velocity = np.zeros((8, 600, 3), np.float32)
    for i, (old, new, axis) in enumerate(walks):
        velocity[2 * i, :, axis] = ramp(old, new, 6, 2)  # its twin fell: nothing but zeros
    cells = exam_transitions(Paper([1, 0] * 4, velocity), 2)["cells"]
    assert [cell["name"] for cell in cells] == ["start", "stop", "reverse", "turn"]
    for cell in cells:
        assert cell["survival"] == 0.5 and cell["episodes"] == 2
        assert cell["rise_s"] == pytest.approx(1.8, abs=0.05) and cell["overshoot"] < 0.01
    nobody = exam_transitions(Paper([0] * 8, velocity), 2)["cells"]
    assert all(math.isnan(cell["rise_s"]) for cell in nobody)


# --- conditions


def test_the_sweep_changes_one_thing_at_a_time() -> None:
    subject = Paper()
    cells = EXAMS["sweep"](subject, 5)["cells"]
    assert len(cells) == len(subject.runs) == 25
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
    assert "uneven ground" in output.err and "survival of forces" in output.err


def test_recorded_clips_are_examined_one_by_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "clips").mkdir()
    for name in "ab":
        save_pickle(tmp_path / "clips" / f"{name}.pkl", twist())
    source = ("reference.source=clips", f"reference.clips={tmp_path}/clips")
    run = train_tiny(capsys, *TINY, *source, "--iterations", "1", "--out", f"{tmp_path}/run")
    assert run
    where = f"{tmp_path}/run"
    wanted = ("--exams", "clips", "--episodes", "3", "--json", "-")
    assert call(evaluate.main, "policy", where, *wanted) == 0
    cells = answer(capsys)["clips"]["cells"]
    assert [(cell["name"], cell["episodes"]) for cell in cells] == [("a", 3), ("b", 3)]
    for cell in cells:
        assert 0 < cell["lived_s"] <= cell["seconds"]
        assert cell["joint_error"] > 0 and cell["key_body_error"] > 0
