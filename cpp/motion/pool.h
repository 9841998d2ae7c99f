#pragma once

#include "base/robot.h"
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

/// Reference motion made ready for environments: many trajectories whose frames carry, beside the
/// motion, the feed-forward torques and body positions. Reads are pure functions of (stream,
/// integer frame); nothing is computed while environments step. Whoever made the motion is
/// forgotten here.
class MotionPool {
 public:
  /// Computes torques and body positions on all workers. Throws UserError on non-finite motion or a
  /// wrong number of joints.
  MotionPool(const Robot& robot, const Trajectories& motion, Workers& workers);

  int streams() const { return streams_; }
  int length(int stream) const { return lengths_[stream]; }
  FrameLayout layout() const { return layout_; }

  /// `frame` in [0, length(stream)).
  ReferenceView at(int stream, int frame) const {
    const float* row = rows_.data() + (std::size_t(stream) * frames_ + frame) * stride_;
    const float* command = row + layout_.width();
    const float* feet = command + 3 + layout_.joints;
    return {row, command, command + 3, feet, feet + 6};
  }

 private:
  int streams_, frames_;
  FrameLayout layout_;
  int stride_;
  std::vector<int> lengths_;  // (streams)
  std::vector<float> rows_;   // (streams, frames, stride)
};

}  // namespace twist
