#pragma once

#include <map>
#include <string>

#include "base/parallel.h"
#include "env/env.h"

namespace twist {

struct BenchResult {
  double env_steps_per_s = 0;  ///< whole environment steps: act, simulate, observe, reward, reset
  double raw_env_steps_per_s = 0;  ///< a bare loop of mj_step on the same states, model and threads
  double ratio = 0;                ///< of the two
  std::map<std::string, double>
      profile;  ///< phase -> microseconds of one thread per environment step
};

/// Measures both, interleaved in short rounds, for about `seconds` in all. The policy is silent:
/// the robot follows its feed-forward, falls and is reset. The bare loop starts every round from
/// the same states as the environments.
BenchResult bench_env(Env& env, Workers& workers, double seconds);

}  // namespace twist
