"""Every format ends as the same clip: joints by name, quaternions w first; the rest is refused."""

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mujoco
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motions import (
    FPS,
    FRAMES,
    IN_23,
    ISAAC_JOINTS,
    JOINTS,
    ROBOT,
    amass,
    beyondmimic,
    native,
    save_csv,
    save_npz,
    save_pickle,
    twist,
    walk,
)
from twist_cmg.config import robot_settings
from twist_cmg.importers import FORMATS, ReadOptions, read_motion
from twist_cmg.joint_names import ORDERS, to_robot, unnamed
from twist_cmg.motion_file import Clip
from twist_cmg.motion_sources import Source


def read(path: Path, **options: Any) -> Clip:
    return read_motion(Source(path, path.stem), ROBOT, ReadOptions(**options))


def small_robot() -> Any:
    """A G1 without wrists, as far as joints go."""
    names = [JOINTS[i] for i in IN_23]
    pose = [ROBOT.default_pose[i] for i in IN_23]
    return SimpleNamespace(
        joint_names=names, default_pose=pose, in_leg=[ROBOT.in_leg[i] for i in IN_23]
    )


def check_walk(clip: Clip, atol: float = 0) -> None:
    made = walk()
    assert (clip.fps, clip.joint_names) == (FPS, JOINTS)
    np.testing.assert_allclose(clip.root_pos, made.root_pos, atol=atol)
    np.testing.assert_allclose(clip.root_quat_wxyz, made.wxyz, atol=atol)
    np.testing.assert_allclose(clip.dof_pos, made.dof_pos, atol=atol)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_twist_pickles(tmp_path: Path, protocol: int) -> None:
    data = {**twist(), "link_body_list": ["pelvis"], "fps": np.float64(30)}
    check_walk(read(save_pickle(tmp_path / "walk.pkl", data, protocol)))


def test_amass(tmp_path: Path) -> None:
    clip = read(save_npz(tmp_path / "walk.npz", amass()))
    check_walk(clip)
    np.testing.assert_array_equal(clip.dof_vel, walk().dof_vel)


def test_lafan1(tmp_path: Path) -> None:
    check_walk(read(save_csv(tmp_path / "walk.csv")), atol=1e-8)
    assert read(tmp_path / "walk.csv", fps=60.0).fps == 60


def test_beyondmimic(tmp_path: Path) -> None:
    file = save_npz(tmp_path / "walk.npz", beyondmimic())
    clip = read(file, joints="isaac")
    check_walk(clip)
    np.testing.assert_array_equal(clip.dof_vel, walk().dof_vel)
    with pytest.raises(ValueError, match=r"tell their order, --joints g1 or isaac"):
        read(file)
    save_npz(file, {**beyondmimic(), "joint_names": np.array(ISAAC_JOINTS)})
    check_walk(read(file))


def test_motion_files(tmp_path: Path) -> None:
    clip = read(save_npz(tmp_path / "walk.npz", native()))
    check_walk(clip)
    assert clip.provenance.source == "a.pkl" and clip.provenance.weight == 2


def test_provenance_tells_where_a_clip_comes_from(tmp_path: Path) -> None:
    file = save_pickle(tmp_path / "walk.pkl", twist())
    source = Source(file, "x/walk", 4.0, "fast")
    clip = read_motion(source, ROBOT, ReadOptions(fps=25.0, licence="mine"))
    past = clip.provenance
    assert (past.source, past.format, past.licence) == ("walk.pkl", "twist", "mine")
    assert (past.weight, past.description, clip.name) == (4.0, "fast", "x/walk")
    assert past.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert past.done == ["took 25 frames a second instead of 30"]


def test_the_orders_of_joints_are_those_of_the_model() -> None:
    model = mujoco.MjModel.from_xml_path(robot_settings("g1_29dof").mjcf)
    names = [model.joint(i).name for i in range(1, model.njnt)]
    assert names == ORDERS["g1"]

    def depth(joint: int) -> int:
        body, steps = model.jnt_bodyid[joint + 1], 0
        while body:
            body, steps = model.body_parentid[body], steps + 1
        return steps

    breadth_first = sorted(range(29), key=depth)  # stable
    assert [names[i] for i in breadth_first] == ISAAC_JOINTS == ORDERS["isaac"]


