#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <thread>

#include "base/error.h"
#include "base/robot.h"
#include "motion/cmg_rollout.h"
#include "motion_values.h"
#include "small_cmg.h"

namespace twist {
namespace {

constexpr int kJoints = kSmallJoints, kWidth = kSmallWidth;

CommandPlan some_plan(int streams, int frames) {
  CommandSettings commands;
  commands.hold_s = {0.2, 0.5};
  return random_plan(commands, streams, frames, 5);
}

// --- the roll-out itself ---

// frames (frames, streams, features) of a roll-out, whoever drives it
using Rows = std::vector<float>;

// What `drive` emits: it is called once a frame with the targets of all streams.
template <class Drive>
Rows roll(CmgRollout& rollout, const CommandPlan& plan, const Drive& drive) {
  rollout.resize(plan.streams);
  Rows rows(std::size_t(plan.frames) * plan.streams * rollout.features());
  for (int frame = 0; frame < plan.frames; ++frame) {
    std::vector<Command> targets;
    for (int stream = 0; stream < plan.streams; ++stream) {
      targets.push_back(plan.at(stream, frame));
    }
    drive(targets, &rows[std::size_t(frame) * plan.streams * rollout.features()]);
  }
  return rows;
}

// Advances some streams and puts their rows where they belong.
void advance_some(CmgRollout& rollout, const std::vector<int>& ids,
                  const std::vector<Command>& targets, float* rows) {
  const int features = rollout.features(), stride = features + 3;  // with room between
  Rows out(ids.size() * stride), commands(ids.size() * 5);
  std::vector<Command> wishes;
  for (const int id : ids) wishes.push_back(targets[id]);
  rollout.advance(ids, wishes.data(), out.data(), stride, commands.data(), 5);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    std::copy_n(&out[i * stride], features, rows + ids[i] * features);
  }
}

std::vector<int> counted(int first, int count) {
  std::vector<int> ids(count);
  std::iota(ids.begin(), ids.end(), first);
  return ids;
}

TEST(CmgRollout, AStreamDoesNotDependOnTheOthersOrderOrThreads) {
  constexpr int kStreams = 300, kFrames = 8;
  const CommandPlan plan = some_plan(kStreams, kFrames);
  for (const std::string profile : {"full", "joints"}) {
    SCOPED_TRACE(profile);
    CmgRollout rollout(small_model(profile));
    const Rows expected = roll(rollout, plan, [&](const auto& targets, float* rows) {
      advance_some(rollout, counted(0, kStreams), targets, rows);
    });

    // every second one, backwards; then the rest, one by one
    EXPECT_EQ(roll(rollout, plan,
                   [&](const auto& targets, float* rows) {
                     std::vector<int> some;
                     for (int id = kStreams - 1; id >= 0; id -= 2) some.push_back(id);
                     advance_some(rollout, some, targets, rows);
                     for (int id = 0; id < kStreams; id += 2)
                       advance_some(rollout, {id}, targets, rows);
                   }),
              expected);
    EXPECT_EQ(
        roll(rollout, plan,
             [&](const auto& targets, float* rows) {
               std::thread other([&] { advance_some(rollout, counted(170, 130), targets, rows); });
               advance_some(rollout, counted(0, 170), targets, rows);
               other.join();
             }),
        expected);
  }
}

TEST(CmgRollout, OnlyTheNamedStreamsMove) {
  CmgRollout rollout(small_model());
  rollout.resize(3);
  const std::vector<Command> targets(3, {0.5, 0.1, 0});
  Rows first(3 * kWidth), later(3 * kWidth);
  advance_some(rollout, {0, 1, 2}, targets, first.data());
  for (int i = 0; i < 5; ++i) advance_some(rollout, {2}, targets, later.data());
  for (int i = 0; i < 4; ++i) advance_some(rollout, {0}, targets, later.data());
  advance_some(rollout, {1, 0}, targets, later.data());
  const auto row = [](const Rows& rows, int stream) {
    return Rows(&rows[stream * kWidth], &rows[stream * kWidth] + kWidth);
  };
  EXPECT_EQ(row(later, 0), row(later, 2)) << "both are at their sixth frame";
  EXPECT_NE(row(later, 1), row(later, 0)) << "stream 1 is at its second";
}

TEST(CmgRollout, Bfloat16StaysNearFloat32) {
  const CommandPlan plan = some_plan(20, 12);
  CmgRollout exact(small_model()), rough(small_model(), at::kBFloat16);
  const auto all = [&](CmgRollout& rollout) {
    return roll(rollout, plan, [&](const auto& targets, float* rows) {
      advance_some(rollout, counted(0, 20), targets, rows);
    });
  };
  const Rows a = all(exact), b = all(rough);
  EXPECT_NE(a, b) << "this would not be bfloat16";
  double largest = 0, motion = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (i % kWidth >= kJoints) continue;  // angles; velocities are their differences over 40 ms
    largest = std::max<double>(largest, std::abs(a[i] - b[i]));
    motion = std::max<double>(motion, std::abs(a[i]));
  }
  EXPECT_LT(largest, 0.02);
  EXPECT_GT(motion, 0.2);
}

