#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "base/robot.h"
#include "motion/dynamics.h"
#include "motion/reference.h"

namespace twist {

/// One instant of reference motion with all that an environment needs. Pointers into a
/// `MotionPool`.
struct ReferenceView {
  const float* frame;    // (FrameLayout::width)
  const float* command;  // (3) vx, vy, wz in force
  const float* torque;   // (joints) feed-forward, N m
  const float*
      feet;  // (2, 3) left and right foot relative to the pelvis, heading frame; z above the floor
  const float* key_bodies;  // (key bodies, 3) relative to the pelvis, heading frame
};

class MotionPool;

/// Walking at a constant velocity, from the moment when one foot lifts off: what a robot that was
/// pushed can follow, whatever its reference did. Either it goes on, or it stops at once.
struct Reflex {
  Vec2 velocity;      ///< at the beginning, heading frame, m/s
  int foot = 0;       ///< the foot that lifts off: 0 left, 1 right
  bool stops = true;  ///< ends standing
};

/// Where a foot is in its swing.
struct Swing {
  int foot = 0;    ///< 0 left, 1 right
  int frames = 0;  ///< since it lifted off; negative: until it will
};

/// All reflexes: entry i is stream i of the pool.
struct Reflexes {
  std::vector<Reflex> entries;
  std::shared_ptr<const MotionPool> pool;
};

/// Reference motion made ready for environments: many trajectories whose frames carry, beside the
/// motion, the feed-forward torques and body positions. Reads are pure functions of (stream,
/// integer frame); nothing is computed while environments step. Whoever made the motion is
/// forgotten here.
///
/// A pool may be live: then `LiveMotion` moves its window of frames forward, each stream belongs to
/// the environment of the same number, and an episode goes on in the motion where the last one
/// fell.
class MotionPool {
 public:
  /// Computes torques and body positions on all workers. Throws UserError on non-finite motion or a
  /// wrong number of joints.
  MotionPool(const Robot& robot, const Trajectories& motion, Workers& workers);

  /// A live pool: a window of `frames` frames, none of them known yet.
  MotionPool(const Robot& robot, int streams, int frames);

  /// Gives the pool reflexes: entry i becomes stream streams() + i.
  void set_reflexes(Reflexes reflexes) { reflexes_ = std::move(reflexes); }
  const std::vector<Reflex>& reflexes() const { return reflexes_.entries; }

  int streams() const { return streams_; }  ///< without reflexes
  bool live() const { return live_; }
  FrameLayout layout() const { return layout_; }

  /// Whether the reference stands still at a frame, on both feet and at command zero.
  bool stands(int stream, int frame) const;

  /// The foot that swings at a frame or, while both are loaded, swings next. The left one if none
  /// does soon.
  Swing swing(int stream, int frame) const;

  /// Whether a foot lifts off at a frame.
  bool lifts_off(int stream, int frame, int foot) const {
    return frame > 0 && share(stream, frame, foot) <= 0 && share(stream, frame - 1, foot) > 0;
  }

  /// The first frame that is not known (yet).
  int length(int stream) const {
    return stream < streams_ ? lengths_[stream] : reflexes_.pool->length(stream - streams_);
  }
  /// How often to draw from a stream, relatively.
  const std::vector<double>& weights() const { return weights_; }  // (streams)

  /// `frame` in [0, length(stream)), or in a live pool one of the last that are known.
  ReferenceView at(int stream, int frame) const {
    if (stream >= streams_) return reflexes_.pool->at(stream - streams_, frame);
    const float* row = rows_.data() + offset(stream, frame);
    const float* command = row + layout_.width();
    const float* feet = command + 3 + layout_.joints;
    return {row, command, command + 3, feet, feet + 6};
  }

  /// Whether `at(stream, frame)` can be read.
  bool knows(int stream, int frame) const {
    const bool kept = stream >= streams_ || frame >= lengths_[stream] - frames_;
    return frame >= 0 && kept && frame < length(stream);
  }

  /// Where an environment begins in a live pool: half of the window lies ahead.
  int start(int stream) const { return std::max(0, lengths_[stream] - frames_ / 2); }

  /// Writes one frame; `dynamics` holds its evaluation. In a live pool, frames come in order.
  void write(int stream, int frame, const float* motion, const float* command,
             const ReferenceDynamics& dynamics);

 private:
  // planned share of the load
  float share(int stream, int frame, int foot) const {
    return at(stream, frame).frame[layout_.contact() + foot];
  }
  std::size_t offset(int stream, int frame) const {
    return (std::size_t(stream) * frames_ + (live_ ? frame % frames_ : frame)) * stride_;
  }

  int streams_, frames_;
  bool live_ = false;
  FrameLayout layout_;
  int key_bodies_, stride_;
  std::vector<int> lengths_;     // (streams)
  std::vector<double> weights_;  // (streams)
  Reflexes reflexes_;
  std::vector<float> rows_;  // (streams, frames, stride)
};

}  // namespace twist
