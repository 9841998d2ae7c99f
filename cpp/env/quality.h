#pragma once

#include "env/observation.h"

namespace twist {

/// How well a robot moved over a stretch of time. Definitions are those of the project's peer
/// comparison where it has them.
struct Quality {
  double slip = 0;         ///< speed of loaded contact points along the floor, by normal force, m/s
  double clearance = 0;    ///< how far a foot rises in a swing, mean over swings, m
  double target_jerk = 0;  ///< mean |third difference| of the legs' targets, rad/s^3
  double torque_rate = 0;  ///< mean |change| of the legs' torques, N m/s
  double saturation = 0;   ///< share of joints at 99 % of their effort or more
  double power = 0;        ///< sum over joints of |torque * velocity|, W
  double cost_of_transport = 0;  ///< power / (weight * mean planar speed)
  double peak_force = 0;         ///< largest force on both feet, in weights
  double asymmetry = 0;    ///< RMS difference of the legs' mean angles from their mirror image, rad
  double joint_error = 0;  ///< RMS over joints and time, rad
  double key_body_error = 0;  ///< mean distance relative to the pelvis, m
  double tilt_error = 0;      ///< mean angle between the pelvis and the reference, rad
  double height_error = 0;    ///< mean |pelvis height - reference|, m

  template <class V>
  void visit(V&& field) {
    field("slip", slip);
    field("clearance", clearance);
    field("target_jerk", target_jerk);
    field("torque_rate", torque_rate);
    field("saturation", saturation);
    field("power", power);
    field("cost_of_transport", cost_of_transport);
    field("peak_force", peak_force);
    field("asymmetry", asymmetry);
    field("joint_error", joint_error);
    field("key_body_error", key_body_error);
    field("tilt_error", tilt_error);
    field("height_error", height_error);
  }
};

/// Adds up the quality of one robot's motion, control step by control step.
class QualityMeter {
 public:
  explicit QualityMeter(const Robot& robot);

  /// `data` as it is after a control step, `view` what was measured then.
  void add(const mjModel& model, const mjData& data, const StepView& view);

  /// Not-a-number where nothing was counted.
  Quality result() const;

 private:
  void add_contacts(const mjModel& model, const mjData& data);
  void add_swings(const BodyState& body);
  void add_servos(const mjData& data, const StepView& view);
  void add_tracking(const StepView& view);

  const Robot* robot_;
  int steps_ = 0, rates_ = 0, jerks_ = 0, swings_ = 0;
  double slip_ = 0, normal_ = 0, clearance_ = 0, jerk_ = 0, torque_rate_ = 0, saturated_ = 0,
         power_ = 0, peak_ = 0, joint2_ = 0, key_ = 0, tilt_ = 0, height_ = 0;
  double speed_[2] = {0, 0};        // sums of vx, vy
  double floor_[2] = {-1, -1};      // ankle height when last loaded; -1: not yet, m
  double top_[2] = {-1, -1};        // highest ankle of the present swing; -1 in stance, m
  std::vector<double> targets_[3];  // (12) the last three, the newest first
  std::vector<double> torque_;      // (12) of the last step
  std::vector<double> angle_;       // (12) sums
};

}  // namespace twist
