#pragma once

#include <vector>

#include "motion/gait.h"
#include "motion/pool.h"

namespace twist {

/// Reflexes in all directions and on the spot, with either foot first, that stop or go on, made
/// from the gait library and balanced like other motion of it.
Reflexes make_reflexes(const Robot& robot, const GaitSettings& settings, Workers& workers);

/// The reflex nearest to a velocity (heading frame, m/s) among those of a foot that stop, or not.
int choose_reflex(const std::vector<Reflex>& entries, const Vec2& velocity, int foot, bool stops);

}  // namespace twist
