#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/parallel.h"
#include "env/env.h"
#include "learn/imitation.h"
#include "learn/policy.h"
#include "learn/rollout.h"

namespace twist {

struct PpoSettings {
  NetworkSettings network;
  ImitationSettings imitation;
  int horizon = 20;
  int epochs = 4;
  int minibatches = 5;
  double gamma = 0.98, lambda = 0.95;
  double clip = 0.2, value_clip = 0.3;
  double value_weight = 1.0;
  double entropy = 0.002;
  int entropy_iterations = 400;  ///< the entropy weight falls linearly to zero
  double learning_rate = 5e-4, learning_rate_min = 1e-5, learning_rate_max = 1e-3;
  double target_kl = 0.02;
  double grad_norm = 1.0;
  double mirror_share = 0.5;
  double mirror_weight = 0.2;
  double ema = 0.998;
  double ramp = 0.01;           ///< change of the difficulty in an iteration
  double ramp_fall_rate = 0.1;  ///< falls per s below which it rises; above twice that it falls
  int shards = 4;  ///< parts of a minibatch that are computed apart and summed in order
  int block = 64;  ///< environments that are collected together

  template <class V>
  void visit(V&& field) {
    field("network", network, Valid(), "actor and critic");
    field("imitation", imitation, Valid(), "how a student learns from its teacher");
    field("horizon", horizon, Valid(2, 1000), "steps of every environment in an iteration");
    field("epochs", epochs, Valid(1, 100), "passes over the batch in an update");
    field("minibatches", minibatches, Valid(1, 1000), "parts of the batch in a pass");
    field("gamma", gamma, Valid(0, 1), "discount of a step");
    field("lambda", lambda, Valid(0, 1), "of generalised advantage estimation");
    field("clip", clip, Valid(0.01, 1), "of the probability ratio");
    field("value_clip", value_clip, Valid(0.01, 100), "largest change of a value in an update");
    field("value_weight", value_weight, Valid(0, 100), "weight of the value loss");
    field("entropy", entropy, Valid(0, 1), "weight of the entropy at the start");
    field("entropy_iterations", entropy_iterations, Valid(1, 1e9),
          "iterations until that weight is zero");
    field("learning_rate", learning_rate, Valid(1e-7, 1), "at the start");
    field("learning_rate_min", learning_rate_min, Valid(1e-8, 1),
          "floor of the adaptive learning rate");
    field("learning_rate_max", learning_rate_max, Valid(1e-8, 1),
          "ceiling of the adaptive learning rate");
    field("target_kl", target_kl, Valid(1e-5, 10),
          "the learning rate adapts to this KL divergence of an update");
    field("grad_norm", grad_norm, Valid(1e-3, 1e6),
          "clip of the gradient norm, actor and critic apart");
    field("mirror_share", mirror_share, Valid(0, 1),
          "share of every minibatch that is reflected left to right");
    field("mirror_weight", mirror_weight, Valid(0, 100),
          "weight of the loss that makes the policy symmetric");
    field("ema", ema, Valid(0, 0.99999),
          "decay of the averaged weights that are evaluated and saved as the policy");
    field("ramp", ramp, Valid(0, 1), "change of the difficulty of env.randomise in an iteration");
    field("ramp_fall_rate", ramp_fall_rate, Valid(0, 100),
          "falls per s below which the difficulty rises; above twice that it falls");
    field("shards", shards, Valid(1, 64),
          "parts of a minibatch computed in parallel and summed in order");
    field("block", block, Valid(1, 4096), "environments that one worker collects together");
  }
};

/// Proximal policy optimisation (Schulman et al. 2017), told whole in ppo.cpp; a student's learning
/// differs by the labels of a teacher (imitation.h) and a critic that sees more. Collection always
/// runs on the CPU workers; the update runs on `device`. On the CPU the result depends on the
/// settings and the seed only, not on the number of workers.
class Ppo {
 public:
  /// `workers` must have at most as many threads as `env` has workers. An `env` whose policy is a
  /// student needs a `teacher`, another must have none.
  Ppo(std::shared_ptr<Env> env, std::shared_ptr<Workers> workers, const PpoSettings& settings,
      std::uint64_t seed, at::Device device, std::shared_ptr<const Teacher> teacher = nullptr);

  /// Collects `horizon` steps and learns from them. Returns what to log. Throws std::runtime_error
  /// if the losses are not finite several times in a row.
  std::map<std::string, double> iterate();

  /// Everything needed to continue exactly: networks, optimiser, normaliser, environments,
  /// counters.
  State state() const;
  void load(const State& state);

  /// Starts from the networks and the normaliser of another run ("policy.*" of its state) instead
  /// of from scratch.
  void warm_start(const State& state);

 private:
  struct Batch;
  struct Losses;
  struct Block;

  void collect();
  void collect_block(int index, int worker);
  at::Tensor act(const Block& block, int step);
  at::Tensor judge(const Block& block, const std::vector<float>& seen) const;
  void update(std::map<std::string, double>& log);
  bool imitates_only() const;
  int teacher_acts_below() const;
  const Normaliser& critic_normaliser() const;
  Batch flatten() const;
  void learn_minibatch(const Batch& batch, const at::Tensor& rows, Losses& total);
  Losses learn_shard(const Batch& batch, const at::Tensor& rows, std::int64_t minibatch,
                     at::Tensor gradient) const;
  at::Tensor imitate(const at::Tensor& answer, const at::Tensor& label, Losses& losses) const;
  bool apply_gradient(at::Tensor gradient);
  void adapt_learning_rate(double kl);
  void adapt_difficulty(double fall_rate);
  void report_profile(const std::vector<double>& before, std::map<std::string, double>& log) const;
  void report(std::map<std::string, double>& log);

  std::shared_ptr<Env> env_;
  std::shared_ptr<Workers> workers_;
  PpoSettings settings_;
  std::uint64_t seed_;
  at::Device device_;
  std::shared_ptr<const Teacher> teacher_;  // of a student, else none

  ActorCriticShape shape_;
  ActorCritic learner_;  // on the device
  ActorCritic actor_;    // a copy on the CPU that collects
  at::Tensor average_;   // exponential moving average of the learner's parameters, on the CPU
  Normaliser normaliser_;
  Adam adam_;
  Rollout rollout_;
  struct MirrorMap {
    at::Tensor source, sign;  // on the device
    at::Tensor of(const at::Tensor& rows) const { return rows.index_select(1, source).mul(sign); }
  };
  MirrorMap observation_mirror_, critic_mirror_, output_mirror_, action_mirror_;

  std::int64_t iteration_ = 0, updates_ = 0;
  double learning_rate_;
  int not_finite_ = 0;  // gradients in a row
};

}  // namespace twist
