"""The MJCF against the figures it was written from, and the robot YAML against the MJCF."""

import json
import math
from pathlib import Path

import mujoco
import numpy as np
import pytest
import yaml

ROBOTS = Path(__file__).parents[2] / "configs" / "robots"
TABLE = json.loads((Path(__file__).parent / "data" / "g1_29dof_table.json").read_text())
ROBOT = yaml.safe_load((ROBOTS / "g1_29dof.yaml").read_text())
BODIES = [pytest.param(row, id=row["name"]) for row in TABLE["bodies"]]
JOINTS = [pytest.param(row, id=row["joint"]) for row in TABLE["bodies"] if "joint" in row]

# reflected rotor inertia in kg m^2 by part of the joint name, from Unitree's motor data
ARMATURE = {
    "hip_pitch": 0.01017752,
    "hip_yaw": 0.01017752,
    "waist_yaw": 0.01017752,
    "hip_roll": 0.02510193,
    "knee": 0.02510193,
    "ankle": 0.00721945,
    "waist_roll": 0.00721945,
    "waist_pitch": 0.00721945,
    "shoulder": 0.00360973,
    "elbow": 0.00360973,
    "wrist_roll": 0.00360973,
    "wrist_pitch": 0.00425,
    "wrist_yaw": 0.00425,
}


def load(feet_only=False):
    spec = mujoco.MjSpec.from_file(str(ROBOTS / ROBOT["mjcf"]))
    if feet_only:
        for geom in [g for g in spec.geoms if g.group == 3]:
            spec.delete(geom)
    return spec.compile()


@pytest.fixture(scope="module")
def model():
    return load()


def pose(model, joints, height=1.0):
    """MuJoCo data with the pelvis upright at `height` and joints in model order."""
    data = mujoco.MjData(model)
    data.qpos[:7] = [0, 0, height, 1, 0, 0, 0]
    data.qpos[7:] = joints
    mujoco.mj_forward(model, data)
    return data


def default_joints():
    return np.array([ROBOT["default_pose"].get(name, 0.0) for name in TABLE["joint_order"]])


def standing(model):
    """The default pose with its soles on the floor."""
    soles = [g for g in range(model.ngeom) if model.geom_group[g] == 2]
    data = pose(model, default_joints())
    lowest = min(data.geom_xpos[g][2] - model.geom_size[g][0] for g in soles)
    return pose(model, default_joints(), 1.0 - lowest - 1e-4)


def contacts(model, data):
    return sorted(
        tuple(sorted((model.geom(int(a)).name, model.geom(int(b)).name)))
        for a, b in data.contact.geom
    )


def mirrored(joints):
    index = {name: i for i, name in enumerate(TABLE["joint_order"])}
    out = np.array(joints, dtype=float)
    for left, right in ROBOT["mirror"]["swap"]:
        out[[index[left], index[right]]] = out[[index[right], index[left]]]
    for name in ROBOT["mirror"]["negate"]:
        out[index[name]] *= -1
    return out


def random_joints(model, rng):
    lower, upper = model.jnt_range[1:].T
    return rng.uniform(lower, upper)


def other_side(name):
    for here, there in (("left_", "right_"), ("right_", "left_")):
        if name.startswith(here):
            return there + name.removeprefix(here)
    return name


# ---- the model equals the table


def test_tree_and_orders(model):
    names = [model.body(i).name for i in range(1, model.nbody)]
    assert names == [row["name"] for row in TABLE["bodies"]]
    joints = [model.joint(i).name for i in range(model.njnt)]
    assert joints == ["root", *TABLE["joint_order"]]
    assert [model.actuator(i).name for i in range(model.nu)] == TABLE["joint_order"]
    assert model.body_subtreemass[0] == pytest.approx(TABLE["total_mass"], abs=1e-6)
    assert model.body_subtreemass[0] == pytest.approx(33.34, abs=2e-3)


