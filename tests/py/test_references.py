"""Where reference motion comes from: generations, stages, live motion, clips; going on exactly."""

from pathlib import Path

import numpy as np
import pytest
import torch

from motions import save_pickle, twist, two_clips
from tiny import TINY, call, complaint, train_tiny
from twist_cmg import _C, train
from twist_cmg.checkpoints import load_checkpoint
from twist_cmg.config import load_config, load_robot
from twist_cmg.config_checks import check_device, check_stages
from twist_cmg.references import Motion, evaluation_source, needs_cmg, training_source

ROBOT = load_robot("g1_29dof")
SLACK = 1e-5  # float32


def motion(*overrides: str) -> Motion:
    small = ["reference.source=gait", "reference.streams=6", "reference.frames=300"]
    config = load_config("teacher", None, [*small, "reference.reflexes=false", *overrides])
    return Motion(ROBOT, config, _C.Workers(2))


def silent(text: str) -> None:
    raise AssertionError(text)


# --- generations and stages


def test_every_generation_is_another_motion_and_always_the_same() -> None:
    first, second = motion(), motion()
    made = [first.training_motion(silent, generation).rows for generation in range(3)]
    for a, b in ((0, 1), (1, 2), (0, 2)):
        assert not np.array_equal(made[a], made[b])
    for generation in range(3):
        again = second.training_motion(silent, generation).rows
        np.testing.assert_array_equal(again, made[generation])
    other = motion("reference.seed=9").training_motion(silent, 0)
    assert not np.array_equal(other.rows, made[0])


@pytest.mark.parametrize("source", ["gait", "cmg_pool"])
def test_stages_narrow_the_commands_one_after_the_other(source: str) -> None:
    stages = "reference.stages=[stage1_basic, stage2_turn]"
    made = motion(stages, "reference.refresh=1", f"reference.source={source}")
    vx, vy, wz = np.moveaxis(made.training_motion(silent, 0).targets, -1, 0)
    assert not vy.any() and not wz.any() and vx.max() > 0.3
    assert ((vx == 0) | (vx >= 0.3 - SLACK)).all()  # standing, or stage1_basic
    vx, vy, wz = np.moveaxis(made.training_motion(silent, 1).targets, -1, 0)
    assert not vy.any() and 0 < np.abs(wz).max() <= 0.5 + SLACK
    vx, vy, wz = np.moveaxis(made.training_motion(silent, 2).targets, -1, 0)
    assert np.abs(vy).max() > 0 and (vx.min() < 0 or np.abs(wz).max() > 0.5)  # everything


def told(*overrides: str) -> str:
    with pytest.raises(ValueError) as error:
        check_stages(motion(*overrides).config)
    return str(error.value)


def test_stages_that_have_no_meaning_are_refused() -> None:
    check_stages(motion("reference.stages=[stage1_basic, stand]", "reference.refresh=5").config)
    check_stages(motion("reference.stages=[]").config)
    wrong = told("reference.stages=[stage1_basic, run]", "reference.refresh=5")
    assert wrong.startswith("reference.stages[1]: there is no preset 'run'; there are forward, ")
    wrong = told("reference.stages=backward", "reference.refresh=5", "commands.vx=[0, 1]")
    assert "'backward' asks for vx in [-1.3, -0.3], but supported is [0, 1]" in wrong
    assert "need reference.refresh" in told("reference.stages=stage1_basic")
    for source in ("cmg_online", "clips"):
        wrong = told("reference.stages=stage1_basic", f"reference.source={source}")
        assert f"by reference.source gait or cmg_pool, not {source}" in wrong


def test_a_wrong_stage_stops_a_training_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    wrong = ("reference.stages=[stage1_basic, run]", "reference.refresh=1000")
    assert call(train.main, "teacher", *TINY, *wrong) == 2
    assert "reference.stages[1]: there is no preset 'run'" in complaint(capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("refresh", "first"), [(1, 2), (2, 2), (2, 3)])
