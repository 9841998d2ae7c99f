"""Recorded motion: wrong files are refused, broken frames cut out, the rest left as it is."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twist_cmg import _C
from twist_cmg.clips import Clip, clip_files, read_clip, read_clips, trim
from twist_cmg.config import load_robot

WALKS = Path(__file__).parents[3] / "shared" / "data" / "twist2_walks"
JOINTS = load_robot("g1_29dof").joint_names
FRAMES = 120

needs_walks = pytest.mark.skipif(not WALKS.is_dir(), reason=f"{WALKS} is not here")


def motion() -> dict[str, Any]:
    """A smooth walk along x at 0.6 m/s for 4 s, turned by 60 degrees."""
    t = np.arange(FRAMES) / 30.0
    root_pos = np.stack([0.6 * t, 0 * t, 0.75 + 0 * t], axis=1)
    xyzw = np.tile([0.0, 0.0, np.sin(np.pi / 6), np.cos(np.pi / 6)], (FRAMES, 1))
    dof_pos = 0.1 * np.sin(t[:, None] + np.arange(29))
    return {"fps": 30.0, "root_pos": root_pos, "root_rot": xyzw, "dof_pos": dof_pos}


def save(path: Path, data: Any, protocol: int | None = None) -> Path:
    path.write_bytes(pickle.dumps(data, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_clip_is_read_as_it_is(tmp_path: Path, protocol: int) -> None:
    data = motion()
    data["link_body_list"] = ["pelvis"]
    data["fps"] = np.float64(30)
    clip = read_clip(save(tmp_path / "walk.pkl", data, protocol), JOINTS)
    assert (clip.name, clip.fps, clip.joint_names) == ("walk", 30.0, JOINTS)
    np.testing.assert_array_equal(clip.dof_pos, data["dof_pos"])
    half = np.pi / 6  # w first: a turn about z
    np.testing.assert_allclose(clip.root_quat_wxyz[5], [np.cos(half), 0, 0, np.sin(half)])
    assert trim(clip) == (clip, "")


def test_joint_names_may_stand_in_any_order(tmp_path: Path) -> None:
    names = list(reversed(JOINTS))
    clip = read_clip(save(tmp_path / "a.pkl", {**motion(), "joint_names": names}), JOINTS)
    assert clip.joint_names == names


def wrong_name(data: dict[str, Any]) -> None:
    data["joint_names"] = [*JOINTS[:3], "left_nee_joint", *JOINTS[4:]]


def missing_name(data: dict[str, Any]) -> None:
    data["joint_names"] = [*JOINTS[:-1], JOINTS[0]]


def drop(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda data: data.pop(key)


def put(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data.update({key: value})


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (wrong_name, "the robot has no joint 'left_nee_joint' (did you mean 'left_knee_joint'?)"),
        (missing_name, f"the joint {JOINTS[0]!r} stands 2 times"),
        (put("joint_names", 3), "joint_names must be a list of names, not 3"),
        (put("dof_pos", np.zeros((FRAMES, 23))), "dof_pos has 23 joints; the robot has 29"),
        (put("dof_pos", np.zeros((5, 29))), "5, 120 and 120 frames"),
        (put("dof_pos", [["a"] * 29]), "dof_pos must be an array of numbers"),
        (put("root_pos", np.zeros(3)), "root_pos must be (frames, 3), not (3,)"),
        (put("root_rot", np.zeros((FRAMES, 3))), "root_rot must be (frames, 4), not (120, 3)"),
        (put("fps", "fast"), "fps must be a number, not 'fast'"),
        (put("fps", 0.0), "fps must lie in [5, 1000], not be 0.0"),
        (put("fps", float("nan")), "fps must lie in"),
        (drop("root_rot"), "it must have the keys fps, root_pos, root_rot, dof_pos"),
    ],
)
def test_a_wrong_clip_is_refused(
    tmp_path: Path, spoil: Callable[[dict[str, Any]], None], told: str
) -> None:
    data = motion()
    spoil(data)
    with pytest.raises(ValueError) as error:
        read_clip(save(tmp_path / "bad.pkl", data), JOINTS)
    assert "bad.pkl" in str(error.value) and told in str(error.value)


class Call:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, pickle.HIGHEST_PROTOCOL])
def test_a_hostile_pickle_runs_nothing(tmp_path: Path, protocol: int) -> None:
    trap = tmp_path / "trap"
    for function in (os.mkdir, eval, np.fromfile):
        hidden = {**motion(), "extra": [Call(function, str(trap))]}
        file = save(tmp_path / "bad.pkl", hidden, protocol)
        with pytest.raises(
            ValueError, match=r"bad\.pkl is not a motion file: it asks for"
        ) as error:
            read_clip(file, JOINTS)
        assert function.__name__ in str(error.value) and "\n" not in str(error.value)
    assert not trap.exists()


def test_objects_in_arrays_are_refused(tmp_path: Path) -> None:
    data = {**motion(), "extra": np.array([{}, None], dtype=object)}
    with pytest.raises(ValueError, match="it holds an array of type object"):
        read_clip(save(tmp_path / "bad.pkl", data), JOINTS)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    file = save(tmp_path / "bad.pkl", motion())
    content = file.read_bytes()
    for damaged in (b"", b"hello", b"\x80\x04.", content[:50], content[: len(content) // 2]):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"bad\.pkl is not a"):
            read_clip(file, JOINTS)


def spoiled(key: str, frame: int | list[int], value: float, column: int) -> Clip:
    """The walk with one wrong number in a frame or two."""
    data = motion()
    wxyz = data["root_rot"][:, [3, 0, 1, 2]].copy()
    clip = Clip("walk", 30.0, JOINTS, data["root_pos"], wxyz, data["dof_pos"])
    getattr(clip, key)[frame, column] = value
    return clip


@pytest.mark.parametrize(
    ("key", "column", "value", "told"),
    [
        ("root_pos", 2, 1.83, "pelvis height 1.83 m in frame"),
        ("root_pos", 2, 0.3, "pelvis height 0.30 m in frame"),
        ("root_pos", 0, 9.0, "m/s"),
        ("root_pos", 0, np.nan, "not finite in frame"),
        ("root_quat_wxyz", 0, 0.0, "a quaternion of length 0.50 in frame"),
        ("root_quat_wxyz", 0, -np.cos(np.pi / 6), "rad/s"),
        ("dof_pos", 28, 2.5, "joints"),
    ],
)
def test_a_broken_frame_is_cut_out(key: str, column: int, value: float, told: str) -> None:
    kept, line = trim(spoiled(key, 0, value, column))
    assert kept is not None and len(kept.root_pos) == FRAMES - 1
    assert line.startswith("walk: kept frames 1 to 119 of 120 (") and told in line
    kept, line = trim(spoiled(key, 40, value, column))
    assert kept is not None and len(kept.dof_pos) == len(kept.root_quat_wxyz) == FRAMES - 41
    assert "kept frames 41 to 119" in line


def test_a_clip_without_two_good_seconds_is_left_out(tmp_path: Path) -> None:
    kept, line = trim(spoiled("root_pos", [50, 70], 5.0, 2))
    assert kept is None and "left out, less than 2 s" in line
    good, bad = save(tmp_path / "good.pkl", motion()), motion()
    bad["root_pos"][[50, 70], 2] = 5.0
    spoiled_file = save(tmp_path / "bad.pkl", bad)
    clips, report = read_clips([good, spoiled_file], JOINTS)
    assert [clip.name for clip in clips] == ["good"]
    assert len(report) == 1 and report[0].startswith("bad: left out")
    with pytest.raises(ValueError, match="no usable clip among 1 files"):
        read_clips([spoiled_file], JOINTS)


def test_folders_and_files_are_found(tmp_path: Path) -> None:
    for name in ("b.pkl", "a.pkl", "notes.txt"):
        (tmp_path / name).touch()
    found = clip_files([str(tmp_path), str(tmp_path / "b.pkl")])
    assert [path.name for path in found] == ["a.pkl", "b.pkl", "b.pkl"]
    (tmp_path / "empty").mkdir()
    for wrong in ([], [str(tmp_path / "empty")], [str(tmp_path / "c.pkl")]):
        with pytest.raises(ValueError, match=r"recorded motion|holds no|there is no motion file"):
            clip_files(wrong)


@needs_walks
def test_the_recorded_walks_are_read_and_cleaned() -> None:
    clips, report = read_clips(clip_files([str(WALKS)]), JOINTS)
    assert len(clips) == 7
    assert [line.split(":")[0][-3:] for line in report if "kept frames 1 to" in line]
    for clip in clips:
        speed = np.linalg.norm(np.diff(clip.root_pos, axis=0), axis=1) * clip.fps
        assert speed.max() < 3 and clip.root_pos[:, 2].min() > 0.5
        up = 1 - 2 * (clip.root_quat_wxyz[:, 1:3] ** 2).sum(axis=1)  # z axis of the pelvis
        assert up.min() > 0.7  # fails if the quaternion's order is wrong


@needs_walks
def test_the_recorded_walks_become_trajectories() -> None:
    robot = load_robot("g1_29dof")
    clips, _ = read_clips(clip_files([str(WALKS)]), JOINTS)
    made = _C.clip_trajectories(robot, [clip.as_dict() for clip in clips])
    for stream, clip in enumerate(clips):
        seconds = (len(clip.root_pos) - 1) / clip.fps
        assert abs(made.lengths[stream] - 50 * seconds) <= 2
        rows = made.stream(stream)
        assert np.isfinite(rows).all()
        n = len(JOINTS)
        last = min(made.lengths[stream], int(50 * seconds)) - 1
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
