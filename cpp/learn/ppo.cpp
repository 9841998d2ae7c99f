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

ActorCriticShape shape_of(const Env& env) {
  return {ObservationShape(env.layout()), env.privileged_layout().width(),
          env.robot().num_actions(), env.layout().estimates()};
}

}  // namespace

/// The rollout as one list of samples on the learner's device.
struct Ppo::Batch {
  at::Tensor observation, mirrored;               // (samples, observations) normalised; reflected
  at::Tensor critic, critic_mirrored;             // (samples, privileged) likewise
  at::Tensor label;                               // (samples, outputs) of the teacher
  at::Tensor action, mean;                        // (samples, actions)
  at::Tensor log_prob, value, advantage, target;  // (samples)
  at::Tensor log_std;                             // (actions) of the policy that acted
};

/// Environments that are collected together, and their part of larger arrays.
struct Ppo::Block {
  int first, count;

  // of (horizon, envs, ...)
  at::Tensor of(const at::Tensor& buffer, int step) const {
    return buffer[step].narrow(0, first, count);
  }
  // of (envs, width)
  at::Tensor of(const std::vector<float>& buffer, const ObservationLayout& layout) const {
    float* begin = const_cast<float*>(buffer.data()) + std::size_t(first) * layout.width();
    return torch::from_blob(begin, {count, layout.width()});
  }
};

/// Sums over samples.
struct Ppo::Losses {
  double policy = 0, value = 0, mirror = 0, kl = 0, clipped = 0, teacher_kl = 0, estimate = 0;
  std::int64_t samples = 0, plain = 0;
  void add(const Losses& other) {
    policy += other.policy;
    value += other.value;
    mirror += other.mirror;
    kl += other.kl;
    clipped += other.clipped;
    teacher_kl += other.teacher_kl;
    estimate += other.estimate;
    samples += other.samples;
    plain += other.plain;
  }
};

