#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "motion/reflex.h"
#include "walking_env.h"

namespace twist {
namespace {

constexpr int kLength = 200;  // frames of a reflex

const Reflexes& reflexes() {
  static const Reflexes made = [] {
    Workers workers(1);
    return make_reflexes(*g1(), GaitSettings(), workers);
  }();
  return made;
}

float contact(const float* frame, int side) { return frame[FrameLayout{29}.contact() + side]; }

// --- the motion ----------------------------------------------------------------------------------

TEST(Reflexes, AreThereForAllDirectionsAndBothFeet) {
  const auto& entries = reflexes().entries;
  ASSERT_EQ(entries.size(), 120u);
  ASSERT_EQ(reflexes().pool->streams(), 120);
  for (const int foot : {0, 1}) {
    for (const bool stops : {false, true}) {
      for (const double x : {-0.5, 0.0, 0.5}) {
        for (const double y : {-0.6, -0.3, 0.0, 0.3, 0.6}) {
          const auto count = std::count_if(entries.begin(), entries.end(), [&](const Reflex& r) {
            return r.foot == foot && r.stops == stops && (r.velocity - Vec2(x, y)).norm() < 0.05;
          });
          EXPECT_EQ(count, 1) << foot << " " << stops << " " << x << " " << y;
        }
      }
    }
  }
}

TEST(Reflexes, BeginWhenTheirFootLiftsOff) {
  Workers workers(1);
  GaitLibrary gait(*g1(), GaitSettings());
  for (std::size_t i = 0; i < reflexes().entries.size(); ++i) {
    const Reflex& reflex = reflexes().entries[i];
    const int foot = reflex.foot;
    const Command command{reflex.velocity.x(), reflex.velocity.y(), 0};
    const Trajectories walk = generate(gait, constant_plan({&command, 1}, 300), workers);
    const MotionPool steady(*g1(), walk, workers);
    const auto at = [&](int frame) { return reflexes().pool->at(static_cast<int>(i), frame); };
    EXPECT_EQ(contact(at(0).frame, foot), 0) << i;
    EXPECT_EQ(contact(at(0).frame, 1 - foot), 1) << i;
    EXPECT_GT(at(8).feet[3 * foot + 2], at(0).feet[3 * foot + 2] + 0.02) << "it rises";

    // somewhere in the steady walk the foot is on the floor until then, and what follows is the
    // same
    int same = 0;
    for (int begin = 120; begin < 290; ++begin) {
      bool equal = contact(walk.row(0, begin - 1), foot) > 0;
      for (int frame = 0; frame < 5; ++frame) {
        const int z = 3 * foot + 2;  // its height
        equal = equal && std::abs(steady.at(0, begin + frame).feet[z] - at(frame).feet[z]) < 1e-3;
        for (const int side : {0, 1}) {
          equal = equal && std::abs(contact(walk.row(0, begin + frame), side) -
                                    contact(at(frame).frame, side)) < 1e-5;
        }
      }
      same += equal;
    }
    EXPECT_GE(same, 1) << i;

    // the body moves as fast as it says, the command falls to zero or stays
    const float* lin_vel = at(0).frame + FrameLayout{29}.lin_vel();
    EXPECT_NEAR(lin_vel[0], reflex.velocity.x(), 0.3) << i;  // sideways the pelvis swings
    EXPECT_LT((Vec2(at(0).command[0], at(0).command[1]) - reflex.velocity).norm(), 0.05) << i;
    for (int frame = 1; frame < kLength; ++frame) {
      for (int axis = 0; axis < 3; ++axis) {
        const float now = std::abs(at(frame).command[axis]);
        const float before = std::abs(at(frame - 1).command[axis]);
        if (reflex.stops)
          ASSERT_LE(now, before);
        else
          ASSERT_EQ(now, before);
      }
    }
  }
}

TEST(Reflexes, EndStandingIfTheyStop) {
  GaitLibrary gait(*g1(), GaitSettings());
  const std::vector<double>& pose = gait.standing_pose();
  for (int i = 0; i < reflexes().pool->streams(); ++i) {
    ASSERT_EQ(reflexes().pool->length(i), kLength);
    if (!reflexes().entries[i].stops) {
      EXPECT_FALSE(reflexes().pool->stands(i, kLength - 1)) << i;
      continue;
    }
    for (int frame = kLength - 10; frame < kLength; ++frame) {
      const ReferenceView view = reflexes().pool->at(i, frame);
      for (int joint = 0; joint < 29; ++joint) {
        ASSERT_NEAR(view.frame[joint], pose[joint], 0.02) << i << " " << frame << " " << joint;
        ASSERT_NEAR(view.frame[29 + joint], 0, 0.02) << i << " " << frame << " " << joint;
      }
      for (int axis = 0; axis < 3; ++axis) {
        EXPECT_EQ(view.command[axis], 0);
        EXPECT_NEAR(view.frame[FrameLayout{29}.lin_vel() + axis], 0, 1e-3);
      }
      for (const int side : {0, 1}) EXPECT_NEAR(contact(view.frame, side), 0.5, 0.05);
      EXPECT_TRUE(reflexes().pool->stands(i, frame));
    }
  }
}

TEST(ChooseReflex, TakesTheNearestOfAFootThatStopsOrNot) {
  const std::vector<Reflex> entries = {
      {{0, 0}, 0, true},    {{0, 0}, 1, true},    {{0.5, 0}, 0, true},   {{0.5, 0}, 1, true},
      {{0.5, 0}, 0, false}, {{0.5, 0}, 1, false}, {{0, -0.3}, 1, false}, {{0, -0.3}, 1, true}};
  EXPECT_EQ(choose_reflex(entries, {0.4, 0.1}, 0, true), 2);
  EXPECT_EQ(choose_reflex(entries, {0.4, -0.1}, 1, true), 3);
  EXPECT_EQ(choose_reflex(entries, {3, 0.5}, 0, false), 4);
  EXPECT_EQ(choose_reflex(entries, {-1, -0.2}, 0, false), 4) << "there is no other";
  EXPECT_EQ(choose_reflex(entries, {0.1, -0.4}, 1, false), 6);
  EXPECT_EQ(choose_reflex(entries, {0.1, -0.4}, 1, true), 7);
  EXPECT_EQ(choose_reflex(entries, {0.1, 0.05}, 0, true), 0);
}

// --- robots that are pushed ----------------------------------------------------------------------

std::shared_ptr<const MotionPool> pool_with_reflexes() {
  static const auto pool = [] {
    auto with = std::make_shared<MotionPool>(*g1_pool());
    with->set_reflexes(reflexes());
    return with;
  }();
  return pool;
}

constexpr int kStanding = 0, kWalking = 1;  // streams of g1_pool()

// One robot, and which frame of which stream it should be on.
class Pushed {
 public:
  explicit Pushed(int stream, int frame, EnvSettings settings = calm())
      : env(g1(), settings, pool_with_reflexes(), 1, 1, 7) {
    env.reset_at(0, 0, stream, frame, plain_body());
    start_ = states_of(env);
  }

