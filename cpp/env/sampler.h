#pragma once

#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "base/random.h"

namespace twist {

/// Where in the reference motion episodes begin: anywhere, by the weights of the streams, or, for a
/// share of them, shortly before places where robots fell. Motion is cut into bins of one second;
/// the failures of a bin are an exponential average over the calls of `update` (adaptive sampling
/// of Liao et al., "BeyondMimic", 2025).
class StartSampler {
 public:
  /// `lengths` and `weights` of the streams. `failure_share` in [0, 1].
  StartSampler(const std::vector<int>& lengths, const std::vector<double>& weights,
               double failure_share);

  /// A stream and a frame of it.
  std::pair<int, int> draw(Random& random) const;

  /// Counts a fall at a frame. May be called from several threads at once.
  void add_failure(int stream, int frame);

  /// Takes the failures counted since the last call into the average.
  void update();

  /// (bins) the averages, to be saved and loaded.
  std::vector<double>& failures() { return failures_; }
  const std::vector<double>& failures() const { return failures_; }
  /// Must follow a change of `failures()`.
  void refresh();

 private:
  std::vector<int> lengths_, first_bin_;  // (streams)
  std::vector<int> stream_of_;            // (bins)
  double failure_share_;
  std::vector<double> stream_sum_, failure_sum_;  // running sums of the weights
  std::vector<double> failures_;                  // (bins)
  std::unique_ptr<std::atomic<int>[]> counted_;   // (bins)
};

}  // namespace twist
