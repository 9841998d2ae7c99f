#include "env/terms.h"

#include <algorithm>
#include <cmath>
#include <ranges>

namespace twist {
namespace {

double square(double x) { return x * x; }

double kernel(double squared_error, double width) {
  return std::exp(-squared_error / square(width));
}

Vec3 vector_at(const float* numbers) {
  return Eigen::Map<const Eigen::Vector3f>(numbers).cast<double>();
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
    error2 += 0.5 * (v.body.feet[side] - vector_at(v.now.feet + 3 * side)).squaredNorm();
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
    matches += planned == v.body.loaded(side) ? 0.5 : 0.0;
  }
  return matches;
}

double slip(const StepView& v) {
  double sum = 0;
  for (int side = 0; side < 2; ++side) {
    if (v.body.loaded(side)) sum += std::min(4.0, v.body.foot_vel[side].head<2>().squaredNorm());
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

double joint_position(const StepView& v) {
  double sum = 0;
  for (int joint = 0; joint < v.layout.joints; ++joint) {
    sum += square(v.body.q[joint] - v.now.frame[v.layout.q() + joint]);
  }
  return std::exp(-0.15 * sum);
}

double root_pose(const StepView& v) {
  const Vec3 reference = vector_at(v.now.frame + v.layout.gravity());
  const double angle =
      std::atan2(reference.cross(v.body.gravity).norm(), reference.dot(v.body.gravity));
  const double height_error = v.body.height - v.now.frame[v.layout.height()];
  return std::exp(-5 * (square(height_error) + 0.1 * square(angle)));
}

double root_velocity(const StepView& v) {
  const Vec3 linear = v.body.lin_vel - vector_at(v.now.frame + v.layout.lin_vel());
  const Vec3 angular = v.body.gyro - vector_at(v.now.frame + v.layout.ang_vel());
  return std::exp(-linear.squaredNorm() - 0.5 * angular.squaredNorm());
}

double key_bodies(const StepView& v) {
  double sum = 0;
  for (std::size_t i = 0; i < v.robot.key_bodies.size(); ++i) {
    sum += (v.body.key_bodies[i] - vector_at(v.now.key_bodies + 3 * i)).squaredNorm();
  }
  return std::exp(-10 * sum);
}

double command_velocity(const StepView& v) {
  const float* command = v.now.command;
  return kernel(square(v.body.lin_vel.x() - command[0]) + square(v.body.lin_vel.y() - command[1]),
                0.5);
}

double command_yaw_rate(const StepView& v) {
  return kernel(square(v.body.gyro.z() - v.now.command[2]), 0.5);
}

double vertical_velocity(const StepView& v) { return square(v.body.lin_vel.z()); }

double orientation(const StepView& v) { return v.body.gravity.head<2>().squaredNorm(); }

double height_target(const StepView& v) { return square(v.body.height - 0.75); }

double speed2(const StepView& v, const auto& joints) {
  double sum = 0;
  for (const int joint : joints) sum += square(v.body.qd[joint]);
  return sum;
}

double acceleration2(const StepView& v, const auto& joints) {
  double sum = 0;
  for (const int joint : joints)
    sum += square((v.body.qd[joint] - v.body.last_qd[joint]) / kControlStep);
  return sum;
}

auto all_joints(const StepView& v) { return std::views::iota(0, v.layout.joints); }

double joint_speed(const StepView& v) { return speed2(v, all_joints(v)); }

double joint_acceleration(const StepView& v) { return acceleration2(v, all_joints(v)); }

double ankle_speed(const StepView& v) { return speed2(v, v.robot.ankle_joints); }

double ankle_acceleration(const StepView& v) { return acceleration2(v, v.robot.ankle_joints); }

double waist_speed(const StepView& v) { return speed2(v, v.robot.waist_joints); }

double waist_acceleration(const StepView& v) { return acceleration2(v, v.robot.waist_joints); }

double ankle_action(const StepView& v) {
  double sum = 0;
  const std::vector<int>& ankles = v.robot.ankle_joints;
  for (std::size_t i = 0; i < v.action.size(); ++i) {
    if (std::ranges::count(ankles, v.robot.acted_joints[i])) sum += square(v.action[i]);
  }
  return std::sqrt(sum);
}

double torque_limit(const StepView& v) {
  double sum = 0;
  for (int joint = 0; joint < v.layout.joints; ++joint) {
    sum += std::max(0.0, std::abs(v.body.torque[joint]) / (0.9 * v.robot.effort[joint]) - 0.95);
  }
  return sum;
}

double foot_force(const StepView& v) {
  return std::max(0.0, std::hypot(v.body.foot_force[0].z(), v.body.foot_force[1].z()) - 500);
}

double stumble(const StepView& v) {
  const auto stumbles = [](const Vec3& f) { return f.head<2>().norm() > 4 * std::abs(f.z()); };
  return stumbles(v.body.foot_force[0]) || stumbles(v.body.foot_force[1]);
}

double air_time(const StepView& v) {
  if (vector_at(v.now.frame + v.layout.lin_vel()).head<2>().norm() <= 0.05) return 0;
  double sum = 0;
  for (int side = 0; side < 2; ++side) {
    // one step without load is a bounce
    const bool landed = v.body.loaded(side) && v.body.air_time[side] > 1.5 * kControlStep;
    if (landed) sum += std::max(0.0, 0.5 - v.body.air_time[side]);
  }
  return sum;
}

double no_fly(const StepView& v) { return !v.body.loaded(0) && !v.body.loaded(1); }

double foot_clearance(const StepView& v) {
  const auto miss = [&](int side) { return std::abs(v.body.feet[side].z() - 0.2); };
  return std::max(0.0, std::min(miss(0), miss(1)) - 0.02);
}

constexpr RewardTerm kTerms[] = {
    // tracking; in brackets the name in TWIST, where constants may differ
    {"velocity", velocity,
     "planar velocity in the heading frame follows the reference, width 0.35 m/s "
     "(tracking_root_linear_vel)"},
    {"yaw_rate", yaw_rate,
     "yaw rate follows the reference, width 0.5 rad/s (tracking_root_angular_vel)"},
    {"yaw_rate_wide", yaw_rate_wide, "the same, width 1.4 rad/s: a slope for the beginner"},
    {"drift", drift, "planar velocity averaged over half a second is the command, width 0.15 m/s"},
    {"yaw_drift", yaw_drift, "yaw rate averaged likewise is the command, width 0.2 rad/s"},
    {"upright", upright, "tilt follows the reference, width 0.2 (tracking_root_rotation)"},
    {"height", height,
     "pelvis height follows the reference, width 0.1 m (tracking_root_translation_z)"},
    {"leg_joints", leg_joints, "leg joints follow the reference, width 0.2 rad"},
    {"upper_joints", upper_joints, "trunk and arm joints follow the reference, width 0.2 rad"},
    {"joint_velocity", joint_velocity,
     "joint velocities follow the reference, width 3 rad/s (tracking_joint_vel)"},
    {"foot_position", foot_position,
     "feet relative to the pelvis follow the reference, width 0.12 m"},
    {"foot_height", foot_height,
     "feet above the floor follow the reference, width 0.03 m (tracking_feet_height)"},
    {"contact", contact, "share of feet that are loaded exactly when planned"},
    {"alive", alive, "one"},
    {"joint_position", joint_position,
     "exp(-0.15 times the sum of squared joint errors in rad) (tracking_joint_dof)"},
    {"root_pose", root_pose,
     "exp(-5 (squared height error in m + 0.1 squared tilt error in rad)) (tracking_root_pose)"},
    {"root_velocity", root_velocity,
     "exp(-squared error of the pelvis velocity in m/s - 0.5 that of its rotation in rad/s) "
     "(tracking_root_vel)"},
    {"key_bodies", key_bodies,
     "exp(-10 times the sum of squared errors of the key bodies relative to the pelvis in m) "
     "(tracking_keybody_pos)"},
    {"command_velocity", command_velocity,
     "planar velocity in the heading frame follows the command, width 0.5 m/s (tracking_lin_vel)"},
    {"command_yaw_rate", command_yaw_rate,
     "yaw rate follows the command, width 0.5 rad/s (tracking_ang_vel)"},

    // costs
    {"slip", slip,
     "squared speed of loaded feet in (m/s)^2, each up to 4 (feet_slip takes its fourth root)"},
    {"action_rate", action_rate, "squared change of the action (action_rate takes its root)"},
    {"saturation", saturation, "number of joints at their effort limit"},
    {"tilt_rate", tilt_rate, "squared roll and pitch rate in (rad/s)^2, up to 20 (ang_vel_xy)"},
    {"torque", torque, "squared torque in (N m)^2 / 10000 (torque_penalty)"},
    {"joint_limit", joint_limit, "rad inside the last 5 % of the joint ranges (dof_pos_limits)"},
    {"torque_limit", torque_limit,
     "sum of what the torques over 0.9 times their effort limits exceed 0.95 (dof_torque_limits)"},
    {"joint_speed", joint_speed, "squared joint velocities, (rad/s)^2 (dof_vel)"},
    {"joint_acceleration", joint_acceleration,
     "squared change of the joint velocities over the control step, (rad/s^2)^2 (dof_acc)"},
    {"ankle_speed", ankle_speed, "joint_speed of the ankles (ankle_dof_vel)"},
    {"ankle_acceleration", ankle_acceleration, "joint_acceleration of the ankles (ankle_dof_acc)"},
    {"ankle_action", ankle_action, "norm of the ankles' actions (ankle_action)"},
    {"waist_speed", waist_speed, "joint_speed of waist roll and pitch (waist_dof_vel)"},
    {"waist_acceleration", waist_acceleration,
     "joint_acceleration of waist roll and pitch (waist_dof_acc)"},
    {"vertical_velocity", vertical_velocity,
     "squared vertical velocity of the pelvis, (m/s)^2 (lin_vel_z)"},
    {"orientation", orientation,
     "squared horizontal part of gravity in the base frame, sin^2 of the tilt (orientation)"},
    {"height_target", height_target, "squared distance of the pelvis height to 0.75 m, m^2"},
    {"foot_force", foot_force,
     "N by which the norm of both vertical foot forces exceeds 500 N (feet_contact_forces, with "
     "the limit of TWIST2: standing takes more than the 100 N of TWIST)"},
    {"stumble", stumble,
     "one while a foot is pushed sideways more than 4 times as hard as upwards (feet_stumble)"},
    {"air_time", air_time,
     "s that the flights of the feet that land fall short of 0.5 s, while the reference moves "
     "faster than 0.05 m/s (feet_air_time, with the opposite sign)"},
    {"no_fly", no_fly, "one while no foot is loaded"},
    {"foot_clearance", foot_clearance,
     "m beyond 0.02 m that the foot nearest to 0.2 m above the floor is away from there "
     "(feet_height)"},
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
