#include "learn/rollout.h"

#include <torch/types.h>

namespace twist {

Rollout::Rollout(int horizon_, int envs_, int observations, int privileged, int actions, int labels)
    : horizon(horizon_),
      envs(envs_),
      observation(torch::zeros({horizon, envs, observations})),
      critic(privileged > 0 ? torch::zeros({horizon, envs, privileged}) : observation),
      label(torch::zeros({horizon, envs, labels})),
      action(torch::zeros({horizon, envs, actions})),
      mean(torch::zeros({horizon, envs, actions})),
      log_prob(torch::zeros({horizon, envs})),
      value(torch::zeros({horizon + 1, envs})),
      reward(torch::zeros({horizon, envs})),
      ended(torch::zeros({horizon, envs})),
      advantage(torch::zeros({horizon, envs})),
      target(torch::zeros({horizon, envs})) {}

void Rollout::estimate_advantage(double gamma, double lambda) {
  const auto v = value.accessor<float, 2>();
  const auto r = reward.accessor<float, 2>();
  const auto end = ended.accessor<float, 2>();
  auto a = advantage.accessor<float, 2>();
  auto t = target.accessor<float, 2>();
  for (int env = 0; env < envs; ++env) {
    double sum = 0;
    for (int step = horizon - 1; step >= 0; --step) {
      // delta = r + gamma V(s') - V(s);  A = delta + gamma lambda A'
      const double goes_on = 1.0 - end[step][env];
      const double delta = r[step][env] + gamma * goes_on * v[step + 1][env] - v[step][env];
      sum = delta + gamma * lambda * goes_on * sum;
      a[step][env] = static_cast<float>(sum);
      t[step][env] = static_cast<float>(sum + v[step][env]);
    }
  }
}

}  // namespace twist
