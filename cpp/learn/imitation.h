#pragma once

#include "base/settings.h"
#include "env/env.h"
#include "learn/policy.h"

namespace twist {

/// How a student learns from its teacher. At first only from labels (DAgger, Ross et al. 2011):
/// student and teacher act, each in some environments, and the teacher says what it would have
/// done. Then by PPO, with a divergence from the teacher that costs less and less.
struct ImitationSettings {
  int dagger_iterations = 150;
  double dagger_rate = 1e-3;   ///< learning rate of that phase
  double teacher_share = 0.5;  ///< of the environments in which the teacher acts at its start
  double kl_start = 0.1, kl_end = 0.01;
  int kl_iterations = 1000;
  double estimate_std = 0.1;     ///< of the student's velocity estimates, m/s
  double estimate_weight = 0.1;  ///< of their loss, after the first phase

  template <class V>
  void visit(V&& field) {
    field("dagger_iterations", dagger_iterations, Valid(0, 1e9),
          "first iterations, which learn from the teacher's labels only");
    field("dagger_rate", dagger_rate, Valid(1e-7, 1), "learning rate of these iterations");
    field("teacher_share", teacher_share, Valid(0, 1),
          "share of the environments in which the teacher acts at first; none at their end");
    field("kl_start", kl_start, Valid(0, 100), "weight of KL(student || teacher) when PPO begins");
    field("kl_end", kl_end, Valid(0, 100), "weight that it ends with");
    field("kl_iterations", kl_iterations, Valid(1, 1e9),
          "iterations of PPO in which it falls along half a cosine");
    field("estimate_std", estimate_std, Valid(1e-3, 10),
          "standard deviation of the velocity estimates, in m/s, that their loss is in units of");
    field("estimate_weight", estimate_weight, Valid(0, 100), "weight of that loss beside PPO");
  }
};

/// The weight of KL(student || teacher) in an iteration (fact sheet 6.3, as it was meant): 1 in the
/// first phase, then kl_end + (kl_start - kl_end) (1 + cos(pi min(n / kl_iterations, 1))) / 2 in
/// its n-th iteration.
double kl_weight(const ImitationSettings& settings, std::int64_t iteration);

/// KL(student || teacher) of independent normals with means (batch, actions) and logarithms of
/// standard deviations (actions), summed over actions: (batch).
at::Tensor kl_divergence(const at::Tensor& student_mean, const at::Tensor& student_log_std,
                         const at::Tensor& teacher_mean, const at::Tensor& teacher_log_std);

/// The policy that a student imitates.
class Teacher {
 public:
  /// `state` holds its "policy.*", `settings` what it was trained in. Throws UserError unless it
  /// sees what the critics of `env` see.
  Teacher(const State& state, const EnvSettings& settings, const Env& env);

  /// What the student should answer in environments first to first + count: the actions that lead
  /// to the teacher's targets, and the true velocities: (count, env.num_outputs()).
  void label(const Env& env, int first, int count, float* labels) const;

  const Normaliser& normaliser() const { return normaliser_; }
  const at::Tensor& log_std() const { return log_std_; }  // (actions)

  /// Begins a student with the teacher's critic. Throws UserError if it has another shape.
  void hand_on_critic(ActorCritic& student) const;

 private:
  State state_;
  EnvSettings settings_;
  Policy policy_;
  Normaliser normaliser_;
  at::Tensor log_std_;
  int lin_vel_ = 0;  // where the true velocity stands in what it sees
};

}  // namespace twist
