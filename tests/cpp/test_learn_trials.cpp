#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>
#include <map>

#include "base/error.h"
#include "learn/trials.h"
#include "walking_env.h"

namespace twist {
namespace {

constexpr std::uint64_t kSeed = 3;
constexpr int kFrames = 180;  // of the references
const std::vector<Command> kCommands = {{}, {0.5, 0, 0}, {0.2, 0.2, 0.6}};

// A policy that looks at the command alone, with weights that make the same numbers however many
// robots go through it together. The robot follows its feed-forward for a second or two and falls.
State simple_policy() {
  const int width = ObservationLayout(*g1()).width();
  at::Tensor weight = torch::zeros({kActions, width}), bias = torch::zeros({kActions});
  for (int i = 0; i < kActions; ++i) {
    bias[i] = 0.03 * (i % 5 - 2);
    weight[i][i % 3] = 0.0625 * (i % 2);
  }
  State state;
  state["policy.actor.0.weight"] = weight;
  state["policy.actor.0.bias"] = bias;
  state["policy.normaliser.mean"] = torch::zeros({width}, torch::kDouble);
  state["policy.normaliser.variance"] = torch::ones({width}, torch::kDouble);
  return state;
}

EnvSettings exam() {
  EvaluationSettings evaluation;
  evaluation.timestep = 0.005;
  evaluation.decimation = 4;
  EnvSettings training;
  training.rewards = {{"velocity", 1.5}, {"torque", -0.01}};
  return evaluation.environment(training);
}

std::shared_ptr<const MotionPool> command_pool() {
  static const auto pool = [] {
    Workers workers(1);
    return std::make_shared<const MotionPool>(*g1(), g1_motion(constant_plan(kCommands, kFrames)),
                                              workers);
  }();
  return pool;
}

Trial standing_trial(int stream) {
  Trial trial;
  trial.stream = stream;
  trial.body = EvaluationSettings().nominal();
  return trial;
}

// more than one group that goes through the policy together: standing starts, starts in the middle,
// another body, pushes and pulls
std::vector<Trial> all_kinds() {
  std::vector<Trial> trials;
  for (int i = 0; i < 12; ++i) trials.push_back(standing_trial(i % 3));
  trials[3].frame = 40;
  trials[4].frame = 140;  // it ends before the trial does
  trials[5].body.payload = 5;
  trials[6].push_step = 20;
  trials[6].push[0] = 0.5;
  trials[6].push[1] = -0.3;
  trials[7].pull_step = 10;
  trials[7].pull_steps = 15;
  trials[7].pull_body = 4;
  trials[7].pull[0] = 30;
  trials[7].pull[1] = 20;
  trials[7].pull[2] = -10;
  return trials;
}

std::vector<TrialResult> run(const std::vector<Trial>& trials, int steps, int settle,
                             int threads = 1, TrialSeries* series = nullptr) {
  at::set_num_threads(1);
  Workers workers(threads);
  return run_trials(g1(), exam(), command_pool(), trials, steps, settle, simple_policy(), workers,
                    kSeed, series);
}

// --- a serial loop -------------------------------------------------------------------------------

// velocity in the heading frame and yaw rate, from the state of the simulation
Vec3 velocity_of(Env& env, int i) {
  const double *qpos = qpos_of(env, i), *qvel = qvel_of(env, i);
  const Eigen::Quaterniond quat = quat_from_mujoco(qpos + 3);
  const Vec3 linear = rot_z(-heading(quat)) * Vec3(qvel[0], qvel[1], qvel[2]);
  const Vec3 spin = quat * Vec3(qvel[3], qvel[4], qvel[5]);
  return {linear.x(), linear.y(), spin.z()};
}

// what happens in one trial, from its beginning to its end or the fall
struct Serial {
  bool fell = false;
  int steps = 0;
  double drift = 0;
  std::vector<double> rewards, statues;            // of the steps it outlived
  std::vector<Vec3> velocity, command, plan;       // of those after it settled
  std::vector<double> joint_error2, height_error;  // likewise
  std::vector<std::vector<float>> position, pose;  // before each step
  std::vector<Vec3> all_velocities;                // after each step it outlived
};

Serial follow(Env& env, int i, const Trial& trial, int steps, int settle) {
  Serial s;
  if (trial.frame < 0)
    env.reset_standing(i, 0, trial.stream, trial.body);
  else
    env.reset_at(i, 0, trial.stream, trial.frame, trial.body);
  const Vec2 start(qpos_of(env, i)[0], qpos_of(env, i)[1]);
  const FrameLayout layout{29};
  const Policy policy(simple_policy(), env.layout().width(), kActions);
  std::vector<float> action(kActions);
  for (int step = 0; step < steps; ++step) {
    policy.act(row_of(env.observation, env, i).data(), 1, action.data());
    if (step == trial.push_step) env.push(i, {trial.push[0], trial.push[1]});
    if (step == trial.pull_step)
      env.pull(i, trial.pull_body, {trial.pull[0], trial.pull[1], trial.pull[2]});
    if (trial.pull_step >= 0 && step == trial.pull_step + trial.pull_steps)
      env.pull(i, trial.pull_body, Vec3::Zero());
    s.position.emplace_back(qpos_of(env, i), qpos_of(env, i) + 36);
    s.pose.emplace_back(36);
    env.reference_pose(i, s.pose.back().data());
    env.step(i, 0, action.data());
    ++s.steps;
    if (env.cause[i] != Cause::kNone) {
      s.fell = env.cause[i] != Cause::kTimeOut;
      return s;
    }
    s.all_velocities.push_back(velocity_of(env, i));
    s.rewards.push_back(env.reward[i]);
    s.statues.push_back(env.statue_reward(i));
    s.drift = std::hypot(qpos_of(env, i)[0] - start.x(), qpos_of(env, i)[1] - start.y());
    if (step < settle) continue;
    const ReferenceView now = command_pool()->at(trial.stream, std::max(0, trial.frame) + step + 1);
    const float *linear = now.frame + layout.lin_vel(), *turn = now.frame + layout.ang_vel();
    s.velocity.push_back(velocity_of(env, i));
    s.command.emplace_back(now.command[0], now.command[1], now.command[2]);
    s.plan.emplace_back(linear[0], linear[1], turn[2]);
    double error2 = 0;
    for (int joint = 0; joint < 29; ++joint)
      error2 += std::pow(qpos_of(env, i)[7 + joint] - now.frame[joint], 2) / 29;
    s.joint_error2.push_back(error2);
    s.height_error.push_back(std::abs(qpos_of(env, i)[2] - now.frame[layout.height()]));
  }
  return s;
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / values.size();
}

// root mean square of the planar error and of that of the yaw rate, over means of `window` steps
Vec2 rmse(const std::vector<Vec3>& now, const std::vector<Vec3>& wanted, std::size_t window) {
  std::vector<double> planar, yaw;
  for (std::size_t end = window; end <= now.size(); ++end) {
    Vec3 error = Vec3::Zero();
    for (std::size_t k = end - window; k < end; ++k) error += (now[k] - wanted[k]) / window;
    planar.push_back(error.x() * error.x() + error.y() * error.y());
    yaw.push_back(error.z() * error.z());
  }
  return {std::sqrt(mean(planar)), std::sqrt(mean(yaw))};
}

void expect_near(double value, double expected, const char* name) {
  if (std::isnan(expected)) {
    EXPECT_TRUE(std::isnan(value)) << name << " is " << value;
  } else {
    EXPECT_NEAR(value, expected, 1e-9) << name;
  }
}

void expect_is(const TrialResult& r, const Serial& s) {
  EXPECT_EQ(r.survived, s.fell ? 0 : 1);
  EXPECT_EQ(r.steps, s.steps);
  EXPECT_EQ(r.counted, s.velocity.size());
  EXPECT_EQ(r.windows, std::max(0, static_cast<int>(s.velocity.size()) - 49));
  const Vec2 step = rmse(s.velocity, s.command, 1), second = rmse(s.velocity, s.command, 50);
  expect_near(r.velocity_rmse, step[0], "velocity");
  expect_near(r.yaw_rate_rmse, step[1], "yaw rate");
  expect_near(r.velocity_rmse_1s, second[0], "velocity of a second");
  expect_near(r.yaw_rate_rmse_1s, second[1], "yaw rate of a second");
  const Vec2 plan = rmse(s.velocity, s.plan, 1), plan_1s = rmse(s.velocity, s.plan, 50);
  expect_near(r.reference_rmse, plan[0], "reference");
  expect_near(r.reference_yaw_rmse, plan[1], "reference yaw");
  expect_near(r.reference_rmse_1s, plan_1s[0], "reference of a second");
  expect_near(r.reference_yaw_rmse_1s, plan_1s[1], "reference yaw of a second");
  Vec3 sum = Vec3::Zero();
  for (const Vec3& velocity : s.velocity) sum += velocity;
  const Vec3 average = sum / double(s.velocity.size());
  expect_near(r.mean_vx, average.x(), "vx");
  expect_near(r.mean_vy, average.y(), "vy");
  expect_near(r.mean_wz, average.z(), "wz");
  expect_near(r.drift, s.drift, "drift");
  expect_near(r.reward, mean(s.rewards), "reward");
  expect_near(r.statue, mean(s.statues), "statue");
  expect_near(r.quality.joint_error, std::sqrt(mean(s.joint_error2)), "joint error");
  expect_near(r.quality.height_error, mean(s.height_error), "height error");
}

// an environment for the serial loop
Env serial_env(int trials) {
  Env env(g1(), exam(), command_pool(), trials, 1, kSeed);
  env.set_difficulty(1);
  return env;
}

// --- results -------------------------------------------------------------------------------------

TEST(Trials, ResultsAreWhatTheDefinitionsSay) {
  const std::vector<Trial> trials = all_kinds();
  const auto results = run(trials, 85, 15);
  ASSERT_EQ(results.size(), trials.size());
  Env env = serial_env(12);
  int falls = 0, seconds = 0;
  for (int i = 0; i < 12; ++i) {
    SCOPED_TRACE("trial " + std::to_string(i));
    const Serial serial = follow(env, i, trials[i], 85, 15);
    expect_is(results[i], serial);
    falls += serial.fell;
    seconds += results[i].windows > 0;
  }
  EXPECT_EQ(results[4].steps, kFrames - 1 - 140) << "the reference ends";
  EXPECT_EQ(results[4].survived, 1);
  EXPECT_GT(falls, 0);
  EXPECT_LT(falls, 12) << "this should be a test with falls and survivors";
  EXPECT_GT(seconds, 0);
  EXPECT_GT(results[0].statue, results[1].statue) << "a statue does well where others stand";
}

TEST(Trials, DoNotDependOnTheWorkers) {
  const auto one = run(all_kinds(), 60, 10, 1), three = run(all_kinds(), 60, 10, 3);
  for (int i = 0; i < 12; ++i) {
    std::map<std::string, double> values;
    TrialResult first = one[i], other = three[i];
    first.visit([&](const char* name, double value) { values[name] = value; });
    other.visit([&](const char* name, double value) {
      if (std::isnan(values[name])) {
        EXPECT_TRUE(std::isnan(value)) << name;
      } else {
        EXPECT_EQ(value, values[name]) << name;
      }
    });
    EXPECT_EQ(values.size(), 31u);
  }
}

TEST(Trials, WhatNobodyLivedToSeeIsNotANumber) {
  const std::vector<Trial> trials = {standing_trial(0), standing_trial(1)};
  for (const TrialResult& r : run(trials, 50, 10)) {
    EXPECT_TRUE(std::isfinite(r.velocity_rmse));
    EXPECT_TRUE(std::isnan(r.velocity_rmse_1s)) << "there is no whole second";
    EXPECT_TRUE(std::isnan(r.yaw_rate_rmse_1s));
    EXPECT_TRUE(std::isfinite(r.quality.slip));
  }
  for (TrialResult& r : run(trials, 10, 10)) {
    EXPECT_EQ(r.counted, 0);
    for (const double value : {r.velocity_rmse, r.yaw_rate_rmse, r.reference_rmse, r.mean_vx,
                               r.mean_wz, r.quality.slip, r.quality.power, r.quality.peak_force})
      EXPECT_TRUE(std::isnan(value)) << "all is over before it settles";
    EXPECT_TRUE(std::isfinite(r.reward)) << "that counts from the beginning";
  }
  EXPECT_TRUE(run({}, 10, 0).empty());
}

// --- what is done to a robot ---------------------------------------------------------------------

// momentum of the robot, world axes, N s, by plain MuJoCo
Vec3 momentum_of(Env& env, int i) {
  static const ModelPtr model = g1_plain_model();
  static const DataPtr data(mj_makeData(model.get()));
  std::copy_n(qpos_of(env, i), model->nq, data->qpos);
  std::copy_n(qvel_of(env, i), model->nv, data->qvel);
  mj_forward(model.get(), data.get());
  mj_subtreeVel(model.get(), data.get());
  return mj_getTotalmass(model.get()) * Eigen::Map<const Vec3>(data->subtree_linvel + 3);
}

TEST(Trials, APushChangesTheMomentumOfAllTheRobotAndItsSpin) {
  Env env = serial_env(1);
  env.reset_standing(0, 0, 0, EvaluationSettings().nominal());
  const Mat3 world_from_heading = rot_z(heading(quat_from_mujoco(qpos_of(env, 0) + 3)));
  const Vec3 before = momentum_of(env, 0);
  const double spin = velocity_of(env, 0).z();
  env.push(0, {0.5, -0.3});
  const Vec3 change = world_from_heading.transpose() * (momentum_of(env, 0) - before);
  EXPECT_NEAR(change.x(), 0.5 * g1()->total_mass, 1e-9);
  EXPECT_NEAR(change.y(), -0.3 * g1()->total_mass, 1e-9);
  EXPECT_NEAR(change.z(), 0, 1e-9);
  EXPECT_NEAR(velocity_of(env, 0).z(), spin, 1e-12);
  env.push(0, {0, 0}, 0.7);
  EXPECT_NEAR(velocity_of(env, 0).z(), spin + 0.7, 1e-9);
}

TEST(Trials, APullIsForceTimesTime) {
  // two robots in the air, one of them is pulled for five steps at its torso
  Env env = serial_env(2);
  const int torso = mj_name2id(env.model(0), mjOBJ_BODY, "torso_link");
  const Vec3 force(60, -30, 20);
  for (const int i : {0, 1}) {
    env.reset_at(i, 0, 0, 20, EvaluationSettings().nominal());
    qpos_of(env, i)[2] += 3;
  }
  std::copy_n(env.state(0), env.state_size(), env.state(1));
  const Mat3 world_from_heading = rot_z(heading(quat_from_mujoco(qpos_of(env, 0) + 3)));
  env.pull(0, torso, force);
  for (int step = 0; step < 10; ++step) {
    if (step == 5) env.pull(0, torso, Vec3::Zero());
    for (const int i : {0, 1}) env.step(i, 0, no_action().data());
    const Vec3 gained =
        world_from_heading.transpose() * (momentum_of(env, 0) - momentum_of(env, 1));
    const Vec3 expected = std::min(5, step + 1) * kControlStep * force;
    EXPECT_LT((gained - expected).norm(), 0.02 * expected.norm()) << step;
  }
  EXPECT_THROW(env.pull(0, 0, force), UserError) << "the world cannot be pulled";
  EXPECT_THROW(env.pull(0, env.model(0)->nbody, force), UserError);
}

TEST(Trials, APullActsOnTheCentreOfMassOfItsBodyOnly) {
  Env env = serial_env(1);
  env.reset_standing(0, 0, 0, EvaluationSettings().nominal());
  const ModelPtr model = g1()->make_model(exam().sim);
  const DataPtr data(mj_makeData(model.get()));
  const double yaw = heading(quat_from_mujoco(qpos_of(env, 0) + 3));
  env.pull(0, 7, {10, 20, 30});
  mj_setState(model.get(), data.get(), env.state(0), mjSTATE_INTEGRATION);
  const Vec3 expected = rot_z(yaw) * Vec3(10, 20, 30);
  for (int i = 0; i < 6 * model->nbody; ++i) {
    const bool there = i >= 42 && i < 45;
    EXPECT_NEAR(data->xfrc_applied[i], there ? expected[i - 42] : 0, 1e-12) << i;
  }
}

TEST(Trials, PushesAndPullsBeginAndEndAtTheirSteps) {
  // the same trial four times, with nothing, a push, a pull, and a pull of one step less
  std::vector<Trial> trials(4, standing_trial(0));
  trials[1].push_step = 12;
  trials[1].push[1] = 0.4;
  for (const int i : {2, 3}) {
    trials[i].pull_step = 15;
    trials[i].pull_steps = i == 2 ? 4 : 3;
    trials[i].pull[0] = 40;
  }
  // every trial alone, so that all have the random numbers of environment 0
  std::vector<TrialSeries> series(4);
  for (int i = 0; i < 4; ++i) run({trials[i]}, 30, 0, 1, &series[i]);
  const auto parting = [&](int a, int b) {
    for (int step = 0; step < 30; ++step) {
      for (int axis = 0; axis < 3; ++axis) {
        const std::size_t at = 3 * step + axis;
        if (series[a].velocity[at] != series[b].velocity[at]) return step;
      }
    }
    return -1;
  };
  EXPECT_EQ(parting(0, 1), 12) << "in the step that begins with the push";
  EXPECT_EQ(parting(0, 2), 15);
  EXPECT_EQ(parting(0, 3), 15);
  EXPECT_EQ(parting(2, 3), 18);
}

// --- the course ----------------------------------------------------------------------------------

TEST(Trials, SeriesAreTheStatesOfTheSimulation) {
  const std::vector<Trial> trials = all_kinds();
  const int steps = 85;
  TrialSeries series;
  const auto results = run(trials, steps, 15, 2, &series);
  ASSERT_EQ(series.velocity.size(), 12u * steps * 3);
  ASSERT_EQ(series.position.size(), 12u * steps * 36);
  ASSERT_EQ(series.reference.size(), 12u * steps * 36);
  Env env = serial_env(12);
  int ended = 0;
  for (int i = 0; i < 12; ++i) {
    const Serial serial = follow(env, i, trials[i], steps, 15);
    ended += serial.steps < steps;
    for (int step = 0; step < steps; ++step) {
      const std::size_t row = std::size_t(i) * steps + step;
      const float *velocity = &series.velocity[3 * row], *position = &series.position[36 * row],
                  *reference = &series.reference[36 * row];
      const Vec3 expected = step < static_cast<int>(serial.all_velocities.size())
                                ? serial.all_velocities[step]
                                : Vec3(0, 0, 0);
      for (int axis = 0; axis < 3; ++axis) ASSERT_NEAR(velocity[axis], expected[axis], 1e-5);
      const std::vector<float> nothing(36, 0.0f);
      ASSERT_TRUE(std::equal(position, position + 36,
                             (step < serial.steps ? serial.position[step] : nothing).begin()));
      ASSERT_TRUE(std::equal(reference, reference + 36,
                             (step < serial.steps ? serial.pose[step] : nothing).begin()));
    }
  }
  EXPECT_GT(ended, 0);
  for (int joint = 0; joint < 29; ++joint)
    EXPECT_NEAR(series.position[7 + joint], g1()->q_default[joint], 0.05) << "it begins standing";

  // results do not depend on whether somebody looks
  EXPECT_EQ(results[1].drift, run(trials, steps, 15)[1].drift);
}

// --- the protocol --------------------------------------------------------------------------------

TEST(Trials, RunOnPlainPhysicsAndItsOwnDefinitionOfAFall) {
  EnvSettings training;
  training.lookahead = 3;
  training.termination = {0.1, 10, 0.3};
  training.terrain.kind = "rough";
  training.randomise.mass = {0.8, 1.2};
  training.randomise.push = 1;
  training.randomise.noise = 1;
  training.randomise.joint_offset = 0.02;
  training.rewards = {{"velocity", 2}};
  EvaluationSettings evaluation;
  evaluation.friction = 0.7;
  const EnvSettings env = evaluation.environment(training);
  EXPECT_EQ(env.sim.timestep, 0.002);
  EXPECT_EQ(env.sim.decimation, 10);
  EXPECT_EQ(env.sim.collision, "full");
  EXPECT_EQ(env.sim.friction, 0.7);
  EXPECT_EQ(env.terrain.kind, "flat");
  EXPECT_EQ(env.termination.min_height, 0.45);
  EXPECT_EQ(env.termination.max_tilt_deg, 60);
  EXPECT_EQ(env.termination.min_foot_distance, 0);
  EXPECT_EQ(env.lookahead, 3) << "what the policy sees is that of the training";
  EXPECT_EQ(env.rewards, training.rewards);

  // nothing is random, whatever is drawn
  Random random(1, 0, 0, Purpose::kRandomise);
  const Randomisation drawn = Randomisation::draw(env.randomise, 1, 29, random);
  for (const Randomisation& body : {drawn, evaluation.nominal()}) {
    EXPECT_EQ(body.friction, 0.7);
    EXPECT_EQ(body.mass, 1);
    EXPECT_EQ(body.payload, 0);
    EXPECT_EQ(body.delay, 0);
    EXPECT_TRUE(body.joint_offsets.empty());
  }
  EXPECT_EQ(env.randomise.push, 0);
  EXPECT_EQ(env.randomise.noise, 0);
  EXPECT_EQ(evaluation.nominal().terrain, 0);

  // but what was asked for
  evaluation.noise = 2;
  evaluation.delay = 1.5;
  EXPECT_EQ(evaluation.environment(training).randomise.noise, 2);
  EXPECT_EQ(evaluation.nominal().delay, 1.5);
}

TEST(Trials, RefuseReferencesThatDoNotFit) {
  const auto error = [](int stream, int frame, int steps) {
    Trial trial = standing_trial(stream);
    trial.frame = frame;
    return error_of([&] { run({standing_trial(0), trial}, steps, 0); });
  };
  EXPECT_NE(error(3, -1, 5).find("stream 3 of 3"), std::string::npos) << error(3, -1, 5);
  EXPECT_NE(error(-1, -1, 5), "");
  EXPECT_NE(error(0, kFrames - 1, 5).find("180 frames"), std::string::npos);
  EXPECT_NE(error(0, kFrames, 5), "");
  EXPECT_EQ(error(0, kFrames - 2, 5), "") << "from there it is one step to the end";

  // a trial from standing has to last
  EXPECT_NE(error(1, -1, kFrames - 1), "");
  EXPECT_EQ(error(1, -1, kFrames - 2), "");
}

}  // namespace
}  // namespace twist
