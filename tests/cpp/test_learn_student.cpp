// Encoders of a history, imitation of a teacher, and a student that learns.

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

#include "base/error.h"
#include "learn/ppo.h"
#include "serve/network.h"
#include "walking_env.h"

namespace twist {
namespace {

at::Tensor random_tensor(std::vector<std::int64_t> shape, int stream) {
  Random random(11, stream, 0, Purpose::kNetwork);
  at::Tensor t = torch::empty(shape);
  for (std::int64_t i = 0; i < t.numel(); ++i)
    t.data_ptr<float>()[i] = static_cast<float>(random.normal());
  return t;
}

void expect_near(const at::Tensor& a, const at::Tensor& b, double tolerance) {
  ASSERT_EQ(a.sizes(), b.sizes());
  EXPECT_LT((a - b).abs().max().item<double>(), tolerance);
}

// --- encoders ------------------------------------------------------------------------------------

struct Encoded {
  FlatParameters parameters;
  HistoryEncoder encoder;
  State state;

  Encoded(const std::string& kind, int frames, int width, int latent)
      : encoder(parameters, kind, frames, width, latent) {
    parameters.finish(torch::kCPU);
    encoder.initialise(parameters, 3);
    torch::NoGradGuard no_grad;  // biases that are zero would not show
    at::Tensor(parameters.flat()).add_(0.1 * random_tensor({parameters.size()}, 1));
    parameters.save(state, "");
  }
};

TEST(HistoryEncoder, FlatHandsOn) {
  FlatParameters parameters;
  const HistoryEncoder encoder(parameters, "flat", 4, 6, 99);
  EXPECT_EQ(encoder.outputs(), 24);
  EXPECT_EQ(parameters.size(), 0);
  const at::Tensor x = random_tensor({3, 24}, 2);
  EXPECT_TRUE(at::equal(encoder.forward(parameters, x), x));
}

struct Stack {
  int frames;
  std::vector<std::vector<std::int64_t>> shapes;  // of the convolutions
  std::vector<int> strides, lengths;              // after each
};

class Convolutions : public testing::TestWithParam<Stack> {};
INSTANTIATE_TEST_SUITE_P(
    Twist, Convolutions,
    testing::Values(Stack{1, {}, {}, {}}, Stack{10, {{40, 60, 4}, {20, 40, 2}}, {2, 1}, {4, 3}},
                    Stack{20, {{40, 60, 6}, {20, 40, 4}}, {2, 2}, {8, 3}},
                    Stack{50, {{40, 60, 8}, {20, 40, 5}, {20, 20, 5}}, {4, 1, 1}, {11, 7, 3}}));

// the table of the motion encoder, and sums by hand
TEST_P(Convolutions, AreThoseOfTheTable) {
  const Stack& stack = GetParam();
  const int width = 7, latent = 16;
  const Encoded e("conv", stack.frames, width, latent);
  EXPECT_EQ(e.encoder.outputs(), latent);
  EXPECT_EQ(e.state.size(), 2 * (2 + stack.shapes.size()));
  const at::Tensor history = random_tensor({2, stack.frames * width}, 5);
  const auto elu = [](double x) { return x > 0 ? x : std::expm1(x); };
  torch::NoGradGuard no_grad;

  // channels (60) of each frame
  std::vector<std::vector<double>> x(60, std::vector<double>(stack.frames));
  for (int channel = 0; channel < 60; ++channel) {
    for (int frame = 0; frame < stack.frames; ++frame) {
      double sum = e.state.at("encoder.frame.bias")[channel].item<double>();
      for (int i = 0; i < width; ++i)
        sum += e.state.at("encoder.frame.weight")[channel][i].item<double>() *
               history[1][frame * width + i].item<double>();
      x[channel][frame] = elu(sum);
    }
  }
  for (std::size_t layer = 0; layer < stack.shapes.size(); ++layer) {
    const std::string name = "encoder.conv." + std::to_string(layer);
    const at::Tensor weight = e.state.at(name + ".weight"), bias = e.state.at(name + ".bias");
    ASSERT_EQ(weight.sizes().vec(), stack.shapes[layer]);
    std::vector<std::vector<double>> y(weight.size(0), std::vector<double>(stack.lengths[layer]));
    for (std::int64_t out = 0; out < weight.size(0); ++out) {
      for (int at = 0; at < stack.lengths[layer]; ++at) {
        double sum = bias[out].item<double>();
        for (std::int64_t in = 0; in < weight.size(1); ++in) {
          for (std::int64_t k = 0; k < weight.size(2); ++k)
            sum += weight[out][in][k].item<double>() * x[in][at * stack.strides[layer] + k];
        }
        y[out][at] = elu(sum);
      }
    }
    x = y;
  }
  std::vector<double> flat;
  for (const auto& channel : x) flat.insert(flat.end(), channel.begin(), channel.end());
  ASSERT_EQ(flat.size(), 60u);
  const at::Tensor made = e.encoder.forward(e.parameters, history);
  for (int i = 0; i < latent; ++i) {
    double sum = e.state.at("encoder.latent.bias")[i].item<double>();
    for (int k = 0; k < 60; ++k)
      sum += e.state.at("encoder.latent.weight")[i][k].item<double>() * flat[k];
    EXPECT_NEAR(made[1][i].item<double>(), sum, 1e-4);
  }
}

TEST(HistoryEncoder, ConvolutionsAreMadeForFourLengths) {
  FlatParameters parameters;
  for (const int frames : {0, 2, 11, 100}) {
    const std::string error = error_of([&] { HistoryEncoder(parameters, "conv", frames, 7, 16); });
    EXPECT_NE(error.find("1, 10, 20 or 50"), std::string::npos) << error;
    EXPECT_NE(error.find(std::to_string(frames)), std::string::npos) << error;
  }
}

TEST(HistoryEncoder, GruIsThatOfPyTorch) {
  const int frames = 6, width = 5, latent = 8;
  const Encoded e("gru", frames, width, latent);
  torch::nn::GRU twin(torch::nn::GRUOptions(width, latent).batch_first(true));
  torch::NoGradGuard no_grad;
  const std::pair<const char*, const char*> names[] = {{"weight_ih_l0", "input.weight"},
                                                       {"bias_ih_l0", "input.bias"},
                                                       {"weight_hh_l0", "hidden.weight"},
                                                       {"bias_hh_l0", "hidden.bias"}};
  for (const auto& [theirs, ours] : names)
    twin->named_parameters()[theirs].copy_(e.state.at(std::string("encoder.") + ours));
  const at::Tensor history = random_tensor({4, frames * width}, 5);
  const at::Tensor expected =
      std::get<0>(twin->forward(history.view({4, frames, width}))).select(1, frames - 1);
  expect_near(e.encoder.forward(e.parameters, history), expected, 1e-5);
}

TEST(Actor, ReadsTheHistoryThroughItsEncoder) {
  const ObservationShape shape(4, 10, 3);
  NetworkSettings settings;
  settings.actor = {8};
  settings.latent = 6;
  for (const std::string kind : {"flat", "conv", "gru"}) {
    settings.encoder = kind;
    FlatParameters parameters;
    const Actor actor(parameters, shape, 2, settings);
    parameters.finish(torch::kCPU);
    actor.initialise(parameters, 3);
    State state;
    parameters.save(state, "policy.");
    const int inputs = kind == "flat" ? 34 : 10;
    EXPECT_EQ(state.at("policy.actor.0.weight").size(1), inputs) << kind;

    // a checkpoint says by itself what it is
    Normaliser normaliser(std::vector<int>(34, 0), std::vector<float>(34, 1));
    normaliser.save(state, "policy.normaliser.");
    const Policy policy(state, shape, 2);
    const at::Tensor x = random_tensor({5, 34}, 2);
    at::Tensor y = torch::empty({5, 2});
    policy.act(x.data_ptr<float>(), 5, y.data_ptr<float>());
    torch::NoGradGuard no_grad;
    expect_near(y, actor.forward(parameters, normaliser.apply(x)), 1e-7);
    EXPECT_GT(y.abs().max().item<double>(), 1e-4);
  }
  settings.encoder = "gru";
  FlatParameters parameters;
  EXPECT_THROW(Actor(parameters, ObservationShape(4), 2, settings), UserError);
}

// the forward pass without LibTorch
TEST(Network, AnswersAsTheActor) {
  const std::pair<const char*, int> cases[] = {
      {"flat", 0}, {"flat", 5}, {"conv", 1}, {"conv", 10}, {"conv", 20}, {"conv", 50}, {"gru", 6}};
  for (const auto& [kind, frames] : cases) {
    const ObservationShape shape(4, frames, frames == 0 ? 0 : 3);
    NetworkSettings settings;
    settings.actor = {9, 8};
    settings.latent = 6;
    settings.encoder = kind;
    FlatParameters parameters;
    const Actor actor(parameters, shape, 2, settings);
    parameters.finish(torch::kCPU);
    actor.initialise(parameters, 3);
    torch::NoGradGuard no_grad;
    at::Tensor(parameters.flat()).add_(0.2 * random_tensor({parameters.size()}, 1));
    State state;
    parameters.save(state, "");
    const int width = shape.width();
    state["normaliser.shift"] = random_tensor({width}, 2);
    state["normaliser.scale"] = random_tensor({width}, 3).abs() + 0.5;
    Tensors tensors;
    for (const auto& [name, tensor] : state) {
      const float* values = tensor.data_ptr<float>();
      tensors[name] = {{tensor.sizes().begin(), tensor.sizes().end()},
                       {values, values + tensor.numel()}};
    }
    const std::map<int, std::vector<int>> strides = {{10, {2, 1}}, {20, {2, 2}}, {50, {4, 1, 1}}};
    const bool strided = std::string(kind) == "conv" && frames > 1;
    Network network(tensors, 4, frames, shape.remembered,
                    strided ? strides.at(frames) : std::vector<int>{});
    ASSERT_EQ(network.inputs(), width);
    ASSERT_EQ(network.outputs(), 2);
    const at::Tensor x = 3 * random_tensor({5, width}, 4);
    const at::Tensor seen =
        ((x - state["normaliser.shift"]) * state["normaliser.scale"]).clamp(-5, 5);
    EXPECT_EQ(seen.max().item<float>(), 5) << "some should be cut";
    const at::Tensor expected = actor.forward(parameters, seen);
    at::Tensor y = torch::empty({5, 2});
    for (int i = 0; i < 5; ++i)
      network.run(x.data_ptr<float>() + i * width, y.data_ptr<float>() + i * 2);
    expect_near(y, expected, 1e-5);
    EXPECT_GT(y.std().item<double>(), 0.01);

    // what does not fit is named
    Tensors harmed = tensors;
    harmed["actor.1.bias"].values[2] = NAN;
    const auto error_with = [&](const Tensors& given) {
      return error_of([&] {
        Network(given, 4, frames, shape.remembered,
                strided ? strides.at(frames) : std::vector<int>{});
      });
    };
    EXPECT_NE(error_with(harmed).find("actor.1.bias"), std::string::npos) << kind;
    harmed = tensors;
    harmed.erase("normaliser.scale");
    EXPECT_NE(error_with(harmed).find("lacks the tensor normaliser.scale"), std::string::npos);
    harmed = tensors;
    harmed["actor.1.weight"].shape = {8, 10};
    EXPECT_NE(error_with(harmed).find("(8, 10), not (-1, 9)"), std::string::npos)
        << error_with(harmed);
  }
}

// --- imitation -----------------------------------------------------------------------------------

TEST(Imitation, WeightOfTheDivergenceFallsAlongHalfACosine) {
  ImitationSettings s;
  s.dagger_iterations = 10;
  s.kl_start = 0.5;
  s.kl_end = 0.1;
  s.kl_iterations = 100;
  EXPECT_EQ(kl_weight(s, 0), 1);
  EXPECT_EQ(kl_weight(s, 9), 1);
  EXPECT_NEAR(kl_weight(s, 10), 0.5, 1e-12);
  EXPECT_NEAR(kl_weight(s, 35), 0.3 + 0.2 * std::sqrt(0.5), 1e-12);
  EXPECT_NEAR(kl_weight(s, 60), 0.3, 1e-12);
  EXPECT_NEAR(kl_weight(s, 110), 0.1, 1e-12);
  EXPECT_NEAR(kl_weight(s, 1000000), 0.1, 1e-12) << "it never comes back";
}

TEST(Imitation, DivergenceIsTheMeanOfTheLogarithmicRatio) {
  // KL(student || teacher) = E_student[log student - log teacher], by integration
  const double mean_s = 0.3, std_s = 0.4, mean_t = -0.2, std_t = 0.7;
  double expected = 0;
  const double step = 1e-4;
  const auto log_density = [](double x, double mean, double std) {
    return -0.5 * std::pow((x - mean) / std, 2) - std::log(std) - 0.91893853320467274;
  };
  for (double x = -4; x < 4; x += step) {
    const double p = log_density(x, mean_s, std_s);
    expected += step * std::exp(p) * (p - log_density(x, mean_t, std_t));
  }
  const auto row = [](double a, double b) {
    return torch::tensor({static_cast<float>(a), static_cast<float>(b)});
  };
  const at::Tensor kl =
      kl_divergence(row(mean_s, 1).view({1, 2}), row(std::log(std_s), std::log(0.5)),
                    row(mean_t, 1).view({1, 2}), row(std::log(std_t), std::log(0.5)));
  ASSERT_EQ(kl.sizes().vec(), (std::vector<std::int64_t>{1}));
  EXPECT_NEAR(kl.item<double>(), expected, 1e-5) << "the second action is the same: nothing";
}

// a teacher that looks at command, gravity and gyro: what a student sees, too
State teacher_state() {
  ActorCritic net(
      {ObservationShape(ObservationLayout(*g1())), ObservationLayout(*g1()).width(), kActions, 0},
      [] {
        NetworkSettings s;
        s.actor = {6};
        s.critic = {12};
        return s;
      }(),
      4, torch::kCPU);
  torch::NoGradGuard no_grad;
  at::Tensor(net.parameters.flat()).add_(0.1 * random_tensor({net.parameters.size()}, 8));
  State state;
  net.parameters.save(state, "policy.");
  const at::Tensor weight = state.at("policy.actor.0.weight");
  weight.narrow(1, 9, weight.size(1) - 9).zero_();
  state.at("policy.actor.1.weight").add_(0.3 * random_tensor({kActions, 6}, 7));
  const ObservationLayout layout(*g1());
  Normaliser normaliser(layout.mirror_source, layout.mirror_sign);
  normaliser.add(random_tensor({50, layout.width()}, 9));
  normaliser.save(state, "policy.normaliser.");
  return state;
}

EnvSettings student_training() {
  EnvSettings s;
  s.observe = {"student", 3};
  s.episode_s = 0.3;
  s.rewards = {{"velocity", 1.5}, {"leg_joints", 0.7}, {"alive", 0.2}};
  return s;
}

TEST(Teacher, LabelsWithItsActionsAndTheTruth) {
  EnvSettings settings = student_training(), taught;
  settings.feed_forward = {1, 0};
  Env env(g1(), settings, g1_pool(), 5, 1, 3);
  const Teacher teacher(teacher_state(), taught, env);
  std::vector<float> labels(3 * 18, NAN);
  teacher.label(env, 2, 3, labels.data());
  const Policy policy(teacher_state(), ObservationShape(env.privileged_layout()), kActions);
  for (int i = 0; i < 3; ++i) {
    std::vector<float> action(kActions), expected(kActions);
    policy.act(&env.privileged[std::size_t(2 + i) * env.privileged_layout().width()], 1,
               action.data());
    env.translate(2 + i, taught, action.data(), expected.data());
    for (int k = 0; k < kActions; ++k) EXPECT_NEAR(labels[18 * i + k], expected[k], 1e-6);
    for (int axis = 0; axis < 3; ++axis) {
      const float velocity = static_cast<float>(env.pose(2 + i).lin_vel[axis]);
      EXPECT_EQ(labels[18 * i + kActions + axis], velocity);
    }
  }
}

constexpr int kEnvs = 8;

PpoSettings student_learning() {
  PpoSettings s;
  s.network.actor = {16};
  s.network.critic = {12};
  s.horizon = 6;
  s.epochs = 2;
  s.minibatches = 2;
  s.block = 3;
  s.imitation.dagger_iterations = 2;
  return s;
}

struct Student {
  std::shared_ptr<Env> env;
  std::unique_ptr<Ppo> ppo;

