"""The generator's public face: joint motion for many environments from velocity commands."""

from typing import Any

import torch

from . import _C
from .config import load_robot
from .references import find_cmg, load_cmg


class CmgMotionGenerator(_C.CmgMotionGenerator):
    """Motion of `num_envs` environments at 50 Hz, on rings that are read by frame index.

    `model` is 'shipped', a checkpoint, or a run folder. `mode` is "pregenerated" (everything at
    once, then a seamless loop) or "realtime" (a rolling buffer). A new command takes effect after
    the current frame, without a jump. `get_motion()` reads and moves on; `read()` only reads,
    `advance()` only moves on. Tensors that are returned are views of one buffer, overwritten by
    the next read.
    """

    def __init__(
        self,
        model: str = "shipped",
        *,
        num_envs: int = 4096,
        mode: str = "pregenerated",
        buffer_size: int = 100,
        preload_duration: int = 500,
        look_ahead: int = 0,
        device: str = "cpu",
        dtype: str = "float32",
        threads: int = 0,
        robot: str = "g1_29dof",
    ) -> None:
        _C.choose_matmul_backend()
        self.robot = load_robot(robot)
        settings = _C.CmgMotionSettings()
        settings.num_envs, settings.mode, settings.look_ahead = num_envs, mode, look_ahead
        settings.buffer_size, settings.preload_duration = buffer_size, preload_duration
        cmg = load_cmg(find_cmg(model), self.robot)
        super().__init__(cmg, settings, _C.Workers(threads), dtype, device)

    def get_full_motion_data(self, env_ids: Any = None) -> dict[str, torch.Tensor]:
        """Like `get_motion`, as a dictionary: dof_pos, dof_vel and both as motion."""
        rows = self.read(env_ids)
        n = self.robot.num_joints
        data = {"dof_pos": rows[:, :n], "dof_vel": rows[:, n : 2 * n], "motion": rows[:, : 2 * n]}
        self.advance(env_ids)
        return data

    def get_motion_with_body_transforms(self, env_ids: Any = None) -> dict[str, Any]:
        """The motion with every body relative to the root: names and positions (ids, bodies, 3)."""
        rows = self.read(env_ids)
        frames = _C.Trajectories(1, len(rows), self.robot.num_joints)
        frames.rows[0] = 0
        frames.rows[0, :, 2 * self.robot.num_joints + 3] = -1  # upright
        frames.rows[0, :, : rows.shape[1]] = rows
        poses = _C.body_poses(self.robot, frames, 0)
        data: dict[str, Any] = self.get_full_motion_data(env_ids)
        return {**data, "body_names": poses["names"], "body_positions": poses["local"]}
