#include <gtest/gtest.h>

#include "base/random.h"
#include "g1.h"
#include "motion/leg.h"

namespace twist {
namespace {

class LegOf : public testing::TestWithParam<int> {
 protected:
  Leg leg{*g1(), GetParam()};
  ModelPtr model = g1_plain_model();
  DataPtr data{mj_makeData(model.get())};

  // the foot in the pelvis frame as MuJoCo sees it
  void mujoco_foot(const Leg::Angles& angles, Vec3* position, Mat3* rotation) {
    mj_resetData(model.get(), data.get());
    data->qpos[2] = 1;
    for (int i = 0; i < 6; ++i) data->qpos[7 + leg.joints()[i]] = angles[i];
    mj_kinematics(model.get(), data.get());
    const int foot = mj_name2id(model.get(), mjOBJ_BODY,
                                GetParam() == 0 ? "left_ankle_roll_link" : "right_ankle_roll_link");
    *position = Eigen::Map<const Vec3>(data->xpos + 3 * foot) - Vec3(0, 0, 1);
    *rotation =
        Eigen::Map<const Eigen::Matrix<double, 3, 3, Eigen::RowMajor>>(data->xmat + 9 * foot);
  }

  // any pose that a walking, squatting or turning leg may take
  static Leg::Angles random_angles(Random& random) {
    Leg::Angles angles;
    angles << random.uniform(-1.3, 0.5), random.uniform(-0.4, 0.4), random.uniform(-0.6, 0.6),
        random.uniform(0.1, 1.9), random.uniform(-0.8, 0.45), random.uniform(-0.25, 0.25);
    return angles;
  }
};
INSTANTIATE_TEST_SUITE_P(Side, LegOf, testing::Values(0, 1));

TEST_P(LegOf, ForwardIsThatOfMujoco) {
  Random random(1, GetParam(), 0, Purpose::kReset);
  for (int i = 0; i < 100; ++i) {
    const Leg::Angles angles = random_angles(random);
    Vec3 position, expected;
    Mat3 rotation, expected_rotation;
    leg.forward(angles, &position, &rotation);
    mujoco_foot(angles, &expected, &expected_rotation);
    EXPECT_LT((position - expected).norm(), 1e-9);
    EXPECT_LT((rotation - expected_rotation).norm(), 1e-9);
  }
}

TEST_P(LegOf, InversePutsTheFootWhereMujocoHadIt) {
  Random random(2, GetParam(), 0, Purpose::kReset);
  Leg::Angles standing;
  standing << -0.4, 0, 0, 0.85, -0.45, 0;
  for (int i = 0; i < 300; ++i) {
    const Leg::Angles wanted = random_angles(random);
    Vec3 position, reached;
    Mat3 rotation, reached_rotation;
    mujoco_foot(wanted, &position, &rotation);
    Leg::Angles found = standing;
    EXPECT_LT(leg.inverse(position, rotation, &found), 1e-8);
    mujoco_foot(found, &reached, &reached_rotation);
    EXPECT_LT((reached - position).norm(), 1e-8) << wanted.transpose();
    EXPECT_LT((reached_rotation - rotation).norm(), 1e-8) << wanted.transpose();
    EXPECT_LT((found - wanted).norm(), 1e-6) << "the knee has one way to bend";
  }
}

TEST_P(LegOf, InverseDoesNotDependOnTheStart) {
  Random random(3, GetParam(), 0, Purpose::kReset);
  for (int i = 0; i < 200; ++i) {
    const Leg::Angles wanted = random_angles(random);
    Vec3 position;
    Mat3 rotation;
    mujoco_foot(wanted, &position, &rotation);
    Leg::Angles found = wanted;
    for (double& angle : found) angle += random.uniform(-0.4, 0.4);
    leg.inverse(position, rotation, &found);
    EXPECT_LT((found - wanted).norm(), 1e-6) << wanted.transpose();
  }
}

TEST_P(LegOf, SaysHowFarAwayAnUnreachableFootIs) {
  Leg::Angles angles = Leg::Angles::Zero();
  const double y = GetParam() == 0 ? 0.12 : -0.12;
  EXPECT_GT(leg.inverse(Vec3(0, y, -1.2), Mat3::Identity(), &angles), 0.1);
  EXPECT_TRUE(angles.allFinite());
}

TEST_P(LegOf, ClampKeepsAMarginToTheLimits) {
  Leg::Angles high = Leg::Angles::Constant(9), low = -high, inside;
  inside << -0.4, 0.1, 0.1, 0.8, -0.4, 0.1;
  const Leg::Angles before = inside;
  leg.clamp(&high);
  leg.clamp(&low);
  leg.clamp(&inside);
  EXPECT_EQ(inside, before);
  for (int i = 0; i < 6; ++i) {
    const int joint = 1 + leg.joints()[i];
    EXPECT_GT(low[i], model->jnt_range[2 * joint] + 0.01);
    EXPECT_LT(high[i], model->jnt_range[2 * joint + 1] - 0.01);
  }
}

}  // namespace
}  // namespace twist
