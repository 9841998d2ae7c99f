#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "error_of.h"
#include "motion/cmg_motion_generator.h"
#include "small_cmg.h"

namespace twist {
namespace {

using Row = std::vector<float>;

std::vector<int> all_of(int count) {
  std::vector<int> ids(count);
  std::iota(ids.begin(), ids.end(), 0);
  return ids;
}

CmgMotionSettings settings_of(const std::string& mode, int num_envs) {
  CmgMotionSettings settings;
  settings.mode = mode;
  settings.num_envs = num_envs;
  settings.buffer_size = 20;
  settings.preload_duration = 190;  // not a whole number of circles
  return settings;
}

CmgMotionGenerator make(const CmgMotionSettings& settings, const Cmg& model = circling_model()) {
  return CmgMotionGenerator(model, settings, std::make_shared<Workers>(2));
}

Row row(const CmgMotionGenerator& generator, int id, int offset = 0) {
  const float* first = generator.read(id, offset);
  return Row(first, first + generator.features());
}

// largest change of a joint angle
double jump(const Row& a, const Row& b) {
  double largest = 0;
  for (int joint = 0; joint < kSmallJoints; ++joint)
    largest = std::max<double>(largest, std::abs(a[joint] - b[joint]));
  return largest;
}

// the farthest that a joint of the circling model goes in a frame under a command
double circle_step(const Command& command) {
  const double radius = 0.09 * std::hypot(command.vx * 2 / 1.5, command.wz);
  return 2 * radius * std::sin(M_PI / kCircle) + 1e-5;
}

class CmgMotion : public testing::TestWithParam<const char*> {
 protected:
  CmgMotionSettings settings(int num_envs) const { return settings_of(GetParam(), num_envs); }
};
INSTANTIATE_TEST_SUITE_P(Of, CmgMotion, testing::Values("pregenerated", "realtime"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(CmgMotion, IsThatOfTheRolloutUnderConstantCommands) {
  for (const std::string profile : {"full", "joints"}) {
    const Cmg model = small_model(profile);
    const std::vector<Command> commands = {{0.5, 0.1, 0}, {}, {-0.3, 0, 0.8}};
    CmgMotionGenerator generator = make(settings(3), model);
    generator.reset(all_of(3), commands, {});

    CmgRollout rollout(model);
    rollout.resize(3);
    Row expected(3 * rollout.features()), in_force(9);
    for (int frame = 0; frame < 140; ++frame) {  // before the end of the loop is faded
      rollout.advance(all_of(3), commands.data(), expected.data(), rollout.features(),
                      in_force.data(), 3);
      for (int id = 0; id < 3; ++id) {
        const Row made = row(generator, id);
        for (int i = 0; i < rollout.features(); ++i) {
          // the first row is the pose that was given
          if (frame == 0 && i >= kSmallJoints && i < 2 * kSmallJoints) continue;
          ASSERT_EQ(made[i], expected[id * rollout.features() + i]) << frame << " " << id;
        }
      }
      generator.advance(all_of(3));
    }
  }
}

TEST_P(CmgMotion, StandsUntilItIsTold) {
  CmgMotionGenerator generator = make(settings(2));
  for (int frame = 0; frame < 300; ++frame) {
    ASSERT_EQ(row(generator, 1), generator.standing_frame()) << frame;
    generator.advance(all_of(2));
  }
  EXPECT_TRUE(generator.command(1).is_zero());
}

TEST_P(CmgMotion, ReadingIsPure) {
  CmgMotionGenerator generator = make(settings(2)), untouched = make(settings(2));
  const std::vector<Command> commands = {{0.5, 0, 0.2}, {0.3, 0, -0.4}};
  for (auto* g : {&generator, &untouched}) g->reset(all_of(2), commands, {});
  for (int frame = 0; frame < 60; ++frame) {
    const Row once = row(generator, 0);
    EXPECT_EQ(row(generator, 0), once);
    if (frame > 0) row(generator, 0, -1);
    EXPECT_EQ(row(generator, 0), row(untouched, 0));
    for (auto* g : {&generator, &untouched}) g->advance(all_of(2));
  }
  EXPECT_EQ(generator.generated_frames(), untouched.generated_frames());
}

TEST_P(CmgMotion, OffsetsAreTheFramesToCome) {
  CmgMotionSettings ahead = settings(1);
  ahead.look_ahead = 6;
  CmgMotionGenerator generator = make(ahead), later = make(ahead);
  const std::vector<Command> command = {{0.5, 0, 0.2}};
  for (auto* g : {&generator, &later}) g->reset(all_of(1), command, {});
  for (int i = 0; i < 6; ++i) later.advance(all_of(1));
  for (int frame = 0; frame < 150; ++frame) {
    for (int offset = 0; offset <= 6; ++offset) {
      ASSERT_NO_THROW(generator.read(0, offset)) << frame << " " << offset;
    }
    ASSERT_EQ(row(generator, 0, 6), row(later, 0)) << frame;
    const Row now = row(generator, 0);
    generator.advance(all_of(1));
    later.advance(all_of(1));
    ASSERT_EQ(row(generator, 0, -1), now) << "the frame before stays";
  }
}

TEST_P(CmgMotion, OnlyTheNamedEnvironmentsMove) {
  CmgMotionGenerator generator = make(settings(3));
  const std::vector<Command> commands(3, {0.5, 0, 0.3});
  generator.reset(all_of(3), commands, {});
  std::vector<Row> frames;  // of environment 0
  for (int i = 0; i < 40; ++i) {
    frames.push_back(row(generator, 0));
    generator.advance(std::vector<int>{0});
    ASSERT_EQ(row(generator, 2), frames[i / 2]) << i;
    if (i % 2 == 1) generator.advance(std::vector<int>{2});
  }
  EXPECT_EQ(row(generator, 1), frames[0]);
  generator.advance(std::vector<int>{1});
  EXPECT_EQ(row(generator, 1), frames[1]);

  // a command for one is not for the others
  const Row now = row(generator, 0);
  generator.update_commands(std::vector<int>{1}, std::vector<Command>{{-0.4, 0, 0}});
  EXPECT_EQ(row(generator, 0), now);
  EXPECT_EQ(generator.command(0), commands[0]);
}

TEST_P(CmgMotion, ANewCommandGoesOnFromTheCurrentFrame) {
  CmgMotionGenerator generator = make(settings(1));
  const std::vector<Command> commands = {{0.5, 0, 0.4}, {-0.4, 0, 0.1}, {0.9, 0, -0.8}, {}};
  generator.reset(all_of(1), std::span(commands).first(1), {});
  Row before = row(generator, 0);
  for (int frame = 1; frame < 100; ++frame) {
    generator.advance(all_of(1));
    const Row now = row(generator, 0);
    // the circle of the old or the new command, about a centre that the command moves
    ASSERT_LT(jump(before, now), 3 * circle_step({1.4, 0, 1.2})) << frame;
    if (frame % 13 == 0) {
      const Command wish = commands[frame / 13 % 4];
      generator.update_commands(all_of(1), std::vector<Command>{wish});
      ASSERT_EQ(row(generator, 0), now) << "the frame at the change stays";
      EXPECT_EQ(generator.command(0), wish);

      // one frame of a roll-out from here is the next
      CmgRollout rollout(circling_model());
      rollout.resize(1);
      rollout.continue_from(0, now.data(), before.data(), {});
      Row made(2 * kSmallWidth);
      float in_force[3];
      for (int i : {0, 1})
        rollout.advance(all_of(1), &wish, &made[i * kSmallWidth], kSmallWidth, in_force, 3);
      generator.advance(all_of(1));
      ++frame;
      for (int joint = 0; joint < kSmallJoints; ++joint)
        ASSERT_NEAR(row(generator, 0)[joint], made[kSmallWidth + joint], 1e-6) << frame;
    }
    before = row(generator, 0);
  }
}

TEST_P(CmgMotion, AnUnchangedCommandChangesNothing) {
  CmgMotionGenerator generator = make(settings(2)), untouched = make(settings(2));
  const std::vector<Command> commands = {{0.5, 0, 0.2}, {0.3, 0, -0.4}};
  for (auto* g : {&generator, &untouched}) g->reset(all_of(2), commands, {});
  for (int frame = 0; frame < 120; ++frame) {
    generator.update_commands(all_of(2), commands);
    for (int id : {0, 1}) ASSERT_EQ(row(generator, id), row(untouched, id)) << frame;
    for (auto* g : {&generator, &untouched}) g->advance(all_of(2));
  }
  EXPECT_EQ(generator.generated_frames(), untouched.generated_frames());
}

TEST_P(CmgMotion, ResetsToStandingOrToAGivenFrame) {
  CmgMotionGenerator generator = make(settings(3));
  const std::vector<Command> commands(3, {0.5, 0, 0.3});
  generator.reset(all_of(3), commands, {});
  for (int i = 0; i < 30; ++i) generator.advance(all_of(3));
  const Row third = row(generator, 2);
  Row given = generator.standing_frame();
  given[0] = 0.1f;
  generator.reset(std::vector<int>{1}, {}, given);
  EXPECT_EQ(row(generator, 1), given);
  EXPECT_EQ(generator.command(1), commands[1]) << "no commands: as before";
  generator.reset(std::vector<int>{0}, std::vector<Command>{{}}, {});
  EXPECT_EQ(row(generator, 0), generator.standing_frame());
  EXPECT_EQ(row(generator, 2), third);
  for (int i = 0; i < 30; ++i) generator.advance(std::vector<int>{0});
  EXPECT_EQ(row(generator, 0), generator.standing_frame());
}

TEST_P(CmgMotion, SwitchingTheModeKeepsTheCurrentFrames) {
  const std::string mode = GetParam(), other = mode == "realtime" ? "pregenerated" : "realtime";
  CmgMotionGenerator generator = make(settings(3)), untouched = make(settings(3));
  const std::vector<Command> commands = {{0.5, 0, 0.2}, {}, {0.3, 0, -0.4}};
  for (auto* g : {&generator, &untouched}) g->reset(all_of(3), commands, {});
  for (int i = 0; i < 25; ++i) {
    for (auto* g : {&generator, &untouched}) g->advance(all_of(3));
  }
  const std::size_t bytes = generator.ring_bytes();
  generator.switch_mode(other);
  EXPECT_EQ(generator.settings().mode, other);
  EXPECT_NE(generator.ring_bytes(), bytes);
  for (int id = 0; id < 3; ++id) {
    EXPECT_EQ(row(generator, id), row(untouched, id));
    EXPECT_EQ(generator.command(id), commands[id]);
  }
  // and the motion goes on as if nothing had happened
  for (int frame = 0; frame < 80; ++frame) {
    for (int id = 0; id < 3; ++id) ASSERT_LT(jump(row(generator, id), row(untouched, id)), 1e-4);
    for (auto* g : {&generator, &untouched}) g->advance(all_of(3));
  }
  const Row now = row(generator, 0);
  generator.switch_mode(other);  // no change
  EXPECT_EQ(row(generator, 0), now);
  EXPECT_NE(error_of([&] { generator.switch_mode("both"); }).find("not 'both'"), std::string::npos);
}

TEST_P(CmgMotion, WhoStandsStandsOn) {
  // this model does not stand by itself
  CmgMotionGenerator generator = make(settings(2), small_model());
  const Row standing = generator.standing_frame();
  const auto expect_still = [&] {
    for (int frame = 0; frame < 80; ++frame) {
      for (int id : {0, 1}) ASSERT_LT(jump(row(generator, id), standing), 1e-6) << frame;
      generator.advance(all_of(2));
    }
  };
  expect_still();
  generator.switch_mode(std::string(GetParam()) == "realtime" ? "pregenerated" : "realtime");
  expect_still();
  Row given = standing;
  given.insert(given.end(), standing.begin(), standing.end());
  generator.reset(all_of(2), {}, given);
  expect_still();
}

TEST_P(CmgMotion, RefusesInOneSentence) {
  CmgMotionGenerator generator = make(settings(2));
  const std::string told = error_of([&] { generator.read(1, -30); });
  EXPECT_NE(told.find("environment 1"), std::string::npos) << told;
  EXPECT_NE(told.find("not -30"), std::string::npos) << told;
  EXPECT_ANY_THROW(generator.read(2));
  CmgMotionSettings greedy = settings(1);
  greedy.look_ahead = 11;
  EXPECT_NE(error_of([&] { make(greedy); }).find("look_ahead 11"), std::string::npos);
}

// bytes that the C library has handed out
std::size_t memory_in_use() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

TEST_P(CmgMotion, ReadingAllocatesNothing) {
  CmgMotionSettings many = settings(4096);
  many.preload_duration = 99;
  CmgMotionGenerator generator = make(many);
  std::vector<Command> commands(4096, {0.5, 0, 0.3});
  generator.reset(all_of(4096), commands, {});
  float sum = 0;
  const std::size_t before = memory_in_use();
  for (int id = 0; id < 4096; ++id) sum += generator.read(id)[0];
  EXPECT_EQ(memory_in_use(), before);
  EXPECT_TRUE(std::isfinite(sum));
}

// --- what only one mode has ---

TEST(CmgMotionGenerator, TheLoopHasNoSeam) {
  CmgMotionGenerator generator = make(settings_of("pregenerated", 2));
  const std::vector<Command> commands = {{0.5, 0, 0.3}, {1.0, 0, -1.0}};
  generator.reset(all_of(2), commands, {});
  std::vector<Row> before = {row(generator, 0), row(generator, 1)};
  for (int frame = 1; frame < 1000; ++frame) {  // round five times and more
    generator.advance(all_of(2));
    for (int id = 0; id < 2; ++id) {
      const Row now = row(generator, id);
      ASSERT_LT(jump(before[id], now), 1.02 * circle_step(commands[id])) << frame;
      // the step of the circle is seen from one of two axes
      ASSERT_GT(jump(before[id], now), 0.65 * circle_step(commands[id])) << frame;
      before[id] = now;
    }
  }
  EXPECT_EQ(generator.generated_frames(), 2 * 2 * 190);  // at first standing, then once more
}

TEST(CmgMotionGenerator, ALoopOfMotionThatNeverRepeatsIsFadedTogether) {
  // a spiral: without the fade, the loop would jump from a small circle to a large one
  CmgMotionGenerator generator = make(settings_of("pregenerated", 1), circling_model("full", 0.99));
  generator.reset(all_of(1), std::vector<Command>{{1.0, 0, 0}}, {});
  constexpr int kLoop = 95;  // or later; steps become ever smaller until then
  double allowed = 0;
  Row before = row(generator, 0);
  for (int frame = 1; frame < 1000; ++frame) {
    generator.advance(all_of(1));
    const Row now = row(generator, 0);
    if (frame > kLoop - 10 && frame <= kLoop) allowed = std::max(allowed, jump(before, now));
    if (frame > kLoop) {
      ASSERT_LE(jump(before, now), allowed) << frame;
    }
    before = now;
  }
  EXPECT_GT(allowed, 1e-3);
}

TEST(CmgMotionGenerator, RealtimeMakesFramesAsTheyAreNeeded) {
  for (const int look_ahead : {0, 3, 10}) {  // up to half of the ring
    SCOPED_TRACE(look_ahead);
    CmgMotionSettings settings = settings_of("realtime", 2);
    settings.look_ahead = look_ahead;
    CmgMotionGenerator generator = make(settings);
    const std::vector<Command> commands = {{0.5, 0, 0.2}, {0.3, 0, -0.4}};
    generator.reset(all_of(2), commands, {});
    const std::int64_t start = generator.generated_frames();
    Row before;
    for (int frame = 0; frame < 500; ++frame) {
      for (int offset = 0; offset <= look_ahead; ++offset)
        ASSERT_NO_THROW(generator.read(1, offset)) << frame;
      if (frame > 0) {
        ASSERT_EQ(row(generator, 1, -1), before) << "the frame before stays";
      }
      before = row(generator, 1);
      generator.advance(all_of(2));
    }
    const double each = double(generator.generated_frames() - start) / 2;
    EXPECT_GE(each, 500);
    EXPECT_LE(each, 500 + settings.buffer_size);
    EXPECT_THROW(generator.read(0, 20), UserError);
  }
}

TEST(CmgMotionGenerator, CommandsThatChangeEveryStepCostAFrameEach) {
  CmgMotionGenerator generator = make(settings_of("realtime", 4));
  generator.reset(all_of(4), std::vector<Command>(4, {0.5, 0, 0}), {});
  const std::int64_t start = generator.generated_frames();
  Row before = row(generator, 0);
  for (int frame = 0; frame < 200; ++frame) {
    std::vector<Command> commands(4, {0.501 + 1e-3 * frame, 0, 0});
    generator.update_commands(all_of(4), commands);
    generator.advance(all_of(4));
    const Row now = row(generator, 0);
    ASSERT_NE(now, before) << "motion does not freeze";
    ASSERT_LT(jump(before, now), circle_step({1.5, 0, 0}));
    before = now;
  }
  EXPECT_EQ(generator.generated_frames() - start, 4 * 200);
}

TEST(CmgMotionGenerator, RemembersTheLastHundredTimes) {
  CmgMotionGenerator generator = make(settings_of("realtime", 1));
  EXPECT_EQ(generator.generation_ms().size(), 1u);
  for (int i = 0; i < 150; ++i) {
    generator.update_commands(all_of(1), std::vector<Command>{{0.01 * (i % 7 + 1), 0, 0}});
    generator.advance(all_of(1));
  }
  EXPECT_EQ(generator.generation_ms().size(), 100u);
  for (const double ms : generator.generation_ms()) EXPECT_GE(ms, 0);
}

}  // namespace
}  // namespace twist
