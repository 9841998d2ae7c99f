#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "base/settings.h"
#include "motion/optim.h"

namespace twist {

struct NetworkSettings {
  std::vector<double> actor = {256, 128, 128};  ///< widths of the hidden layers
  std::vector<double> critic = {256, 128, 128};
  double std_start = 0.2;  ///< of the exploration noise, in units of action
  double std_min = 0.1, std_max = 0.6;

  template <class V>
  void visit(V&& field) {
    field("actor", actor, Valid(1, 8192), "widths of the actor's hidden layers");
    field("critic", critic, Valid(1, 8192), "widths of the critic's hidden layers");
    field("std_start", std_start, Valid(0.001, 5), "exploration noise at the start");
    field("std_min", std_min, Valid(0.001, 5), "smallest exploration noise");
    field("std_max", std_max, Valid(0.001, 5), "largest exploration noise");
  }
};

/// A multilayer perceptron with ELU between its layers; its parameters live in a FlatParameters.
class Mlp {
 public:
  Mlp() = default;
  /// Adds the parameters `prefix`.0.weight (out, in), `prefix`.0.bias (out), ... of widths in ->
  /// hidden -> out.
  Mlp(FlatParameters& parameters, const std::string& prefix, int inputs,
      const std::vector<double>& hidden, int outputs);

  /// (batch, inputs) -> (batch, outputs)
  at::Tensor forward(const FlatParameters& parameters, at::Tensor x) const;

  /// Orthogonal weights (Saxe et al. 2014) of gain sqrt(2), the last layer of gain `last_gain`;
  /// biases zero.
  void initialise(const FlatParameters& parameters, double last_gain, std::uint64_t seed,
                  std::uint64_t stream) const;

 private:
  std::vector<int> weights_;  // indices of the weights; each bias follows its weight
};

/// Actor and critic. The actor comes first in the flat parameters, so that the two can be clipped
/// apart.
class ActorCritic {
 public:
  ActorCritic(int observations, int actions, const NetworkSettings& settings, std::uint64_t seed,
              at::Device device);

  /// Mean action (batch, actions) and value (batch) of normalised observations (batch,
  /// observations).
  at::Tensor mean(const at::Tensor& x) const { return actor_.forward(parameters, x); }
  at::Tensor value(const at::Tensor& x) const { return critic_.forward(parameters, x).squeeze(-1); }

  /// Logarithm of the exploration noise (actions): a parameter, the same in every state.
  const at::Tensor& log_std() const { return parameters[log_std_]; }

  FlatParameters parameters;
  std::int64_t actor_size = 0;  // how many of the parameters, from the first, belong to the actor

 private:
  Mlp actor_, critic_;
  int log_std_ = 0;
};

/// Running mean and variance of observations (Welford, merged by batches), made symmetric with the
/// mirror map.
class Normaliser {
 public:
  Normaliser() = default;
  Normaliser(const std::vector<int>& mirror_source, const std::vector<float>& mirror_sign);

  /// Adds a batch (samples, observations) of raw observations and its mirror image.
  void add(const at::Tensor& raw);

  /// clip((raw - mean) / std, +-5)
  at::Tensor apply(const at::Tensor& raw) const;

  void save(State& state, const std::string& prefix) const;
  void load(const State& state, const std::string& prefix);

 private:
  void prepare();

  at::Tensor source_, sign_;            // mirror map
  at::Tensor mean_, variance_, count_;  // (observations) double, (observations), scalar
  at::Tensor shift_, scale_;            // (observations) float: mean and 1/std
};

/// The deterministic actor of a checkpoint: raw observations in, mean actions out.
class Policy {
 public:
  /// Reads "policy.*" of a checkpoint's state. Throws UserError if it is not there or has other
  /// sizes.
  Policy(const State& state, int observations, int actions);

  /// `observations` (count, observations) -> `actions` (count, actions). Thread-safe.
  void act(const float* observations, int count, float* actions) const;

 private:
  std::vector<at::Tensor> weights_, biases_;
  at::Tensor shift_, scale_;
};

}  // namespace twist