// the row `frame` of the first stream of a roll-out of one stream
const float* row_of(const Rows& rows, int frame, int features) { return &rows[frame * features]; }

TEST(CmgRollout, ContinuesFromARowBitForBit) {
  // velocities of rows are differences of angles, not what the network had: one that does not look
  // at them goes on exactly
  CmgStatistics blind = small_statistics();
  std::fill_n(blind.active.begin() + kJoints, kJoints, 0.0f);
  const CommandPlan plan = constant_plan(std::vector<Command>{{0.4, 0.1, -0.3}}, 40);
  for (const bool looks : {false, true}) {
    const Cmg model(small_model().network(), looks ? small_statistics() : blind);
    CmgRollout rollout(model);
    const auto drive = [&](const auto& targets, float* rows) {
      advance_some(rollout, {0}, targets, rows);
    };
    const Rows whole = roll(rollout, plan, drive);
    constexpr int kCut = 15;
    const Command in_force = ramp({}, plan.at(0, 0), 1.0 * kCut, 0.5 * kCut, 2.0 * kCut);
    rollout.resize(1);
    rollout.continue_from(0, row_of(whole, kCut, kWidth), row_of(whole, kCut - 1, kWidth),
                          in_force);
    Rows row(kWidth);
    for (int frame = kCut; frame < 40; ++frame) {
      advance_some(rollout, {0}, {plan.at(0, 0)}, row.data());
      const float* expected = row_of(whole, frame, kWidth);
      if (frame == kCut) {
        ASSERT_TRUE(std::equal(expected, expected + kJoints, row.begin()));
      }
      if (!looks) {
        ASSERT_EQ(row, Rows(expected, expected + kWidth)) << frame;
      }
    }
  }
}

TEST(CmgRollout, TheCircleIsACircle) {
  for (const std::string profile : {"full", "joints"}) {
    CmgRollout rollout(circling_model(profile));
    const Command command{0.5, 0, -0.5};
    const Rows rows =
        roll(rollout, constant_plan(std::vector<Command>{command}, 100),
             [&](const auto& targets, float* out) { advance_some(rollout, {0}, targets, out); });
    // normalised distances of the command from zero, times 0.3 of a deviation of 0.3
    const double x = 0.09 * 0.5 * 2 / 1.5, y = 0.09 * -0.5;
    for (int frame = 0; frame < 100; ++frame) {
      const double angle = 2 * M_PI * frame / kCircle;
      const float* row = row_of(rows, frame, rollout.features());
      ASSERT_NEAR(row[0], x - x * std::cos(angle) + y * std::sin(angle), 2e-5) << frame;
      ASSERT_NEAR(row[1], y - x * std::sin(angle) - y * std::cos(angle), 2e-5) << frame;
      ASSERT_EQ(row[3], 0.25f);
    }
  }
}

TEST(CmgRollout, PutsBackAStreamThatIsFarFromTheData) {
  CmgStatistics narrow = small_statistics();
  const FrameLayout layout{kJoints};
  narrow.deviation[layout.lin_vel()] = 1e-3f;
  const Cmg model(small_model().network(), narrow);
  CmgRollout rollout(model);
  rollout.resize(2);
  Rows lost = narrow.start;
  lost[layout.lin_vel()] = 0.2f;  // 200 deviations
  rollout.continue_from(1, lost.data(), lost.data(), {0.5, 0, 0});
  Rows rows(2 * kWidth);
  advance_some(rollout, {0, 1}, {{}, {0.5, 0, 0}}, rows.data());
  EXPECT_EQ(rollout.nonfinite(), 1);
  for (int joint = 0; joint < kJoints; ++joint)
    EXPECT_EQ(rows[kWidth + joint], narrow.start[joint]);
  rollout.resize(2);
  EXPECT_EQ(rollout.nonfinite(), 0);
}