@pytest.mark.parametrize("row", BODIES)
def test_body(model, row):
    body = model.body(row["name"])
    assert model.body(int(body.parentid[0])).name == row["parent"]
    assert body.pos == pytest.approx(row["pos"], abs=1e-9)
    assert body.quat == pytest.approx(unit(row["quat"]), abs=1e-9)
    assert body.mass[0] == pytest.approx(row["mass"], abs=1e-9)
    assert body.ipos == pytest.approx(row["com"], abs=1e-9)
    assert body.iquat == pytest.approx(unit(row["inertia_quat"]), abs=1e-9)
    assert body.inertia == pytest.approx(row["inertia"], rel=1e-9)


def unit(quat):
    return np.array(quat) / np.linalg.norm(quat)


@pytest.mark.parametrize("row", JOINTS)
def test_joint_and_its_servo(model, row):
    joint, servo = model.joint(row["joint"]), model.actuator(row["joint"])
    dof = joint.dofadr[0]
    assert model.body(int(joint.bodyid[0])).name == row["name"]
    assert joint.axis == pytest.approx(row["axis"])
    assert joint.limited[0] and joint.range == pytest.approx(row["range"])
    assert joint.pos == pytest.approx([0, 0, 0])
    assert model.dof_damping[dof] == 0 and model.dof_frictionloss[dof] == 0

    # gains follow from the armature
    (armature,) = [value for part, value in ARMATURE.items() if part in row["joint"]]
    omega = 2 * math.pi * ROBOT["natural_frequency_hz"]
    kp = armature * omega**2
    kd = 2 * ROBOT["damping_ratio"] * armature * omega
    assert model.dof_armature[dof] == pytest.approx(armature, rel=1e-9)
    assert servo.trnid[0] == joint.id
    assert servo.gainprm[0] == pytest.approx(kp, rel=1e-7)
    assert servo.biasprm[:3] == pytest.approx([0, -kp, -kd], rel=1e-7)
    assert servo.forcerange == pytest.approx([-row["effort"], row["effort"]])
    assert servo.forcelimited[0] and not servo.ctrllimited[0]


def test_gains_at_known_values(model):
    # the published table of these gains, two digits behind the point
    expected = {"left_hip_pitch_joint": (40.18, 2.558), "left_knee_joint": (99.10, 6.309)}
    for name, (kp, kd) in expected.items():
        assert model.actuator(name).gainprm[0] == pytest.approx(kp, abs=5e-3)
        assert -model.actuator(name).biasprm[2] == pytest.approx(kd, abs=5e-4)


@pytest.mark.parametrize("side", ["left", "right"])
def test_sole_spheres(model, side):
    for i, position in enumerate(TABLE["feet_spheres"]):
        geom = model.geom(f"{side}_foot_{i}")
        assert model.body(int(geom.bodyid[0])).name == f"{side}_ankle_roll_link"
        assert geom.pos == pytest.approx(position)
        assert geom.size[0] == pytest.approx(0.005)


# ---- the robot file names what exists


def test_yaml_names_exist(model):
    joints, bodies = set(TABLE["joint_order"]), {row["name"] for row in TABLE["bodies"]}
    swapped = [name for pair in ROBOT["mirror"]["swap"] for name in pair]
    assert set(ROBOT["default_pose"]) <= joints
    assert set(ROBOT["feet"]) | set(ROBOT["key_bodies"]) <= bodies
    assert len(set(swapped)) == len(swapped) == 26
    assert set(swapped) | set(ROBOT["mirror"]["negate"]) <= joints
    for name in joints:
        parts = [part for part in ROBOT["action_scale"] if part in name]
        assert len(parts) == 1, f"{name} has action scales {parts}"


# ---- mirror


def test_mirror_numbers():
    # the well-known list of this joint order
    order = TABLE["joint_order"]
    swaps = [(order.index(a), order.index(b)) for a, b in ROBOT["mirror"]["swap"]]
    assert swaps == [(i, i + 6) for i in range(6)] + [(i, i + 7) for i in range(15, 22)]
    negated = sorted(order.index(name) for name in ROBOT["mirror"]["negate"])
    assert negated == [1, 2, 5, 7, 8, 11, 12, 13, 16, 17, 19, 21, 23, 24, 26, 28]


