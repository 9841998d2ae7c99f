#include "learn/ppo.h"

#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/random.h"

namespace twist {
namespace {

constexpr double kLogSqrt2Pi = 0.91893853320467274;
constexpr int kMaxNotFinite = 5;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// log-probability of independent normals: (batch, actions) -> (batch)
at::Tensor log_probability(const at::Tensor& action, const at::Tensor& mean,
                           const at::Tensor& log_std) {
  const at::Tensor z = (action - mean) * torch::exp(-log_std);
  return (-0.5 * z.square() - log_std).sum(-1) - kLogSqrt2Pi * action.size(-1);
}

at::Tensor scalar(double value) { return torch::full({}, value, torch::kDouble); }

}  // namespace

/// The rollout as one list of samples on the learner's device.
struct Ppo::Batch {
  at::Tensor observation;                         // (samples, observations) normalised
  at::Tensor mirrored;                            // the same reflected
  at::Tensor action, mean;                        // (samples, actions)
  at::Tensor log_prob, value, advantage, target;  // (samples)
  at::Tensor log_std;                             // (actions) of the policy that acted
};

/// Sums over samples.
struct Ppo::Losses {
  double policy = 0, value = 0, mirror = 0, kl = 0, clipped = 0;
  std::int64_t samples = 0, plain = 0;
  void add(const Losses& other) {
    policy += other.policy;
    value += other.value;
    mirror += other.mirror;
    kl += other.kl;
    clipped += other.clipped;
    samples += other.samples;
    plain += other.plain;
  }
};

Ppo::Ppo(std::shared_ptr<Env> env, std::shared_ptr<Workers> workers, const PpoSettings& settings,
         std::uint64_t seed, at::Device device)
    : env_(std::move(env)),
      workers_(std::move(workers)),
      settings_(settings),
      seed_(seed),
      device_(device),
      learner_(env_->layout().width(), env_->robot().num_actions(), settings.network, seed, device),
      actor_(env_->layout().width(), env_->robot().num_actions(), settings.network, seed,
             torch::kCPU),
      average_(actor_.parameters.flat().clone()),
      normaliser_(env_->layout().mirror_source, env_->layout().mirror_sign),
      adam_(learner_.parameters.flat(), 0.9, 0.999, 1e-8),
      rollout_(settings.horizon, env_->num_envs(), env_->layout().width(),
               env_->robot().num_actions()),
      learning_rate_(settings.learning_rate) {
  const std::int64_t samples = std::int64_t(settings.horizon) * env_->num_envs();
  if (samples % (std::int64_t(settings.minibatches) * settings.shards) != 0) {
    fail("horizon * envs = ", samples,
         " must be a multiple of minibatches * shards = ", settings.minibatches * settings.shards);
  }
  if (workers_->count() > env_->num_workers())
    fail("the environment was made for fewer worker threads");

  std::vector<int> source;
  std::vector<float> sign;
  action_mirror(env_->robot(), &source, &sign);
  observation_source_ = torch::tensor(env_->layout().mirror_source, torch::kLong).to(device);
  observation_sign_ = torch::tensor(env_->layout().mirror_sign).to(device);
  action_source_ = torch::tensor(source, torch::kLong).to(device);
  action_sign_ = torch::tensor(sign).to(device);

  env_->profiling = true;

  // the normaliser knows the first observations before the first action
  normaliser_.add(
      torch::from_blob(env_->observation.data(), {env_->num_envs(), env_->layout().width()}));
}

std::map<std::string, double> Ppo::iterate() {
  std::map<std::string, double> log;
  const auto start = std::chrono::steady_clock::now();
  const std::vector<double> before = env_->profile();
  collect();
  log["collect_s"] = seconds_since(start);
  report_profile(before, log);

  const auto middle = std::chrono::steady_clock::now();
  rollout_.estimate_advantage(settings_.gamma, settings_.lambda);
  update(log);
  normaliser_.add(rollout_.observation.flatten(0, 1));
  log["update_s"] = seconds_since(middle);

  ++iteration_;
  report(log);
  return log;
}

// --- collect
// -------------------------------------------------------------------------------------------------------

// Every block of environments lives through the whole horizon on one worker: no barrier until all
// are done.
void Ppo::collect() {
  const int blocks = (env_->num_envs() + settings_.block - 1) / settings_.block;
  workers_->run(blocks, [&](int block, int worker) { collect_block(block, worker); });
  env_->update_starts();
}

void Ppo::collect_block(int block, int worker) {
  at::init_num_threads();  // a thread's first torch operation must know that it is alone
  c10::InferenceMode inference;
  const int first = block * settings_.block,
            count = std::min(settings_.block, env_->num_envs() - first);
  const int width = env_->layout().width(), actions = env_->robot().num_actions();
  const at::Tensor std = actor_.log_std().exp();
  const auto observe = [&] {
    return torch::from_blob(env_->observation.data() + std::size_t(first) * width, {count, width});
  };
  const auto part = [&](const at::Tensor& buffer, int step) {
    return buffer[step].narrow(0, first, count);
  };

  for (int step = 0; step < settings_.horizon; ++step) {
    // act
    const at::Tensor raw = observe(), x = normaliser_.apply(raw);
    const at::Tensor mean = actor_.mean(x);
    at::Tensor noise = torch::empty({count, actions});
    for (int i = 0; i < count; ++i) {
      Random random(seed_, first + i,
                    static_cast<std::uint32_t>(iteration_ * settings_.horizon + step),
                    Purpose::kAction);
      for (int k = 0; k < actions; ++k)
        noise.data_ptr<float>()[i * actions + k] = static_cast<float>(random.normal());
    }
    const at::Tensor action = (mean + std * noise).contiguous();
    part(rollout_.observation, step).copy_(raw);
    part(rollout_.mean, step).copy_(mean);
    part(rollout_.action, step).copy_(action);
    part(rollout_.log_prob, step).copy_(log_probability(action, mean, actor_.log_std()));
    part(rollout_.value, step).copy_(actor_.value(x));

    // simulate
    bool timed_out = false;
    float* reward =
        rollout_.reward.data_ptr<float>() + std::size_t(step) * env_->num_envs() + first;
    float* ended = rollout_.ended.data_ptr<float>() + std::size_t(step) * env_->num_envs() + first;
    for (int i = 0; i < count; ++i) {
      env_->step(first + i, worker, action.data_ptr<float>() + std::size_t(i) * actions);
      reward[i] = env_->reward[first + i];
      ended[i] = env_->cause[first + i] == Cause::kNone ? 0.0f : 1.0f;
      timed_out |= env_->cause[first + i] == Cause::kTimeOut;
    }

    // a time-out is no fall: what would have followed counts
    if (!timed_out) continue;
    const at::Tensor last = torch::from_blob(
        env_->final_observation.data() + std::size_t(first) * width, {count, width});
    const at::Tensor rest = actor_.value(normaliser_.apply(last)).contiguous();
    for (int i = 0; i < count; ++i) {
      if (env_->cause[first + i] == Cause::kTimeOut) {
        reward[i] += static_cast<float>(settings_.gamma) * rest.data_ptr<float>()[i];
      }
    }
  }
  part(rollout_.value, settings_.horizon).copy_(actor_.value(normaliser_.apply(observe())));
}

// --- learn
// ---------------------------------------------------------------------------------------------------------

Ppo::Batch Ppo::flatten() const {
  torch::NoGradGuard no_grad;
  const auto samples = [&](const at::Tensor& t) { return t.flatten(0, 1).to(device_); };
  Batch batch;
  batch.observation = normaliser_.apply(rollout_.observation.flatten(0, 1)).to(device_);
  batch.mirrored = batch.observation.index_select(1, observation_source_) * observation_sign_;
  batch.action = samples(rollout_.action);
  batch.mean = samples(rollout_.mean);
  batch.log_prob = samples(rollout_.log_prob);
  batch.value = samples(rollout_.value.narrow(0, 0, settings_.horizon));
  batch.advantage = samples(rollout_.advantage);
  batch.target = samples(rollout_.target);
  batch.log_std = learner_.log_std().detach().clone();
  return batch;
}

void Ppo::update(std::map<std::string, double>& log) {
  const Batch batch = flatten();
  const std::int64_t samples = batch.action.size(0), size = samples / settings_.minibatches;

  Losses last_epoch;
  std::vector<std::int64_t> order(samples);
  for (int epoch = 0; epoch < settings_.epochs; ++epoch) {
    // a fresh shuffle in every epoch
    std::iota(order.begin(), order.end(), 0);
    Random random(seed_, epoch, static_cast<std::uint32_t>(iteration_), Purpose::kMinibatch);
    for (std::int64_t i = samples - 1; i > 0; --i)
      std::swap(order[i], order[random.index(static_cast<int>(i + 1))]);
    const at::Tensor rows = torch::tensor(order, torch::kLong).to(device_);

    Losses losses;
    for (int part = 0; part < settings_.minibatches; ++part) {
      learn_minibatch(batch, rows.narrow(0, part * size, size), losses);
    }
    last_epoch = losses;
  }
  torch::NoGradGuard no_grad;
  at::Tensor(actor_.parameters.flat()).copy_(learner_.parameters.flat());

  const double kl = last_epoch.kl / std::max<std::int64_t>(1, last_epoch.plain);
  adapt_learning_rate(kl);
  log["kl"] = kl;
  log["policy_loss"] = last_epoch.policy / last_epoch.samples;
  log["value_loss"] = last_epoch.value / last_epoch.samples;
  log["mirror_loss"] =
      last_epoch.mirror / std::max<std::int64_t>(1, last_epoch.samples - last_epoch.plain);
  log["clipped"] = last_epoch.clipped / last_epoch.samples;
}

// Shards are computed by any worker and summed in their order.
void Ppo::learn_minibatch(const Batch& batch, const at::Tensor& rows, Losses& total) {
  const int shards = device_.is_cpu() ? settings_.shards : 1;
  const std::int64_t size = rows.size(0) / shards;
  std::vector<Losses> losses(shards);
  at::Tensor gradients =
      torch::empty({shards, learner_.parameters.size()}, learner_.parameters.flat().options());

  // advantages are normalised over the minibatch
  Batch view = batch;
  {
    torch::NoGradGuard no_grad;
    const at::Tensor advantage = batch.advantage.index_select(0, rows);
    view.advantage = (batch.advantage - advantage.mean()) / (advantage.std() + 1e-8);
  }
  const auto shard = [&](int index) {
    losses[index] =
        learn_shard(view, rows.narrow(0, index * size, size), rows.size(0), gradients[index]);
  };
  if (shards > 1) {
    workers_->run(shards, [&](int index, int) {
      at::init_num_threads();
      shard(index);
    });
  } else {
    shard(0);
  }
  for (const Losses& part : losses) total.add(part);
  apply_gradient(gradients.sum(0));
}

// The clipped surrogate, the clipped value loss, the entropy and the symmetry of one shard; its
// gradient.
Ppo::Losses Ppo::learn_shard(const Batch& batch, const at::Tensor& rows, std::int64_t minibatch,
                             at::Tensor gradient) const {
  // the last part of the rows is seen in the mirror; its old log-probability stays that of the
  // original sample
  const std::int64_t mirrored =
      std::llround(settings_.mirror_share * static_cast<double>(rows.size(0)));
  const std::int64_t plain = rows.size(0) - mirrored;
  const at::Tensor plain_rows = rows.narrow(0, 0, plain),
                   mirror_rows = rows.narrow(0, plain, mirrored);
  const auto reflect = [&](const at::Tensor& a) {
    return a.index_select(1, action_source_) * action_sign_;
  };
  const auto pick = [&](const at::Tensor& t) { return t.index_select(0, rows); };
  const at::Tensor x = torch::cat(
      {batch.observation.index_select(0, plain_rows), batch.mirrored.index_select(0, mirror_rows)});
  const at::Tensor old_mean = torch::cat(
      {batch.mean.index_select(0, plain_rows), reflect(batch.mean.index_select(0, mirror_rows))});
  const at::Tensor action = torch::cat({batch.action.index_select(0, plain_rows),
                                        reflect(batch.action.index_select(0, mirror_rows))});
  const at::Tensor advantage = pick(batch.advantage), old_value = pick(batch.value),
                   target = pick(batch.target);

  const at::Tensor mean = learner_.mean(x), value = learner_.value(x), log_std = learner_.log_std();
  const at::Tensor ratio =
      torch::exp(log_probability(action, mean, log_std) - pick(batch.log_prob));
  const at::Tensor surrogate =
      -torch::min(ratio * advantage,
                  ratio.clamp(1 - settings_.clip, 1 + settings_.clip) * advantage)
           .sum();
  const at::Tensor clipped_value =
      old_value + (value - old_value).clamp(-settings_.value_clip, settings_.value_clip);
  const at::Tensor value_loss =
      torch::max((value - target).square(), (clipped_value - target).square()).sum();
  const at::Tensor entropy = log_std.sum() * static_cast<double>(rows.size(0));

  // the mean in the mirror must be the mirror of the old mean
  const at::Tensor distance =
      ((mean - old_mean) * torch::exp(-log_std.detach())).square().sum(-1) * 0.5;
  const at::Tensor mirror_loss = distance.narrow(0, plain, mirrored).sum();

  const double decay =
      std::max(0.0, 1.0 - static_cast<double>(iteration_) / settings_.entropy_iterations);
  const at::Tensor loss =
      (surrogate + 0.5 * settings_.value_weight * value_loss - settings_.entropy * decay * entropy +
       settings_.mirror_weight * mirror_loss) /
      static_cast<double>(minibatch);
  learner_.parameters.pack(torch::autograd::grad({loss}, learner_.parameters.views()), gradient);

  // KL(old || new) of the plain samples
  torch::NoGradGuard no_grad;
  const at::Tensor ratio_std = torch::exp(batch.log_std - log_std);
  const at::Tensor spread = (0.5 * (ratio_std.square() - 1) - torch::log(ratio_std)).sum();
  Losses losses;
  losses.samples = rows.size(0);
  losses.plain = plain;
  losses.policy = surrogate.item<double>();
  losses.value = value_loss.item<double>();
  losses.mirror = mirror_loss.item<double>();
  losses.kl = distance.narrow(0, 0, plain).sum().item<double>() +
              spread.item<double>() * static_cast<double>(plain);
  losses.clipped = (ratio.detach() - 1).abs().gt(settings_.clip).sum().item<double>();
  return losses;
}

// One optimiser step, if the gradient is finite.
bool Ppo::apply_gradient(at::Tensor gradient) {
  torch::NoGradGuard no_grad;
  const std::int64_t actor_size = learner_.actor_size, critic_size = gradient.size(0) - actor_size;
  for (at::Tensor part :
       {gradient.narrow(0, 0, actor_size), gradient.narrow(0, actor_size, critic_size)}) {
    const double norm = part.norm().item<double>();
    if (!std::isfinite(norm)) {
      if (++not_finite_ < kMaxNotFinite) return false;
      throw std::runtime_error(
          "the gradient was not finite " + std::to_string(kMaxNotFinite) +
          " times in a row: lower ppo.learning_rate or look for a reward that explodes");
    }
    if (norm > settings_.grad_norm) part.mul_(settings_.grad_norm / norm);
  }
  not_finite_ = 0;
  adam_.step(learner_.parameters.flat(), gradient, learning_rate_);
  at::Tensor(learner_.log_std())
      .clamp_(std::log(settings_.network.std_min), std::log(settings_.network.std_max));

  // the average forgets the beginning faster
  ++updates_;
  const double decay = std::min(settings_.ema, 1.0 - 1.0 / (10.0 + static_cast<double>(updates_)));
  average_.lerp_(learner_.parameters.flat().cpu(), 1.0 - decay);
  return true;
}

void Ppo::adapt_learning_rate(double kl) {
  if (kl > 2.0 * settings_.target_kl) learning_rate_ /= 1.3;
  if (kl < 0.5 * settings_.target_kl) learning_rate_ *= 1.2;
  learning_rate_ =
      std::clamp(learning_rate_, settings_.learning_rate_min, settings_.learning_rate_max);
}

// --- report, save, load
// --------------------------------------------------------------------------------------------

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
  ActorCritic averaged(env_->layout().width(), env_->robot().num_actions(), settings_.network,
                       seed_, torch::kCPU);
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
  ActorCritic averaged(env_->layout().width(), env_->robot().num_actions(), settings_.network,
                       seed_, torch::kCPU);
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
