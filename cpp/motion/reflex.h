#pragma once

#include <vector>

#include "motion/gait.h"

namespace twist {

/// A motion that brings a standing robot that was pushed back to standing: it begins in the middle
/// of a walk, at the moment when one foot lifts off, and stops.
struct Reflex {
  Vec2 velocity;  ///< of the walk at the beginning, heading frame, m/s
  int foot = 0;   ///< the foot that steps first: 0 left, 1 right
};

/// All reflexes with their motion: stream i belongs to entry i.
struct Reflexes {
  Trajectories motion;
  std::vector<Reflex> entries;
};

/// Reflexes in eight directions and on the spot, with either foot first, made from the gait library
/// and balanced like other motion of it.
Reflexes make_reflexes(const Robot& robot, const GaitSettings& settings, Workers& workers);

/// The reflex for a body that moves at `velocity` (heading frame, m/s): the nearest of those whose
/// first foot steps to the side that the body moves to.
int choose_reflex(const std::vector<Reflex>& entries, const Vec2& velocity);

}  // namespace twist