def test_mirror_twice_is_identity_and_keeps_limits(model):
    rng = np.random.default_rng(1)
    for _ in range(100):
        joints = random_joints(model, rng)
        twin = mirrored(joints)
        assert np.array_equal(mirrored(twin), joints)
        assert not np.array_equal(twin, joints)
        assert np.all(twin >= model.jnt_range[1:, 0]) and np.all(twin <= model.jnt_range[1:, 1])


def test_mirrored_kinematics(model):
    # the table itself is left-right equal to about a hundredth of a millimetre a link
    rng = np.random.default_rng(2)
    for _ in range(50):
        joints = random_joints(model, rng)
        one, twin = pose(model, joints), pose(model, mirrored(joints))
        for row in TABLE["bodies"]:
            expected = one.body(row["name"]).xpos * [1, -1, 1]
            assert twin.body(other_side(row["name"])).xpos == pytest.approx(expected, abs=1e-3)


# ---- contacts


SOLES = sorted(("floor", f"{side}_foot_{i}") for side in ("left", "right") for i in range(4))


def test_default_pose_stands_flat_and_balanced(model):
    data = standing(model)
    assert contacts(model, data) == SOLES
    sole_heights = [data.geom(name).xpos[2] for _, name in SOLES]
    assert np.ptp(sole_heights) < 1e-6
    sole_x = [data.geom(name).xpos[0] for _, name in SOLES]
    assert np.mean(sole_x) - 0.02 < data.subtree_com[0][0] < np.mean(sole_x) + 0.02
    assert abs(data.subtree_com[0][1]) < 1e-3


def test_home_keyframe_is_the_default_pose(model):
    key = model.key("home")
    assert key.qpos[7:] == pytest.approx(default_joints())
    assert key.ctrl == pytest.approx(default_joints())
    assert key.qpos[2] == pytest.approx(standing(model).qpos[2], abs=2e-4)


def test_walking_poses_touch_nothing(model):
    order = TABLE["joint_order"]
    for swing in (-0.5, -0.25, 0.25, 0.5):
        joints = default_joints()
        for side, sign in (("left", 1), ("right", -1)):
            joints[order.index(f"{side}_hip_pitch_joint")] += sign * swing
            joints[order.index(f"{side}_knee_joint")] += max(0.0, sign * swing)
            joints[order.index(f"{side}_shoulder_pitch_joint")] -= sign * swing
        assert contacts(model, pose(model, joints)) == []


def test_full_model_sees_crossed_legs_and_a_fall(model):
    order = TABLE["joint_order"]
    crossed = default_joints()
    crossed[order.index("left_hip_roll_joint")] = -0.35
    crossed[order.index("right_hip_roll_joint")] = 0.35
    touched = {name for pair in contacts(model, pose(model, crossed)) for name in pair}
    assert {"left_shank_collision", "right_shank_collision"} <= touched

    data = pose(model, default_joints(), 0.06)
    data.qpos[3:7] = [math.sqrt(0.5), 0, math.sqrt(0.5), 0]  # on its face
    mujoco.mj_forward(model, data)
    touched = {name for pair in contacts(model, data) for name in pair}
    assert {"floor", "chest_collision", "head_collision"} <= touched


def test_feet_only_model():
    model = load(feet_only=True)
    rng = np.random.default_rng(3)
    assert contacts(model, standing(model)) == SOLES
    for _ in range(50):
        touched = contacts(model, pose(model, random_joints(model, rng), rng.uniform(-0.2, 0.6)))
        assert set(touched) <= set(SOLES)
    may_touch = (model.geom_contype | model.geom_conaffinity) != 0
    names = sorted(model.geom(int(g)).name for g in np.flatnonzero(may_touch))
    assert names == ["floor", *(name for _, name in SOLES)]


def test_home_falls_slowly_and_stays_finite(model):
    # at these soft gains standing is a feedback task, but nothing may explode or stick
    data = standing(model)
    data.ctrl[:] = default_joints()
    for _ in range(100):
        mujoco.mj_step(model, data)
    assert np.isfinite(data.qpos).all() and data.qpos[2] > 0.6
    assert all(data.warning[i].number == 0 for i in range(len(data.warning)))
