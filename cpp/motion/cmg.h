#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "motion/cmg_network.h"
#include "motion/optim.h"
#include "motion/reference.h"

namespace twist {

/// What turns frame rows into network inputs and back. Features are the columns of a frame row: all
/// of them, or in the profile "joints" the first 2 * joints.
struct CmgStatistics {
  std::vector<float> mean, deviation;            // (features) deviation is floored
  std::vector<float> active;                     // (features) 1, or 0 if constant in the data
  std::vector<float> start;                      // (features) a standing frame
  std::vector<float> lower, upper;               // (joints) limits in rad
  std::vector<float> command_low, command_high;  // (3) range of the commands in the data
  std::vector<float> command_rate;               // (3) how fast commands were ramped, per second
  std::vector<float> calibration;                // (kTerms, 3) see `calibrated`

  /// vx, vy, wz, their squares, their cubes, vy wz, vx vy, vx wz
  static constexpr int kTerms = 12;

  int features() const { return static_cast<int>(mean.size()); }
  int joints() const { return static_cast<int>(lower.size()); }
  bool has_root() const { return features() > 2 * joints(); }  // false for the profile "joints"

  /// The command to give to the network so that its motion has the velocity `wish` in the mean:
  /// wish + terms(wish) * calibration. Zero stays zero.
  Command calibrated(const Command& wish) const;

  /// A command is normalised as (command - centre) * factor, which is
  /// 2 (command - low) / (high - low) - 1.
  std::vector<float> command_centre() const;
  std::vector<float> command_factor() const;
  /// Factors from a feature's distance from the mean to the network's input; 0 for constant ones.
  std::vector<float> feature_factor() const;
};

/// A trained motion generator: the network and the statistics of its data. Copies share parameters.
class Cmg {
 public:
  /// Throws UserError if the statistics contradict each other.
  Cmg(CmgNetwork network, CmgStatistics statistics);

  /// Normalised features (rows, features) and commands (rows, 3) -> normalised features 20 ms
  /// later.
  at::Tensor predict(const at::Tensor& features, const at::Tensor& commands) const;

  /// Everything, on the CPU, by name. `load` throws UserError if a tensor is missing or has a wrong
  /// shape, or if the number of joints is not `joints` (0 accepts any).
  State save() const;
  static Cmg load(const State& state, int joints = 0);

  const CmgNetwork& network() const { return network_; }
  const at::Tensor& active() const { return active_; }  // (features) 1, or 0 if constant
  const CmgStatistics& statistics() const { return statistics_; }
  int num_joints() const { return statistics_.joints(); }

 private:
  CmgNetwork network_;
  CmgStatistics statistics_;
  at::Tensor active_;  // (features)
};

/// Copies the statistics to tensors named "statistics.*", and back with checks of names and shapes.
void save_statistics(const CmgStatistics& statistics, State& state);
CmgStatistics load_statistics(const State& state);

}  // namespace twist
