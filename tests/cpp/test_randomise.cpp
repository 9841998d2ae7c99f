#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "walking_env.h"

namespace twist {
namespace {

RandomiseSettings wide() {
  RandomiseSettings s;
  s.friction = {0.4, 1.4};
  s.mass = {0.8, 1.3};
  s.payload = {-1, 4};
  s.com = 0.05;
  s.strength = {0.7, 1.1};
  s.gains = {0.9, 1.2};
  s.delay = {0, 1};
  return s;
}

Randomisation draw(double difficulty, int episode = 1) {
  Random random(5, 0, episode, Purpose::kRandomise);
  return Randomisation::draw(wide(), difficulty, 29, random);
}

// A robot that stands on its reference, without noise, and is pushed.
EnvSettings pushed(double speed, std::vector<double> every_s) {
  EnvSettings s = calm();
  s.reset.stand_share = 1;
  s.randomise.push = speed;
  s.randomise.push_every_s = std::move(every_s);
  return s;
}

Vec2 planar_velocity(Env& env, int i) { return {qvel_of(env, i)[0], qvel_of(env, i)[1]}; }

TEST(Randomise, IsNominalWithoutDifficultyExceptFriction) {
  const Randomisation r = draw(0);
  EXPECT_EQ(r.mass, 1);
  EXPECT_EQ(r.payload, 0);
  EXPECT_EQ(r.strength, 1);
  EXPECT_EQ(r.kp, 1);
  EXPECT_EQ(r.kd, 1);
  EXPECT_EQ(r.delay, 0);
  EXPECT_EQ(r.com, Vec3(0, 0, 0));
  EXPECT_NE(r.friction, 1);
}

TEST(Randomise, FillsItsRangesAndShrinksWithTheDifficulty) {
  double least = 10, most = 0;
  for (int episode = 0; episode < 500; ++episode) {
    const Randomisation whole = draw(1, episode), half = draw(0.5, episode);
    least = std::min(least, whole.mass);
    most = std::max(most, whole.mass);
    ASSERT_NEAR(half.mass - 1, 0.5 * (whole.mass - 1), 1e-12);
    ASSERT_NEAR(half.payload, 0.5 * whole.payload, 1e-12);
    ASSERT_EQ(half.friction, whole.friction);
    ASSERT_LE(whole.com.cwiseAbs().maxCoeff(), 0.05);
    ASSERT_TRUE(whole.strength >= 0.7 && whole.strength <= 1.1);
  }
  EXPECT_NEAR(least, 0.8, 0.01);
  EXPECT_NEAR(most, 1.3, 0.01);
}

TEST(Randomise, JointOffsetsAndTheFloorAreDrawnWithTheDifficulty) {
  RandomiseSettings s = wide();
  s.joint_offset = 0.04;
  double least = 0, most = 0, mean_terrain = 0, most_terrain = 0;
  for (int episode = 0; episode < 300; ++episode) {
    Random random(5, 0, episode, Purpose::kRandomise), again(5, 0, episode, Purpose::kRandomise);
    const Randomisation whole = Randomisation::draw(s, 1, 29, random),
                        half = Randomisation::draw(s, 0.5, 29, again);
    ASSERT_EQ(whole.joint_offsets.size(), 29u);
    for (int joint = 0; joint < 29; ++joint) {
      least = std::min(least, whole.joint_offset(joint));
      most = std::max(most, whole.joint_offset(joint));
      ASSERT_NEAR(half.joint_offset(joint), 0.5 * whole.joint_offset(joint), 1e-12);
    }
    ASSERT_GE(whole.terrain, 0);
    ASSERT_LE(whole.terrain, 1);
    ASSERT_NEAR(half.terrain, 0.5 * whole.terrain, 1e-12);
    mean_terrain += whole.terrain / 300;
    most_terrain = std::max(most_terrain, whole.terrain);
  }
  EXPECT_NEAR(least, -0.04, 1e-4);
  EXPECT_NEAR(most, 0.04, 1e-4);
  EXPECT_NEAR(mean_terrain, 0.5, 0.05) << "from flat to as rough as it gets";
  EXPECT_GT(most_terrain, 0.99);
  EXPECT_TRUE(draw(1).joint_offsets.empty());
  EXPECT_EQ(draw(1).joint_offset(28), 0);
  EXPECT_EQ(draw(0).terrain, 0);
}

TEST(Randomise, RefusesARangeThatIsNone) {
  RandomiseSettings s = wide();
  s.mass = {1.2, 0.8};
  Random random(5, 0, 0, Purpose::kRandomise);
  EXPECT_THROW(Randomisation::draw(s, 1, 29, random), UserError);
}

TEST(Randomiser, WritesTheModelAndCanTakeItBack) {
  const ModelPtr model = g1()->make_model({}), plain = g1()->make_model({});
  const Randomiser randomiser(*g1(), *model);
  const Randomisation r = draw(1);
  randomiser.apply(r, model.get());
  double mass = 0, nominal = 0;
  for (int body = 1; body < model->nbody; ++body) {
    mass += model->body_mass[body];
    nominal += plain->body_mass[body];
    EXPECT_NEAR(model->body_inertia[3 * body], r.mass * plain->body_inertia[3 * body], 1e-12);
  }
  EXPECT_NEAR(mass, r.mass * nominal + r.payload, 1e-9);
  const int torso = mj_name2id(model.get(), mjOBJ_BODY, "torso_link");
  EXPECT_NEAR(model->body_ipos[3 * torso + 1] - plain->body_ipos[3 * torso + 1], r.com.y(), 1e-12);
  for (int joint = 0; joint < g1()->num_joints(); ++joint) {
    EXPECT_NEAR(model->actuator_gainprm[mjNGAIN * joint], r.strength * r.kp * g1()->kp[joint],
                1e-9);
    EXPECT_NEAR(model->actuator_biasprm[mjNBIAS * joint + 2], -r.strength * r.kd * g1()->kd[joint],
                1e-9);
  }

  Randomisation back;
  back.friction = 0.8;
  randomiser.apply(back, model.get());
  for (int i = 0; i < model->nbody; ++i) EXPECT_EQ(model->body_mass[i], plain->body_mass[i]);
  for (int i = 0; i < 3 * model->nbody; ++i) EXPECT_EQ(model->body_ipos[i], plain->body_ipos[i]);
}

TEST(Push, JumpsByWhatWasAsked) {
  Env env(g1(), pushed(0, {1, 1}), g1_pool(), 1, 1, 3);
  env.reset_standing(0, 0, 0, plain_body());
  const double* qpos = env.state(0) + 1;
  const double yaw = heading(quat_from_mujoco(qpos + 3));
  const Vec2 before = planar_velocity(env, 0);
  env.push(0, {0.6, -0.2});
  const Vec2 jump = rot_2d(-yaw) * (planar_velocity(env, 0) - before);
  EXPECT_NEAR(jump.x(), 0.6, 1e-12);
  EXPECT_NEAR(jump.y(), -0.2, 1e-12);
}

// seen from outside: the same environments with and without pushes part at a push
int first_difference(double difficulty) {
  Env calm(g1(), pushed(0, {0.4, 0.4}), g1_pool(), 4, 1, 3);
  Env rough(g1(), pushed(1.0, {0.4, 0.4}), g1_pool(), 4, 1, 3);
  const std::vector<float> action(kActions, 0.0f);
  calm.set_difficulty(difficulty);
  rough.set_difficulty(difficulty);
  for (int i = 0; i < 4; ++i) {
    calm.reset_at(i, 0, 0, 0, plain_body());
    rough.reset_at(i, 0, 0, 0, plain_body());
  }
  for (int step = 0; step < 40; ++step) {
    for (int i = 0; i < 4; ++i) {
      calm.step(i, 0, action.data());
      rough.step(i, 0, action.data());
      if ((planar_velocity(calm, i) - planar_velocity(rough, i)).norm() > 1e-9) return step;
    }
  }
  return -1;
}

TEST(Push, ComesAtItsTimeAndNotWithoutDifficulty) {
  EXPECT_EQ(first_difference(1), 20);  // 0.4 s at 50 Hz
  EXPECT_EQ(first_difference(0), -1);
}

TEST(Env, ADelayMixesTheActionBefore) {
  const auto position_after = [](double delay) {
    Randomisation body = plain_body();
    body.delay = delay;
    Env env(g1(), calm(), g1_pool(), 1, 1, 3);
    env.reset_at(0, 0, 0, 0, body);
    std::vector<float> action(kActions, 0.0f);
    action[3] = 0.4f;  // far from the torque limit
    env.step(0, 0, action.data());
    return env.state(0)[1 + 7 + 3];  // left knee
  };
  const double now = position_after(0), half = position_after(0.5), late = position_after(1);
  EXPECT_GT(std::abs(now - late), 1e-3);
  EXPECT_NEAR(half - late, 0.5 * (now - late), 0.1 * std::abs(now - late));
}

TEST(Env, RandomisedEpisodesContinueExactly) {
  EnvSettings settings = pushed(1.0, {0.2, 0.6});
  settings.randomise.mass = {0.8, 1.2};
  settings.randomise.strength = {0.8, 1.2};
  settings.randomise.joint_offset = 0.03;
  settings.randomise.noise = 1;
  settings.terrain.kind = "rough";
  const std::vector<float> action(kActions, 0.1f);
  const auto run = [&](Env& env, int steps) {
    for (int step = 0; step < steps; ++step)
      for (int i = 0; i < 4; ++i) env.step(i, 0, action.data());
  };
  Env whole(g1(), settings, g1_pool(), 4, 1, 3), part(g1(), settings, g1_pool(), 4, 1, 3);
  Env rest(g1(), settings, g1_pool(), 4, 1, 3);
  for (Env* env : {&whole, &part, &rest}) {
    env->set_difficulty(1);
    env->set_pool(g1_pool());  // all begin anew
  }
  run(whole, 60);
  run(part, 25);
  std::vector<double> records(4 * std::size_t(part.record_size()));
  part.save(records.data());
  rest.load(records.data());
  run(rest, 35);
  EXPECT_EQ(states_of(whole), states_of(rest));
  EXPECT_EQ(whole.observation, rest.observation);
}

// --- what sensors make of it ---------------------------------------------------------------------

TEST(Env, AJointOffsetShiftsWhatIsReadAndWhereTheServosGo) {
  for (const char* mode : {"reference_residual", "default_offset"}) {
    EnvSettings settings = calm();
    settings.action_mode = mode;
    Env env(g1(), settings, g1_pool(), 2, 1, 3);
    Randomisation crooked = plain_body();
    for (int joint = 0; joint < 29; ++joint) crooked.joint_offsets.push_back(0.002 * (joint - 10));
    env.reset_at(0, 0, 1, 60, plain_body());
    env.reset_at(1, 0, 1, 60, crooked);
    std::copy_n(env.state(0), env.state_size(), env.state(1));

    // the observation differs in the joint angles only
    const auto straight = row_of(env.observation, env, 0), read = row_of(env.observation, env, 1);
    for (const ObservationBlock& block : env.layout().blocks()) {
      if (block.name == "joint_error") {
        for (int joint = 0; joint < 29; ++joint) {
          EXPECT_NEAR(block_of(read, block.name)[joint] - block_of(straight, block.name)[joint],
                      0.002 * (joint - 10), 1e-6);
        }
      } else {
        EXPECT_EQ(block_of(read, block.name), block_of(straight, block.name)) << block.name;
      }
    }

    // a servo that reads too much stops too early: its target, as the simulation has it, is less
    const ModelPtr model = g1()->make_model(settings.sim);
    const DataPtr data[2] = {DataPtr(mj_makeData(model.get())), DataPtr(mj_makeData(model.get()))};
    const std::vector<float> action(kActions, 0.1f);
    for (const int i : {0, 1}) {
      env.step(i, 0, action.data());
      mj_setState(model.get(), data[i].get(), env.state(i), mjSTATE_INTEGRATION);
    }
    for (int joint = 0; joint < 29; ++joint)
      EXPECT_NEAR(data[1]->ctrl[joint] - data[0]->ctrl[joint], -0.002 * (joint - 10), 1e-12);
  }
}

// The differences between what two environments see that differ by the noise only; block by block.
std::map<std::string, std::vector<double>> noise_of(double factor, double difficulty) {
  EnvSettings clear = calm(), noisy = calm();
  noisy.randomise.noise = factor;
  const int envs = 40;
  Env one(g1(), clear, g1_pool(), envs, 1, 3), other(g1(), noisy, g1_pool(), envs, 1, 3);
  for (Env* env : {&one, &other}) {
    env->set_difficulty(difficulty);
    env->set_pool(g1_pool());
  }
  std::map<std::string, std::vector<double>> noise;
  for (int step = 0; step < 12; ++step) {
    for (int i = 0; i < envs; ++i) {
      one.step(i, 0, no_action().data());
      other.step(i, 0, no_action().data());
      const auto truth = row_of(one.observation, one, i),
                 seen = row_of(other.observation, other, i);
      for (const ObservationBlock& block : one.layout().blocks()) {
        const auto a = block_of(truth, block.name), b = block_of(seen, block.name);
        for (int k = 0; k < block.width; ++k)
          noise[block.name].push_back(double(b[k]) - double(a[k]));
      }
    }
  }
  EXPECT_EQ(states_of(one), states_of(other)) << "the world does not notice";
  return noise;
}

TEST(Noise, HasItsSizeInEveryBlock) {
  const std::map<std::string, double> sizes = {
      {"gravity", 0.03},     {"gyro", 0.1},          {"lin_vel", 0.05},
      {"drift", 0.02},       {"height_error", 0.01}, {"lin_vel_error", 0.05},
      {"joint_error", 0.01}, {"foot_error", 0.05},   {"joint_velocity_error", 0.05}};
  const std::pair<double, double> amounts[] = {{1, 1}, {3, 0.5}};
  for (const auto& [factor, difficulty] : amounts) {
    for (const auto& [name, values] : noise_of(factor, difficulty)) {
      double mean = 0, square = 0;
      for (const double value : values) {
        mean += value / values.size();
        square += value * value / values.size();
      }
      const double size = sizes.contains(name) ? factor * difficulty * sizes.at(name) : 0;
      EXPECT_NEAR(std::sqrt(square), size, 0.1 * size) << name;
      EXPECT_NEAR(mean, 0, 4 * size / std::sqrt(values.size())) << name;
    }
  }
}

TEST(Noise, IsAnotherForEveryNumber) {
  auto noise = noise_of(1, 1);
  std::vector<double>& values = noise["gyro"];
  std::sort(values.begin(), values.end());
  int same = 0;
  for (std::size_t i = 1; i < values.size(); ++i) same += values[i] == values[i - 1];
  EXPECT_LT(same, 5) << "of " << values.size();
}

TEST(Noise, IsNothingWhenOffOrWithoutDifficulty) {
  const std::pair<double, double> amounts[] = {{0, 1}, {1, 0}};
  for (const auto& [factor, difficulty] : amounts) {
    for (const auto& [name, values] : noise_of(factor, difficulty))
      for (const double value : values) ASSERT_EQ(value, 0) << name;
  }
}

}  // namespace
}  // namespace twist
