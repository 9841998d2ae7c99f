"""A translucent body that shows a pose without being simulated: the reference beside the robot."""

import math

import mujoco
import numpy as np
from numpy.typing import NDArray

BESIDE_M = 0.9  # to the left of the robot
_COLOUR = (0.25, 0.6, 1.0)
_ALPHA = 0.35

Pose = NDArray[np.float64]  # (nq,) generalised positions: the root (x y z, w x y z), then joints


class Ghost:
    """Draws poses of a model into any MuJoCo scene, off-screen or in a window."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        self._data = mujoco.MjData(model)
        self._option = mujoco.MjvOption()
        self._nothing = mujoco.MjvPerturb()

    def draw(self, scene: mujoco.MjvScene, pose: Pose) -> None:
        """Adds the body in a pose (nq,) to what the scene holds already."""
        self._data.qpos[:] = pose
        mujoco.mj_kinematics(self._model, self._data)
        first = scene.ngeom
        what = self._model, self._data, self._option, self._nothing
        mujoco.mjv_addGeoms(*what, mujoco.mjtCatBit.mjCAT_DYNAMIC.value, scene)
        for geom in scene.geoms[first : scene.ngeom]:
            # a tint lets the light and dark parts of the robot be told apart
            geom.rgba[:3] = 0.5 * geom.rgba[:3] + 0.5 * np.array(_COLOUR)
            geom.rgba[3] = _ALPHA


def heading(pose: Pose) -> float:
    """Where the body of a pose (nq,) looks to: the angle about the vertical, rad."""
    w, x, y, z = pose[3:7]
    return math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))


def beside(pose: Pose) -> Pose:
    """The same pose, moved to its own left."""
    moved = pose.copy()
    angle = heading(pose) + math.pi / 2
    moved[:2] += BESIDE_M * np.array([math.cos(angle), math.sin(angle)])
    return moved
