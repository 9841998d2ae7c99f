#include "learn/evaluate.h"

#include <algorithm>
#include <cmath>
#include <deque>

#include "base/error.h"
#include "base/random.h"

namespace twist {
namespace {

constexpr int kWindow = 50;  // frames in a second

// Errors of one episode, per step and averaged over a sliding second.
class ErrorMeter {
 public:
  void add(const Vec2& velocity_error, double yaw_error) {
    ++steps_;
    velocity2_ += velocity_error.squaredNorm();
    yaw2_ += yaw_error * yaw_error;
    window_.push_back({velocity_error, yaw_error});
    velocity_sum_ += velocity_error;
    yaw_sum_ += yaw_error;
    if (window_.size() > kWindow) {
      velocity_sum_ -= window_.front().first;
      yaw_sum_ -= window_.front().second;
      window_.pop_front();
    }
    if (window_.size() < kWindow) return;
    ++windows_;
    velocity_1s2_ += (velocity_sum_ / kWindow).squaredNorm();
    yaw_1s2_ += std::pow(yaw_sum_ / kWindow, 2);
  }

  void merge(const ErrorMeter& other) {
    steps_ += other.steps_;
    windows_ += other.windows_;
    velocity2_ += other.velocity2_;
    yaw2_ += other.yaw2_;
    velocity_1s2_ += other.velocity_1s2_;
    yaw_1s2_ += other.yaw_1s2_;
  }

  void write(EvaluationCell& cell) const {
    const double steps = steps_, windows = windows_;  // 0 / 0 is not a number: not known
    cell.velocity_rmse = std::sqrt(velocity2_ / steps);
    cell.yaw_rate_rmse = std::sqrt(yaw2_ / steps);
    cell.velocity_rmse_1s = std::sqrt(velocity_1s2_ / windows);
    cell.yaw_rate_rmse_1s = std::sqrt(yaw_1s2_ / windows);
  }

