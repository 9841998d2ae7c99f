"""Headline figures, and the ratio of two policies in them."""

import math
from pathlib import Path
from typing import Any

import pytest

from tiny import answer, call, complaint
from twist_cmg import evaluate
from twist_cmg.comparison import headline, ratios


def kick(vx: float, speed: float, survival: float) -> dict[str, float]:
    return {"vx": vx, "vy": 0.0, "wz": 0.0, "speed": speed, "survival": survival}


def straight(vx: float) -> dict[str, float]:
    names = ("cost_of_transport", "slip", "torque_rate", "target_jerk", "power")
    return {"vx": vx, **{name: vx + index for index, name in enumerate(names)}}


ANSWER: dict[str, Any] = {
    "episodes": 3,
    "grid": {"cells": [], "summary": {"survival": 1.0, "velocity_rmse_1s": None}},
    "standing": {"survival": 0.5, "drift": math.nan, "reward": 9.0},
    "kicks": {"cells": [kick(0.5, 0.8, 0.9), kick(0.0, 1.2, 0.0)]},
    "fast": {"cells": [{"vx": 1.5, "survival": 0.25, "mean_vx": 1.4}]},
    "quality": {"cells": [straight(0.5), straight(1.0)]},
}


def test_headline_figures_are_named_and_known() -> None:
    assert headline(ANSWER) == {
        "grid survival": 1.0,
        "standing survival": 0.5,
        "kicks walking 0.8 m/s survival": 0.9,
        "kicks standing 1.2 m/s survival": 0.0,
        "1.5 m/s survival": 0.25,
        "1.5 m/s mean_vx": 1.4,
        "0.5 m/s cost_of_transport": 0.5,
        "0.5 m/s slip": 1.5,
        "0.5 m/s torque_rate": 2.5,
        "0.5 m/s target_jerk": 3.5,
    }
    assert headline({"episodes": 2}) == {}


def test_ratios_are_those_that_there_are() -> None:
    one, other = {"a": 3.0, "b": 1.0, "c": 2.0}, {"a": 2.0, "b": 0.0, "d": 4.0}
    assert ratios(one, other) == {"a": 1.5}


def test_two_policies_take_the_same_exams(
    tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["policy", str(tiny_run), "--against", str(tiny_run), "--exams", "standing"]
    given += ["--episodes", "2", "evaluation.noise=1", "evaluation.delay=1"]
    assert call(evaluate.main, *given) == 0
    assert "against" in capsys.readouterr().out
    assert call(evaluate.main, *given, "--json", "-") == 0
    both = answer(capsys)
    assert both["noise"] == both["delay"] == both["against"]["delay"] == 1
    assert both["standing"] == both["against"]["standing"]
    assert all(ratio == 1 for ratio in both["ratios"].values())
    assert call(evaluate.main, *given, "evaluation.delay=0", "--json", "-") == 0
    assert answer(capsys)["standing"]["reward"] != both["standing"]["reward"]


def test_who_is_compared_must_be_there(tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(evaluate.main, "policy", str(tiny_run), "--against", "no_such") == 2
    assert "there is no policy no_such" in complaint(capsys)
    assert call(evaluate.main, "cmg", "--against", "teacher") == 2
    assert "evaluate cmg knows" in complaint(capsys)
