// What a student sees, and how its environment differs from a teacher's.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "motion/reflex.h"
#include "walking_env.h"

namespace twist {
namespace {

constexpr int kOutputs = kActions + 3;
constexpr int kMeasured = 3 + 3 + 29 + 29 + kActions;  // gravity, gyro, q, qd, action

ObservationSettings seen_by_student(int history) { return {"student", history}; }

EnvSettings for_student(EnvSettings settings, int history = 4) {
  settings.observe = seen_by_student(history);
  return settings;
}

std::vector<float> answer_of(int env, int step, double size = 0.3) {
  Random random(9, env, step, Purpose::kAction);
  std::vector<float> answer(kOutputs);
  for (float& a : answer) a = static_cast<float>(size * random.normal());
  return answer;
}

// a block of the present of a student's observation
std::vector<float> student_block(const std::vector<float>& row, const std::string& name) {
  static const ObservationLayout layout(*g1(), seen_by_student(0));
  int first = 0;
  for (const ObservationBlock& block : layout.blocks()) {
    if (block.name == name) return {&row[first], &row[first] + block.width};
    first += block.width;
  }
  throw std::runtime_error("no block " + name);
}

TEST(StudentLayout, HasNothingThatOnlyASimulationKnows) {
  const ObservationLayout layout(*g1(), seen_by_student(10));
  EXPECT_EQ(layout.remembered(), kMeasured);
  EXPECT_EQ(layout.history(), 10);
  EXPECT_EQ(layout.width(), layout.present() + 10 * kMeasured);
  EXPECT_EQ(layout.estimates(), 3);
  for (const ObservationBlock& block : layout.blocks()) {
    for (const char* secret :
         {"lin_vel", "drift", "height_error", "foot_error", "measured_contact"})
      EXPECT_NE(block.name, secret);
  }
  EXPECT_EQ(ObservationLayout(*g1()).estimates(), 0) << "a teacher knows";
}

TEST(StudentLayout, MirrorTwiceIsTheIdentityInTheHistoryToo) {
  const ObservationLayout layout(*g1(), seen_by_student(3));
  ASSERT_EQ(static_cast<int>(layout.mirror_source.size()), layout.width());
  for (int i = 0; i < layout.width(); ++i) {
    const int source = layout.mirror_source[i];
    ASSERT_TRUE(source >= 0 && source < layout.width());
    EXPECT_EQ(layout.mirror_source[source], i);
    EXPECT_EQ(layout.mirror_sign[i] * layout.mirror_sign[source], 1.0f);
    // a number of the history and the present one of its kind go the same way
    if (i < layout.present()) continue;
    const int now = layout.present() - kMeasured + (i - layout.present()) % kMeasured;
    EXPECT_EQ(source - i, layout.mirror_source[now] - now);
    EXPECT_EQ(layout.mirror_sign[i], layout.mirror_sign[now]);
  }
}

TEST(StudentLayout, RemembersTheLastFramesOldestFirst) {
  const ObservationLayout layout(*g1(), seen_by_student(3));
  std::vector<float> out(layout.width() + 1, -1.0f);
  float* present = &out[layout.present() - kMeasured];
  const auto measure = [&](float value) { std::fill_n(present, kMeasured, value); };
  const auto history = [&](int frame) { return out[layout.present() + frame * kMeasured + 7]; };
  measure(1);
  layout.forget(out.data());
  for (const int frame : {0, 1, 2}) EXPECT_EQ(history(frame), 1);
  for (const float value : {2.0f, 3.0f}) {
    layout.remember(out.data());
    measure(value);
  }
  EXPECT_EQ(history(0), 1);
  EXPECT_EQ(history(1), 1);
  EXPECT_EQ(history(2), 2);
  layout.remember(out.data());
  EXPECT_EQ(history(0), 1);
  EXPECT_EQ(history(1), 2);
  EXPECT_EQ(history(2), 3);
  EXPECT_EQ(out.back(), -1) << "nothing behind it is touched";
}

TEST(StudentEnv, IsTheTeachersWithAnotherView) {
  EnvSettings settings;
  settings.episode_s = 0.5;
  settings.rewards = {{"velocity", 1.5}, {"leg_joints", 0.7}};
  Env teacher(g1(), settings, g1_pool(), 3, 1, 4);
  Env student(g1(), for_student(settings), g1_pool(), 3, 1, 4);
  ASSERT_EQ(student.num_outputs(), kOutputs);
  ASSERT_EQ(teacher.num_outputs(), kActions);
  EXPECT_EQ(&teacher.critic_observation(), &teacher.observation);
  int ended = 0;
  for (int step = 0; step < 60; ++step) {
    for (int i = 0; i < 3; ++i) {
      const std::vector<float> answer = answer_of(i, step);
      teacher.step(i, 0, answer.data());
      student.step(i, 0, answer.data());
      ASSERT_EQ(teacher.cause[i], student.cause[i]);
      ended += teacher.cause[i] != Cause::kNone;
    }
    ASSERT_EQ(student.critic_observation(), teacher.observation);
    ASSERT_EQ(student.reward, teacher.reward);
  }
  EXPECT_GT(ended, 3);
  EXPECT_EQ(student.final_critic_observation(), teacher.final_observation);
}

TEST(StudentEnv, ShowsWhatIsMeasuredNowAndWas) {
  const int history = 4;
  Env env(g1(), for_student(calm(), history), g1_pool(), 1, 1, 4);
  const int width = env.layout().width(), present = env.layout().present();
  env.reset_at(0, 0, 1, 30, plain_body());
  std::vector<std::vector<float>> measured;  // of the steps, the first at the reset
  for (int step = 0; step < 8; ++step) {
    const std::vector<float> row(env.observation.begin(), env.observation.begin() + width);
    measured.emplace_back(row.begin() + present - kMeasured, row.begin() + present);
    const double* qpos = env.state(0) + 1;
    const double* qvel = qpos + 36;
    for (int i = 0; i < 29; ++i) {
      EXPECT_NEAR(student_block(row, "joint_position")[i], qpos[7 + i] - g1()->q_default[i], 1e-5);
      EXPECT_NEAR(student_block(row, "joint_velocity")[i], 0.1 * qvel[6 + i], 1e-4);
      const double planned = env.reference(0).frame[i] - g1()->q_default[i];
      EXPECT_NEAR(student_block(row, "reference_joints")[i], planned, 1e-5);
    }
    for (int i = 0; i < 3; ++i) {
      EXPECT_NEAR(student_block(row, "gyro")[i], qvel[3 + i], 1e-5);
      EXPECT_EQ(student_block(row, "reference_gravity")[i], env.reference(0).frame[59 + i]);
    }
    EXPECT_EQ(student_block(row, "reference_height")[0], env.reference(0).frame[58]);
    for (int back = 1; back <= history; ++back) {
      const auto& past = measured[std::max(0, step - back)];
      const auto at = row.begin() + present + (history - back) * kMeasured;
      EXPECT_TRUE(std::equal(past.begin(), past.end(), at)) << step << ", " << back << " ago";
    }
    env.step(0, 0, answer_of(0, step).data());
  }
  // nothing of it is left in another episode
  env.reset_at(0, 0, 2, 10, plain_body());
  for (int frame = 0; frame < history; ++frame) {
    for (int i = 0; i < kMeasured; ++i)
      ASSERT_EQ(env.observation[present + frame * kMeasured + i],
                env.observation[present - kMeasured + i]);
  }
}

TEST(StudentEnv, BelievesWhatThePolicySays) {
  Env env(g1(), for_student(calm()), g1_pool(), 1, 1, 4);
  const int width = env.layout().width();
  const auto block = [&](const char* name) {
    return student_block({env.observation.begin(), env.observation.begin() + width}, name);
  };
  env.reset_at(0, 0, 1, 100, plain_body());
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(block("lin_vel_estimate")[i], env.reference(0).frame[62 + i]) << "as planned";
  std::vector<float> answer(kOutputs, 0.0f);
  double drift = 0, wanted = 0;
  for (int step = 0; step < 10; ++step) {
    answer[kActions] = 0.9f + 0.01f * step;
    answer[kActions + 1] = -0.4f;
    answer[kActions + 2] = 0.2f;
    env.step(0, 0, answer.data());
    for (int i = 0; i < 3; ++i) EXPECT_FLOAT_EQ(block("lin_vel_estimate")[i], answer[kActions + i]);
    wanted = env.reference(0).command[0];
    drift += 0.04 * (answer[kActions] - wanted - drift);  // 0.02 s of 0.5 s
    EXPECT_NEAR(block("drift_estimate")[0], drift, 1e-5);
  }
  EXPECT_GT(drift, 0.05);
}

TEST(StudentEnv, GivesWayToAPushThatThePolicyFeels) {
  static const Reflexes reflexes = [] {
    Workers workers(1);
    return make_reflexes(*g1(), GaitSettings(), workers);
  }();
  auto pool = std::make_shared<MotionPool>(*g1_pool());
  pool->set_reflexes(reflexes);
  Env env(g1(), for_student(calm()), pool, 2, 1, 4);
  std::vector<float> answer(kOutputs, 0.0f);
  for (const int i : {0, 1}) env.reset_at(i, 0, 0, 0, plain_body());  // both stand
  env.push(0, {0.8, 0});                                              // in truth
  env.step(0, 0, answer.data());
  EXPECT_GT(env.pose(0).lin_vel.x(), 0.4);
  EXPECT_TRUE(pool->stands(0, 1));
  EXPECT_NEAR(env.reference(0).frame[62], 0, 1e-3) << "it does not know";
  answer[kActions] = 0.8f;  // as the policy believes
  env.step(1, 0, answer.data());
  EXPECT_GT(env.reference(1).frame[62], 0.2) << "it steps forward";
}

TEST(StudentEnv, TranslatesActionsBetweenBases) {
  EnvSettings whole = calm(), bare = calm(), absolute = calm();
  bare.feed_forward = {1, 0};
  absolute.action_mode = "default_offset";
  for (EnvSettings& settings : {std::ref(bare), std::ref(absolute)}) {
    settings.action_clip = whole.action_clip = 100;
    Env there(g1(), whole, g1_pool(), 1, 1, 4), here(g1(), settings, g1_pool(), 1, 1, 4);
    there.reset_at(0, 0, 1, 60, plain_body());
    here.reset_at(0, 0, 1, 60, plain_body());
    for (int step = 0; step < 5; ++step) {
      const std::vector<float> action = answer_of(0, step, 0.1);
      std::vector<float> same(kActions);
      here.translate(0, whole, action.data(), same.data());
      double apart = 0;
      for (int i = 0; i < kActions; ++i) apart += std::abs(same[i] - action[i]);
      EXPECT_GT(apart, 0.1);
      there.step(0, 0, action.data());
      here.step(0, 0, same.data());
      // the targets of the joints that are acted on are the same
      for (const int joint : g1()->acted_joints)
        ASSERT_NEAR(here.data(0)->ctrl[joint], there.data(0)->ctrl[joint], 1e-6) << joint;
      std::copy_n(there.state(0), there.state_size(), here.state(0));
    }
  }
}

TEST(StudentEnv, ContinuesExactlyAfterSaveAndLoad) {
  EnvSettings settings;
  settings.episode_s = 0.3;
  settings.randomise.noise = 1;
  settings.randomise.delay = {0, 2};
  Env one(g1(), for_student(settings), g1_pool(), 4, 1, 4);
  one.set_difficulty(1);
  const auto go_on = [](Env& env, int from, int to) {
    for (int step = from; step < to; ++step) {
      for (int i = 0; i < 4; ++i) env.step(i, 0, answer_of(i, step).data());
    }
  };
  go_on(one, 0, 21);
  std::vector<double> records(std::size_t(4) * one.record_size());
  one.save(records.data());
  Env other(g1(), for_student(settings), g1_pool(), 4, 1, 4);
  other.set_difficulty(1);
  other.load(records.data());
  EXPECT_EQ(other.observation, one.observation);
  EXPECT_EQ(other.privileged, one.privileged);
  go_on(one, 21, 50);
  go_on(other, 21, 50);
  EXPECT_EQ(other.observation, one.observation);
  EXPECT_EQ(other.privileged, one.privileged);
}

TEST(StudentEnv, SensorsAreNoisyAndTheCriticIsNot) {
  EnvSettings settings = for_student(calm(), 2);
  settings.randomise.noise = 1;
  Env noisy(g1(), settings, g1_pool(), 1, 1, 4),
      plain(g1(), for_student(calm(), 2), g1_pool(), 1, 1, 4);
  for (Env* env : {&noisy, &plain}) {
    env->set_difficulty(1);
    env->reset_at(0, 0, 1, 60, plain_body());
  }
  EXPECT_EQ(noisy.privileged, plain.privileged);
  const int present = noisy.layout().present();
  int differ = 0;
  for (int i = present - kMeasured; i < present - kActions; ++i)
    differ += noisy.observation[i] != plain.observation[i];
  EXPECT_EQ(differ, kMeasured - kActions);
  for (int i = 0; i < present - kMeasured; ++i)
    EXPECT_EQ(noisy.observation[i], plain.observation[i]) << "what is planned or believed: " << i;
}

TEST(Env, ADelayOfStepsIsThatManyActionsLate) {
  Env late(g1(), calm(), g1_pool(), 1, 1, 4), plain(g1(), calm(), g1_pool(), 1, 1, 4);
  Randomisation body = plain_body();
  body.delay = 2;
  late.reset_at(0, 0, 1, 60, body);
  plain.reset_at(0, 0, 1, 60, plain_body());
  for (int step = 0; step < 10; ++step) {
    late.step(0, 0, answer_of(0, step).data());
    plain.step(0, 0, (step < 2 ? no_action() : answer_of(0, step - 2)).data());
    ASSERT_EQ(states_of(late), states_of(plain)) << step;
  }
  // one and a half: half of the action before, half of the one before that
  body.delay = 1.5;
  late.reset_at(0, 0, 1, 60, body);
  plain.reset_at(0, 0, 1, 60, plain_body());
  for (int step = 0; step < 3; ++step) late.step(0, 0, answer_of(0, step).data());
  const auto one = answer_of(0, 0), two = answer_of(0, 1);
  const int joint = g1()->acted_joints[4];
  plain.step(0, 0, no_action().data());
  const double target = late.data(0)->ctrl[joint];
  std::vector<float> mean(kActions);
  late.reset_at(0, 0, 1, 62, plain_body());
  for (int i = 0; i < kActions; ++i) mean[i] = 0.5f * (one[i] + two[i]);
  late.step(0, 0, mean.data());
  EXPECT_NEAR(late.data(0)->ctrl[joint], target, 1e-6);
}

}  // namespace
}  // namespace twist
