#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

#include "base/error.h"
#include "g1.h"
#include "learn/evaluate.h"

namespace twist {
namespace {

const std::vector<Command> kCommands = {{}, {0.5, 0, 0}, {0.2, 0.2, 0.6}};
constexpr std::uint64_t kSeed = 3;

// a policy that does nothing: the robot follows its feed-forward for a second or two and falls
State silent_policy() {
  const int width = ObservationLayout(*g1()).width(), actions = g1()->num_actions();
  State state;
  state["policy.actor.0.weight"] = torch::zeros({actions, width});
  state["policy.actor.0.bias"] = torch::zeros({actions});
  state["policy.normaliser.mean"] = torch::zeros({width}, torch::kDouble);
  state["policy.normaliser.variance"] = torch::ones({width}, torch::kDouble);
  return state;
}

EvaluationSettings brief(double seconds) {
  EvaluationSettings s;
  s.episodes = 4;
  s.seconds = seconds;
  s.settle_s = 0.3;
  s.timestep = 0.005;
  s.decimation = 4;
  return s;
}

std::shared_ptr<const MotionPool> command_pool() {
  static const auto pool = [] {
    Workers workers(1);
    return std::make_shared<const MotionPool>(*g1(), g1_motion(constant_plan(kCommands, 180)),
                                              workers);
  }();
  return pool;
}

std::vector<EvaluationCell> evaluate(const EvaluationSettings& settings, int threads) {
  at::set_num_threads(1);
  Workers workers(threads);
  return evaluate_commands(g1(), EnvSettings(), settings, command_pool(), kCommands,
                           silent_policy(), workers, kSeed);
}

// velocity in the heading frame and yaw rate, from the state of the simulation
Vec3 velocity_of(const double* state) {
  const double *qpos = state + 1, *qvel = qpos + 36;
  const Eigen::Quaterniond quat = quat_from_mujoco(qpos + 3);
  const Vec3 linear = rot_z(-heading(quat)) * Vec3(qvel[0], qvel[1], qvel[2]);
  const Vec3 spin = quat * Vec3(qvel[3], qvel[4], qvel[5]);
  return {linear.x(), linear.y(), spin.z()};
}

// the errors of one episode after it has settled, step by step, until its end or the fall
std::vector<Vec3> run(Env& env, int i, int stream, int steps, int settle, bool* fell) {
  std::vector<Vec3> errors;
  const std::vector<float> action(g1()->num_actions(), 0.0f);
  const Command& c = kCommands[stream];
  env.reset_standing(i, 0, stream);
  *fell = false;
  for (int step = 0; step < steps && !*fell; ++step) {
    env.step(i, 0, action.data());
    *fell = env.cause[i] != Cause::kNone;
    if (*fell || step < settle) continue;
    errors.push_back(velocity_of(env.state(i)) - Vec3(c.vx, c.vy, c.wz));
  }
  return errors;
}

TEST(Evaluate, CellsAreWhatTheDefinitionsSay) {
  const EvaluationSettings settings = brief(1.7);
  const auto cells = evaluate(settings, 1);
  ASSERT_EQ(cells.size(), 3u);
  Env env(g1(), settings.environment(EnvSettings()), command_pool(), 12, 1, kSeed);
  int falls = 0;
  for (int cell = 0; cell < 3; ++cell) {
    double survived = 0, planar = 0, yaw = 0, planar_1s = 0, yaw_1s = 0;
    int steps = 0, windows = 0;
    Vec3 mean = Vec3::Zero();
    for (int episode = 0; episode < 4; ++episode) {
      bool fell;
      const std::vector<Vec3> errors = run(env, 4 * cell + episode, cell, 85, 15, &fell);
      survived += !fell;
      falls += fell;
      for (const Vec3& error : errors) {
        planar += error.head<2>().squaredNorm();
        yaw += error.z() * error.z();
        mean += error;
        ++steps;
      }
      for (std::size_t end = 50; end <= errors.size(); ++end) {
        Vec3 sum = Vec3::Zero();
        for (std::size_t k = end - 50; k < end; ++k) sum += errors[k];
        planar_1s += (sum / 50).head<2>().squaredNorm();
        yaw_1s += sum.z() * sum.z() / 2500;
        ++windows;
      }
    }
    mean = mean / steps + Vec3(kCommands[cell].vx, kCommands[cell].vy, kCommands[cell].wz);
    const EvaluationCell& c = cells[cell];
    EXPECT_EQ(c.command, kCommands[cell]);
    EXPECT_EQ(c.episodes, 4);
    EXPECT_EQ(c.survival, survived / 4);
    EXPECT_NEAR(c.velocity_rmse, std::sqrt(planar / steps), 1e-9);
    EXPECT_NEAR(c.yaw_rate_rmse, std::sqrt(yaw / steps), 1e-9);
    EXPECT_NEAR(c.mean_vx, mean.x(), 1e-9);
    EXPECT_NEAR(c.mean_vy, mean.y(), 1e-9);
    EXPECT_NEAR(c.mean_wz, mean.z(), 1e-9);
    if (windows == 0) {
      EXPECT_TRUE(std::isnan(c.velocity_rmse_1s) && std::isnan(c.yaw_rate_rmse_1s));
      continue;
    }
    EXPECT_NEAR(c.velocity_rmse_1s, std::sqrt(planar_1s / windows), 1e-9);
    EXPECT_NEAR(c.yaw_rate_rmse_1s, std::sqrt(yaw_1s / windows), 1e-9);
  }
  EXPECT_GT(falls, 0);
  EXPECT_LT(falls, 12) << "this should be a test with falls and survivors";
}

TEST(Evaluate, DoesNotDependOnTheWorkers) {
  const auto one = evaluate(brief(1.0), 1), three = evaluate(brief(1.0), 3);
  for (int cell = 0; cell < 3; ++cell) {
    EXPECT_EQ(one[cell].survival, three[cell].survival);
    EXPECT_EQ(one[cell].velocity_rmse, three[cell].velocity_rmse);
    EXPECT_EQ(one[cell].mean_wz, three[cell].mean_wz);
  }
}

TEST(Evaluate, WhatIsNotKnownIsNotZero) {
  for (const EvaluationCell& cell : evaluate(brief(0.8), 1)) {
    EXPECT_TRUE(std::isfinite(cell.velocity_rmse));
    EXPECT_TRUE(std::isnan(cell.velocity_rmse_1s)) << "no episode has a whole second";
    EXPECT_TRUE(std::isnan(cell.yaw_rate_rmse_1s));
  }
  for (const EvaluationCell& cell : evaluate(brief(0.2), 1)) {
    EXPECT_TRUE(std::isnan(cell.velocity_rmse)) << "all is over before it settles";
    EXPECT_TRUE(std::isnan(cell.mean_vx));
  }
}

TEST(Evaluate, RunsOnPlainPhysicsAndItsOwnDefinitionOfAFall) {
  EnvSettings training;
  training.lookahead = 3;
  training.termination = {0.1, 10, 0.3};
  const EnvSettings env = EvaluationSettings().environment(training);
  EXPECT_EQ(env.sim.timestep, 0.002);
  EXPECT_EQ(env.sim.decimation, 10);
  EXPECT_EQ(env.sim.collision, "full");
  EXPECT_EQ(env.termination.min_height, 0.45);
  EXPECT_EQ(env.termination.max_tilt_deg, 60);
  EXPECT_EQ(env.termination.min_foot_distance, 0);
  EXPECT_EQ(env.lookahead, 3) << "what the policy sees is that of the training";
}

TEST(Evaluate, RefusesReferencesThatDoNotFit) {
  Workers workers(1);
  EXPECT_THROW(evaluate_commands(g1(), EnvSettings(), brief(1), command_pool(), {{}},
                                 silent_policy(), workers, 1),
               UserError);
  EXPECT_THROW(evaluate(brief(5), 1), UserError) << "the references have 3.6 s";
}

TEST(Evaluate, TrackingCountsEveryEpisode) {
  EvaluationSettings settings = brief(0.6);
  settings.episodes = 13;
  std::vector<EvaluationCell> cells;
  for (const int threads : {1, 2}) {
    Workers workers(threads);
    cells.push_back(evaluate_tracking(g1(), EnvSettings(), settings, command_pool(),
                                      silent_policy(), workers, kSeed));
  }
  EXPECT_EQ(cells[0].episodes, 13);
  EXPECT_EQ(cells[0].velocity_rmse, cells[1].velocity_rmse);
  EXPECT_EQ(cells[0].survival, cells[1].survival);
  EXPECT_GT(cells[0].survival, 0.5) << "hardly any robot falls in 0.6 s";
  EXPECT_GT(cells[0].velocity_rmse, 0);
}

TEST(Evaluate, RecordsOneEpisodeFromStandingToItsEnd) {
  const auto positions =
      record_episode(g1(), EnvSettings(), brief(2), command_pool(), silent_policy(), 1, kSeed);
  ASSERT_GT(positions.size(), 30u);
  EXPECT_LE(positions.size(), 179u);
  for (const auto& qpos : positions) {
    ASSERT_EQ(qpos.size(), 36u);
    EXPECT_NEAR(Eigen::Map<const Eigen::Vector4d>(&qpos[3]).norm(), 1, 1e-9);
  }
  for (int joint = 0; joint < 29; ++joint) {
    EXPECT_NEAR(positions[0][7 + joint], g1()->q_default[joint], 0.05);
  }
}

}  // namespace
}  // namespace twist
