"""Generated motion as files: NPZ with everything in it, or pickles for TWIST, and a list of them.

An NPZ has the keys of a motion file of this program (format_version, fps, joint_names, root_pos,
root_quat_wxyz, dof_pos, provenance) and those of AMASS for the G1 (dof_names, dof_positions,
dof_velocities, body_names, body_positions, body_rotations), so that readers of either take it;
moreover commands and targets (frames, 3) and contacts (frames, 2), the shares of the load on the
left and the right foot. Metres, radians, seconds, world coordinates, quaternions w x y z.

A pickle is a TWIST motion: fps, root_pos, root_rot (x y z w), dof_pos, local_body_pos (frames,
38, 3) from the root in its frame, link_body_list; and joint_names, which TWIST does not have.
"""

import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _C
from .motion_file import FORMAT_VERSION

FPS = 50.0
LIST_NAME = "motions.yaml"

# TWIST's links in TWIST's order
_LEG = ("hip_pitch_link", "hip_roll_link", "hip_yaw_link", "knee_link", "ankle_pitch_link")
_ARM = ("shoulder_pitch_link", "shoulder_roll_link", "shoulder_yaw_link", "elbow_link")
_HAND = ("wrist_roll_link", "wrist_pitch_link", "wrist_yaw_link", "rubber_hand")
TWIST_LINKS = (
    "pelvis",
    *(f"left_{link}" for link in (*_LEG, "ankle_roll_link", "toe_link")),
    "pelvis_contour_link",
    *(f"right_{link}" for link in (*_LEG, "ankle_roll_link", "toe_link")),
    *("waist_yaw_link", "waist_roll_link", "torso_link"),
    *("head_link", "head_mocap", "imu_in_torso"),
    *(f"left_{link}" for link in (*_ARM, *_HAND)),
    *(f"right_{link}" for link in (*_ARM, *_HAND)),
)

# the links among them that our model has no body for: the body they are fixed to and where (m)
_FIXED_LINKS = {
    "left_toe_link": ("left_ankle_roll_link", (0.1, 0.0, -0.02)),
    "right_toe_link": ("right_ankle_roll_link", (0.1, 0.0, -0.02)),
    "pelvis_contour_link": ("pelvis", (0.0, 0.0, 0.0)),
    "head_link": ("torso_link", (0.0039635, 0.0, -0.044)),
    "head_mocap": ("torso_link", (0.0, 0.0, 0.4)),
    "imu_in_torso": ("torso_link", (-0.03959, -0.00224, 0.14792)),
    "left_rubber_hand": ("left_wrist_yaw_link", (0.0415, 0.003, 0.0)),
    "right_rubber_hand": ("right_wrist_yaw_link", (0.0415, -0.003, 0.0)),
}


@dataclass(frozen=True)
class Recording:
    """One stream of generated motion, with what says how it was made."""

    robot: _C.Robot
    motion: _C.Trajectories
    stream: int
    description: str

    @property
    def rows(self) -> NDArray[np.float32]:
        """(frames, width); the layout is told in motion/reference.h."""
        return self.motion.stream(self.stream)

    def qpos(self) -> NDArray[np.float64]:
        """(frames, 7 + joints): MuJoCo's coordinates, the root integrated from the velocities."""
        poses = _C.body_poses(self.robot, self.motion, self.stream)
        root = poses["positions"][:, 0], poses["rotations"][:, 0]
        return np.hstack([*root, self.rows[:, : self.robot.num_joints]])


def as_npz(recording: Recording) -> bytes:
    """The content of an NPZ file."""
    robot, rows, stream = recording.robot, recording.rows, recording.stream
    joints, frames = robot.num_joints, len(rows)
    poses = _C.body_poses(robot, recording.motion, stream)
    names = np.array(robot.joint_names, dtype=np.str_)
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        format_version=np.int64(FORMAT_VERSION),
        fps=np.float64(FPS),
        joint_names=names,
        root_pos=poses["positions"][:, 0],
        root_quat_wxyz=poses["rotations"][:, 0],
        dof_pos=rows[:, :joints].astype(np.float64),
        provenance=np.array(json.dumps(_provenance(recording))),
        dof_names=names,
        dof_positions=rows[:, :joints],
        dof_velocities=rows[:, joints : 2 * joints],
        body_names=np.array(poses["names"], dtype=np.str_),
        body_positions=poses["positions"].astype(np.float32),
        body_rotations=poses["rotations"].astype(np.float32),
        contacts=rows[:, -2:],
        commands=recording.motion.commands[stream, :frames],
        targets=recording.motion.targets[stream, :frames],
    )
    return buffer.getvalue()


def as_pickle(recording: Recording) -> bytes:
    """The content of a TWIST motion file."""
    robot, rows = recording.robot, recording.rows
    points = [(name, body, offset) for name, (body, offset) in _FIXED_LINKS.items()]
    poses = _C.body_poses(robot, recording.motion, recording.stream, points)
    columns = [_link(poses["names"], link) for link in TWIST_LINKS]
    content = {
        "fps": FPS,
        "root_pos": poses["positions"][:, 0],
        "root_rot": poses["rotations"][:, 0][:, [1, 2, 3, 0]],
        "dof_pos": rows[:, : robot.num_joints].astype(np.float64),
        "local_body_pos": poses["local"][:, columns].astype(np.float32),
        "link_body_list": list(TWIST_LINKS),
        "joint_names": list(robot.joint_names),
    }
    # protocol 3 names modules as plain lines; NumPy 1, which TWIST runs on, knows the older name
    return pickle.dumps(content, protocol=3).replace(b"cnumpy._core.", b"cnumpy.core.")


def data_set(folder: Path, recordings: Mapping[str, Recording]) -> dict[str, Any]:
    """A TWIST data set list of the files in a folder; every motion has the same weight."""
    motions = [
        {"file": name, "weight": 1.0, "description": recording.description}
        for name, recording in recordings.items()
    ]
    return {"root_path": str(folder.resolve()), "motions": motions}


def _provenance(recording: Recording) -> dict[str, Any]:
    return {"format": "generated", "description": recording.description}


def _link(names: list[str], link: str) -> int:
    if link not in names:
        raise ValueError(f"a TWIST motion needs the link {link!r}, which this robot does not have")
    return names.index(link)
