#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "env/env.h"
#include "env/randomise.h"
#include "g1.h"

namespace twist {
namespace {

constexpr int kActions = 23;

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
  return Randomisation::draw(wide(), difficulty, random);
}

// A robot that stands on its reference, without noise, and is pushed.
EnvSettings pushed(double speed, std::vector<double> every_s) {
  EnvSettings s;
  s.reset = {1, 0, 0, 0, 0, 0};
  s.termination = {-1e6, 180, 0};
  s.episode_s = 1000;
  s.randomise.friction = {0.8, 0.8};
  s.randomise.push = speed;
  s.randomise.push_every_s = std::move(every_s);
  return s;
}

Vec2 planar_velocity(Env& env, int i) {
  const double* qvel = env.state(i) + 1 + env.model(0)->nq;
  return {qvel[0], qvel[1]};
}

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

TEST(Randomise, RefusesARangeThatIsNone) {
  RandomiseSettings s = wide();
  s.mass = {1.2, 0.8};
  Random random(5, 0, 0, Purpose::kRandomise);
  EXPECT_THROW(Randomisation::draw(s, 1, random), UserError);
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
  env.reset_standing(0, 0, 0);
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
    calm.reset_at(i, 0, 0, 0);
    rough.reset_at(i, 0, 0, 0);
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
    EnvSettings settings = pushed(0, {10, 10});
    settings.randomise.delay = {delay, delay};
    Env env(g1(), settings, g1_pool(), 1, 1, 3);
    env.set_difficulty(1);
    env.reset_at(0, 0, 0, 0);
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
  const std::vector<float> action(kActions, 0.1f);
  const auto run = [&](Env& env, int steps) {
    for (int step = 0; step < steps; ++step)
      for (int i = 0; i < 4; ++i) env.step(i, 0, action.data());
  };
  const auto states = [](Env& env) {
    return std::vector<double>(env.state(0), env.state(0) + 4 * env.state_size());
  };
  Env whole(g1(), settings, g1_pool(), 4, 1, 3), part(g1(), settings, g1_pool(), 4, 1, 3);
  Env rest(g1(), settings, g1_pool(), 4, 1, 3);
  for (Env* env : {&whole, &part, &rest}) {
    env->set_difficulty(1);
    for (int i = 0; i < 4; ++i) env->reset_at(i, 0, 0, 0);
  }
  run(whole, 60);
  run(part, 25);
  std::vector<double> records(4 * std::size_t(part.record_size()));
  part.save(records.data());
  rest.load(records.data());
  run(rest, 35);
  EXPECT_EQ(states(whole), states(rest));
}

}  // namespace
}  // namespace twist
