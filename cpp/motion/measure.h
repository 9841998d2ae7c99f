#pragma once

#include <span>
#include <vector>

#include "motion/reference.h"

namespace twist {

/// How well generated motion follows one constant command.
struct CmgCell {
  Command command;                ///< what was asked for
  double vx = 0, vy = 0, wz = 0;  ///< mean velocity after the start, heading frame; m/s, m/s, rad/s
  double knee_first = 0, knee_last = 0;      ///< range of the knee angle early and late, rad
  double height_first = 0, height_last = 0;  ///< mean pelvis height early and late, m
  double largest_step = 0;   ///< largest change of a joint angle from frame to frame, rad
  int limit_violations = 0;  ///< joint angles outside their limits
  int nonfinite = 0;         ///< frames with a number that is not finite
};

/// Runs a generator from standing with one constant command per stream and judges the motion.
///
/// `seconds` >= 4. Means are taken after the first 10 s (or after half of the time if that is
/// shorter); "early" and "late" are the first and last 10 s (or halves). `knees` are joint indices;
/// `lower` and `upper` (joints) in rad. Throws UserError if the time is too short or the sizes do
/// not match the generator.
std::vector<CmgCell> measure_cmg(Generator& generator, std::span<const Command> commands,
                                 double seconds, std::span<const int> knees,
                                 std::span<const double> lower, std::span<const double> upper,
                                 Workers& workers);

}  // namespace twist
