"""The motion file: read back as written; whatever is wrong is told in one sentence."""

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motions import FPS, FRAMES, JOINTS, native, save_npz, walk
from twist_cmg.motion_file import Clip, Provenance, read_clip, write_clip


def clip() -> Clip:
    made = walk()
    past = Provenance("a.pkl", "twist", "00ff", "CC-BY-4.0", 3.0, "slow", ["left out one joint"])
    return Clip("a", FPS, JOINTS, made.root_pos, made.wxyz, made.dof_pos, provenance=past)


def test_a_motion_file_is_read_back_as_written(tmp_path: Path) -> None:
    wrote = clip()
    wrote.dof_pos[3, 4] = np.nan  # the doctor's business
    write_clip(tmp_path / "a.npz", wrote)
    read = read_clip(tmp_path / "a.npz", "a")
    assert (read.name, read.fps, read.joint_names) == (wrote.name, wrote.fps, wrote.joint_names)
    assert read.provenance == wrote.provenance and read.dof_vel is None
    for part in ("root_pos", "root_quat_wxyz", "dof_pos"):
        np.testing.assert_array_equal(getattr(read, part), getattr(wrote, part))
    assert list(tmp_path.iterdir()) == [tmp_path / "a.npz"]


def test_a_motion_file_is_what_its_description_says(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.npz", clip())
    with np.load(tmp_path / "a.npz", allow_pickle=False) as data:
        assert set(data.files) == set(native())
        assert data["format_version"] == 1 and data["fps"] == FPS
        assert data["root_quat_wxyz"].shape == (FRAMES, 4)
        assert json.loads(str(data["provenance"]))["licence"] == "CC-BY-4.0"


def test_another_program_can_write_it(tmp_path: Path) -> None:
    read = read_clip(save_npz(tmp_path / "b.npz", native()), "b")
    assert read.provenance == Provenance("a.pkl", weight=2.0)
    np.testing.assert_array_equal(read.dof_pos, walk().dof_pos)


def put(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data.update({key: value})


def drop(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda data: data.pop(key)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (drop("format_version"), "it has no format_version"),
        (drop("dof_pos"), "lacks dof_pos: it must have the keys fps, joint_names, root_pos"),
        (put("format_version", np.int64(2)), "format 2, but this version reads format 1"),
        (put("format_version", np.array("x")), "format 'x', but this version reads format 1"),
        (put("fps", np.float64(0)), "fps must lie in [5, 1000], not be 0.0"),
        (put("fps", np.float64("nan")), "fps must lie in [5, 1000], not be nan"),
        (put("fps", np.array(["fast"])), "fps must be a number, not"),
        (put("fps", np.array([30.0, 30.0])), "fps must be a number, not"),
        (put("joint_names", np.array(JOINTS[:28])), "28 joint names for 29 joints"),
        (put("joint_names", np.arange(29)), "joint_names must be a list of names, not [0, 1"),
        (put("root_pos", np.zeros((FRAMES, 4))), "root_pos must be (120, 3), not (120, 4)"),
        (put("root_pos", np.zeros((5, 3))), "root_pos must be (120, 3), not (5, 3)"),
        (put("root_quat_wxyz", np.zeros(4)), "root_quat_wxyz must be (120, 4), not (4,)"),
        (put("dof_pos", np.zeros(29)), "dof_pos must be (frames, joints), not (29,)"),
        (put("dof_pos", np.full((FRAMES, 29), "1")), "dof_pos must be an array of numbers, not of"),
        (put("dof_pos", np.zeros((FRAMES, 29), complex)), "numbers, not of complex128"),
        (put("dof_pos", np.array([[{}] * 29] * FRAMES)), "is damaged or no NPZ file: Object"),
        (put("provenance", np.array("{")), "provenance must be a JSON mapping of source, format"),
        (put("provenance", np.array('{"done": 3}')), "provenance must be a JSON mapping of"),
        (put("provenance", np.array('{"whence": ""}')), "provenance must be a JSON mapping of"),
    ],
)
def test_a_wrong_motion_file_is_refused(
    tmp_path: Path, spoil: Callable[[dict[str, Any]], None], told: str
) -> None:
    data = native()
    spoil(data)
    file = save_npz(tmp_path / "bad.npz", data)
    with pytest.raises(ValueError) as error:
        read_clip(file, "bad")
    assert "bad.npz" in str(error.value) and told in str(error.value)
    assert "\n" not in str(error.value)


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.mkdir, (self.path,)


def test_a_hostile_object_array_runs_nothing(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    hostile = {**native(), "dof_pos": np.array([Trap(trap)], dtype=object)}
    files = [save_npz(tmp_path / "bad.npz", hostile), tmp_path / "worse.npz"]
    files[1].write_bytes(pickle.dumps(Trap(trap)))
    for file in files:
        with pytest.raises(ValueError, match=r"is damaged or no NPZ file"):
            read_clip(file, "bad")
    assert not trap.exists()


def test_a_part_that_is_no_array_is_refused(tmp_path: Path) -> None:
    file = save_npz(tmp_path / "bad.npz", {k: v for k, v in native().items() if k != "dof_pos"})
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("dof_pos", b"hello")
    with pytest.raises(ValueError, match="dof_pos must be an array of numbers"):
        read_clip(file, "bad")


def test_a_file_that_is_not_there_or_a_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "no.npz", tmp_path):
        with pytest.raises(ValueError, match=r"is damaged or no NPZ file: .+"):
            read_clip(path, "bad")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(cut=st.integers(0, 10**6), place=st.integers(0, 10**6), value=st.integers(0, 255))
def test_damage_is_told_or_does_no_harm(tmp_path: Path, cut: int, place: int, value: int) -> None:
    file = tmp_path / "bad.npz"
    write_clip(file, clip())
    content = bytearray(file.read_bytes())
    whole = clip()
    for damaged in (content[: cut % len(content)], flipped(content, place, value)):
        file.write_bytes(damaged)
        try:
            read = read_clip(file, "bad")
        except ValueError as error:
            assert "bad.npz" in str(error) and "\n" not in str(error)
        else:  # a byte of the archive that says nothing, or nothing of importance
            np.testing.assert_array_equal(read.dof_pos, whole.dof_pos)
            np.testing.assert_array_equal(read.root_pos, whole.root_pos)


def flipped(content: bytearray, place: int, value: int) -> bytearray:
    changed = bytearray(content)
    changed[place % len(changed)] = value
    return changed