  void step() { env.step(0, 0, no_action().data()); }
  // the robot does not fall: after the step it is where it began
  void step_and_stay() {
    step();
    std::copy(start_.begin(), start_.end(), env.state(0));
  }
  bool is_at(int stream, int frame) {
    return env.reference(0).frame == pool_with_reflexes()->at(stream, frame).frame;
  }
  // the reflex, as a stream of the pool, that is at its frame 0; -1: none
  int beginning_reflex() {
    for (int i = 0; i < 120; ++i) {
      if (is_at(4 + i, 0)) return i;
    }
    return -1;
  }

  Env env;

 private:
  std::vector<double> start_;
};

TEST(Reflex, APushedRobotStepsAndComesHomeAtTheRightFrame) {
  Pushed robot(kStanding, 30);
  for (int i = 1; i <= 5; ++i) {
    robot.step_and_stay();
    ASSERT_TRUE(robot.is_at(kStanding, 30 + i));
  }
  robot.env.push(0, {0.05, 0.8});
  robot.step_and_stay();
  const int reflex = robot.beginning_reflex();
  ASSERT_GE(reflex, 0);
  const Reflex& entry = reflexes().entries[reflex];
  EXPECT_LT((entry.velocity - Vec2(0.02, 0.6)).norm(), 0.03) << "of all to the left the nearest";
  EXPECT_TRUE(entry.stops);
  EXPECT_EQ(entry.foot, 0) << "to the left with the left foot";
  EXPECT_EQ(block_of(robot.env.observation, "command"),
            std::vector<float>(robot.env.reference(0).command, robot.env.reference(0).command + 3))
      << "the policy sees it at once";
  EXPECT_GT(robot.env.reference(0).command[1], 0.25);

  // all frames but the last, which is that of the motion at home
  for (int frame = 1; frame < kLength - 1; ++frame) {
    robot.step_and_stay();
    ASSERT_TRUE(robot.is_at(4 + reflex, frame)) << frame;
  }
  for (int i = 0; i < 10; ++i) {
    robot.step_and_stay();
    ASSERT_TRUE(robot.is_at(kStanding, 36 + kLength - 1 + i)) << i;
  }
}

TEST(Reflex, PushesToTheRightAndBackAreAnsweredThere) {
  const std::pair<Vec2, Reflex> pushes[] = {
      {{-1.0, -0.05}, {{-0.9, 0}, 1}}, {{1.1, 0.1}, {{1.0, 0}, 0}}, {{0, -0.8}, {{0, -0.6}, 1}}};
  for (const auto& [push, expected] : pushes) {
    Pushed robot(kStanding, 30);
    robot.env.push(0, push);
    robot.step();
    const int reflex = robot.beginning_reflex();
    ASSERT_GE(reflex, 0);
    EXPECT_LT((reflexes().entries[reflex].velocity - expected.velocity).norm(), 1e-9);
    EXPECT_EQ(reflexes().entries[reflex].foot, expected.foot);
  }
}

TEST(Reflex, AnotherPushWaitsForTheNextStep) {
  Pushed robot(kStanding, 30);
  robot.env.push(0, {0, 0.8});
  robot.step();
  const int reflex = robot.beginning_reflex();
  ASSERT_GE(reflex, 0);
  const Swing swing = pool_with_reflexes()->swing(4 + reflex, 0);
  EXPECT_EQ(swing.foot, 0);
  EXPECT_EQ(swing.frames, 0);
  int lift = 1;  // of the other foot
  while (!pool_with_reflexes()->lifts_off(4 + reflex, lift, 1)) ++lift;
  ASSERT_GT(lift, 12);
  for (int frame = 1; frame < lift; ++frame) {
    robot.step_and_stay();
    ASSERT_TRUE(robot.is_at(4 + reflex, frame));
  }
  robot.env.push(0, {0.5, -0.3});
  robot.step_and_stay();
  const int next = robot.beginning_reflex();
  ASSERT_GE(next, 0);
  EXPECT_EQ(reflexes().entries[next].foot, 1) << "the foot that lifts off";
  EXPECT_TRUE(reflexes().entries[next].stops);
  EXPECT_LT((reflexes().entries[next].velocity - Vec2(0.5, -0.3)).norm(), 1e-9);
}

// a frame of the walking stream in which the left foot has been up for a few frames
int left_swing(int frames) {
  for (int frame = 100; frame < 200; ++frame) {
    const Swing swing = pool_with_reflexes()->swing(kWalking, frame);
    if (swing.foot == 0 && swing.frames == frames) return frame;
  }
  return -1;
}

TEST(Reflex, AWalkingRobotStepsAsItMovesAndComesHomeAtALiftOff) {
  const int begin = left_swing(4);
  ASSERT_GT(begin, 0);
  Pushed robot(kWalking, begin - 1);
  const Vec2 planned =
      Eigen::Map<const Eigen::Vector2f>(pool_with_reflexes()->at(kWalking, begin).frame +
                                        FrameLayout{29}.lin_vel())
          .cast<double>();
  robot.env.push(0, {0.8, 0});
  robot.step();
  // the same foot is as far in its swing, the motion goes on
  int reflex = -1;
  for (int i = 0; i < 120; ++i) {
    if (robot.is_at(4 + i, 4)) reflex = i;
  }
  ASSERT_GE(reflex, 0);
  const Reflex& entry = reflexes().entries[reflex];
  EXPECT_EQ(entry.foot, 0);
  EXPECT_FALSE(entry.stops);
  EXPECT_GT(entry.velocity.x(), planned.x() + 0.4);

  // near the planned velocity again it comes home where the right foot lifts off
  int lift = 5;
  while (!pool_with_reflexes()->lifts_off(4 + reflex, lift, 1)) ++lift;
  for (int frame = 5; frame <= lift; ++frame) {
    double* qvel = robot.env.state(0) + 1 + 36;
    const Vec2 now = rot_2d(heading(quat_from_mujoco(robot.env.state(0) + 4))) * planned;
    qvel[0] = now.x();
    qvel[1] = now.y();
    robot.step();
    if (frame < lift) {
      ASSERT_TRUE(robot.is_at(4 + reflex, frame)) << frame;
    }
  }
  bool home = false;
  for (int frame = begin; frame < begin + 70; ++frame) {
    if (robot.is_at(kWalking, frame)) home = pool_with_reflexes()->lifts_off(kWalking, frame, 1);
  }
  EXPECT_TRUE(home);
}

TEST(Reflex, ToTheSideTheFootOnThatSideLiftsOffAtOnce) {
  const int begin = left_swing(4);
  ASSERT_GT(begin, 0);
  for (const int side : {1, -1}) {  // left, right
    Pushed robot(kWalking, begin - 1);
    robot.env.push(0, {0, side * 1.0});
    robot.step();
    const int reflex = robot.beginning_reflex();
    ASSERT_GE(reflex, 0) << side;
    const Reflex& entry = reflexes().entries[reflex];
    EXPECT_EQ(entry.foot, side > 0 ? 0 : 1) << "though it is the left foot that swings";
    EXPECT_FALSE(entry.stops);
    EXPECT_GT(side * entry.velocity.y(), 0.25);
  }
}

TEST(Reflex, IsForRobotsThatWereReallyPushed) {
  Pushed walking(kWalking, 120), light(kStanding, 30), firm(kStanding, 30, [] {
    EnvSettings s = calm();
    s.reflex.standing = 1.5;
    return s;
  }());
  walking.env.push(0, {0, 0.1});
  light.env.push(0, {0, 0.2});
  firm.env.push(0, {0, 0.9});
  walking.step();
  EXPECT_TRUE(walking.is_at(kWalking, 121));
  for (int i = 1; i <= 5; ++i) {
    light.step();
    firm.step();
    EXPECT_TRUE(light.is_at(kStanding, 30 + i));
    EXPECT_TRUE(firm.is_at(kStanding, 30 + i));
  }
}

TEST(Reflex, WithoutReflexesNothingHappens) {
  Env env(g1(), calm(), g1_pool(), 1, 1, 7);
  env.reset_at(0, 0, kStanding, 30, plain_body());
  env.push(0, {0, 0.8});
  env.step(0, 0, no_action().data());
  EXPECT_EQ(env.reference(0).frame, g1_pool()->at(kStanding, 31).frame);
}

TEST(Reflex, ContinuesExactlyAfterSaveAndLoad) {
  Pushed whole(kStanding, 30), part(kStanding, 30), rest(kWalking, 100);
  const auto run = [](Pushed& robot, int steps) {
    for (int i = 0; i < steps; ++i) robot.step();
  };
  for (Pushed* robot : {&whole, &part}) {
    robot->env.push(0, {0.3, 0.6});
    run(*robot, 1);
  }
  const int reflex = part.beginning_reflex();
  ASSERT_GE(reflex, 0);
  run(whole, 11);
  run(part, 11);
  ASSERT_TRUE(part.is_at(4 + reflex, 11));
  std::vector<double> records(part.env.record_size());
  part.env.save(records.data());
  rest.env.load(records.data());
  for (int step = 0; step < 180; ++step) {
    run(whole, 1);
    run(rest, 1);
    ASSERT_EQ(states_of(whole.env), states_of(rest.env)) << step;
    ASSERT_EQ(whole.env.observation, rest.env.observation) << step;
    ASSERT_EQ(whole.env.reward, rest.env.reward) << step;
    ASSERT_EQ(whole.env.reference(0).frame, rest.env.reference(0).frame) << step;
  }
}

TEST(Reflex, RefusesRecordsWhoseHomeDoesNotExist) {
  Pushed robot(kStanding, 200);
  robot.env.push(0, {0, 0.8});
  robot.step();
  ASSERT_GE(robot.beginning_reflex(), 0);
  std::vector<double> records(robot.env.record_size());
  robot.env.save(records.data());

  // four streams and the reflexes, too, but shorter ones
  Workers workers(1);
  const Trajectories brief = g1_motion(stand_then({{}, {}, {}, {}}, 0, 100));
  const auto pool = std::make_shared<MotionPool>(*g1(), brief, workers);
  pool->set_reflexes(reflexes());
  Env other(g1(), calm(), pool, 1, 1, 7);
  EXPECT_THROW(other.load(records.data()), UserError);
}

TEST(Reflex, AFallWhileSteppingCountsWhereTheRobotShouldStandAndEndsTheReflex) {
  EnvSettings settings = calm();
  settings.termination.min_height = 0.4;
  Pushed robot(kStanding, 30, settings);
  robot.env.push(0, {0, 0.8});
  for (int i = 0; i < 30; ++i) robot.step_and_stay();
  qpos_of(robot.env, 0)[2] = 0.2;
  robot.step();
  ASSERT_EQ(robot.env.cause[0], Cause::kHeight);
  robot.env.update_starts();
  // frame 30 + 31 of stream 0, in bins of 50 frames; four streams of five bins
  std::vector<double> expected(20, 0.0);
  expected[1] = 0.01;
  ASSERT_EQ(robot.env.starts().failures().size(), expected.size());
  for (int bin = 0; bin < 20; ++bin)
    EXPECT_NEAR(robot.env.starts().failures()[bin], expected[bin], 1e-12) << bin;

  // the new episode follows a plain stream
  bool plain = false;
  for (int stream = 0; stream < 4; ++stream) {
    for (int frame = 0; frame < 250; ++frame) plain = plain || robot.is_at(stream, frame);
  }
  EXPECT_TRUE(plain);

  // and a fall in it counts there
  robot.env.reset_at(0, 0, 2, 120, plain_body());
  robot.env.push(0, {0, 0.8});
  qpos_of(robot.env, 0)[2] = 0.2;
  robot.step();
  ASSERT_EQ(robot.env.cause[0], Cause::kHeight);
  robot.env.update_starts();
  expected[1] = 0.0099;
  expected[2 * 5 + 2] = 0.01;
  for (int bin = 0; bin < 20; ++bin)
    EXPECT_NEAR(robot.env.starts().failures()[bin], expected[bin], 1e-12) << bin;
}

}  // namespace
}  // namespace twist
