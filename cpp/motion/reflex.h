#pragma once

#include <vector>

#include "motion/gait.h"
#include "motion/pool.h"

namespace twist {

/// Reflexes in eight directions and on the spot, with either foot first, made from the gait library
/// and balanced like other motion of it.
Reflexes make_reflexes(const Robot& robot, const GaitSettings& settings, Workers& workers);

/// The reflex for a body that moves at `velocity` (heading frame, m/s): the nearest of those whose
/// first foot steps to the side that the body moves to.
int choose_reflex(const std::vector<Reflex>& entries, const Vec2& velocity);

}  // namespace twist
