"""The smoother and the sampler in Python: arrays in, arrays out, errors in one sentence."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from twist_cmg import CommandSampler, CommandSet, CommandSmoother

WIDE = CommandSet(vx=(-2, 4), vy=(-1, 1), wz=(-1, 1))
TARGET = [[1.0, 0.0, 0.2], [0.0, -0.4, 0.0]]


@pytest.mark.parametrize(
    "make", [list, np.array, np.float32, torch.tensor, lambda rows: np.array(rows).T.copy().T]
)
def test_the_smoother_ramps_any_kind_of_array(make: Callable[[Any], Any]) -> None:
    smoother = CommandSmoother(num_envs=2, interpolation_steps=5)
    smoother.set_target(make(TARGET))
    for k in range(1, 8):
        out = smoother.get_current()
        assert out.dtype == np.float32 and out.shape == (2, 3)
        np.testing.assert_allclose(out, min(1, k / 5) * np.array(TARGET), atol=1e-6)
        smoother.set_target(make(TARGET))  # the seed froze here
    np.testing.assert_array_equal(out, np.float32(TARGET))
    assert (smoother.num_envs, smoother.interpolation_steps) == (2, 5)


def test_reading_the_present_command_advances_nothing() -> None:
    smoother = CommandSmoother(2, 5)
    smoother.set_target(TARGET)
    before = smoother.current
    for _ in range(3):
        np.testing.assert_array_equal(smoother.current, np.zeros((2, 3)))
    after = smoother.get_current()
    assert before.sum() == 0 and after[0, 0] == np.float32(0.2)  # arrays once given stay
    after[:] = 9
    np.testing.assert_allclose(smoother.current, np.array(TARGET) / 5, atol=1e-6)
    np.testing.assert_array_equal(smoother.target, np.float32(TARGET))


@pytest.mark.parametrize("ids", [[1], np.array([1]), torch.tensor([1]), np.array([1], np.uint8)])
def test_the_smoother_knows_environments_by_number(ids: Any) -> None:
    smoother = CommandSmoother(3, 2)
    smoother.set_target([[1, 0, 0]], env_ids=ids)
    assert smoother.get_current([]).shape == (0, 3)
    np.testing.assert_array_equal(smoother.get_current(env_ids=ids), [[0.5, 0, 0]])
    np.testing.assert_array_equal(smoother.current, [[0, 0, 0], [0.5, 0, 0], [0, 0, 0]])
    smoother.reset(ids, [[0.2, 0.1, 0]])
    np.testing.assert_array_equal(smoother.get_current()[1], np.float32([0.2, 0.1, 0]))
    smoother.reset()
    assert not smoother.get_current().any()


@pytest.mark.parametrize(
    ("use", "told"),
    [
        (lambda s: s.set_target([1, 0, 0]), "commands must be (2, 3), not (3,)"),
        (lambda s: s.set_target([[1, 0]] * 2), "commands must be (2, 3), not (2, 2)"),
        (lambda s: s.set_target([[1, 0, 0]]), "commands must be (2, 3), not (1, 3)"),
        (lambda s: s.set_target(TARGET, [0]), "commands must be (1, 3), not (2, 3)"),
        (lambda s: s.set_target([["a"] * 3] * 2), "commands must be numbers, not <U1"),
        (lambda s: s.set_target([[1], [1, 2]]), "commands cannot be read as an array"),
        (lambda s: s.set_target(torch.ones(2, 3, requires_grad=True)), "use tensor.detach()"),
        (lambda s: s.set_target([[0, 0, 0], [0, np.nan, 0]]), "vy in row 1 is nan"),
        (lambda s: s.set_target([[1e300, 0, 0], [0, 0, 0]]), "vx in row 0 is inf"),
        (lambda s: s.get_current([2]), "there is no environment 2; there are 2"),
        (lambda s: s.get_current([-1]), "there is no environment -1"),
        (lambda s: s.get_current([2**40]), f"there is no environment {2**40}"),
        (lambda s: s.get_current([0, 0]), "environment 0 is named twice"),
        (lambda s: s.get_current([True, False]), "whole numbers (n), not bool (2,)"),
        (lambda s: s.get_current([0.5]), "whole numbers (n), not float64 (1,)"),
        (lambda s: s.get_current(0), "whole numbers (n), not int64 ()"),
        (lambda s: CommandSmoother(-1), "num_envs must be a whole number from 0 on, not -1"),
        (lambda s: CommandSmoother(1, 0), "interpolation_steps must be"),
    ],
)
def test_the_smoother_refuses_in_one_sentence(
    use: Callable[[CommandSmoother], Any], told: str
) -> None:
    smoother = CommandSmoother(2)
    with pytest.raises(ValueError) as error:
        use(smoother)
    assert told.lower() in str(error.value).lower() and "\n" not in str(error.value)
    assert not smoother.get_current().any()


def test_the_seed_example_has_an_answer() -> None:
    commands = CommandSampler().sample_batch(1000, strategy="stage1_basic")
    assert commands.shape == (1000, 3) and commands.dtype == np.float32
    assert commands[:, 0].min() >= 0.3 and commands[:, 0].max() <= 1.55
    assert not commands[:, 1:].any()


@pytest.mark.parametrize("strategy", ["uniform", "normal", "truncated_normal", "forward", "mixed"])
def test_every_strategy_is_reproducible_and_may_be_cut(strategy: str) -> None:
    whole = CommandSampler(10, seed=3).sample(strategy)
    cut = CommandSampler(seed=3)
    parts = [cut.sample(strategy, n) for n in (4, 0, 6)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    assert cut.drawn == 10
    cut.drawn = 4
    np.testing.assert_array_equal(cut.sample(strategy, 6), parts[2])
    assert not np.array_equal(whole, CommandSampler(10, seed=4).sample(strategy))


def test_a_strategy_is_its_method() -> None:
    def fresh() -> CommandSampler:
        return CommandSampler(5, seed=2, supported=WIDE)

    pairs = [
        (fresh().sample("uniform"), fresh().sample_uniform()),
        (fresh().sample("curriculum", difficulty=0.3), fresh().sample_curriculum(0.3)),
        (fresh().sample("turn_left", 7), fresh().sample_preset("turn_left", 7)),
        (
            fresh().sample("normal", mean=(1, 0, 0), std=(0.1, 0.2, 0.3)),
            fresh().sample_distribution("normal", (1, 0, 0), (0.1, 0.2, 0.3)),
        ),
        (
            fresh().sample("sequence", duration=12, change_interval=5, mode="curriculum"),
            fresh().sample_sequence(12, 5, "curriculum"),
        ),
    ]
    for by_name, by_method in pairs:
        np.testing.assert_array_equal(by_name, by_method)
    assert pairs[-1][0].shape == (5, 12, 3) and pairs[2][0].shape == (7, 3)
    for name in CommandSampler.presets:
        assert fresh().sample(name).shape == (5, 3)


def test_commands_keep_to_what_is_supported() -> None:
    sampler = CommandSampler(5000, vx=(-1.5, 3.0), wz=(-0.2, 0.2))
    assert sampler.supported.vx == [-0.6, 1.55]  # CommandSettings
    assert (sampler.ranges.vx, sampler.ranges.wz) == ([-0.6, 1.55], [-0.2, 0.2])
    for strategy in ("uniform", "normal", "truncated_normal", "mixed"):
        commands = sampler.sample(strategy)
        assert commands[:, 0].min() >= -0.6 and commands[:, 0].max() <= 1.55
        assert np.abs(commands[:, 1]).max() <= 0.35 and np.abs(commands[:, 2]).max() <= 0.2
    straight = sampler.sample("curriculum", difficulty=0)
    assert straight[:, 0].min() >= 0 and 0.75 < straight[:, 0].max() <= 0.775
    assert not straight[:, 1:].any()
    ends = CommandSampler(5000, seed=1).sample("truncated_normal", std=(9, 9, 9))
    assert len(np.unique(ends[:, 0])) > 4900  # no heap anywhere


@pytest.mark.parametrize(
    ("use", "told"),
    [
        (lambda: CommandSampler().sample(), "give n, or num_envs to CommandSampler"),
        (lambda: CommandSampler(-3), "num_envs must be a whole number from 0 on, not -3"),
        (lambda: CommandSampler(3).sample("run"), "no strategy 'run'; there are uniform, curric"),
        (lambda: CommandSampler(3).sample_preset("run"), "there are forward, backward"),
        (lambda: CommandSampler(3).sample("curriculum", difficulty=2), "[0, 1], not be 2"),
        (lambda: CommandSampler(vx=(2, 3)), "vx in [2, 3], but supported is [-0.6, 1.55]"),
        (lambda: CommandSampler(vx=(1, 0)), "vx needs two ascending finite numbers, not [1, 0]"),
        (
            lambda: CommandSampler(3, supported=CommandSet(vx=(0, 1))).sample("backward"),
            "'backward' asks for vx in [-1.3, -0.3], but supported is [0, 1]",
        ),
        (lambda: CommandSampler(3).sample("sequence", duration=9, mode="x"), "no mode 'x'"),
    ],
)
def test_the_sampler_refuses_in_one_sentence(use: Callable[[], Any], told: str) -> None:
    with pytest.raises(ValueError) as error:
        use()
    assert told in str(error.value) and "\n" not in str(error.value)
