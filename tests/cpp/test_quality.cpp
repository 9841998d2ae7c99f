#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "env/quality.h"
#include "hand_made_step.h"

namespace twist {
namespace {

constexpr double kStep = 0.02;  // s
constexpr double kGravity = 9.81;

struct Simulation {
  ModelPtr model;
  DataPtr data;
  explicit Simulation(ModelPtr m) : model(std::move(m)), data(mj_makeData(model.get())) {}
  explicit Simulation(const std::string& bodies) : Simulation(compile(bodies)) {}

  static ModelPtr compile(const std::string& bodies) {
    char error[512] = "";
    mjSpec* spec = mj_parseXMLString(
        ("<mujoco><option timestep='0.002'/><worldbody>" + bodies + "</worldbody></mujoco>")
            .c_str(),
        nullptr, error, sizeof(error));
    if (!spec) throw std::runtime_error(error);
    ModelPtr model(mj_compile(spec, nullptr));
    mj_deleteSpec(spec);
    return model;
  }
};

// a ball of 2 kg and 0.1 m radius, 1 mm in the plane z = 0
const std::string kBall =
    "<body name='ball' pos='0 0 0.099'><freejoint/><geom type='sphere' size='0.1' "
    "mass='2'/></body>";
const std::string kFloor = "<geom type='plane' size='0 0 1'/>";

// measures one step; what else there is stands still
Quality measure(const Simulation& s) {
  HandMadeStep step;
  QualityMeter meter(*g1());
  meter.add(*s.model, *s.data, step.view());
  return meter.result();
}

// --- contacts ------------------------------------------------------------------------------------

TEST(Quality, SlipOfADraggedRobotIsItsSpeed) {
  Simulation s(g1()->make_model({}));
  std::copy_n(g1()->q_default.data(), 29, s.data->qpos + 7);
  mj_kinematics(s.model.get(), s.data.get());
  s.data->qpos[2] -= lowest_sole(s.model.get(), s.data.get()) + 0.001;
  s.data->qvel[0] = 0.3;
  s.data->qvel[1] = -0.4;
  s.data->qvel[2] = -0.2;  // into the floor: no slip
  mj_forward(s.model.get(), s.data.get());
  ASSERT_GE(s.data->ncon, 4);
  EXPECT_NEAR(measure(s).slip, 0.5, 1e-9);
  s.data->qvel[0] = s.data->qvel[1] = 0;
  mj_forward(s.model.get(), s.data.get());
  EXPECT_NEAR(measure(s).slip, 0, 1e-9);
}

TEST(Quality, ARollingBallDoesNotSlipAndASpinningOneDoes) {
  Simulation s(kFloor + kBall);
  const auto slip = [&](double speed, double spin) {
    s.data->qvel[0] = speed;
    s.data->qvel[4] = spin;
    mj_forward(s.model.get(), s.data.get());
    EXPECT_EQ(s.data->ncon, 1);
    return measure(s).slip;
  };
  // MuJoCo's contact point lies in the middle of the overlap, 0.0995 m below the centre
  EXPECT_NEAR(slip(0.995, 10), 0, 1e-9);
  EXPECT_NEAR(slip(0, 10), 0.995, 1e-9);
  EXPECT_NEAR(slip(0.5, -10), 1.495, 1e-9);
}

TEST(Quality, SlipIsAlongASlope) {
  const double slope = 0.4;  // rad
  Simulation s("<geom type='plane' size='0 0 1' euler='0 " + std::to_string(slope * 180 / M_PI) +
               " 0'/>" + kBall);
  s.data->qpos[2] = 0.1 / std::cos(slope) - 0.001;
  s.data->qvel[0] = 1;
  mj_forward(s.model.get(), s.data.get());
  ASSERT_EQ(s.data->ncon, 1);
  EXPECT_NEAR(measure(s).slip, std::cos(slope), 1e-6);
}

TEST(Quality, SlipIsWeightedByTheNormalForce) {
  // two balls that lie still except that the heavy one is dragged: 3/4 of the force slips
  Simulation s(kFloor +
               "<body pos='0 0 0.1'><freejoint/><geom type='sphere' size='0.1' mass='6'/></body>"
               "<body pos='1 0 0.1'><freejoint/><geom type='sphere' size='0.1' mass='2'/></body>");
  for (int step = 0; step < 1500; ++step) mj_step(s.model.get(), s.data.get());
  mj_forward(s.model.get(), s.data.get());
  EXPECT_NEAR(measure(s).slip, 0, 1e-3);
  EXPECT_NEAR(measure(s).peak_force, 8 / g1()->total_mass, 1e-3) << "together they weigh 8 kg";
  s.data->qvel[0] = 0.2;
  mj_forward(s.model.get(), s.data.get());
  EXPECT_NEAR(measure(s).slip, 0.15, 0.002);
}

TEST(Quality, PeakForceIsTheLargestOfAllSteps) {
  Simulation s(kFloor + kBall);
  HandMadeStep step;
  QualityMeter meter(*g1());
  double largest = 0;
  for (const double fall : {0.1, 0.5, 0.2}) {
    s.data->qvel[2] = -fall;
    mj_forward(s.model.get(), s.data.get());
    largest = std::max(largest, s.data->qfrc_constraint[2]);
    meter.add(*s.model, *s.data, step.view());
  }
  EXPECT_GT(largest, 50);
  EXPECT_NEAR(meter.result().peak_force, largest / (g1()->total_mass * kGravity), 1e-9);
}

TEST(Quality, WhatDoesNotTouchTheFloorDoesNotCount) {
  // a ball on a ball, far above the floor
  Simulation s(kFloor +
               "<body pos='0 0 5'><freejoint/><geom type='sphere' size='0.1' mass='2'/></body>"
               "<body pos='0.01 0 5.19'><freejoint/><geom type='sphere' size='0.1'/></body>");
  s.data->qvel[0] = 1;
  mj_forward(s.model.get(), s.data.get());
  ASSERT_EQ(s.data->ncon, 1);
  EXPECT_TRUE(std::isnan(measure(s).slip));
  EXPECT_EQ(measure(s).peak_force, 0);
}

// --- the body ------------------------------------------------------------------------------------

// a robot in the air, whose body, targets and reference are what a test says
class Hand {
 public:
  Hand() : simulation_(g1_plain_model()), meter_(*g1()) { simulation_.data->qpos[2] = 5; }