def test_a_refreshed_run_continues_exactly(
    refresh: int, first: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = (*TINY, "reference.stages=[stage1_basic, stage2_turn]")
    new = (*stages, f"reference.refresh={refresh}")
    whole, parts = str(tmp_path / "whole"), str(tmp_path / "parts")
    once = train_tiny(capsys, *new, "--iterations", "4", "--out", whole)
    train_tiny(capsys, *new, "--iterations", str(first), "--out", parts)
    both = train_tiny(capsys, "--resume", parts, "--iterations", "4", "--threads", "1")
    assert both["hash"] == once["hash"]
    late = (*stages, "reference.refresh=1000", "--out", str(tmp_path / "late"))
    assert train_tiny(capsys, *late, "--iterations", "4")["hash"] != once["hash"]


# --- who makes the motion


@pytest.mark.parametrize(
    ("source", "evaluate", "trains", "evaluates", "needs"),
    [
        ("gait", "auto", "gait", "gait", False),
        ("gait", "cmg", "gait", "cmg", True),
        ("cmg_pool", "auto", "cmg", "cmg", True),
        ("cmg_online", "gait", "cmg", "gait", True),
        ("clips", "auto", "gait", "gait", False),
        ("clips", "cmg", "gait", "cmg", True),
    ],
)
def test_training_and_evaluation_may_follow_different_generators(
    source: str, evaluate: str, trains: str, evaluates: str, needs: bool
) -> None:
    config = motion(f"reference.source={source}", f"reference.evaluate={evaluate}").config
    assert (training_source(config), evaluation_source(config)) == (trains, evaluates)
    assert needs_cmg(config) == needs


def test_what_is_evaluated_does_not_change_what_is_trained() -> None:
    usual = motion().training_motion(silent).rows
    evaluated = motion("reference.evaluate=cmg", "reference.cmg=no_such")
    np.testing.assert_array_equal(evaluated.training_motion(silent).rows, usual)
    with pytest.raises(ValueError, match="there is no trained CMG"):
        evaluated.command_pool([(0.5, 0.0, 0.0)], 100)
    live = motion("reference.source=cmg_online", "reference.evaluate=gait", "reference.cmg=no_such")
    live.live()  # the evaluation's: the gait library
    with pytest.raises(ValueError, match="there is no trained CMG"):
        live.training_live(1)


# --- live motion


def test_live_commands_are_those_that_are_walked() -> None:
    made = motion("reference.source=cmg_online", "train.envs=24", "commands.hold_s=[0.3, 0.6]")
    config = made.config
    live = made.training_live(seed=3)
    env = _C.Env(ROBOT, config.env, live.pool, 24, made.workers, 1)
    at = 0
    for name, width in env.blocks:
        if name == "command":
            break
        at += width
    seen = []
    for _ in range(15):
        for _ in range(config.ppo.horizon):
            env.step(torch.zeros(24, ROBOT.num_actions))
            seen.append(env.observation[:, at : at + 3].copy())
        live.advance(config.ppo.horizon)
    commands = np.concatenate(seen)
    inside = _C.CommandSettings()  # a little larger
    inside.vx, inside.vy, inside.wz = [-0.6001, 1.5501], [-0.3501, 0.3501], [-0.9001, 0.9001]
    assert all(_C.supports(inside, tuple(command)) for command in commands.astype(float))
    assert (commands.max(0) > (0.8, 0.15, 0.5)).all()  # and all of them
    assert (commands.min(0) < (-0.2, -0.15, -0.5)).all()


def test_a_teacher_learns_from_live_motion(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    live = (*TINY, "reference.source=cmg_online")
    out = str(tmp_path / "run")
    made = train_tiny(capsys, *live, "--iterations", "2", "--out", out)
    assert made["env_steps"] == 2 * 20 * 16 and (tmp_path / "run" / "cmg.pt").is_file()
    again = train_tiny(capsys, *live, "--iterations", "2", "--out", str(tmp_path / "again"))
    assert again["hash"] == made["hash"]
    assert train_tiny(capsys, "--resume", out, "--iterations", "3")["iterations"] == 3


# --- recorded motion


def test_starts_before_falls_are_drawn_and_continue_exactly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = (*TINY, *two_clips(tmp_path))
    whole, parts = str(tmp_path / "whole"), str(tmp_path / "parts")
    failing = (*clips, "env.reset.failure_share=0.5", "env.reset.stand_share=0")
    once = train_tiny(capsys, *failing, "--iterations", "4", "--out", whole)
    train_tiny(capsys, *failing, "--iterations", "2", "--out", parts)
    state = load_checkpoint(Path(parts) / "checkpoints" / "last.pt").state
    assert state["env.failures"].sum() > 0  # robots fell
    both = train_tiny(capsys, "--resume", parts, "--iterations", "4")
    assert both["hash"] == once["hash"]
    never = (*clips, "env.reset.failure_share=0", "env.reset.stand_share=0")
    other = train_tiny(capsys, *never, "--iterations", "4", "--out", str(tmp_path / "other"))
    assert other["hash"] != once["hash"]


def test_a_changed_clip_stops_a_run_that_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip, run = save_pickle(tmp_path / "a.pkl", twist()), str(tmp_path / "run")
    source = ("reference.source=clips", f"reference.clips={clip}", "reference.refresh=1")
    train_tiny(capsys, *TINY, *source, "--iterations", "2", "--out", run)
    save_pickle(clip, twist() | {"fps": 31.0})
    assert call(train.main, "teacher", "--resume", run, "--iterations", "3") == 2
    assert f"the clip {clip} is gone or has changed" in complaint(capsys)


# --- beginnings


def test_a_training_may_start_from_a_policy(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    started = (*TINY, f"train.start={tiny_run}")
    warm = train_tiny(capsys, *started, "--iterations", "1", "--out", str(tmp_path / "warm"))
    cold = train_tiny(capsys, *TINY, "--iterations", "1", "--out", str(tmp_path / "cold"))
    assert warm["hash"] != cold["hash"]
    wider = (*started, "ppo.network.actor=[32]", "--out", str(tmp_path / "wider"))
    assert call(train.main, "teacher", *wider) == 2
    line = complaint(capsys)
    assert f"train.start {tiny_run} has another ppo.network: " in line and "[16, 140]" in line
    assert not (tmp_path / "wider").exists()


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_device("cpu")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match=r"train.device is cuda, .*; cpu is valid"):
        check_device("cuda")
