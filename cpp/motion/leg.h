#pragma once

#include <array>

#include "base/robot.h"
#include "base/rotation.h"

namespace twist {

/// Kinematics of one six-joint leg, from the pelvis frame to the foot body frame.
class Leg {
 public:
  /// `side`: 0 left, 1 right.
  Leg(const Robot& robot, int side);

  using Angles = Eigen::Matrix<double, 6, 1>;

  /// Foot pose in the pelvis frame for joint angles in leg order (rad).
  void forward(const Angles& angles, Vec3* position, Mat3* rotation) const;

  /// Joint angles that put the foot at `position`, `rotation` in the pelvis frame: Newton's method
  /// from `start`, converged to 1e-9, so the result does not depend on the start. Returns the
  /// remaining error (m or rad), which is large when the foot is out of reach.
  double inverse(const Vec3& position, const Mat3& rotation, Angles* angles) const;

  /// Limits the angles to the joint ranges less a small margin. In the gait only the ankle roll of
  /// a fast sideways swing needs it, which tilts the sole and moves nothing else.
  void clamp(Angles* angles) const { *angles = angles->cwiseMax(lower_).cwiseMin(upper_); }

  const std::vector<int>& joints() const { return joints_; }

 private:
  struct Link {
    Vec3 offset;    // in the parent frame
    Mat3 rotation;  // parent from link at zero angle
    Vec3 axis;      // in the link frame
  };
  std::array<Link, 6> links_;
  std::vector<int> joints_;
  Angles lower_, upper_;
};

}  // namespace twist
