"""Policies are found by name, refused if they do not fit, and measured as the settings say."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from columns import made_up
from tiny import answer, call, complaint
from twist_cmg import _C, evaluate, evaluation, play
from twist_cmg.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from twist_cmg.evaluation import (
    curve_point,
    curve_row,
    known,
    load_policy,
    motion_for,
    track,
    tracking_trials,
)
from twist_cmg.exams import EXAMS
from twist_cmg.paths import shipped
from twist_cmg.trials import Subject, summarise


def altered(run: Path, out: Path, change: Callable[[Checkpoint], None]) -> Path:
    """The policy of a run after a change, as a file."""
    checkpoint = load_checkpoint(run / "policy.pt", "teacher")
    change(checkpoint)
    save_checkpoint(checkpoint, out)
    return out


# --- which policy


def test_a_policy_is_found_by_folder_and_by_file(tiny_run: Path, tmp_path: Path) -> None:
    by_folder = load_policy(str(tiny_run))
    assert by_folder.file == tiny_run / "checkpoints" / "last.pt" and by_folder.folder == tiny_run
    for file in ("policy.pt", "checkpoints/last.pt"):
        policy = load_policy(str(tiny_run / file))
        assert policy.folder == tiny_run and policy.checkpoint.iteration == 2
        assert policy.config.evaluation.vx == [0.5]
    shutil.copy(tiny_run / "policy.pt", tmp_path)  # a folder of somebody else
    assert load_policy(str(tmp_path)).file == tmp_path / "policy.pt"


def test_what_holds_no_policy_is_refused(tiny_run: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(ValueError, match=r"holds no policy yet \(.*last.pt or .*policy.pt\)"):
        load_policy(str(tmp_path))
    with pytest.raises(ValueError, match="holds a cmg, not a teacher or student"):
        load_policy(str(shipped("cmg.pt")))
    empty = altered(tiny_run, tmp_path / "empty.pt", lambda c: c.policy.clear())
    with pytest.raises(ValueError, match=r"empty.pt holds no policy$"):
        load_policy(str(empty))


@pytest.mark.parametrize("name", ["teacher", "student"])
def test_the_shipped_policies_fit(name: str) -> None:
    policy = load_policy(name)
    assert policy.checkpoint.kind == name
    motion = motion_for(policy, _C.Workers(1))
    assert motion.cmg_file == shipped("cmg.pt") and motion.robot.num_actions == 15


def test_a_truncated_policy_is_refused(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = tmp_path / "short.pt"
    content = (tiny_run / "policy.pt").read_bytes()
    short.write_bytes(content[: len(content) // 2])
    assert call(evaluate.main, "policy", str(short)) == 2
    assert "short.pt is damaged or not a checkpoint" in complaint(capsys)


@pytest.mark.parametrize(
    ("part", "index", "name", "told"),
    [
        ("joints", 3, "left_elbow", "number 3 of its joints is 'left_elbow', here it is 'left_kn"),
        ("actions", 0, "tail", "number 0 of its actions is 'tail', here it is 'left_hip_pitch_"),
        ("observation", 1, "gravity:6", "number 1 of its observation is 'gravity:6', here it is"),
        ("observation", None, "smell:1", "of its observation is 'smell:1', here it is 'none'"),
    ],
)
@pytest.mark.parametrize("main", [evaluate.main, play.main])
def test_a_policy_of_another_robot_or_layout_is_refused_by_name(
    tiny_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    main: Callable[..., int],
    part: str,
    index: int | None,
    name: str,
    told: str,
) -> None:
    def change(checkpoint: Checkpoint) -> None:
        names = checkpoint.contract[part]
        names.append(name) if index is None else names.__setitem__(index, name)

    file = altered(tiny_run, tmp_path / "other.pt", change)
    film = tmp_path / "film.mp4"
    given = ["policy", str(file)] if main is evaluate.main else [str(file), "--video", str(film)]
    assert call(main, *given) == 2
    line = complaint(capsys)
    assert "the teacher was made for another robot or version: number " in line and told in line
    assert not film.exists()


# --- how it is measured


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--episodes", "0"], "'0' is not a whole number from 1 on"),
        (["--episodes", "x"], "'x' is not a whole number from 1 on"),
        (["--threads", "0"], "'0' is not a whole number from 1 on"),
        (["--seconds", "0"], "evaluation.seconds must lie in [0.1, 3600], not be 0"),
        (["--seconds", "nan"], "evaluation.seconds must lie in [0.1, 3600], not be nan"),
        (["--seconds", "x"], "invalid float value: 'x'"),
        (["--seconds", "2"], "less than evaluation.seconds (2 s), not 2 s"),
        (["--seed", "-3"], "train.seed must lie in [0, 2147483647], not be -3"),
        (["evaluation.vy=[]"], "evaluation.vy must name a velocity"),
        (["evaluation.vx=[9]"], "evaluation.vx[0] must lie in [-3, 4], not be 9"),
        (["evaluation.vx=1"], "evaluation.vx must be a list of numbers, not 1"),
        (["evaluation.timestep=0.005"], "must be 0.02 s, not 0.005 * 10"),
        (["evaluation.collision=none"], "one of feet, full, not 'none'"),
        (["evaluation.speed=1"], "unknown configuration key 'evaluation.speed'"),
        (["reference.evaluate=clips"], "one of auto, gait, cmg, not 'clips'"),
        (["reference.evaluate=cmg", "reference.cmg=no_such"], "there is no trained CMG no_such"),
        (["robot=h1"], "there is no robot 'h1'"),
        (["extra"], "'extra' is not a setting; write section.key=value"),
        (["--json", "no_such/x.json"], "--json no_such/x.json: there is no such folder"),
        (["--json", "."], "--json . is a folder; give the name of a file"),
    ],
)
def test_wrong_use_is_code_2_and_one_sentence(
    tiny_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(evaluate.main, "policy", str(tiny_run), "--exams", "standing", *arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""  # nothing was run in vain
    lines = output.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and told in lines[0]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("seconds", ["nan", "inf", "9"])
def test_a_roll_out_of_a_cmg_has_a_length(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(evaluate.main, "cmg", "--seconds", seconds) == 2
    assert f"--seconds must lie in [10, 3600] for a roll-out, not be {seconds}" in complaint(capsys)


def test_a_policy_is_measured_the_same_again(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = ("--exams=grid", "--seconds=1.2", "--threads=1", "evaluation.settle_s=0.1")
    file = tmp_path / "cells.json"
    settings = (*wanted, "evaluation.episodes=3", "--json", str(file))
    assert call(evaluate.main, "policy", str(tiny_run), *settings) == 0
    first = json.loads(file.read_text())
    assert {cell["episodes"] for cell in first["grid"]["cells"]} == {first["episodes"]} == {3}
    capsys.readouterr()
    again = (*wanted, "--episodes=3", "--json", "-")
    assert call(evaluate.main, "policy", str(tiny_run / "policy.pt"), *again) == 0
    second = answer(capsys)
    assert second["grid"] == first["grid"] and second["policy_hash"] == first["policy_hash"]
    assert call(evaluate.main, "policy", str(tiny_run), *again, "--seed=7") == 0
    third = answer(capsys)
    assert third["seed"] == 7 and third["grid"] != first["grid"]


@pytest.mark.parametrize(
    ("given", "episodes"),
    [((), 32), (("evaluation.episodes=5",), 5), (("evaluation.episodes=5", "--episodes=6"), 6)],
)
def test_every_exam_gets_its_episodes(
    tiny_run: Path, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...], episodes: int
) -> None:
    asked = []

    def exam(subject: Subject, episodes: int) -> dict[str, list[Any]]:
        asked.append(episodes)
        return {"cells": []}

    monkeypatch.setattr(evaluate, "EXAMS", dict.fromkeys(EXAMS, exam))
    monkeypatch.setattr(evaluate, "exam_table", lambda name, answer: name)
    assert call(evaluate.main, "policy", str(tiny_run), *given) == 0
    assert asked == [episodes] * (len(EXAMS) - 1)  # there are no clips


def test_a_policy_follows_the_cmg_of_its_run_or_another_one(tiny_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(tiny_run / "policy.pt", run)
    shutil.copy(shipped("cmg.pt"), run / "cmg.pt")
    policy = load_policy(str(run))
    assert motion_for(policy, _C.Workers(1)).cmg_file == run / "cmg.pt"
    policy.config.reference.cmg = str(tmp_path / "other.pt")
    policy.config.reference.evaluate = "cmg"
    motion = motion_for(policy, _C.Workers(1))
    with pytest.raises(ValueError, match=r"there is no trained CMG .*other.pt"):
        motion.command_pool([(0.5, 0.0, 0.0)], 100)


# --- the learning curve


def test_the_curve_begins_anywhere_on_the_training_motion(tiny_run: Path) -> None:
    policy = load_policy(str(tiny_run))
    policy.config.reference.frames = 700  # 14 s
    motion = motion_for(policy, _C.Workers(2))
    subject = Subject(motion, policy.checkpoint.policy)
    seen = []

    class Noted(Subject):
        def run(self, pool, trials, *more, **named):
            seen.extend((trial.stream, trial.frame) for trial in trials)
            return made_up(len(trials))

    tracking_trials(Noted(motion, {}), motion.exam_pool, 400, 10.0)
    streams, frames = zip(*seen, strict=True)
    assert set(streams) <= set(range(64)) and len(set(streams)) > 55 and len(set(frames)) > 100
    assert min(frames) < 15 and 170 < max(frames) < 700 - 1 - 500
    columns = tracking_trials(subject, motion.exam_pool, 3, 0.4)
    assert columns["steps"].tolist() == [20] * 3  # nobody falls in 0.4 s


def test_a_point_of_the_curve(tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "CURVE_EPISODES", 2)
    monkeypatch.setattr(evaluation, "CURVE_S", 0.4)
    policy = load_policy(str(tiny_run))
    motion = motion_for(policy, _C.Workers(2))
    cell = track(motion, policy.checkpoint.policy)
    assert cell["episodes"] == 2
    point = curve_point(cell)
    assert point == {"survival_10s": 1.0, "velocity_rmse_10s": cell["reference_rmse"]}  # < 1 s
    whole = summarise(
        made_up(2, reference_rmse=0.1, reference_rmse_1s=0.2, reference_yaw_rmse_1s=0.3)
    )
    assert curve_point(whole) == pytest.approx(
        {
            "survival_10s": 1.0,
            "velocity_rmse_10s": 0.1,
            "velocity_rmse_1s_10s": 0.2,
            "yaw_rate_rmse_1s_10s": 0.3,
        }
    )


def test_what_is_not_known_is_not_in_the_table() -> None:
    assert known({"a": None, "b": float("nan"), "c": 0.0}) == {"c": 0.0}
    fallen = dict.fromkeys(("velocity_rmse", "velocity_rmse_1s", "yaw_rate_rmse_1s"), float("nan"))
    assert curve_row([{"survival": 0.0, **fallen}]) == {"survival": 0.0}