  explicit Student(int threads = 1, const PpoSettings& settings = student_learning()) {
    at::set_num_threads(1);
    env = std::make_shared<Env>(g1(), student_training(), g1_pool(), kEnvs, threads, 5);
    const auto teacher = std::make_shared<Teacher>(teacher_state(), EnvSettings(), *env);
    ppo = std::make_unique<Ppo>(env, std::make_shared<Workers>(threads), settings, 5, torch::kCPU,
                                teacher);
  }
};

void expect_same(const State& a, const State& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) EXPECT_TRUE(at::equal(tensor, b.at(name))) << name;
}

TEST(StudentPpo, BeginsWithTheTeachersCritic) {
  const State state = Student().ppo->state(), teacher = teacher_state();
  for (const char* name : {"critic.0.weight", "critic.1.bias"})
    EXPECT_TRUE(at::equal(state.at(std::string("learner.") + name),
                          teacher.at(std::string("policy.") + name)));
  PpoSettings wider = student_learning();
  wider.network.critic = {13};
  EXPECT_THROW(Student(1, wider), UserError);
}

TEST(StudentPpo, ComesNearerToItsTeacher) {
  PpoSettings settings = student_learning();
  settings.imitation.dagger_iterations = 1000;
  settings.epochs = 4;
  for (const char* encoder : {"flat", "gru"}) {
    settings.network.encoder = encoder;
    std::map<std::string, double> logs[2];  // of one that hardly moves, and one that learns
    for (const int learns : {0, 1}) {
      settings.imitation.dagger_rate = learns ? 3e-3 : 1e-7;
      const Student student(1, settings);
      for (int i = 0; i < 40; ++i) logs[learns] = student.ppo->iterate();
    }
    EXPECT_LT(logs[1].at("teacher_kl"), 0.5 * logs[0].at("teacher_kl")) << encoder;
    EXPECT_LT(logs[1].at("estimate_error"), 0.8 * logs[0].at("estimate_error")) << encoder;
    EXPECT_EQ(logs[1].at("lr"), settings.learning_rate) << "it adapts in PPO only";
  }
}

TEST(StudentPpo, ResultsDoNotDependOnTheWorkers) {
  State states[2];
  for (const int threads : {1, 2}) {
    const Student student(threads);
    for (int i = 0; i < 4; ++i) student.ppo->iterate();  // both phases
    states[threads - 1] = student.ppo->state();
  }
  expect_same(states[0], states[1]);
}

TEST(StudentPpo, ContinuesExactly) {
  const Student whole;
  for (int i = 0; i < 4; ++i) whole.ppo->iterate();
  State saved;
  {
    const Student first;
    for (int i = 0; i < 3; ++i) first.ppo->iterate();
    saved = first.ppo->state();
  }
  const Student second;
  second.ppo->load(saved);
  second.ppo->iterate();
  expect_same(second.ppo->state(), whole.ppo->state());
}

TEST(StudentPpo, NeedsATeacherAndATeacherNone) {
  auto workers = std::make_shared<Workers>(1);
  auto student = std::make_shared<Env>(g1(), student_training(), g1_pool(), kEnvs, 1, 5);
  EXPECT_THROW(Ppo(student, workers, student_learning(), 5, torch::kCPU), UserError);
  EnvSettings privileged = student_training();
  privileged.observe = {};
  auto teacher = std::make_shared<Env>(g1(), privileged, g1_pool(), kEnvs, 1, 5);
  auto taught = std::make_shared<Teacher>(teacher_state(), EnvSettings(), *teacher);
  EXPECT_THROW(Ppo(teacher, workers, student_learning(), 5, torch::kCPU, taught), UserError);
}

}  // namespace
}  // namespace twist
