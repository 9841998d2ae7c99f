#pragma once

#include <ATen/core/Tensor.h>

#include <atomic>
#include <vector>

#include "motion/cmg_network.h"
#include "motion/optim.h"
#include "motion/reference.h"

namespace twist {

/// What turns frame rows into network inputs and back. Features are the columns of a frame row.
struct CmgStatistics {
  std::vector<float> mean, deviation;            // (features) deviation is floored
  std::vector<float> active;                     // (features) 1, or 0 if constant in the data
  std::vector<float> start;                      // (features) a standing frame
  std::vector<float> lower, upper;               // (joints) limits in rad
  std::vector<float> command_low, command_high;  // (3) range of the commands in the data
  std::vector<float> command_rate;               // (3) how fast commands were ramped, per second

  int features() const { return static_cast<int>(mean.size()); }
  int joints() const { return static_cast<int>(lower.size()); }

  /// Factors from a command to the network's input: 1 / largest magnitude in the data.
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

/// Generates motion with a CMG on the CPU.
///
/// The network runs one frame ahead, so that the joint velocities of a row are central differences
/// of its neighbours. Joints are clamped to their limits, gravity has unit length, load shares lie
/// in [0, 1]. A stream whose next frame is not finite, or 100 standard deviations from the mean, is
/// put back to standing and counted. The result for a stream does not depend on which streams are
/// advanced together, nor on threads.
///
/// Standing is a fixed point by construction: once the command in force has been zero for as long
/// as stopping takes, the state is drawn to the standing pose until a command comes.
class CmgGenerator : public Generator {
 public:
  explicit CmgGenerator(Cmg model);

  int num_joints() const override { return model_.num_joints(); }
  void resize(int streams) override;
  void reset(int stream) override;
  void advance(int first, int count, const Command* targets, float* rows, float* commands) override;
  int block() const override { return kBlock; }

  /// How many times a stream was put back to standing since `resize` because it was lost.
  std::int64_t nonfinite() const { return nonfinite_; }

 private:
  static constexpr int kBlock = 128;

  void advance_block(int block, int first, int end, const Command* targets, float* rows,
                     float* commands);
  bool next_frame(const float* row, const float* change, float* next) const;
  void settle(int stream, const Command& target, float* next);
  void emit(int stream, const float* next, const Command& target, float* row, float* command);
  float* frame(int stream) { return &frames_[std::size_t(stream) * layout_.width()]; }
  float* past(int stream) { return &past_[std::size_t(stream) * layout_.joints]; }

  Cmg model_;
  FrameLayout layout_;
  std::vector<float> feature_factor_, command_factor_;
  int streams_ = 0;
  std::vector<float> frames_;      // (streams, features) the frame to be emitted next
  std::vector<float> past_;        // (streams, joints) joint angles of the frame before
  std::vector<Command> commands_;  // (streams) the command in force
  std::vector<int> idle_;          // (streams) frames since the command in force is zero
  std::atomic<std::int64_t> nonfinite_ = 0;
};

}  // namespace twist
