#pragma once

#include <string>
#include <vector>

#include "base/random.h"
#include "motion/optim.h"

namespace twist {

/// Makes a matrix (rows, columns) orthogonal (Saxe et al. 2014), times `gain`; other shapes as the
/// matrix of their first dimension and all others.
void make_orthogonal(at::Tensor weight, double gain, Random random);

/// What an actor makes of the history in its observation, which is frames of the same numbers,
/// oldest first. `flat` hands it on as it is. `conv` is the motion encoder of TWIST (a layer for
/// each frame, then convolutions over time), which is made for 1, 10, 20 or 50 frames. `gru` is a
/// gated recurrent unit (Cho et al. 2014) that runs over the frames from zero.
class HistoryEncoder {
 public:
  HistoryEncoder() = default;
  /// Adds its parameters, "encoder...". Throws UserError for a number of frames that `conv` is not
  /// made for.
  HistoryEncoder(FlatParameters& parameters, const std::string& kind, int frames, int width,
                 int latent);

  int outputs() const { return outputs_; }

  /// (batch, frames * width) -> (batch, outputs())
  at::Tensor forward(const FlatParameters& parameters, const at::Tensor& history) const;

  void initialise(const FlatParameters& parameters, std::uint64_t seed) const;

 private:
  at::Tensor convolve(const FlatParameters& parameters, at::Tensor x) const;
  at::Tensor recur(const FlatParameters& parameters, const at::Tensor& x) const;

  std::string kind_ = "flat";
  int frames_ = 0, width_ = 0, outputs_ = 0;
  std::vector<int> weights_;  // indices of the weights; each bias follows its weight
  std::vector<int> strides_;  // of the convolutions
};

}  // namespace twist
