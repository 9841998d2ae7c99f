"""A simulated robot that is told where to go while it walks."""

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _C
from .controls import STAND
from .ghost import Pose, beside
from .locomotion import FRAMES_PER_S
from .references import Command, Motion

_STOP_FRAMES = 2 * FRAMES_PER_S  # in which the reference comes to rest
_MEAN_FRAMES = FRAMES_PER_S // 2  # over which a velocity is told: it swings with every step


class Walker:
    """One robot in the physics of the evaluation; `command` may change before every step."""

    def __init__(self, live: _C.LiveMotion, env: _C.Env, policy: _C.Policy) -> None:
        self._live, self._env, self._policy = live, env, policy
        self._recent: deque[NDArray[np.float64]] = deque(maxlen=_MEAN_FRAMES)
        self._kicks = 0
        self.reset()

    @classmethod
    def following(cls, motion: Motion, policy: Mapping[str, Any]) -> "Walker":
        """A robot moved by the state dict of a policy."""
        config = motion.config
        live = motion.live()
        settings = _C.evaluation_environment(config.evaluation, config.env)
        env = _C.Env(motion.robot, settings, live.pool, 1, motion.workers, config.train.seed)
        return cls(live, env, _C.Policy(dict(policy), motion.robot, config.env.observe))

    def step(self, command: Command) -> str:
        """20 ms under a command (m/s, m/s, rad/s); why the robot had to start again, or ""."""
        self._live.set_commands([command])
        self._live.advance(1)
        action = self._policy.act(self._env.observation)
        self._env.step(action)
        cause = self._env.causes[0]
        if cause != "none":
            self.reset()
            return cause
        self._recent.append(np.array(self._env.velocity(0)))
        return ""

    def reset(self) -> None:
        """Puts the robot on its feet again, standing, beside a reference that stands."""
        self._live.set_commands([STAND])
        self._live.advance(_STOP_FRAMES)
        self._env.reset_standing(0)
        self._recent.clear()

    def kick(self, speed: float) -> None:
        """The pelvis velocity jumps by `speed` m/s: to the left, back, to the right, forward."""
        self._kicks += 1
        angle = self._kicks * math.pi / 2
        self._env.push(0, speed * math.cos(angle), speed * math.sin(angle))

    @property
    def pose(self) -> Pose:
        """The robot now: generalised positions (nq,)."""
        return np.array(self._env.qpos(0))

    @property
    def ghost(self) -> Pose:
        """Its reference now, beside it: (nq,)."""
        return beside(np.array(self._env.reference_qpos(0)))

    @property
    def velocity(self) -> NDArray[np.float64]:
        """vx, vy in m/s, yaw rate in rad/s: mean of the last half second."""
        return np.mean(self._recent, axis=0) if self._recent else np.zeros(3)


def status(command: Command, velocity: NDArray[np.float64]) -> tuple[str, str]:
    """What is asked and what is measured, for people."""
    asked, measured = (
        "  ".join(
            f"{axis} {round(float(value), 2) + 0.0:+.2f}"  # never -0.00
            for axis, value in zip(("vx", "vy", "wz"), values, strict=True)
        )
        for values in (command, velocity)
    )
    return f"asked  {asked}", f"walked  {measured}"
