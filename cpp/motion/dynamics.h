#pragma once

#include "base/robot.h"
#include "base/rotation.h"
#include "motion/reference.h"

namespace twist {

/// What the ground must give for a reference frame to be possible. Planar vectors are relative to
/// the pelvis, in the heading frame, m.
struct GroundDemand {
  double vertical_force = 0;    ///< N
  double force_ratio = 0;       ///< horizontal over vertical force
  double yaw_moment = 0;        ///< about the centre of pressure, N m
  bool double_support = false;  ///< both feet carry load in this frame or a neighbour
  Vec2 pressure;                ///< where the centre of pressure must be
  Vec2 nearest;  ///< the nearest point of the soles that carry load in this frame or a neighbour
  double pressure_outside = 0;  ///< distance between the two: 0 if the motion is possible
};

/// Corners of the sole in the foot frame, m; as wide as its narrow end.
struct SoleBox {
  double back = -0.05, front = 0.12, half_width = 0.025;
};

/// Inverse dynamics of reference motion: joint torques with the planned ground contact, and the
/// demand on the ground. One instance per thread; every call is a pure function of its arguments.
class ReferenceDynamics {
 public:
  explicit ReferenceDynamics(const Robot& robot);

  /// Evaluates `now` with accelerations from its neighbours (rows of FrameLayout; 50 Hz). Results
  /// stay in `torque`, `feet`, `key_bodies` and `demand` until the next call.
  void evaluate(const float* before, const float* now, const float* after);

  std::vector<double> torque;  // (joints) N m, clipped to the effort limits
  Vec3 feet[2];  // foot bodies relative to the pelvis, heading frame; z is the height above the
                 // floor
  std::vector<Vec3> key_bodies;  // (key bodies) relative to the pelvis, heading frame
  double lowest = 0;             // height of the lowest point of the soles, m
  GroundDemand demand;

 private:
  void set_state(const float* before, const float* now, const float* after);
  void judge_ground(const Vec3& force, const Vec3& moment, const bool* loaded);
  void add_contact(const Vec3& force, const Vec3& moment, const float* share);

  const Robot robot_;
  FrameLayout layout_;
  ModelPtr model_;
  DataPtr data_;
  std::vector<int> sole_geoms_[2];
  std::vector<double> jacobian_;
};

}  // namespace twist
