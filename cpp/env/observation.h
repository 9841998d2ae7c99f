#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/robot.h"
#include "base/rotation.h"
#include "motion/pool.h"

namespace twist {

/// The measured body at one control step.
struct BodyState {
  std::span<const double> q, qd;  // (joints) rad, rad/s
  std::vector<double> last_qd;    // (joints) one control step ago
  double height = 0;              // pelvis above the floor, m
  Eigen::Quaterniond quat_wb;     // pelvis
  Vec3 gravity;                   // projected gravity, base frame, unit vector
  Vec3 gyro;                      // base frame, rad/s
  Vec3 lin_vel;                   // pelvis, heading frame, m/s
  Vec3 drift = Vec3::Zero();      // vx, vy, wz minus the command, mean of the last half second
  Vec3 feet[2];                   // relative to the pelvis, heading frame; z above the floor, m
  Vec3 foot_vel[2];               // world axes, m/s
  double load[2] = {0, 0};        // normal force on each foot, N
  Vec3 foot_force[2] = {Vec3::Zero(), Vec3::Zero()};  // of the floor on each foot, world axes, N
  double air_time[2] = {0, 0};     // since a foot was loaded, of one that lands until now, s
  std::vector<Vec3> key_bodies;    // relative to the pelvis, heading frame, m
  std::span<const double> torque;  // (joints) N m

  bool loaded(int side) const { return load[side] > 5.0; }
};

/// All that observation and reward terms may look at.
struct StepView {
  const Robot& robot;
  const BodyState& body;
  ReferenceView now;    // the reference at this step
  ReferenceView ahead;  // the reference `lookahead` frames later
  FrameLayout layout;
  std::span<const float> action, last_action;  // (actions)
};

/// How a block of the observation looks in a mirror.
enum class Mirror { kScalar, kPolar, kAxial, kCommand, kJoints, kLegs, kFeet, kFootPair, kActions };

/// One named block of the observation: its width and the function that fills it.
struct ObservationBlock {
  std::string name;
  int width;
  Mirror mirror;
  void (*fill)(const StepView& view, float* out);
  float noise = 0;  // standard deviation of what sensors add, in the units of the block
};

/// The teacher's observation as data: blocks in order, with their mirror map.
class ObservationLayout {
 public:
  explicit ObservationLayout(const Robot& robot);

  int width() const { return width_; }
  const std::vector<ObservationBlock>& blocks() const { return blocks_; }

  /// Fills all blocks into `out` (width).
  void fill(const StepView& view, float* out) const;

  /// Adds what encoders read too much (joints, rad; empty: nothing) to a filled observation.
  void add_joint_offset(std::span<const double> offsets, float* out) const;

  /// Adds `factor` times the noise of each block.
  void add_noise(double factor, Random& random, float* out) const;

  /// mirrored[i] = sign[i] * observation[source[i]].
  std::vector<int> mirror_source;  // (width)
  std::vector<float> mirror_sign;  // (width)

 private:
  std::vector<ObservationBlock> blocks_;
  int width_ = 0;
};

/// The mirror map of actions, as for observations.
void action_mirror(const Robot& robot, std::vector<int>* source, std::vector<float>* sign);

}  // namespace twist
