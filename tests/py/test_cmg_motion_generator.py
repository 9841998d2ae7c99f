"""CmgMotionGenerator from Python: the calls of the seed documents, tensors out, errors in one line.

How it moves is tested in tests/cpp/test_cmg_motion_generator.cpp.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from twist_cmg import _C
from twist_cmg.config import load_robot

ROBOT = load_robot("g1_29dof")
JOINTS = ROBOT.num_joints
WIDTH = 2 * JOINTS + 12
MODES = ("pregenerated", "realtime")
Generator = _C.CmgMotionGenerator


def small_cmg() -> _C.Cmg:
    random = np.random.default_rng(0)
    motion = _C.Trajectories(3, 60, JOINTS)
    motion.rows[:] = np.sin(random.uniform(0, 6, (3, 1, WIDTH)) + 0.1 * np.arange(60)[:, None])
    motion.targets[:] = random.uniform([-0.5, -0.3, -1], [1.5, 0.3, 1], (3, 60, 3))
    network, settings = _C.CmgSettings(), _C.CmgTrainSettings()
    network.hidden, network.gate_hidden = 16, 8
    settings.batch, settings.unroll_min, settings.unroll_max = 16, 2, 2
    return _C.CmgTrainer(
        network, settings, _C.CmgDataSettings(), motion, ROBOT, _C.Workers(1)
    ).model()


CMG = small_cmg()


def make(mode: str = "realtime", num_envs: int = 4, **more: Any) -> Generator:
    settings = _C.CmgMotionSettings()
    settings.mode, settings.num_envs, settings.preload_duration = mode, num_envs, 99
    return Generator(CMG, settings, _C.Workers(1), **more)


@pytest.mark.parametrize("mode", MODES)
def test_the_calls_of_the_seed(mode: str) -> None:
    generator = make(mode)
    generator.reset(commands=[[0.5, 0, 0.2]] * 4)
    assert (generator.num_envs, generator.mode) == (4, mode)
    first = generator.read().clone()
    q, qd = generator.get_motion()
    assert q.shape == qd.shape == (4, JOINTS) and q.dtype == torch.float32
    assert torch.equal(torch.cat([q, qd], 1), first[:, : 2 * JOINTS])
    assert first.shape == (4, WIDTH)
    assert torch.equal(generator.read(offset=-1), first), "get_motion moved on by one frame"
    later = generator.read().clone()
    assert not torch.equal(later, first) and torch.equal(generator.read(), later)
    generator.update_commands(np.array([[0.1, 0, 0]]), env_ids=[2])
    assert generator.commands[2] == pytest.approx([0.1, 0, 0])
    assert generator.commands[1] == pytest.approx([0.5, 0, 0.2])
    stats = generator.get_performance_stats()
    assert stats["mode"] == mode and stats["generations"] > 0 and stats["nonfinite"] == 0
    assert stats["min_ms"] <= stats["mean_ms"] <= stats["max_ms"]
    assert stats["ring_bytes"] == 4 * 100 * WIDTH * 4


@pytest.mark.parametrize("mode", MODES)
def test_environments_by_number(mode: str) -> None:
    generator = make(mode)
    generator.reset(commands=[[0.5, 0, 0.2], [0, 0, 0], [0.2, 0, 0], [1, 0, 0]])
    for ids in ([3, 1], np.array([3, 1]), torch.tensor([3, 1])):
        rows = generator.read(ids).clone()
        assert torch.equal(rows, generator.read()[[3, 1]])
    before = generator.read().clone()
    generator.advance([3])
    changed = (generator.read() != before).any(1)
    assert changed.tolist() == [False, False, False, True]
    assert generator.read([]).shape == (0, WIDTH)
    start = torch.full((1, 2 * JOINTS), 0.1)
    generator.reset([2], init_motion=start)
    q, qd = generator.get_motion([2])
    assert torch.equal(torch.cat([q, qd], 1), start)


def test_bfloat16_is_near() -> None:
    exact, rough = make(), make(dtype="bfloat16")
    for generator in (exact, rough):
        generator.reset(commands=[[0.5, 0, 0.2]] * 4)
        for _ in range(10):
            generator.advance()
    difference = (exact.read() - rough.read())[:, :JOINTS].abs().max()
    assert 0 < difference < 0.02


REFUSED: list[tuple[Callable[[Generator], Any], str]] = [
    (lambda g: g.read([4]), "there is no environment 4; they are 0 to 3"),
    (lambda g: g.read([-1]), "there is no environment -1"),
    (lambda g: g.read([1, 1]), "environment 1 is named twice"),
    (lambda g: g.advance([0.5]), "env_ids must be a list of whole numbers"),
    (lambda g: g.advance([True, False, True, True]), "env_ids must be a list of whole numbers"),
    (lambda g: g.advance("all"), "env_ids must be a list of whole numbers"),
    (lambda g: g.read([[0]]), "env_ids must be a list of whole numbers"),
    (lambda g: g.update_commands([[0, 0, 0]]), "commands must have shape (4, 3)"),
    (lambda g: g.update_commands([0, 0, 0], [1]), "commands must have shape (1, 3)"),
    (lambda g: g.update_commands([[0, np.nan, 0]], [1]), "commands holds nan"),
    (lambda g: g.update_commands([["a", 0, 0]], [1]), "commands must be an array of numbers"),
    (lambda g: g.reset([0], np.zeros((1, JOINTS))), "init_motion must have shape (1, 58)"),
    (lambda g: g.reset([0], np.full((1, 58), np.inf)), "init_motion holds inf"),
    (lambda g: g.read(offset=-1), "not -1"),
    (lambda g: g.read(offset=1000), "not 1000"),
    (lambda g: g.switch_mode("offline"), "mode must be pregenerated or realtime, not 'offline'"),
    (lambda g: make(dtype="float64"), "dtype must be float32 or bfloat16, not 'float64'"),
]


@pytest.mark.parametrize(("use", "told"), REFUSED)
def test_refuses_in_one_sentence(use: Callable[[Generator], Any], told: str) -> None:
    generator = make()
    generator.reset(commands=[[0.5, 0, 0.2]] * 4)
    before = generator.read().clone()
    with pytest.raises(ValueError) as error:
        use(generator)
    assert told in str(error.value) and "\n" not in str(error.value)
    assert torch.equal(generator.read(), before), "what fails changes nothing"


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("num_envs", -1, "num_envs must lie in [1, 1e+07], not be -1"),
        ("buffer_size", 3, "buffer_size must lie in"),
        ("look_ahead", -1, "look_ahead must lie in"),
        ("look_ahead", 51, "look_ahead 51 is more than half of buffer_size 100"),
        ("preload_duration", 10, "preload_duration must lie in"),
        ("mode", "offline", "mode must be one of pregenerated, realtime, not 'offline'"),
    ],
)
def test_settings_are_checked(field: str, value: Any, told: str) -> None:
    settings = _C.CmgMotionSettings()
    setattr(settings, field, value)
    with pytest.raises(ValueError) as error:
        Generator(CMG, settings, _C.Workers(1))
    assert told in str(error.value)
