#pragma once

#include <mujoco/mujoco.h>

#include <string>

namespace twist {

/// Steps a simulation `steps` times. MuJoCo's fatal errors, which would end the process, and its
/// warnings of a bad state (not finite or huge; MuJoCo then resets the state silently) end only
/// this call: returns false and, if `reason` is given, says why. The data must then be reset. Other
/// warnings are counted in `data->warning`.
bool simulate(const mjModel* model, mjData* data, int steps, std::string* reason = nullptr);

}  // namespace twist