def test_23_joints_are_the_29_without_wrists(tmp_path: Path) -> None:
    data = twist()
    data["dof_pos"] = data["dof_pos"][:, IN_23]
    for file in (save_pickle(tmp_path / "a.pkl", data), save_csv(tmp_path / "b.csv", IN_23)):
        clip = read(file)
        np.testing.assert_allclose(clip.dof_pos[:, IN_23], walk().dof_pos[:, IN_23], atol=1e-8)
        wrists = [i for i in range(29) if i not in IN_23]
        pose = np.array(ROBOT.default_pose)
        np.testing.assert_array_equal(clip.dof_pos[:, wrists], np.tile(pose[wrists], (FRAMES, 1)))
        assert clip.provenance.done == [
            "took the default pose for joints that the file lacks: "
            + ", ".join(JOINTS[i] for i in wrists)
        ]


def test_there_and_back_between_29_and_23_joints() -> None:
    here, small = Path("walk"), small_robot()
    few, left_out = to_robot(here, JOINTS, walk().dof_pos, small)
    np.testing.assert_array_equal(few, walk().dof_pos[:, IN_23])
    assert left_out[0].startswith("left out joints that the robot lacks: left_wrist_roll_joint,")
    many, _ = to_robot(here, small.joint_names, few, ROBOT)
    again, nothing = to_robot(here, JOINTS, many, ROBOT)
    np.testing.assert_array_equal(again[:, IN_23], walk().dof_pos[:, IN_23])
    assert nothing == []


@given(order=st.permutations(range(29)), short=st.booleans())
def test_permuted_joints_are_put_back(order: list[int], short: bool) -> None:
    names = [JOINTS[i].removesuffix("_joint" if short else "") for i in order]
    back, done = to_robot(Path("walk"), names, walk().dof_pos[:, order], ROBOT)
    np.testing.assert_array_equal(back, walk().dof_pos)
    assert done == []


def test_a_robot_that_is_no_g1_has_its_own_order() -> None:
    other = SimpleNamespace(joint_names=["a", "b"], default_pose=[0, 0], in_leg=[True, True])
    assert unnamed(Path("x"), 2, other, "g1") == ["a", "b"]
    with pytest.raises(ValueError, match="29 joints without names; it must have 2"):
        unnamed(Path("x"), 29, other, "g1")


