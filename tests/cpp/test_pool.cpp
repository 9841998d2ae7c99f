#include <gtest/gtest.h>

#include "base/error.h"
#include "motion/pool.h"
#include "walk_exam.h"

namespace twist {
namespace {

const Trajectories& walks() {
  static const Trajectories motion =
      g1_motion(stand_then({{}, {0.6, 0, 0}, {0.2, 0.25, -0.5}}, 30, 200));
  return motion;
}

MotionPool pool_of(const Trajectories& motion) {
  Workers workers(2);
  return MotionPool(*g1(), motion, workers);
}

TEST(MotionPool, ReadsWhatWasGiven) {
  Trajectories motion = walks();
  motion.lengths[1] = 120;
  const MotionPool pool = pool_of(motion);
  EXPECT_EQ(pool.streams(), 3);
  EXPECT_EQ(pool.length(0), 200);
  EXPECT_EQ(pool.length(1), 120);
  EXPECT_EQ(pool.layout().joints, 29);
  for (int stream = 0; stream < 3; ++stream) {
    for (int frame = 0; frame < pool.length(stream); ++frame) {
      const ReferenceView view = pool.at(stream, frame);
      const float *row = motion.row(stream, frame), *command = motion.command(stream, frame);
      ASSERT_TRUE(std::equal(row, row + motion.width(), view.frame));
      ASSERT_TRUE(std::equal(command, command + 3, view.command));
    }
  }
}

TEST(MotionPool, FeetAreThoseOfMujoco) {
  const MotionPool pool = pool_of(walks());
  const ModelPtr model = g1_plain_model();
  const DataPtr data(mj_makeData(model.get()));
  for (int stream = 0; stream < 3; ++stream) {
    for (int frame = 0; frame < 200; frame += 3) {
      const float* row = walks().row(stream, frame);
      mj_resetData(model.get(), data.get());
      data->qpos[2] = row[58];
      std::copy_n(row, 29, data->qpos + 7);  // this gait keeps the pelvis upright
      mj_kinematics(model.get(), data.get());
      for (int side = 0; side < 2; ++side) {
        const char* name = side == 0 ? "left_ankle_roll_link" : "right_ankle_roll_link";
        const double* foot = data->xpos + 3 * mj_name2id(model.get(), mjOBJ_BODY, name);
        for (int i = 0; i < 3; ++i)
          ASSERT_NEAR(pool.at(stream, frame).feet[3 * side + i], foot[i], 1e-5);
      }
    }
  }
}

TEST(MotionPool, KeyBodiesAreThoseOfMujoco) {
  // the pelvis leans forward
  const double pitch = 0.2;
  Trajectories motion = g1_motion(stand_then({{0.2, 0.25, -0.5}}, 30, 200));
  for (int frame = 0; frame < 200; ++frame) {
    float* gravity = motion.row(0, frame) + FrameLayout{29}.gravity();
    gravity[0] = static_cast<float>(std::sin(pitch));
    gravity[2] = static_cast<float>(-std::cos(pitch));
  }
  const MotionPool pool = pool_of(motion);
  const ModelPtr model = g1_plain_model();
  const DataPtr data(mj_makeData(model.get()));
  const std::vector<std::string>& names = g1()->settings().key_bodies;
  ASSERT_EQ(names.size(), 9u);
  for (int frame = 0; frame < 200; frame += 3) {
    mj_resetData(model.get(), data.get());
    std::fill_n(data->qpos, 3, 0.0);
    data->qpos[3] = std::cos(0.5 * pitch);
    data->qpos[5] = std::sin(0.5 * pitch);
    std::copy_n(motion.row(0, frame), 29, data->qpos + 7);
    mj_kinematics(model.get(), data.get());
    for (std::size_t body = 0; body < names.size(); ++body) {
      const double* place =
          data->xpos + 3 * mj_name2id(model.get(), mjOBJ_BODY, names[body].c_str());
      for (int i = 0; i < 3; ++i)
        ASSERT_NEAR(pool.at(0, frame).key_bodies[3 * body + i], place[i], 1e-5) << names[body];
    }
  }
}

TEST(MotionPool, TorquesOfJointsThatCarryNothingAreInverseDynamics) {
  const MotionPool pool = pool_of(walks());
  for (int stream = 0; stream < 3; ++stream) {
    WalkExam exam(walks(), stream);
    for (int frame = 1; frame + 1 < 200; ++frame) {
      exam.ground(frame);
      for (int joint = 0; joint < 29; ++joint) {
        const int side = joint < 6 ? 0 : 1;
        if (joint < 12 && exam.share(frame, side) > 0) continue;
        const double effort = g1()->effort[joint];
        const double expected = std::clamp(exam.joint_torques()[joint], -effort, effort);
        ASSERT_NEAR(pool.at(stream, frame).torque[joint], expected, 0.02)
            << "stream " << stream << " frame " << frame << " " << g1()->joint_names[joint];
      }
    }
  }
}

TEST(MotionPool, TorquesOfAFootThatCarriesAllBalanceTheWholeBody) {
  const MotionPool pool = pool_of(walks());
  int alone = 0, checked = 0;
  for (int stream = 0; stream < 3; ++stream) {
    WalkExam exam(walks(), stream);
    for (int frame = 1; frame + 1 < 200; ++frame) {
      for (int side = 0; side < 2; ++side) {
        if (exam.share(frame, side) < 1) continue;
        ++alone;
        Vec3 moment;
        const std::vector<double> torques = exam.torques_on_one_foot(frame, side, &moment);

        // the pool gives no more moment than a sole can: skip the frames that need it all
        const double load = exam.ground(frame).vertical;
        if (std::abs(moment.x()) > 0.019 * load || std::abs(moment.z()) > 0.039 * load) continue;
        if (moment.y() < -0.099 * load || moment.y() > 0.039 * load) continue;
        ++checked;
        for (const int joint : g1()->leg_joints[side]) {
          const double effort = g1()->effort[joint];
          ASSERT_NEAR(pool.at(stream, frame).torque[joint],
                      std::clamp(torques[joint], -effort, effort), 0.05)
              << "stream " << stream << " frame " << frame << " " << g1()->joint_names[joint];
        }
      }
    }
  }
  EXPECT_GT(alone, 200);
  EXPECT_GT(checked, alone / 2);
}

TEST(MotionPool, KnowsWhenTheReferenceStands) {
  // 30 frames of standing, the third stream then walks and turns; from frame 120 on all stop
  CommandPlan plan = stand_then({{}, {0.6, 0, 0}, {0.2, 0.25, -0.5}}, 30, 320);
  for (int stream = 0; stream < 3; ++stream) {
    std::fill_n(plan.targets.begin() + std::size_t(stream) * 320 + 120, 200, Command());
  }
  const Trajectories motion = g1_motion(plan);
  const MotionPool pool = pool_of(motion);
  const FrameLayout layout{29};
  int standing = 0;
  for (int stream = 0; stream < 3; ++stream) {
    for (int frame = 0; frame < 320; ++frame) {
      const float *row = motion.row(stream, frame), *command = motion.command(stream, frame);
      const float* v = row + layout.lin_vel();
      const bool still = std::hypot(v[0], v[1], v[2]) < 1e-3f;
      const bool moving = std::hypot(v[0], v[1], v[2]) > 2e-3f;
      const bool both = row[layout.contact()] > 0 && row[layout.contact() + 1] > 0;
      const bool zero = command[0] == 0 && command[1] == 0 && command[2] == 0;
      if (still && both && zero) {
        ASSERT_TRUE(pool.stands(stream, frame)) << stream << " " << frame;
      }
      if (moving || !both || !zero) {
        ASSERT_FALSE(pool.stands(stream, frame)) << stream << " " << frame;
      }
      standing += pool.stands(stream, frame);
    }
    EXPECT_TRUE(pool.stands(stream, 10));
    EXPECT_TRUE(pool.stands(stream, 319));
    EXPECT_EQ(pool.stands(stream, 100), stream == 0);
  }
  EXPECT_GT(standing, 320 + 2 * 60);
}

TEST(MotionPool, AMomentInTheAirOrAtZeroCommandWhileMovingIsNotStanding) {
  Trajectories motion(1, 4, 29);
  const FrameLayout layout{29};
  for (int frame = 0; frame < 4; ++frame) {
    float* row = motion.row(0, frame);
    std::copy_n(walks().row(0, 0), motion.width(), row);
    std::fill_n(motion.command(0, frame), 3, 0.0f);
  }
  motion.row(0, 1)[layout.contact()] = 0;
  motion.row(0, 2)[layout.lin_vel() + 1] = -0.01f;
  motion.command(0, 3)[2] = 0.1f;
  const MotionPool pool = pool_of(motion);
  EXPECT_TRUE(pool.stands(0, 0));
  for (int frame = 1; frame < 4; ++frame) EXPECT_FALSE(pool.stands(0, frame)) << frame;
}

TEST(MotionPool, ReflexesAreStreamsBehindTheOthers) {
  MotionPool pool = pool_of(walks());
  Trajectories motion = g1_motion(stand_then({{0.3, 0, 0}, {0, 0.2, 0}}, 5, 90));
  motion.lengths[1] = 70;
  Reflexes reflexes;
  reflexes.entries = {{{0.3, 0}, 0}, {{0, 0.2}, 1}};
  reflexes.pool = std::make_shared<const MotionPool>(pool_of(motion));
  EXPECT_TRUE(pool.reflexes().empty());
  pool.set_reflexes(reflexes);
  ASSERT_EQ(pool.reflexes().size(), 2u);
  EXPECT_EQ(pool.reflexes()[1].foot, 1);
  EXPECT_EQ(pool.streams(), 3) << "reflexes are not drawn";
  EXPECT_EQ(pool.weights().size(), 3u);
  EXPECT_EQ(pool.length(3), 90);
  EXPECT_EQ(pool.length(4), 70);
  for (int frame = 0; frame < 70; ++frame) {
    const ReferenceView view = pool.at(4, frame), own = reflexes.pool->at(1, frame);
    EXPECT_EQ(view.frame, own.frame);
    EXPECT_EQ(view.torque, own.torque);
    EXPECT_TRUE(std::equal(view.frame, view.frame + motion.width(), motion.row(1, frame)));
  }
  for (const int frame : {-1, 0, 69, 70, 89, 199, 200}) {
    EXPECT_EQ(pool.knows(0, frame), frame >= 0 && frame < 200) << frame;
    EXPECT_EQ(pool.knows(3, frame), frame >= 0 && frame < 90) << frame;
    EXPECT_EQ(pool.knows(4, frame), frame >= 0 && frame < 70) << frame;
  }
  EXPECT_FALSE(pool.live());
}

// How far the pelvis moves in half a second when plain MuJoCo follows a standing reference with
// these targets.
double drift(const MotionPool& pool, double torque_factor) {
  SimSettings sim;
  sim.timestep = 0.002;
  sim.decimation = 10;
  const ModelPtr model = g1()->make_model(sim);
  const DataPtr data(mj_makeData(model.get()));
  const ReferenceView reference = pool.at(0, 10);
  data->qpos[2] = reference.frame[58];
  std::copy_n(reference.frame, 29, data->qpos + 7);
  const Vec3 start = Eigen::Map<const Vec3>(data->qpos);
  double worst = 0;
  for (int step = 0; step < 250; ++step) {
    for (int joint = 0; joint < 29; ++joint) {
      data->ctrl[joint] =
          reference.frame[joint] + torque_factor * reference.torque[joint] / g1()->kp[joint];
    }
    mj_step(model.get(), data.get());
    worst = std::max(worst, (Eigen::Map<const Vec3>(data->qpos) - start).norm());
  }
  return worst;
}

TEST(MotionPool, FeedForwardHoldsTheStandingRobot) {
  const MotionPool pool = pool_of(walks());
  EXPECT_LT(drift(pool, 1), 0.03);
  EXPECT_GT(drift(pool, 0), 0.06) << "without torques the robot should sag";
}

TEST(MotionPool, RefusesAnotherNumberOfJoints) {
  const std::string error = error_of([] { pool_of(Trajectories(1, 10, 23)); });
  EXPECT_NE(error.find("23 joints"), std::string::npos) << error;
  EXPECT_NE(error.find("29"), std::string::npos) << error;
}

TEST(MotionPool, NamesTheFrameThatIsNotFinite) {
  for (const float bad : {NAN, INFINITY}) {
    Trajectories motion = walks();
    motion.row(2, 77)[4] = bad;
    const std::string error = error_of([&] { pool_of(motion); });
    EXPECT_NE(error.find("motion 2"), std::string::npos) << error;
    EXPECT_NE(error.find("frame 77"), std::string::npos) << error;
    EXPECT_NE(error.find("feature 4"), std::string::npos) << error;
  }
}

TEST(MotionPool, IgnoresWhatLiesBehindTheLengthOfAStream) {
  Trajectories motion = walks();
  motion.lengths[2] = 77;
  motion.row(2, 77)[4] = NAN;
  EXPECT_EQ(error_of([&] { pool_of(motion); }), "");
}

TEST(MotionPool, RefusesNothingAndTooLittle) {
  EXPECT_THROW(pool_of(Trajectories(0, 10, 29)), UserError);
  Trajectories motion = walks();
  motion.lengths[1] = 2;
  const std::string error = error_of([&] { pool_of(motion); });
  EXPECT_NE(error.find("motion 1 has 2 frames"), std::string::npos) << error;
}

}  // namespace
}  // namespace twist
