#pragma once

#include <vector>

#include "motion/cmg.h"

namespace twist {

/// Windows to learn from, normalised.
struct CmgBatch {
  at::Tensor start;     // (windows, features)
  at::Tensor truth;     // (steps, windows, features) the frames after the start
  at::Tensor commands;  // (steps, windows, 3)
  at::Tensor teacher;  // (steps, windows, 1) true where to go on from the truth; undefined: nowhere
};

/// What is minimised.
struct CmgLoss {
  bool squared = false;      ///< squared errors; otherwise smooth-L1
  double beta = 0.3;         ///< where smooth-L1 turns from squared to absolute, normalised
  bool through_time = true;  ///< gradients through all steps; otherwise each step stands alone
};

/// Runs a CMG over a batch and computes the loss and its gradient through all steps.
///
/// The backward pass is written by hand: the gradient of a weight is one product over all steps
/// instead of one a step, nothing is allocated once the memory is there, and no graph is built. Its
/// oracle is the plain PyTorch twin in tests/py/test_cmg_twin.py.
class CmgUnroll {
 public:
  /// The sum of the errors over all frames and features, divided by `terms`. Writes the gradient
  /// with respect to the parameters (parameters). Call without grad.
  double compute(const Cmg& model, const CmgBatch& batch, const CmgLoss& loss, double terms,
                 at::Tensor gradient);

 private:
  void forward(const Cmg& model, const CmgBatch& batch);
  double judge(const CmgBatch& batch, const CmgLoss& loss, double terms);
  void backward(const Cmg& model, const CmgBatch& batch, bool through_time);
  at::Tensor backward_step(const CmgNetwork& network, const CmgActivations& a,
                           const CmgActivations& d);
  void weight_gradients(const CmgNetwork& network, at::Tensor gradient) const;

  CmgActivations value_;     // of all steps
  CmgActivations slope_;     // gradients with respect to `hidden`, `gate` (its logits) and `output`
  at::Tensor prediction_;    // (steps, windows, features)
  at::Tensor d_prediction_;  // (steps, windows, features) of the loss alone
};

/// Views of a flat vector with the shapes of the parameters.
std::vector<at::Tensor> views_like(const FlatParameters& parameters, const at::Tensor& flat);

}  // namespace twist
