#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "motion/cmg.h"
#include "small_cmg.h"

namespace twist {
namespace {

constexpr int kJoints = kSmallJoints, kWidth = kSmallWidth;

at::Tensor test_rows(int rows, int width, double frequency) {
  return at::sin(at::arange(rows * width, at::kDouble) * frequency)
      .view({rows, width})
      .to(at::kFloat);
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
  const Cmg model = small_model();
  const at::Tensor features = test_rows(3, kWidth, 1.3), commands = test_rows(3, 3, 0.7);
  CmgActivations activations;
  model.network().resize(activations, {3});
  model.network().forward(features, commands, activations);
  const at::Tensor change = activations.output[2];
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

TEST(CmgNetwork, OneRowAndStepsOfRowsAreTheSame) {
  const at::NoGradGuard no_grad;
  const CmgNetwork network = small_model().network();
  const at::Tensor features = test_rows(6, kWidth, 1.3), commands = test_rows(6, 3, 0.7);
  CmgActivations all, one, steps;
  network.resize(all, {6});
  network.forward(features, commands, all);
  network.resize(one, {1});
  network.forward(features.narrow(0, 4, 1), commands.narrow(0, 4, 1), one);
  EXPECT_TRUE(at::allclose(one.output[2][0], all.output[2][4], 1e-5, 1e-6));
  network.resize(steps, {2, 3});
  CmgActivations second = steps.step(1);
  network.forward(features.narrow(0, 3, 3), commands.narrow(0, 3, 3), second);
  EXPECT_TRUE(at::allclose(steps.output[2][1], all.output[2].narrow(0, 3, 3), 1e-5, 1e-6));
}

TEST(CmgStatistics, CommandsBecomeMinusOneToOne) {
  CmgStatistics s = small_statistics();
  s.command_low = {-0.5f, -0.4f, 0};
  s.command_high = {1.5f, 0.4f, 0};
  const std::vector<float> centre = s.command_centre(), factor = s.command_factor();
  const auto normalised = [&](int axis, float value) {
    return (value - centre[axis]) * factor[axis];
  };
  EXPECT_NEAR(normalised(0, -0.5f), -1, 1e-6);
  EXPECT_NEAR(normalised(0, 1.5f), 1, 1e-6);
  EXPECT_NEAR(normalised(0, 0), -0.5, 1e-6);
  EXPECT_NEAR(normalised(1, 0.2f), 0.5, 1e-6);
  EXPECT_EQ(normalised(2, 0), 0) << "an axis that never moves";
}

TEST(Cmg, PredictionKeepsConstantFeatures) {
  const at::NoGradGuard no_grad;
  const at::Tensor features = test_rows(2, kWidth, 0.9), commands = test_rows(2, 3, 0.4);
  const at::Tensor next = small_model().predict(features, commands);
  EXPECT_TRUE(at::equal(next.select(1, 3), features.select(1, 3)));
  EXPECT_FALSE(at::equal(next.select(1, 2), features.select(1, 2)));

  // the same weights, read as the next features and not as their change
  const at::Tensor replaced = small_model("full", "next").predict(features, commands);
  const at::Tensor active = small_model().active();
  EXPECT_TRUE(at::allclose(replaced, next - features, 1e-5, 1e-6));
  EXPECT_TRUE(at::equal(replaced, replaced * active));
}

TEST(Cmg, SaveAndLoadIsTheIdentity) {
  for (const std::string profile : {"full", "joints"}) {
    for (const std::string predicts : {"change", "next"}) {
      SCOPED_TRACE(profile + " " + predicts);
      const Cmg model = small_model(profile, predicts);
      const State state = model.save();
      const Cmg loaded = Cmg::load(state, kJoints);
      EXPECT_EQ(loaded.network().settings().experts, 3);
      EXPECT_EQ(loaded.network().settings().profile, profile);
      EXPECT_EQ(loaded.network().carry(), predicts == "change" ? 1 : 0);
      EXPECT_EQ(state.at("network.carry").item<float>(), predicts == "change" ? 1 : 0);
      EXPECT_EQ(loaded.statistics().features(), profile == "full" ? kWidth : 2 * kJoints);
      EXPECT_EQ(loaded.statistics().has_root(), profile == "full");
      EXPECT_EQ(loaded.statistics().start, model.statistics().start);
      const State again = loaded.save();
      ASSERT_EQ(again.size(), state.size());
      for (const auto& [name, tensor] : state)
        EXPECT_TRUE(at::equal(tensor, again.at(name))) << name;
    }
  }
}

TEST(Cmg, SavesTheNamesOfItsTensors) {
  const State state = small_model().save();
  for (const char* name :
       {"network.gate.0.weight", "network.gate.2.bias", "network.layers.0.weight",
        "network.layers.2.bias", "network.carry", "statistics.mean", "statistics.command_rate"}) {
    EXPECT_TRUE(state.count(name)) << name;
  }
}

TEST(Cmg, LoadRefusesWhatDoesNotFit) {
  const State good = small_model().save();
  EXPECT_THROW(Cmg::load(good, 29), UserError);
  for (const auto& [name, tensor] : good) {
    State missing = good, reshaped = good;
    missing.erase(name);
    EXPECT_THROW(Cmg::load(missing), UserError) << name;
    reshaped[name] = at::zeros({7, 2});
    EXPECT_THROW(Cmg::load(reshaped), UserError) << name;
  }
  CmgStatistics statistics = small_statistics();
  statistics.start.pop_back();
  EXPECT_THROW(Cmg(small_model().network(), statistics), UserError);
}

}  // namespace
}  // namespace twist
