#include <gtest/gtest.h>

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
         s.last_action[22] = 2;
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
  const std::set<std::string> costs = {"slip",      "action_rate", "saturation",
                                       "tilt_rate", "torque",      "joint_limit"};
  for (const RewardTerm& term : reward_terms()) {
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
