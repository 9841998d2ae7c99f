#pragma once

#include "base/robot.h"
#include "motion/reference.h"

namespace twist {

/// Shifts the pelvis of generated motion so that inverse dynamics asks for a centre of pressure
/// inside the soles that carry load. Feet stay exactly where they are: the legs follow by inverse
/// kinematics; everything else is untouched.
///
/// A pelvis shift s(t) moves the required centre of pressure by s - s''/w^2 (linear inverted
/// pendulum, w^2 = g/z). The bounded solution for a wanted correction r(t) is s = (w/2) integral
/// exp(-w|t - u|) r(u) du: the preview of Kajita et al., "Biped walking pattern generation by using
/// preview control of zero-moment point", ICRA 2003, in closed form. Because the legs have mass the
/// step is repeated `rounds` times.
void make_balanced(const Robot& robot, Trajectories& motion, Workers& workers, int rounds = 4);

/// `generate` followed by `make_balanced`. The plan is run a little longer than asked, because the
/// last second of a stream cannot be balanced without knowing what follows.
Trajectories generate_balanced(const Robot& robot, Generator& generator, const CommandPlan& plan,
                               Workers& workers);

}  // namespace twist
