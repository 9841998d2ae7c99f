// What a Ppo reports and remembers.

#include <torch/torch.h>

#include <algorithm>
#include <cmath>

#include "learn/ppo.h"

namespace twist {
namespace {

at::Tensor scalar(double value) { return torch::full({}, value, torch::kDouble); }

}  // namespace

// randomisation and pushes grow once the policy survives
void Ppo::adapt_difficulty(double fall_rate) {
  double difficulty = env_->difficulty();
  if (fall_rate < settings_.ramp_fall_rate) difficulty += settings_.ramp;
  if (fall_rate > 2 * settings_.ramp_fall_rate) difficulty -= settings_.ramp;
  env_->set_difficulty(std::clamp(difficulty, 0.0, 1.0));
}

// seconds of this collection by what they were spent on; the policy gets what the phases of the
// environment leave
void Ppo::report_profile(const std::vector<double>& before,
                         std::map<std::string, double>& log) const {
  const std::vector<double> after = env_->profile();
  double rest = log["collect_s"];
  for (int phase = 0; phase < kNumPhases; ++phase) {
    const double seconds = (after[phase] - before[phase]) / workers_->count();
    log[std::string("profile/") + kPhaseNames[phase]] = seconds;
    rest -= seconds;
  }
  log["profile/policy"] = rest;
}

void Ppo::report(std::map<std::string, double>& log) {
  const EnvStatistics sums = env_->take_statistics();
  const double steps = static_cast<double>(std::max<std::int64_t>(1, sums.steps));
  const double episodes = static_cast<double>(std::max<std::int64_t>(1, sums.episodes));
  const double simulated_s = steps * kControlStep;
  std::int64_t falls = sums.episodes - sums.causes[static_cast<int>(Cause::kTimeOut)];
  log["iteration"] = static_cast<double>(iteration_);
  log["env_steps"] = static_cast<double>(iteration_ * settings_.horizon * env_->num_envs());
  log["reward"] = sums.reward / simulated_s;
  log["fall_rate"] = static_cast<double>(falls) / simulated_s;
  log["episode_length_s"] = sums.episode_steps / episodes * kControlStep;
  log["velocity_error"] = sums.velocity_error / steps;
  log["yaw_rate_error"] = sums.yaw_rate_error / steps;
  log["lr"] = learning_rate_;
  log["std"] = actor_.log_std().detach().exp().mean().item<double>();
  log["difficulty"] = env_->difficulty();
  adapt_difficulty(log["fall_rate"]);
  log["quarantined"] = static_cast<double>(sums.quarantined);
  const auto terms = reward_terms();
  for (std::size_t i = 0; i < terms.size(); ++i) {
    if (sums.terms[i] != 0)
      log[std::string("reward/") + terms[i].name] = sums.terms[i] / simulated_s;
  }
  for (int cause = 1; cause < kNumCauses; ++cause) {
    log[std::string("termination/") + kCauseNames[cause]] =
        static_cast<double>(sums.causes[cause]) / episodes;
  }
}

State Ppo::state() const {
  torch::NoGradGuard no_grad;
  State state;
  learner_.parameters.save(state, "learner.");
  adam_.save(state, "adam.");
  normaliser_.save(state, "policy.normaliser.");

  // the policy to use is the averaged actor
  ActorCritic averaged(shape_, settings_.network, seed_, torch::kCPU);
  at::Tensor(averaged.parameters.flat()).copy_(average_);
  averaged.parameters.save(state, "policy.");

  at::Tensor records = torch::empty({env_->num_envs(), env_->record_size()}, torch::kDouble);
  env_->save(records.data_ptr<double>());
  state["env.records"] = records;
  auto& failures = env_->starts().failures();
  state["env.failures"] =
      torch::from_blob(failures.data(), {std::int64_t(failures.size())}, torch::kDouble).clone();
  state["ppo.iteration"] = scalar(static_cast<double>(iteration_));
  state["ppo.updates"] = scalar(static_cast<double>(updates_));
  state["ppo.learning_rate"] = scalar(learning_rate_);
  state["ppo.difficulty"] = scalar(env_->difficulty());
  state["ppo.seed"] = torch::full({}, static_cast<std::int64_t>(seed_), torch::kLong);
  for (auto& [name, tensor] : state) tensor = tensor.detach().cpu();
  return state;
}

void Ppo::warm_start(const State& state) {
  torch::NoGradGuard no_grad;
  normaliser_.load(state, "policy.normaliser.");
  learner_.parameters.load(state, "policy.");
  at::Tensor(actor_.parameters.flat()).copy_(learner_.parameters.flat());
  average_.copy_(learner_.parameters.flat());
}

void Ppo::load(const State& state) {
  torch::NoGradGuard no_grad;
  learner_.parameters.load(state, "learner.");
  at::Tensor(actor_.parameters.flat()).copy_(learner_.parameters.flat());
  adam_.load(state, "adam.");
  normaliser_.load(state, "policy.normaliser.");
  ActorCritic averaged(shape_, settings_.network, seed_, torch::kCPU);
  averaged.parameters.load(state, "policy.");
  average_.copy_(averaged.parameters.flat());

  at::Tensor records = torch::empty({env_->num_envs(), env_->record_size()}, torch::kDouble);
  load_tensor(state, "env.records", records);
  env_->load(records.data_ptr<double>());
  auto& failures = env_->starts().failures();
  at::Tensor kept =
      torch::from_blob(failures.data(), {std::int64_t(failures.size())}, torch::kDouble);
  load_tensor(state, "env.failures", kept);
  env_->starts().refresh();
  const auto number = [&](const std::string& name) {
    at::Tensor value = scalar(0);
    load_tensor(state, name, value);
    return value.item<double>();
  };
  iteration_ = std::llround(number("ppo.iteration"));
  updates_ = std::llround(number("ppo.updates"));
  learning_rate_ = number("ppo.learning_rate");
  env_->set_difficulty(number("ppo.difficulty"));
  at::Tensor seed = torch::zeros({}, torch::kLong);
  load_tensor(state, "ppo.seed", seed);
  seed_ = static_cast<std::uint64_t>(seed.item<std::int64_t>());
}

}  // namespace twist
