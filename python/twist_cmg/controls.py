"""What a player asks of the robot: keys, a gamepad, and commands kept to what can be walked."""

import os
import struct
from pathlib import Path

from . import _C
from .references import Command

STAND: Command = (0.0, 0.0, 0.0)
KICK, RESET = "kick", "reset"  # what may be asked for beside a command

_RIGHT, _LEFT, _DOWN, _UP, _BACKSPACE = 262, 263, 264, 265, 259  # the viewer's (GLFW's) codes
_STEP = 0.1  # m/s or rad/s for each press
_KEYS = {
    _UP: (_STEP, 0.0, 0.0),
    _DOWN: (-_STEP, 0.0, 0.0),
    _LEFT: (0.0, 0.0, _STEP),
    _RIGHT: (0.0, 0.0, -_STEP),
    ord(","): (0.0, _STEP, 0.0),
    ord("."): (0.0, -_STEP, 0.0),
}
_WISHES = {ord("K"): KICK, _BACKSPACE: RESET}
HELP = """\
  up, down      faster, slower by 0.1 m/s
  left, right   turn by 0.1 rad/s
  , .           sideways to the left, to the right by 0.1 m/s
  space         stop
  K             kick the robot
  backspace     start again
gamepad: left stick walks, right stick turns, first button kicks, second starts again"""


def limited(settings: _C.CommandSettings, command: Command) -> Command:
    """The nearest command that is supported, vx first."""
    (low, most), start = settings.vx, settings.fast_from
    vx = min(max(command[0], low), most)
    # fast walking leaves less room for turns and side-steps
    share = 1.0 if vx <= start or most <= start else (most - vx) / (most - start)
    ranges = (settings.vy, settings.wz)
    vy, wz = (
        min(max(value, share * low), share * high)
        for value, (low, high) in zip(command[1:], ranges, strict=True)
    )
    return vx, vy, wz


class Controls:
    """Turns keys and sticks into a command; what was touched last counts."""

    def __init__(self, settings: _C.CommandSettings) -> None:
        self.command = STAND
        self._settings = settings
        self._sticks = STAND

    def press(self, key: int) -> str:
        """Changes the command; KICK or RESET if the key asks for that, otherwise ""."""
        if key in _KEYS:
            vx, vy, wz = (old + d for old, d in zip(self.command, _KEYS[key], strict=True))
            wished = round(vx, 6), round(vy, 6), round(wz, 6)
            self.command = limited(self._settings, wished)
        elif key == ord(" ") or _WISHES.get(key) == RESET:
            self.command = STAND
        return _WISHES.get(key, "")

    def steer(self, sticks: Command) -> None:
        """Takes the sticks, shares -1 to 1 of what is possible, if they have moved."""
        if sticks == self._sticks:
            return
        self._sticks = sticks
        ranges = (self._settings.vx, self._settings.vy, self._settings.wz)
        vx, vy, wz = (
            share * (high if share > 0 else -low)
            for share, (low, high) in zip(sticks, ranges, strict=True)
        )
        self.command = limited(self._settings, (vx, vy, wz))


class Gamepad:
    """A gamepad of Linux, read without waiting."""

    DEVICE = Path("/dev/input/js0")
    _EVENT = struct.Struct("=IhBB")  # time in ms, value, kind, number: linux/joystick.h
    _BUTTON, _AXIS, _AT_START = 0x01, 0x02, 0x80
    _AXES = ((1, -1), (0, -1), (3, -1))  # number and sign of vx, vy, wz: up and left are negative
    _BUTTONS = ((0, KICK), (1, RESET))
    _REST = 0.1  # sticks do not come back to zero exactly

    def __init__(self, descriptor: int) -> None:
        """Takes over an open device that does not block."""
        self._descriptor = descriptor
        self._values: dict[int, float] = {}
        self.lost = False

    @classmethod
    def find(cls) -> "Gamepad | None":
        """The first gamepad of this machine, if there is one; OSError if it may not be read."""
        if not cls.DEVICE.exists():
            return None
        return cls(os.open(cls.DEVICE, os.O_RDONLY | os.O_NONBLOCK))

    @property
    def sticks(self) -> Command:
        """Where the sticks are for vx, vy and wz: shares -1 to 1."""
        vx, vy, wz = (sign * self._values.get(axis, 0.0) for axis, sign in self._AXES)
        return vx, vy, wz

    def poll(self) -> list[str]:
        """Reads what has happened; KICK and RESET for the buttons pressed."""
        pressed: list[str] = []
        for _, value, kind, number in self._EVENT.iter_unpack(self._read()):
            if kind & ~self._AT_START == self._AXIS:  # where a stick is at the start counts too
                share = max(-1.0, value / 32767)
                self._values[number] = share if abs(share) > self._REST else 0.0
            elif kind == self._BUTTON and value:
                pressed += [wish for button, wish in self._BUTTONS if button == number]
        return pressed

    def close(self) -> None:
        """Gives the device back and lets go of the sticks."""
        if not self.lost:
            os.close(self._descriptor)
        self.lost = True
        self._values.clear()

    def _read(self) -> bytes:
        if self.lost:
            return b""
        try:
            content = os.read(self._descriptor, 64 * self._EVENT.size)
        except BlockingIOError:  # nothing has happened
            return b""
        except OSError:  # unplugged
            content = b""
        if not content:
            self.close()
        return content
