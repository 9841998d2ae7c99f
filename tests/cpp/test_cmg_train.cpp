#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "motion/cmg_train.h"
#include "sine_generator.h"

namespace twist {
namespace {

const std::vector<double> kLower(4, -1), kUpper(4, 1);
const std::string kBackend = choose_matmul_backend();  // and one thread for each operation

JointMirror sine_mirror() { return {SineGenerator::mirror_joint(), SineGenerator::mirror_sign()}; }

CmgSettings small_network() {
  CmgSettings settings;
  settings.hidden = 32;
  settings.gate_hidden = 16;
  settings.experts = 2;
  return settings;
}

CmgTrainSettings short_training() {
  CmgTrainSettings settings;
  settings.iterations = 60;
  settings.batch = 50;
  settings.unroll_min = 2;
  settings.unroll_max = 8;
  settings.warmup = 5;
  settings.learning_rate = 3e-3;
  settings.held_out_share = 0.25;
  return settings;
}

CmgTrainer make_trainer(Workers& workers, const CmgTrainSettings& settings = short_training()) {
  return CmgTrainer(small_network(), settings, sine_motion(24, 150), sine_mirror(), kLower, kUpper,
                    workers, at::kCPU);
}

CmgData make_data(double held_out_share = 0.25) {
  return CmgData(sine_motion(24, 150), sine_mirror(), kLower, kUpper, held_out_share, 9);
}

void expect_same(const State& a, const State& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) EXPECT_TRUE(at::equal(tensor, b.at(name))) << name;
}

// --- the data set
// ----------------------------------------------------------------------------------

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
  EXPECT_TRUE(make_data(0).held_out().empty());
  EXPECT_THROW(make_data(1), UserError);
}

