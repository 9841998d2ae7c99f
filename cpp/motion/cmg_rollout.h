#pragma once

#include <atomic>
#include <span>
#include <vector>

#include "motion/cmg.h"
#include "motion/reference.h"

namespace twist {

/// Runs a CMG freely for many independent streams. The network computes in float32 or bfloat16, on
/// the CPU or on "cuda"; states are float32 in main memory. Rows are feature rows: full frames, or
/// joint angles and velocities.
///
/// The network runs one frame ahead, so that the joint velocities of a row are central differences
/// of its neighbours. Joints are clamped to their limits, gravity has unit length, load shares lie
/// in [0, 1]. A stream whose next frame is not finite, or 100 standard deviations from the mean, is
/// put back to standing and counted.
///
/// Standing is a fixed point by construction: once the command in force has been zero for as long
/// as stopping takes, the state is drawn to the standing pose until a command comes.
class CmgRollout {
 public:
  /// `type` is at::kFloat or at::kBFloat16. Throws UserError for another one.
  explicit CmgRollout(const Cmg& model, at::ScalarType type = at::kFloat,
                      at::Device device = at::kCPU);

  /// How many streams go through the network together.
  int block() const { return block_; }
  int features() const { return model_.statistics().features(); }
  int streams() const { return streams_; }
  const CmgStatistics& statistics() const { return model_.statistics(); }

  /// Prepares streams, all standing.
  void resize(int streams);
  /// Puts one stream back to standing.
  void reset(int stream);
  /// Goes on from a row (features), the joint angles before it (joints) and the command in force.
  /// The standing row at command zero is at rest.
  void continue_from(int stream, const float* row, const float* past, const Command& in_force);

  /// Advances `ids`, each at most once, by one frame. Writes the rows (ids, features) and the
  /// ramped commands in force (ids, 3), both `stride` floats apart. Disjoint streams may be
  /// advanced from different threads; the result for a stream does not depend on the others.
  void advance(std::span<const int> ids, const Command* targets, float* rows,
               std::size_t row_stride, float* commands, std::size_t command_stride);

  /// How many times a stream was put back to standing since `resize` because it was lost.
  std::int64_t nonfinite() const { return nonfinite_; }

 private:
  void gather(std::span<const int> ids, const Command* targets, CmgActivations& a) const;
  bool next_frame(const float* row, const float* output, float* next) const;
  void settle(int stream, const Command& target, float* next);
  void emit(int stream, const float* next, float* row, float* command) const;
  void step_on(int stream, const float* next, const Command& target);
  float* frame(int stream) { return &frames_[std::size_t(stream) * features()]; }
  const float* frame(int stream) const { return &frames_[std::size_t(stream) * features()]; }
  float* past(int stream) { return &past_[std::size_t(stream) * model_.num_joints()]; }
  const float* past(int stream) const { return &past_[std::size_t(stream) * model_.num_joints()]; }

  Cmg model_;
  CmgNetwork network_;  // of the type and on the device of the products
  int block_;
  std::vector<float> feature_factor_, command_centre_, command_factor_;
  int streams_ = 0;
  std::vector<float> frames_;      // (streams, features) the frame to be emitted next
  std::vector<float> past_;        // (streams, joints) joint angles of the frame before
  std::vector<Command> commands_;  // (streams) the command in force
  std::vector<int> idle_;          // (streams) frames since the command in force is zero
  std::atomic<std::int64_t> nonfinite_ = 0;
};

/// The CMG as a source of reference motion. Needs the profile "full".
class CmgGenerator : public Generator {
 public:
  /// Throws UserError for a model of the profile "joints", which has no root.
  explicit CmgGenerator(const Cmg& model, at::ScalarType type = at::kFloat,
                        at::Device device = at::kCPU);

  int num_joints() const override { return rollout_.statistics().joints(); }
  void resize(int streams) override { rollout_.resize(streams); }
  void reset(int stream) override { rollout_.reset(stream); }
  void advance(int first, int count, const Command* targets, float* rows, float* commands) override;
  int block() const override { return rollout_.block(); }
  std::int64_t nonfinite() const { return rollout_.nonfinite(); }

 private:
  CmgRollout rollout_;
};

}  // namespace twist
