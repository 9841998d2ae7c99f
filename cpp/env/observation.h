#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/robot.h"
#include "base/rotation.h"
#include "base/settings.h"
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
  Vec3 lin_vel_estimate = Vec3::Zero();  // the policy's own idea of lin_vel, a step ago
  Vec3 drift_estimate = Vec3::Zero();    // drift by that idea
  Vec3 feet[2];             // relative to the pelvis, heading frame; z above the floor, m
  Vec3 foot_vel[2];         // world axes, m/s
  double load[2] = {0, 0};  // normal force on each foot, N
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

/// What a policy sees.
struct ObservationSettings {
  std::string kind = "teacher";  ///< everything; "student": what a robot measures or estimates
  int history = 10;              ///< past frames of a student's measurements

  template <class V>
  void visit(V&& field) {
    field("kind", kind, Valid{"teacher", "student"},
          "teacher: everything; student: what a robot can measure, with its history");
    field("history", history, Valid(0, 100), "past frames of a student's measurements");
  }
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

/// An observation as data: blocks in order, with their mirror map. A student's ends with its
/// history: the last `remembered` numbers of the present, of each of the past frames, oldest first.
class ObservationLayout {
 public:
  explicit ObservationLayout(const Robot& robot, const ObservationSettings& settings = {});

  int width() const { return present_ + history_ * remembered_; }
  const std::vector<ObservationBlock>& blocks() const { return blocks_; }

  int present() const { return present_; }        ///< numbers before the history
  int history() const { return history_; }        ///< frames
  int remembered() const { return remembered_; }  ///< numbers of each

  /// How many numbers beside its actions a policy answers with: the student's estimate of lin_vel.
  int estimates() const { return estimates_; }

  /// Fills all blocks into `out` (width). The history stays as it is.
  void fill(const StepView& view, float* out) const;

  /// What is the present in `out` becomes the newest frame of the history, the oldest is dropped.
  void remember(float* out) const;

  /// All of the history becomes what is the present in `out`: nothing else was ever seen.
  void forget(float* out) const;

  /// Adds what encoders read too much (joints, rad; empty: nothing) to a filled observation.
  void add_joint_offset(std::span<const double> offsets, float* out) const;

  /// Adds `factor` times the noise of each block.
  void add_noise(double factor, Random& random, float* out) const;

  /// mirrored[i] = sign[i] * observation[source[i]].
  std::vector<int> mirror_source;  // (width)
  std::vector<float> mirror_sign;  // (width)

 private:
  void add_mirror(const Robot& robot, const ObservationBlock& block);

  std::vector<ObservationBlock> blocks_;
  int present_ = 0, history_ = 0, remembered_ = 0, estimates_ = 0;
};

/// The mirror map of actions and, after them, of `estimates` numbers, as for observations.
void action_mirror(const Robot& robot, int estimates, std::vector<int>* source,
                   std::vector<float>* sign);

}  // namespace twist
