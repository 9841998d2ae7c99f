#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "base/settings.h"
#include "motion/optim.h"

namespace twist {

/// What the network sees and predicts, and its size.
struct CmgSettings {
  std::string profile = "full";     ///< features: a whole frame, or "joints": angles and velocities
  std::string predicts = "change";  ///< of the features, or "next": the features themselves
  int hidden = 512;                 ///< width of both hidden layers
  int experts = 4;                  ///< experts blended in every layer
  int gate_hidden = 512;            ///< width of the gate's hidden layer

  template <class V>
  void visit(V&& field) {
    field("profile", profile, Valid{"full", "joints"},
          "features: full frames, or joints: only angles and velocities, as the seed's network");
    field("predicts", predicts, Valid{"change", "next"},
          "what the network puts out: the change of the features, or the next ones");
    field("hidden", hidden, Valid(1, 8192), "width of both hidden layers");
    field("experts", experts, Valid(1, 64), "experts blended in every layer");
    field("gate_hidden", gate_hidden, Valid(1, 8192), "width of the gate's hidden layer");
  }
};

/// What the network computes on the way. Every tensor is (rows, width), or (steps, rows, width)
/// when the activations of several steps are kept. Memory is kept between calls.
struct CmgActivations {
  at::Tensor input;      // features and commands
  at::Tensor hidden;     // of the gate
  at::Tensor gate;       // weight of each expert, summing to 1
  at::Tensor scaled[3];  // input of a layer times the weight of each expert (experts * in)
  at::Tensor output[3];  // of a layer, after its ELU; the last one is the change (or next features)

  CmgActivations step(std::int64_t k) const;  // views of one step
};

/// The mixture-of-experts network: a gate and three layers with ELU between them. No autograd: the
/// gradient is written out in `CmgUnroll`.
///
/// The gate (inputs -> gate_hidden -> experts, softmax) yields one set of weights g for all layers.
/// A layer is y = sum_k g_k (x W_k + b_k). It is computed as one product of [g_1 x, ..., g_K x]
/// with the stacked W_k, which is the same sum in another order.
///
/// Parameters: gate.{0,2}.weight (in, out), gate.{0,2}.bias (out), layers.{0,1,2}.weight (experts,
/// in, out), layers.{0,1,2}.bias (experts, out).
class CmgNetwork {
 public:
  static constexpr int kCommands = 3;

  // parameters in their order; those of layer l are kLayerWeight + 2 l and kLayerBias + 2 l
  enum { kGateWeight, kGateBias, kExpertWeight, kExpertBias, kLayerWeight, kLayerBias };

  CmgNetwork(const CmgSettings& settings, int features, at::Device device);

  /// Random weights that are a function of `seed`; the last layer is small.
  void initialise(std::uint64_t seed);

  /// A copy with parameters of another type or on another device, for inference.
  CmgNetwork to(at::ScalarType type, at::Device device) const;

  /// 1 if the output is added to the features, 0 if it replaces them.
  float carry() const { return settings_.predicts == "change" ? 1.0f : 0.0f; }

  /// Normalised features (rows, features) and commands (rows, 3) -> `output[2]` of activations of
  /// the right shapes. Call without grad.
  void forward(const at::Tensor& features, const at::Tensor& commands, CmgActivations& a) const;

  /// The same, when `input` is filled in already.
  void evaluate(CmgActivations& a) const;

  /// Gives activations the shape (rows, ...) or (steps, rows, ...), whatever `leading` says.
  void resize(CmgActivations& a, std::vector<std::int64_t> leading) const;

  const CmgSettings& settings() const { return settings_; }
  const FlatParameters& parameters() const { return parameters_; }
  FlatParameters& parameters() { return parameters_; }

 private:
  CmgSettings settings_;
  FlatParameters parameters_;
};

}  // namespace twist
