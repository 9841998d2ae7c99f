"""Commands: exit codes, errors in one sentence, the JSON line, exact continuation."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tiny import TINY, Main, answer, call, train_tiny
from twist_cmg import bench, evaluate, film, play, train

TINY_CMG = [
    "cmg_train.iterations=1",
    "data.streams=24",
    "data.frames=400",
    "cmg.hidden=16",
    "cmg.gate_hidden=16",
    "cmg_train.batch=32",
    "evaluation.seconds=8",
    "evaluation.vx=[0.5]",
    "evaluation.vy=[0]",
]


@pytest.mark.parametrize(
    ("main", "arguments", "told"),
    [
        (train.main, ["teacher", "ppo.no_such=1"], "unknown configuration key 'ppo.no_such'"),
        (train.main, ["teacher", "train.envs=0"], "train.envs must lie in"),
        (train.main, ["teacher", "train.envs"], "is not a setting"),
        (train.main, ["teacher", "--config", "no_such"], "there is no configuration 'no_such'"),
        (train.main, ["teacher", "--iterations", "0"], "'0' is not a whole number from 1 on"),
        (train.main, ["teacher", "--seed", "-1"], "train.seed must lie in"),
        (train.main, ["teacher", "--no-such"], "unrecognized arguments: --no-such"),
        (train.main, ["teacher", "--resume", "no_such"], "no_such is not a run folder"),
        (train.main, ["teacher", "--resume", "x", "--seed", "1"], "cannot change 'train.seed'"),
        (
            train.main,
            ["teacher", "--resume", "x", "--out", "y"],
            "--out is not valid with --resume",
        ),
        (train.main, ["teacher", "robot=h1"], "there is no robot 'h1'"),
        (train.main, ["teacher", *TINY, "reference.source=clips"], "no recorded motion is named"),
        (
            train.main,
            ["teacher", *TINY, "reference.source=cmg_pool", "reference.cmg=x"],
            "no trained CMG",
        ),
        (
            train.main,
            ["teacher", "reference.source=cmg"],
            "must be one of gait, cmg_pool, cmg_online, clips, not 'cmg'",
        ),
        (train.main, ["teacher", *TINY, "train.start=x"], "there is no policy"),
        (
            train.main,
            ["teacher", *TINY, "train.start=student"],
            "made for another robot or version",
        ),
        (
            train.main,
            ["teacher", *TINY, "commands.vx=[1, 0]"],
            "two ascending numbers, not [1.0, 0.0]",
        ),
        (
            train.main,
            ["cmg", *TINY_CMG, "commands.hold_s=[]"],
            "commands.hold_s must be two ascending",
        ),
        (
            train.main,
            ["teacher", *TINY, "env.randomise.push_every_s=[2]"],
            "env.randomise.push_every_s must be two ascending numbers, not [2.0]",
        ),
        (train.main, ["teacher", *TINY, "env.randomise.mass=[2, 1]"], "not [2.0, 1.0]"),
        (train.main, ["teacher", *TINY, "evaluation.wz=[]"], "evaluation.wz must name a velocity"),
        (train.main, ["teacher", *TINY, "evaluation.settle_s=4"], "(4 s), not 4 s"),
        (
            train.main,
            ["teacher", *TINY, "evaluation.decimation=20"],
            "must be 0.02 s, not 0.002 * 20",
        ),
        (train.main, ["cmg", "--envs", "3"], "a CMG learns without environments"),
        (train.main, ["cmg", "evaluation.seconds=4"], "an exam of 4 s is too short"),
        (train.main, ["student", "--teacher", "no_such"], "there is no policy"),
        (train.main, ["teacher", "--teacher", "x"], "--teacher x is not valid: a teacher has none"),
        (train.main, ["student", "env.observe.kind=teacher"], "a student is student, not teacher"),
        (train.main, ["teacher", "env.observe.kind=student"], "a teacher is teacher, not student"),
        (train.main, ["robot"], "invalid choice: 'robot'"),
        (train.main, [], "required: what"),
        (evaluate.main, ["policy", "no_such"], "there is no policy no_such"),
        (evaluate.main, ["policy", "students"], "there is no policy students"),
        (evaluate.main, ["policy"], "evaluate policy needs a run folder, a .pt file"),
        (bench.main, ["env", "--source", "no_such"], "invalid choice: 'no_such'"),
        (bench.main, ["gpu"], "invalid choice: 'gpu'"),
    ],
)
def test_wrong_use_is_code_2_and_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    main: Main,
    arguments: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(main, *arguments, "--json", *(["x.json"] if main is evaluate.main else [])) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("error: ") and told in lines[-1]
    assert not any("Traceback" in line for line in lines)
    assert not list(tmp_path.iterdir())  # nothing is left behind


def test_exceptions_become_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    def raising(error: BaseException) -> Main:
        def main(arguments: Sequence[str]) -> int:
            raise error

        return main

    full = OSError(28, "last.pt could not be saved: No space left on device")
    for error, code, told in (
        (ValueError("no such joint\nat all"), 2, "error: no such joint at all"),
        (full, 1, "error: last.pt could not be saved: No space left on device"),
        (RuntimeError("diverged\nException raised from x"), 1, "error: diverged"),
        (KeyError("x"), 1, "error: KeyError: 'x'; this is a defect"),
        (KeyboardInterrupt(), 1, "interrupted"),
    ):
        assert call(raising(error)) == code
        assert capsys.readouterr().err.startswith(told)
    assert call(raising(ValueError("wrong")), "--debug") == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("main", [train.main, evaluate.main, bench.main, play.main])
def test_help_shows_examples(main: Main, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(main, "--help") == 0
    assert "examples:\n  python -m twist_cmg." in capsys.readouterr().out


def test_a_command_is_a_process_with_an_exit_code(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "twist_cmg.train", "teacher", "no.such=1"]
    child = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert child.returncode == 2 and child.stdout == ""
    assert len(child.stderr.splitlines()) == 1 and "'no'" in child.stderr


def test_training_resumes_exactly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, parts = str(tmp_path / "whole"), str(tmp_path / "parts")
    once = train_tiny(capsys, *TINY, "--iterations", "4", "--out", whole)
    half = train_tiny(capsys, *TINY, "--iterations", "2", "--out", parts)
    with (Path(parts) / "progress.csv").open("a") as file:
        file.write("3,1\n")  # as if a crash had lost the third iteration
    both = train_tiny(capsys, "--resume", parts, "--iterations", "4", "--threads", "1")
    assert once["hash"] == both["hash"] != half["hash"]
    assert once["env_steps"] == both["env_steps"] == 2 * half["env_steps"] > 0
    assert (once["iterations"], half["iterations"], both["run"]) == (4, 2, parts)
    assert both["checkpoint"] == f"{parts}/checkpoints/last.pt" and both["wall_s"] > 0
    names = {path.name for path in Path(parts).iterdir()}
    assert {"config.yaml", "versions.json", "progress.csv", "evaluation.json"} <= names
    table = (Path(parts) / "progress.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in table] == ["iteration", "1", "2", "3", "4"]
    for wrong in (["--iterations", "3"], ["ppo.gamma=0.5"]):
        assert call(train.main, "teacher", "--resume", parts, *wrong) == 2
    assert call(train.main, "cmg", "--resume", parts) == 2
    assert call(train.main, "teacher", *TINY, "--out", parts) == 2


def test_a_cmg_is_trained_used_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cmg, run = tmp_path / "cmg", tmp_path / "run"
    made = ["--iterations", "2", "--out", str(cmg), "--json"]
    assert call(train.main, "cmg", *TINY_CMG, *made) == 0
    result = answer(capsys)
    assert result["iterations"] == 2 and math.isfinite(result["loss"])
    assert (cmg / "cmg.pt").is_file() and result["cmg"] == str(cmg / "cmg.pt")
    cells = json.loads((cmg / "evaluation.json").read_text())["cells"]
    assert [cell["wz"] for cell in cells] == [0.0, 0.8] and "mean_vx" in cells[0]
    source = [*TINY, "reference.source=cmg_pool", f"reference.cmg={cmg}"]
    train_tiny(capsys, *source, "--iterations", "1", "--out", str(run))
    (cmg / "cmg.pt").unlink()  # the run has its own copy
    assert train_tiny(capsys, "--resume", str(run), "--iterations", "2")["iterations"] == 2


def test_the_bench_reports_its_ratio(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = ["--envs", "16", "--threads", "1", "--seconds", "0.5", "--json"]
    assert call(bench.main, "env", *wanted, "reference.streams=4", "reference.frames=200") == 0
    result = answer(capsys)
    assert (result["envs"], result["threads"]) == (16, 1) and result["profile"]
    ratio = result["env_steps_per_s"] / result["raw_env_steps_per_s"]
    assert result["ratio"] == pytest.approx(ratio, rel=0.05)


def test_no_renderer_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    from twist_cmg.config import robot_settings

    monkeypatch.setitem(os.environ, "MUJOCO_GL", "no_such")
    model = Path(robot_settings("g1_29dof").mjcf)
    made = tmp_path / "film.mp4", tmp_path / "film.png"
    problem = film.render_film(model, np.zeros((10, 36)), *made)
    assert problem.startswith("no film was made") and "no_such" in problem
    assert "\n" not in problem and not made[0].exists()
