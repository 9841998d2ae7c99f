#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/robot.h"
#include "motion/cmg.h"
#include "sine_generator.h"

namespace twist {
namespace {

constexpr int kJoints = 4, kWidth = 20;

CmgStatistics some_statistics() {
  CmgStatistics s;
  const FrameLayout layout{kJoints};
  s.mean.assign(kWidth, 0.0f);
  s.deviation.assign(kWidth, 0.3f);
  s.active.assign(kWidth, 1.0f);
  for (const int constant : {3, 7, layout.height()}) s.active[constant] = 0;
  s.mean[3] = 0.25f;
  s.mean[layout.height()] = 0.75f;
  s.start = s.mean;
  s.start[layout.gravity() + 2] = -1;
  s.lower.assign(kJoints, -0.5f);
  s.upper.assign(kJoints, 0.4f);
  s.command_low = {-0.5f, -0.4f, -1.0f};
  s.command_high = {1.0f, 0.4f, 1.0f};
  s.command_rate = {1.0f, 0.5f, 2.0f};
  return s;
}

// A small network with weights large enough to move everything.
Cmg some_model(std::uint64_t seed = 3) {
  CmgSettings settings;
  settings.hidden = 24;
  settings.gate_hidden = 16;
  settings.experts = 3;
  CmgNetwork network(settings, kWidth, at::kCPU);
  network.initialise(seed);
  for (const at::Tensor& view : network.parameters().views()) {
    if (view.dim() == 3 && view.size(2) == kWidth) view.detach().mul_(4);
    if (view.dim() == 1) view.detach().copy_(at::linspace(-0.2, 0.3, view.numel()));
  }
  return Cmg(std::move(network), some_statistics());
}

at::Tensor test_rows(int rows, int width, double frequency) {
  return at::sin(at::arange(rows * width, at::kDouble) * frequency)
      .view({rows, width})
      .to(at::kFloat);
}

CommandPlan some_plan(int streams, int frames) {
  CommandSettings commands;
  commands.hold_s = {0.2, 0.5};
  return random_plan(commands, streams, frames, 5);
}

// One frame computed the way the field writes it: expert weights are blended first, in double
// precision.
std::vector<double> blended_forward(const CmgNetwork& network, const std::vector<double>& input) {
  const FlatParameters& p = network.parameters();
  const auto affine = [](const std::vector<double>& x, const at::Tensor& w, const at::Tensor& b) {
    std::vector<double> y(w.size(1));
    for (std::size_t j = 0; j < y.size(); ++j) {
      y[j] = b[j].item<double>();
      for (std::size_t i = 0; i < x.size(); ++i) y[j] += x[i] * w[i][j].item<double>();
    }
    return y;
  };
  const auto elu = [](std::vector<double> x) {
    for (double& value : x) value = value > 0 ? value : std::exp(value) - 1;
    return x;
  };
  std::vector<double> gate = affine(elu(affine(input, p[0], p[1])), p[2], p[3]);
  double sum = 0;
  for (double& value : gate) sum += value = std::exp(value);
  std::vector<double> x = input;
  for (int layer = 0; layer < 3; ++layer) {
    at::Tensor weight = at::zeros_like(p[4 + 2 * layer][0]),
               bias = at::zeros_like(p[5 + 2 * layer][0]);
    for (std::size_t k = 0; k < gate.size(); ++k) {
      weight = weight + p[4 + 2 * layer][k] * (gate[k] / sum);
      bias = bias + p[5 + 2 * layer][k] * (gate[k] / sum);
    }
    x = affine(x, weight, bias);
    if (layer < 2) x = elu(x);
  }
  return x;
}

TEST(CmgNetwork, EqualsBlendingTheExpertsWeights) {
  const at::NoGradGuard no_grad;
  const Cmg model = some_model();
  const at::Tensor features = test_rows(3, kWidth, 1.3), commands = test_rows(3, 3, 0.7);
  const at::Tensor change = model.network().change(features, commands);
  ASSERT_EQ(change.sizes(), (std::vector<std::int64_t>{3, kWidth}));
  for (int row = 0; row < 3; ++row) {
    std::vector<double> input;
    for (int i = 0; i < kWidth; ++i) input.push_back(features[row][i].item<double>());
    for (int i = 0; i < 3; ++i) input.push_back(commands[row][i].item<double>());
    const std::vector<double> expected = blended_forward(model.network(), input);
    for (int i = 0; i < kWidth; ++i) EXPECT_NEAR(change[row][i].item<double>(), expected[i], 1e-5);
  }
}

TEST(CmgNetwork, InitialWeightsAreAFunctionOfTheSeed) {
  const CmgSettings settings;
  CmgNetwork first(settings, 70, at::kCPU), second(settings, 70, at::kCPU);
  EXPECT_EQ(
      first.parameters().size(),
      73 * 512 + 512 + 512 * 4 + 4 + 4 * (73 * 512 + 512 + 512 * 512 + 512) + 4 * (512 * 70 + 70));
  first.initialise(1);
  second.initialise(1);
  EXPECT_TRUE(at::equal(first.parameters().flat(), second.parameters().flat()));
  second.initialise(2);
  EXPECT_FALSE(at::equal(first.parameters().flat(), second.parameters().flat()));

  // hidden layers: variance 2 / inputs
  const at::Tensor weight = first.parameters()[6].detach();
  EXPECT_NEAR(weight.std().item<double>(), std::sqrt(2.0 / 512), 1e-3);
}

TEST(Cmg, PredictionKeepsConstantFeatures) {
  const at::NoGradGuard no_grad;
  const at::Tensor features = test_rows(2, kWidth, 0.9);
  const at::Tensor next = some_model().predict(features, test_rows(2, 3, 0.4));
  EXPECT_TRUE(at::equal(next.select(1, 3), features.select(1, 3)));
  EXPECT_FALSE(at::equal(next.select(1, 2), features.select(1, 2)));
}

TEST(Cmg, SaveAndLoadIsTheIdentity) {
  const Cmg model = some_model();
  const State state = model.save();
  const Cmg loaded = Cmg::load(state, kJoints);
  EXPECT_EQ(loaded.network().settings().experts, 3);
  EXPECT_EQ(loaded.statistics().start, model.statistics().start);
  const State again = loaded.save();
  ASSERT_EQ(again.size(), state.size());
  for (const auto& [name, tensor] : state) EXPECT_TRUE(at::equal(tensor, again.at(name))) << name;
}

TEST(Cmg, LoadRefusesWhatDoesNotFit) {
  const State good = some_model().save();
  EXPECT_THROW(Cmg::load(good, 29), UserError);
  for (const auto& [name, tensor] : good) {
    State missing = good, reshaped = good;
    missing.erase(name);
    EXPECT_THROW(Cmg::load(missing), UserError) << name;
    reshaped[name] = at::zeros({7, 2});
    EXPECT_THROW(Cmg::load(reshaped), UserError) << name;
  }
  CmgStatistics statistics = some_statistics();
  statistics.start.pop_back();
  EXPECT_THROW(Cmg(some_model().network(), statistics), UserError);
}

TEST(CmgGenerator, DoesNotDependOnWorkersOrOnTheCutOfTheStreams) {
  constexpr int kStreams = 150, kFrames = 12;
  const CommandPlan plan = some_plan(kStreams, kFrames);
  CmgGenerator generator(some_model());
  Workers one(1), three(3);
  const Trajectories expected = generate(generator, plan, one);
  EXPECT_EQ(generate(generator, plan, three).rows, expected.rows);

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
  CmgStatistics wide = some_statistics();
  wide.lower.assign(kJoints, -100.0f);
  wide.upper.assign(kJoints, 100.0f);
  const Cmg model(some_model().network(), wide);
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
  command[0][0] = plan.at(0, 0).vx / 1.0;
  command[0][1] = plan.at(0, 0).vy / 0.4;
  command[0][2] = plan.at(0, 0).wz / 1.0;
  const at::Tensor next = model.predict(features, command);
  for (int joint = 0; joint < 3; ++joint) {
    EXPECT_NEAR(made.row(0, 1)[joint], wide.mean[joint] + 0.3 * next[0][joint].item<double>(),
                1e-5);
  }
}

TEST(CmgGenerator, StandsStillUntilACommandComes) {
  CmgGenerator generator(some_model());
  Workers workers(1);
  CommandPlan plan = constant_plan(std::vector<Command>{{}}, 200);
  plan.targets[150] = {0.3, 0, 0};
  const Trajectories made = generate(generator, plan, workers);
  for (int frame = 0; frame < 150; ++frame) {
    for (int joint = 0; joint < kJoints; ++joint) {
      ASSERT_NEAR(made.row(0, frame)[joint], some_statistics().start[joint], 1e-6) << frame;
    }
  }
  EXPECT_NE(made.row(0, 152)[0], made.row(0, 149)[0]);
}

TEST(CmgGenerator, RowsAreConsistentAndInsideTheirRanges) {
  CmgGenerator generator(some_model());
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
  CmgGenerator generator(some_model());
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
  CmgGenerator generator(some_model());
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
