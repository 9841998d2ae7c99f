#include "learn/trials.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <deque>

#include "base/error.h"

namespace twist {
namespace {

constexpr int kWindow = 50;  // frames in a second
constexpr int kGroup = 8;    // trials that go through the policy together

// Velocity errors, per step and averaged over a sliding second.
class ErrorMeter {
 public:
  void add(const Vec3& error) {  // vx, vy, yaw rate
    ++steps_;
    square_ += squares(error);
    window_.push_back(error);
    sum_ += error;
    if (window_.size() > kWindow) {
      sum_ -= window_.front();
      window_.pop_front();
    }
    if (window_.size() < kWindow) return;
    ++windows_;
    square_1s_ += squares(sum_ / kWindow);
  }

  // 0 / 0 is not a number: not known
  Vec2 rmse() const { return (square_ / steps_).cwiseSqrt(); }
  Vec2 rmse_1s() const { return (square_1s_ / windows_).cwiseSqrt(); }
  double windows() const { return windows_; }

 private:
  static Vec2 squares(const Vec3& e) { return {e.head<2>().squaredNorm(), e.z() * e.z()}; }

  double steps_ = 0, windows_ = 0;
  Vec2 square_ = Vec2::Zero(), square_1s_ = Vec2::Zero();  // planar, yaw
  Vec3 sum_ = Vec3::Zero();
  std::deque<Vec3> window_;
};

// One trial as it goes on.
class Course {
 public:
  Course(Env& env, int index, const Trial& trial)
      : env_(&env), index_(index), trial_(&trial), quality_(env.robot()) {}

  bool over() const { return over_; }

  void begin(int worker) {
    const Trial& t = *trial_;
    if (t.frame < 0)
      env_->reset_standing(index_, worker, t.stream, t.body);
    else
      env_->reset_at(index_, worker, t.stream, t.frame, t.body);
    start_ = place();
  }

  void disturb(int step) {
    const Trial& t = *trial_;
    if (step == t.push_step) env_->push(index_, Vec2(t.push[0], t.push[1]));
    if (t.pull_step < 0) return;
    if (step == t.pull_step) env_->pull(index_, t.pull_body, Vec3(t.pull[0], t.pull[1], t.pull[2]));
    if (step == t.pull_step + t.pull_steps) env_->pull(index_, t.pull_body, Vec3::Zero());
  }

  // after a step of the environment
  void follow(int worker, bool counts) {
    const Cause cause = env_->cause[index_];
    over_ = cause != Cause::kNone;
    fallen_ = over_ && cause != Cause::kTimeOut;
    ++steps_;
    if (over_) return;
    reward_ += env_->reward[index_];
    statue_ += env_->statue_reward(index_);
    drift_ = (place() - start_).norm();
    if (!counts) return;

    const StepView v = env_->view(index_, worker);
    const float* frame = v.now.frame;
    const Vec3 planned(frame[v.layout.lin_vel()], frame[v.layout.lin_vel() + 1],
                       frame[v.layout.ang_vel() + 2]);
    const float* asked = env_->command(index_);
    const Vec3 command(asked[0], asked[1], asked[2]);
    const Vec3 now = velocity();
    command_errors_.add(now - command);
    reference_errors_.add(now - planned);
    velocity_ += now;
    ++counted_;
    quality_.add(*env_->model(worker), *env_->data(worker), v);
  }

  Vec3 velocity() const {
    const Env::Pose& pose = env_->pose(index_);
    return Vec3(pose.lin_vel.x(), pose.lin_vel.y(), pose.yaw_rate);
  }

  TrialResult result() const {
    TrialResult r;
    r.survived = fallen_ ? 0 : 1;
    r.steps = steps_;
    r.counted = counted_;
    r.windows = command_errors_.windows();
    r.velocity_rmse = command_errors_.rmse()[0];
    r.yaw_rate_rmse = command_errors_.rmse()[1];
    r.velocity_rmse_1s = command_errors_.rmse_1s()[0];
    r.yaw_rate_rmse_1s = command_errors_.rmse_1s()[1];
    r.reference_rmse = reference_errors_.rmse()[0];
    r.reference_yaw_rmse = reference_errors_.rmse()[1];
    r.reference_rmse_1s = reference_errors_.rmse_1s()[0];
    r.reference_yaw_rmse_1s = reference_errors_.rmse_1s()[1];
    const Vec3 mean = velocity_ / counted_;
    r.mean_vx = mean.x();
    r.mean_vy = mean.y();
    r.mean_wz = mean.z();
    r.drift = drift_;
    const double outlived = steps_ - over_;
    r.reward = reward_ / outlived;
    r.statue = statue_ / outlived;
    r.quality = quality_.result();
    return r;
  }

