#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "env/terms.h"
#include "hand_made_step.h"

namespace twist {
namespace {

double value_of(const std::string& name, HandMadeStep& step) {
  for (const RewardTerm& term : reward_terms()) {
    if (term.name == name) return term.value(step.view());
  }
  ADD_FAILURE() << "no term " << name;
  return NAN;
}

int joint(const char* name) { return g1()->joint_index(name); }

float& action(HandMadeStep& step, const char* name) {
  const std::vector<int>& acted = g1()->acted_joints;
  return step.action[std::ranges::find(acted, joint(name)) - acted.begin()];
}

void land(HandMadeStep& step, int side, double air_time) {
  step.body.load[side] = 50;
  step.body.air_time[side] = air_time;
}

void reference_speed(HandMadeStep& step, float x, float y) {
  step.frame[step.layout.lin_vel()] = x;
  step.frame[step.layout.lin_vel() + 1] = y;
}

struct Case {
  const char* term;
  const char* what;
  std::function<void(HandMadeStep&)> change;
  double expected;
};

// what each term must be for a body that follows its reference exactly, but for one change
const std::vector<Case>& cases() {
  static const std::vector<Case> kCases = {
      {"velocity", "planar error 0.5 m/s", [](auto& s) { s.body.lin_vel += Vec3(0.3, -0.4, 9); },
       std::exp(-0.25 / (0.35 * 0.35))},
      {"yaw_rate", "error 0.5 rad/s", [](auto& s) { s.body.gyro.z() -= 0.5; }, std::exp(-1)},
      {"yaw_rate_wide", "error 1.4 rad/s", [](auto& s) { s.body.gyro.z() += 1.4; }, std::exp(-1)},
      {"drift", "0.15 m/s, whatever the turn", [](auto& s) { s.body.drift = Vec3(0.09, -0.12, 9); },
       std::exp(-1)},
      {"yaw_drift", "0.2 rad/s, whatever the way", [](auto& s) { s.body.drift = Vec3(9, 9, -0.2); },
       std::exp(-1)},
      {"upright", "gravity off by (0.1, 0.2)",
       [](auto& s) { s.body.gravity += Vec3(0.1, 0.2, 0.3); }, std::exp(-0.05 / 0.04)},
      {"height", "5 cm too low", [](auto& s) { s.body.height -= 0.05; }, std::exp(-0.25)},
      {"leg_joints", "one of twelve off by 0.1, an arm off by 1",
       [](auto& s) {
         s.q[joint("left_knee_joint")] += 0.1;
         s.q[joint("left_elbow_joint")] += 1;
       },
       std::exp(-0.01 / 12 / 0.04)},
      {"upper_joints", "two of seventeen off by 0.2, a leg off by 1",
       [](auto& s) {
         s.q[joint("right_elbow_joint")] -= 0.2;
         s.q[joint("waist_yaw_joint")] += 0.2;
         s.q[joint("left_knee_joint")] += 1;
       },
       std::exp(-0.08 / 17 / 0.04)},
      {"joint_velocity", "one of 29 off by 3 rad/s",
       [](auto& s) { s.qd[joint("left_wrist_yaw_joint")] -= 3; }, std::exp(-1.0 / 29)},
      {"foot_position", "left foot off by 12 cm", [](auto& s) { s.body.feet[0].x() += 0.12; },
       std::exp(-0.5)},
      {"foot_height", "right foot 3 cm too low, left foot beside its place",
       [](auto& s) {
         s.body.feet[1].z() -= 0.03;
         s.body.feet[0].y() += 1;
       },
       std::exp(-0.5)},
      {"contact", "as planned", [](auto&) {}, 1},
      {"contact", "the swing foot touches", [](auto& s) { s.body.load[1] = 6; }, 0.5},
      {"contact", "the wrong foot", [](auto& s) { std::swap(s.body.load[0], s.body.load[1]); }, 0},
      {"contact", "a load of 4 N is none", [](auto& s) { s.body.load[0] = 4; }, 0.5},
      {"contact", "a planned share of 6 % is a contact",
       [](auto& s) { s.frame[s.layout.contact() + 1] = 0.06f; }, 0.5},
      {"alive", "always", [](auto&) {}, 1},
      {"slip", "the loaded foot slides at (1, 1), the other flies",
       [](auto& s) {
         s.body.foot_vel[0] = Vec3(1, 1, 5);
         s.body.foot_vel[1] = Vec3(3, 3, 3);
       },
       2},
      {"slip", "both loaded, each counts up to 4",
       [](auto& s) {
         s.body.load[1] = 100;
         s.body.foot_vel[0] = Vec3(10, 0, 0);
         s.body.foot_vel[1] = Vec3(0, 1, 0);
       },
       5},
      {"action_rate", "two actions changed",
       [](auto& s) {
         s.action[3] = 0.5f;
         s.last_action[3] = -0.5f;
         s.last_action[14] = 2;
       },
       5},
      {"saturation", "two joints at their limit, one nearly",
       [](auto& s) {
         s.torque[joint("left_knee_joint")] = 139;
         s.torque[joint("right_elbow_joint")] = -24.9;
         s.torque[joint("waist_yaw_joint")] = 0.98 * 88;
       },
       2},
      {"tilt_rate", "roll 1 and pitch 2 rad/s", [](auto& s) { s.body.gyro += Vec3(1, -2, 7); }, 5},
      {"tilt_rate", "counts up to 20", [](auto& s) { s.body.gyro += Vec3(5, 5, 0); }, 20},
      {"torque", "30 and 40 N m",
       [](auto& s) {
         s.torque[0] = 30;
         s.torque[28] = -40;
       },
       0.25},
      {"joint_limit", "the knee at its limits, the elbow beyond",
       [](auto& s) {
         for (int i = 0; i < 29; ++i) s.q[i] = 0.5 * (g1()->lower[i] + g1()->upper[i]);
         s.q[joint("left_knee_joint")] = -0.087267;
         s.q[joint("right_elbow_joint")] = 2.0944 + 0.1;
       },
       0.05 * (2.8798 + 0.087267) + 0.05 * (2.0944 + 1.0472) + 0.1},
      {"joint_position", "two joints off by 0.3 and 0.4 rad",
       [](auto& s) {
         s.q[joint("left_knee_joint")] -= 0.3;
         s.q[joint("right_wrist_yaw_joint")] += 0.4;
       },
       std::exp(-0.15 * 0.25)},
      {"root_pose", "20 cm too high", [](auto& s) { s.body.height += 0.2; }, std::exp(-0.2)},
      {"root_pose", "rolled by 0.4 rad, pitched by 0.3 rad in the reference",
       [](auto& s) {
         s.body.gravity = Vec3(0, -std::sin(0.4), -std::cos(0.4));
         s.frame[s.layout.gravity()] = static_cast<float>(std::sin(0.3));
         s.frame[s.layout.gravity() + 2] = static_cast<float>(-std::cos(0.3));
       },
       std::exp(-0.5 * std::pow(std::acos(std::cos(0.4) * std::cos(0.3)), 2))},
      {"root_velocity", "errors (0.3, -0.4, 1.2) m/s",
       [](auto& s) { s.body.lin_vel += Vec3(0.3, -0.4, 1.2); }, std::exp(-1.69)},
      {"root_velocity", "errors (1, -2, 2) rad/s", [](auto& s) { s.body.gyro += Vec3(1, -2, 2); },
       std::exp(-4.5)},
      {"key_bodies", "the first off by 10 cm, the last by 20 cm",
       [](auto& s) {
         s.body.key_bodies.front().x() += 0.1;
         s.body.key_bodies.back().z() -= 0.2;
       },
       std::exp(-0.5)},
      {"command_velocity", "planar error 0.5 m/s",
       [](auto& s) { s.body.lin_vel = Vec3(0.5 + 0.3, -0.2 - 0.4, 9); }, std::exp(-1)},
      {"command_velocity", "the reference lags behind the command", [](auto&) {},
       std::exp(-0.05 * 0.05 / 0.25)},
      {"command_yaw_rate", "error 0.5 rad/s", [](auto& s) { s.body.gyro.z() = 0.3 - 0.5; },
       std::exp(-1)},
      {"command_yaw_rate", "the reference leads the command", [](auto&) {},
       std::exp(-0.075 * 0.075 / 0.25)},
      {"vertical_velocity", "sinks at 0.5 m/s", [](auto& s) { s.body.lin_vel = Vec3(3, 2, -0.5); },
       0.25},
      {"orientation", "gravity to (0.3, -0.4)",
       [](auto& s) { s.body.gravity = Vec3(0.3, -0.4, -std::sqrt(0.75)); }, 0.25},
      {"height_target", "at 0.65 m", [](auto& s) { s.body.height = 0.65; }, 0.01},
      {"joint_speed", "the first at 3, the last at -4 rad/s",
       [](auto& s) {
         s.qd.assign(29, 0);
         s.qd.front() = 3;
         s.qd.back() = -4;
       },
       25},
      {"joint_acceleration", "1 and -3 rad/s^2 over a step of 0.02 s",
       [](auto& s) {
         s.qd.front() += 0.02;
         s.qd.back() -= 0.06;
       },
       10},
      {"ankle_speed", "ankles at 1 and 2 rad/s, a knee at 7",
       [](auto& s) {
         s.qd.assign(29, 0);
         s.qd[joint("left_ankle_roll_joint")] = 1;
         s.qd[joint("right_ankle_pitch_joint")] = -2;
         s.qd[joint("right_knee_joint")] = 7;
       },
       5},
      {"ankle_acceleration", "ankles with 1 and 2 rad/s^2, a hip with 50",
       [](auto& s) {
         s.qd[joint("left_ankle_pitch_joint")] += 0.02;
         s.qd[joint("right_ankle_roll_joint")] += 0.04;
         s.qd[joint("left_hip_pitch_joint")] += 1;
       },
       5},
      {"ankle_action", "3 and 4 at the ankles, 9 at a knee and 9 at an elbow",
       [](auto& s) {
         action(s, "left_ankle_pitch_joint") = 3;
         action(s, "right_ankle_roll_joint") = -4;
         action(s, "left_knee_joint") = 9;
         action(s, "right_elbow_joint") = 9;
       },
       5},
      {"waist_speed", "roll 1 and pitch 2 rad/s; yaw is free",
       [](auto& s) {
         s.qd[joint("waist_roll_joint")] = 1;
         s.qd[joint("waist_pitch_joint")] = -2;
         s.qd[joint("waist_yaw_joint")] = 9;
       },
       5},
      {"waist_acceleration", "roll 1 and pitch 2 rad/s^2; yaw is free",
       [](auto& s) {
         s.qd[joint("waist_roll_joint")] += 0.02;
         s.qd[joint("waist_pitch_joint")] -= 0.04;
         s.qd[joint("waist_yaw_joint")] += 1;
       },
       5},
      {"torque_limit", "the knee at its limit, the elbow at 90 %, the waist at 85 %",
       [](auto& s) {
         s.torque[joint("left_knee_joint")] = 139;
         s.torque[joint("right_elbow_joint")] = -0.9 * 25;
         s.torque[joint("waist_yaw_joint")] = 0.85 * 88;
       },
       (1 / 0.9 - 0.95) + (1 - 0.95)},
      {"foot_force", "600 and 800 N",
       [](auto& s) {
         s.body.foot_force[0] = Vec3(900, 0, 600);
         s.body.foot_force[1] = Vec3(0, -900, 800);
       },
       500},
      {"foot_force", "300 and 390 N",
       [](auto& s) {
         s.body.foot_force[0] = Vec3(0, 0, 300);
         s.body.foot_force[1] = Vec3(0, 0, 390);
       },
       0},
      {"stumble", "50 N sideways, 12 N upwards",
       [](auto& s) { s.body.foot_force[1] = Vec3(30, -40, 12); }, 1},
      {"stumble", "both", [](auto& s) { s.body.foot_force[0] = s.body.foot_force[1] = {9, 0, 2}; },
       1},
      {"stumble", "50 N sideways, 13 N upwards or downwards",
       [](auto& s) {
         s.body.foot_force[0] = Vec3(30, -40, 13);
         s.body.foot_force[1] = Vec3(30, -40, -13);
       },
       0},
      {"air_time", "one lands after 0.2 s", [](auto& s) { land(s, 1, 0.2); }, 0.3},
      {"air_time", "both land, after 0.04 and 0.46 s",
       [](auto& s) {
         land(s, 0, 0.04);
         land(s, 1, 0.46);
       },
       0.5},
      {"air_time", "lands after 0.6 s", [](auto& s) { land(s, 1, 0.6); }, 0},
      {"air_time", "still flies", [](auto& s) { s.body.air_time[1] = 0.2; }, 0},
      {"air_time", "a bounce of one step", [](auto& s) { land(s, 1, 0.02); }, 0},
      {"air_time", "the reference creeps at 0.04 m/s",
       [](auto& s) {
         land(s, 1, 0.2);
         reference_speed(s, 0, -0.04f);
       },
       0},
      {"air_time", "the reference creeps at 0.06 m/s",
       [](auto& s) {
         land(s, 1, 0.2);
         reference_speed(s, 0, -0.06f);
       },
       0.3},
      {"no_fly", "a load of 4 N is none", [](auto& s) { s.body.load[0] = 4; }, 1},
      {"no_fly", "on the right foot", [](auto& s) { std::swap(s.body.load[0], s.body.load[1]); },
       0},
      {"foot_clearance", "ankles at 3.5 and 6 cm", [](auto&) {}, 0.2 - 0.06 - 0.02},
      {"foot_clearance", "the left ankle at 25 cm", [](auto& s) { s.body.feet[0].z() = 0.25; },
       0.03},
      {"foot_clearance", "the right ankle at 19 cm", [](auto& s) { s.body.feet[1].z() = 0.19; },
       0},
  };
  return kCases;
}

TEST(RewardTerms, AreWhatArithmeticSays) {
  for (const Case& c : cases()) {
    HandMadeStep step;
    c.change(step);
    EXPECT_NEAR(value_of(c.term, step), c.expected, 1e-6) << c.term << ": " << c.what;
  }
}

TEST(RewardTerms, EachHasACaseAndAUniqueName) {
  std::set<std::string> with_case, names;
  for (const Case& c : cases()) with_case.insert(c.term);
  for (const RewardTerm& term : reward_terms()) {
    EXPECT_TRUE(names.insert(term.name).second) << term.name << " is there twice";
    EXPECT_TRUE(with_case.contains(term.name)) << term.name << " has no case here";
    EXPECT_GT(std::string(term.doc).size(), 2u) << term.name;
  }
}

TEST(RewardTerms, PerfectTrackingEarnsOneAndCostsNothing) {
  const std::set<std::string> costs = {
      "slip",         "action_rate", "saturation",    "tilt_rate",          "torque",
      "joint_limit",  "orientation", "height_target", "joint_acceleration", "ankle_acceleration",
      "ankle_action", "foot_force",  "stumble",       "waist_acceleration", "torque_limit",
      "air_time",     "no_fly"};
  const std::set<std::string> not_of_tracking = {
      "command_velocity", "command_yaw_rate", "vertical_velocity", "joint_speed",
      "ankle_speed",      "waist_speed",      "foot_clearance"};
  for (const RewardTerm& term : reward_terms()) {
    if (not_of_tracking.contains(term.name)) continue;
    HandMadeStep step;
    // the hand-made angles are not all inside the limits
    if (std::string(term.name) == "joint_limit") step.q = g1()->q_default;
    EXPECT_NEAR(term.value(step.view()), costs.contains(term.name) ? 0 : 1, 1e-12) << term.name;
  }
}

TEST(Termination, EachThresholdEndsTheEpisode) {
  const TerminationSettings settings{0.45, 50, 0.07};
  const auto cause = [&](double height, double tilt_deg, double distance) {
    BodyState body;
    body.height = height;
    body.gravity = Vec3(std::sin(tilt_deg * M_PI / 180), 0, -std::cos(tilt_deg * M_PI / 180));
    body.feet[0] = Vec3(0.6 * distance, 0.8 * distance, 0.1);
    body.feet[1] = Vec3(0, 0, 0.1);
    return check_termination(settings, body);
  };
  EXPECT_EQ(cause(0.46, 49, 0.08), Cause::kNone);
  EXPECT_EQ(cause(0.44, 49, 0.08), Cause::kHeight);
  EXPECT_EQ(cause(0.46, 51, 0.08), Cause::kTilt);
  EXPECT_EQ(cause(0.46, 49, 0.06), Cause::kFeetClose);

  // the first that applies counts
  EXPECT_EQ(cause(0.44, 51, 0.06), Cause::kHeight);
  EXPECT_EQ(cause(0.46, 51, 0.06), Cause::kTilt);
}

TEST(Termination, CausesHaveNames) {
  EXPECT_STREQ(kCauseNames[static_cast<int>(Cause::kNone)], "none");
  EXPECT_STREQ(kCauseNames[static_cast<int>(Cause::kPhysics)], "physics");
  EXPECT_STREQ(kCauseNames[static_cast<int>(Cause::kFeetClose)], "feet_close");
  EXPECT_STREQ(kCauseNames[static_cast<int>(Cause::kTimeOut)], "time_out");
}

}  // namespace
}  // namespace twist
