// How episodes of an Env begin.

#include <algorithm>
#include <cmath>
#include <tuple>

#include "base/error.h"
#include "env/env.h"

namespace twist {

void Env::set_pool(std::shared_ptr<const MotionPool> pool) {
  if (pool->live() && pool->streams() != num_envs_) {
    fail("live motion has ", pool->streams(), " streams for ", num_envs_,
         " environments; each needs its own");
  }
  pool_ = std::move(pool);
  std::vector<int> lengths;
  for (int stream = 0; stream < pool_->streams(); ++stream)
    lengths.push_back(pool_->length(stream));
  starts_ =
      std::make_unique<StartSampler>(lengths, pool_->weights(), settings_.reset.failure_share);
  // places in the old motion mean nothing in the new
  for (Episode& episode : episodes_) episode.frame = episode.home_stream = -1;
  reset_all();
}

// the first episodes end at different times, or all would end together for ever
void Env::reset_all() {
  for (int env = 0; env < num_envs_; ++env) {
    reset(env, 0);
    Episode& episode = episodes_[env];
    Random random(seed_, env, episode.count - 1, Purpose::kCommand);
    episode.limit = 1 + random.index(episode.limit);
  }
}

// the random stream of the new episode
Random Env::begin(int env, int stream, int frame, Purpose purpose) {
  Episode& episode = episodes_[env];
  episode.stream = stream;
  episode.frame = frame;
  episode.steps = 0;
  const int longest = static_cast<int>(settings_.episode_s / kControlStep);
  episode.limit = pool_->live() ? longest : std::min(longest, pool_->length(stream) - 1 - frame);
  episode.next_push = 0;
  episode.home_stream = -1;
  episode.drift.setZero();
  episode.drift_estimate.setZero();
  // a policy may believe at first that the robot moves as planned
  const float* planned = reference_at(env, 0).frame + frame_layout_.lin_vel();
  episode.estimate = Eigen::Map<const Eigen::Vector3f>(planned).cast<double>();
  episode.air_steps[0] = episode.air_steps[1] = 0;
  ++episode.count;
  return Random(seed_, env, episode.count, purpose);
}

void Env::draw_randomisation(int env) {
  Episode& episode = episodes_[env];
  Random random(seed_, env, episode.count, Purpose::kRandomise);
  episode.random =
      Randomisation::draw(settings_.randomise, episode.difficulty, robot_->num_joints(), random);
}

void Env::reset(int env, int worker) {
  Episode& episode = episodes_[env];
  episode.difficulty = difficulty_;
  int stream = env, frame = episode.home().second;
  if (pool_->live()) {
    // the motion goes on
    if (!pool_->knows(env, frame)) frame = pool_->start(env);
  } else {
    // a trajectory and a frame that leaves some motion to track
    Random draw(seed_, env, episode.count, Purpose::kMotion);
    std::tie(stream, frame) = starts_->draw(draw);
    if (draw.uniform() < settings_.reset.stand_share) frame = 0;
  }
  Random random = begin(env, stream, frame, Purpose::kReset);
  draw_randomisation(env);
  place(env, worker, random);
}

void Env::reset_at(int env, int worker, int stream, int frame, const Randomisation& given) {
  episodes_[env].difficulty = difficulty_;
  Random random = begin(env, stream, frame, Purpose::kReset);
  episodes_[env].random = given;
  place(env, worker, random);
  cause[env] = Cause::kNone;
}

// puts the robot on the reference, with noise
void Env::place(int env, int worker, Random& random) {
  const ResetSettings& n = settings_.reset;
  mjData* d = scratch_[worker].data.get();
  mj_resetData(scratch_[worker].model.get(), d);
  const float* frame = reference_at(env, 0).frame;
  const float* gravity = frame + frame_layout_.gravity();
  Eigen::Quaterniond quat = tilt_from_gravity(Vec3(gravity[0], gravity[1], gravity[2]));
  const Vec3 tilt(n.tilt * random.normal(), n.tilt * random.normal(), 0);
  if (tilt.norm() > 0) quat = Eigen::AngleAxisd(tilt.norm(), tilt.normalized()) * quat;
  const Vec3 start = terrain_.start(random);
  d->qpos[0] = start.x();
  d->qpos[1] = start.y();
  const Eigen::Quaterniond turn(rot_z(start.z()));
  quat_to_mujoco((turn * quat).normalized(), d->qpos + 3);
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
  Eigen::Map<Vec3>(d->qvel) = turn * Vec3(Eigen::Map<Vec3>(d->qvel));
  settle(env, worker);
}

void Env::reset_standing(int env, int worker, int stream, const Randomisation& given) {
  episodes_[env].difficulty = difficulty_;
  const int frame = pool_->live() ? pool_->start(env) : 0;
  Random random = begin(env, stream, frame, Purpose::kEvaluation);
  episodes_[env].random = given;
  mjData* d = scratch_[worker].data.get();
  mj_resetData(scratch_[worker].model.get(), d);
  quat_to_mujoco(Eigen::Quaterniond(rot_z(random.uniform(-M_PI, M_PI))), d->qpos + 3);
  const Vec3 start = terrain_.start(random);
  d->qpos[0] = start.x();
  d->qpos[1] = start.y();
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
  const double floor = episodes_[env].random.terrain;
  double lowest = 1e9;
  for (const int geom : sole_geoms_) {
    const double* at = d->geom_xpos + 3 * geom;
    lowest =
        std::min(lowest, at[2] - m->geom_size[3 * geom] - terrain_.height(floor, at[0], at[1]));
  }
  d->qpos[2] -= lowest;
  mj_getState(m, d, state(env), mjSTATE_INTEGRATION);

  std::fill(past_actions(env, 0), past_actions(env, kPastActions), 0.0f);
  scratch.body.last_qd.assign(d->qvel + 6, d->qvel + m->nv);
  measure(env, scratch);
  observe(env, scratch);
  layout_.forget(&observation[std::size_t(env) * layout_.width()]);
}

}  // namespace twist
