#pragma once

#include <string>
#include <vector>

#include "base/robot.h"
#include "motion/reference.h"

namespace twist {

/// Recorded motion as it comes: any frame rate, world coordinates.
struct Clip {
  std::string name;
  double fps = 0;
  std::vector<std::string> joint_names;
  std::vector<double> root_pos;   // (frames, 3) m
  std::vector<double> root_quat;  // (frames, 4) w x y z
  std::vector<double> q;          // (frames, joint_names.size()) rad
  std::vector<double> qd = {};    // the same in rad/s as the source has them, or empty
  int frames() const { return static_cast<int>(root_pos.size() / 3); }
};

/// For each joint of the robot its column in `clip.q`. Throws UserError naming the clip if its
/// frame rate, its sizes or its joint names are wrong, or if it has fewer than 10 frames; the
/// values may be anything.
std::vector<int> joint_columns(const Robot& robot, const Clip& clip);

/// Makes reference motion of recorded clips: joints mapped by name, resampled to 50 Hz, low-passed
/// at about 5 Hz, velocities recomputed, grounded (the soles' low points at the floor), contacts
/// and load shares from the feet's height and speed, commands from the smoothed root velocity.
/// Throws UserError naming the clip and what is wrong with it.
Trajectories clip_trajectories(const Robot& robot, const std::vector<Clip>& clips);

}  // namespace twist
