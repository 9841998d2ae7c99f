#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "base/error.h"
#include "motion/cmg_data.h"
#include "sine_generator.h"

namespace twist {
namespace {

const std::vector<double> kLower(4, -1), kUpper(4, 1);
constexpr int kJoints = 4, kWidth = 20;

JointMirror sine_mirror() { return {SineGenerator::mirror_joint(), SineGenerator::mirror_sign()}; }

CmgDataSettings quarter_held_out() {
  CmgDataSettings settings;
  settings.held_out_share = 0.25;
  return settings;
}

// every window alike: none mirrored, none around transitions, no stream held out
CmgDataSettings plain() {
  CmgDataSettings settings;
  settings.held_out_share = settings.transition_share = settings.mirror_share = 0;
  return settings;
}

CmgData make_data(const CmgDataSettings& settings = quarter_held_out(), int features = kWidth) {
  return CmgData(sine_motion(24, 150), sine_mirror(), kLower, kUpper, settings, 9, features);
}

CmgData make_data(Trajectories motion, const CmgDataSettings& settings, int frames) {
  return CmgData(std::move(motion), sine_mirror(), kLower, kUpper, settings, frames, kWidth);
}

// how often each place is drawn, as a share
std::map<std::pair<int, int>, double> draws(const CmgData& data, int frames, int count) {
  std::map<std::pair<int, int>, double> shares;
  for (int i = 0; i < count; ++i) {
    Random random(1, i, 0, Purpose::kMinibatch);
    const CmgWindow window = data.draw(random, frames);
    shares[{window.stream, window.start}] += 1.0 / count;
  }
  return shares;
}

// five deviations of a share that was counted
double slack(double share, int count) { return 5 * std::sqrt(share * (1 - share) / count) + 1e-9; }

TEST(CmgData, StatisticsAreThoseOfTheMotionAndItsMirrorImage) {
  const CmgData data = make_data();
  const CmgStatistics& s = data.statistics();
  std::vector<double> sum(20), squares(20);
  std::vector<float> mirrored(20);
  double count = 0;
  for (const int stream : data.training()) {
    for (int frame = 0; frame < 150; ++frame) {
      const float* row = data.motion().row(stream, frame);
      mirror_frame(sine_mirror().joint, sine_mirror().sign, row, mirrored.data());
      for (const float* r : {row, static_cast<const float*>(mirrored.data())}) {
        for (int i = 0; i < 20; ++i) sum[i] += r[i], squares[i] += double(r[i]) * r[i];
        ++count;
      }
    }
  }
  for (int i = 0; i < 20; ++i) {
    const double mean = sum[i] / count, deviation = std::sqrt(squares[i] / count - mean * mean);
    EXPECT_NEAR(s.mean[i], mean, 1e-5) << i;
    EXPECT_EQ(s.active[i], deviation > 1e-4) << i;
    if (s.active[i] == 0) continue;
    EXPECT_NEAR(s.deviation[i], std::max(deviation, 0.02), 1e-5) << i;
  }

  // what never changes: joint 3 and its velocity, height, gravity, vertical and tilting velocities
  EXPECT_EQ(std::accumulate(s.active.begin(), s.active.end(), 0.0f), 20 - 2 - 1 - 3 - 1 - 2);
  EXPECT_EQ(s.start[3], SineGenerator::kStill);
  EXPECT_EQ(s.start[0], 0);
  EXPECT_NEAR(s.command_rate[0], 2.0, 1e-4);
  EXPECT_EQ(s.command_low[1], -s.command_high[1]);
}

TEST(CmgData, SplitsByStream) {
  const CmgData data = make_data();
  EXPECT_EQ(data.held_out().size(), 6u);
  EXPECT_EQ(data.training().size(), 18u);
  EXPECT_TRUE(make_data(plain()).held_out().empty());
  CmgDataSettings all = plain();
  all.held_out_share = 1;
  EXPECT_THROW(make_data(all), UserError);
}

TEST(CmgData, WindowsStayInsideAndGatherAroundTransitions) {
  CmgDataSettings settings = quarter_held_out();
  settings.transition_share = 1;
  const CmgData data = make_data(settings);
  ASSERT_GT(data.transitions(), 5);
  int near = 0, mirrored = 0;
  for (int i = 0; i < 1000; ++i) {
    Random random(1, i, 0, Purpose::kMinibatch);
    const CmgWindow window = data.draw(random, 9);
    EXPECT_TRUE(window.start >= 0 && window.start + 9 <= 150);
    EXPECT_EQ(std::count(data.held_out().begin(), data.held_out().end(), window.stream), 0);
    mirrored += window.mirrored;
    bool found = window.start + 9 == 150;  // pushed back from the end of the stream
    for (int frame = std::max(1, window.start - 45); frame <= std::min(149, window.start + 6);
         ++frame) {
      const auto zero = [&](int f) {
        const float* t = data.motion().target(window.stream, f);
        return t[0] == 0 && t[1] == 0 && t[2] == 0;
      };
      found = found || zero(frame) != zero(frame - 1);
    }
    near += found;
  }
  EXPECT_EQ(near, 1000);
  EXPECT_NEAR(mirrored, 500, 60);
}

TEST(CmgData, GathersNormalisedRowsAndTheirMirrorImage) {
  const CmgData data = make_data();
  std::vector<float> states(5 * 20), commands(4 * 3), other(5 * 20), other_commands(4 * 3);
  data.gather({2, 60, false}, 5, states.data(), 20, commands.data(), 3);
  data.gather({2, 60, true}, 5, other.data(), 20, other_commands.data(), 3);
  const CmgStatistics& s = data.statistics();
  for (int k = 0; k < 5; ++k) {
    const float* row = data.motion().row(2, 60 + k);
    EXPECT_NEAR(states[20 * k], (row[0] - s.mean[0]) / s.deviation[0], 1e-5);
    EXPECT_EQ(states[20 * k + 3], 0);
    EXPECT_NEAR(other[20 * k + 1], states[20 * k], 1e-5);       // the pair changes places
    EXPECT_NEAR(other[20 * k + 2], -states[20 * k + 2], 1e-5);  // the midline joint changes sign
  }
  const float* target = data.motion().target(2, 60);
  const float range = s.command_high[0] - s.command_low[0];
  EXPECT_NEAR(commands[0], 2 * (target[0] - s.command_low[0]) / range - 1, 1e-5);
  EXPECT_NEAR(commands[1], target[1] / s.command_high[1], 1e-5);
  EXPECT_NEAR(commands[2], target[2] / s.command_high[2], 1e-5);
  EXPECT_EQ(other_commands[0], commands[0]);
  EXPECT_EQ(other_commands[1], -commands[1]);
  EXPECT_EQ(other_commands[2], -commands[2]);
}

TEST(CmgData, WindowsLieOneStrideApart) {
  CmgDataSettings settings = plain();
  settings.stride = 15;
  const CmgData data = make_data(sine_motion(2, 85), settings, 31);  // 30 frames after the first
  EXPECT_EQ(data.epoch(), 8);
  const auto shares = draws(data, 31, 8000);
  ASSERT_EQ(shares.size(), 8u);
  for (const int stream : {0, 1}) {
    for (const int start : {0, 15, 30, 45}) {
      ASSERT_TRUE(shares.count({stream, start})) << stream << " " << start;
      EXPECT_NEAR(shares.at({stream, start}), 1.0 / 8, slack(1.0 / 8, 8000));
    }
  }
  // the last window ends with the last frame
  EXPECT_EQ(make_data(sine_motion(1, 76), settings, 31).epoch(), 4);
  EXPECT_EQ(make_data(sine_motion(1, 75), settings, 31).epoch(), 3);
  settings.mirror_share = 0.5;
  EXPECT_EQ(make_data(sine_motion(2, 85), settings, 31).epoch(), 16);
}

TEST(CmgData, FastWindowsAreRepeated) {
  // mean planar speeds 0.25, 0.75, 1.25 and, in the half of stream 3, 0.25 and 1.25
  Trajectories motion = sine_motion(4, 40);
  const FrameLayout layout{kJoints};
  const double speeds[4][2] = {{0.25, 0.25}, {0.75, 0.75}, {1.25, 1.25}, {0.25, 1.25}};
  for (int stream = 0; stream < 4; ++stream) {
    for (int frame = 0; frame < 40; ++frame) {
      float* velocity = motion.row(stream, frame) + layout.lin_vel();
      const double speed = speeds[stream][frame / 20];
      velocity[0] = static_cast<float>(-0.6 * speed);
      velocity[1] = static_cast<float>(0.8 * speed);
      velocity[2] = 9;  // vertical: does not count
    }
  }
  CmgDataSettings settings = plain();
  settings.stride = 10;
  settings.repeat_above = {1, 0.5};
  settings.repeat_times = {4, 2};
  const CmgData data = make_data(motion, settings, 20);  // starts 0, 10 (half and half), 20
  EXPECT_EQ(data.epoch(), 3 * 1 + 3 * 2 + 3 * 4 + 1 + 2 + 4);
  const auto shares = draws(data, 20, 20000);
  const std::map<std::pair<int, int>, double> expected = {{{0, 20}, 1}, {{1, 0}, 2},  {{2, 10}, 4},
                                                          {{3, 0}, 1},  {{3, 10}, 2}, {{3, 20}, 4}};
  for (const auto& [place, times] : expected) {
    EXPECT_NEAR(shares.at(place), times / 28, slack(times / 28, 20000)) << place.first;
  }
  settings.repeat_times = {4, 0};  // 0 leaves them out
  const CmgData without = make_data(motion, settings, 20);
  EXPECT_EQ(draws(without, 20, 2000).count({1, 0}), 0u);
}

TEST(CmgData, WeightsOfStreamsCountInDrawsAndStatistics) {
  Trajectories motion = sine_motion(3, 60);
  motion.weights = {1, 0, 3};
  CmgDataSettings settings = plain();
  settings.stride = 50;
  const CmgData data = make_data(motion, settings, 9);  // starts 0 and 50
  EXPECT_EQ(data.epoch(), 8);
  const auto shares = draws(data, 9, 8000);
  EXPECT_EQ(shares.size(), 4u);
  EXPECT_NEAR(shares.at({2, 50}), 3.0 / 8, slack(3.0 / 8, 8000));
  EXPECT_NEAR(shares.at({0, 0}), 1.0 / 8, slack(1.0 / 8, 8000));

  // joint 2 changes sign in the mirror, so only its square remains
  double squares = 0;
  for (int frame = 0; frame < 60; ++frame) {
    squares += std::pow(motion.row(0, frame)[2], 2) + 3 * std::pow(motion.row(2, frame)[2], 2);
  }
  EXPECT_NEAR(data.statistics().mean[2], 0, 1e-7);
  EXPECT_NEAR(data.statistics().deviation[2], std::sqrt(squares / 240), 1e-5);
  motion.weights = {0, 0, 0};
  EXPECT_THROW(make_data(motion, settings, 9), UserError);
}

TEST(CmgData, TheProfileJointsIsTheFirstPartOfARow) {
  const CmgData full = make_data(), joints = make_data(quarter_held_out(), 2 * kJoints);
  EXPECT_EQ(joints.features(), 8);
  EXPECT_FALSE(joints.statistics().has_root());
  const auto first = [](const std::vector<float>& values) {
    return std::vector<float>(values.begin(), values.begin() + 2 * kJoints);
  };
  EXPECT_EQ(joints.statistics().mean, first(full.statistics().mean));
  EXPECT_EQ(joints.statistics().deviation, first(full.statistics().deviation));
  EXPECT_EQ(joints.statistics().start, first(full.statistics().start));
  for (const bool mirrored : {false, true}) {
    std::vector<float> a(3 * kWidth), b(3 * 8), commands(6), same(6);
    full.gather({4, 33, mirrored}, 3, a.data(), kWidth, commands.data(), 3);
    joints.gather({4, 33, mirrored}, 3, b.data(), 8, same.data(), 3);
    for (int k = 0; k < 3; ++k) {
      for (int i = 0; i < 8; ++i) ASSERT_EQ(b[8 * k + i], a[kWidth * k + i]) << k << " " << i;
    }
    EXPECT_EQ(commands, same);
  }
}

TEST(CmgData, DeviationsHaveAFloor) {
  CmgDataSettings settings = plain();
  settings.deviation_floor = 0.3;
  const CmgStatistics floored = make_data(settings).statistics();
  settings.deviation_floor = 1e-6;
  const CmgStatistics free = make_data(settings).statistics();
  int raised = 0;
  for (int i = 0; i < kWidth; ++i) {
    const double most = std::max(double(free.deviation[i]), 0.3);
    EXPECT_NEAR(floored.deviation[i], most, 1e-6) << i;
    EXPECT_EQ(floored.active[i], free.active[i]) << "a floor does not make a feature constant";
    raised += free.active[i] != 0 && free.deviation[i] < 0.3;
  }
  EXPECT_GT(raised, 0);
}

TEST(CmgData, TheConditionOfRecordedMotionIsTheCommandInForce) {
  Trajectories recorded(std::vector<int>{30, 20}, kJoints);
  const Trajectories sine = sine_motion(2, 30);
  for (int stream = 0; stream < 2; ++stream) {
    for (int frame = 0; frame < recorded.lengths[stream]; ++frame) {
      std::copy_n(sine.row(stream, frame), kWidth, recorded.row(stream, frame));
      recorded.command(stream, frame)[0] = 0.01f * frame;
    }
  }
  const CmgData data = make_data(recorded, plain(), 9);
  EXPECT_EQ(data.epoch(), 22 + 12);
  EXPECT_NEAR(data.statistics().command_high[0], 0.29, 1e-6);
  EXPECT_NEAR(data.statistics().command_rate[0], 0.5, 1e-4);
  std::vector<float> states(2 * kWidth), commands(3);
  data.gather({1, 7, false}, 2, states.data(), kWidth, commands.data(), 3);
  EXPECT_NEAR(commands[0], 2 * 0.07 / 0.29 - 1, 1e-5);
}

TEST(CmgData, RefusesBadMotion) {
  const auto make = [](Trajectories motion, int frames, std::vector<double> upper) {
    return CmgData(std::move(motion), sine_mirror(), kLower, std::move(upper), plain(), frames,
                   kWidth);
  };
  EXPECT_NO_THROW(make(sine_motion(2, 20), 20, kUpper));
  EXPECT_THROW(make(sine_motion(2, 20), 21, kUpper), UserError);
  EXPECT_THROW(make(sine_motion(2, 20), 20, {1, 2}), UserError);
  Trajectories broken = sine_motion(2, 20);
  broken.row(1, 7)[2] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(make(std::move(broken), 20, kUpper), UserError);
  EXPECT_THROW(make_data(plain(), 12), UserError) << "neither all features nor those of joints";
  CmgDataSettings uneven = plain();
  uneven.repeat_above = {1, 0.5};
  uneven.repeat_times = {2};
  EXPECT_THROW(make_data(uneven), UserError);
  CmgStatistics other = make_data().statistics();
  other.lower.pop_back();
  CmgData data = make_data();
  EXPECT_THROW(data.set_statistics(other), UserError);
}

}  // namespace
}  // namespace twist
