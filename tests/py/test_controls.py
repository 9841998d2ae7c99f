"""Keys and sticks become commands that can be walked."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pretend import event
from twist_cmg import _C
from twist_cmg.controls import KICK, RESET, STAND, Controls, Gamepad, limited

SETTINGS = _C.CommandSettings()  # vx [-0.6, 1.55], vy +-0.35, wz +-0.9, less beside from 1.05 on
UP, DOWN, LEFT, RIGHT, BACKSPACE = 265, 264, 263, 262, 259


def test_limits_are_those_of_the_core() -> None:
    random = np.random.default_rng(1)
    inside = 0
    for _ in range(500):
        vx, vy, wz = (float(x) for x in random.uniform((-2, -0.6, -1.5), (2, 0.6, 1.5)))
        command = limited(SETTINGS, (vx, vy, wz))
        assert _C.supports(SETTINGS, command)
        if _C.supports(SETTINGS, (vx, vy, wz)):
            inside += 1
            assert command == (vx, vy, wz)
    assert inside > 50
    # no more than needed is taken away
    assert limited(SETTINGS, (1.3, 1, -1)) == pytest.approx((1.3, 0.175, -0.45))
    assert limited(SETTINGS, (9, 1, -1)) == pytest.approx((1.55, 0, 0))


def test_keys_change_the_command_within_its_limits() -> None:
    controls = Controls(SETTINGS)
    for key in (UP, UP, UP, DOWN, LEFT, LEFT, ord(",")):
        assert controls.press(key) == ""
    assert controls.command == pytest.approx((0.2, 0.1, 0.2))
    for key in (RIGHT, RIGHT, RIGHT, ord("."), ord(".")):
        controls.press(key)
    assert controls.command == pytest.approx((0.2, -0.1, -0.1))
    for _ in range(30):
        controls.press(DOWN)
        controls.press(LEFT)
        controls.press(ord("."))
    assert controls.command == pytest.approx((-0.6, -0.35, 0.9))
    before = controls.command
    assert controls.press(ord("Q")) == "" and controls.command == before
    assert controls.press(ord("K")) == KICK and controls.command == before
    assert controls.press(ord(" ")) == "" and controls.command == STAND
    controls.press(UP)
    assert controls.press(BACKSPACE) == RESET and controls.command == STAND


def test_sticks_count_when_they_move() -> None:
    controls = Controls(SETTINGS)
    controls.press(UP)
    controls.steer(STAND)  # they lie still
    assert controls.command == (0.1, 0.0, 0.0)
    controls.steer((0.5, -1.0, 0.0))
    assert controls.command == pytest.approx((0.775, -0.35, 0))
    controls.steer((-0.5, 0.0, 1.0))
    assert controls.command == pytest.approx((-0.3, 0, 0.9))
    controls.steer(STAND)
    assert controls.command == STAND


@pytest.fixture
def wire() -> Iterator[tuple[Gamepad, int]]:
    """A gamepad that reads what is written to a pipe."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    pad = Gamepad(read)
    yield pad, write
    pad.close()
    try:
        os.close(write)
    except OSError:  # the test has unplugged it
        return


def test_a_gamepad_is_read_event_by_event(wire: tuple[Gamepad, int]) -> None:
    pad, write = wire
    assert pad.poll() == [] and pad.sticks == STAND
    # the state at the start: a stick that leans, a button that is held
    os.write(write, event(-32767, 0x82, 1) + event(1, 0x81, 0))
    assert pad.poll() == [] and pad.sticks == (1.0, 0.0, 0.0)
    os.write(write, event(16384, 2, 1) + event(-32768, 2, 0) + event(32767, 2, 3))
    assert pad.poll() == []
    assert pad.sticks == pytest.approx((-0.5, 1, -1), abs=1e-3)
    os.write(write, event(3000, 2, 1) + event(0, 2, 0) + event(-3000, 2, 3) + event(30000, 2, 2))
    assert pad.poll() == [] and pad.sticks == STAND  # sticks at rest are not quite at zero
    os.write(write, event(1, 1, 0) + event(0, 1, 0) + event(1, 1, 1) + event(1, 1, 7))
    assert pad.poll() == [KICK, RESET]
    assert pad.poll() == []


def test_a_gamepad_that_is_unplugged_lets_go(wire: tuple[Gamepad, int]) -> None:
    pad, write = wire
    os.write(write, event(-32767, 2, 1))
    pad.poll()
    assert pad.sticks == (1.0, 0.0, 0.0)
    os.close(write)
    assert pad.poll() == [] and pad.lost and pad.sticks == STAND
    assert pad.poll() == []


def test_a_gamepad_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gamepad, "DEVICE", tmp_path / "js0")
    assert Gamepad.find() is None
    (tmp_path / "js0").write_bytes(event(-32767, 2, 1))
    pad = Gamepad.find()
    assert pad is not None and pad.poll() == [] and pad.sticks[0] == 1
    pad.close()
