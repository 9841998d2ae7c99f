#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "motion/reference.h"
#include "motion_values.h"

namespace twist {
namespace {

constexpr int kJoints = 4, kWidth = 20;

// every number of the motion tells where it is
void number(Trajectories& motion) {
  for (int stream = 0; stream < motion.streams; ++stream) {
    for (int frame = 0; frame < motion.lengths[stream]; ++frame) {
      for (int i = 0; i < kWidth; ++i) motion.row(stream, frame)[i] = 1000 * stream + frame;
      for (int i = 0; i < 3; ++i) motion.command(stream, frame)[i] = -1000 * stream - frame;
    }
  }
}

// --- trajectories ---

TEST(Trajectories, GeneratedMotionIsOneBlockOfZeros) {
  Trajectories motion(3, 5, kJoints);
  EXPECT_EQ(motion.width(), kWidth);
  EXPECT_EQ(motion.lengths, (std::vector<int>(3, 5)));
  EXPECT_EQ(motion.weights, (std::vector<double>(3, 1.0)));
  EXPECT_EQ(all_rows(motion), std::vector<float>(3 * 5 * kWidth));
  EXPECT_EQ(motion.row(2, 4) - motion.row(0, 0), 14 * kWidth);
  EXPECT_EQ(motion.command(2, 4) - motion.command(0, 0), 14 * 3);
  EXPECT_EQ(motion.target(2, 4) - motion.target(0, 0), 14 * 3);
  EXPECT_FALSE(motion.is_recorded(0));
  number(motion);
  EXPECT_EQ(motion.row(1, 3)[kWidth - 1], 1003);
  EXPECT_EQ(motion.target(1, 3)[0], 0) << "a target is not the command in force";
}

TEST(Trajectories, RecordedMotionTakesOnlyItsFrames) {
  Trajectories motion({3, 7, 2}, kJoints);
  EXPECT_EQ(motion.streams, 3);
  EXPECT_EQ(motion.frames, 7);
  EXPECT_EQ(motion.row(1, 0), motion.row(0, 0) + 3 * kWidth);
  EXPECT_EQ(motion.row(2, 0), motion.row(1, 0) + 7 * kWidth);
  EXPECT_EQ(motion.command(2, 1), motion.command(0, 0) + 11 * 3);
  number(motion);
  EXPECT_TRUE(motion.is_recorded(1));
  EXPECT_EQ(motion.target(1, 6)[2], -1006) << "the target is the command in force";
  EXPECT_EQ(motion.row(2, 1)[0], 2001);
}

TEST(Trajectories, MappedMemoryIsUsedInPlaceAndKeptAlive) {
  auto memory = std::make_shared<std::vector<float>>(9 * (kWidth + 3), 0.0f);
  float* rows = memory->data();
  const std::weak_ptr<std::vector<float>> watch = memory;
  auto motion = std::make_unique<Trajectories>(std::vector<int>{4, 5}, kJoints, rows,
                                               rows + 9 * kWidth, std::move(memory));
  EXPECT_EQ(motion->row(1, 0), rows + 4 * kWidth);
  rows[6 * kWidth + 1] = 42;
  EXPECT_EQ(motion->row(1, 2)[1], 42);

  // a copy and a collection that it joined hold the memory, too
  auto copy = std::make_unique<Trajectories>(*motion);
  auto all = std::make_unique<Trajectories>();
  all->append(*motion);
  motion.reset();
  EXPECT_EQ(copy->row(1, 2)[1], 42);
  EXPECT_EQ(copy->row(1, 2), all->row(1, 2));
  EXPECT_FALSE(watch.expired());
  copy.reset();
  EXPECT_FALSE(watch.expired());
  all.reset();
  EXPECT_TRUE(watch.expired());
}

TEST(Trajectories, AppendJoinsStreamsAndMultipliesWeights) {
  Trajectories first(2, 6, kJoints), second({9, 3}, kJoints), all;
  first.weights = {1, 2};
  second.weights = {3, 0.5};
  number(first);
  number(second);
  all.append(first);
  all.append(second, 4);
  EXPECT_EQ(all.joints, kJoints);
  EXPECT_EQ(all.streams, 4);
  EXPECT_EQ(all.frames, 9);
  EXPECT_EQ(all.lengths, (std::vector<int>{6, 6, 9, 3}));
  EXPECT_EQ(all.weights, (std::vector<double>{1, 2, 12, 2}));
  EXPECT_EQ(all.row(1, 5)[0], 1005);
  EXPECT_EQ(all.row(3, 2)[0], 1002);
  EXPECT_EQ(all.row(3, 2), second.row(1, 2)) << "rows are shared, not copied";
  EXPECT_EQ(all.target(2, 8)[0], -8);
  EXPECT_FALSE(all.is_recorded(0));
  EXPECT_TRUE(all.is_recorded(2));
  EXPECT_THROW(all.append(Trajectories(1, 5, kJoints + 1)), UserError);
  EXPECT_EQ(all.streams, 4);
}

// --- commands ---

TEST(Commands, TheSidesShrinkAboveTheFastSpeed) {
  CommandSettings settings;
  settings.vx = {-1, 2};
  settings.fast_from = 1;
  EXPECT_EQ(side_share(settings, -1), 1);
  EXPECT_EQ(side_share(settings, 1), 1);
  EXPECT_NEAR(side_share(settings, 1.25), 0.75, 1e-12);
  EXPECT_NEAR(side_share(settings, 1.9), 0.1, 1e-12);
  EXPECT_EQ(side_share(settings, 2), 0);
  EXPECT_EQ(side_share(settings, 3), 0) << "never negative";
  settings.fast_from = 2;
  EXPECT_EQ(side_share(settings, 2), 1) << "nothing shrinks if all is slow";
}

TEST(Commands, SupportedIsTheBoxWithoutItsFastSides) {
  CommandSettings settings;
  settings.vx = {-1, 2};
  settings.vy = {-0.5, 0.25};
  settings.wz = {-1, 0.5};
  settings.fast_from = 1;
  for (const Command& in :
       {Command{}, {-1, -0.5, 0.5}, {1, 0.25, -1}, {1.5, 0.125, -0.5}, {2, 0, 0}}) {
    EXPECT_TRUE(supports(settings, in)) << in.vx << " " << in.vy << " " << in.wz;
  }
  for (const Command& out : {Command{-1.1, 0, 0},
                             {2.1, 0, 0},
                             {0, -0.51, 0},
                             {0, 0.26, 0},
                             {0, 0, 0.6},
                             {1.5, 0.13, 0},
                             {1.5, 0, -0.51},
                             {2, 0.01, 0}}) {
    EXPECT_FALSE(supports(settings, out)) << out.vx << " " << out.vy << " " << out.wz;
  }
}

TEST(Commands, DrawsAreSupportedAndHaveTheirShares) {
  const CommandSettings settings;
  constexpr int kCount = 40000;
  int stand = 0, straight = 0, sideways = 0, turn = 0, two = 0, fast = 0;
  for (int i = 0; i < kCount; ++i) {
    Random random(3, i, 0, Purpose::kCommand);
    const Command c = sample_command(settings, random);
    ASSERT_TRUE(supports(settings, c)) << c.vx << " " << c.vy << " " << c.wz;
    const int kind = (c.vx != 0) + 2 * (c.vy != 0) + 4 * (c.wz != 0);
    stand += kind == 0;
    straight += kind == 1;
    sideways += kind == 2;
    turn += kind == 4;
    two += kind == 3 || kind == 5;
    fast += c.vx > settings.fast_from;
  }
  // five deviations of a binomial number
  const auto share = [&](int count) { return double(count) / kCount; };
  EXPECT_NEAR(share(stand), 0.15, 0.009);
  EXPECT_NEAR(share(straight), 0.2, 0.01);
  EXPECT_NEAR(share(sideways), 0.08, 0.007);
  EXPECT_NEAR(share(turn), 0.08, 0.007);
  EXPECT_NEAR(share(two), (1 - 0.15 - 0.2 - 0.08 - 0.08) * 0.3, 0.009);
  EXPECT_NEAR(share(fast), (0.2 + 0.49) * 0.5 / 2.15, 0.01);
}

TEST(Commands, PlansAreAFunctionOfTheirArguments) {
  const CommandSettings settings;
  const CommandPlan plan = random_plan(settings, 5, 400, 9),
                    more = random_plan(settings, 8, 300, 9);
  const CommandPlan other = random_plan(settings, 5, 400, 10);
  int differences = 0;
  for (int stream = 0; stream < 5; ++stream) {
    for (int frame = 0; frame < 300; ++frame) {
      ASSERT_EQ(plan.at(stream, frame), more.at(stream, frame)) << stream << " " << frame;
      differences += !(plan.at(stream, frame) == other.at(stream, frame));
    }
  }
  EXPECT_GT(differences, 500);
  CommandSettings wrong;
  wrong.vy = {0.3, -0.3};
  EXPECT_THROW(random_plan(wrong, 1, 10, 1), UserError);
}

}  // namespace
}  // namespace twist
