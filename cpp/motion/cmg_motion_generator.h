#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "motion/cmg_rollout.h"

namespace twist {

/// How much motion is made ahead.
struct CmgMotionSettings {
  int num_envs = 4096;
  std::string mode = "pregenerated";  ///< or "realtime"
  int buffer_size = 100;              ///< realtime: frames of the ring
  int preload_duration = 500;         ///< pregenerated: frames after the first
  int look_ahead = 0;                 ///< realtime: frames after the current one that can be read

  template <class V>
  void visit(V&& field) {
    field("num_envs", num_envs, Valid(1, 1e7), "streams of motion");
    field("mode", mode, Valid{"pregenerated", "realtime"},
          "pregenerated: all frames at once, then a loop; realtime: a rolling buffer");
    field("buffer_size", buffer_size, Valid(4, 1e6), "realtime: frames of the ring");
    field("preload_duration", preload_duration, Valid(99, 1e6),
          "pregenerated: frames after the first");
    field("look_ahead", look_ahead, Valid(0, 1e5),
          "realtime: frames after the current one that can always be read");
  }
};

/// Joint motion of many environments at 50 Hz, ready to be read: the public face of the generator.
///
/// Every environment has a row of frames in one contiguous ring (num_envs, capacity, features) and
/// an integer frame index. Reading is pure; `advance` moves on. A new command takes effect after
/// the current frame, which stays as it is. "pregenerated" rolls out everything at once and then
/// goes round a loop, whose seam lies where two frames are most alike and is cross-faded.
/// "realtime" makes frames as they are needed: one after a new command, then twice as many each
/// time, up to half of the ring.
class CmgMotionGenerator {
 public:
  /// Motion stands still until `update_commands` or `reset`. Throws UserError for settings that
  /// are not valid.
  CmgMotionGenerator(const Cmg& model, const CmgMotionSettings& settings,
                     std::shared_ptr<Workers> workers, at::ScalarType type = at::kFloat,
                     at::Device device = at::kCPU);

  /// Puts environments at their first frame. `commands` (ids) or empty: as before. `frames` (ids,
  /// features) or empty: standing.
  void reset(std::span<const int> ids, std::span<const Command> commands,
             std::span<const float> frames);

  /// New commands (ids) for environments, from their next frame on. An unchanged command costs
  /// nothing.
  void update_commands(std::span<const int> ids, std::span<const Command> commands);

  /// The frame (features) that an environment has `offset` frames from now; a pointer into the
  /// ring. Throws UserError if there is none.
  const float* read(int id, int offset = 0) const;

  /// Moves environments on by one frame. Allocates nothing unless frames must be made.
  void advance(std::span<const int> ids);

  /// Changes the mode; motion goes on from the current frames.
  void switch_mode(const std::string& mode);

  const CmgMotionSettings& settings() const { return settings_; }
  const Command& command(int id) const { return envs_.at(id).target; }
  int features() const { return rollout_.features(); }
  int num_joints() const { return rollout_.statistics().joints(); }
  const std::vector<float>& standing_frame() const { return rollout_.statistics().start; }
  std::size_t ring_bytes() const { return ring_.size() * sizeof(float); }
  std::int64_t nonfinite() const { return rollout_.nonfinite(); }

  /// Wall times of the last 100 times that frames were made, in ms, and how many frames in all.
  const std::deque<double>& generation_ms() const { return generation_ms_; }
  std::int64_t generated_frames() const { return generated_frames_; }
  double generation_s() const { return generation_s_; }  // wall time of all of them

 private:
  // where an environment is in its row of the ring
  struct Position {
    int now = 0;                  // frame index since the last change of command
    int made = 0;                 // frames made since then
    int chunk = 1;                // realtime: frames to make next time
    int seam = 0, loop_from = 0;  // pregenerated: after frame seam - 1 comes loop_from
    Command from, target;         // command in force at frame 0, and the wish
  };

  float* row(int id, int slot) { return &ring_[(std::size_t(id) * capacity_ + slot) * features()]; }
  const float* row(int id, int slot) const {
    return &ring_[(std::size_t(id) * capacity_ + slot) * features()];
  }
  int slot(const Position& env, int frame) const;
  Command in_force(const Position& env) const;
  void take_memory();
  void start(int id, const float* frame, const float* past, const Command& from);
  void restart(int id);
  int wanted(const Position& env) const;
  void fill(std::span<const int> ids);
  void fill_block(std::span<const int> ids);
  void close_loop(int id);

  CmgMotionSettings settings_;
  CmgRollout rollout_;
  std::shared_ptr<Workers> workers_;
  int capacity_ = 0;            // frames of a row
  std::vector<float> ring_;     // (num_envs, capacity, features)
  std::vector<Position> envs_;  // (num_envs)
  std::vector<int> empty_;      // environments that need frames; scratch
  std::deque<double> generation_ms_;
  std::int64_t generated_frames_ = 0;
  double generation_s_ = 0;
};

}  // namespace twist
