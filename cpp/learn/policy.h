#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "base/settings.h"
#include "env/observation.h"
#include "learn/encoder.h"
#include "motion/optim.h"

namespace twist {

struct NetworkSettings {
  std::vector<double> actor = {256, 128, 128};  ///< widths of the hidden layers
  std::vector<double> critic = {256, 128, 128};
  std::string encoder = "flat";  ///< of a student's history
  int latent = 128;              ///< numbers that conv and gru make of it
  double std_start = 0.2;        ///< of the exploration noise, in units of action
  double std_min = 0.1, std_max = 0.6;

  template <class V>
  void visit(V&& field) {
    field("actor", actor, Valid(1, 8192), "widths of the actor's hidden layers");
    field("critic", critic, Valid(1, 8192), "widths of the critic's hidden layers");
    field("encoder", encoder, Valid{"flat", "conv", "gru"}, "what reads a student's history");
    field("latent", latent, Valid(1, 4096), "numbers that the encoders conv and gru make of it");
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

/// How an observation is built: `present` numbers, then `frames` of the history of `remembered`.
struct ObservationShape {
  int present, frames, remembered;

  ObservationShape(int present = 0, int frames = 0, int remembered = 0)
      : present(present), frames(frames), remembered(remembered) {}
  explicit ObservationShape(const ObservationLayout& layout)
      : present(layout.present()), frames(layout.history()), remembered(layout.remembered()) {}

  int width() const { return present + frames * remembered; }
};

/// From a normalised observation to actions: the history through its encoder, then a perceptron.
class Actor {
 public:
  Actor() = default;
  Actor(FlatParameters& parameters, const ObservationShape& shape, int outputs,
        const NetworkSettings& settings);

  /// (batch, observations) -> (batch, outputs)
  at::Tensor forward(const FlatParameters& parameters, const at::Tensor& x) const;

  /// A nearly silent actor.
  void initialise(const FlatParameters& parameters, std::uint64_t seed) const;

 private:
  ObservationShape shape_;
  HistoryEncoder encoder_;
  Mlp mlp_;
};

/// The sizes of an actor and its critic.
struct ActorCriticShape {
  ObservationShape observation;
  int privileged = 0;  ///< numbers that the critic sees
  int actions = 0, estimates = 0;
};

/// Actor and critic. The actor comes first in the flat parameters, so that the two can be clipped
/// apart.
class ActorCritic {
 public:
  ActorCritic(const ActorCriticShape& shape, const NetworkSettings& settings, std::uint64_t seed,
              at::Device device);

  /// Mean actions and after them the estimates (batch, actions + estimates) of normalised
  /// observations (batch, observations).
  at::Tensor outputs(const at::Tensor& x) const { return actor_.forward(parameters, x); }

  /// Value (batch) of normalised observations of the critic (batch, privileged).
  at::Tensor value(const at::Tensor& x) const { return critic_.forward(parameters, x).squeeze(-1); }

  /// Logarithm of the exploration noise (actions): a parameter, the same in every state.
  const at::Tensor& log_std() const { return parameters[log_std_]; }

  FlatParameters parameters;
  std::int64_t actor_size = 0;  // how many of the parameters, from the first, belong to the actor

 private:
  Actor actor_;
  Mlp critic_;
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

/// The deterministic actor of a checkpoint: raw observations in, mean actions and estimates out.
class Policy {
 public:
  /// Reads "policy.*" of a checkpoint's state. Throws UserError if it is not there or has other
  /// sizes.
  Policy(const State& state, const ObservationShape& shape, int outputs);

  /// `observations` (count, observations) -> `outputs` (count, outputs). Thread-safe.
  void act(const float* observations, int count, float* outputs) const;

 private:
  int width_;
  FlatParameters parameters_;
  Actor actor_;
  at::Tensor shift_, scale_;
};

}  // namespace twist
