#pragma once

#include <vector>

#include "motion/reference.h"

namespace twist {

/// The valid rows of all streams, one after the other, to compare motion as a whole.
inline std::vector<float> all_rows(const Trajectories& motion) {
  std::vector<float> values;
  for (int stream = 0; stream < motion.streams; ++stream) {
    const float* first = motion.row(stream, 0);
    values.insert(values.end(), first, first + motion.lengths[stream] * motion.width());
  }
  return values;
}

/// The same of the commands in force.
inline std::vector<float> all_commands(const Trajectories& motion) {
  std::vector<float> values;
  for (int stream = 0; stream < motion.streams; ++stream) {
    const float* first = motion.command(stream, 0);
    values.insert(values.end(), first, first + motion.lengths[stream] * 3);
  }
  return values;
}

}  // namespace twist
