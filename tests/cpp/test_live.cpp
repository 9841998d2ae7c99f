#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "motion/live.h"
#include "motion/reflex.h"
#include "sine_generator.h"
#include "walking_env.h"

namespace twist {
namespace {

constexpr int kAhead = 12;

// The sine generator with the joints of the G1: the first four swing. Three streams at a time.
class WideSine : public Generator {
 public:
  int num_joints() const override { return 29; }
  void resize(int streams) override { sine_.resize(streams); }
  void reset(int stream) override { sine_.reset(stream); }
  int block() const override { return 3; }
  void advance(int first, int count, const Command* targets, float* rows,
               float* commands) override {
    const FrameLayout narrow{4}, wide{29};
    std::vector<float> small(std::size_t(count) * narrow.width());
    sine_.advance(first, count, targets, small.data(), commands);
    for (int i = 0; i < count; ++i) {
      const float* in = &small[std::size_t(i) * narrow.width()];
      float* out = rows + std::size_t(i) * wide.width();
      std::copy_n(g1()->q_default.data(), 29, out);
      std::fill_n(out + 29, 29, 0.0f);
      for (int joint = 0; joint < 4; ++joint) {
        out[joint] += 0.2f * in[joint];
        out[29 + joint] = 0.2f * in[4 + joint];
      }
      std::copy_n(in + narrow.height(), narrow.width() - narrow.height(), out + wide.height());
    }
  }