 private:
  int steps_ = 0, windows_ = 0;
  double velocity2_ = 0, yaw2_ = 0, velocity_1s2_ = 0, yaw_1s2_ = 0;
  Vec2 velocity_sum_ = Vec2::Zero();
  double yaw_sum_ = 0;
  std::deque<std::pair<Vec2, double>> window_;
};

// What became of a group of episodes.
struct Outcome {
  int survived = 0;
  ErrorMeter errors;
  Vec3 velocity = Vec3::Zero();  // sums of vx, vy, wz
  int counted = 0;
};

constexpr auto kUndisturbed = [](int, int) {};

// Runs environments [first, first + count) to their end. `target(env)` gives vx, vy, wz to compare
// with; `disturb(env, step)` comes before every step.
template <class Target, class Disturb = decltype(kUndisturbed)>
Outcome run_episodes(Env& env, const Policy& policy, int first, int count, int worker, int steps,
                     int settle, const Target& target, const Disturb& disturb = kUndisturbed) {
  const int width = env.layout().width(), actions = env.robot().num_actions();
  std::vector<float> action(std::size_t(count) * actions);
  std::vector<bool> fallen(count, false), over(count, false);
  std::vector<ErrorMeter> meters(count);
  Outcome outcome;
  for (int step = 0; step < steps; ++step) {
    policy.act(env.observation.data() + std::size_t(first) * width, count, action.data());
    for (int i = 0; i < count; ++i) {
      if (over[i]) continue;
      disturb(first + i, step);
      env.step(first + i, worker, action.data() + std::size_t(i) * actions);
      const Cause cause = env.cause[first + i];
      over[i] = cause != Cause::kNone;
      fallen[i] = over[i] && cause != Cause::kTimeOut;
      if (over[i] || step < settle) continue;
      const Env::Pose& pose = env.pose(first + i);
      const Vec3 velocity(pose.lin_vel.x(), pose.lin_vel.y(), pose.yaw_rate);
      const Vec3 error = velocity - target(first + i);
      meters[i].add(error.head<2>(), error.z());
      outcome.velocity += velocity;
      ++outcome.counted;
    }
  }
  for (int i = 0; i < count; ++i) {
    outcome.survived += !fallen[i];
    outcome.errors.merge(meters[i]);
  }
  return outcome;
}

EvaluationCell to_cell(const std::vector<Outcome>& outcomes, int episodes) {
  EvaluationCell cell;
  cell.episodes = episodes;
  ErrorMeter errors;
  Vec3 velocity = Vec3::Zero();
  int survived = 0, counted = 0;
  for (const Outcome& outcome : outcomes) {
    survived += outcome.survived;
    errors.merge(outcome.errors);
    velocity += outcome.velocity;
    counted += outcome.counted;
  }
  errors.write(cell);
  cell.survival = static_cast<double>(survived) / episodes;
  cell.mean_vx = velocity.x() / counted;
  cell.mean_vy = velocity.y() / counted;
  cell.mean_wz = velocity.z() / counted;
  return cell;
}

}  // namespace

EnvSettings EvaluationSettings::environment(const EnvSettings& training) const {
  EnvSettings env = training;
  env.sim.timestep = timestep;
  env.sim.decimation = decimation;
  env.sim.collision = collision;
  env.sim.friction = friction;
  env.randomise = {};
  env.randomise.friction = {friction, friction};
  env.termination = {0.45, 60.0, 0.0};
  env.episode_s = 1000;
  return env;
}

std::vector<EvaluationCell> evaluate_commands(std::shared_ptr<const Robot> robot,
                                              const EnvSettings& training,
                                              const EvaluationSettings& settings,
                                              std::shared_ptr<const MotionPool> pool,
                                              const std::vector<Command>& commands,
                                              const State& state, Workers& workers,
                                              std::uint64_t seed) {
  const int cells = static_cast<int>(commands.size()), episodes = settings.episodes;
  const int steps = static_cast<int>(std::lround(settings.seconds / kControlStep));
  const int settle = static_cast<int>(std::lround(settings.settle_s / kControlStep));
  if (pool->streams() != cells)
    fail("the pool has ", pool->streams(), " streams for ", cells, " commands");
  if (pool->length(0) < steps + 2)
    fail("the references are shorter than the evaluation's ", settings.seconds, " s");

  Env env(robot, settings.environment(training), pool, cells * episodes, workers.count(), seed);
  const Policy policy(state, env.layout().width(), robot->num_actions());
  std::vector<EvaluationCell> result(cells);
  workers.run(cells, [&](int cell, int worker) {
    const int first = cell * episodes;
    for (int i = 0; i < episodes; ++i) env.reset_standing(first + i, worker, cell);
    const Command& c = commands[cell];
    const Vec3 target(c.vx, c.vy, c.wz);
    result[cell] = to_cell({run_episodes(env, policy, first, episodes, worker, steps, settle,
                                         [&](int) { return target; })},
                           episodes);
    result[cell].command = c;
  });
  return result;
}

EvaluationCell evaluate_tracking(std::shared_ptr<const Robot> robot, const EnvSettings& training,
                                 const EvaluationSettings& settings,
                                 std::shared_ptr<const MotionPool> pool, const State& state,
                                 Workers& workers, std::uint64_t seed) {
  constexpr int kGroup = 8;
  const int episodes = settings.episodes,
            steps = static_cast<int>(std::lround(settings.seconds / kControlStep));
  Env env(robot, settings.environment(training), pool, episodes, workers.count(), seed);
  const Policy policy(state, env.layout().width(), robot->num_actions());
  const FrameLayout layout = pool->layout();
  std::vector<Outcome> outcomes((episodes + kGroup - 1) / kGroup);
  workers.run(static_cast<int>(outcomes.size()), [&](int group, int worker) {
    const int first = group * kGroup, count = std::min(kGroup, episodes - first);
    for (int i = first; i < first + count; ++i) {
      // a place that leaves the whole episode, if the stream is long enough
      Random random(seed, i, 0, Purpose::kEvaluation);
      const int stream = random.index(pool->streams());
      env.reset_at(i, worker, stream, random.index(std::max(1, pool->length(stream) - 1 - steps)));
    }
    outcomes[group] = run_episodes(env, policy, first, count, worker, steps, 0, [&](int i) {
      const float* frame = env.reference(i).frame;
      return Vec3(frame[layout.lin_vel()], frame[layout.lin_vel() + 1],
                  frame[layout.ang_vel() + 2]);
    });
  });
  return to_cell(outcomes, episodes);
}

std::vector<KickCell> evaluate_kicks(std::shared_ptr<const Robot> robot,
                                     const EnvSettings& training,
                                     const EvaluationSettings& settings,
                                     std::shared_ptr<const MotionPool> pool,
                                     const std::vector<Command>& commands,
                                     const std::vector<double>& speeds, int repeats,
                                     const State& state, Workers& workers, std::uint64_t seed) {
  constexpr int kDirections = 8, kPhases = 4, kPhaseFrames = 10, kBefore = 150, kAfter = 200;
  const int cells = static_cast<int>(commands.size() * speeds.size());
  const int trials = kDirections * kPhases * repeats;
  if (pool->streams() != static_cast<int>(commands.size()))
    fail("the pool has ", pool->streams(), " streams for ", commands.size(), " commands");

  Env env(robot, settings.environment(training), pool, cells * trials, workers.count(), seed);
  const Policy policy(state, env.layout().width(), robot->num_actions());
  constexpr int kGroup = kDirections;
  std::vector<int> survived(std::size_t(cells) * trials / kGroup);
  workers.run(static_cast<int>(survived.size()), [&](int group, int worker) {
    const int first = group * kGroup, cell = first / trials;
    const int kick = kBefore + group % kPhases * kPhaseFrames, end = kick + kAfter;
    const double speed = speeds[cell % speeds.size()];
    const int stream = cell / static_cast<int>(speeds.size());
    for (int i = 0; i < kGroup; ++i) env.reset_standing(first + i, worker, stream);
    const auto push = [&](int i, int step) {
      const double angle = 2 * M_PI * (i - first) / kDirections;
      if (step == kick) env.push(i, speed * Vec2(std::cos(angle), std::sin(angle)));
    };
    const auto nothing = [](int) { return Vec3(Vec3::Zero()); };
    survived[group] =
        run_episodes(env, policy, first, kGroup, worker, end, end, nothing, push).survived;
  });

  std::vector<KickCell> result;
  for (int cell = 0; cell < cells; ++cell) {
    KickCell& kicks = result.emplace_back();
    kicks.command = commands[cell / speeds.size()];
    kicks.speed = speeds[cell % speeds.size()];
    kicks.trials = trials;
    const int groups = trials / kGroup;
    for (int i = 0; i < groups; ++i) kicks.survived += survived[std::size_t(cell) * groups + i];
  }
  return result;
}

std::vector<std::vector<double>> record_episode(std::shared_ptr<const Robot> robot,
                                                const EnvSettings& training,
                                                const EvaluationSettings& settings,
                                                std::shared_ptr<const MotionPool> pool,
                                                const State& state, int stream,
                                                std::uint64_t seed) {
  Env env(robot, settings.environment(training), pool, 1, 1, seed);
  const Policy policy(state, env.layout().width(), robot->num_actions());
  std::vector<float> action(robot->num_actions());
  std::vector<std::vector<double>> positions;
  env.reset_standing(0, 0, stream);
  while (env.cause[0] == Cause::kNone) {
    // the state begins with the time
    positions.emplace_back(env.state(0) + 1, env.state(0) + 1 + env.model(0)->nq);
    policy.act(env.observation.data(), 1, action.data());
    env.step(0, 0, action.data());
  }
  return positions;
}

}  // namespace twist
