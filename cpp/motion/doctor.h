#pragma once

#include <string>
#include <vector>

#include "base/robot.h"
#include "motion/clips.h"
#include "motion/trace.h"

namespace twist {

/// What a plausible clip keeps to. A finding is an error beyond `error`, else a warning beyond
/// `warning`; where only one number stands, it is that of an error.
struct DoctorLimits {
  struct Pair {
    double warning, error;
  };
  double quat_norm = 0.05;                      ///< distance from 1
  double root_speed = 5;                        ///< m/s, from frame to frame
  double root_turn = 12;                        ///< rad/s, from frame to frame
  double joint_speed = 30;                      ///< rad/s; the G1's joints turn at 20 to 37
  double height_low = 0.4, height_high = 1.1;   ///< m, pelvis above the clip's floor
  Pair joint_limit = {0.01, 0.2};               ///< rad beyond a joint's range
  Pair penetration = {0.03, 0.06};              ///< m, soles below the clip's floor
  Pair floating = {0.05, 0.15};                 ///< m, both soles above the clip's floor
  double floating_s = 0.4;                      ///< nobody can fly for longer
  double floor = 0.03;                          ///< m, the floor from z = 0; a warning
  double slip = 0.06;                           ///< m a step; a warning
  double velocity_fps = 0.15;                   ///< relative error of the frame rate
  double loop_pose = 0.1, loop_velocity = 1.0;  ///< rad and rad/s; worth knowing
  double min_seconds = 2;                       ///< a shorter stretch is of no use
};

/// One thing that is wrong with a clip, or worth knowing.
struct Finding {
  std::string kind;         ///< one of Doctor::kinds()
  std::string severity;     ///< "info", "warning" or "error"
  int first = 0, last = 0;  ///< frames of the clip, both included
  double worst = 0;         ///< the worst value there, and
  double limit = 0;         ///< the limit it exceeds; units as in DoctorLimits. Heights and
                            ///< joints: how far outside their range; quaternions: from length 1
  std::string reason;       ///< one line in plain words
};

/// What the doctor found. Frames [first, last) are the longest stretch without a corrupt frame, an
/// impossible height or a jump; `why` says what is wrong outside of it.
struct Diagnosis {
  std::vector<Finding> findings;
  double floor = 0;  ///< m, height of the floor that the soles stand on
  int first = 0, last = 0;
  bool usable = false;  ///< the stretch lasts DoctorLimits::min_seconds
  std::string why;
};

/// A clip that was mended, and a line about each thing that was done.
struct Mended {
  Clip clip;
  std::vector<std::string> done;
};

/// Judges recorded motion by kinematics: values, speeds, joint limits, soles and floor. One
/// instance per thread. All functions throw UserError for a clip whose sizes or joints are wrong.
class Doctor {
 public:
  explicit Doctor(const Robot& robot, const DoctorLimits& limits = {});

  static const std::vector<std::string>& kinds();

  Diagnosis examine(const Clip& clip);

  /// The longest plausible stretch with joints inside their limits and the soles on the floor z =
  /// 0, without the source's velocities. Slip and a wrong frame rate cannot be mended. Throws
  /// UserError if the stretch is not usable.
  Mended mend(const Clip& clip);

 private:
  const Robot robot_;
  const DoctorLimits limits_;
  ClipTracer tracer_;
};

}  // namespace twist