TEST(CmgRollout, RefusesWhatItCannotDo) {
  CmgRollout rollout(small_model());
  rollout.resize(2);
  const std::vector<Command> targets(2);
  Rows rows(3 * kWidth);
  for (const int wrong : {-1, 2}) {
    EXPECT_THROW(rollout.advance(std::vector<int>{wrong}, targets.data(), rows.data(), kWidth,
                                 rows.data(), 3),
                 UserError);
  }
  EXPECT_THROW(CmgRollout(small_model(), at::kDouble), UserError);
  EXPECT_THROW(CmgRollout(small_model(), at::kHalf), UserError);
  EXPECT_THROW(rollout.resize(-1), UserError);
  EXPECT_THROW(CmgGenerator(small_model("joints")), UserError);
}

// --- as a generator ---

TEST(CmgGenerator, DoesNotDependOnWorkersOrOnTheCutOfTheStreams) {
  constexpr int kStreams = 150, kFrames = 12;
  const CommandPlan plan = some_plan(kStreams, kFrames);
  CmgGenerator generator(small_model());
  Workers one(1), three(3);
  const Trajectories expected = generate(generator, plan, one);
  EXPECT_EQ(all_rows(generate(generator, plan, three)), all_rows(expected));

  // uneven pieces across the borders of blocks, in another order
  generator.resize(kStreams);
  const std::vector<std::pair<int, int>> pieces = {{100, 50}, {0, 1}, {1, 99}};
  std::vector<float> rows(kStreams * kWidth), commands(kStreams * 3);
  for (int frame = 0; frame < kFrames; ++frame) {
    for (const auto& [first, count] : pieces) {
      std::vector<Command> targets;
      for (int i = 0; i < count; ++i) targets.push_back(plan.at(first + i, frame));
      generator.advance(first, count, targets.data(), &rows[first * kWidth], &commands[first * 3]);
    }
    for (int stream = 0; stream < kStreams; ++stream) {
      for (int i = 0; i < kWidth; ++i) {
        ASSERT_EQ(rows[stream * kWidth + i], expected.row(stream, frame)[i])
            << stream << " " << frame;
      }
    }
  }
}

TEST(CmgGenerator, FollowsThePredictionsOfTheModel) {
  const at::NoGradGuard no_grad;
  CmgStatistics wide = small_statistics();
  wide.lower.assign(kJoints, -100.0f);
  wide.upper.assign(kJoints, 100.0f);
  wide.command_rate.assign(3, 1000.0f);  // in force at once
  const Cmg model(small_model().network(), wide);
  CmgGenerator generator(model);
  Workers workers(1);
  const CommandPlan plan = constant_plan(std::vector<Command>{{0.3, 0.1, -0.2}}, 3);
  const Trajectories made = generate(generator, plan, workers);
  std::vector<float> start(made.row(0, 0), made.row(0, 0) + kWidth);
  for (int joint = 0; joint < kJoints; ++joint)
    start[kJoints + joint] = wide.start[kJoints + joint];
  EXPECT_EQ(start, wide.start);

  // the first prediction, by hand from the statistics
  at::Tensor features = at::empty({1, kWidth}), command = at::empty({1, 3});
  for (int i = 0; i < kWidth; ++i)
    features[0][i] = (wide.start[i] - wide.mean[i]) / wide.deviation[i] * wide.active[i];
  command[0][0] = 2 * (0.3 + 0.5) / 1.5 - 1;
  command[0][1] = 0.1 / 0.4;
  command[0][2] = -0.2 / 1.0;
  const at::Tensor next = model.predict(features, command);
  for (int joint = 0; joint < 3; ++joint) {
    EXPECT_NEAR(made.row(0, 1)[joint], wide.mean[joint] + 0.3 * next[0][joint].item<double>(),
                1e-5);
  }
}

TEST(CmgRollout, TheNetworkSeesTheCalibratedTarget) {
  const at::NoGradGuard no_grad;
  CmgStatistics s = small_statistics();
  s.lower.assign(kJoints, -100.0f);
  s.upper.assign(kJoints, 100.0f);
  s.calibration[0] = 0.5f;            // vx for vx
  s.calibration[10 * 3 + 1] = -2.0f;  // vx vy for vy
  const Cmg model(small_model().network(), s);
  CmgRollout rollout(model);
  rollout.resize(1);
  std::vector<float> rows(2 * kWidth);
  for (int frame = 0; frame < 2; ++frame)
    advance_some(rollout, {0}, {{0.9, 0.3, 0}}, &rows[std::size_t(frame) * kWidth]);

  const double vx = 0.9 + 0.5 * 0.9, vy = 0.3 - 2 * 0.9 * 0.3;
  at::Tensor features = at::empty({1, kWidth}), command = at::zeros({1, 3});
  for (int i = 0; i < kWidth; ++i)
    features[0][i] = (s.start[i] - s.mean[i]) / s.deviation[i] * s.active[i];
  command[0][0] = 2 * (vx + 0.5) / 1.5 - 1;
  command[0][1] = vy / 0.4;
  const at::Tensor next = model.predict(features, command);
  for (int joint = 0; joint < 3; ++joint) {
    EXPECT_NEAR(rows[kWidth + joint], s.mean[joint] + 0.3 * next[0][joint].item<double>(), 1e-6);
  }
}

