"""Exams in which something happens: which trials they ask for, what they make of the results."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from columns import Paper
from twist_cmg import _C
from twist_cmg.exam_events import exam_kicks, exam_pulses, exam_transitions, step_response
from twist_cmg.trials import STAND, WALK


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
