#include <gtest/gtest.h>

#include <cmath>

#include "g1.h"
#include "motion/kinematics.h"

namespace twist {
namespace {

// A body that leans forwards by `pitch` and moves with constant velocity and yaw rate.
Trajectories leaning(double pitch, const Command& velocity, int frames) {
  Trajectories motion(1, frames, g1()->num_joints());
  const FrameLayout layout{motion.joints};
  for (int frame = 0; frame < frames; ++frame) {
    float* row = motion.row(0, frame);
    row[layout.height()] = 0.7f;
    row[layout.gravity()] = static_cast<float>(std::sin(pitch));
    row[layout.gravity() + 2] = static_cast<float>(-std::cos(pitch));
    row[layout.lin_vel()] = static_cast<float>(velocity.vx);
    row[layout.lin_vel() + 1] = static_cast<float>(velocity.vy);
    // the vertical angular velocity, seen from the base
    row[layout.ang_vel()] = static_cast<float>(-velocity.wz * std::sin(pitch));
    row[layout.ang_vel() + 2] = static_cast<float>(velocity.wz * std::cos(pitch));
    for (int joint = 0; joint < motion.joints; ++joint) row[joint] = 0.01f * joint;
  }
  return motion;
}

TEST(Kinematics, ConstantVelocityAndYawRateAreACircle) {
  for (const double pitch : {0.0, 0.3, -0.5}) {
    const double v = 0.8, side = 0.2, r = 0.9;
    const Path path = integrate_path(leaning(pitch, {v, side, r}, 101), 0);
    ASSERT_EQ(path.xy.size(), 101u);
    EXPECT_NEAR(path.yaw[100], 2 * r, 1e-6) << pitch;  // 2 s
    // integral of the turning velocity
    const double x = (v * std::sin(2 * r) - side * (1 - std::cos(2 * r))) / r;
    const double y = (v * (1 - std::cos(2 * r)) + side * std::sin(2 * r)) / r;
    EXPECT_NEAR(path.xy[100].x(), x, 1e-4) << pitch;
    EXPECT_NEAR(path.xy[100].y(), y, 1e-4) << pitch;
  }
}

TEST(Kinematics, BodiesAreWhereMujocoPutsThem) {
  const Trajectories motion = leaning(0.3, {0.8, 0.2, 0.9}, 60);
  const BodyPoses poses =
      body_poses(*g1(), motion, 0, {{"toe", "left_ankle_roll_link", Vec3(0.1, 0.02, -0.02)}});
  const ModelPtr model = g1()->make_model({});
  const DataPtr data(mj_makeData(model.get()));
  const int bodies = model->nbody - 1;
  ASSERT_EQ(std::ssize(poses.names), bodies + 1);
  EXPECT_EQ(poses.names[0], "pelvis");
  EXPECT_EQ(poses.names[bodies], "toe");
  ASSERT_EQ(std::ssize(poses.positions), 60 * (bodies + 1) * 3);

  // the last frame, its rotation made of two turns: about the vertical, then the lean
  const Path path = integrate_path(motion, 0);
  const double yaw[4] = {std::cos(path.yaw[59] / 2), 0, 0, std::sin(path.yaw[59] / 2)};
  const double lean[4] = {std::cos(0.15), 0, std::sin(0.15), 0};
  data->qpos[0] = path.xy[59].x();
  data->qpos[1] = path.xy[59].y();
  data->qpos[2] = 0.7;
  mju_mulQuat(data->qpos + 3, yaw, lean);
  for (int joint = 0; joint < motion.joints; ++joint) data->qpos[7 + joint] = 0.01 * joint;
  mj_forward(model.get(), data.get());
  for (int body = 0; body < bodies; ++body) {
    const std::size_t i = 59 * (bodies + 1) + body;
    double back[4], from_root[3], local[3];
    mju_negQuat(back, data->xquat + 4);
    mju_sub3(from_root, data->xpos + 3 * (body + 1), data->xpos + 3);
    mju_rotVecQuat(local, from_root, back);
    for (int axis = 0; axis < 3; ++axis) {
      EXPECT_NEAR(poses.positions[3 * i + axis], data->xpos[3 * (body + 1) + axis], 1e-6);
      EXPECT_NEAR(poses.local[3 * i + axis], local[axis], 1e-6);
    }
    for (int axis = 0; axis < 4; ++axis) {
      EXPECT_NEAR(poses.rotations[4 * i + axis], data->xquat[4 * (body + 1) + axis], 1e-6);
    }
  }

  // the point is fixed to its body
  const int foot = mj_name2id(model.get(), mjOBJ_BODY, "left_ankle_roll_link");
  const double offset[3] = {0.1, 0.02, -0.02};
  double place[3];
  mju_mulMatVec3(place, data->xmat + 9 * foot, offset);
  mju_addTo3(place, data->xpos + 3 * foot);
  for (int axis = 0; axis < 3; ++axis) {
    const std::size_t i = 3 * (59 * (bodies + 1) + bodies) + axis;
    EXPECT_NEAR(poses.positions[i], place[axis], 1e-6);
  }
}

TEST(Kinematics, OnlyValidFramesCount) {
  Trajectories motion = leaning(0, {}, 20);
  motion.lengths[0] = 7;
  const BodyPoses poses = body_poses(*g1(), motion, 0);
  EXPECT_EQ(poses.rotations.size(), 7 * 4 * poses.names.size());
}

TEST(Kinematics, RefusesWhatIsNotThere) {
  const Trajectories motion = leaning(0, {}, 5);
  EXPECT_NE(error_of([&] { body_poses(*g1(), motion, 1); }).find("no stream 1"), std::string::npos);
  EXPECT_NE(error_of([&] { body_poses(*g1(), motion, -1); }).find("there are 1"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              body_poses(*g1(), motion, 0, {{"a", "tail", {}}});
            }).find("'tail'"),
            std::string::npos);
  EXPECT_NE(error_of([&] { body_poses(*g1(), Trajectories(1, 5, 4), 0); }).find("has 29"),
            std::string::npos);
}

}  // namespace
}  // namespace twist
