#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <string>

#include "base/error.h"
#include "error_of.h"
#include "motion/cmg_rollout.h"
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
  return settings;
}

CmgDataSettings quarter_held_out() {
  CmgDataSettings settings;
  settings.held_out_share = 0.25;
  return settings;
}

CmgTrainer make_trainer(Workers& workers, const CmgTrainSettings& settings = short_training(),
                        const CmgDataSettings& windows = quarter_held_out(),
                        const CmgSettings& network = small_network()) {
  return CmgTrainer(network, settings, windows, sine_motion(24, 150), sine_mirror(), kLower, kUpper,
                    workers, at::kCPU);
}

void expect_same(const State& a, const State& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) EXPECT_TRUE(at::equal(tensor, b.at(name))) << name;
}

TEST(CmgTrainer, LearnsTheSine) {
  Workers workers(1);
  CmgTrainSettings settings = short_training();
  settings.iterations = 150;
  settings.unroll_min = settings.unroll_max;
  CmgTrainer trainer = make_trainer(workers, settings, quarter_held_out());
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

TEST(CmgTrainer, ResumesExactlyOnAPlateau) {
  Workers workers(1);
  CmgTrainSettings settings = short_training();
  settings.schedule = "plateau";
  settings.plateau_patience = 1;  // cut the rate after the second epoch that is not better
  settings.plateau_lowest = 1e-5;
  settings.unroll_max = 2;
  CmgDataSettings windows = quarter_held_out();
  windows.stride = 40;  // 18 streams of 4 windows and their mirror images: 2.9 updates an epoch
  CmgTrainer whole = make_trainer(workers, settings, windows);
  for (int cut = 28; cut < 40; ++cut) {  // also within an epoch and between bad ones
    whole = make_trainer(workers, settings, windows);
    CmgTrainer first = make_trainer(workers, settings, windows),
               second = make_trainer(workers, settings, windows);
    for (int i = 0; i < cut; ++i) first.update();
    second.load_state(first.state());
    double lowest = 1;
    for (int i = 0; i < 70; ++i) {
      const CmgUpdate expected = whole.update();
      if (i < cut) continue;
      EXPECT_EQ(second.update().learning_rate, expected.learning_rate) << cut << " " << i;
      lowest = expected.learning_rate;
    }
    EXPECT_LT(lowest, settings.learning_rate) << "the rate must fall, or this shows nothing";
    expect_same(second.state(), whole.state());
  }
}

// The median over the streams held out of the mean square error of `guess` (frames after the
// start, stream), over varying features. With 150 frames and a horizon of 99 there is one start:
// frame 50.
template <class Guess>
double baseline_error(const CmgTrainer& trainer, int ahead, const Guess& guess) {
  const CmgData& data = trainer.data();
  const CmgStatistics& s = data.statistics();
  std::vector<double> errors;
  for (const int stream : data.held_out()) {
    const float* made = data.motion().row(stream, guess(stream, ahead));
    const float* truth = data.motion().row(stream, 50 + ahead);
    double sum = 0, count = 0;
    for (int i = 0; i < data.features(); ++i) {
      if (s.active[i] == 0) continue;
      sum += std::pow((made[i] - truth[i]) / s.deviation[i], 2);
      ++count;
    }
    errors.push_back(sum / count);
  }
  std::sort(errors.begin(), errors.end());
  return errors[errors.size() / 2];
}

// The frame 20 to 50 frames before frame 50 that is most like it.
int most_alike(const CmgData& data, int stream) {
  const CmgStatistics& s = data.statistics();
  int found = 0;
  double least = 1e30;
  for (int frame = 0; frame <= 30; ++frame) {
    double sum = 0;
    for (int i = 0; i < data.features(); ++i) {
      if (s.active[i] == 0) continue;
      const float *a = data.motion().row(stream, frame), *b = data.motion().row(stream, 50);
      sum += std::pow((a[i] - b[i]) / s.deviation[i], 2);
    }
    if (sum < least) least = sum, found = frame;
  }
  return found;
}

TEST(CmgTrainer, TrivialBaselinesAreThoseOfTheHand) {
  Workers workers(2);
  const CmgTrainer trainer = make_trainer(workers);
  const std::vector<int> horizons = {1, 30, 99};
  const std::vector<double> hold = trainer.held_out(horizons, "hold"),
                            repeat = trainer.held_out(horizons, "repeat");
  for (int i = 0; i < 3; ++i) {
    const double held = baseline_error(trainer, horizons[i], [](int, int) { return 50; });
    const double repeated = baseline_error(trainer, horizons[i], [&](int stream, int ahead) {
      const int first = most_alike(trainer.data(), stream), cycle = 50 - first;
      return first + 1 + (ahead - 1) % cycle;
    });
    EXPECT_NEAR(hold[i], held, 1e-4 * held + 1e-6) << horizons[i];
    EXPECT_NEAR(repeat[i], repeated, 1e-4 * repeated + 1e-6) << horizons[i];
  }
  EXPECT_GT(hold[1], hold[0]);
  EXPECT_NE(hold, repeat);
  EXPECT_NE(error_of([&] { trainer.held_out(horizons, "guess"); }).find("'guess'"),
            std::string::npos);
}

TEST(CmgTrainer, LearnsJointsAloneAndNextFrames) {
  Workers workers(1);
  CmgSettings network = small_network();
  network.profile = "joints";
  network.predicts = "next";
  CmgTrainSettings settings = short_training();
  settings.loss = "mse";
  settings.through_time = false;
  settings.teacher_forcing = 1;
  settings.teacher_draw = "batch";
  settings.schedule = "plateau";
  CmgTrainer trainer = make_trainer(workers, settings, quarter_held_out(), network);
  const std::vector<int> one = {1};
  const double before = trainer.held_out(one)[0];
  for (int i = 0; i < 150; ++i) trainer.update();
  EXPECT_LT(trainer.held_out(one)[0], 0.3 * before);
  const Cmg model = Cmg::load(trainer.model().save(), 4);
  EXPECT_EQ(model.network().carry(), 0);
  EXPECT_EQ(model.statistics().features(), 8);
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
    if (name.rfind("network.", 0) != 0 || name == "network.carry") continue;
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
