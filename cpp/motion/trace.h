#pragma once

#include <vector>

#include "base/robot.h"
#include "base/rotation.h"
#include "motion/clips.h"

namespace twist {

/// A clip in the robot's joint order with what follows from it by kinematics, at its own frame
/// rate. Values that are not finite are NaN.
struct ClipTrace {
  int frames = 0;
  double fps = 0;
  std::vector<Vec3> root;                // m, world
  std::vector<Eigen::Quaterniond> quat;  // normalised
  std::vector<double> norm;              // of the quaternion as it came
  std::vector<std::vector<double>> q;    // (frames, joints) rad
  std::vector<bool> whole;  // frames of finite values; the soles of others are empty, `lowest` NaN
  std::vector<std::vector<Vec3>> soles[2];  // (frames, points) lowest points of the sole geoms, m
  std::vector<double> lowest;               // m, height of the lowest of them
  double floor = 0;                         // m, where the soles are most of the time
};

/// Moves the robot through clips. One instance per thread.
class ClipTracer {
 public:
  explicit ClipTracer(const Robot& robot);

  /// Throws UserError as joint_columns does; any values are allowed.
  ClipTrace follow(const Clip& clip);

 private:
  void trace_soles(ClipTrace& trace);

  const Robot robot_;
  ModelPtr model_;
  DataPtr data_;
  std::vector<int> sole_geoms_[2];
};

/// The frame rate that fits a clip's own joint velocities: the median over the joints that move of
/// velocity over difference from frame to frame. NaN if it has no velocities or none that tell.
double fps_of_velocities(const Clip& clip);

}  // namespace twist