TEST(CmgGenerator, StandsStillUntilACommandComes) {
  CmgGenerator generator(small_model());
  Workers workers(1);
  CommandPlan plan = constant_plan(std::vector<Command>{{}}, 200);
  plan.targets[150] = {0.3, 0, 0};
  const Trajectories made = generate(generator, plan, workers);
  for (int frame = 0; frame < 150; ++frame) {
    for (int joint = 0; joint < kJoints; ++joint) {
      ASSERT_NEAR(made.row(0, frame)[joint], small_statistics().start[joint], 1e-6) << frame;
    }
  }
  EXPECT_NE(made.row(0, 152)[0], made.row(0, 149)[0]);
}

TEST(CmgGenerator, RowsAreConsistentAndInsideTheirRanges) {
  CmgGenerator generator(small_model());
  Workers workers(1);
  const Trajectories made = generate(generator, some_plan(20, 40), workers);
  const FrameLayout layout{kJoints};
  float largest = 0;
  for (int stream = 0; stream < made.streams; ++stream) {
    for (int frame = 1; frame + 1 < made.frames; ++frame) {
      const float* row = made.row(stream, frame);
      for (int joint = 0; joint < kJoints; ++joint) {
        const float before = made.row(stream, frame - 1)[joint],
                    after = made.row(stream, frame + 1)[joint];
        EXPECT_NEAR(row[layout.qd() + joint], (after - before) / (2 * kControlStep), 1e-4);
        EXPECT_TRUE(row[joint] >= -0.5f && row[joint] <= 0.4f) << row[joint];
      }
      largest = std::max(largest, std::abs(row[0]));
      EXPECT_EQ(row[3], 0.25f);
      EXPECT_EQ(row[layout.height()], 0.75f);
      const float* gravity = row + layout.gravity();
      EXPECT_NEAR(std::hypot(gravity[0], gravity[1], gravity[2]), 1, 1e-5);
      for (int foot = 0; foot < 2; ++foot) {
        EXPECT_TRUE(row[layout.contact() + foot] >= 0 && row[layout.contact() + foot] <= 1);
      }
    }
  }
  EXPECT_GT(largest, 0.3f) << "the model must move, or this test shows nothing";
  EXPECT_EQ(generator.nonfinite(), 0);
}

TEST(CmgGenerator, RampsTheCommandInForce) {
  CmgGenerator generator(small_model());
  Workers workers(1);
  const std::vector<Command> wish = {{0.1, -0.02, 0.5}};
  const Trajectories made = generate(generator, constant_plan(wish, 20), workers);
  EXPECT_EQ(made.command(0, 0)[0], 0);
  for (int frame = 0; frame < 20; ++frame) {
    EXPECT_NEAR(made.command(0, frame)[0], std::min(0.1, 0.02 * frame), 1e-6);
    EXPECT_NEAR(made.command(0, frame)[1], -std::min(0.02, 0.01 * frame), 1e-6);
    EXPECT_NEAR(made.command(0, frame)[2], std::min(0.5, 0.04 * frame), 1e-6);
  }
}

TEST(CmgGenerator, CountsAndRestartsAStreamThatIsNotFinite) {
  CmgGenerator generator(small_model());
  generator.resize(3);
  std::vector<Command> targets = {{0.5, 0, 0}, {0.5, 0, 0}, {0.5, 0, 0}};
  std::vector<float> rows(3 * kWidth), commands(9);
  for (int frame = 0; frame < 5; ++frame) {
    targets[1].vx = frame == 3 ? std::numeric_limits<double>::quiet_NaN() : 0.5;
    generator.advance(0, 3, targets.data(), rows.data(), commands.data());
  }
  EXPECT_EQ(generator.nonfinite(), 1);
  for (const float value : rows) EXPECT_TRUE(std::isfinite(value));
  for (const float value : commands) EXPECT_TRUE(std::isfinite(value));
  EXPECT_NE(std::vector<float>(rows.begin(), rows.begin() + kJoints),
            std::vector<float>(rows.begin() + kWidth, rows.begin() + kWidth + kJoints));
  EXPECT_THROW(generator.advance(2, 2, targets.data(), rows.data(), commands.data()), UserError);
}

}  // namespace
}  // namespace twist
