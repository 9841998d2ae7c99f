#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "motion/pool.h"

namespace twist {

/// Reference motion that is made while robots follow it, so that commands can change at any time:
/// one stream for every environment. `pool()` always holds `ahead` frames beyond those that were
/// asked for by `advance`, for policies that look ahead.
class LiveMotion {
 public:
  /// All streams stand. Throws UserError if `generator` has another number of joints than `robot`.
  LiveMotion(const Robot& robot, std::shared_ptr<Generator> generator, int streams, int ahead,
             std::shared_ptr<Workers> workers);

  /// From now on targets change at random, as in `random_plan`. Throws UserError for a range that
  /// is not two ascending numbers.
  void draw_commands(const CommandSettings& settings, std::uint64_t seed);

  /// Targets (streams) from now on.
  void set_commands(std::span<const Command> targets);

  /// Makes `frames` more frames of every stream. An environment that is stepped must lag by `ahead`
  /// frames at most; another begins at the present frame when it is reset.
  void advance(int frames);

  std::shared_ptr<MotionPool> pool() const { return pool_; }

 private:
  void draw(int stream);
  void make(int first, int count, int frames, ReferenceDynamics& dynamics);

  std::shared_ptr<Generator> generator_;
  std::shared_ptr<Workers> workers_;
  int width_;
  std::shared_ptr<MotionPool> pool_;
  std::vector<ReferenceDynamics> dynamics_;  // (workers)
  std::optional<CommandSettings> settings_;
  std::uint64_t seed_ = 0;
  std::vector<Command> targets_;  // (streams)
  std::vector<int> next_change_;  // (streams) frame
  std::vector<float> rows_;       // (streams, 3, width) the last two frames made and one to come
  std::vector<float> commands_;   // (streams, 2, 3) the command of the last frame, and the next
};

}  // namespace twist
