"""A walker on a simulation that is made up, and the bytes of a gamepad."""

import math
import struct
from typing import Any

import numpy as np

from twist_cmg.controls import STAND
from twist_cmg.walker import Walker


class FakeLive:
    """Notes what it is told."""

    def __init__(self, log: list[Any]) -> None:
        self.log = log

    def set_commands(self, commands: list[Any]) -> None:
        self.log.append(("command", *commands))

    def advance(self, frames: int) -> None:
        self.log.append(("advance", frames))


class FakeEnv:
    """Glides as commanded, looking along y; falls in the steps of `falls` and starts elsewhere."""

    def __init__(self, log: list[Any], falls: tuple[int, ...] = ()) -> None:
        self.log, self.falls = log, falls
        self.steps, self.resets, self.causes = 0, 0, ["none"]
        self.place, self.speed = np.zeros(2), np.zeros(3)
        self.observation = np.zeros((1, 5), np.float32)

    def step(self, action: np.ndarray) -> None:
        self.log.append(("step", action.tolist()))
        command = next(entry[1] for entry in reversed(self.log) if entry[0] == "command")
        self.speed = np.array(command)
        self.place = self.place + np.array([-command[1], command[0]]) / 50
        self.causes = ["tilt" if self.steps in self.falls else "none"]
        self.steps += 1

    def reset_standing(self, env: int) -> None:
        self.log.append(("reset", env))
        self.resets += 1
        self.place, self.speed = np.array([30.0 * self.resets, 40.0]), np.zeros(3)

    def push(self, env: int, vx: float, vy: float) -> None:
        self.log.append(("push", env, round(vx, 6), round(vy, 6)))

    def qpos(self, env: int) -> np.ndarray:
        pose = np.zeros(36)
        pose[:4] = *self.place, 0.75, math.sqrt(0.5)
        pose[6] = math.sqrt(0.5)  # a quarter turn to the left
        return pose

    def reference_qpos(self, env: int) -> np.ndarray:
        pose = self.qpos(env)
        pose[2], pose[10] = 0.7, 0.8
        return pose

    def velocity(self, env: int) -> np.ndarray:
        return self.speed


class FakePolicy:
    """Acts like what it sees."""

    def act(self, observation: np.ndarray) -> np.ndarray:
        return observation[:, :2] + 1


def fake_walker(log: list[Any], *falls: int) -> Walker:
    """A robot that falls in some steps; everything it is told stands in `log`."""
    return Walker(FakeLive(log), FakeEnv(log, falls), FakePolicy())


STANDING_UP = [("command", STAND), ("advance", 100), ("reset", 0)]
WALK = (0.5, 0.0, 0.0)


def event(value: int, kind: int, number: int) -> bytes:
    """struct js_event of linux/joystick.h: u32 time, s16 value, u8 type, u8 number."""
    return struct.pack("=I", 12345) + struct.pack("=h", value) + bytes([kind]) + bytes([number])
