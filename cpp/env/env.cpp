#include "env/env.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/error.h"
#include "base/simulate.h"

namespace twist {
namespace {

constexpr int kMinFrames = 50;  // an episode has at least this many frames before it

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
      layout_(*robot_),
      frame_layout_{robot_->num_joints()},
      weights_(reward_terms().size()) {
  if (num_envs < 1) fail("the number of environments must be at least 1, got ", num_envs);

  // weights by name
  for (const auto& [name, weight] : settings.rewards) {
    const auto terms = reward_terms();
    const auto found = std::find_if(terms.begin(), terms.end(),
                                    [&](const auto& term) { return term.name == name; });
    if (found == terms.end()) {
      std::vector<std::string> names;
      for (const auto& term : terms) names.push_back(term.name);
      fail("env.rewards.", name, " is not a reward term; there are: ", join(names));
    }
    weights_[found - terms.begin()] = weight;
  }

  for (int worker = 0; worker < std::max(1, num_workers); ++worker) {
    Scratch& scratch = scratch_.emplace_back();
    scratch.model = robot_->make_model(settings.sim);
    scratch.data.reset(mj_makeData(scratch.model.get()));
  }
  const mjModel* m = scratch_[0].model.get();
  randomiser_ = std::make_unique<Randomiser>(*robot_, *m);
  geom_side_.assign(m->ngeom, -1);
  for (int geom = 0; geom < m->ngeom; ++geom) {
    if (m->geom_priority[geom] == 0) continue;
    sole_geoms_.push_back(geom);
    geom_side_[geom] = m->geom_bodyid[geom] == robot_->foot_bodies[0] ? 0 : 1;
  }

  // buffers
  state_size_ = mj_stateSize(m, mjSTATE_INTEGRATION);
  states_.resize(std::size_t(num_envs) * state_size_);
  episodes_.resize(num_envs);
  actions_.resize(std::size_t(num_envs) * robot_->num_actions());
  before_ = actions_;
  poses_.resize(num_envs);
  EnvStatistics zero;
  zero.terms.resize(weights_.size());
  zero.causes.resize(kNumCauses);
  sums_.assign(num_envs, zero);
  observation.resize(std::size_t(num_envs) * layout_.width());
  final_observation = observation;
  reward.resize(num_envs);
  cause.assign(num_envs, Cause::kNone);

  // the first episodes end at different times, or all would end together for ever
  for (int env = 0; env < num_envs; ++env) {
    reset(env, 0);
    Episode& episode = episodes_[env];
    Random random(seed_, env, 0, Purpose::kCommand);
    episode.limit = 1 + random.index(episode.limit);
  }
}

void Env::step(int env, int worker, const float* action) {
  Episode& episode = episodes_[env];
  Scratch& scratch = scratch_[worker];
  mjData* d = scratch.data.get();
  const int num_actions = robot_->num_actions();
  float* last = actions_.data() + std::size_t(env) * num_actions;
  StopWatch watch(scratch.profile, profiling);

  // act
  std::copy_n(last, num_actions, before_.data() + std::size_t(env) * num_actions);
  const float clip = static_cast<float>(settings_.action_clip);
  for (int i = 0; i < num_actions; ++i) last[i] = std::clamp(action[i], -clip, clip);
  if (episode.steps == episode.next_push) push_sometimes(env);
  mj_setState(scratch.model.get(), d, state(env), mjSTATE_INTEGRATION);
  scratch.body.last_qd.assign(d->qvel + 6, d->qvel + scratch.model->nv);
  randomiser_->apply(episode.random, scratch.model.get());
  set_targets(env, scratch);
  watch.lap(Phase::kAct);

  // simulate
  const bool sound = simulate(scratch.model.get(), d, settings_.sim.decimation);
  ++episode.frame;
  ++episode.steps;
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
    observe(env, scratch, &observation[std::size_t(env) * layout_.width()]);
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
  const std::size_t row = std::size_t(env) * layout_.width();
  std::copy_n(&observation[row], layout_.width(), &final_observation[row]);
  reset(env, worker);
  watch.lap(Phase::kReset);
}

std::vector<double> Env::profile() const {
  std::vector<double> total(kNumPhases);
  for (const Scratch& scratch : scratch_) {
    for (int phase = 0; phase < kNumPhases; ++phase) total[phase] += scratch.profile[phase];
  }
  return total;
}

// q* = q_ref + (kd/kp) qd_ref + tau_ref/kp + s a, or the default pose + s a
void Env::set_targets(int env, Scratch& scratch) const {
  const Robot& robot = *robot_;
  const Episode& episode = episodes_[env];
  double* target = scratch.data->ctrl;
  if (settings_.action_mode == "default_offset") {
    std::copy(robot.q_default.begin(), robot.q_default.end(), target);
  } else {
    // the target holds for one control step, so the reference is taken half-way
    const ReferenceView now = reference_at(episode, 0), next = reference_at(episode, 1);
    const int q = frame_layout_.q(), qd = frame_layout_.qd();
    for (int joint = 0; joint < robot.num_joints(); ++joint) {
      target[joint] = 0.5 * (now.frame[q + joint] + next.frame[q + joint]) +
                      robot.kd[joint] / robot.kp[joint] * now.frame[qd + joint] +
                      now.torque[joint] / robot.kp[joint];
    }
  }

  // with a delay, part of the step belongs to the action before
  const double late = episode.random.delay;
  const std::size_t row = std::size_t(env) * robot.num_actions();
  for (int i = 0; i < robot.num_actions(); ++i) {
    const double action = (1 - late) * actions_[row + i] + late * before_[row + i];
    target[robot.acted_joints[i]] += robot.action_scale[i] * action;
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

ReferenceView Env::reference_at(const Episode& episode, int ahead) const {
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
  body.height = d->qpos[2];
  body.quat_wb = quat_from_mujoco(d->qpos + 3);
  const Mat3 heading_from_world = rot_z(-heading(body.quat_wb));
  body.gravity = body.quat_wb.conjugate() * Vec3(0, 0, -1);
  body.gyro = Eigen::Map<const Vec3>(d->qvel + 3);
  body.lin_vel = heading_from_world * Eigen::Map<const Vec3>(d->qvel);
  for (int side = 0; side < 2; ++side) {
    const Vec3 foot = Eigen::Map<const Vec3>(d->xpos + 3 * robot_->foot_bodies[side]);
    body.feet[side] = heading_from_world * (foot - Eigen::Map<const Vec3>(d->qpos));
    body.feet[side].z() = foot.z();
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
  poses_[env] = {body.lin_vel, (heading_from_world.transpose() * (body.quat_wb * body.gyro)).z(),
                 body.height, std::acos(std::clamp(-body.gravity.z(), -1.0, 1.0))};
}

StepView Env::view(int env, const Scratch& scratch) const {
  const std::size_t n = robot_->num_actions(), row = std::size_t(env) * n;
  return {*robot_,
          scratch.body,
          reference_at(episodes_[env], 0),
          reference_at(episodes_[env], settings_.lookahead),
          frame_layout_,
          {actions_.data() + row, n},
          {before_.data() + row, n}};
}

void Env::observe(int env, const Scratch& scratch, float* out) const {
  layout_.fill(view(env, scratch), out);
}

// the reward of this step, with its sums
double Env::judge(int env, const Scratch& scratch) {
  const StepView v = view(env, scratch);
  EnvStatistics& sums = sums_[env];
  double total = 0;
  const auto terms = reward_terms();
  for (std::size_t i = 0; i < terms.size(); ++i) {
    if (weights_[i] == 0) continue;
    const double term = weights_[i] * terms[i].value(v) * kControlStep;
    sums.terms[i] += term;
    total += term;
  }
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

// the random stream of the new episode
Random Env::begin(int env, int stream, int frame, Purpose purpose) {
  Episode& episode = episodes_[env];
  episode.stream = stream;
  episode.frame = frame;
  episode.steps = 0;
  episode.limit = pool_->length(stream) - 1 - frame;
  episode.next_push = 0;
  episode.air_steps[0] = episode.air_steps[1] = 0;
  ++episode.count;
  draw_randomisation(env);
  return Random(seed_, env, episode.count, purpose);
}

void Env::draw_randomisation(int env) {
  Episode& episode = episodes_[env];
  Random random(seed_, env, episode.count, Purpose::kRandomise);
  episode.random = Randomisation::draw(settings_.randomise, episode.difficulty, random);
}

void Env::reset(int env, int worker) {
  // a trajectory and a frame that leaves some motion to track
  Episode& episode = episodes_[env];
  Random draw(seed_, env, episode.count, Purpose::kMotion);
  const int stream = draw.index(pool_->streams());
  const int last = std::max(1, pool_->length(stream) - 1 - kMinFrames);
  const int frame = draw.uniform() < settings_.reset.stand_share ? 0 : draw.index(last);
  episode.difficulty = difficulty_;
  Random random = begin(env, stream, frame, Purpose::kReset);
  episode.limit = std::min(episode.limit, static_cast<int>(settings_.episode_s / kControlStep));
  place(env, worker, random);
}

void Env::reset_at(int env, int worker, int stream, int frame) {
  episodes_[env].difficulty = difficulty_;
  Random random = begin(env, stream, frame, Purpose::kReset);
  place(env, worker, random);
  cause[env] = Cause::kNone;
}

// puts the robot on the reference, with noise
void Env::place(int env, int worker, Random& random) {
  const ResetSettings& n = settings_.reset;
  mjData* d = scratch_[worker].data.get();
  mj_resetData(scratch_[worker].model.get(), d);
  const float* frame = reference_at(episodes_[env], 0).frame;
  const float* gravity = frame + frame_layout_.gravity();
  Eigen::Quaterniond quat = tilt_from_gravity(Vec3(gravity[0], gravity[1], gravity[2]));
  const Vec3 tilt(n.tilt * random.normal(), n.tilt * random.normal(), 0);
  if (tilt.norm() > 0) quat = Eigen::AngleAxisd(tilt.norm(), tilt.normalized()) * quat;
  quat_to_mujoco(quat.normalized(), d->qpos + 3);
  d->qpos[2] = frame[frame_layout_.height()];
  for (int joint = 0; joint < robot_->num_joints(); ++joint) {
    const double q = frame[frame_layout_.q() + joint] + n.q * random.normal();
    d->qpos[7 + joint] = std::clamp(q, robot_->lower[joint], robot_->upper[joint]);
    d->qvel[6 + joint] = frame[frame_layout_.qd() + joint] + n.qd * random.normal();
  }
  for (int axis = 0; axis < 3; ++axis) {
    d->qvel[axis] = frame[frame_layout_.lin_vel() + axis] + n.lin_vel * random.normal();
    d->qvel[3 + axis] = frame[frame_layout_.ang_vel() + axis] + n.ang_vel * random.normal();
  }
  settle(env, worker);
}

void Env::reset_standing(int env, int worker, int stream) {
  episodes_[env].difficulty = difficulty_;
  Random random = begin(env, stream, 0, Purpose::kEvaluation);
  mjData* d = scratch_[worker].data.get();
  mj_resetData(scratch_[worker].model.get(), d);
  quat_to_mujoco(Eigen::Quaterniond(rot_z(random.uniform(-M_PI, M_PI))), d->qpos + 3);
  for (int joint = 0; joint < robot_->num_joints(); ++joint) {
    d->qpos[7 + joint] = robot_->q_default[joint] + random.uniform(-0.05, 0.05);
  }
  for (int axis = 0; axis < 6; ++axis) d->qvel[axis] = random.uniform(-0.1, 0.1);
  settle(env, worker);
  cause[env] = Cause::kNone;
}

// puts the lowest sole point on the floor and observes the new state; there was no action yet
void Env::settle(int env, int worker) {
  Scratch& scratch = scratch_[worker];
  mjModel* m = scratch.model.get();
  mjData* d = scratch.data.get();
  mj_kinematics(m, d);
  double lowest = 1e9;
  for (const int geom : sole_geoms_)
    lowest = std::min(lowest, d->geom_xpos[3 * geom + 2] - m->geom_size[3 * geom]);
  d->qpos[2] -= lowest;
  mj_getState(m, d, state(env), mjSTATE_INTEGRATION);

  const std::size_t actions = robot_->num_actions();
  std::fill_n(actions_.begin() + env * actions, actions, 0.0f);
  std::fill_n(before_.begin() + env * actions, actions, 0.0f);
  scratch.body.last_qd.assign(d->qvel + 6, d->qvel + m->nv);
  measure(env, scratch);
  observe(env, scratch, &observation[std::size_t(env) * layout_.width()]);
}

EnvStatistics Env::take_statistics() {
  EnvStatistics total;
  total.terms.resize(weights_.size());
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
  return state_size_ + 15 + 2 * robot_->num_actions() + layout_.width();
}

void Env::save(double* records) const {
  const std::size_t actions = robot_->num_actions(), width = layout_.width();
  for (int env = 0; env < num_envs_; ++env) {
    const Episode& e = episodes_[env];
    double* out =
        std::copy_n(states_.data() + std::size_t(env) * state_size_, state_size_, records);
    for (const double value : {double(e.stream), double(e.frame), double(e.steps), double(e.limit),
                               double(e.count), e.difficulty, double(e.next_push)}) {
      *out++ = value;
    }
    for (const Vec3& foot : e.feet) out = std::copy_n(foot.data(), 3, out);
    out = std::copy_n(e.air_steps, 2, out);
    out = std::copy_n(actions_.data() + env * actions, actions, out);
    out = std::copy_n(before_.data() + env * actions, actions, out);
    std::copy_n(observation.data() + env * width, width, out);
    records += record_size();
  }
}

void Env::load(const double* records) {
  const std::size_t actions = robot_->num_actions(), width = layout_.width();
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
    draw_randomisation(env);
    if (e.stream < 0 || e.stream >= pool_->streams() || e.frame < 0 ||
        e.frame >= pool_->length(e.stream)) {
      fail("the saved environments belong to another set of references");
    }
    for (Vec3& foot : e.feet) {
      std::copy_n(in, 3, foot.data());
      in += 3;
    }
    for (int& air_steps : e.air_steps) air_steps = static_cast<int>(*in++);
    std::copy_n(in, actions, actions_.data() + env * actions);
    std::copy_n(in + actions, actions, before_.data() + env * actions);
    std::copy_n(in + 2 * actions, width, observation.data() + env * width);
    records += record_size();
  }
}

}  // namespace twist
