"""Recorded motion for training: broken frames are cut out, the rest is left as it is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from motions import FPS, FRAMES, JOINTS, ROBOT, WALKS, native, save_npz, save_pickle, twist, walk
from twist_cmg import _C
from twist_cmg.clips import read_clips, rows_of, trim
from twist_cmg.motion_file import Clip
from twist_cmg.motion_sources import find_sources

needs_walks = pytest.mark.skipif(not WALKS.is_dir(), reason=f"{WALKS} is not here")
DOCTOR = _C.Doctor(ROBOT)


def whole() -> Clip:
    made = walk()
    return Clip("walk", FPS, JOINTS, made.root_pos, made.wxyz, made.dof_pos)


def spoiled(key: str, frame: int | list[int], value: float, column: int) -> Clip:
    """The walk with one wrong number in a frame or two."""
    clip = whole()
    getattr(clip, key)[frame, column] = value
    return clip


def test_a_plausible_clip_is_left_as_it_is() -> None:
    clip = whole()
    assert trim(clip, DOCTOR) == (clip, "")


@pytest.mark.parametrize(
    ("key", "column", "value", "told"),
    [
        ("root_pos", 2, 1.93, "m above the floor in frame"),
        ("root_pos", 2, 0.3, "m above the floor in frame"),
        ("root_pos", 0, 9.0, "m/s"),
        ("root_pos", 0, np.nan, "1 values that are not finite in frame"),
        ("root_quat_wxyz", 0, 0.0, "a quaternion of length 0.5 in frame"),
        ("root_quat_wxyz", 0, -np.cos(np.pi / 6), "rad/s"),
        ("dof_pos", 28, 2.5, "right_wrist_yaw_joint moves at"),
    ],
)
def test_a_broken_frame_is_cut_out(key: str, column: int, value: float, told: str) -> None:
    kept, line = trim(spoiled(key, 0, value, column), DOCTOR)
    assert kept is not None and len(kept.root_pos) == FRAMES - 1
    assert line.startswith("walk: kept frames 1 to 119 of 120 (") and told in line
    assert kept.provenance.done == [line.removeprefix("walk: ")]
    kept, line = trim(spoiled(key, 40, value, column), DOCTOR)
    assert kept is not None and len(kept.dof_pos) == len(kept.root_quat_wxyz) == FRAMES - 41
    assert "kept frames 41 to 119" in line
    np.testing.assert_array_equal(kept.dof_pos, whole().dof_pos[41:])


def test_a_clip_of_a_wrong_frame_rate_is_left_out() -> None:
    clip = replace(whole(), dof_vel=walk().dof_vel)
    assert trim(clip, DOCTOR) == (clip, "")
    kept, line = trim(replace(clip, fps=50.0), DOCTOR)
    assert kept is None
    assert "left out, the file says 50 frames a second, but its own joint velocities fit 30" in line


def test_a_clip_without_two_good_seconds_is_left_out(tmp_path: Path) -> None:
    kept, line = trim(spoiled("root_pos", [50, 70], 5.0, 2), DOCTOR)
    assert kept is None and "left out, less than 2 s" in line
    save_pickle(tmp_path / "good.pkl", twist())
    bad = twist()
    bad["root_pos"][[50, 70], 2] = 5.0
    save_pickle(tmp_path / "bad.pkl", bad)
    clips, report = read_clips(find_sources([str(tmp_path)]), ROBOT)
    assert [clip.name for clip in clips] == ["good"]
    assert len(report) == 1 and report[0].startswith("bad: left out")
    with pytest.raises(ValueError, match="no usable clip among 1 files"):
        read_clips(find_sources([str(tmp_path / "bad.pkl")]), ROBOT)


def test_formats_may_be_mixed_and_become_rows(tmp_path: Path) -> None:
    save_pickle(tmp_path / "a.pkl", twist())
    save_npz(tmp_path / "b.npz", native())
    clips, _ = read_clips(find_sources([str(tmp_path)]), ROBOT)
    made = rows_of(clips, ROBOT)
    seconds = (FRAMES - 1) / FPS
    assert made.lengths == [1 + int(seconds * 50)] * 2  # resampled to 50 Hz
    np.testing.assert_array_equal(made.rows[0], made.rows[1])
    middle = made.rows[0, 100]  # 2 s, frame 60 of the recording
    np.testing.assert_allclose(middle[:29], walk().dof_pos[60], atol=1e-3)
    np.testing.assert_allclose(middle[29:58], walk().dof_vel[60], atol=1e-3)
    heading = 0.6 * np.array([np.cos(np.pi / 3), -np.sin(np.pi / 3)])  # along x, turned by 60 deg
    np.testing.assert_allclose(middle[62:64], heading, atol=1e-3)


@needs_walks
def test_the_recorded_walks_are_read_and_cleaned() -> None:
    clips, report = read_clips(find_sources([str(WALKS)]), ROBOT)
    assert len(clips) == 7
    assert [line.split(":")[0][-3:] for line in report] == ["001", "005", "007", "009"]
    assert all("kept frames 1 to" in line for line in report)
    for clip in clips:
        speed = np.linalg.norm(np.diff(clip.root_pos, axis=0), axis=1) * clip.fps
        assert speed.max() < 3 and clip.root_pos[:, 2].min() > 0.5
        up = 1 - 2 * (clip.root_quat_wxyz[:, 1:3] ** 2).sum(axis=1)  # z axis of the pelvis
        assert up.min() > 0.7  # fails if the quaternion's order is wrong


@needs_walks
def test_the_recorded_walks_become_trajectories() -> None:
    clips, _ = read_clips(find_sources([str(WALKS)]), ROBOT)
    made = rows_of(clips, ROBOT)
    for stream, clip in enumerate(clips):
        assert abs(made.lengths[stream] - 50 * clip.seconds) <= 2
        rows = made.stream(stream)
        assert np.isfinite(rows).all()
        n = len(JOINTS)
        last = min(made.lengths[stream], int(50 * clip.seconds)) - 1
        at = last / 50 * clip.fps  # the same instant in the recording, by linear interpolation
        low = int(at)
        part = at - low
        expected = (1 - part) * clip.dof_pos[low] + part * clip.dof_pos[
            min(low + 1, len(clip.dof_pos) - 1)
        ]
        np.testing.assert_allclose(rows[last, :n], expected, atol=0.05)
        np.testing.assert_allclose(rows[0, :n], clip.dof_pos[0], atol=1e-3)
        np.testing.assert_allclose(
            np.linalg.norm(rows[:, 2 * n + 1 : 2 * n + 4], axis=1), 1, atol=1e-4
        )
