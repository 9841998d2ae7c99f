"""What is seen: the window, the ghost beside the robot, and the film."""

import math
import os
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mujoco
import numpy as np
import pytest

from pretend import STANDING_UP, FakeEnv, event, fake_walker
from twist_cmg import _C, film, window
from twist_cmg.config import robot_settings
from twist_cmg.controls import STAND, Controls, Gamepad
from twist_cmg.ghost import BESIDE_M, Ghost, beside, heading

SETTINGS = _C.CommandSettings()
UP, LEFT, BACKSPACE = 265, 263, 259
MODEL = Path(robot_settings("g1_29dof").mjcf)


@pytest.fixture
def log() -> list[Any]:
    return []


class FakeView:
    """Looks like MuJoCo's viewer for some frames."""

    def __init__(self, model: mujoco.MjModel, frames: int) -> None:
        self.user_scn = mujoco.MjvScene(model, 1000)
        self.frames, self.texts, self.ngeoms = frames, "", []

    def is_running(self) -> bool:
        self.frames -= 1
        return self.frames >= 0

    def lock(self) -> Any:
        return nullcontext()

    def set_texts(self, text: tuple[Any, Any, str, str]) -> None:
        self.texts = text[2]

    def sync(self) -> None:
        self.ngeoms.append(self.user_scn.ngeom)


def test_the_player_commands_the_robot(log: list[Any]) -> None:
    read, write = os.pipe()
    pad, told = Gamepad(read), []
    game = window.Game(fake_walker(log, 2), Controls(SETTINGS), 0.7, told.append, pad=pad)
    os.set_blocking(read, False)
    for key in (UP, LEFT, ord("K")):
        game.keys.put(key)
    game.step()
    assert log[3:5] == [("push", 0, 0, 0.7), ("command", (0.1, 0.0, 0.1))]
    os.write(write, event(-32767, 2, 1) + event(1, 1, 0))
    del log[:]
    game.step()
    assert log[:2] == [("push", 0, -0.7, 0), ("command", (1.55, 0.0, 0.0))] and not told
    game.step()
    assert told == ["starts again: tilt"]
    game.keys.put(BACKSPACE)
    del log[:]
    game.step()
    assert log[:4] == [*STANDING_UP, ("command", STAND)]
    pad.close()
    os.close(write)


def test_the_window_shows_robot_ghost_and_status(
    log: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]

    def sleep(seconds: float) -> None:
        clock[0] += max(seconds, 0.05)  # a slow machine: 20 frames a second

    slow = SimpleNamespace(monotonic=lambda: clock[0], sleep=sleep)
    monkeypatch.setattr(window, "time", slow)
    model = mujoco.MjModel.from_xml_path(str(MODEL))
    data, view = mujoco.MjData(model), FakeView(model, 21)
    game = window.Game(fake_walker(log), Controls(SETTINGS), 1.0, print)
    game.keys.put(UP)
    window._loop(view, model, data, game, Ghost(model))
    assert 48 <= sum(entry[0] == "step" for entry in log) <= 52  # in real time nevertheless
    assert data.qpos[:3] == pytest.approx(game.walker.pose[:3])
    assert len(set(view.ngeoms)) == 1 and view.ngeoms[0] > 30
    assert "asked  vx +0.10" in view.texts and "walked  vx +0.10" in view.texts
    alone = FakeView(model, 2)
    window._loop(alone, model, data, game, None)
    assert alone.ngeoms == [0, 0]


def test_the_ghost_stands_to_the_left_of_the_robot(log: list[Any]) -> None:
    walker = fake_walker(log)
    assert heading(walker.pose) == pytest.approx(math.pi / 2)
    expected = FakeEnv(log).reference_qpos(0)  # but elsewhere
    expected[:2] = 30 - BESIDE_M, 40  # looking along y, the left is at smaller x
    assert walker.ghost == pytest.approx(expected)
    tilted = np.array([0, 0, 1, math.cos(0.2), 0, math.sin(0.2), 0])  # leans, looking along x
    assert beside(tilted)[:3] == pytest.approx((0, BESIDE_M, 1))


def test_the_ghost_is_a_translucent_body_in_a_scene() -> None:
    model = mujoco.MjModel.from_xml_path(str(MODEL))
    scene = mujoco.MjvScene(model, 1000)
    data, option = mujoco.MjData(model), mujoco.MjvOption()
    mujoco.mj_forward(model, data)
    camera, all_of_it = mujoco.MjvCamera(), mujoco.mjtCatBit.mjCAT_ALL.value
    mujoco.mjv_updateScene(model, data, option, None, camera, all_of_it, scene)
    robot = scene.ngeom
    pose = data.qpos.copy()
    pose[:3] = 5, 6, 0.7
    Ghost(model).draw(scene, pose)
    solid, ghost = scene.geoms[:robot], scene.geoms[robot : scene.ngeom]
    assert len(ghost) == len(solid) - 1  # there is one floor
    assert all(geom.rgba[3] == 1 for geom in solid)
    assert all(geom.rgba[3] < 0.5 for geom in ghost)
    places = np.array([geom.pos for geom in ghost])
    assert np.allclose(places[:, :2].mean(axis=0), (5, 6), atol=0.1)


# --- the film


def test_a_film_is_told_what_does_not_fit() -> None:
    motion = np.zeros((10, 36))
    for more, told in (
        ({"ghost": np.zeros((9, 36))}, r"the ghost has shape \(9, 36\), the motion \(10, 36\)"),
        ({"captions": ["a", "b"]}, "2 captions for 10 frames"),
    ):
        with pytest.raises(ValueError, match=told):
            film.render_film(MODEL, motion, Path("x.mp4"), **more)


@pytest.mark.slow
def test_ghost_and_captions_are_in_the_picture(tmp_path: Path) -> None:
    from PIL import Image

    poses = np.zeros((6, 36))
    poses[:, :4] = 3, 4, 0.78, 1
    pictures = []
    ghosts = np.array([beside(pose) for pose in poses])
    for more in ({}, {"ghost": ghosts, "captions": ["asked  vx +0.50"] * 6}):
        made, still = tmp_path / "film.mp4", tmp_path / "film.png"
        problem = film.render_film(MODEL, poses, made, still, **more)
        if problem:
            pytest.skip(problem)
        assert made.stat().st_size > 1000
        pictures.append(np.asarray(Image.open(still)).astype(int))
    floor = [picture[200:] for picture in pictures]
    blue = [int((ground[..., 2] - ground[..., 0] > 60).sum()) for ground in floor]
    assert blue[0] < 100 and blue[1] > 1000
    white = [int((picture[:40, :200].min(axis=-1) > 245).sum()) for picture in pictures]
    assert white[0] == 0 and white[1] > 50
