#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "base/simulate.h"
#include "walking_env.h"

namespace twist {
namespace {

// As in training.
EnvSettings rough() {
  EnvSettings s;
  s.rewards = {{"velocity", 1.5},   {"leg_joints", 0.7},   {"contact", 0.6},
               {"key_bodies", 0.5}, {"slip", -0.1},        {"joint_acceleration", -1e-6},
               {"air_time", -1},    {"action_rate", -0.04}};
  return s;
}

std::unique_ptr<Env> make_env(const EnvSettings& settings, int envs, int workers = 1,
                              std::uint64_t seed = 7) {
  return std::make_unique<Env>(g1(), settings, g1_pool(), envs, workers, seed);
}

// random actions that depend on the environment and the step only
std::vector<float> action_of(int env, int step, double size = 1) {
  Random random(99, env, step, Purpose::kAction);
  std::vector<float> action(kActions);
  for (float& a : action) a = static_cast<float>(size * random.normal());
  return action;
}

void step_all(Env& env, Workers& workers, int step, double size = 1) {
  workers.run(env.num_envs(),
              [&](int i, int worker) { env.step(i, worker, action_of(i, step, size).data()); });
}

// --- physics -----------------------------------------------------------------------------------

using ActionSettings = std::pair<const char*, FeedForwardSettings>;
class ActionMode : public testing::TestWithParam<ActionSettings> {};
INSTANTIATE_TEST_SUITE_P(Env, ActionMode,
                         testing::Values(ActionSettings{"reference_residual", {1, 1}},
                                         ActionSettings{"reference_residual", {0, 0.75}},
                                         ActionSettings{"reference_residual", {0.5, 0}},
                                         ActionSettings{"default_offset", {1, 1}}));

TEST_P(ActionMode, TrajectoryIsSerialMjStepBitForBit) {
  EnvSettings settings = calm();
  const auto& [mode, forward] = GetParam();
  settings.action_mode = mode;
  settings.feed_forward = forward;
  settings.sim.timestep = 0.005;
  settings.sim.decimation = 4;
  const auto env = make_env(settings, 1);
  const int stream = 2, begin = 60;
  env->reset_at(0, 0, stream, begin, plain_body());

  // the same from here on with MuJoCo alone
  const ModelPtr model = g1()->make_model(settings.sim);
  const DataPtr data(mj_makeData(model.get()));
  mj_setState(model.get(), data.get(), env->state(0), mjSTATE_INTEGRATION);
  std::vector<double> state(env->state_size());
  int contacts = 0;
  for (int step = 0; step < 100; ++step) {
    const std::vector<float> action = action_of(0, step);
    env->step(0, 0, action.data());
    ASSERT_EQ(env->cause[0], Cause::kNone);

    const ReferenceView now = g1_pool()->at(stream, begin + step),
                        next = g1_pool()->at(stream, begin + step + 1);
    for (int joint = 0; joint < 29; ++joint) {
      data->ctrl[joint] = g1()->q_default[joint];
      if (settings.action_mode == "default_offset") continue;
      data->ctrl[joint] = 0.5 * (now.frame[joint] + next.frame[joint]) +
                          (forward.velocity * g1()->kd[joint] * 0.5 *
                               (now.frame[29 + joint] + next.frame[29 + joint]) +
                           forward.torque * 0.5 * (now.torque[joint] + next.torque[joint])) /
                              g1()->kp[joint];
    }
    for (int i = 0; i < kActions; ++i) {
      data->ctrl[g1()->acted_joints[i]] += g1()->action_scale[i] * action[i];
    }
    for (int k = 0; k < 4; ++k) mj_step(model.get(), data.get());
    contacts += data->ncon > 0;
    mj_getState(model.get(), data.get(), state.data(), mjSTATE_INTEGRATION);
    for (int i = 0; i < env->state_size(); ++i) {
      ASSERT_EQ(state[i], env->state(0)[i]) << "step " << step << ", number " << i;
    }
  }
  EXPECT_GT(contacts, 50) << "this should be a test with contacts";
}

// A body as serial MuJoCo has it after a step of `env`.
class SerialBody {
 public:
  explicit SerialBody(const SimSettings& sim)
      : sim_(sim), model_(g1()->make_model(sim)), data_(mj_makeData(model_.get())) {}

  // the same step as that which took `before` to `after`, where the targets stand
  void step(const std::vector<double>& before, const double* after) {
    mj_setState(model_.get(), data_.get(), after, mjSTATE_INTEGRATION);
    const std::vector<double> targets(data_->ctrl, data_->ctrl + model_->nu);
    mj_setState(model_.get(), data_.get(), before.data(), mjSTATE_INTEGRATION);
    last_qd.assign(data_->qvel + 6, data_->qvel + 35);
    std::copy(targets.begin(), targets.end(), data_->ctrl);
    for (int k = 0; k < sim_.decimation; ++k) mj_step(model_.get(), data_.get());

    // all that acts on a foot from outside, world axes
    mj_rnePostConstraint(model_.get(), data_.get());
    for (int side = 0; side < 2; ++side) {
      const int foot = g1()->foot_bodies[side];
      force[side] = Eigen::Map<const Vec3>(data_->cfrc_ext + 6 * foot + 3);
      const bool loaded = force[side].z() > 5;
      landed[side] = loaded && flown[side];
      air_time[side] = landed[side] ? 0.02 * flown[side] : loaded ? 0 : 0.02 * ++flown[side];
      if (loaded) flown[side] = 0;
    }

    // relative to the pelvis, in its heading frame
    mj_kinematics(model_.get(), data_.get());
    const double* pelvis = data_->xmat + 9;
    const Mat3 to_heading = rot_z(-std::atan2(pelvis[3], pelvis[0]));
    key_bodies.clear();
    for (const std::string& name : g1()->settings().key_bodies) {
      const int body = mj_name2id(model_.get(), mjOBJ_BODY, name.c_str());
      key_bodies.push_back(to_heading * (Eigen::Map<const Vec3>(data_->xpos + 3 * body) -
                                         Eigen::Map<const Vec3>(data_->qpos)));
    }
  }

