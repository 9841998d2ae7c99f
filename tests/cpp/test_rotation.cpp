#include <gtest/gtest.h>
#include <mujoco/mujoco.h>

#include <cmath>

#include "base/random.h"
#include "base/rotation.h"

namespace twist {
namespace {

Vec3 random_direction(Random& random) {
  return Vec3(random.normal(), random.normal(), random.normal()).normalized();
}

TEST(Rotation, QuaternionsAreThoseOfMujoco) {
  Random random(1, 0, 0, Purpose::kReset);
  for (int i = 0; i < 20; ++i) {
    const Vec3 axis = random_direction(random), vector = random_direction(random);
    double wxyz[4], expected[3], back[4];
    mju_axisAngle2Quat(wxyz, axis.data(), random.uniform(-3, 3));
    mju_rotVecQuat(expected, vector.data(), wxyz);
    const Eigen::Quaterniond quat = quat_from_mujoco(wxyz);
    EXPECT_TRUE((quat * vector).isApprox(Eigen::Map<const Vec3>(expected), 1e-12));
    quat_to_mujoco(quat, back);
    for (int k = 0; k < 4; ++k) EXPECT_EQ(back[k], wxyz[k]);
  }
}

TEST(Rotation, AboutTheVerticalTurnsXTowardsY) {
  EXPECT_TRUE((rot_z(M_PI / 2) * Vec3(1, 0, 5)).isApprox(Vec3(0, 1, 5), 1e-12));
  EXPECT_TRUE((rot_2d(M_PI / 2) * Vec2(1, 0)).isApprox(Vec2(0, 1), 1e-12));
}

TEST(Rotation, HeadingIsTheYawUnderAnyPitchAndRoll) {
  for (const double yaw : {-3.0, -0.4, 0.0, 1.2, 3.1}) {
    for (const double pitch : {-1.2, 0.0, 0.9}) {
      for (const double roll : {-0.8, 0.0, 2.0}) {
        const Eigen::Quaterniond quat = Eigen::AngleAxisd(yaw, Vec3::UnitZ()) *
                                        Eigen::AngleAxisd(pitch, Vec3::UnitY()) *
                                        Eigen::AngleAxisd(roll, Vec3::UnitX());
        EXPECT_NEAR(heading(quat), yaw, 1e-12);
      }
    }
  }
}

TEST(Rotation, TiltFromGravityHasThatGravityAndNoHeading) {
  Random random(2, 0, 0, Purpose::kReset);
  for (int i = 0; i < 200; ++i) {
    const Vec3 gravity = random_direction(random);
    const Eigen::Quaterniond tilt = tilt_from_gravity(gravity);
    EXPECT_NEAR(tilt.norm(), 1, 1e-12);
    EXPECT_TRUE((tilt.conjugate() * Vec3(0, 0, -1)).isApprox(gravity, 1e-9));
    EXPECT_NEAR(heading(tilt), 0, 1e-9);
  }
}

TEST(Rotation, TiltFromGravityOfUprightAndUpsideDown) {
  EXPECT_TRUE(tilt_from_gravity(Vec3(0, 0, -1)).isApprox(Eigen::Quaterniond::Identity(), 1e-12));
  const Eigen::Quaterniond over = tilt_from_gravity(Vec3(0, 0, 1));
  EXPECT_TRUE((over.conjugate() * Vec3(0, 0, -1)).isApprox(Vec3(0, 0, 1), 1e-9));
}

}  // namespace
}  // namespace twist