 private:
  SineGenerator sine_;
};

// Says that its command is the target at once.
class Echo : public WideSine {
 public:
  void advance(int first, int count, const Command* targets, float* rows,
               float* commands) override {
    WideSine::advance(first, count, targets, rows, commands);
    for (int i = 0; i < count; ++i) {
      const double values[3] = {targets[i].vx, targets[i].vy, targets[i].wz};
      std::copy_n(values, 3, commands + 3 * i);
    }
  }
};

std::shared_ptr<Generator> make(const std::string& name) {
  if (name == "gait") return std::make_shared<GaitLibrary>(*g1(), GaitSettings());
  if (name == "echo") return std::make_shared<Echo>();
  return std::make_shared<WideSine>();
}

LiveMotion live_motion(const std::string& generator, int streams, int ahead = kAhead,
                       int threads = 1) {
  return LiveMotion(*g1(), make(generator), streams, ahead, std::make_shared<Workers>(threads));
}

// everything that the pool knows of one frame
std::vector<float> all_of(const MotionPool& pool, int stream, int frame) {
  const ReferenceView view = pool.at(stream, frame);
  std::vector<float> all;
  const auto add = [&](const float* numbers, int count) {
    all.insert(all.end(), numbers, numbers + count);
  };
  add(view.frame, pool.layout().width());
  add(view.command, 3);
  add(view.torque, 29);
  add(view.feet, 6);
  add(view.key_bodies, 3 * static_cast<int>(g1()->key_bodies.size()));
  return all;
}

// --- the motion ----------------------------------------------------------------------------------

class Generators : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(LiveMotion, Generators, testing::Values("gait", "sine"));

TEST_P(Generators, HasTheFramesOfAStaticPoolOfTheSameCommands) {
  // seven streams change their targets three times
  const int streams = 7, frames = 160;
  const int changes[3] = {0, 41, 90};
  const auto target = [](int stream, int part) {
    Random random(8, stream, part, Purpose::kCommand);
    return Command{random.uniform(-0.4, 0.8), random.uniform(-0.2, 0.2), random.uniform(-0.5, 0.5)};
  };

  // a target that is set when n frames are there holds from frame n + 1 on
  CommandPlan plan{streams, frames, std::vector<Command>(std::size_t(streams) * frames)};
  for (int stream = 0; stream < streams; ++stream) {
    for (int part = 0; part < 3; ++part) {
      for (int frame = kAhead + changes[part] + 1; frame < frames; ++frame)
        plan.targets[std::size_t(stream) * frames + frame] = target(stream, part);
    }
  }
  const auto generator = make(GetParam());
  Workers workers(1);
  const MotionPool whole(*g1(), generate(*generator, plan, workers), workers);

  LiveMotion live = live_motion(GetParam(), streams, kAhead, 2);
  for (int made = 0; made < frames - kAhead - 1; ++made) {
    for (int part = 0; part < 3; ++part) {
      if (made != changes[part]) continue;
      std::vector<Command> targets;
      for (int stream = 0; stream < streams; ++stream) targets.push_back(target(stream, part));
      live.set_commands(targets);
    }
    for (int stream = 0; stream < streams; ++stream) {
      const int length = live.pool()->length(stream);
      ASSERT_EQ(length, kAhead + made);
      for (int frame = std::max(0, length - 2 * kAhead); frame < length; ++frame)
        ASSERT_EQ(all_of(*live.pool(), stream, frame), all_of(whole, stream, frame)) << frame;
    }
    live.advance(1);
  }
}

TEST(LiveMotion, ManyFramesAtOnceAreThoseOneByOne) {
  LiveMotion one = live_motion("gait", 3), many = live_motion("gait", 3);
  const std::vector<Command> targets = {{0.5, 0, 0}, {}, {0.2, 0.1, 0.4}};
  for (LiveMotion* live : {&one, &many}) live->set_commands(targets);
  for (int i = 0; i < 45; ++i) one.advance(1);
  many.advance(0);
  many.advance(40);
  many.advance(5);
  for (int stream = 0; stream < 3; ++stream) {
    ASSERT_EQ(many.pool()->length(stream), kAhead + 45);
    for (int frame = 45 - kAhead; frame < 45 + kAhead; ++frame)
      ASSERT_EQ(all_of(*one.pool(), stream, frame), all_of(*many.pool(), stream, frame));
  }
}

TEST(LiveMotion, CommandsChangeFromTheNextFrameOn) {
  LiveMotion live = live_motion("sine", 2);
  live.advance(9);
  live.set_commands(std::vector<Command>{{0.1, 0, 0}, {0, 0.03, -0.1}});
  live.advance(6);
  // the ramps of the sine generator: 0.04, 0.02, 0.06 in a frame
  const float expected[6][3] = {{0, 0, 0},
                                {0.04f, 0.02f, -0.06f},
                                {0.08f, 0.03f, -0.1f},
                                {0.1f, 0.03f, -0.1f},
                                {0.1f, 0.03f, -0.1f},
                                {0.1f, 0.03f, -0.1f}};
  const int last = kAhead + 9 - 1;  // the last frame that was there before
  for (int i = 0; i < 6; ++i) {
    const float *forward = live.pool()->at(0, last + 1 + i).command,
                *aside = live.pool()->at(1, last + 1 + i).command;
    EXPECT_NEAR(forward[0], expected[i][0], 1e-6) << i;
    EXPECT_NEAR(aside[1], expected[i][1], 1e-6) << i;
    EXPECT_NEAR(aside[2], expected[i][2], 1e-6) << i;
    EXPECT_EQ(forward[1], 0);
    EXPECT_EQ(aside[0], 0);
  }
  EXPECT_EQ(live.pool()->at(0, last).command[0], 0);
}

TEST(LiveMotion, KeepsAWindowOfFramesAndForgetsTheRest) {
  LiveMotion live = live_motion("sine", 2);
  const MotionPool& pool = *live.pool();
  EXPECT_TRUE(pool.live());
  EXPECT_EQ(pool.streams(), 2);
  EXPECT_EQ(pool.length(0), kAhead);
  EXPECT_EQ(pool.start(0), 0);
  EXPECT_TRUE(pool.knows(0, 0) && pool.knows(1, kAhead - 1));
  EXPECT_FALSE(pool.knows(0, -1));
  EXPECT_FALSE(pool.knows(0, kAhead));
  live.advance(kAhead);
  EXPECT_TRUE(pool.knows(0, 0));
  live.advance(1);
  EXPECT_FALSE(pool.knows(0, 0));
  live.advance(100);
  const int length = 2 * kAhead + 101;
  for (int frame = 0; frame < length + 5; ++frame)
    EXPECT_EQ(pool.knows(1, frame), frame >= length - 2 * kAhead && frame < length) << frame;
  EXPECT_EQ(pool.start(1), length - kAhead) << "as many frames lie ahead as at the beginning";
}

TEST(LiveMotion, DoesNotDependOnTheWorkers) {
  LiveMotion one = live_motion("gait", 20), three = live_motion("gait", 20, kAhead, 3);
  for (LiveMotion* live : {&one, &three}) {
    live->draw_commands(CommandSettings(), 5);
    live->advance(200);
  }
  bool moving = false;
  for (int stream = 0; stream < 20; ++stream) {
    for (int frame = 200 - kAhead; frame < 200 + kAhead; ++frame) {
      ASSERT_EQ(all_of(*one.pool(), stream, frame), all_of(*three.pool(), stream, frame));
      moving = moving || one.pool()->at(stream, frame).command[0] > 0.3f;
    }
  }
  EXPECT_TRUE(moving);
}

// the targets (streams, frames) that are drawn, by a generator that says them
std::vector<std::vector<Command>> drawn(const CommandSettings& settings, std::uint64_t seed,
                                        int frames, int before = 0) {
  LiveMotion live = live_motion("echo", 30);
  live.advance(before);
  live.draw_commands(settings, seed);
  std::vector<std::vector<Command>> targets(30);
  for (int made = 0; made < frames; ++made) {
    live.advance(1);
    for (int stream = 0; stream < 30; ++stream) {
      const float* c = live.pool()->at(stream, live.pool()->length(stream) - 1).command;
      targets[stream].push_back({c[0], c[1], c[2]});
    }
  }
  return targets;
}

TEST(LiveMotion, DrawnCommandsAreSupportedAndHeldAsLongAsTheSettingsSay) {
  CommandSettings settings;
  settings.vx = {0.2, 1.4};
  settings.stand_share = settings.side_share = settings.turn_share = 0;
  settings.hold_s = {0.5, 1.5};
  int held[2] = {1000, 0}, first[2] = {1000, 0};
  double fastest = 0;
  int changes = 0;
  std::set<double> speeds;
  for (const auto& targets : drawn(settings, 3, 600)) {
    int since = -1;
    for (int frame = 0; frame < 600; ++frame) {
      const Command& now = targets[frame];
      if (frame > 0 && now == targets[frame - 1]) continue;
      if (frame == 0 && now.is_zero()) continue;
      // floats may stand just outside of the limits
      const Command inside{now.vx, 0.999999 * now.vy, 0.999999 * now.wz};
      ASSERT_TRUE(supports(settings, {std::clamp(now.vx, 0.2, 1.4), inside.vy, inside.wz}))
          << now.vx << " " << now.vy << " " << now.wz;
      ASSERT_NEAR(now.vx, std::clamp(now.vx, 0.2, 1.4), 1e-6);
      int* range = since < 0 ? first : held;
      const int length = since < 0 ? frame : frame - since;
      range[0] = std::min(range[0], length);
      range[1] = std::max(range[1], length);
      since = frame;
      fastest = std::max(fastest, now.vx);
      ++changes;
      speeds.insert(now.vx);
    }
    EXPECT_GE(since, 500);
  }
  EXPECT_GE(held[0], 25);
  EXPECT_LE(held[0], 28);
  EXPECT_LE(held[1], 75);
  EXPECT_GE(held[1], 72);
  EXPECT_LE(first[0], 10) << "the first targets come at any time in the first two seconds";
  EXPECT_GE(first[1], 85);
  EXPECT_LE(first[1], 101);
  EXPECT_GT(fastest, 1.3);
  EXPECT_EQ(static_cast<int>(speeds.size()), changes) << "every target is drawn for itself";
}

TEST(LiveMotion, DrawnCommandsAreAFunctionOfTheSeed) {
  const CommandSettings settings;
  EXPECT_EQ(drawn(settings, 3, 300), drawn(settings, 3, 300));
  EXPECT_NE(drawn(settings, 3, 300), drawn(settings, 4, 300));
  const auto streams = drawn(settings, 3, 300);
  EXPECT_NE(streams[0], streams[1]);

  // from whenever it is asked for
  for (const auto& targets : drawn(settings, 3, 300, 500))
    EXPECT_TRUE(targets[0].is_zero() || targets[0] == targets[1]);
  EXPECT_NE(drawn(settings, 3, 300, 500)[0].back(), Command{});
}

TEST(LiveMotion, GivenCommandsEndTheDrawing) {
  LiveMotion live = live_motion("echo", 4);
  live.draw_commands(CommandSettings(), 1);
  live.advance(300);
  const std::vector<Command> targets = {{0.5, 0, 0}, {}, {0, 0.25, 0}, {0, 0, 0.5}};
  live.set_commands(targets);
  live.advance(1000);
  for (int stream = 0; stream < 4; ++stream) {
    for (int frame = live.pool()->length(stream) - 2 * kAhead; frame < live.pool()->length(stream);
         ++frame) {
      const float* c = live.pool()->at(stream, frame).command;
      ASSERT_EQ((Command{c[0], c[1], c[2]}), targets[stream]);
    }
  }
}

TEST(LiveMotion, RefusesWhatDoesNotFit) {
  const auto workers = std::make_shared<Workers>(1);
  const std::string joints =
      error_of([&] { LiveMotion(*g1(), std::make_shared<SineGenerator>(), 2, kAhead, workers); });
  EXPECT_NE(joints.find("4 joints"), std::string::npos) << joints;
  EXPECT_NE(joints.find("29"), std::string::npos) << joints;
  EXPECT_THROW(live_motion("sine", 0), UserError);
  EXPECT_THROW(live_motion("sine", 2, 0), UserError);
  LiveMotion live = live_motion("sine", 2);
  EXPECT_THROW(live.advance(-1), UserError);
  const std::string commands = error_of([&] { live.set_commands(std::vector<Command>(3)); });
  EXPECT_NE(commands.find("3 commands for 2"), std::string::npos) << commands;
  CommandSettings backwards;
  backwards.vy = {0.3, -0.3};
  EXPECT_THROW(live.draw_commands(backwards, 1), UserError);
}

// --- robots that follow it -----------------------------------------------------------------------

std::unique_ptr<Env> env_on(std::shared_ptr<const MotionPool> pool, int envs = 2,
                            EnvSettings settings = calm()) {
  return std::make_unique<Env>(g1(), settings, std::move(pool), envs, 1, 7);
}

TEST(LiveEnv, StepsAsOnAStaticPoolWhenTheRingWraps) {
  const std::vector<Command> targets = {{0.6, 0, 0}, {0.3, 0.1, -0.4}};
  const int frames = 150;
  CommandPlan plan = stand_then(targets, kAhead + 1, frames);
  GaitLibrary gait(*g1(), GaitSettings());
  Workers workers(1);
  const auto whole =
      std::make_shared<const MotionPool>(*g1(), generate(gait, plan, workers), workers);
  LiveMotion live = live_motion("gait", 2);
  live.set_commands(targets);
  EnvSettings settings = calm();
  settings.lookahead = 5;
  const auto env = env_on(live.pool(), 2, settings), twin = env_on(whole, 2, settings);
  for (const int i : {0, 1}) {
    env->reset_standing(i, 0, i, plain_body());
    twin->reset_standing(i, 0, i, plain_body());
  }
  for (int step = 0; step < frames - kAhead - 2; ++step) {
    for (const int i : {0, 1}) {
      env->step(i, 0, no_action().data());
      twin->step(i, 0, no_action().data());
    }
    live.advance(1);
    ASSERT_EQ(states_of(*env), states_of(*twin)) << step;
    ASSERT_EQ(env->observation, twin->observation) << step;
    ASSERT_EQ(env->reward, twin->reward) << step;
  }
}

TEST(LiveEnv, RefusesToBeSteppedBeyondWhatWasMade) {
  LiveMotion live = live_motion("gait", 1);
  const auto env = env_on(live.pool(), 1);
  const auto step = [&] { env->step(0, 0, no_action().data()); };
  for (int i = 0; i < kAhead; ++i) ASSERT_EQ(error_of(step), "") << i;
  const std::string error = error_of(step);
  EXPECT_NE(error.find("environment 0"), std::string::npos) << error;
  EXPECT_NE(error.find("advanced"), std::string::npos) << error;
  live.advance(2);
  EXPECT_EQ(error_of(step), "");
  EXPECT_EQ(error_of(step), "");
  EXPECT_NE(error_of(step), "");

  // nor in what was forgotten
  live.advance(2 * kAhead);
  EXPECT_EQ(error_of(step), "");
  live.advance(2);
  EXPECT_NE(error_of(step), "");
}

TEST(LiveEnv, StandingStartsAreInThePresent) {
  LiveMotion live = live_motion("gait", 2);
  const auto env = env_on(live.pool());
  live.set_commands(std::vector<Command>{{0.6, 0, 0}, {}});
  live.advance(77);
  env->reset_standing(0, 0, 0, plain_body());
  EXPECT_EQ(env->reference(0).frame, live.pool()->at(0, 77).frame);
  for (int i = 0; i < kAhead; ++i) env->step(0, 0, no_action().data());
  EXPECT_EQ(env->cause[0], Cause::kNone);
}

TEST(LiveEnv, AnEpisodeGoesOnInTheMotionWhereTheLastOneEnded) {
  LiveMotion live = live_motion("gait", 2);
  EnvSettings settings = calm();
  settings.episode_s = 0.3;
  const auto env = env_on(live.pool(), 2, settings);
  live.set_commands(std::vector<Command>{{0.6, 0, 0}, {0.2, 0, 0.3}});
  int ends = 0;
  for (int step = 1; step <= 100; ++step) {
    for (const int i : {0, 1}) {
      env->step(i, 0, no_action().data());
      ends += env->cause[i] == Cause::kTimeOut;
      ASSERT_EQ(env->reference(i).frame, live.pool()->at(i, step).frame) << step;
      if (env->cause[i] == Cause::kNone) continue;
      for (int joint = 0; joint < 12; ++joint) {
        ASSERT_NEAR(qpos_of(*env, i)[7 + joint], env->reference(i).frame[joint], 1e-6)
            << "it begins on the reference";
      }
    }
    live.advance(1);
  }
  EXPECT_GE(ends, 12);
}

TEST(LiveEnv, WhoeverComesLaterBeginsInThePresent) {
  LiveMotion live = live_motion("gait", 4);
  live.advance(kAhead - 2);  // frame 0 is still known
  const int present = kAhead - 2;
  const auto late = env_on(live.pool(), 4);
  const auto moved = env_on(g1_pool(), 4);
  const auto step_to_end = [&](Env& env) {
    for (int i = 0; i < 4; ++i) {
      EXPECT_EQ(env.reference(i).frame, live.pool()->at(i, present).frame) << i;
      for (int k = 0; k < kAhead; ++k) env.step(i, 0, no_action().data());
    }
  };
  step_to_end(*late);
  for (int i = 0; i < 4; ++i) moved->reset_at(i, 0, 1, kAhead + 8, plain_body());
  moved->set_pool(live.pool());
  step_to_end(*moved);
}

TEST(LiveEnv, EveryEnvironmentNeedsItsOwnStream) {
  LiveMotion live = live_motion("sine", 3);
  const std::string error = error_of([&] { env_on(live.pool(), 2); });
  EXPECT_NE(error.find("3 streams for 2"), std::string::npos) << error;

  // an environment that refuses other motion keeps its own
  const auto env = env_on(g1_pool(), 2);
  const std::vector<double> before = states_of(*env);
  EXPECT_THROW(env->set_pool(live.pool()), UserError);
  EXPECT_EQ(&env->pool(), g1_pool().get());
  EXPECT_EQ(states_of(*env), before);
  env->step(1, 0, no_action().data());
}

TEST(LiveEnv, LoadedEnvironmentsBeginAnewInThePresent) {
  Workers workers(1);
  LiveMotion first = live_motion("gait", 2), second = live_motion("gait", 2, 40);
  const Reflexes reflexes = make_reflexes(*g1(), GaitSettings(), workers);
  for (LiveMotion* live : {&first, &second}) live->pool()->set_reflexes(reflexes);
  const auto env = env_on(first.pool()), other = env_on(second.pool());
  for (const int i : {0, 1}) env->step(i, 0, no_action().data());
  env->push(0, {0.8, 0});  // environment 0 is saved in the middle of a reflex
  for (const int i : {0, 1}) env->step(i, 0, no_action().data());
  EXPECT_NE(env->reference(0).frame, first.pool()->at(0, 2).frame);
  EXPECT_EQ(env->reference(1).frame, first.pool()->at(1, 2).frame);
  std::vector<double> records(2 * std::size_t(env->record_size()));
  env->save(records.data());
  second.advance(25);
  other->load(records.data());
  for (const int i : {0, 1})
    EXPECT_EQ(other->reference(i).frame, second.pool()->at(i, 25).frame) << i;
}

TEST(LiveEnv, WhereTheMotionEndsNothingIsReadFromTheFramesBefore) {
  // the robot that should walk is pushed in the last step before the motion ends, where the ring
  // still holds a frame in which it stood
  Workers workers(1);
  LiveMotion live = live_motion("gait", 1);
  live.pool()->set_reflexes(make_reflexes(*g1(), GaitSettings(), workers));
  live.set_commands(std::vector<Command>{{0.6, 0, 0}});
  live.advance(kAhead + 2);
  const int length = 2 * kAhead + 2;
  ASSERT_TRUE(live.pool()->stands(0, length - 2 * kAhead));
  const auto env = env_on(live.pool(), 1);
  for (int i = 0; i < kAhead; ++i) {
    if (i == kAhead - 1) env->push(0, {0.8, 0});
    env->step(0, 0, no_action().data());
  }
  EXPECT_EQ(env->reference(0).frame, live.pool()->at(0, length - 1).frame);
}

TEST(LiveEnv, AReflexDoesNotHideThatTheMotionEnds) {
  Workers workers(1);
  LiveMotion live = live_motion("gait", 1);
  live.pool()->set_reflexes(make_reflexes(*g1(), GaitSettings(), workers));
  const auto env = env_on(live.pool(), 1);
  const std::vector<double> start = states_of(*env);
  const auto step = [&] {
    env->step(0, 0, no_action().data());
    std::copy(start.begin(), start.end(), env->state(0));  // nobody falls
  };
  env->push(0, {0.8, 0});
  for (int i = 0; i < kAhead; ++i) ASSERT_EQ(error_of(step), "") << i;
  EXPECT_NE(error_of(step), "");

  // advanced as it is stepped, it comes home in the present
  live.advance(1);
  for (int i = 0; i < 200; ++i) {
    ASSERT_EQ(error_of(step), "") << i;
    live.advance(1);
  }
  EXPECT_EQ(env->reference(0).frame, live.pool()->at(0, live.pool()->length(0) - 1).frame);
}

}  // namespace
}  // namespace twist
