// What an Env remembers: statistics, and all that is needed to continue exactly.

#include <algorithm>

#include "base/error.h"
#include "env/env.h"

namespace twist {

EnvStatistics Env::take_statistics() {
  EnvStatistics total;
  total.terms.resize(first_weights_.size());
  total.causes.resize(kNumCauses);
  const EnvStatistics zero = total;
  for (EnvStatistics& sums : sums_) {
    total.steps += sums.steps;
    total.episodes += sums.episodes;
    total.quarantined += sums.quarantined;
    total.reward += sums.reward;
    total.velocity_error += sums.velocity_error;
    total.yaw_rate_error += sums.yaw_rate_error;
    total.episode_steps += sums.episode_steps;
    for (std::size_t i = 0; i < total.terms.size(); ++i) total.terms[i] += sums.terms[i];
    for (int i = 0; i < kNumCauses; ++i) total.causes[i] += sums.causes[i];
    sums = zero;
  }
  return total;
}

int Env::record_size() const {
  const int seen = layout_.width() + (is_privileged() ? 0 : privileged_layout_.width());
  return state_size_ + 26 + kPastActions * robot_->num_actions() + seen;
}

void Env::save(double* records) const {
  const std::size_t actions = std::size_t(kPastActions) * robot_->num_actions();
  const std::size_t width = layout_.width(), more = privileged.size() / num_envs_;
  for (int env = 0; env < num_envs_; ++env) {
    const Episode& e = episodes_[env];
    double* out =
        std::copy_n(states_.data() + std::size_t(env) * state_size_, state_size_, records);
    for (const double value :
         {double(e.stream), double(e.frame), double(e.steps), double(e.limit), double(e.count),
          e.difficulty, double(e.next_push), double(e.home_stream), double(e.home_frame)}) {
      *out++ = value;
    }
    for (const Vec3* vector : {&e.feet[0], &e.feet[1], &e.drift, &e.estimate, &e.drift_estimate})
      out = std::copy_n(vector->data(), 3, out);
    out = std::copy_n(e.air_steps, 2, out);
    out = std::copy_n(actions_.data() + env * actions, actions, out);
    out = std::copy_n(observation.data() + env * width, width, out);
    std::copy_n(privileged.data() + env * more, more, out);
    records += record_size();
  }
}

void Env::load(const double* records) {
  const std::size_t actions = std::size_t(kPastActions) * robot_->num_actions();
  const std::size_t width = layout_.width(), more = privileged.size() / num_envs_;
  for (int env = 0; env < num_envs_; ++env) {
    Episode& e = episodes_[env];
    const double* in = records;
    std::copy_n(in, state_size_, state(env));
    in += state_size_;
    e.stream = static_cast<int>(*in++);
    e.frame = static_cast<int>(*in++);
    e.steps = static_cast<int>(*in++);
    e.limit = static_cast<int>(*in++);
    e.count = static_cast<std::uint32_t>(*in++);
    e.difficulty = *in++;
    e.next_push = static_cast<int>(*in++);
    e.home_stream = static_cast<int>(*in++);
    e.home_frame = static_cast<int>(*in++);
    draw_randomisation(env);
    if (pool_->live()) {
      // live motion is not saved: a new episode
      e.frame = e.home_stream = -1;
      reset(env, 0);
      records += record_size();
      continue;
    }
    const int streams = pool_->streams() + static_cast<int>(pool_->reflexes().size());
    if (e.stream < 0 || e.stream >= streams || e.home_stream >= pool_->streams() ||
        !pool_->knows(e.stream, e.frame) || !pool_->knows(e.home().first, e.home().second)) {
      fail("the saved environments belong to another set of references");
    }
    for (Vec3* vector : {&e.feet[0], &e.feet[1], &e.drift, &e.estimate, &e.drift_estimate}) {
      std::copy_n(in, 3, vector->data());
      in += 3;
    }
    for (int& air_steps : e.air_steps) air_steps = static_cast<int>(*in++);
    std::copy_n(in, actions, actions_.data() + env * actions);
    std::copy_n(in + actions, width, observation.data() + env * width);
    std::copy_n(in + actions + width, more, privileged.data() + env * more);
    records += record_size();
  }
}

}  // namespace twist
