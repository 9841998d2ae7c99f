#include "learn/imitation.h"

#include <torch/torch.h>

#include <cmath>

#include "base/error.h"

namespace twist {

double kl_weight(const ImitationSettings& s, std::int64_t iteration) {
  if (iteration < s.dagger_iterations) return 1;
  const double done = static_cast<double>(iteration - s.dagger_iterations) / s.kl_iterations;
  return s.kl_end + (s.kl_start - s.kl_end) * 0.5 * (1 + std::cos(M_PI * std::min(done, 1.0)));
}

at::Tensor kl_divergence(const at::Tensor& student_mean, const at::Tensor& student_log_std,
                         const at::Tensor& teacher_mean, const at::Tensor& teacher_log_std) {
  const at::Tensor precision = torch::exp(-2 * teacher_log_std);
  const at::Tensor square =
      torch::exp(2 * student_log_std) + (student_mean - teacher_mean).square();
  return (teacher_log_std - student_log_std + 0.5 * square * precision - 0.5).sum(-1);
}

Teacher::Teacher(const State& state, const EnvSettings& settings, const Env& env)
    : state_(state),
      settings_(settings),
      policy_(state, ObservationShape(env.privileged_layout()), env.robot().num_actions()),
      normaliser_(env.privileged_layout().mirror_source, env.privileged_layout().mirror_sign),
      log_std_(torch::empty({env.robot().num_actions()})) {
  normaliser_.load(state, "policy.normaliser.");
  load_tensor(state, "policy.log_std", log_std_);
  for (const auto& block : env.privileged_layout().blocks()) {
    if (block.name == "lin_vel") return;
    lin_vel_ += block.width;
  }
}

void Teacher::label(const Env& env, int first, int count, float* labels) const {
  const int actions = env.robot().num_actions(), outputs = env.num_outputs();
  const std::size_t width = env.privileged_layout().width();
  const float* seen = env.critic_observation().data() + first * width;
  std::vector<float> action(std::size_t(count) * actions);
  policy_.act(seen, count, action.data());
  for (int i = 0; i < count; ++i) {
    float* label = labels + std::size_t(i) * outputs;
    env.translate(first + i, settings_, &action[std::size_t(i) * actions], label);
    std::copy_n(seen + i * width + lin_vel_, outputs - actions, label + actions);
  }
}

void Teacher::hand_on_critic(ActorCritic& student) const {
  torch::NoGradGuard no_grad;
  const auto& names = student.parameters.names();
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i].starts_with("critic"))
      load_tensor(state_, "policy." + names[i], student.parameters[static_cast<int>(i)]);
  }
}

}  // namespace twist