Ppo::Ppo(std::shared_ptr<Env> env, std::shared_ptr<Workers> workers, const PpoSettings& settings,
         std::uint64_t seed, at::Device device, std::shared_ptr<const Teacher> teacher)
    : env_(std::move(env)),
      workers_(std::move(workers)),
      settings_(settings),
      seed_(seed),
      device_(device),
      teacher_(std::move(teacher)),
      shape_(shape_of(*env_)),
      learner_(shape_, settings.network, seed, device),
      actor_(shape_, settings.network, seed, torch::kCPU),
      normaliser_(env_->layout().mirror_source, env_->layout().mirror_sign),
      rollout_(settings.horizon, env_->num_envs(), env_->layout().width(),
               env_->is_privileged() ? 0 : env_->privileged_layout().width(),
               env_->robot().num_actions(), teacher_ ? env_->num_outputs() : 0),
      learning_rate_(settings.learning_rate) {
  const std::int64_t samples = std::int64_t(settings.horizon) * env_->num_envs();
  if (samples % (std::int64_t(settings.minibatches) * settings.shards) != 0) {
    fail("horizon * envs = ", samples,
         " must be a multiple of minibatches * shards = ", settings.minibatches * settings.shards);
  }
  if (workers_->count() > env_->num_workers())
    fail("the environment was made for fewer worker threads");
  if (env_->is_privileged() == static_cast<bool>(teacher_))
    fail(teacher_ ? "a teacher learns without another" : "a student needs a teacher");

  // how everything looks in a mirror
  const auto make_map = [&](const std::vector<int>& source, const std::vector<float>& sign) {
    return MirrorMap{torch::tensor(source, torch::kLong).to(device),
                     torch::tensor(sign).to(device)};
  };
  const auto answer_map = [&](int estimates) {
    std::vector<int> source;
    std::vector<float> sign;
    action_mirror(env_->robot(), estimates, &source, &sign);
    return make_map(source, sign);
  };
  const ObservationLayout &seen = env_->layout(), &judged = env_->privileged_layout();
  observation_mirror_ = make_map(seen.mirror_source, seen.mirror_sign);
  critic_mirror_ = make_map(judged.mirror_source, judged.mirror_sign);
  action_mirror_ = answer_map(0);
  output_mirror_ = answer_map(seen.estimates());

  if (teacher_) {
    teacher_->hand_on_critic(learner_);
    teacher_->hand_on_critic(actor_);
  }
  average_ = actor_.parameters.flat().clone();
  adam_ = Adam(learner_.parameters.flat(), 0.9, 0.999, 1e-8);
  env_->profiling = true;

  // the normaliser knows the first observations before the first action
  normaliser_.add(torch::from_blob(env_->observation.data(), {env_->num_envs(), seen.width()}));
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

void Ppo::collect_block(int index, int worker) {
  at::init_num_threads();  // a thread's first torch operation must know that it is alone
  c10::InferenceMode inference;
  const int first = index * settings_.block, outputs = env_->num_outputs();
  const Block block{first, std::min(settings_.block, env_->num_envs() - first)};
  for (int step = 0; step < settings_.horizon; ++step) {
    const at::Tensor answer = act(block, step);

    // simulate
    bool timed_out = false;
    float* reward = block.of(rollout_.reward, step).data_ptr<float>();
    float* ended = block.of(rollout_.ended, step).data_ptr<float>();
    for (int i = 0; i < block.count; ++i) {
      env_->step(first + i, worker, answer.data_ptr<float>() + std::size_t(i) * outputs);
      reward[i] = env_->reward[first + i];
      ended[i] = env_->cause[first + i] == Cause::kNone ? 0.0f : 1.0f;
      timed_out |= env_->cause[first + i] == Cause::kTimeOut;
    }

    // a time-out is no fall: what would have followed counts
    if (!timed_out) continue;
    const at::Tensor rest = judge(block, env_->final_critic_observation()).contiguous();
    for (int i = 0; i < block.count; ++i) {
      if (env_->cause[first + i] == Cause::kTimeOut) {
        reward[i] += static_cast<float>(settings_.gamma) * rest.data_ptr<float>()[i];
      }
    }
  }
  block.of(rollout_.value, settings_.horizon).copy_(judge(block, env_->critic_observation()));
}

// What the environments of a block are stepped with (count, outputs); all that is known before they
// are goes into the rollout.
at::Tensor Ppo::act(const Block& block, int step) {
  const int actions = env_->robot().num_actions();
  const at::Tensor raw = block.of(env_->observation, env_->layout());
  const at::Tensor answer = actor_.outputs(normaliser_.apply(raw)).contiguous();
  const at::Tensor mean = answer.narrow(1, 0, actions).clone();
  const at::Tensor noise = torch::empty({block.count, actions});
  for (int i = 0; i < block.count; ++i) {
    Random random(seed_, block.first + i,
                  static_cast<std::uint32_t>(iteration_ * settings_.horizon + step),
                  Purpose::kAction);
    for (int k = 0; k < actions; ++k)
      noise.data_ptr<float>()[i * actions + k] = static_cast<float>(random.normal());
  }
  const at::Tensor action = answer.narrow(1, 0, actions).add_(actor_.log_std().exp() * noise);
  block.of(rollout_.observation, step).copy_(raw);
  block.of(rollout_.mean, step).copy_(mean);
  block.of(rollout_.action, step).copy_(action);
  block.of(rollout_.log_prob, step).copy_(log_probability(action, mean, actor_.log_std()));
  block.of(rollout_.value, step).copy_(judge(block, env_->critic_observation()));
  if (!teacher_) return answer;

  // what the teacher would do, and does in some environments
  block.of(rollout_.critic, step).copy_(block.of(env_->privileged, env_->privileged_layout()));
  const at::Tensor label = block.of(rollout_.label, step);
  teacher_->label(*env_, block.first, block.count, label.data_ptr<float>());
  const int taught = std::clamp(teacher_acts_below() - block.first, 0, block.count);
  answer.narrow(0, 0, taught).copy_(label.narrow(0, 0, taught));
  return answer;
}

// values (count) of what a critic sees
at::Tensor Ppo::judge(const Block& block, const std::vector<float>& seen) const {
  const at::Tensor raw = block.of(seen, env_->privileged_layout());
  return actor_.value(critic_normaliser().apply(raw));
}

// in the first phase of a student, only the labels count
bool Ppo::imitates_only() const {
  return teacher_ && iteration_ < settings_.imitation.dagger_iterations;
}

// the teacher acts in the environments before this one, at first in many, in the end in none
int Ppo::teacher_acts_below() const {
  if (!imitates_only()) return 0;
  const double left = 1.0 - static_cast<double>(iteration_) / settings_.imitation.dagger_iterations;
  return static_cast<int>(settings_.imitation.teacher_share * left * env_->num_envs());
}

const Normaliser& Ppo::critic_normaliser() const {
  return teacher_ ? teacher_->normaliser() : normaliser_;
}

// --- learn
// ---------------------------------------------------------------------------------------------------------

Ppo::Batch Ppo::flatten() const {
  torch::NoGradGuard no_grad;
  const auto samples = [&](const at::Tensor& t) { return t.flatten(0, 1).to(device_); };
  Batch batch;
  batch.observation = normaliser_.apply(rollout_.observation.flatten(0, 1)).to(device_);
  batch.mirrored = observation_mirror_.of(batch.observation);
  batch.critic = batch.observation;
  batch.critic_mirrored = batch.mirrored;
  if (teacher_) {
    batch.critic = critic_normaliser().apply(rollout_.critic.flatten(0, 1)).to(device_);
    batch.critic_mirrored = critic_mirror_.of(batch.critic);
    batch.label = samples(rollout_.label);
  }
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
  if (!imitates_only()) adapt_learning_rate(kl);
  log["kl"] = kl;
  if (teacher_) {
    log["teacher_kl"] = last_epoch.teacher_kl / last_epoch.samples;
    log["estimate_error"] = std::sqrt(last_epoch.estimate / last_epoch.samples);
  }
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

// The clipped surrogate, the clipped value loss, the entropy and the symmetry of one shard, and
// what a student owes its teacher; their gradient.
Ppo::Losses Ppo::learn_shard(const Batch& batch, const at::Tensor& rows, std::int64_t minibatch,
                             at::Tensor gradient) const {
  // the last part of the rows is seen in the mirror; its old log-probability stays that of the
  // original sample
  const std::int64_t mirrored =
      std::llround(settings_.mirror_share * static_cast<double>(rows.size(0)));
  const std::int64_t plain = rows.size(0) - mirrored;
  const at::Tensor plain_rows = rows.narrow(0, 0, plain),
                   mirror_rows = rows.narrow(0, plain, mirrored);
  const auto pick = [&](const at::Tensor& t) { return t.index_select(0, rows); };
  const auto pick_both = [&](const at::Tensor& t, const at::Tensor& mirrored_rows) {
    return torch::cat({t.index_select(0, plain_rows), mirrored_rows});
  };
  const auto pick_reflected = [&](const at::Tensor& t, const MirrorMap& map) {
    return pick_both(t, map.of(t.index_select(0, mirror_rows)));
  };
  const at::Tensor x = pick_both(batch.observation, batch.mirrored.index_select(0, mirror_rows));
  const at::Tensor judged =
      teacher_ ? pick_both(batch.critic, batch.critic_mirrored.index_select(0, mirror_rows)) : x;
  const at::Tensor old_mean = pick_reflected(batch.mean, action_mirror_);
  const at::Tensor action = pick_reflected(batch.action, action_mirror_);
  const at::Tensor advantage = pick(batch.advantage), old_value = pick(batch.value),
                   target = pick(batch.target);

  const at::Tensor answer = learner_.outputs(x), log_std = learner_.log_std();
  const at::Tensor mean = answer.narrow(1, 0, action.size(1)), value = learner_.value(judged);
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
  at::Tensor practice =
      surrogate - settings_.entropy * decay * entropy + settings_.mirror_weight * mirror_loss;
  Losses losses;
  if (teacher_) {
    const at::Tensor label = pick_reflected(batch.label, output_mirror_);
    const at::Tensor debt = imitate(answer, label, losses);
    practice = imitates_only() ? debt : practice + debt;
  }
  const at::Tensor loss =
      (practice + 0.5 * settings_.value_weight * value_loss) / static_cast<double>(minibatch);
  learner_.parameters.pack(torch::autograd::grad({loss}, learner_.parameters.views()), gradient);

  // KL(old || new) of the plain samples
  torch::NoGradGuard no_grad;
  const at::Tensor ratio_std = torch::exp(batch.log_std - log_std);
  const at::Tensor spread = (0.5 * (ratio_std.square() - 1) - torch::log(ratio_std)).sum();
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

// Divergence from the teacher and error of the estimates, by their weights.
at::Tensor Ppo::imitate(const at::Tensor& answer, const at::Tensor& label, Losses& losses) const {
  const ImitationSettings& s = settings_.imitation;
  const std::int64_t actions = learner_.log_std().size(0), estimates = answer.size(1) - actions;
  const at::Tensor divergence =
      kl_divergence(answer.narrow(1, 0, actions), learner_.log_std(), label.narrow(1, 0, actions),
                    teacher_->log_std().to(device_))
          .sum();
  const at::Tensor error =
      (answer.narrow(1, actions, estimates) - label.narrow(1, actions, estimates)).square().sum();
  losses.teacher_kl = divergence.item<double>();
  losses.estimate = error.item<double>();
  const double weight = imitates_only() ? 1.0 : s.estimate_weight;
  return kl_weight(s, iteration_) * divergence +
         0.5 * weight / (s.estimate_std * s.estimate_std) * error;
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
  const double rate = imitates_only() ? settings_.imitation.dagger_rate : learning_rate_;
  adam_.step(learner_.parameters.flat(), gradient, rate);
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

}  // namespace twist