  std::vector<double> last_qd;
  Vec3 force[2];
  int flown[2] = {0, 0};
  bool landed[2] = {false, false};
  double air_time[2] = {0, 0};
  std::vector<Vec3> key_bodies;

 private:
  SimSettings sim_;
  ModelPtr model_;
  DataPtr data_;
};

TEST(Env, BodyIsMeasuredAsSerialMujocoHasIt) {
  const EnvSettings settings = calm();
  const auto env = make_env(settings, 2);
  env->reset_at(0, 0, 2, 60, plain_body());
  SerialBody serial(settings.sim);
  int landings = 0;
  double sideways = 0;
  for (int step = 0; step < 120; ++step) {
    const std::vector<double> before(env->state(0), env->state(0) + env->state_size());
    env->step(1, 0, action_of(1, step, 0.3).data());  // a neighbour with the same worker
    env->step(0, 0, action_of(0, step, 0.3).data());
    ASSERT_EQ(env->cause[0], Cause::kNone);
    serial.step(before, env->state(0));
    const BodyState& body = env->body(0);
    EXPECT_EQ(body.last_qd, serial.last_qd);
    for (int side = 0; side < 2; ++side) {
      EXPECT_LT((body.foot_force[side] - serial.force[side]).norm(), 1e-6) << step;
      EXPECT_NEAR(body.load[side], serial.force[side].z(), 1e-6) << "the floor is flat";
      EXPECT_NEAR(body.air_time[side], serial.air_time[side], 1e-9) << step;
      landings += serial.landed[side];
      sideways = std::max(sideways, serial.force[side].head<2>().norm());
    }
    ASSERT_EQ(body.key_bodies.size(), serial.key_bodies.size());
    for (std::size_t i = 0; i < serial.key_bodies.size(); ++i)
      EXPECT_LT((body.key_bodies[i] - serial.key_bodies[i]).norm(), 1e-9) << step;
  }
  EXPECT_GT(landings, 5);
  EXPECT_GT(sideways, 20);
}

TEST(Env, AnEpisodeBeginsWithoutFlightAndAtAnEvenSpeed) {
  const auto env = make_env(calm(), 1);
  env->reset_at(0, 0, 1, 60, plain_body());
  env->state(0)[1 + 2] += 1;
  for (int step = 0; step < 5; ++step) env->step(0, 0, action_of(0, step).data());
  const BodyState& body = env->body(0);
  EXPECT_NEAR(body.air_time[0], 0.1, 1e-9);
  EXPECT_NE(body.last_qd, std::vector<double>(body.qd.begin(), body.qd.end()));
  for (const int frame : {70, 0}) {
    env->reset_at(0, 0, 1, frame, plain_body());
    EXPECT_EQ(body.last_qd, std::vector<double>(body.qd.begin(), body.qd.end()));
    for (int side = 0; side < 2; ++side) EXPECT_EQ(body.air_time[side], 0);
  }

  // standing, both feet carry load from the first step
  env->step(0, 0, std::vector<float>(kActions, 0.0f).data());
  for (int side = 0; side < 2; ++side) {
    EXPECT_TRUE(body.loaded(side));
    EXPECT_EQ(body.air_time[side], 0);
  }
}

TEST(Env, ResultsDoNotDependOnTheWorkers) {
  std::vector<double> states[3];
  std::vector<float> observations[3], rewards[3];
  EnvStatistics sums[3];
  for (int threads = 1; threads <= 3; ++threads) {
    const auto env = make_env(rough(), 20, threads);
    Workers workers(threads);
    for (int step = 0; step < 200; ++step) {
      step_all(*env, workers, step);
      auto& all = rewards[threads - 1];
      all.insert(all.end(), env->reward.begin(), env->reward.end());
    }
    states[threads - 1] = states_of(*env);
    observations[threads - 1] = env->observation;
    sums[threads - 1] = env->take_statistics();
  }
  for (int i = 1; i < 3; ++i) {
    EXPECT_EQ(states[0], states[i]);
    EXPECT_EQ(observations[0], observations[i]);
    EXPECT_EQ(rewards[0], rewards[i]);
    EXPECT_EQ(sums[0].reward, sums[i].reward);
    EXPECT_EQ(sums[0].terms, sums[i].terms);
    EXPECT_EQ(sums[0].causes, sums[i].causes);
  }
  EXPECT_GT(sums[0].episodes, 20) << "this should be a test with resets";
}

TEST(Env, AnotherSeedGivesOtherEpisodes) {
  EXPECT_EQ(states_of(*make_env(rough(), 4)), states_of(*make_env(rough(), 4)));
  EXPECT_NE(states_of(*make_env(rough(), 4, 1, 7)), states_of(*make_env(rough(), 4, 1, 8)));
}

TEST(Env, FrictionOfTheEpisodeIsSimulated) {
  std::vector<double> ends[2];
  for (int i = 0; i < 2; ++i) {
    EnvSettings settings = calm();
    settings.reset.lin_vel = 0.5;
    settings.randomise.friction = i == 0 ? std::vector{0.05, 0.05} : std::vector{2.0, 2.0};
    const auto env = make_env(settings, 8);
    Workers workers(1);
    for (int step = 0; step < 10; ++step) step_all(*env, workers, step, 0);
    ends[i] = states_of(*env);
  }
  EXPECT_NE(ends[0], ends[1]);
}

TEST(Env, ActionsAreClipped) {
  EnvSettings settings = calm();
  settings.action_clip = 2;
  const auto env = make_env(settings, 2);
  for (const int i : {0, 1}) env->reset_at(i, 0, 1, 30, plain_body());
  std::vector<float> huge(kActions, 50.0f), most(kActions, 2.0f);
  huge[3] = -50;
  most[3] = -2;
  env->step(0, 0, huge.data());
  env->step(1, 0, most.data());
  const std::vector<double> states = states_of(*env);
  const std::size_t size = env->state_size();
  EXPECT_TRUE(std::equal(states.begin(), states.begin() + size, states.begin() + size));
}

TEST(Env, DriftIsTheRecentMeanOfVelocityMinusCommand) {
  const auto env = make_env(calm(), 2);
  env->reset_at(0, 0, 1, 60, plain_body());
  Vec3 drift = Vec3::Zero();
  const auto expect_drift = [&](int step) {
    const auto seen = block_of(row_of(env->observation, *env, 0), "drift");
    for (int axis = 0; axis < 3; ++axis) EXPECT_NEAR(seen[axis], drift[axis], 1e-5) << step;
  };
  expect_drift(-1);
  for (int step = 0; step < 60; ++step) {
    env->step(1, 0, action_of(1, step).data());  // a neighbour
    env->step(0, 0, action_of(0, step, 0.2).data());
    const double *qpos = qpos_of(*env, 0), *qvel = qvel_of(*env, 0);
    const float* command = g1_pool()->at(1, 61 + step).command;
    const Vec3 velocity =
        rot_z(-heading(quat_from_mujoco(qpos + 3))) * Vec3(qvel[0], qvel[1], qvel[2]);
    const Vec3 error =
        Vec3(velocity.x(), velocity.y(), qvel[5]) - Vec3(command[0], command[1], command[2]);
    drift += 0.04 * (error - drift);  // half a second is 25 steps
    expect_drift(step);
  }
  EXPECT_GT(drift.norm(), 0.1);
  env->reset_at(0, 0, 1, 60, plain_body());
  drift.setZero();
  expect_drift(0);
}

// --- mirror ------------------------------------------------------------------------------------

// walking to the left, and the same in the mirror
std::shared_ptr<const MotionPool> mirrored_pool() {
  Trajectories motion = g1_motion(stand_then({{0.5, 0.2, 0.4}, {}}, 10, 150));
  for (int frame = 0; frame < 150; ++frame) {
    mirror_frame(g1()->mirror_joint, g1()->mirror_sign, motion.row(0, frame), motion.row(1, frame));
    const float* command = motion.command(0, frame);
    const float twin[3] = {command[0], -command[1], -command[2]};
    std::copy_n(twin, 3, motion.command(1, frame));
  }
  Workers workers(1);
  return std::make_shared<const MotionPool>(*g1(), motion, workers);
}

// reflects positions and velocities of a state
void mirror_state(const double* in, double* out) {
  const auto joints = [&](const double* from, double* to) {
    for (int i = 0; i < 29; ++i) to[i] = g1()->mirror_sign[i] * from[g1()->mirror_joint[i]];
  };
  const double *qpos = in + 1, *qvel = qpos + 36;
  double *twin_qpos = out + 1, *twin_qvel = twin_qpos + 36;
  const double position[7] = {qpos[0], -qpos[1], qpos[2], qpos[3], -qpos[4], qpos[5], -qpos[6]};
  const double velocity[6] = {qvel[0], -qvel[1], qvel[2], -qvel[3], qvel[4], -qvel[5]};
  std::copy_n(position, 7, twin_qpos);
  std::copy_n(velocity, 6, twin_qvel);
  joints(qpos + 7, twin_qpos + 7);
  joints(qvel + 6, twin_qvel + 6);
}

// Two starts: standing, and walking in the air. Where a foot lands, one side may touch a moment
// before the other.
class MirroredStart : public testing::TestWithParam<std::pair<int, double>> {};
INSTANTIATE_TEST_SUITE_P(Env, MirroredStart,
                         testing::Values(std::pair(0, 0.0), std::pair(80, 0.5)));

TEST_P(MirroredStart, AndMirroredActionsGiveMirroredObservations) {
  const auto [frame, lift] = GetParam();
  Env env(g1(), calm(), mirrored_pool(), 2, 1, 7);
  for (const int i : {0, 1}) env.reset_at(i, 0, i, frame, plain_body());
  Random random(1, 0, 0, Purpose::kReset);
  double* state = env.state(0);
  state[1 + 2] += lift;
  for (int i = 0; i < 29; ++i) {
    state[1 + 7 + i] += 0.01 * random.normal();
    state[1 + 36 + 6 + i] += 0.1 * random.normal();
  }
  mirror_state(state, env.state(1));

  std::vector<int> source;
  std::vector<float> sign;
  action_mirror(*g1(), 0, &source, &sign);
  const ObservationLayout& layout = env.layout();
  for (int step = 0; step < 10; ++step) {
    const std::vector<float> action = action_of(0, step, 0.1);
    std::vector<float> twin(kActions);
    for (int i = 0; i < kActions; ++i) twin[i] = sign[i] * action[source[i]];
    env.step(0, 0, action.data());
    env.step(1, 0, twin.data());
    const auto original = row_of(env.observation, env, 0), other = row_of(env.observation, env, 1);
    double difference = 0;
    for (int i = 0; i < layout.width(); ++i) {
      // the robot's own inertias are left-right equal to about a thousandth
      const float expected = layout.mirror_sign[i] * original[layout.mirror_source[i]];
      ASSERT_NEAR(other[i], expected, 0.01 * (1 + std::abs(expected)))
          << "step " << step << ", number " << i;
      difference += std::abs(other[i] - original[i]);
    }
    EXPECT_GT(difference, 1) << "the two should not be the same";
  }
}

// --- episodes ----------------------------------------------------------------------------------

TEST(Env, EveryEpisodeBeginsWithTheLowestSolePointOnTheFloor) {
  const auto env = make_env(rough(), 24);
  Workers workers(1);
  for (int i = 0; i < 24; ++i) EXPECT_NEAR(lowest_sole_of(*env, i), 0, 1e-6);
  int resets = 0;
  for (int step = 0; step < 150; ++step) {
    step_all(*env, workers, step);
    for (int i = 0; i < 24; ++i) {
      if (env->cause[i] == Cause::kNone) continue;
      ++resets;
      ASSERT_NEAR(lowest_sole_of(*env, i), 0, 1e-6);
    }
  }
  EXPECT_GT(resets, 20);
  for (int i = 0; i < 24; ++i) {
    env->reset_at(i, 0, i % 4, 5 * i, plain_body());
    ASSERT_NEAR(lowest_sole_of(*env, i), 0, 1e-6);
    env->reset_standing(i, 0, i % 4, plain_body());
    ASSERT_NEAR(lowest_sole_of(*env, i), 0, 1e-6);
  }
}

TEST(Env, EpisodesWithoutNoiseBeginOnTheReference) {
  const auto env = make_env(calm(), 1);
  for (const int frame : {0, 33, 180}) {
    env->reset_at(0, 0, 2, frame, plain_body());
    const float* reference = g1_pool()->at(2, frame).frame;
    const double *qpos = env->state(0) + 1, *qvel = qpos + 36;
    for (int i = 0; i < 29; ++i) {
      EXPECT_NEAR(qpos[7 + i], reference[i], 1e-6);
      EXPECT_NEAR(qvel[6 + i], reference[29 + i], 1e-6);
    }
    EXPECT_NEAR(qpos[2], reference[58], 2e-3);
    for (int i = 0; i < 3; ++i) {
      EXPECT_NEAR(qvel[i], reference[62 + i], 1e-6);
      EXPECT_NEAR(qvel[3 + i], reference[65 + i], 1e-6);
    }
  }
}

TEST(Env, NoiseOfTheStartIsWhatTheSettingsSay) {
  EnvSettings settings = calm();
  settings.reset = {1.0, 0, 0.05, 0.3, 0.2, 0.4, 0.03};
  const int envs = 300;
  const auto env = make_env(settings, envs);
  double q = 0, qd = 0, lin = 0, ang = 0, tilt = 0;
  for (int i = 0; i < envs; ++i) {
    env->reset_at(i, 0, 0, 0, plain_body());
    const float* reference = g1_pool()->at(0, 0).frame;
    const double *qpos = env->state(i) + 1, *qvel = qpos + 36;
    for (int joint = 0; joint < 12; ++joint) {
      q += std::pow(qpos[7 + joint] - reference[joint], 2) / (12 * envs);
      qd += std::pow(qvel[6 + joint] - reference[29 + joint], 2) / (12 * envs);
    }
    for (int axis = 0; axis < 3; ++axis) {
      lin += std::pow(qvel[axis], 2) / (3 * envs);
      ang += std::pow(qvel[3 + axis], 2) / (3 * envs);
    }
    const Vec3 gravity = quat_from_mujoco(qpos + 3).conjugate() * Vec3(0, 0, -1);
    tilt += gravity.head<2>().squaredNorm() / (2 * envs);
  }
  EXPECT_NEAR(std::sqrt(q), 0.05, 0.003);
  EXPECT_NEAR(std::sqrt(qd), 0.3, 0.015);
  EXPECT_NEAR(std::sqrt(lin), 0.2, 0.02);
  EXPECT_NEAR(std::sqrt(ang), 0.4, 0.04);
  EXPECT_NEAR(std::sqrt(tilt), 0.03, 0.004);
}

TEST(Env, StandingStartIsThatOfTheProtocol) {
  const int envs = 200;
  const auto env = make_env(rough(), envs);
  double largest_q = 0, largest_v = 0, cosine = 0, sine = 0;
  for (int i = 0; i < envs; ++i) {
    env->reset_standing(i, 0, 1, plain_body());
    const double *qpos = env->state(i) + 1, *qvel = qpos + 36;
    for (int joint = 0; joint < 29; ++joint) {
      largest_q = std::max(largest_q, std::abs(qpos[7 + joint] - g1()->q_default[joint]));
      EXPECT_EQ(qvel[6 + joint], 0);
    }
    for (int axis = 0; axis < 6; ++axis) largest_v = std::max(largest_v, std::abs(qvel[axis]));
    const double yaw = heading(quat_from_mujoco(qpos + 3));
    cosine += std::cos(yaw) / envs;
    sine += std::sin(yaw) / envs;
  }
  EXPECT_LE(largest_q, 0.05);
  EXPECT_GT(largest_q, 0.049);
  EXPECT_LE(largest_v, 0.1);
  EXPECT_GT(largest_v, 0.095);
  EXPECT_LT(std::hypot(cosine, sine), 0.25) << "any heading";
}

TEST(Env, TimeOutKeepsTheObservationBeforeTheReset) {
  EnvSettings brief = rough();
  brief.termination = {-kNever, 180, 0};
  brief.episode_s = 0.2;
  EnvSettings endless = brief;
  endless.episode_s = 1000;
  const int envs = 16;
  const auto env = make_env(brief, envs), twin = make_env(endless, envs);
  std::vector<bool> open(envs, true);
  int time_outs = 0;
  Workers workers(1);
  for (int step = 0; step < 10; ++step) {
    step_all(*env, workers, step);
    step_all(*twin, workers, step);
    for (int i = 0; i < envs; ++i) {
      if (!open[i]) continue;
      EXPECT_EQ(env->reward[i], twin->reward[i]) << "a time-out costs nothing";
      if (env->cause[i] == Cause::kNone) {
        EXPECT_EQ(row_of(env->observation, *env, i), row_of(twin->observation, *twin, i));
        continue;
      }
      open[i] = false;
      ++time_outs;
      EXPECT_EQ(env->cause[i], Cause::kTimeOut);
      EXPECT_EQ(row_of(env->final_observation, *env, i), row_of(twin->observation, *twin, i));
      EXPECT_NE(row_of(env->observation, *env, i), row_of(twin->observation, *twin, i));
      EXPECT_NEAR(lowest_sole_of(*env, i), 0, 1e-6);
    }
  }
  EXPECT_EQ(time_outs, envs) << "an episode of ten steps is over after ten steps";
}

TEST(Env, FirstEpisodesEndAtDifferentTimes) {
  EnvSettings settings = calm();
  settings.episode_s = 1;
  const int envs = 64;
  const auto env = make_env(settings, envs);
  Workers workers(1);
  std::vector<int> ends;
  for (int step = 0; step < 50; ++step) {
    step_all(*env, workers, step, 0);
    for (int i = 0; i < envs; ++i) {
      if (env->cause[i] == Cause::kTimeOut) ends.push_back(step);
    }
  }
  EXPECT_GE(ends.size(), 64u);
  const double early = std::count_if(ends.begin(), ends.end(), [](int step) { return step < 25; });
  EXPECT_NEAR(early / ends.size(), 0.5, 0.2);
}

TEST(Env, EpisodesEndBeforeTheReferenceDoes) {
  const auto env = make_env(calm(), 1);
  env->reset_at(0, 0, 1, 240, plain_body());
  std::vector<float> action(kActions, 0.0f);
  int steps = 0;
  do {
    env->step(0, 0, action.data());
    ++steps;
  } while (env->cause[0] == Cause::kNone && steps < 100);
  EXPECT_EQ(env->cause[0], Cause::kTimeOut);
  EXPECT_EQ(steps, 9);  // 250 frames
}

// --- rewards and sums --------------------------------------------------------------------------

TEST(Env, RewardIsTheWeightedSumPerSecondAndAFallCostsOnce) {
  EnvSettings settings = rough();
  settings.rewards = {{"alive", 2.0}};
  settings.fall_reward = -3;
  const auto env = make_env(settings, 20);
  Workers workers(1);
  int falls = 0, time_outs = 0;
  double total = 0;
  for (int step = 0; step < 120; ++step) {
    step_all(*env, workers, step);
    for (int i = 0; i < 20; ++i) {
      const bool fell = env->cause[i] != Cause::kNone && env->cause[i] != Cause::kTimeOut;
      ASSERT_NEAR(env->reward[i], 0.04 + (fell ? -3 : 0), 1e-6);
      falls += fell;
      time_outs += env->cause[i] == Cause::kTimeOut;
      total += env->reward[i];
    }
  }
  EXPECT_GT(falls, 5);
  const EnvStatistics sums = env->take_statistics();
  EXPECT_EQ(sums.steps, 20 * 120);
  EXPECT_EQ(sums.episodes, falls + time_outs);
  EXPECT_EQ(sums.causes[static_cast<int>(Cause::kTimeOut)], time_outs);
  EXPECT_EQ(std::accumulate(sums.causes.begin(), sums.causes.end(), std::int64_t{0}),
            sums.episodes);
  EXPECT_NEAR(sums.reward, total, 1e-3);
  EXPECT_NEAR(std::accumulate(sums.terms.begin(), sums.terms.end(), 0.0), 0.04 * 20 * 120, 1e-6);
  EXPECT_EQ(env->take_statistics().steps, 0) << "taking empties";
}

TEST(Env, RewardAddsUpTheTermsOfTheTable) {
  EnvSettings one = calm(), other = calm(), both = calm();
  one.rewards = {{"velocity", 1.5}};
  other.rewards = {{"torque", -0.5}};
  both.rewards = {{"velocity", 1.5}, {"torque", -0.5}};
  std::vector<float> rewards[3];
  for (int i = 0; i < 3; ++i) {
    const auto env = make_env(i == 0 ? one : i == 1 ? other : both, 1);
    env->reset_at(0, 0, 1, 40, plain_body());
    for (int step = 0; step < 20; ++step) {
      env->step(0, 0, action_of(0, step).data());
      rewards[i].push_back(env->reward[0]);
    }
  }
  for (int step = 0; step < 20; ++step) {
    EXPECT_GT(rewards[0][step], 0);
    EXPECT_LE(rewards[0][step], 1.5 * 0.02 + 1e-6);
    EXPECT_LT(rewards[1][step], 0);
    EXPECT_NEAR(rewards[2][step], rewards[0][step] + rewards[1][step], 1e-6);
  }
}

TEST(Env, RewardsMoveToTheirFinalWeightsWithTheDifficulty) {
  EnvSettings settings = calm();
  settings.rewards = {{"alive", 2.0}};
  settings.final_rewards = {{"alive", 1.0}, {"velocity", 1.5}};
  EnvSettings velocity = calm();
  velocity.rewards = {{"velocity", 1.5}};
  const auto env = make_env(settings, 1), other = make_env(velocity, 1);
  for (const double difficulty : {0.0, 0.5, 1.0}) {
    env->set_difficulty(difficulty);
    for (Env* e : {env.get(), other.get()}) {
      e->reset_at(0, 0, 1, 40, plain_body());
      e->step(0, 0, action_of(0, 0).data());
    }
    EXPECT_NEAR(env->reward[0], (2 - difficulty) * 0.02 + difficulty * other->reward[0], 1e-6);
  }
  settings.final_rewards = {{"velocty", 1}};
  const std::string error = error_of([&] { make_env(settings, 1); });
  EXPECT_NE(error.find("env.final_rewards.velocty"), std::string::npos) << error;
}

TEST(Env, AStatueGetsWhatStandingStillIsWorth) {
  const auto statue_reward = [](const std::map<std::string, double>& rewards, int stream,
                                int frame) {
    EnvSettings settings = calm();
    settings.rewards = rewards;
    const auto env = make_env(settings, 1);
    env->reset_at(0, 0, stream, frame, plain_body());
    env->step(0, 0, action_of(0, 0, 3).data());  // what the robot does is not asked for
    return env->statue_reward(0);
  };
  const float* frame = g1_pool()->at(1, 121).frame;
  const float* command = g1_pool()->at(1, 121).command;
  const double vx = frame[62], vy = frame[63];
  EXPECT_GT(vx, 0.4);
  EXPECT_NEAR(statue_reward({{"alive", 2}}, 1, 120), 0.04, 1e-9);
  EXPECT_NEAR(statue_reward({{"velocity", 1.5}}, 1, 120),
              0.03 * std::exp(-(vx * vx + vy * vy) / (0.35 * 0.35)), 1e-6);
  EXPECT_NEAR(statue_reward({{"drift", 1}}, 1, 120),
              0.02 * std::exp(-command[0] * command[0] / (0.15 * 0.15)), 1e-6)
      << "it falls behind the command";
  EXPECT_NEAR(statue_reward({{"drift", 1}}, 0, 120), 0.02, 1e-6);
  const int planned = (frame[68] > 0.05f) + (frame[69] > 0.05f);
  EXPECT_NEAR(statue_reward({{"contact", 1}}, 1, 120), 0.01 * planned, 1e-9) << "on both feet";
  EXPECT_NEAR(statue_reward({{"contact", 1}}, 0, 120), 0.02, 1e-9);
  const std::map<std::string, double> costs = {{"torque", -1},
                                               {"action_rate", -1},
                                               {"slip", -1},
                                               {"joint_acceleration", -1},
                                               {"tilt_rate", -1}};
  EXPECT_NEAR(statue_reward(costs, 1, 120), 0, 1e-9) << "nothing is done";

  // it stands on its soles in the default pose
  const ModelPtr model = g1_plain_model();
  const DataPtr data(mj_makeData(model.get()));
  std::copy_n(g1()->q_default.data(), 29, data->qpos + 7);
  mj_kinematics(model.get(), data.get());
  const double height = data->qpos[2] - lowest_sole(model.get(), data.get());
  EXPECT_NEAR(statue_reward({{"height", 1}}, 1, 120),
              0.02 * std::exp(-std::pow((height - frame[58]) / 0.1, 2)), 1e-6);
  double error2 = 0;
  for (int joint = 0; joint < 12; ++joint)
    error2 += std::pow(g1()->q_default[joint] - frame[joint], 2) / 12;
  EXPECT_NEAR(statue_reward({{"leg_joints", 1}}, 1, 120), 0.02 * std::exp(-error2 / 0.04), 1e-6);
}

TEST(Env, ReferencePoseIsThatOfTheReferenceAtThePlaceOfTheRobot) {
  const auto env = make_env(calm(), 2);
  env->reset_standing(0, 0, 1, plain_body());  // in any direction
  for (int step = 0; step < 40; ++step) {
    env->step(1, 0, no_action().data());
    env->step(0, 0, no_action().data());
  }
  const double* robot = qpos_of(*env, 0);
  const float* frame = g1_pool()->at(1, 40).frame;
  const double yaw = heading(quat_from_mujoco(robot + 3));
  ASSERT_GT(std::abs(yaw), 0.1);
  std::vector<float> pose(36);
  env->reference_pose(0, pose.data());
  EXPECT_NEAR(pose[0], robot[0], 1e-6);
  EXPECT_NEAR(pose[1], robot[1], 1e-6);
  EXPECT_NEAR(pose[2], frame[58], 1e-6);
  const Eigen::Quaterniond quat(pose[3], pose[4], pose[5], pose[6]);
  EXPECT_NEAR(quat.norm(), 1, 1e-6);
  EXPECT_NEAR(heading(quat), yaw, 1e-6);
  const Vec3 gravity = quat.conjugate() * Vec3(0, 0, -1);
  for (int axis = 0; axis < 3; ++axis) EXPECT_NEAR(gravity[axis], frame[59 + axis], 1e-5);
  for (int joint = 0; joint < 29; ++joint) EXPECT_EQ(pose[7 + joint], frame[joint]);
}

// --- other references --------------------------------------------------------------------------

// which frame of which stream of `pool` an environment is at
std::pair<int, int> place_in(const MotionPool& pool, const Env& env, int i) {
  for (int stream = 0; stream < pool.streams(); ++stream) {
    for (int frame = 0; frame < pool.length(stream); ++frame) {
      if (env.reference(i).frame == pool.at(stream, frame).frame) return {stream, frame};
    }
  }
  return {-1, -1};
}

TEST(Env, EpisodesBeginAnewOnOtherReferences) {
  Workers workers(1);
  const auto other = std::make_shared<const MotionPool>(
      *g1(), g1_motion(stand_then({{0.4, 0, 0}, {0, 0.2, 0}}, 5, 150)), workers);
  const int envs = 30;
  const auto env = make_env(calm(), envs);
  for (int step = 0; step < 10; ++step) step_all(*env, workers, step, 0);
  for (int i = 0; i < envs; ++i) EXPECT_GE(place_in(*g1_pool(), *env, i).first, 0);
  env->set_pool(other);
  EXPECT_EQ(&env->pool(), other.get());
  int streams[2] = {0, 0};
  for (int i = 0; i < envs; ++i) {
    const auto [stream, frame] = place_in(*other, *env, i);
    ASSERT_GE(stream, 0);
    ++streams[stream];
    EXPECT_LT(frame, 150 - 50);
    const float* reference = other->at(stream, frame).frame;
    for (int joint = 0; joint < 29; ++joint)
      ASSERT_NEAR(qpos_of(*env, i)[7 + joint], reference[joint], 1e-6);
    const auto observation = row_of(env->observation, *env, i);
    for (const float error : block_of(observation, "joint_error")) ASSERT_NEAR(error, 0, 1e-6);
    EXPECT_NEAR(block_of(observation, "command")[0], other->at(stream, frame).command[0], 1e-6);
  }
  EXPECT_GT(streams[0], 5);
  EXPECT_GT(streams[1], 5);

  // their ends are spread once more, and they never read beyond the new motion
  std::vector<int> ends;
  for (int step = 0; step < 150; ++step) {
    step_all(*env, workers, step, 0);
    for (int i = 0; i < envs; ++i) {
      ASSERT_GE(place_in(*other, *env, i).first, 0);
      if (env->cause[i] == Cause::kTimeOut) ends.push_back(step);
    }
  }
  EXPECT_GE(ends.size(), 30u);
  EXPECT_LT(ends.front(), 30);
}

TEST(Env, RobotsBeginMoreOftenWhereTheyFell) {
  EnvSettings settings = calm();
  settings.reset.failure_share = 1;
  settings.termination.min_height = 0.4;
  const int envs = 20;
  const auto env = make_env(settings, envs);
  std::vector<double> expected(20, 0.0);  // four streams of five bins
  for (int i = 0; i < envs; ++i) {
    env->reset_at(i, 0, 2, 160 + i % 2, plain_body());
    if (i >= 15) continue;
    qpos_of(*env, i)[2] = 0.2;
    env->step(i, 0, no_action().data());
    ASSERT_EQ(env->cause[i], Cause::kHeight);
  }
  env->update_starts();
  expected[2 * 5 + 3] = 0.15;
  ASSERT_EQ(env->starts().failures().size(), expected.size());
  for (int bin = 0; bin < 20; ++bin)
    EXPECT_NEAR(env->starts().failures()[bin], expected[bin], 1e-12) << bin;

  // who begins now does so around there
  env->reset_at(19, 0, 1, 248, plain_body());
  env->step(19, 0, no_action().data());
  EXPECT_EQ(env->cause[19], Cause::kTimeOut) << "which is no fall";
  const auto [stream, frame] = place_in(*g1_pool(), *env, 19);
  EXPECT_EQ(stream, 2);
  EXPECT_GE(frame, 75);
  EXPECT_LT(frame, 175);
  env->update_starts();
  expected[13] *= 0.99;
  for (int bin = 0; bin < 20; ++bin)
    EXPECT_NEAR(env->starts().failures()[bin], expected[bin], 1e-12) << bin;

  // another motion has other places
  env->set_pool(mirrored_pool());
  EXPECT_EQ(env->starts().failures(), std::vector<double>(6, 0.0));
}

// --- faults ------------------------------------------------------------------------------------

TEST(Env, OneBrokenEnvironmentIsQuarantinedAndTheOthersDoNotNotice) {
  const int envs = 6, broken = 3;
  const auto env = make_env(rough(), envs), sound = make_env(rough(), envs);
  Workers workers(1);
  for (int step = 0; step < 5; ++step) {
    step_all(*env, workers, step, 0.2);
    step_all(*sound, workers, step, 0.2);
  }
  env->take_statistics();
  env->state(broken)[1 + 9] = std::numeric_limits<double>::quiet_NaN();
  for (int step = 5; step < 20; ++step) {
    step_all(*env, workers, step, 0.2);
    step_all(*sound, workers, step, 0.2);
    if (step == 5) {
      EXPECT_EQ(env->cause[broken], Cause::kPhysics);
      EXPECT_EQ(env->reward[broken], static_cast<float>(rough().fall_reward));
      EXPECT_NEAR(lowest_sole_of(*env, broken), 0, 1e-6);
    }
    for (int i = 0; i < envs; ++i) {
      for (int k = 0; k < env->state_size(); ++k) ASSERT_TRUE(std::isfinite(env->state(i)[k]));
      for (const float x : row_of(env->observation, *env, i)) ASSERT_TRUE(std::isfinite(x));
      for (const float x : row_of(env->final_observation, *env, i)) ASSERT_TRUE(std::isfinite(x));
      if (i == broken) continue;
      EXPECT_EQ(row_of(env->observation, *env, i), row_of(sound->observation, *sound, i));
      EXPECT_EQ(env->reward[i], sound->reward[i]);
    }
  }
  const EnvStatistics sums = env->take_statistics();
  EXPECT_EQ(sums.quarantined, 1);
  EXPECT_EQ(sums.causes[static_cast<int>(Cause::kPhysics)], 1);
  EXPECT_EQ(sound->take_statistics().quarantined, 0);
}

TEST(Env, ExplodingVelocitiesAreQuarantinedToo) {
  const auto env = make_env(calm(), 1);
  env->reset_at(0, 0, 0, 0, plain_body());
  env->state(0)[1 + 36 + 8] = 1e12;
  std::vector<float> action(kActions, 0.0f);
  env->step(0, 0, action.data());
  EXPECT_EQ(env->cause[0], Cause::kPhysics);
  env->step(0, 0, action.data());
  EXPECT_EQ(env->cause[0], Cause::kNone) << "it lives on";
}

TEST(Simulate, SaysWhyAndSurvivesAFatalErrorOfMujoco) {
  const ModelPtr model = g1()->make_model({});
  const DataPtr data(mj_makeData(model.get()));
  std::string reason;
  EXPECT_TRUE(simulate(model.get(), data.get(), 2, &reason));
  data->qpos[5] = std::numeric_limits<double>::infinity();
  EXPECT_FALSE(simulate(model.get(), data.get(), 2, &reason));
  EXPECT_NE(reason, "");

  // an unknown integrator is an error that would end the process
  mj_resetData(model.get(), data.get());
  model->opt.integrator = 77;
  reason.clear();
  EXPECT_FALSE(simulate(model.get(), data.get(), 2, &reason));
  EXPECT_NE(reason.find("integrator"), std::string::npos) << reason;
  model->opt.integrator = mjINT_IMPLICITFAST;
  mj_resetData(model.get(), data.get());
  EXPECT_TRUE(simulate(model.get(), data.get(), 2, &reason));
}

TEST(Env, NamesTheRewardThatDoesNotExist) {
  EnvSettings settings = calm();
  settings.rewards["velocty"] = 1;
  const std::string error = error_of([&] { make_env(settings, 1); });
  EXPECT_NE(error.find("velocty"), std::string::npos) << error;
  EXPECT_NE(error.find("velocity"), std::string::npos) << error;
  EXPECT_THROW(make_env(calm(), 0), UserError);
}

// --- save and load -----------------------------------------------------------------------------

TEST(Env, ContinuesExactlyAfterSaveAndLoad) {
  const int envs = 12;
  const auto env = make_env(rough(), envs);
  Workers workers(1);
  for (int step = 0; step < 60; ++step) step_all(*env, workers, step);
  std::vector<double> records(std::size_t(envs) * env->record_size());
  env->save(records.data());

  const auto other = make_env(rough(), envs);
  other->load(records.data());
  EXPECT_EQ(env->observation, other->observation);
  int ended = 0;
  for (int step = 60; step < 160; ++step) {
    step_all(*env, workers, step);
    step_all(*other, workers, step);
    ASSERT_EQ(states_of(*env), states_of(*other)) << step;
    ASSERT_EQ(env->observation, other->observation) << step;
    ASSERT_EQ(env->reward, other->reward) << step;
    ASSERT_EQ(env->cause, other->cause) << step;
    for (const Cause cause : env->cause) ended += cause != Cause::kNone;
  }
  EXPECT_GT(ended, 10) << "this should be a test with resets";
  std::vector<double> again(records.size()), twin(records.size());
  env->save(again.data());
  other->save(twin.data());
  EXPECT_EQ(again, twin);
}

TEST(Env, RefusesRecordsOfOtherReferences) {
  const auto env = make_env(rough(), 1);
  std::vector<double> records(env->record_size());
  env->save(records.data());
  Workers workers(1);
  const Trajectories little = g1_motion(stand_then({{}}, 0, 5));
  const auto pool = std::make_shared<const MotionPool>(*g1(), little, workers);
  env->reset_at(0, 0, 3, 100, plain_body());
  env->save(records.data());
  Env other(g1(), calm(), pool, 1, 1, 7);
  EXPECT_THROW(other.load(records.data()), UserError);
}

}  // namespace
}  // namespace twist