TEST(CmgData, WindowsStayInsideAndGatherAroundTransitions) {
  const CmgData data = make_data();
  ASSERT_GT(data.transitions(), 5);
  int near = 0, mirrored = 0;
  for (int i = 0; i < 1000; ++i) {
    Random random(1, i, 0, Purpose::kMinibatch);
    const CmgWindow window = data.draw(random, 9, 1.0, 0.5);
    EXPECT_TRUE(window.start >= 0 && window.start + 9 <= 150);
    EXPECT_EQ(std::count(data.held_out().begin(), data.held_out().end(), window.stream), 0);
    mirrored += window.mirrored;
    bool found = window.start + 9 == 150;  // pushed back from the end of the stream
    for (int frame = std::max(1, window.start - 45); frame <= std::min(149, window.start + 6);
         ++frame) {
      const auto zero = [&](int f) {
        const float* t = &data.motion().targets[(window.stream * 150 + f) * 3];
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
  const float* target = &data.motion().targets[(2 * 150 + 60) * 3];
  EXPECT_NEAR(commands[0], target[0] / std::max(-s.command_low[0], s.command_high[0]), 1e-6);
  EXPECT_EQ(other_commands[0], commands[0]);
  EXPECT_EQ(other_commands[1], -commands[1]);
  EXPECT_EQ(other_commands[2], -commands[2]);
}

TEST(CmgData, RefusesBadMotion) {
  const auto make = [](Trajectories motion, int frames, std::vector<double> upper) {
    return CmgData(std::move(motion), sine_mirror(), kLower, std::move(upper), 0, frames);
  };
  EXPECT_NO_THROW(make(sine_motion(2, 20), 20, kUpper));
  EXPECT_THROW(make(sine_motion(2, 20), 21, kUpper), UserError);
  EXPECT_THROW(make(sine_motion(2, 20), 20, {1, 2}), UserError);
  Trajectories broken = sine_motion(2, 20);
  broken.row(1, 7)[2] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(make(std::move(broken), 20, kUpper), UserError);
}

// --- training
// --------------------------------------------------------------------------------------

TEST(CmgTrainer, LearnsTheSine) {
  Workers workers(1);
  CmgTrainSettings settings = short_training();
  settings.iterations = 150;
  settings.unroll_min = settings.unroll_max;
  CmgTrainer trainer = make_trainer(workers, settings);
  const std::vector<int> horizons = {1, 10, 50};
  const std::vector<double> before = trainer.held_out(horizons);
  double first = 0, last = 0;
  for (int i = 0; i < 150; ++i) {
    const CmgUpdate update = trainer.update();
    EXPECT_EQ(update.iteration, i + 1);
    if (i < 5) first += update.loss / 5;
    if (i >= 145) last += update.loss / 5;
  }
  const std::vector<double> after = trainer.held_out(horizons);
  EXPECT_LT(last, 0.35 * first);
  EXPECT_LT(after[0], 0.5 * before[0]);
  EXPECT_LT(after[1], 0.5 * before[1]);
}

TEST(CmgTrainer, UnrollGrowsAndTheLearningRateWarmsUpAndFalls) {
  Workers workers(1);
  CmgTrainSettings settings = short_training();
  settings.iterations = 8;
  settings.unroll_growth = 0.5;
  settings.warmup = 2;
  CmgTrainer trainer = make_trainer(workers, settings);
  std::vector<int> unrolls;
  std::vector<double> rates;
  for (int i = 0; i < 10; ++i) {
    const CmgUpdate update = trainer.update();
    unrolls.push_back(update.unroll);
    rates.push_back(update.learning_rate / settings.learning_rate);
  }
  EXPECT_EQ(unrolls, (std::vector<int>{2, 4, 5, 7, 8, 8, 8, 8, 8, 8}));
  EXPECT_NEAR(rates[0], 0.5, 1e-6);
  EXPECT_NEAR(rates[4], 0.5 * (1 + 0.02), 1e-6);
  EXPECT_NEAR(rates[8], 0.02, 1e-6);
  EXPECT_NEAR(rates[9], 0.02, 1e-6);
}

TEST(CmgTrainer, ResultIsTheSameForAnyNumberOfWorkers) {
  Workers one(1);
  CmgTrainer reference = make_trainer(one);
  for (int i = 0; i < 4; ++i) reference.update();
  const std::vector<int> horizons = {1, 20};
  for (const int threads : {2, 3}) {
    Workers workers(threads);
    CmgTrainer trainer = make_trainer(workers);
    for (int i = 0; i < 4; ++i) trainer.update();
    expect_same(trainer.state(), reference.state());
    EXPECT_EQ(trainer.held_out(horizons), reference.held_out(horizons));
  }
}

TEST(CmgTrainer, ResumesExactly) {
  Workers workers(1);
  CmgTrainSettings settings = short_training();
  settings.teacher_forcing = 0.5;
  CmgTrainer whole = make_trainer(workers, settings), first = make_trainer(workers, settings);
  for (int i = 0; i < 5; ++i) whole.update();
  for (int i = 0; i < 2; ++i) first.update();

  // the second half starts from other weights and other moments
  CmgTrainer second = make_trainer(workers, settings);
  second.update();
  second.load_state(first.state());
  for (int i = 0; i < 3; ++i) second.update();
  expect_same(second.state(), whole.state());
  EXPECT_EQ(second.iteration(), 5);

  State incomplete = first.state();
  incomplete.erase("adam.mean");
  EXPECT_THROW(second.load_state(incomplete), UserError);
}

TEST(CmgTrainer, GradientPredictsTheChangeOfTheLoss) {
  Workers workers(1);
  CmgTrainer trainer = make_trainer(workers);
  const State before = trainer.probe();
  State state = trainer.state();
  double expected = 0;
  for (auto& [name, tensor] : state) {
    const auto gradient =
        before.find("gradient." + name.substr(std::min<std::size_t>(8, name.size())));
    if (name.rfind("network.", 0) != 0) continue;
    ASSERT_NE(gradient, before.end()) << name;
    tensor = tensor - 0.05 * gradient->second;
    expected -= 0.05 * gradient->second.square().sum().item<double>();
  }
  trainer.load_state(state);
  const double loss = before.at("loss").item<double>();
  EXPECT_NEAR(trainer.probe().at("loss").item<double>() - loss, expected,
              0.05 * std::abs(expected));
  EXPECT_LT(expected, 0);
}

TEST(CmgTrainer, ModelIsACopyThatKeepsConstantJoints) {
  Workers workers(1);
  CmgTrainer trainer = make_trainer(workers);
  for (int i = 0; i < 10; ++i) trainer.update();
  const Cmg model = trainer.model();
  const State saved = model.save();
  trainer.update();
  expect_same(model.save(), saved);

  CmgGenerator generator(Cmg::load(trainer.state(), 4));  // a checkpoint is a model, too
  const std::vector<Command> commands = {{0.5, 0, 0}, {0, 0.2, 0.3}};
  const Trajectories made = generate(generator, constant_plan(commands, 50), workers);
  for (int frame = 0; frame < 50; ++frame) {
    EXPECT_EQ(made.row(1, frame)[3], SineGenerator::kStill);
    EXPECT_EQ(made.row(1, frame)[7], 0);
  }
}

TEST(CmgTrainer, SkipsStepsThatAreNotFiniteAndThenGivesUp) {
  Workers workers(1);
  CmgTrainer trainer = make_trainer(workers);
  State state = trainer.state();
  state["network.gate.2.bias"] = at::full({2}, std::numeric_limits<float>::quiet_NaN());
  trainer.load_state(state);
  for (int i = 1; i <= 4; ++i) EXPECT_EQ(trainer.update().skipped, i);
  EXPECT_TRUE(at::equal(trainer.state().at("network.layers.0.weight"),
                        state.at("network.layers.0.weight")));
  EXPECT_THROW(trainer.update(), std::runtime_error);
}

TEST(CmgTrainer, RefusesSettingsThatContradict) {
  Workers workers(1);
  CmgTrainSettings settings = short_training();
  settings.unroll_min = 9;
  EXPECT_THROW(make_trainer(workers, settings), UserError);
  settings = short_training();
  settings.shards = 51;
  EXPECT_THROW(make_trainer(workers, settings), UserError);
  const std::vector<int> too_long = {150}, zero = {0};
  CmgTrainer trainer = make_trainer(workers);
  EXPECT_THROW(trainer.held_out(too_long), UserError);
  EXPECT_THROW(trainer.held_out(zero), UserError);
}

}  // namespace
}  // namespace twist
