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
};

/// Makes reference motion of recorded clips: joints mapped by name, resampled to 50 Hz, low-passed
/// at about 5 Hz, velocities recomputed, grounded (the soles' low points at the floor), contacts
/// and load shares from the feet's height and speed, commands from the smoothed root velocity.
/// Throws UserError naming the clip and what is wrong with it.
Trajectories clip_trajectories(const Robot& robot, const std::vector<Clip>& clips);

}  // namespace twist