  HandMadeStep step;
  double* targets() { return simulation_.data->ctrl; }
  void add(int times = 1) {
    for (int i = 0; i < times; ++i) meter_.add(*simulation_.model, *simulation_.data, step.view());
  }
  Quality result() const { return meter_.result(); }

 private:
  Simulation simulation_;
  QualityMeter meter_;
};

// the left foot goes through ankle heights; those below zero are loaded
Quality swing(const std::vector<double>& ankles) {
  Hand hand;
  for (const double ankle : ankles) {
    hand.step.body.feet[0].z() = std::abs(ankle);
    hand.step.body.load[0] = ankle < 0 ? 200 : 0;
    hand.add();
  }
  return hand.result();
}

TEST(Quality, ClearanceIsTheRiseOfASwing) {
  EXPECT_NEAR(swing({-0.035, 0.05, 0.10, 0.07, -0.04}).clearance, 0.065, 1e-12);
  EXPECT_NEAR(swing({-0.035, 0.05, 0.10, 0.07, -0.04, -0.04, 0.06, 0.05, -0.035}).clearance,
              0.5 * (0.065 + 0.02), 1e-12);
  EXPECT_TRUE(std::isnan(swing({-0.035, 0.05, 0.10}).clearance)) << "it has not landed";
  EXPECT_TRUE(std::isnan(swing({-0.035, -0.035, -0.035}).clearance));
}

TEST(Quality, ASwingWhoseBeginningWasNotSeenDoesNotCount) {
  EXPECT_TRUE(std::isnan(swing({0.10, 0.07, -0.04}).clearance));
  EXPECT_NEAR(swing({0.10, 0.07, -0.04, 0.06, -0.03}).clearance, 0.02, 1e-12);
}

TEST(Quality, TorqueRateIsThatOfTheLegs) {
  Hand hand;
  hand.step.torque[3] = 10;
  hand.add();
  EXPECT_TRUE(std::isnan(hand.result().torque_rate));
  hand.step.torque[3] = 13;
  hand.step.torque[8] = -5;
  hand.step.torque[20] = 100;  // an arm
  hand.add();
  EXPECT_NEAR(hand.result().torque_rate, 8 / 12.0 / kStep, 1e-9);
  hand.add();
  EXPECT_NEAR(hand.result().torque_rate, 4 / 12.0 / kStep, 1e-9) << "a step without change";
}

TEST(Quality, JerkIsTheThirdDerivativeOfTheLegsTargets) {
  // 2 t^3 + t^2 at one joint, -0.5 t^3 + t at another: third derivatives 12 and -3
  Hand hand;
  for (int i = 0; i < 8; ++i) {
    const double t = i * kStep;
    hand.targets()[0] = 2 * t * t * t + t * t;
    hand.targets()[11] = -0.5 * t * t * t + t;
    hand.targets()[15] = 100 * t * t * t;  // an arm
    hand.add();
    EXPECT_EQ(std::isnan(hand.result().target_jerk), i < 3);
  }
  EXPECT_NEAR(hand.result().target_jerk, 15 / 12.0, 1e-6);
}

TEST(Quality, PowerAndCostOfTransport) {
  Hand hand;
  std::fill(hand.step.qd.begin(), hand.step.qd.end(), 0.0);
  hand.step.torque[2] = 10;
  hand.step.qd[2] = -3;
  hand.step.torque[25] = 4;
  hand.step.qd[25] = 5;
  hand.step.body.lin_vel = Vec3(1, 0, 7);
  hand.add();
  EXPECT_NEAR(hand.result().power, 50, 1e-9);
  EXPECT_NEAR(hand.result().cost_of_transport, 50 / (g1()->total_mass * kGravity), 1e-9);

  // another second like that in another direction without any power
  hand.step.torque[2] = hand.step.torque[25] = 0;
  hand.step.body.lin_vel = Vec3(0, 1, 0);
  hand.add();
  EXPECT_NEAR(hand.result().power, 25, 1e-9);
  EXPECT_NEAR(hand.result().cost_of_transport, 25 / (g1()->total_mass * kGravity * std::sqrt(0.5)),
              1e-9);
}

TEST(Quality, SaturationIsAShareOfJointsAndSteps) {
  Hand hand;
  hand.step.torque[0] = 0.995 * g1()->effort[0];
  hand.step.torque[7] = -g1()->effort[7];
  hand.step.torque[9] = 0.98 * g1()->effort[9];
  hand.add();
  EXPECT_NEAR(hand.result().saturation, 2 / 29.0, 1e-12);
  hand.step.torque[0] = 0;
  hand.add();
  EXPECT_NEAR(hand.result().saturation, 3 / 58.0, 1e-12);
}

TEST(Quality, AsymmetryComparesMeanAnglesWithTheirMirrorImage) {
  const auto left_right = [](Hand& hand, const std::string& joint, double left, double right) {
    hand.step.q[g1()->joint_index("left_" + joint)] = left;
    hand.step.q[g1()->joint_index("right_" + joint)] = right;
  };
  Hand hand;
  for (const char* joint : {"hip_pitch_joint", "knee_joint", "ankle_pitch_joint"})
    left_right(hand, joint, 0.3, 0.3);
  for (const char* joint : {"hip_roll_joint", "hip_yaw_joint", "ankle_roll_joint"})
    left_right(hand, joint, 0.2, -0.2);
  hand.step.q[20] = 1;  // an arm
  hand.add();
  EXPECT_NEAR(hand.result().asymmetry, 0, 1e-12);

  // 0.3 and 0.1 apart: the root of their mean square over six pairs
  left_right(hand, "knee_joint", 0.6, 0.3);
  left_right(hand, "hip_roll_joint", 0.2, -0.1);
  const double expected = std::sqrt((0.09 + 0.01) / 6);
  hand.add(3);
  EXPECT_NEAR(hand.result().asymmetry, 0.75 * expected, 1e-12) << "one step of four was even";
  left_right(hand, "knee_joint", 0.3, 0.6);
  left_right(hand, "hip_roll_joint", 0.1, -0.2);
  hand.add(3);
  EXPECT_NEAR(hand.result().asymmetry, 0, 1e-12) << "walking alternates";
}

TEST(Quality, TrackingErrors) {
  Hand hand;
  hand.add();  // a perfect body
  EXPECT_NEAR(hand.result().joint_error, 0, 1e-12);
  EXPECT_NEAR(hand.result().key_body_error, 0, 1e-9);
  EXPECT_NEAR(hand.result().tilt_error, 0, 1e-9);
  EXPECT_NEAR(hand.result().height_error, 0, 1e-12);

  hand.step.q[4] += 0.3;
  hand.step.q[28] -= 0.4;
  hand.step.body.key_bodies[2] += Vec3(0.03, 0, -0.04);
  hand.step.body.key_bodies[5] += Vec3(0, 0.04, 0);
  hand.step.body.gravity = Vec3(std::sin(0.1), 0, -std::cos(0.1));
  hand.step.body.height -= 0.06;
  hand.add();
  EXPECT_NEAR(hand.result().joint_error, std::sqrt(0.25 / 29 / 2), 1e-9);
  EXPECT_NEAR(hand.result().key_body_error, 0.09 / 9 / 2, 1e-9);
  EXPECT_NEAR(hand.result().tilt_error, 0.05, 1e-9);
  EXPECT_NEAR(hand.result().height_error, 0.03, 1e-9);

  // errors of either sign count
  hand.step.body.height = 0.75 + 0.06;
  hand.step.body.gravity.x() *= -1;
  hand.add();
  EXPECT_NEAR(hand.result().height_error, 0.04, 1e-9);
  EXPECT_NEAR(hand.result().tilt_error, 0.2 / 3, 1e-9);
}

TEST(Quality, WhatWasNotCountedIsNotZero) {
  Quality nothing = QualityMeter(*g1()).result();
  int fields = 0;
  nothing.visit([&](const char* name, double value) {
    EXPECT_TRUE(std::isnan(value)) << name;
    ++fields;
  });
  EXPECT_EQ(fields, 13);
}

}  // namespace
}  // namespace twist
