#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>
#include <stdexcept>

#include "base/error.h"
#include "g1.h"
#include "learn/policy.h"
#include "learn/ppo.h"
#include "learn/rollout.h"

namespace twist {
namespace {

at::Tensor random_tensor(std::vector<std::int64_t> shape, int stream) {
  Random random(11, stream, 0, Purpose::kNetwork);
  at::Tensor t = torch::empty(shape);
  for (std::int64_t i = 0; i < t.numel(); ++i) {
    t.data_ptr<float>()[i] = static_cast<float>(random.normal());
  }
  return t;
}

void expect_near(const at::Tensor& a, const at::Tensor& b, double tolerance) {
  ASSERT_EQ(a.sizes(), b.sizes());
  EXPECT_LT((a.to(torch::kDouble) - b.to(torch::kDouble)).abs().max().item<double>(), tolerance);
}

// --- advantage ---------------------------------------------------------------------------------

TEST(Rollout, AdvantageByHand) {
  // gamma 1/2, lambda 1/2, two environments; the second ends in its middle step
  Rollout rollout(3, 2, 1, 0, 1, 0);
  rollout.reward.copy_(torch::tensor({{1.0f, 1.0f}, {2.0f, 2.0f}, {3.0f, 3.0f}}));
  rollout.value.copy_(torch::tensor({{4.0f, 4.0f}, {8.0f, 8.0f}, {2.0f, 2.0f}, {6.0f, 6.0f}}));
  rollout.ended.copy_(torch::tensor({{0.0f, 0.0f}, {0.0f, 1.0f}, {0.0f, 0.0f}}));
  rollout.estimate_advantage(0.5, 0.5);

  // last step, bootstrapped from the value 6 behind the rollout: 3 + 6/2 - 2 = 4
  // first environment, middle: 2 + 2/2 - 8 = -5, and a quarter of 4: -4
  // first environment, first: 1 + 8/2 - 4 = 1, and a quarter of -4: 0
  // second environment, middle, ended: 2 - 8 = -6 and nothing from later
  // second environment, first: 1 + 8/2 - 4 = 1, and a quarter of -6: -0.5
  const at::Tensor advantage = torch::tensor({{0.0f, -0.5f}, {-4.0f, -6.0f}, {4.0f, 4.0f}});
  expect_near(rollout.advantage, advantage, 1e-6);
  expect_near(rollout.target, advantage + rollout.value.narrow(0, 0, 3), 1e-6);
}

TEST(Rollout, LambdaOneGivesDiscountedReturns) {
  const int horizon = 12;
  Rollout rollout(horizon, 3, 1, 0, 1, 0);
  rollout.reward.copy_(random_tensor({horizon, 3}, 1));
  rollout.value.copy_(random_tensor({horizon + 1, 3}, 2));
  rollout.ended[4][1] = 1;
  rollout.ended[11][2] = 1;
  rollout.estimate_advantage(0.9, 1.0);
  for (int env = 0; env < 3; ++env) {
    for (int begin = 0; begin < horizon; ++begin) {
      double expected = 0, discount = 1;
      int step = begin;
      for (bool ended = false; step < horizon && !ended; ++step) {
        expected += discount * rollout.reward[step][env].item<double>();
        discount *= 0.9;
        ended = rollout.ended[step][env].item<float>() == 1;
        if (ended) discount = 0;
      }
      expected += discount * rollout.value[horizon][env].item<double>();
      EXPECT_NEAR(rollout.target[begin][env].item<double>(), expected, 1e-5);
    }
  }
}

// --- normaliser --------------------------------------------------------------------------------

TEST(Normaliser, IsTheMeanAndVarianceOfAllSamplesAndTheirMirrorImages) {
  // feature 0 changes places with 1, 2 changes its sign, 3 stays
  const std::vector<int> source = {1, 0, 2, 3};
  const std::vector<float> sign = {1, 1, -1, 1};
  Normaliser normaliser(source, sign);
  std::vector<at::Tensor> all;
  for (int batch = 0; batch < 3; ++batch) {
    const at::Tensor raw = random_tensor({50 + 30 * batch, 4}, batch) * (1 + batch) +
                           torch::tensor({3.0f, -1.0f, 2.0f, 10.0f});
    normaliser.add(raw);
    const at::Tensor mirrored =
        torch::stack({raw.select(1, 1), raw.select(1, 0), -raw.select(1, 2), raw.select(1, 3)}, 1);
    all.insert(all.end(), {raw, mirrored});
  }
  // the start counts as a hundredth of a sample with mean 0 and variance 1
  const at::Tensor samples = torch::cat(all).to(torch::kDouble);
  const double count = samples.size(0) / 2 + 0.01;
  const at::Tensor mean = samples.sum(0) / 2 / count;
  const at::Tensor variance = (samples.square().sum(0) / 2 + 0.01) / count - mean.square();

  State state;
  normaliser.save(state, "n.");
  expect_near(state["n.mean"], mean, 1e-9);
  expect_near(state["n.variance"], variance, 1e-6);
  EXPECT_NEAR(state["n.mean"][2].item<double>(), 0, 1e-12);

  // every sample so normalised has mean 0 and variance 1, within the clip
  const at::Tensor x = normaliser.apply(samples.to(torch::kFloat));
  const at::Tensor expected =
      ((samples - mean) / (variance + 1e-4).sqrt()).clamp(-5, 5).to(torch::kFloat);
  expect_near(x, expected, 1e-4);
}

TEST(Normaliser, ClipsAndLoads) {
  Normaliser normaliser({0}, {1}), other({0}, {1});
  normaliser.add(torch::tensor({1.0f, 2.0f, 3.0f, 2.0f}).view({4, 1}));
  const at::Tensor far = torch::tensor({1e6f, -1e6f}).view({2, 1});
  expect_near(normaliser.apply(far), torch::tensor({5.0f, -5.0f}).view({2, 1}), 1e-6);
  State state;
  normaliser.save(state, "n.");
  other.load(state, "n.");
  const at::Tensor raw = random_tensor({5, 1}, 3);
  EXPECT_TRUE(at::equal(normaliser.apply(raw), other.apply(raw)));
}

// --- networks ----------------------------------------------------------------------------------

NetworkSettings small_network() {
  NetworkSettings s;
  s.actor = {16, 8};
  s.critic = {12};
  return s;
}

TEST(ActorCritic, IsWhatMatricesSay) {
  const ActorCritic net({5, 5, 3, 0}, small_network(), 4, torch::kCPU);
  State state;
  net.parameters.save(state, "");
  const at::Tensor x = random_tensor({7, 5}, 1);
  const auto layer = [&](const std::string& name, const at::Tensor& in) {
    return torch::matmul(in, state.at(name + ".weight").t()) + state.at(name + ".bias");
  };
  const auto elu = [](const at::Tensor& t) { return torch::where(t > 0, t, torch::exp(t) - 1); };
  torch::NoGradGuard no_grad;
  expect_near(net.outputs(x), layer("actor.2", elu(layer("actor.1", elu(layer("actor.0", x))))),
              1e-6);
  expect_near(net.value(x), layer("critic.1", elu(layer("critic.0", x))).squeeze(1), 1e-5);
  EXPECT_NEAR(net.log_std().mean().item<double>(), std::log(0.2), 1e-6);
}

TEST(ActorCritic, ActorComesFirst) {
  const ActorCritic net({5, 5, 3, 0}, small_network(), 4, torch::kCPU);
  std::int64_t size = 0;
  for (std::size_t i = 0; i < net.parameters.names().size(); ++i) {
    const bool critic = net.parameters.names()[i].starts_with("critic");
    EXPECT_EQ(critic, size >= net.actor_size) << net.parameters.names()[i];
    size += net.parameters.views()[i].numel();
  }
}

TEST(ActorCritic, WeightsBeginOrthogonalAndTheActorNearlySilent) {
  const ActorCritic net({20, 20, 3, 0}, small_network(), 4, torch::kCPU);
  State state;
  net.parameters.save(state, "");
  const at::Tensor first = state["actor.0.weight"], last = state["actor.2.weight"];  // (16, 20)
  expect_near(torch::matmul(first, first.t()), 2 * torch::eye(16), 1e-4);
  EXPECT_LT(last.abs().max().item<double>(), 0.004);
  EXPECT_GT(last.abs().max().item<double>(), 1e-5);
  EXPECT_EQ(state["actor.0.bias"].abs().max().item<double>(), 0);

  const ActorCritic same({20, 20, 3, 0}, small_network(), 4, torch::kCPU),
      other({20, 20, 3, 0}, small_network(), 5, torch::kCPU);
  EXPECT_TRUE(at::equal(net.parameters.flat(), same.parameters.flat()));
  EXPECT_FALSE(at::equal(net.parameters.flat(), other.parameters.flat()));
}

TEST(Policy, ActsAsTheActorOfTheCheckpoint) {
  const ActorCritic net({5, 5, 3, 0}, small_network(), 4, torch::kCPU);
  {
    torch::NoGradGuard no_grad;
    at::Tensor(net.parameters.flat()).copy_(0.3 * random_tensor({net.parameters.size()}, 6));
  }
  Normaliser normaliser({0, 1, 2, 3, 4}, {1, 1, 1, 1, 1});
  normaliser.add(random_tensor({40, 5}, 2) * 3 + 1);
  State state;
  net.parameters.save(state, "policy.");
  normaliser.save(state, "policy.normaliser.");

  const Policy policy(state, 5, 3);
  const at::Tensor raw = random_tensor({9, 5}, 3) * 3;
  at::Tensor actions = torch::zeros({9, 3});
  policy.act(raw.data_ptr<float>(), 9, actions.data_ptr<float>());
  torch::NoGradGuard no_grad;
  expect_near(actions, net.outputs(normaliser.apply(raw)), 1e-6);
  EXPECT_GT(actions.abs().max().item<double>(), 0.1);

  // one by one is the same
  at::Tensor single = torch::zeros({3});
  policy.act(raw.data_ptr<float>() + 5 * 4, 1, single.data_ptr<float>());
  expect_near(single, actions[4], 1e-6);
}

TEST(Policy, RefusesACheckpointThatDoesNotFit) {
  const ActorCritic net({5, 5, 3, 0}, small_network(), 4, torch::kCPU);
  State state;
  EXPECT_THROW(Policy(state, 5, 3), UserError);
  net.parameters.save(state, "policy.");
  EXPECT_THROW(Policy(state, 5, 3), UserError) << "without normaliser";
  Normaliser({0, 1, 2, 3, 4}, {1, 1, 1, 1, 1}).save(state, "policy.normaliser.");
  EXPECT_NO_THROW(Policy(state, 5, 3));
  EXPECT_THROW(Policy(state, 6, 3), UserError);
  const std::string error = error_of([&] { Policy(state, 5, 4); });
  EXPECT_NE(error.find("3"), std::string::npos) << error;
  EXPECT_NE(error.find("4"), std::string::npos) << error;
}

// --- the whole ---------------------------------------------------------------------------------

constexpr int kEnvs = 10;

EnvSettings training() {
  EnvSettings s;
  s.episode_s = 0.3;  // so that episodes end by time, too
  s.rewards = {{"velocity", 1.5}, {"leg_joints", 0.7}, {"contact", 0.6}, {"alive", 0.2}};
  return s;
}

PpoSettings learning() {
  PpoSettings s;
  s.network = small_network();
  s.horizon = 8;
  s.epochs = 2;
  s.minibatches = 2;
  s.block = 3;
  return s;
}

std::unique_ptr<Ppo> make_ppo(int threads, EnvSettings env_settings = training(),
                              const PpoSettings& settings = learning()) {
  at::set_num_threads(1);
  auto workers = std::make_shared<Workers>(threads);
  auto env = std::make_shared<Env>(g1(), env_settings, g1_pool(), kEnvs, threads, 5);
  return std::make_unique<Ppo>(std::move(env), std::move(workers), settings, 5, torch::kCPU);
}

void expect_same(const State& a, const State& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) {
    ASSERT_TRUE(b.contains(name)) << name;
    EXPECT_TRUE(at::equal(tensor, b.at(name))) << name;
  }
}

TEST(Ppo, ResultsDoNotDependOnTheWorkers) {
  State states[3];
  for (int threads = 1; threads <= 3; ++threads) {
    const auto ppo = make_ppo(threads);
    for (int i = 0; i < 2; ++i) ppo->iterate();
    states[threads - 1] = ppo->state();
  }
  expect_same(states[0], states[1]);
  expect_same(states[0], states[2]);
}

TEST(Ppo, FourIterationsAreTwoAndASavedStateAndTwo) {
  const auto whole = make_ppo(1);
  for (int i = 0; i < 4; ++i) whole->iterate();

  const auto first = make_ppo(2);
  for (int i = 0; i < 2; ++i) first->iterate();
  const State saved = first->state();
  const auto second = make_ppo(1);
  second->load(saved);
  expect_same(second->state(), saved);
  for (int i = 0; i < 2; ++i) second->iterate();
  expect_same(second->state(), whole->state());

  // the saved tensors are copies: going on must not have changed them
  expect_same(saved, [&] {
    const auto again = make_ppo(1);
    for (int i = 0; i < 2; ++i) again->iterate();
    return again->state();
  }());
}

TEST(Ppo, LearnsSomethingAndCountsItsSteps) {
  const auto ppo = make_ppo(1);
  const State before = ppo->state();
  ppo->iterate();
  const auto log = ppo->iterate();
  const State after = ppo->state();
  EXPECT_EQ(log.at("iteration"), 2);
  EXPECT_EQ(log.at("env_steps"), 2 * 8 * kEnvs);
  EXPECT_EQ(after.at("adam.steps").item<std::int64_t>(), 2 * 2 * 2);
  for (const char* name : {"learner.actor.0.weight", "learner.critic.0.weight", "learner.log_std",
                           "policy.actor.0.weight", "policy.normaliser.mean", "env.records"}) {
    EXPECT_FALSE(at::equal(before.at(name), after.at(name))) << name;
  }
  EXPECT_EQ(log.at("quarantined"), 0);
  EXPECT_GT(log.at("kl"), 0);
  double causes = 0;
  for (const char* cause : {"physics", "height", "tilt", "feet_close", "time_out"}) {
    causes += log.at(std::string("termination/") + cause);
  }
  EXPECT_NEAR(causes, 1, 1e-12);
}

TEST(Ppo, GradientThatIsNotFiniteStopsTheRunAndLeavesTheNetworkAlone) {
  EnvSettings settings = training();
  settings.rewards["alive"] = 1e300;
  PpoSettings patient = learning();
  patient.epochs = 4;  // eight steps, five are enough
  const auto ppo = make_ppo(1, settings, patient);
  const State before = ppo->state();
  const std::string error = error_of<std::runtime_error>([&] { ppo->iterate(); });
  EXPECT_NE(error.find("gradient was not finite"), std::string::npos) << error;
  const State after = ppo->state();
  for (const char* prefix : {"learner.", "policy.actor", "adam."}) {
    for (const auto& [name, tensor] : before) {
      if (name.starts_with(prefix)) {
        EXPECT_TRUE(at::equal(tensor, after.at(name))) << name;
      }
    }
  }
}

TEST(Ppo, RemembersWhereRobotsFell) {
  EnvSettings settings = training();
  settings.reset.failure_share = 1;
  std::shared_ptr<Env> envs[2];
  std::unique_ptr<Ppo> ppos[2];
  for (const int i : {0, 1}) {
    envs[i] = std::make_shared<Env>(g1(), settings, g1_pool(), kEnvs, 1, 5);
    ppos[i] =
        std::make_unique<Ppo>(envs[i], std::make_shared<Workers>(1), learning(), 5, torch::kCPU);
  }
  envs[0]->starts().add_failure(2, 160);
  envs[0]->update_starts();
  ppos[1]->load(ppos[0]->state());
  EXPECT_EQ(envs[1]->starts().failures(), envs[0]->starts().failures());
  Random random(1, 0, 0, Purpose::kMotion);
  EXPECT_EQ(envs[1]->starts().draw(random).first, 2) << "starts follow them";
}

TEST(Ppo, RefusesShapesThatDoNotFit) {
  PpoSettings settings = learning();
  settings.minibatches = 3;
  const std::string error = error_of([&] { make_ppo(1, training(), settings); });
  EXPECT_NE(error.find("80"), std::string::npos) << error;
  EXPECT_NE(error.find("12"), std::string::npos) << error;

  auto env = std::make_shared<Env>(g1(), training(), g1_pool(), kEnvs, 1, 5);
  EXPECT_THROW(Ppo(env, std::make_shared<Workers>(2), learning(), 5, torch::kCPU), UserError);
}

TEST(Ppo, RefusesAStateOfAnotherNetworkOrAnotherNumberOfEnvironments) {
  const State state = make_ppo(1)->state();
  PpoSettings wider = learning();
  wider.network.actor = {24, 8};
  const auto other = make_ppo(1, training(), wider);
  EXPECT_THROW(other->load(state), UserError);

  State cut = state;
  cut["env.records"] = cut["env.records"].narrow(0, 0, kEnvs - 1);
  EXPECT_THROW(make_ppo(1)->load(cut), UserError);
  cut = state;
  cut.erase("adam.mean");
  const std::string error = error_of([&] { make_ppo(1)->load(cut); });
  EXPECT_NE(error.find("adam.mean"), std::string::npos) << error;
}

}  // namespace
}  // namespace twist
