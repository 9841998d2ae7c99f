"""Exported policies: all forms answer alike, a damaged or foreign one is refused by name."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tiny import TINY, answer, call, complaint
from twist_cmg import _C, bundle, bundle_writer, evaluate, export, play, train
from twist_cmg.bundle import Bundle, read_contract, read_golden, read_tensors
from twist_cmg.config import load_robot
from twist_cmg.evaluation import load_policy
from twist_cmg.policy_forms import PolicyNet

STUDENT = ["reference.reflexes=false", "ppo.imitation.dagger_iterations=1", "--iterations", "2"]


def train_student(out: Path, teacher: Path, *more: str) -> Path:
    arguments = ["student", "--teacher", str(teacher), *TINY, *STUDENT, *more, "--out", str(out)]
    assert call(train.main, *arguments) == 0
    return out


@pytest.fixture(scope="session")
def student(tmp_path_factory: pytest.TempPathFactory, tiny_run: Path) -> Path:
    return train_student(tmp_path_factory.mktemp("students") / "flat", tiny_run)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, student: Path) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "flat"
    assert call(export.main, str(student), "--out", str(out)) == 0
    return out


@pytest.fixture
def copy(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "copy"))


# ---- a student


def test_a_student_run_is_whole(student: Path, tiny_run: Path) -> None:
    policy = load_policy(str(student))
    assert policy.checkpoint.kind == "student" and policy.config.env.observe.kind == "student"
    assert policy.checkpoint.contract["observation"][-1] == "history:10x79"
    assert (student / "teacher.pt").is_file()
    progress = (student / "progress.csv").read_text().splitlines()
    assert {"teacher_kl", "estimate_error"} <= set(progress[0].split(","))


def test_a_student_is_no_teacher(student: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(train.main, "student", "--teacher", str(student), *TINY) == 2
    assert "holds a student" in complaint(capsys)
    assert call(train.main, "teacher", f"train.start={student}", *TINY) == 2
    assert "made for another robot or version" in complaint(capsys)


def test_a_student_continues_without_its_teachers_run(
    student: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(student, tmp_path / "run")
    assert call(train.main, "student", "--resume", str(run), "--iterations", "3", "--json") == 0
    assert answer(capsys)["iterations"] == 3


# ---- the forms


@pytest.mark.parametrize(
    ("encoder", "frames"), [("conv", 10), ("conv", 20), ("gru", 7), ("flat", 0)]
)
def test_every_encoder_is_the_same_in_all_forms(
    encoder: str, frames: int, tiny_run: Path, tmp_path: Path
) -> None:
    more = [f"ppo.network.encoder={encoder}", f"env.observe.history={frames}"]
    more += ["ppo.network.latent=12", "--iterations", "1"]
    run = train_student(tmp_path / "run", tiny_run, *more)
    parity = bundle_writer.write_bundle(load_policy(str(run)), tmp_path / "out")
    assert set(parity) == {"ONNX", "TorchScript", "weights"}
    assert max(parity.values()) <= 1e-5
    assert Bundle(tmp_path / "out").contract["network"]["encoder"] == encoder


def test_the_network_is_what_it_says(exported: Path) -> None:
    """Written out in NumPy from the contract and the weights alone."""
    contract = read_contract(exported)
    w = read_tensors(exported, contract)
    observations, expected = read_golden(exported, contract)
    x = np.float64(observations - w["normaliser.shift"]) * w["normaliser.scale"]
    assert (np.abs(x) > 5).any(), "some should be cut"
    x = np.clip(x, -5, 5)
    x = x @ w["actor.0.weight"].T.astype(np.float64) + w["actor.0.bias"]
    x = np.where(x > 0, x, np.expm1(x))
    x = x @ w["actor.1.weight"].T + w["actor.1.bias"]
    assert np.abs(x - expected).max() < 1e-5
    assert np.abs(expected).max() > 1e-3


def test_the_state_comes_back(student: Path, exported: Path) -> None:
    policy, again = load_policy(str(student)), load_policy(str(exported))
    assert again.config.env.observe.history == policy.config.env.observe.history
    robot, observe = load_robot("g1_29dof"), policy.config.env.observe
    one, other = (PolicyNet.of_state(p.checkpoint.policy, robot, observe) for p in (policy, again))
    assert one.tensors.keys() == other.tensors.keys()
    for name, tensor in one.tensors.items():
        np.testing.assert_allclose(other.tensors[name], tensor, rtol=1e-6, err_msg=name)


def test_blocks_lie_where_the_contract_says(exported: Path) -> None:
    contract = read_contract(exported)
    observation, robot = contract["observation"], load_robot("g1_29dof")
    ends = [block["begin"] + block["width"] for block in observation["blocks"]]
    assert [block["begin"] for block in observation["blocks"]] == [0, *ends[:-1]]
    history = observation["history"]
    assert history["begin"] == ends[-1]
    assert history["begin"] + history["frames"] * history["width"] == observation["width"]
    assert contract["robot"]["joints"] == list(robot.joint_names)
    assert contract["robot"]["kp"] == pytest.approx(list(robot.kp))
    assert contract["action_base"] == contract["action_base"] | {"velocity": 1.0, "torque": 1.0}


def test_the_card_shows_an_evaluation_of_these_very_weights(student: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(student, tmp_path / "run"))
    beside = Path(shutil.copy(student / "policy.pt", tmp_path / "mine.pt"))
    measured = json.loads((run / "evaluation.json").read_text())

    def card(policy: Path, file: Path, name: str, content: object = measured) -> str:
        file.write_text(json.dumps(content))
        assert call(export.main, str(policy), "--out", str(tmp_path / name)) == 0
        return (tmp_path / name / "README.md").read_text()

    measured["grid"]["summary"]["survival"] = 0.375
    figure = "| grid survival | 0.375 |"
    assert figure in card(run, run / "evaluation.json", "of-a-run")
    assert figure in card(beside, tmp_path / "mine.json", "of-a-file")
    measured["policy_hash"] = "that of another"
    told = card(run, run / "evaluation.json", "of-another")
    assert figure not in told and "No evaluation of it" in told
    assert "No evaluation of it" in card(beside, tmp_path / "mine.json", "of-a-list", [1])


def test_nothing_is_written_if_the_forms_differ(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(net: PolicyNet) -> bytes:
        net.tensors["actor.0.bias"] = net.tensors["actor.0.bias"] + np.float32(1e-3)
        return bundle_writer_script(net)

    bundle_writer_script = bundle_writer.to_torchscript
    monkeypatch.setattr(bundle_writer, "to_torchscript", other)
    with pytest.raises((RuntimeError, ValueError), match=r"differ|golden"):
        bundle_writer.write_bundle(load_policy(str(student)), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


# ---- refusals


def edit(folder: Path, change: Callable[[dict], None]) -> None:
    contract = json.loads((folder / "contract.json").read_text())
    change(contract)
    (folder / "contract.json").write_text(json.dumps(contract))


def replace(folder: Path, name: str, content: bytes) -> None:
    """Other content, with the contract made to agree."""
    (folder / name).write_bytes(content)
    entry = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    edit(folder, lambda c: c["files"].update({name: entry}))


def permute_joints(folder: Path) -> None:
    def swap(contract: dict) -> None:
        joints = contract["robot"]["joints"]
        joints[3], joints[4] = joints[4], joints[3]

    edit(folder, swap)


def spoil_weights(folder: Path) -> None:
    values = np.fromfile(folder / "weights.f32", "<f4")
    values[2000] = np.nan
    replace(folder, "weights.f32", values.tobytes())


def spoil_golden(folder: Path) -> None:
    values = np.fromfile(folder / "golden.f32", "<f4")
    values[-1] += 1e-3
    replace(folder, "golden.f32", values.tobytes())


def widen(folder: Path) -> None:
    def change(contract: dict) -> None:
        block = contract["observation"]["blocks"][4]
        block["width"] += 1

    edit(folder, change)


DAMAGE = {
    "joints": (permute_joints, "number 3 of its joints is 'left_ankle_pitch_joint', here it is"),
    "blocks": (widen, "number 4 of its observation is 'reference_leg_velocity:13', here it is"),
    "golden": (lambda f: (f / "golden.f32").unlink(), "lacks its file golden.f32"),
    "nan": (spoil_weights, "of the policy.* holds -?nan"),
    "format": (lambda f: edit(f, lambda c: c.update(format=3)), "has format 3, but .* format 2"),
    "answer": (spoil_golden, "golden observation 15"),
    "width": (lambda f: edit(f, lambda c: c["observation"].update(width=940)), "94[0-9]|shape"),
    "cut": (lambda f: (f / "weights.f32").write_bytes(b"1234"), "has 4 bytes, but its contract"),
    "json": (lambda f: (f / "contract.json").write_text("{"), "contract.json is damaged"),
    "empty": (lambda f: (f / "contract.json").unlink(), "no policy: it has no contract.json"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_or_foreign_bundle_is_refused(name: str, copy: Path) -> None:
    harm, message = DAMAGE[name]
    harm(copy)
    robot, observe = load_robot("g1_29dof"), _C.ObservationSettings()
    observe.kind = "student"
    with pytest.raises(ValueError, match=message):
        _C.Bundle(str(copy)).check(robot, observe)
    if name in ("joints", "blocks"):
        return  # what only a robot knows
    with pytest.raises(ValueError, match=message if name != "width" else "reshape|numbers"):
        Bundle(copy)


def test_python_knows_the_joints_of_a_robot(copy: Path) -> None:
    joints = list(load_robot("g1_29dof").joint_names)
    Bundle(copy).check_joints(joints)
    permute_joints(copy)
    with pytest.raises(ValueError, match="number 3 of its joints is 'left_ankle_pitch_joint'"):
        Bundle(copy).check_joints(joints)


def test_a_changed_file_is_noticed(copy: Path) -> None:
    content = bytearray((copy / "policy.onnx").read_bytes())
    content[-10] ^= 1
    (copy / "policy.onnx").write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"policy\.onnx was changed"):
        Bundle(copy)


# ---- as a user has it


def test_evaluate_measures_a_bundle_as_its_run(
    student: Path, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = []
    for policy in (student, exported):
        arguments = ["policy", str(policy), "--exams", "standing", "--episodes", "2", "--json", "-"]
        assert call(evaluate.main, *arguments) == 0
        answers.append(answer(capsys))
    one, other = (a["standing"] for a in answers)
    assert one["survival"] == other["survival"]
    assert one["reward"] == pytest.approx(other["reward"], rel=1e-3)


def test_play_films_a_bundle(exported: Path, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    assert call(play.main, str(exported), "--video", str(film), "--seconds", "0.2") in (0, 1)
    assert film.stat().st_size > 1000


def test_evaluate_and_play_name_what_is_wrong(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    permute_joints(copy)
    for main, more in ((evaluate.main, ["policy"]), (play.main, [])):
        assert call(main, *more, str(copy)) == 2
        assert "number 3 of its joints" in complaint(capsys)


def test_export_says_what_is_wrong(
    student: Path, copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    for arguments, message in (
        ([str(student)], "--out"),
        ([str(student), "--out", str(tmp_path / "no" / "where")], "no such folder"),
        ([str(student), "--out", str(copy)], "holds a bundle already; --force replaces it"),
        ([str(student), "--out", str(tmp_path / "mine"), "--force"], "is no bundle"),
        (["no_such", "--out", str(tmp_path / "new")], "there is no policy no_such"),
    ):
        assert call(export.main, *arguments) == 2
        assert message in complaint(capsys)
    assert call(export.main, str(student), "--out", str(copy), "--force") == 0
    assert (tmp_path / "mine" / "thesis.txt").exists()


WITHOUT_TORCH = """
import importlib.util, sys
import numpy as np
for name in ("torch", "mujoco", "twist_cmg"):
    sys.modules[name] = None  # importing it fails
spec = importlib.util.spec_from_file_location("bundle", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
policy = module.Bundle(sys.argv[2])
print(policy.act(np.zeros((2, policy.contract["observation"]["width"]), np.float32)).shape)
"""


def test_a_robot_without_torch_can_run_it(exported: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_TORCH, bundle.__file__, str(exported)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "(2, 18)", done.stderr


def test_torchscript_takes_any_batch(exported: Path) -> None:
    contract = read_contract(exported)
    observations, expected = read_golden(exported, contract)
    script = torch.jit.load(str(exported / "policy.ts"))
    for count in (1, 5, 16):
        made = script(torch.from_numpy(observations[:count])).detach().numpy()
        assert np.abs(made - expected[:count]).max() <= 1e-5
