#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "base/error.h"
#include "error_of.h"
#include "motion/commands.h"

namespace twist {
namespace {

using Rows = std::vector<float>;
using Envs = std::vector<std::int64_t>;
const Envs kOnly = {0};

// --- the smoother ---

// What the seed's smoother reaches: it blends the smoothed value again and again.
constexpr double kSeed[] = {0, .040, .117, .223, .347, .478, .603, .714};

TEST(CommandSmoother, IsAStraightRamp) {
  CommandSmoother smoother(1);
  smoother.set_target(Rows{1, -2, 0.5}, kOnly);
  double seed_share = 0;
  for (int k = 1; k <= 30; ++k) {
    smoother.advance(kOnly);
    const double share = std::min(1.0, k / 25.0);
    EXPECT_NEAR(smoother.current()[0], share, 1e-6) << k;
    EXPECT_NEAR(smoother.current()[1], -2 * share, 1e-6) << k;
    EXPECT_NEAR(smoother.current()[2], 0.5 * share, 1e-6) << k;

    // the golden numbers are those of the formula that must not come back
    seed_share += (1 - seed_share) * std::min(1.0, (k - 1) / 25.0);
    if (k <= 8) {
      EXPECT_NEAR(seed_share, kSeed[k - 1], 5e-4);
    }
    if (k == 8) {
      EXPECT_GT(seed_share - share, 0.3);
    }
  }
  EXPECT_EQ(smoother.current(), (Rows{1, -2, 0.5}));
}

TEST(CommandSmoother, TheSameTargetEachStepDoesNotFreezeIt) {
  CommandSmoother smoother(1, 10);
  for (int k = 1; k <= 10; ++k) {
    smoother.set_target(Rows{0.7f, 0, 0}, kOnly);
    smoother.advance(kOnly);
    EXPECT_NEAR(smoother.current()[0], 0.07 * k, 1e-6);
  }
}

TEST(CommandSmoother, ANewTargetStartsFromThePresentCommand) {
  CommandSmoother smoother(1, 4);
  smoother.set_target(Rows{1, 0, 0}, kOnly);
  smoother.advance(kOnly);  // 0.25
  smoother.set_target(Rows{-0.75, 0, 0}, kOnly);
  EXPECT_EQ(smoother.current()[0], 0.25f);
  for (const float expected : {0.0f, -0.25f, -0.5f, -0.75f, -0.75f}) {
    smoother.advance(kOnly);
    EXPECT_NEAR(smoother.current()[0], expected, 1e-6);
  }
}

TEST(CommandSmoother, OnlyTheNamedEnvironmentsMove) {
  CommandSmoother smoother(3, 2);
  smoother.set_target(Rows{3, 0, 0, 1, 0, 0}, Envs{2, 0});
  smoother.advance(Envs{2, 1});
  EXPECT_EQ(smoother.current(), (Rows{0, 0, 0, 0, 0, 0, 1.5, 0, 0}));
  smoother.advance(smoother.all());
  EXPECT_EQ(smoother.current(), (Rows{0.5, 0, 0, 0, 0, 0, 3, 0, 0}));
  EXPECT_EQ(smoother.target(), (Rows{1, 0, 0, 0, 0, 0, 3, 0, 0}));

  smoother.reset(Rows{0.25, 0, 0}, Envs{2});
  smoother.advance(smoother.all());
  EXPECT_EQ(smoother.current(), (Rows{1, 0, 0, 0, 0, 0, 0.25, 0, 0}));
}

TEST(CommandSmoother, RefusesWhatIsNotACommand) {
  CommandSmoother smoother(2);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(smoother.set_target(Rows{0, nan, 0}, kOnly), UserError);
  EXPECT_THROW(smoother.reset(Rows{0, 0}, kOnly), UserError);
  for (const auto& envs : {Envs{2}, {-1}, {1, 1}}) {
    EXPECT_THROW(smoother.advance(envs), UserError);
    EXPECT_THROW(smoother.reset(Rows(3 * envs.size()), envs), UserError);
  }
  EXPECT_EQ(smoother.current(), Rows(6));
  EXPECT_THROW(CommandSmoother(-1), UserError);
  EXPECT_THROW(CommandSmoother(1, 0), UserError);
}

// --- the sampler ---

const CommandSet kWide({-2, 4}, {-1, 1}, {-1, 1});

CommandSampler sampler(std::uint64_t seed = 1) { return {kWide, kWide, seed}; }

// smallest and largest value of an axis
Interval extent(const Rows& rows, int axis) {
  Interval found = {rows[axis], rows[axis]};
  for (std::size_t i = axis; i < rows.size(); i += 3) {
    found = {std::min<double>(found[0], rows[i]), std::max<double>(found[1], rows[i])};
  }
  return found;
}

// The values of an axis lie in an interval and come close to both of its ends.
void expect_fills(const Rows& rows, int axis, const Interval& interval) {
  const Interval found = extent(rows, axis);
  const double slack = 0.01 * (interval[1] - interval[0]) + 1e-6;
  EXPECT_NEAR(found[0], interval[0], slack) << axis;
  EXPECT_NEAR(found[1], interval[1], slack) << axis;
  EXPECT_GE(found[0], interval[0] - 1e-6);
  EXPECT_LE(found[1], interval[1] + 1e-6);
}

void expect_fills(const Rows& rows, const CommandSet& set) {
  for (int axis = 0; axis < 3; ++axis) expect_fills(rows, axis, set[axis]);
}

double mean(const Rows& rows, int axis) {
  double sum = 0;
  for (std::size_t i = axis; i < rows.size(); i += 3) sum += rows[i];
  return sum / (rows.size() / 3);
}

double variance(const Rows& rows, int axis) {
  const double middle = mean(rows, axis);
  double sum = 0;
  for (std::size_t i = axis; i < rows.size(); i += 3)
    sum += (rows[i] - middle) * (rows[i] - middle);
  return sum / (rows.size() / 3);
}

TEST(CommandSampler, UniformFillsItsRangesEvenly) {
  const Rows rows = sampler().uniform(20000);
  expect_fills(rows, kWide);
  EXPECT_NEAR(mean(rows, 0), 1, 0.05);
  EXPECT_NEAR(variance(rows, 0), 36.0 / 12, 0.08);  // width^2 / 12
  double product = 0;
  for (std::size_t i = 0; i < rows.size(); i += 3) product += (rows[i] - 1) * rows[i + 1];
  EXPECT_NEAR(product / 20000, 0, 0.03) << "axes must not depend on each other";
}

TEST(CommandSampler, IsAFunctionOfTheSeedAndTheNumberOfTheCommand) {
  CommandSampler whole = sampler(7), parts = sampler(7), other = sampler(8);
  const Rows expected = whole.uniform(10);
  Rows rows = parts.uniform(4);
  const Rows rest = parts.uniform(6);
  EXPECT_FALSE(std::equal(rest.begin(), rest.begin() + 12, rows.begin()));
  rows.insert(rows.end(), rest.begin(), rest.end());
  EXPECT_EQ(rows, expected);
  EXPECT_NE(other.uniform(10), expected);
  EXPECT_EQ(parts.drawn, 10u);
  parts.drawn = 4;
  EXPECT_EQ(parts.uniform(6), rest);

  // the numbers are those of the project's random streams
  Random random(7, 3, 0, Purpose::kSampler);
  EXPECT_EQ(expected[9], static_cast<float>(random.uniform(-2, 4)));

  const Rows sequences = sampler(7).sequence(30, 10, "uniform", 5);
  CommandSampler cut = sampler(7);
  Rows joined = cut.sequence(30, 10, "uniform", 2);
  const Rows more = cut.sequence(30, 10, "uniform", 3);
  joined.insert(joined.end(), more.begin(), more.end());
  EXPECT_EQ(joined, sequences);
}

TEST(CommandSampler, TheCurriculumBeginsStraightAhead) {
  CommandSampler s = sampler();
  expect_fills(s.curriculum(0, 2000), CommandSet({0, 2}, {0, 0}, {0, 0}));
  expect_fills(s.curriculum(0.5, 2000), CommandSet({-1, 3}, {-0.5, 0.5}, {-0.5, 0.5}));
  expect_fills(s.curriculum(1, 2000), kWide);
  CommandSampler fast({{1, 3}, {0.2, 0.4}, {-1, -0.5}}, kWide, 1);
  expect_fills(fast.curriculum(0, 2000), CommandSet({1, 2}, {0.2, 0.2}, {-0.5, -0.5}));
  for (const double wrong : {-0.1, 1.1, std::nan("")}) {
    EXPECT_THROW(s.curriculum(wrong, 1), UserError);
  }
}

TEST(CommandSampler, PresetsAreTheirTable) {
  CommandSampler s = sampler();
  const std::vector<std::pair<std::string, CommandSet>> table = {
      {"forward", {{0.5, 2.5}, {0, 0}, {0, 0}}},
      {"backward", {{-1.3, -0.3}, {0, 0}, {0, 0}}},
      {"turn_left", {{0, 0}, {0, 0}, {0.2, 0.7}}},
      {"turn_right", {{0, 0}, {0, 0}, {-0.7, -0.2}}},
      {"strafe_left", {{0, 0.5}, {0.3, 0.8}, {0, 0}}},
      {"strafe_right", {{0, 0.5}, {-0.8, -0.3}, {0, 0}}},
      {"forward_turn", {{0.5, 2}, {0, 0}, {-0.4, 0.4}}},
      {"stand", {{0, 0}, {0, 0}, {0, 0}}},
      {"stage1_basic", {{0.3, 2}, {0, 0}, {0, 0}}},
      {"stage2_turn", {{0.3, 2}, {0, 0}, {-0.5, 0.5}}},
      {"stage3_strafe", {{0, 2}, {-0.5, 0.5}, {-0.5, 0.5}}},
      {"stage4_mixed", {{-1, 3}, {-0.8, 0.8}, {-0.8, 0.8}}},
      {"mixed", kWide}};
  ASSERT_EQ(CommandSampler::presets().size(), table.size());
  for (const auto& [name, set] : table) {
    SCOPED_TRACE(name);
    expect_fills(s.preset(name, 2000), set);
  }
}

TEST(CommandSampler, KeepsToWhatIsSupported) {
  const CommandSet supported({0.1, 0.8}, {-0.5, 0.1}, {-0.3, 0.3});
  CommandSampler s(kWide, supported, 1);
  expect_fills(s.uniform(2000), supported);
  expect_fills(s.preset("mixed", 2000), supported);
  expect_fills(s.preset("forward_turn", 2000), CommandSet({0.5, 0.8}, {0, 0}, {-0.3, 0.3}));
  expect_fills(s.distribution("normal", {}, std::array<double, 3>{9, 9, 9}, 2000), supported);
  EXPECT_EQ(error_of([&] { s.preset("backward", 1); }),
            "preset 'backward' asks for vx in [-1.3, -0.3], but supported is [0.1, 0.8]");
  EXPECT_EQ(error_of([&] { s.sequence(10, 5, "preset:strafe_left", 1); }),
            "preset 'strafe_left' asks for vy in [0.3, 0.8], but supported is [-0.5, 0.1]");
  EXPECT_THROW(CommandSampler({{2, 3}, {0, 0}, {0, 0}}, supported, 1), UserError);
  const CommandSettings settings;
  const CommandSet usual;
  for (int i : {0, 1}) {
    EXPECT_EQ(usual.vx[i], settings.vx[i]);
    EXPECT_EQ(usual.vy[i], settings.vy[i]);
    EXPECT_EQ(usual.wz[i], settings.wz[i]);
  }
}

double phi(double z) { return std::exp(-0.5 * z * z) / std::sqrt(2 * M_PI); }
double cdf(double z) { return 0.5 * std::erfc(-z / std::sqrt(2.0)); }

TEST(CommandSampler, TheTruncatedNormalIsOne) {
  CommandSampler s = sampler();
  // off-centre, narrow, and much wider than the range
  const std::array<double, 3> centre = {3, 0.2, -0.9}, spread = {1.5, 0.1, 5};
  constexpr int kCount = 60000;
  const Rows rows = s.distribution("truncated_normal", centre, spread, kCount);
  for (int axis = 0; axis < 3; ++axis) {
    SCOPED_TRACE(axis);
    const double mu = centre[axis], sigma = spread[axis];
    const double a = (kWide[axis][0] - mu) / sigma, b = (kWide[axis][1] - mu) / sigma;
    const double mass = cdf(b) - cdf(a), shift = (phi(a) - phi(b)) / mass;
    const double expected = sigma * sigma * (1 + (a * phi(a) - b * phi(b)) / mass - shift * shift);
    const double error = std::sqrt(expected / kCount);
    EXPECT_NEAR(mean(rows, axis), mu + sigma * shift, 4 * error);
    EXPECT_NEAR(variance(rows, axis), expected, 0.03 * expected);

    // the share below a few places, among them some near the ends, where heaps would be
    for (const double place : {0.01, 0.25, 0.5, 0.75, 0.99}) {
      const double z = a + place * (b - a);
      double below = 0;
      for (std::size_t i = axis; i < rows.size(); i += 3) below += rows[i] < mu + sigma * z;
      const double share = (cdf(z) - cdf(a)) / mass;
      EXPECT_NEAR(below / kCount, share, 4 * std::sqrt(share * (1 - share) / kCount) + 1e-9);
    }
  }
}

TEST(CommandSampler, TheClippedNormalHeapsAtTheEnds) {
  CommandSampler s = sampler();
  const Rows rows = s.distribution("normal", std::array<double, 3>{3, 0, 0},
                                   std::array<double, 3>{1, 0.1, 0}, 20000);
  double at_end = 0;
  for (std::size_t i = 0; i < rows.size(); i += 3) at_end += rows[i] == 4.0f;
  EXPECT_NEAR(at_end / 20000, 1 - cdf(1), 0.01);
  EXPECT_NEAR(mean(rows, 1), 0, 0.003);
  EXPECT_NEAR(variance(rows, 1), 0.01, 0.0005);
  EXPECT_EQ(extent(rows, 2), (Interval{0, 0}));

  // by default: the middle of the range, and a quarter of its width
  const Rows usual = s.distribution("truncated_normal", {}, {}, 20000);
  EXPECT_NEAR(mean(usual, 0), 1, 0.04);
  EXPECT_NEAR(variance(usual, 0), 1.5 * 1.5 * (1 - 4 * phi(2) / (cdf(2) - cdf(-2))), 0.05);
}

TEST(CommandSampler, SequencesRunStraightFromKeyToKey) {
  const int duration = 125, interval = 50;
  const Rows rows = sampler(3).sequence(duration, interval, "uniform", 4);
  ASSERT_EQ(rows.size(), 4u * duration * 3);
  for (int env = 0; env < 4; ++env) {
    Command keys[3];
    for (int key = 0; key < 3; ++key) {
      Random random(3, env, key, Purpose::kSampler);
      keys[key].vx = random.uniform(-2, 4);
      keys[key].vy = random.uniform(-1, 1);
      keys[key].wz = random.uniform(-1, 1);
    }
    for (int frame = 0; frame < duration; ++frame) {
      const int key = frame / interval;
      const double u = key == 2 ? 0 : (frame - key * interval) / double(interval);
      const Command &a = keys[key], &b = keys[std::min(2, key + 1)];
      const float* row = &rows[(std::size_t(env) * duration + frame) * 3];
      EXPECT_NEAR(row[0], a.vx + u * (b.vx - a.vx), 1e-6) << frame;
      EXPECT_NEAR(row[1], a.vy + u * (b.vy - a.vy), 1e-6) << frame;
      EXPECT_NEAR(row[2], a.wz + u * (b.wz - a.wz), 1e-6) << frame;
    }
  }
}

TEST(CommandSampler, SequencesHaveModes) {
  const Rows easy = sampler().sequence(101, 100, "curriculum", 1000);
  Rows first, last;
  for (int env = 0; env < 1000; ++env) {
    const float* row = &easy[std::size_t(env) * 303];
    first.insert(first.end(), row, row + 3);
    last.insert(last.end(), row + 300, row + 303);
  }
  expect_fills(first, CommandSet({0, 2}, {0, 0}, {0, 0}));
  expect_fills(last, kWide);
  expect_fills(sampler().sequence(100, 1, "preset:turn_left", 30),
               CommandSet({0, 0}, {0, 0}, {0.2, 0.7}));
}

TEST(CommandSampler, SaysWhatThereIs) {
  CommandSampler s = sampler();
  EXPECT_NE(error_of([&] { s.preset("forwards", 1); }).find("there are forward, backward"),
            std::string::npos);
  EXPECT_NE(error_of([&] { s.sequence(9, 3, "mixed", 1); }).find("preset:<name>"),
            std::string::npos);
  EXPECT_NE(error_of([&] { s.distribution("beta", {}, {}, 1); }).find("truncated_normal"),
            std::string::npos);
  using Axes = std::array<double, 3>;
  EXPECT_NE(error_of([&] {
              s.distribution("normal", Axes{5, 0, 0}, {}, 1);
            }).find("[-2, 4]"),
            std::string::npos);
  EXPECT_THROW(s.distribution("normal", {}, Axes{1, -1, 1}, 1), UserError);
  EXPECT_THROW(s.uniform(-1), UserError);
  EXPECT_THROW(s.sequence(0, 1, "uniform", 1), UserError);
  EXPECT_THROW(s.sequence(1, 0, "uniform", 1), UserError);
  EXPECT_THROW(CommandSet({1, 0}, {0, 0}, {0, 0}), UserError);
  EXPECT_THROW(CommandSet({0, 0}, {0, 0}, {0, -1}), UserError);
  EXPECT_THROW(CommandSet({0, INFINITY}, {0, 0}, {0, 0}), UserError);
  EXPECT_EQ(s.drawn, 0u) << "what fails draws nothing";
}

TEST(CommandSampler, FastCommandsGoNearlyStraight) {
  CommandSampler sampler(CommandSet{}, CommandSet{}, 3);
  const CommandSettings set;
  const std::vector<float> rows = sampler.uniform(2000);
  int fast = 0;
  for (int i = 0; i < 2000; ++i) {
    const float* c = &rows[3 * std::size_t(i)];
    ASSERT_TRUE(supports(set, {c[0], c[1], c[2]})) << c[0] << " " << c[1] << " " << c[2];
    fast += c[0] > 1.3;
  }
  EXPECT_GT(fast, 50);
}

TEST(StageCommands, NarrowTheRangesAsFarAsTheyAreWalked) {
  CommandSettings settings;
  settings.vx = {-0.6, 1.55};
  settings.vy = {-0.35, 0.35};
  settings.wz = {-0.9, 0.9};
  settings.hold_s = {1, 2};
  settings.stand_share = 0.25;
  const CommandSettings stage = stage_commands(settings, "stage3_strafe");
  EXPECT_EQ(stage.vx, (std::vector<double>{0, 1.55}));
  EXPECT_EQ(stage.vy, (std::vector<double>{-0.35, 0.35}));
  EXPECT_EQ(stage.wz, (std::vector<double>{-0.5, 0.5}));
  EXPECT_EQ(stage.hold_s, settings.hold_s) << "the rest is as it was";
  EXPECT_EQ(stage.stand_share, 0.25);
  EXPECT_EQ(stage.fast_from, settings.fast_from);
  EXPECT_EQ(stage_commands(settings, "backward").vx, (std::vector<double>{-0.6, -0.3}));
  EXPECT_EQ(stage_commands(settings, "stage1_basic").wz, (std::vector<double>{0, 0}));

  // what is drawn in a stage is walked
  for (const std::string& preset : CommandSampler::presets()) {
    if (preset == "strafe_left" || preset == "strafe_right") settings.vy = {-0.5, 0.5};
    const CommandSettings narrow = stage_commands(settings, preset);
    for (int i = 0; i < 300; ++i) {
      Random random(2, i, 0, Purpose::kCommand);
      const Command command = sample_command(narrow, random);
      ASSERT_TRUE(supports(settings, command)) << preset << " " << command.vx << " " << command.vy;
    }
  }
}

TEST(StageCommands, KnowThePresetsOfTheSampler) {
  CommandSettings settings;
  const CommandSettings mixed = stage_commands(settings, "mixed");
  EXPECT_EQ(mixed.vx, settings.vx);
  EXPECT_EQ(mixed.vy, settings.vy);
  EXPECT_EQ(mixed.wz, settings.wz);
  const std::string error = error_of([&] { stage_commands(settings, "stage9"); });
  EXPECT_NE(error.find("stage9"), std::string::npos) << error;
  EXPECT_NE(error.find("stage1_basic"), std::string::npos) << error;
  settings.vx = {-0.2, 1};
  EXPECT_NE(error_of([&] { stage_commands(settings, "backward"); }).find("[-0.2, 1]"),
            std::string::npos);
}

}  // namespace
}  // namespace twist
