"""The ONNX graph against the C++ core and against the formula written out in NumPy."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from twist_cmg import _C, export
from twist_cmg.cli import run_command
from twist_cmg.cmg_onnx import MAX_ERROR, largest_error, to_onnx
from twist_cmg.config import load_robot

ROBOT = load_robot("g1_29dof")
JOINTS = ROBOT.num_joints
WIDTH = 2 * JOINTS + 12
KINDS = [(p, n) for p in ("full", "joints") for n in ("change", "next")]


@pytest.fixture(params=KINDS, ids="-".join)
def cmg(request: pytest.FixtureRequest) -> _C.Cmg:
    """A model with weights from a few updates; joints 3 and 9 never move, commands are lopsided."""
    random = np.random.default_rng(0)
    motion = _C.Trajectories(3, 60, JOINTS)
    motion.rows[:] = np.sin(random.uniform(0, 6, (3, 1, WIDTH)) + 0.1 * np.arange(60)[:, None])
    motion.rows[..., [3, 9]], motion.rows[..., [JOINTS + 3, JOINTS + 9]] = 0.25, 0.0
    motion.targets[:] = random.uniform([-0.5, -0.2, -1], [1.5, 0.3, 0.5], (3, 60, 3))
    network, settings = _C.CmgSettings(), _C.CmgTrainSettings()
    network.profile, network.predicts = request.param
    network.hidden, network.gate_hidden, network.experts = 24, 16, 3
    settings.batch, settings.unroll_min, settings.unroll_max, settings.warmup = 16, 2, 2, 0
    trainer = _C.CmgTrainer(network, settings, _C.CmgDataSettings(), motion, ROBOT, _C.Workers(1))
    for _ in range(20):
        trainer.update()
    return trainer.model()


def elu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, np.expm1(x))


def by_hand(cmg: _C.Cmg, features: np.ndarray, command: np.ndarray) -> np.ndarray:
    """One frame and one command (raw) to the next frame, in double precision."""
    state = {name: tensor.double().numpy() for name, tensor in cmg.state().items()}
    mean, deviation, active, low, high = (
        state[f"statistics.{name}"]
        for name in ("mean", "deviation", "active", "command_low", "command_high")
    )
    now = active * (features - mean) / deviation
    x = np.concatenate([now, 2 * (command - low) / (high - low) - 1])
    w = {name.removeprefix("network."): value for name, value in state.items()}
    logits = elu(x @ w["gate.0.weight"] + w["gate.0.bias"]) @ w["gate.2.weight"] + w["gate.2.bias"]
    gate = np.exp(logits) / np.exp(logits).sum()
    for layer in range(3):
        weight = np.tensordot(gate, w[f"layers.{layer}.weight"], 1)
        x = x @ weight + gate @ w[f"layers.{layer}.bias"]
        x = elu(x) if layer < 2 else x
    following = active * (now * w["carry"] + x)
    return mean + deviation * following


def test_the_graph_is_the_formula(cmg: _C.Cmg) -> None:
    random = np.random.default_rng(1)
    statistics = cmg.statistics
    mean, deviation = np.array(statistics.mean), np.array(statistics.deviation)
    features = mean + deviation * random.standard_normal((5, len(mean)))
    commands = random.uniform([-0.5, -0.2, -0.5], [1.5, 0.3, 0.5], (5, 3))
    session = onnxruntime.InferenceSession(to_onnx(cmg, ROBOT.joint_names))
    feed = {"features": np.float32(features), "command": np.float32(commands)}
    (made,) = session.run(None, feed)
    for k in range(5):
        expected = by_hand(cmg, features[k], commands[k])
        np.testing.assert_allclose((made[k] - expected) / deviation, 0, atol=MAX_ERROR)
    assert not np.allclose(made, features, atol=1e-3), "the model must do something"
    # joint 3 does not move in the data: its number is the mean, whatever comes in
    np.testing.assert_array_equal(made[:, 3], np.full(5, np.float32(0.25)))


def test_the_graph_agrees_with_the_core(cmg: _C.Cmg) -> None:
    assert largest_error(to_onnx(cmg, ROBOT.joint_names), cmg) <= MAX_ERROR


def test_a_wrong_graph_is_noticed(cmg: _C.Cmg) -> None:
    """`largest_error` can fail: a graph of other weights, and one that carries what it must not."""
    for name in ("network.layers.1.bias", "network.carry"):
        state = dict(cmg.state())
        state[name] = state[name] + 0.01 if name != "network.carry" else 1 - state[name]
        other = to_onnx(_C.Cmg.from_state(state), ROBOT.joint_names)
        assert largest_error(other, cmg) > 100 * MAX_ERROR


def test_the_graph_says_what_it_is(cmg: _C.Cmg) -> None:
    model = onnx.load_from_string(to_onnx(cmg, ROBOT.joint_names))
    told = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(told["joint_names"]) == list(ROBOT.joint_names)
    widths = json.loads(told["feature_widths"])
    assert sum(widths.values()) == len(cmg.statistics.mean)
    assert ("height" in widths) == (len(cmg.statistics.mean) == WIDTH)
    assert json.loads(told["statistics"])["command_high"] == pytest.approx(
        cmg.statistics.command_high
    )


def test_the_shipped_model_is_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "cmg.onnx"
    assert run_command(export.main, ["cmg", "--out", str(out)]) == 0
    assert "differs from the C++ core by at most" in capsys.readouterr().out
    (made,) = onnxruntime.InferenceSession(out).run(
        None,
        {"features": np.zeros((2, WIDTH), np.float32), "command": np.zeros((2, 3), np.float32)},
    )
    assert made.shape == (2, WIDTH) and np.isfinite(made).all()
    assert run_command(export.main, ["cmg", "--out", str(out)]) == 2, "it exists already"