def put(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data.update({key: value})


def drop(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda data: data.pop(key)


WRONG_TWIST = [
    (put("joint_names", [*JOINTS[:3], "left_nee_joint", *JOINTS[4:]]), "there is no joint 'left_"),
    (put("joint_names", [*JOINTS[:3], "left_nee", *JOINTS[4:]]), "(did you mean 'left_knee_joint'"),
    (put("joint_names", [*JOINTS[:-1], JOINTS[0]]), f"the joint {JOINTS[0]!r} stands twice"),
    (put("joint_names", [*JOINTS[:-1], "left_knee"]), "the joint 'left_knee' stands twice"),
    (put("joint_names", JOINTS[:-1]), "28 joint names for 29 joints"),
    (put("joint_names", 3), "joint_names must be a list of names, not 3"),
    (put("dof_pos", np.zeros((FRAMES, 24))), "24 joints without names; it must have 29 or 23"),
    (put("dof_pos", np.zeros((5, 29))), "5, 120 and 120 frames; they must have the same"),
    (put("dof_pos", [["a"] * 29]), "dof_pos must be an array of numbers"),
    (put("dof_pos", [[1], [1, 2]]), "dof_pos must be an array of numbers"),
    (put("dof_pos", None), "dof_pos must be an array of numbers"),
    (put("root_pos", np.zeros(3)), "root_pos must be (frames, 3), not (3,)"),
    (put("root_rot", np.zeros((FRAMES, 3))), "root_rot must be (frames, 4), not (120, 3)"),
    (put("fps", "fast"), "fps must be a number, not 'fast'"),
    (put("fps", 0.0), "fps must lie in [5, 1000], not be 0.0"),
    (put("fps", float("nan")), "fps must lie in"),
    (drop("root_rot"), "lacks root_rot: it must have the keys fps, root_pos, root_rot, dof_pos"),
]
WRONG_AMASS = [
    (drop("dof_names"), "lacks dof_names: it must have the keys fps, dof_names, dof_positions"),
    (put("dof_names", np.array(JOINTS[::-1][:28])), "28 joint names for 29 joints"),
    (put("body_positions", np.zeros((FRAMES, 3))), "body_positions must be (frames, bodies, 3)"),
    (put("body_rotations", np.zeros((FRAMES, 0, 4))), "body_rotations has no bodies"),
    (put("body_rotations", np.zeros((9, 1, 4))), "120, 120 and 9 frames; they must"),
    (put("dof_velocities", np.zeros((9, 29))), "dof_velocities must be (120, 29), not (9, 29)"),
    (put("dof_positions", np.array([[None] * 29])), "is damaged or no NPZ file"),
]


def twelve_joints(data: dict[str, Any]) -> None:
    data["joint_pos"] = data["joint_vel"] = np.zeros((FRAMES, 12))


WRONG_BEYONDMIMIC = [
    (drop("body_quat_w"), "lacks body_quat_w"),
    (twelve_joints, "12 joints without names; it must have 29 or 23"),
    (put("fps", np.array([0])), "fps must lie in [5, 1000], not be 0.0"),
    (drop("joint_pos"), "is no known kind of motion: it has the keys"),
]


@pytest.mark.parametrize(
    ("make", "spoil", "told"),
    [
        *((twist, *case) for case in WRONG_TWIST),
        *((amass, *case) for case in WRONG_AMASS),
        *((beyondmimic, *case) for case in WRONG_BEYONDMIMIC),
    ],
)
def test_a_wrong_file_is_refused(
    tmp_path: Path, make: Callable[[], Any], spoil: Callable[[Any], None], told: str
) -> None:
    data = make()
    spoil(data)
    if make is twist:
        file = save_pickle(tmp_path / "bad.pkl", data)
    else:
        file = save_npz(tmp_path / "bad.npz", data)
    with pytest.raises(ValueError) as error:
        read(file, joints="isaac")
    assert file.name in str(error.value) and told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_leg_must_be_whole(tmp_path: Path) -> None:
    names = [name for name in JOINTS if name != "left_knee_joint"]
    data = {**twist(), "joint_names": names, "dof_pos": np.zeros((FRAMES, 28))}
    with pytest.raises(ValueError, match="has no joint 'left_knee_joint'; it has left_hip_pitch"):
        read(save_pickle(tmp_path / "bad.pkl", data))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "not 0 columns"),
        ("root_x,root_y\n1,2\n", "is not rows of numbers without a header"),
        ("1,2,3\n", "not 3 columns"),
        (",".join("1" * 36) + "\n" + ",".join("1" * 35) + "\n", "is not rows of numbers"),
        ((",".join("1" * 37) + "\n") * 10, "30 joints without names; it must have 29 or 23"),
        ("\x00\x01", "is not rows of numbers"),
        ("é", "is not rows of numbers"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError) as error:
        read(file)
    assert "bad.csv" in str(error.value) and told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_few_frames_are_no_motion(tmp_path: Path) -> None:
    few = {key: value if key == "fps" else value[:9] for key, value in twist().items()}
    with pytest.raises(ValueError, match=r"few\.pkl has 9 frames; at least 10 are needed"):
        read(save_pickle(tmp_path / "few.pkl", few))
    empty = {key: value if key == "fps" else value[:0] for key, value in twist().items()}
    with pytest.raises(ValueError, match=r"few\.pkl has 0 frames"):
        read(save_pickle(tmp_path / "few.pkl", empty))


def test_a_format_can_be_told_and_a_suffix_is_needed_otherwise(tmp_path: Path) -> None:
    file = save_csv(tmp_path / "walk.txt")
    with pytest.raises(ValueError, match=r"the suffix '\.txt'; motion files end in \.pkl, .*\.csv"):
        read(file)
    check_walk(read(file, format="lafan1"), atol=1e-8)
    for kind in FORMATS[1:]:
        if kind != "lafan1":
            with pytest.raises(ValueError, match=r"walk\.txt is (damaged|not a motion)"):
                read(file, format=kind)
