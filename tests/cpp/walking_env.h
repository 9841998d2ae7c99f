#pragma once

#include <string>
#include <vector>

#include "env/env.h"
#include "g1.h"

namespace twist {

constexpr int kActions = 15;
constexpr double kNever = 1e6;

/// No noise, no end, one reward.
inline EnvSettings calm() {
  EnvSettings s;
  s.reset.stand_share = s.reset.q = s.reset.qd = s.reset.lin_vel = s.reset.ang_vel = s.reset.tilt =
      0;
  s.randomise.friction = {0.8, 0.8};
  s.termination = {-kNever, 180, 0};
  s.episode_s = 1000;
  s.rewards = {{"alive", 1.0}};
  return s;
}

/// The body and floor of an episode in which nothing is random.
inline Randomisation plain_body() {
  Randomisation body;
  body.friction = 0.8;
  return body;
}

inline const std::vector<float>& no_action() {
  static const std::vector<float> zeros(kActions, 0.0f);
  return zeros;
}

/// The physics of all environments.
inline std::vector<double> states_of(Env& env) {
  return {env.state(0), env.state(0) + std::size_t(env.num_envs()) * env.state_size()};
}

/// Generalised positions and velocities of one environment: the state begins with the time.
inline double* qpos_of(Env& env, int i) { return env.state(i) + 1; }
inline double* qvel_of(Env& env, int i) { return qpos_of(env, i) + env.model(0)->nq; }

inline std::vector<float> row_of(const std::vector<float>& rows, const Env& env, int i) {
  const auto first = rows.begin() + std::size_t(i) * env.layout().width();
  return {first, first + env.layout().width()};
}

/// The block of that name of an observation (width).
inline std::vector<float> block_of(const std::vector<float>& observation, const std::string& name) {
  const ObservationLayout layout(*g1());
  int first = 0;
  for (const ObservationBlock& block : layout.blocks()) {
    if (block.name == name) return {&observation[first], &observation[first] + block.width};
    first += block.width;
  }
  throw std::runtime_error("no block " + name);
}

/// The lowest sole point of one environment above z = 0, by the model on the disk.
inline double lowest_sole_of(Env& env, int i) {
  static const ModelPtr model = g1_plain_model();
  static const DataPtr data(mj_makeData(model.get()));
  std::copy_n(qpos_of(env, i), model->nq, data->qpos);
  mj_kinematics(model.get(), data.get());
  return lowest_sole(model.get(), data.get());
}

}  // namespace twist