 private:
  Vec2 place() const { return Vec2(env_->state(index_)[1], env_->state(index_)[2]); }

  Env* env_;
  int index_;
  const Trial* trial_;
  bool over_ = false, fallen_ = false;
  double steps_ = 0, counted_ = 0, reward_ = 0, statue_ = 0, drift_ = 0;
  Vec2 start_ = Vec2::Zero();
  Vec3 velocity_ = Vec3::Zero();  // sum
  ErrorMeter command_errors_, reference_errors_;
  QualityMeter quality_;
};

void check(const std::vector<Trial>& trials, const MotionPool& pool, int steps) {
  for (const Trial& trial : trials) {
    if (trial.stream < 0 || trial.stream >= pool.streams())
      fail("a trial names stream ", trial.stream, " of ", pool.streams());
    const int last = pool.length(trial.stream) - 1;
    if (trial.frame >= last || (trial.frame < 0 && last <= steps))
      fail("stream ", trial.stream, " has ", last + 1, " frames, too few for a trial of ", steps,
           " steps from frame ", std::max(0, trial.frame));
  }
}

}  // namespace

EnvSettings EvaluationSettings::environment(const EnvSettings& training) const {
  EnvSettings env = training;
  env.sim.timestep = timestep;
  env.sim.decimation = decimation;
  env.sim.collision = collision;
  env.sim.friction = friction;
  env.terrain.kind = "flat";
  env.randomise = {};
  env.randomise.friction = {friction, friction};
  env.randomise.noise = noise;
  env.termination = {0.45, 60.0, 0.0};
  env.episode_s = 1000;
  return env;
}

Randomisation EvaluationSettings::nominal() const {
  Randomisation body;
  body.friction = friction;
  body.delay = delay;
  return body;
}

std::vector<TrialResult> run_trials(std::shared_ptr<const Robot> robot, const EnvSettings& settings,
                                    std::shared_ptr<const MotionPool> pool,
                                    const std::vector<Trial>& trials, int steps, int settle,
                                    const State& state, Workers& workers, std::uint64_t seed,
                                    TrialSeries* series) {
  const int count = static_cast<int>(trials.size());
  if (count == 0) return {};
  check(trials, *pool, steps);
  Env env(robot, settings, pool, count, workers.count(), seed);
  env.set_difficulty(1);
  const int width = env.layout().width(), outputs = env.num_outputs(), nq = env.model(0)->nq;
  const Policy policy(state, ObservationShape(env.layout()), outputs);
  if (series) {
    series->velocity.assign(std::size_t(count) * steps * 3, 0.0f);
    series->position.assign(std::size_t(count) * steps * nq, 0.0f);
    series->reference = series->position;
  }

  std::vector<TrialResult> results(count);
  workers.run((count + kGroup - 1) / kGroup, [&](int group, int worker) {
    at::init_num_threads();  // a thread's first torch operation must know that it is alone
    const int first = group * kGroup, size = std::min(kGroup, count - first);
    std::vector<Course> courses;
    for (int i = first; i < first + size; ++i)
      courses.emplace_back(env, i, trials[i]).begin(worker);
    std::vector<float> answer(std::size_t(size) * outputs);
    for (int step = 0; step < steps; ++step) {
      policy.act(env.observation.data() + std::size_t(first) * width, size, answer.data());
      for (int i = 0; i < size; ++i) {
        if (courses[i].over()) continue;
        const std::size_t row = std::size_t(first + i) * steps + step;
        if (series) {
          std::copy_n(env.state(first + i) + 1, nq, &series->position[row * nq]);
          env.reference_pose(first + i, &series->reference[row * nq]);
        }
        courses[i].disturb(step);
        env.step(first + i, worker, answer.data() + std::size_t(i) * outputs);
        courses[i].follow(worker, step >= settle);
        if (!series || courses[i].over()) continue;
        const Vec3 velocity = courses[i].velocity();
        std::copy_n(velocity.data(), 3, &series->velocity[row * 3]);
      }
    }
    for (int i = 0; i < size; ++i) results[first + i] = courses[i].result();
  });
  return results;
}

}  // namespace twist
