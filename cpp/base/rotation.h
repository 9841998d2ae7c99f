#pragma once

#include <Eigen/Core>
#include <Eigen/Geometry>
#include <cmath>

namespace twist {

using Vec2 = Eigen::Vector2d;
using Vec3 = Eigen::Vector3d;
using Mat2 = Eigen::Matrix2d;
using Mat3 = Eigen::Matrix3d;

/// Rotation about z by `yaw`.
inline Mat3 rot_z(double yaw) { return Eigen::AngleAxisd(yaw, Vec3::UnitZ()).toRotationMatrix(); }

/// Rotation in the plane by `yaw`.
inline Mat2 rot_2d(double yaw) { return Eigen::Rotation2Dd(yaw).toRotationMatrix(); }

/// MuJoCo stores quaternions w x y z, Eigen's constructor takes the same order.
inline Eigen::Quaterniond quat_from_mujoco(const double* wxyz) {
  return {wxyz[0], wxyz[1], wxyz[2], wxyz[3]};
}

inline void quat_to_mujoco(const Eigen::Quaterniond& quat, double* wxyz) {
  wxyz[0] = quat.w();
  wxyz[1] = quat.x();
  wxyz[2] = quat.y();
  wxyz[3] = quat.z();
}

/// Heading of a body: the yaw of its x axis projected on the floor.
inline double heading(const Eigen::Quaterniond& quat_wb) {
  const Vec3 x_axis = quat_wb * Vec3::UnitX();
  return std::atan2(x_axis.y(), x_axis.x());
}

/// The smallest rotation that is consistent with a projected gravity (unit vector in the base
/// frame) and has zero heading: its inverse takes world -z to `gravity`.
inline Eigen::Quaterniond tilt_from_gravity(const Vec3& gravity) {
  const Eigen::Quaterniond tilt = Eigen::Quaterniond::FromTwoVectors(gravity, -Vec3::UnitZ());
  return Eigen::Quaterniond(Eigen::AngleAxisd(-heading(tilt), Vec3::UnitZ())) * tilt;
}

}  // namespace twist
