"""Shows a walking robot in MuJoCo's viewer and lets a player command it."""

import math
import queue
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mujoco

from .controls import KICK, RESET, Controls, Gamepad
from .film import AZIMUTH_DEG
from .ghost import Ghost, heading
from .locomotion import FRAMES_PER_S
from .walker import Walker, status

_CLOSING_S = 5.0
_LATE_S = 0.2  # a machine that is later than this shows slow motion instead of catching up


def has_screen() -> bool:
    """Whether a window can be opened; where none can, the viewer would wait for ever."""
    import glfw

    if sys.platform == "darwin":  # there the window belongs to mjpython, which says so itself
        return True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ready = bool(glfw.init())
    glfw.terminate()  # the viewer starts it again in a thread of its own
    return ready


@dataclass
class Game:
    """A robot and its player; a kick is of `kick` m/s, what happens is told to `say`."""

    walker: Walker
    controls: Controls
    kick: float
    say: Callable[[str], None]
    keys: queue.SimpleQueue[int] = field(default_factory=queue.SimpleQueue)
    pad: Gamepad | None = None

    def step(self) -> None:
        """20 ms: keys and sticks first, then the robot."""
        wishes: list[str] = []
        while not self.keys.empty():
            wishes.append(self.controls.press(self.keys.get()))
        if self.pad is not None:
            wishes += self.pad.poll()
            self.controls.steer(self.pad.sticks)
        if RESET in wishes:
            self.walker.reset()
        if KICK in wishes:
            self.walker.kick(self.kick)
        if cause := self.walker.step(self.controls.command):
            self.say(f"starts again: {cause}")


def play(game: Game, model_file: Path, with_ghost: bool) -> None:
    """Opens a window and plays until it is closed."""
    model = mujoco.MjModel.from_xml_path(str(model_file))
    data = mujoco.MjData(model)
    try:
        game.pad = Gamepad.find()
    except OSError as error:
        game.say(f"keys only, the gamepad cannot be read: {error}")
    try:
        with _viewer(model, data, game.keys.put) as view:
            view.cam.azimuth = math.degrees(heading(game.walker.pose)) + AZIMUTH_DEG
            _loop(view, model, data, game, Ghost(model) if with_ghost else None)
    finally:
        if game.pad is not None:
            game.pad.close()


def _loop(
    view: Any, model: mujoco.MjModel, data: mujoco.MjData, game: Game, ghost: Ghost | None
) -> None:
    """Steps in real time; a slow screen shows fewer frames, a very slow one slow motion."""
    clock = time.monotonic()
    while view.is_running():
        now = time.monotonic()
        clock = max(clock, now - _LATE_S)
        for _ in range(math.ceil((now - clock) * FRAMES_PER_S)):
            game.step()
            clock += 1 / FRAMES_PER_S
        with view.lock():
            _show(view, model, data, game.walker, ghost)
        asked, walked = status(game.controls.command, game.walker.velocity)
        view.set_texts((None, mujoco.mjtGridPos.mjGRID_TOPLEFT, f"{asked}\n{walked}", ""))
        view.sync()
        time.sleep(max(0.0, clock - time.monotonic()))


def _show(
    view: Any, model: mujoco.MjModel, data: mujoco.MjData, walker: Walker, ghost: Ghost | None
) -> None:
    data.qpos[:] = walker.pose
    mujoco.mj_forward(model, data)
    view.user_scn.ngeom = 0
    if ghost is not None:
        ghost.draw(view.user_scn, walker.ghost)
    # K is also the viewer's own key for hiding the sky
    view.user_scn.flags[mujoco.mjtRndFlag.mjRND_SKYBOX] = 1


@contextmanager
def _viewer(
    model: mujoco.MjModel, data: mujoco.MjData, on_key: Callable[[int], None]
) -> Iterator[Any]:
    import mujoco.viewer

    before = set(threading.enumerate())
    show: dict[str, Any] = {"show_left_ui": False, "show_right_ui": False}
    with mujoco.viewer.launch_passive(model, data, key_callback=on_key, **show) as view:
        with view.lock():
            view.cam.type = mujoco.mjtCamera.mjCAMERA_TRACKING
            view.cam.trackbodyid = model.jnt_bodyid[0]  # the root
            view.cam.distance, view.cam.elevation = 3.0, -12.0
        yield view
    # the process would crash if it ended while the viewer's thread still draws
    for thread in set(threading.enumerate()) - before:
        thread.join(_CLOSING_S)
