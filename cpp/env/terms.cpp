#include "env/terms.h"

#include <algorithm>
#include <cmath>

namespace twist {
namespace {

double square(double x) { return x * x; }

double kernel(double squared_error, double width) {
  return std::exp(-squared_error / square(width));
}

double velocity(const StepView& v) {
  const float* reference = v.now.frame + v.layout.lin_vel();
  return kernel(
      square(v.body.lin_vel.x() - reference[0]) + square(v.body.lin_vel.y() - reference[1]), 0.35);
}

double yaw_error2(const StepView& v) {
  return square(v.body.gyro.z() - v.now.frame[v.layout.ang_vel() + 2]);
}

double yaw_rate(const StepView& v) { return kernel(yaw_error2(v), 0.5); }

double yaw_rate_wide(const StepView& v) { return kernel(yaw_error2(v), 1.4); }

double drift(const StepView& v) { return kernel(v.body.drift.head<2>().squaredNorm(), 0.15); }

double yaw_drift(const StepView& v) { return kernel(square(v.body.drift.z()), 0.2); }

double upright(const StepView& v) {
  const float* reference = v.now.frame + v.layout.gravity();
  return kernel(
      square(v.body.gravity.x() - reference[0]) + square(v.body.gravity.y() - reference[1]), 0.2);
}

double height(const StepView& v) {
  return kernel(square(v.body.height - v.now.frame[v.layout.height()]), 0.1);
}

// mean squared joint error of the legs or of the rest
double joint_error2(const StepView& v, bool legs) {
  double sum = 0;
  int count = 0;
  for (int joint = 0; joint < v.layout.joints; ++joint) {
    if (v.robot.in_leg[joint] != legs) continue;
    sum += square(v.body.q[joint] - v.now.frame[v.layout.q() + joint]);
    ++count;
  }
  return sum / std::max(1, count);
}

double leg_joints(const StepView& v) { return kernel(joint_error2(v, true), 0.2); }

double upper_joints(const StepView& v) { return kernel(joint_error2(v, false), 0.2); }

double foot_position(const StepView& v) {
  double error2 = 0;
  for (int side = 0; side < 2; ++side) {
    error2 += 0.5 * (v.body.feet[side] -
                     Eigen::Map<const Eigen::Vector3f>(v.now.feet + 3 * side).cast<double>())
                        .squaredNorm();
  }
  return kernel(error2, 0.12);
}

double foot_height(const StepView& v) {
  double error2 = 0;
  for (int side = 0; side < 2; ++side)
    error2 += 0.5 * square(v.body.feet[side].z() - v.now.feet[3 * side + 2]);
  return kernel(error2, 0.03);
}

double contact(const StepView& v) {
  double matches = 0;
  for (int side = 0; side < 2; ++side) {
    const bool planned = v.now.frame[v.layout.contact() + side] > 0.05f;
    matches += planned == (v.body.load[side] > 5.0) ? 0.5 : 0.0;
  }
  return matches;
}

double slip(const StepView& v) {
  double sum = 0;
  for (int side = 0; side < 2; ++side) {
    if (v.body.load[side] > 5.0)
      sum += std::min(4.0, v.body.foot_vel[side].head<2>().squaredNorm());
  }
  return sum;
}

double action_rate(const StepView& v) {
  double sum = 0;
  for (std::size_t i = 0; i < v.action.size(); ++i) sum += square(v.action[i] - v.last_action[i]);
  return sum;
}

double saturation(const StepView& v) {
  double count = 0;
  for (int joint = 0; joint < v.layout.joints; ++joint) {
    count += std::abs(v.body.torque[joint]) > 0.99 * v.robot.effort[joint];
  }
  return count;
}

double tilt_rate(const StepView& v) { return std::min(20.0, v.body.gyro.head<2>().squaredNorm()); }

double torque(const StepView& v) {
  double sum = 0;
  for (const double t : v.body.torque) sum += 1e-4 * t * t;
  return sum;
}

double joint_velocity(const StepView& v) {
  double sum = 0;
  for (int joint = 0; joint < v.layout.joints; ++joint) {
    sum += square(v.body.qd[joint] - v.now.frame[v.layout.qd() + joint]);
  }
  return kernel(sum / v.layout.joints, 3.0);
}

double joint_limit(const StepView& v) {
  double sum = 0;
  for (int joint = 0; joint < v.layout.joints; ++joint) {
    const double soft = 0.05 * (v.robot.upper[joint] - v.robot.lower[joint]);
    sum += std::max(0.0, v.robot.lower[joint] + soft - v.body.q[joint]);
    sum += std::max(0.0, v.body.q[joint] - v.robot.upper[joint] + soft);
  }
  return sum;
}

double alive(const StepView&) { return 1.0; }

constexpr RewardTerm kTerms[] = {
    {"velocity", velocity,
     "planar velocity in the heading frame follows the reference, width 0.35 m/s"},
    {"yaw_rate", yaw_rate, "yaw rate follows the reference, width 0.5 rad/s"},
    {"yaw_rate_wide", yaw_rate_wide, "the same, width 1.4 rad/s: a slope for the beginner"},
    {"drift", drift, "planar velocity averaged over half a second is the command, width 0.15 m/s"},
    {"yaw_drift", yaw_drift, "yaw rate averaged likewise is the command, width 0.2 rad/s"},
    {"upright", upright, "tilt follows the reference, width 0.2"},
    {"height", height, "pelvis height follows the reference, width 0.1 m"},
    {"leg_joints", leg_joints, "leg joints follow the reference, width 0.2 rad"},
    {"upper_joints", upper_joints, "trunk and arm joints follow the reference, width 0.2 rad"},
    {"joint_velocity", joint_velocity, "joint velocities follow the reference, width 3 rad/s"},
    {"foot_position", foot_position,
     "feet relative to the pelvis follow the reference, width 0.12 m"},
    {"foot_height", foot_height, "feet above the floor follow the reference, width 0.03 m"},
    {"contact", contact, "share of feet that are loaded exactly when planned"},
    {"alive", alive, "one"},
    {"slip", slip, "squared speed of loaded feet, each up to 4"},
    {"action_rate", action_rate, "squared change of the action"},
    {"saturation", saturation, "number of joints at their effort limit"},
    {"tilt_rate", tilt_rate, "squared roll and pitch rate, up to 20"},
    {"torque", torque, "squared torque / 10000"},
    {"joint_limit", joint_limit, "rad inside the last 5 % of the joint ranges"},
};

}  // namespace

std::span<const RewardTerm> reward_terms() { return kTerms; }

const char* const kCauseNames[kNumCauses] = {"none", "physics",    "height",
                                             "tilt", "feet_close", "time_out"};

Cause check_termination(const TerminationSettings& settings, const BodyState& body) {
  if (body.height < settings.min_height) return Cause::kHeight;
  if (-body.gravity.z() < std::cos(settings.max_tilt_deg * M_PI / 180)) return Cause::kTilt;
  if ((body.feet[0] - body.feet[1]).norm() < settings.min_foot_distance) return Cause::kFeetClose;
  return Cause::kNone;
}

}  // namespace twist
