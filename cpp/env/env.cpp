#include "env/env.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/error.h"
#include "base/simulate.h"

namespace twist {
namespace {

constexpr double kDriftTime = 0.5;  // s over which the mean velocity error is taken

// sets the weights of the terms that are named
void weigh_terms(const char* key, const std::map<std::string, double>& named,
                 std::vector<double>& weights) {
  const auto terms = reward_terms();
  for (const auto& [name, weight] : named) {
    const auto found = std::find_if(terms.begin(), terms.end(),
                                    [&](const auto& term) { return term.name == name; });
    if (found == terms.end()) {
      std::vector<std::string> names;
      for (const auto& term : terms) names.push_back(term.name);
      fail("env.", key, ".", name, " is not a reward term; there are: ", join(names));
    }
    weights[found - terms.begin()] = weight;
  }
}

// adds the time since the last lap to a phase
class StopWatch {
 public:
  StopWatch(double* phases, bool running) : phases_(phases), running_(running) {
    if (running_) last_ = std::chrono::steady_clock::now();
  }
  void lap(Phase phase) {
    if (!running_) return;
    const auto now = std::chrono::steady_clock::now();
    phases_[static_cast<int>(phase)] += std::chrono::duration<double>(now - last_).count();
    last_ = now;
  }

 private:
  double* phases_;
  bool running_;
  std::chrono::steady_clock::time_point last_;
};

}  // namespace

const char* const kPhaseNames[kNumPhases] = {"act", "simulate", "measure", "judge_observe",
                                             "reset"};

Env::Env(std::shared_ptr<const Robot> robot, const EnvSettings& settings,
         std::shared_ptr<const MotionPool> pool, int num_envs, int num_workers, std::uint64_t seed)
    : robot_(std::move(robot)),
      settings_(settings),
      pool_(std::move(pool)),
      num_envs_(num_envs),
      seed_(seed),
      layout_(*robot_, settings.observe),
      privileged_layout_(*robot_),
      frame_layout_{robot_->num_joints()},
      first_weights_(reward_terms().size()),
      terrain_(settings.terrain) {
  if (num_envs < 1) fail("the number of environments must be at least 1, got ", num_envs);

  weigh_terms("rewards", settings.rewards, first_weights_);
  last_weights_ = first_weights_;
  weigh_terms("final_rewards", settings.final_rewards, last_weights_);

  for (int worker = 0; worker < std::max(1, num_workers); ++worker) {
    Scratch& scratch = scratch_.emplace_back();
    scratch.model = robot_->make_model(settings.sim, [&](mjSpec* spec) { terrain_.add_to(spec); });
    scratch.data.reset(mj_makeData(scratch.model.get()));
  }
  const mjModel* m = scratch_[0].model.get();
  randomiser_ = std::make_unique<Randomiser>(*robot_, *m);
  geom_side_.assign(m->ngeom, -1);
  sole_geoms_ = sole_geoms(*robot_, *m);
  for (int side = 0; side < 2; ++side) {
    for (const int geom : sole_geoms(*robot_, *m, side)) geom_side_[geom] = side;
  }

  // buffers
  state_size_ = mj_stateSize(m, mjSTATE_INTEGRATION);
  states_.resize(std::size_t(num_envs) * state_size_);
  episodes_.resize(num_envs);
  actions_.resize(std::size_t(num_envs) * kPastActions * robot_->num_actions());
  poses_.resize(num_envs);
  EnvStatistics zero;
  zero.terms.resize(first_weights_.size());
  zero.causes.resize(kNumCauses);
  sums_.assign(num_envs, zero);
  observation.resize(std::size_t(num_envs) * layout_.width());
  final_observation = observation;
  if (!is_privileged()) privileged.resize(std::size_t(num_envs) * privileged_layout_.width());
  final_privileged = privileged;
  reward.resize(num_envs);
  cause.assign(num_envs, Cause::kNone);
  pose_statue();
  set_pool(std::move(pool_));
}

void Env::step(int env, int worker, const float* output) {
  Episode& episode = episodes_[env];
  Scratch& scratch = scratch_[worker];
  mjData* d = scratch.data.get();
  StopWatch watch(scratch.profile, profiling);
  const auto [home_stream, home_frame] = episode.home();
  if (!pool_->knows(home_stream, home_frame))
    fail("the live motion of environment ", env, " must be advanced before it is stepped");

  act(env, scratch, output);
  watch.lap(Phase::kAct);

  // simulate
  const bool sound = simulate(scratch.model.get(), d, settings_.sim.decimation);
  move_on(episode);
  watch.lap(Phase::kSimulate);

  // judge
  cause[env] = Cause::kPhysics;
  if (sound) {
    mj_getState(scratch.model.get(), d, state(env), mjSTATE_INTEGRATION);
    measure(env, scratch);
    watch.lap(Phase::kMeasure);
    cause[env] = check_termination(settings_.termination, scratch.body);
    if (cause[env] == Cause::kNone && episode.steps >= episode.limit) cause[env] = Cause::kTimeOut;
    reward[env] = static_cast<float>(judge(env, scratch));
    react(env, scratch);
    layout_.remember(&observation[std::size_t(env) * layout_.width()]);
    observe(env, scratch);
  } else {
    mj_resetData(scratch.model.get(), d);
    reward[env] = static_cast<float>(settings_.fall_reward);
    ++sums_[env].quarantined;
  }
  watch.lap(Phase::kJudge);
  if (cause[env] == Cause::kNone) return;

  // reset
  EnvStatistics& sums = sums_[env];
  ++sums.episodes;
  ++sums.causes[static_cast<int>(cause[env])];
  sums.episode_steps += episode.steps;
  if (cause[env] != Cause::kTimeOut && !pool_->live()) {
    const auto [stream, frame] = episode.home();
    starts_->add_failure(stream, frame);
  }
  keep_final_observation(env);
  reset(env, worker);
  watch.lap(Phase::kReset);
}

// takes the policy's answer, pushes sometimes, and makes the worker's simulation that of the
// environment with its targets
void Env::act(int env, Scratch& scratch, const float* output) {
  Episode& episode = episodes_[env];
  mjData* d = scratch.data.get();
  const int actions = robot_->num_actions();
  float* last = past_actions(env, 0);
  std::copy_backward(last, past_actions(env, kPastActions - 1), past_actions(env, kPastActions));
  const float clip = static_cast<float>(settings_.action_clip);
  for (int i = 0; i < actions; ++i) last[i] = std::clamp(output[i], -clip, clip);
  for (int i = 0; i < layout_.estimates(); ++i) episode.estimate[i] = output[actions + i];
  if (episode.steps == episode.next_push) push_sometimes(env);
  mj_setState(scratch.model.get(), d, state(env), mjSTATE_INTEGRATION);
  scratch.body.last_qd.assign(d->qvel + 6, d->qvel + scratch.model->nv);
  randomiser_->apply(episode.random, scratch.model.get());
  terrain_.set_difficulty(episode.random.terrain, scratch.model.get());
  set_targets(env, scratch);
}

void Env::keep_final_observation(int env) {
  const auto keep = [&](const std::vector<float>& from, std::vector<float>& to, int width) {
    if (from.empty()) return;
    std::copy_n(&from[std::size_t(env) * width], width, &to[std::size_t(env) * width]);
  };
  keep(observation, final_observation, layout_.width());
  keep(privileged, final_privileged, privileged_layout_.width());
}

std::vector<double> Env::profile() const {
  std::vector<double> total(kNumPhases);
  for (const Scratch& scratch : scratch_) {
    for (int phase = 0; phase < kNumPhases; ++phase) total[phase] += scratch.profile[phase];
  }
  return total;
}

// q_ref + (kd/kp) qd_ref + tau_ref/kp half-way to the next frame, or the default pose: the target
// holds for one control step
double Env::base_target(int joint, const EnvSettings& settings, const ReferenceView& now,
                        const ReferenceView& next) const {
  const Robot& robot = *robot_;
  if (settings.action_mode == "default_offset") return robot.q_default[joint];
  const int q = frame_layout_.q() + joint, qd = frame_layout_.qd() + joint;
  const double half_q = 0.5 * (now.frame[q] + next.frame[q]);
  const double half_qd = 0.5 * (now.frame[qd] + next.frame[qd]);
  const double half_torque = 0.5 * (now.torque[joint] + next.torque[joint]);
  return half_q + (settings.feed_forward.velocity * robot.kd[joint] * half_qd +
                   settings.feed_forward.torque * half_torque) /
                      robot.kp[joint];
}

// the base and on it s a
void Env::set_targets(int env, Scratch& scratch) const {
  const Robot& robot = *robot_;
  double* target = scratch.data->ctrl;
  const ReferenceView now = reference_at(env, 0), next = reference_at(env, 1);
  for (int joint = 0; joint < robot.num_joints(); ++joint)
    target[joint] = base_target(joint, settings_, now, next);

  // with a delay, part of the step belongs to an action before
  const double delay = episodes_[env].random.delay;
  const int whole = std::min(static_cast<int>(delay), kPastActions - 2);
  const double late = delay - whole;
  const float *new_action = past_actions(env, whole), *old_action = past_actions(env, whole + 1);
  for (int i = 0; i < robot.num_actions(); ++i) {
    const double action = (1 - late) * new_action[i] + late * old_action[i];
    target[robot.acted_joints[i]] += robot.action_scale[i] * action;
  }
  // an encoder that reads too much makes the servo stop too early
  for (int joint = 0; joint < robot.num_joints(); ++joint)
    target[joint] -= episodes_[env].random.joint_offset(joint);
}

void Env::translate(int env, const EnvSettings& settings, const float* action, float* here) const {
  const ReferenceView now = reference_at(env, 0), next = reference_at(env, 1);
  for (int i = 0; i < robot_->num_actions(); ++i) {
    const int joint = robot_->acted_joints[i];
    const double shift =
        base_target(joint, settings, now, next) - base_target(joint, settings_, now, next);
    here[i] = action[i] + static_cast<float>(shift / robot_->action_scale[i]);
  }
}

void Env::push(int env, const Vec2& velocity, double yaw_rate) {
  const mjModel* m = scratch_[0].model.get();
  double* qpos = state(env) + 1;  // the state begins with the time
  double* qvel = qpos + m->nq;
  const Vec2 world = rot_2d(heading(quat_from_mujoco(qpos + 3))) * velocity;
  qvel[0] += world.x();
  qvel[1] += world.y();
  qvel[5] += yaw_rate;  // base frame: the pelvis is nearly upright
}

void Env::pull(int env, int body, const Vec3& force) {
  const mjModel* m = scratch_[0].model.get();
  if (body < 1 || body >= m->nbody) fail("there is no body ", body, " to pull");
  const Mat3 world_from_heading = rot_z(heading(quat_from_mujoco(state(env) + 1 + 3)));
  // the parts of the state lie one after the other, in the order of their bits
  const int before = mj_stateSize(m, mjSTATE_INTEGRATION & (mjSTATE_XFRC_APPLIED - 1));
  Eigen::Map<Vec3>(state(env) + before + 6 * body) = world_from_heading * force;
}

// A push in any direction, and the time of the next one. A function of the episode and its step.
void Env::push_sometimes(int env) {
  const RandomiseSettings& s = settings_.randomise;
  Episode& episode = episodes_[env];
  Random random(seed_ + episode.count, env, episode.steps, Purpose::kPush);
  const double speed = episode.difficulty * s.push * random.uniform();
  const double direction = random.uniform(-M_PI, M_PI);
  const double spin = episode.difficulty * s.spin * random.uniform(-1, 1);
  if (episode.steps > 0 && speed > 0)
    push(env, speed * Vec2(std::cos(direction), std::sin(direction)), spin);
  const double wait = random.uniform(s.push_every_s[0], s.push_every_s[1]);
  episode.next_push = episode.steps + std::max(1, static_cast<int>(wait / kControlStep));
}

ReferenceView Env::reference_at(int env, int ahead) const {
  const Episode& episode = episodes_[env];
  return pool_->at(episode.stream,
                   std::min(episode.frame + ahead, pool_->length(episode.stream) - 1));
}

// reads the body from the simulation after a step
void Env::measure(int env, Scratch& scratch) {
  mjModel* m = scratch.model.get();
  mjData* d = scratch.data.get();
  BodyState& body = scratch.body;

  // forces are those of the last physics step
  for (int side = 0; side < 2; ++side) {
    body.load[side] = 0;
    body.foot_force[side].setZero();
  }
  for (int i = 0; i < d->ncon; ++i) {
    const mjContact& contact = d->contact[i];
    const int second = geom_side_[contact.geom[1]];
    const int side = std::max(geom_side_[contact.geom[0]], second);
    if (side < 0) continue;
    double force[6];  // on the second geom: along the normal and two tangents, then moments
    mj_contactForce(m, d, i, force);
    const Eigen::Map<const Mat3> world_from_contact(contact.frame);
    body.load[side] += force[0];
    body.foot_force[side] += (second < 0 ? -1 : 1) * (world_from_contact * Vec3(force));
  }

  mj_kinematics(m, d);
  const int joints = robot_->num_joints();
  body.q = {d->qpos + 7, static_cast<std::size_t>(joints)};
  body.qd = {d->qvel + 6, static_cast<std::size_t>(joints)};
  body.torque = {d->actuator_force, static_cast<std::size_t>(joints)};
  const double floor = episodes_[env].random.terrain;
  body.height = d->qpos[2] - terrain_.height(floor, d->qpos[0], d->qpos[1]);
  body.quat_wb = quat_from_mujoco(d->qpos + 3);
  const Mat3 heading_from_world = rot_z(-heading(body.quat_wb));
  body.gravity = body.quat_wb.conjugate() * Vec3(0, 0, -1);
  body.gyro = Eigen::Map<const Vec3>(d->qvel + 3);
  body.lin_vel = heading_from_world * Eigen::Map<const Vec3>(d->qvel);
  for (int side = 0; side < 2; ++side) {
    const Vec3 foot = Eigen::Map<const Vec3>(d->xpos + 3 * robot_->foot_bodies[side]);
    body.feet[side] = heading_from_world * (foot - Eigen::Map<const Vec3>(d->qpos));
    body.feet[side].z() = foot.z() - terrain_.height(floor, foot.x(), foot.y());
    body.foot_vel[side] = (foot - episodes_[env].feet[side]) / kControlStep;
    episodes_[env].feet[side] = foot;

    int& air_steps = episodes_[env].air_steps[side];
    if (!body.loaded(side) && episodes_[env].steps > 0) ++air_steps;
    body.air_time[side] = air_steps * kControlStep;
    if (body.loaded(side)) air_steps = 0;
  }
  body.key_bodies.resize(robot_->key_bodies.size());
  for (std::size_t i = 0; i < body.key_bodies.size(); ++i) {
    const Eigen::Map<const Vec3> key_body(d->xpos + 3 * robot_->key_bodies[i]);
    body.key_bodies[i] = heading_from_world * (key_body - Eigen::Map<const Vec3>(d->qpos));
  }
  follow_drift(env, scratch);
  poses_[env] = {body.lin_vel, (heading_from_world.transpose() * (body.quat_wb * body.gyro)).z(),
                 body.height, std::acos(std::clamp(-body.gravity.z(), -1.0, 1.0))};
}

// how far the velocity is from the command in the mean: what is true, and what the policy believes
void Env::follow_drift(int env, Scratch& scratch) {
  Episode& episode = episodes_[env];
  BodyState& body = scratch.body;
  const Vec3 command = Eigen::Map<const Eigen::Vector3f>(this->command(env)).cast<double>();
  const auto follow = [&](const Vec3& velocity, Vec3& drift) {
    const Vec3 error = Vec3(velocity.x(), velocity.y(), body.gyro.z()) - command;
    if (episode.steps > 0) drift += kControlStep / kDriftTime * (error - drift);
  };
  follow(body.lin_vel, episode.drift);
  follow(episode.estimate, episode.drift_estimate);
  body.drift = episode.drift;
  body.lin_vel_estimate = episode.estimate;
  body.drift_estimate = episode.drift_estimate;
}

StepView Env::view(int env, const Scratch& scratch) const {
  const std::size_t n = robot_->num_actions();
  return view_of(env, scratch.body, {past_actions(env, 0), n}, {past_actions(env, 1), n});
}

StepView Env::view_of(int env, const BodyState& body, std::span<const float> action,
                      std::span<const float> before) const {
  return {
      *robot_, body,  reference_at(env, 0), reference_at(env, settings_.lookahead), frame_layout_,
      action,  before};
}

void Env::observe(int env, const Scratch& scratch) {
  const StepView v = view(env, scratch);
  float* out = &observation[std::size_t(env) * layout_.width()];
  layout_.fill(v, out);
  if (!is_privileged())
    privileged_layout_.fill(v, &privileged[std::size_t(env) * privileged_layout_.width()]);

  // what sensors make of it
  const Episode& episode = episodes_[env];
  layout_.add_joint_offset(episode.random.joint_offsets, out);
  const double noise = settings_.randomise.noise;
  if (noise == 0) return;
  Random random(seed_ + episode.count, env, episode.steps, Purpose::kNoise);
  layout_.add_noise(noise * episode.difficulty, random, out);
}

void Env::reference_pose(int env, float* qpos) const {
  const double* robot = states_.data() + std::size_t(env) * state_size_ + 1;
  const float* frame = reference_at(env, 0).frame;
  const float* gravity = frame + frame_layout_.gravity();
  const Eigen::Quaterniond turn(rot_z(heading(quat_from_mujoco(robot + 3))));
  double quat[4];
  quat_to_mujoco((turn * tilt_from_gravity(Vec3(gravity[0], gravity[1], gravity[2]))).normalized(),
                 quat);
  qpos[0] = static_cast<float>(robot[0]);
  qpos[1] = static_cast<float>(robot[1]);
  qpos[2] = static_cast<float>(frame[frame_layout_.height()] +
                               terrain_.height(episodes_[env].random.terrain, robot[0], robot[1]));
  std::copy_n(quat, 4, qpos + 3);
  std::copy_n(frame + frame_layout_.q(), robot_->num_joints(), qpos + 7);
}

// the default pose with its soles on the floor
void Env::pose_statue() {
  const mjModel* m = scratch_[0].model.get();
  mjData* d = scratch_[0].data.get();
  mj_resetData(m, d);
  std::copy(robot_->q_default.begin(), robot_->q_default.end(), d->qpos + 7);
  mj_kinematics(m, d);
  double lowest = 1e9;
  for (const int geom : sole_geoms_)
    lowest = std::min(lowest, d->geom_xpos[3 * geom + 2] - m->geom_size[3 * geom]);
  zeros_.assign(robot_->num_joints(), 0.0);
  no_action_.assign(robot_->num_actions(), 0.0f);
  statue_.q = robot_->q_default;
  statue_.qd = statue_.torque = zeros_;
  statue_.last_qd = zeros_;
  statue_.height = d->qpos[2] - lowest;
  statue_.quat_wb = Eigen::Quaterniond::Identity();
  statue_.gravity = Vec3(0, 0, -1);
  statue_.gyro = statue_.lin_vel = Vec3::Zero();
  for (int side = 0; side < 2; ++side) {
    const Vec3 foot = Eigen::Map<const Vec3>(d->xpos + 3 * robot_->foot_bodies[side]);
    statue_.feet[side] = foot - Eigen::Map<const Vec3>(d->qpos);
    statue_.feet[side].z() = foot.z() - lowest;
    statue_.foot_vel[side] = Vec3::Zero();
    statue_.load[side] = 0.5 * robot_->total_mass * 9.81;
    statue_.foot_force[side] = Vec3(0, 0, statue_.load[side]);
  }
  for (const int body : robot_->key_bodies) {
    statue_.key_bodies.push_back(Eigen::Map<const Vec3>(d->xpos + 3 * body) -
                                 Eigen::Map<const Vec3>(d->qpos));
  }
}

double Env::statue_reward(int env) const {
  BodyState body = statue_;  // it falls behind the command
  body.drift = -Eigen::Map<const Eigen::Vector3f>(command(env)).cast<double>();
  return weigh(view_of(env, body, no_action_, no_action_), nullptr);
}

// the sum of the reward terms; each is added to `sums` (terms), if given
double Env::weigh(const StepView& v, double* sums) const {
  double total = 0;
  const auto terms = reward_terms();
  for (std::size_t i = 0; i < terms.size(); ++i) {
    const double weight = std::lerp(first_weights_[i], last_weights_[i], difficulty_);
    if (weight == 0) continue;
    const double term = weight * terms[i].value(v) * kControlStep;
    if (sums) sums[i] += term;
    total += term;
  }
  return total;
}

// the reward of this step, with its sums
double Env::judge(int env, const Scratch& scratch) {
  const StepView v = view(env, scratch);
  EnvStatistics& sums = sums_[env];
  double total = weigh(v, sums.terms.data());
  if (cause[env] != Cause::kNone && cause[env] != Cause::kTimeOut) total += settings_.fall_reward;

  ++sums.steps;
  sums.reward += total;
  const float* command = v.now.command;
  const float* planned = v.now.frame + frame_layout_.lin_vel();
  sums.velocity_error +=
      std::hypot(v.body.lin_vel.x() - planned[0], v.body.lin_vel.y() - planned[1]);
  sums.yaw_rate_error += std::abs(v.body.gyro.z() - command[2]);
  return total;
}

}  // namespace twist
