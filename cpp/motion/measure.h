#pragma once

#include <vector>

#include "base/robot.h"
#include "motion/reference.h"

namespace twist {

/// What a frame may ask of the ground: the limits of a sole of the G1 on a floor of friction 0.8.
struct GroundLimits {
  double force_ratio = 0.6;        ///< horizontal over vertical force
  double pressure_outside = 0.02;  ///< of the centre of pressure beyond the soles that carry, m
  double yaw_moment = 25;          ///< N m on one foot
  double yaw_moment_both = 45;     ///< N m on two
};

/// How well a stream of motion follows the command that it ends with, and how possible it is.
struct MotionReport {
  Command command;
  double vx = 0, vy = 0, wz = 0;  ///< mean velocity, heading frame; m/s, m/s, rad/s
  double drift = 0;               ///< between the first and last 10 s, of the mean velocity, m/s
  double drift_height = 0;        ///< of the mean pelvis height, m
  double drift_knee = 0;          ///< of the range of the knee angles, rad
  double slip_mean = 0, slip_max = 0;  ///< way of a foot while it carries, m a step
  int steps = 0;
  double motion = 0;         ///< largest joint speed in the last 10 s, rad/s
  double largest_step = 0;   ///< largest change of a joint angle from frame to frame, rad
  int limit_violations = 0;  ///< joint angles outside their limits
  int nonfinite = 0;         ///< frames with a number that is not finite
  int frames = 0;            ///< judged, the settling time left out
  int force = 0, pressure = 0, yaw = 0, impossible = 0;  ///< frames beyond a limit; beyond any
};

/// Judges every stream from frame `settle` on (limits, steps and numbers that are not finite: from
/// the first). Throws UserError if less than 4 s remain or the joints do not match.
std::vector<MotionReport> measure_motion(const Robot& robot, const Trajectories& motion, int settle,
                                         Workers& workers);

}  // namespace twist
