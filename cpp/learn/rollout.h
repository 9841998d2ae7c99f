#pragma once

#include <ATen/core/Tensor.h>

namespace twist {

/// One batch of experience, time-major: `horizon` steps of `envs` environments. All float32, on the
/// CPU.
struct Rollout {
  /// Without a critic that sees more, `privileged` is 0; without a teacher, `labels`.
  Rollout(int horizon, int envs, int observations, int privileged, int actions, int labels);

  int horizon, envs;
  at::Tensor observation;  // (horizon, envs, observations) raw
  at::Tensor critic;       // (horizon, envs, privileged) raw, or the observation
  at::Tensor label;        // (horizon, envs, labels) what the teacher would have answered
  at::Tensor action;       // (horizon, envs, actions)
  at::Tensor mean;         // (horizon, envs, actions) of the policy that acted
  at::Tensor log_prob;     // (horizon, envs) of the action
  at::Tensor
      value;  // (horizon + 1, envs); the last row is the value of the state after the rollout
  at::Tensor reward;     // (horizon, envs)
  at::Tensor ended;      // (horizon, envs) 1 where the episode ended in this step
  at::Tensor advantage;  // (horizon, envs)
  at::Tensor target;     // (horizon, envs) for the value

  /// Generalised advantage estimation (Schulman et al. 2016). Rewards of time-outs must already
  /// contain the discounted value of the state they cut off.
  void estimate_advantage(double gamma, double lambda);
};

}  // namespace twist
