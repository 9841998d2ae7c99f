"""A made-up walk in the form of every format that is read."""

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from twist_cmg.config import load_robot

ROBOT = load_robot("g1_29dof")
JOINTS = list(ROBOT.joint_names)
FRAMES = 120
FPS = 30.0
WALKS = Path(__file__).parents[3] / "shared" / "data" / "twist2_walks"

# the order of Isaac Lab by hand: everything one joint from the pelvis, then two, ...
ISAAC = """
left_hip_pitch right_hip_pitch waist_yaw left_hip_roll right_hip_roll waist_roll left_hip_yaw
right_hip_yaw waist_pitch left_knee right_knee left_shoulder_pitch right_shoulder_pitch
left_ankle_pitch right_ankle_pitch left_shoulder_roll right_shoulder_roll left_ankle_roll
right_ankle_roll left_shoulder_yaw right_shoulder_yaw left_elbow right_elbow left_wrist_roll
right_wrist_roll left_wrist_pitch right_wrist_pitch left_wrist_yaw right_wrist_yaw
"""
ISAAC_JOINTS = [f"{name}_joint" for name in ISAAC.split()]
IN_23 = [*range(19), *range(22, 26)]  # of the 29, as the TWIST papers have them


def walk() -> SimpleNamespace:
    """A smooth walk along x at 0.6 m/s for 4 s, turned by 60 degrees."""
    t = np.arange(FRAMES) / FPS
    root_pos = np.stack([0.6 * t, 0 * t, 0.75 + 0 * t], axis=1)
    wxyz = np.tile([np.cos(np.pi / 6), 0.0, 0.0, np.sin(np.pi / 6)], (FRAMES, 1))
    dof_pos = np.array(ROBOT.default_pose) + 0.05 * np.sin(2 * t[:, None] + np.arange(29))
    dof_vel = 0.1 * np.cos(2 * t[:, None] + np.arange(29))
    return SimpleNamespace(root_pos=root_pos, wxyz=wxyz, dof_pos=dof_pos, dof_vel=dof_vel)


def twist() -> dict[str, Any]:
    """What a TWIST pickle holds."""
    made = walk()
    xyzw = made.wxyz[:, [1, 2, 3, 0]]
    return {"fps": FPS, "root_pos": made.root_pos, "root_rot": xyzw, "dof_pos": made.dof_pos}


def amass() -> dict[str, Any]:
    """What an AMASS NPZ for the G1 holds; the second body is somewhere else."""
    made = walk()
    return {
        "fps": np.array([FPS], dtype=np.float32),
        "dof_names": np.array(JOINTS),
        "body_names": np.array(["pelvis", "left_hip_pitch_link"]),
        "dof_positions": made.dof_pos,
        "dof_velocities": made.dof_vel,
        "body_positions": np.stack([made.root_pos, made.root_pos + 9], axis=1),
        "body_rotations": np.stack([made.wxyz, made.wxyz[:, ::-1]], axis=1),
    }


def beyondmimic() -> dict[str, Any]:
    """What a BeyondMimic NPZ holds: joints breadth first and without names."""
    made = walk()
    order = [JOINTS.index(name) for name in ISAAC_JOINTS]
    return {
        "fps": np.array([int(FPS)]),
        "joint_pos": made.dof_pos[:, order],
        "joint_vel": made.dof_vel[:, order],
        "body_pos_w": np.stack([made.root_pos, made.root_pos + 9], axis=1),
        "body_quat_w": np.stack([made.wxyz, made.wxyz[:, ::-1]], axis=1),
        "body_lin_vel_w": np.zeros((FRAMES, 2, 3)),
        "body_ang_vel_w": np.zeros((FRAMES, 2, 3)),
    }


def native() -> dict[str, Any]:
    """What a motion file holds."""
    made = walk()
    return {
        "format_version": np.int64(1),
        "fps": np.float64(FPS),
        "joint_names": np.array(JOINTS),
        "root_pos": made.root_pos,
        "root_quat_wxyz": made.wxyz,
        "dof_pos": made.dof_pos,
        "provenance": np.array('{"source": "a.pkl", "weight": 2.0}'),
    }


def save_pickle(path: Path, data: Any, protocol: int | None = None) -> Path:
    path.write_bytes(pickle.dumps(data, protocol=protocol))
    return path


def two_clips(folder: Path) -> tuple[str, str]:
    """Settings of a training that follows two recorded clips, a and b, which it writes there."""
    (folder / "clips").mkdir()
    for name in "ab":
        save_pickle(folder / "clips" / f"{name}.pkl", twist())
    return "reference.source=clips", f"reference.clips={folder}/clips"


def save_npz(path: Path, data: dict[str, Any]) -> Path:
    with path.open("wb") as file:
        np.savez(file, **data)
    return path


def save_csv(path: Path, columns: list[int] | None = None) -> Path:
    """LAFAN1 for the G1: root, quaternion x y z w, joints."""
    made = walk()
    dof_pos = made.dof_pos if columns is None else made.dof_pos[:, columns]
    table = np.hstack([made.root_pos, made.wxyz[:, [1, 2, 3, 0]], dof_pos])
    np.savetxt(path, table, delimiter=",", fmt="%.9f")
    return path
