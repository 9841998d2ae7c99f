#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "base/error.h"
#include "motion/measure.h"
#include "walk_exam.h"

namespace twist {
namespace {

// `WalkExam` is the judge of the judge: MuJoCo and sums over rows, nothing of motion/measure.cpp.

const FrameLayout kLayout{29};
constexpr int kFrames = 620, kSettle = 120;
const std::vector<Command> kCommands = {{0.6, 0, 0}, {0.3, 0.2, 0.5}, {0, 0, -0.7}, {}};

// healthy motion to plant faults in; copies share rows, so it is made anew from kept numbers
Trajectories healthy() {
  static const Trajectories made = g1_motion(stand_then(kCommands, 20, kFrames));
  Trajectories copy(made.streams, made.frames, made.joints);
  for (int stream = 0; stream < made.streams; ++stream) {
    std::copy_n(made.row(stream, 0), kFrames * made.width(), copy.row(stream, 0));
    std::copy_n(made.target(stream, 0), kFrames * 3, copy.target(stream, 0));
  }
  return copy;
}

std::vector<MotionReport> measure(const Trajectories& motion, int settle = kSettle) {
  Workers workers(1);
  return measure_motion(*g1(), motion, settle, workers);
}

// the motion with something done to some rows of its first stream
Trajectories with(int begin, int end, const std::function<void(float* row, int frame)>& fault) {
  Trajectories motion = healthy();
  for (int frame = begin; frame < end; ++frame) fault(motion.row(0, frame), frame);
  return motion;
}

double mean_of(const Trajectories& motion, int stream, int feature, int begin, int end) {
  double sum = 0;
  for (int frame = begin; frame < end; ++frame) sum += motion.row(stream, frame)[feature];
  return sum / (end - begin);
}

// frames beyond each limit as MuJoCo sees them
struct Counts {
  int force = 0, pressure = 0, yaw = 0, any = 0;
};
Counts count_impossible(const Trajectories& motion, double least_pressure) {
  WalkExam exam(motion, 0);
  const GroundLimits limits;
  Counts counts;
  for (int frame = kSettle; frame + 1 < exam.frames(); ++frame) {
    const WalkExam::Ground ground = exam.ground(frame);
    const double most = ground.both ? limits.yaw_moment_both : limits.yaw_moment;
    const bool force = ground.force_ratio > limits.force_ratio;
    const bool pressure = ground.outside > least_pressure, yaw = ground.yaw_moment > most;
    counts.force += force;
    counts.pressure += pressure;
    counts.yaw += yaw;
    counts.any += force || pressure || yaw;
  }
  return counts;
}

TEST(MeasureMotion, HealthyMotionHasNoFaults) {
  const Trajectories motion = healthy();
  const auto reports = measure(motion);
  ASSERT_EQ(reports.size(), kCommands.size());
  for (std::size_t i = 0; i < reports.size(); ++i) {
    SCOPED_TRACE(i);
    const MotionReport& r = reports[i];
    const int stream = static_cast<int>(i);
    EXPECT_NEAR(r.command.vx, kCommands[i].vx, 1e-6);
    EXPECT_NEAR(r.command.vy, kCommands[i].vy, 1e-6);
    EXPECT_NEAR(r.command.wz, kCommands[i].wz, 1e-6);
    EXPECT_NEAR(r.vx, mean_of(motion, stream, kLayout.lin_vel(), kSettle, kFrames), 1e-9);
    EXPECT_NEAR(r.vy, mean_of(motion, stream, kLayout.lin_vel() + 1, kSettle, kFrames), 1e-9);
    EXPECT_NEAR(r.wz, mean_of(motion, stream, kLayout.ang_vel() + 2, kSettle, kFrames), 1e-9);
    EXPECT_NEAR(r.vx, kCommands[i].vx, 0.02);
    EXPECT_EQ(r.frames, kFrames - kSettle);
    EXPECT_LT(r.slip_max, 0.01);
    EXPECT_LT(r.drift, 0.02);
    EXPECT_LT(r.drift_height, 0.002);
    EXPECT_EQ(r.limit_violations + r.nonfinite + r.impossible, 0);
    const WalkExam exam(motion, stream);
    EXPECT_NEAR(r.largest_step, exam.jump().joint, 1e-6);
  }
  // 10 s of steps of 0.4 s, of both feet; none while standing
  EXPECT_NEAR(reports[0].steps, 25, 2);
  EXPECT_EQ(reports[3].steps, 0);
  EXPECT_EQ(reports[3].motion, 0);
  EXPECT_GT(reports[0].motion, 1);
}

TEST(MeasureMotion, SeesFeetThatSlip) {
  const Trajectories motion = with(0, kFrames, [](float* row, int) {
    row[kLayout.lin_vel()] += 0.15f;  // the root is faster than the legs walk
  });
  const MotionReport slips = measure(motion)[0], healthy_one = measure(healthy())[0];
  const WalkExam exam(motion, 0);
  EXPECT_GT(slips.slip_max, 0.03);
  EXPECT_NEAR(slips.slip_max, exam.slip(), 0.01);
  EXPECT_NEAR(slips.slip_mean, 0.15 * 0.4 * 0.94, 0.012) << "speed times the time of support";
  EXPECT_EQ(slips.steps, healthy_one.steps);
  EXPECT_NEAR(slips.vx - healthy_one.vx, 0.15, 1e-6);
}

TEST(MeasureMotion, CountsAnglesBeyondTheLimits) {
  const int knee = g1()->leg_joints[0][3], waist = g1()->joint_index("waist_yaw_joint");
  const Trajectories motion = with(50, 53, [&](float* row, int) {
    row[knee] = static_cast<float>(g1()->upper[knee] + 0.01);
    row[waist] = static_cast<float>(g1()->lower[waist] - 0.01);
  });
  const MotionReport report = measure(motion)[0];
  EXPECT_EQ(report.limit_violations, 6) << "also before `settle`";
  EXPECT_NEAR(report.largest_step, WalkExam(motion, 0).jump().joint, 1e-6);
  EXPECT_GT(report.largest_step, 1);
  const Trajectories at_limit =
      with(50, 53, [&](float* row, int) { row[knee] = static_cast<float>(g1()->upper[knee]); });
  EXPECT_EQ(measure(at_limit)[0].limit_violations, 0);
}

TEST(MeasureMotion, CountsFramesThatAreNotFinite) {
  const Trajectories motion = with(200, 202, [](float* row, int frame) {
    row[3] = std::numeric_limits<float>::quiet_NaN();
    if (frame == 201) row[kLayout.lin_vel()] = std::numeric_limits<float>::infinity();
  });
  const auto reports = measure(motion);
  EXPECT_EQ(reports[0].nonfinite, 2);
  EXPECT_EQ(reports[0].steps, 0) << "what is not finite has no forces";
  EXPECT_EQ(reports[1].nonfinite, 0);
  EXPECT_EQ(reports[1].impossible, 0) << "the other streams are judged as ever";
}

TEST(MeasureMotion, SeesDrift) {
  const int half = (kSettle + kFrames) / 2;
  const Trajectories motion = with(half, kFrames, [](float* row, int) {
    row[kLayout.lin_vel()] += 0.06f;
    row[kLayout.lin_vel() + 1] += 0.08f;
    row[kLayout.height()] -= 0.03f;
    for (const auto& leg : g1()->leg_joints) row[leg[3]] *= 1.5f;
  });
  const MotionReport drifts = measure(motion)[0], before = measure(healthy())[0];
  EXPECT_NEAR(drifts.drift, 0.1, 0.02);
  EXPECT_NEAR(drifts.drift_height, 0.03, 0.003);
  double range = 0;  // of the knees in the first half
  for (const auto& leg : g1()->leg_joints) {
    float least = 9, most = -9;
    for (int frame = kSettle; frame < half; ++frame) {
      least = std::min(least, motion.row(0, frame)[leg[3]]);
      most = std::max(most, motion.row(0, frame)[leg[3]]);
    }
    range += 0.5 * (most - least);
  }
  EXPECT_NEAR(drifts.drift_knee, 0.5 * range, 0.1 * range);
  EXPECT_LT(before.drift_knee, 0.05 * range);
}

TEST(MeasureMotion, CountsFramesThatTheGroundCannotGive) {
  const auto sway = [](double amplitude, int feature) {
    return with(0, kFrames, [=](float* row, int frame) {
      row[feature] += static_cast<float>(amplitude * std::sin(2 * M_PI * 1.5 * 0.02 * frame));
    });
  };
  const GroundLimits limits;
  struct Case {
    Trajectories motion;
    int Counts::*most;  // what the fault must show in
  };
  for (const auto& [motion, most] : {Case{sway(0.9, kLayout.lin_vel()), &Counts::force},
                                     Case{sway(0.25, kLayout.lin_vel() + 1), &Counts::pressure},
                                     Case{sway(6, kLayout.ang_vel() + 2), &Counts::yaw}}) {
    const MotionReport report = measure(motion)[0];
    const Counts counts = count_impossible(motion, limits.pressure_outside);
    EXPECT_GT(counts.*most, 30);
    EXPECT_NEAR(report.force, counts.force, 2);
    EXPECT_NEAR(report.yaw, counts.yaw, 6);
    // the exam's soles are points, those of the report are boxes
    EXPECT_LE(report.pressure, count_impossible(motion, limits.pressure_outside - 0.01).pressure);
    EXPECT_GE(report.pressure, count_impossible(motion, limits.pressure_outside + 0.01).pressure);
    EXPECT_LE(report.impossible, report.force + report.pressure + report.yaw);
    EXPECT_GE(report.impossible, std::max({report.force, report.pressure, report.yaw}));
  }
}

TEST(MeasureMotion, DoesNotDependOnTheWorkers) {
  const Trajectories motion = healthy();
  Workers one(1), three(3);
  const auto a = measure_motion(*g1(), motion, kSettle, one),
             b = measure_motion(*g1(), motion, kSettle, three);
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].slip_mean, b[i].slip_mean);
    EXPECT_EQ(a[i].vx, b[i].vx);
  }
}

TEST(MeasureMotion, RefusesNonsense) {
  const Trajectories motion = healthy();
  EXPECT_NO_THROW(measure(motion, kFrames - 200));
  EXPECT_NE(error_of([&] { measure(motion, kFrames - 199); }).find("at least 200"),
            std::string::npos);
  EXPECT_THROW(measure(motion, -1), UserError);
  EXPECT_THROW(measure(Trajectories(1, 300, 4)), UserError);
  Trajectories short_one = healthy();
  short_one.lengths[2] = kSettle + 100;
  EXPECT_NE(error_of([&] { measure(short_one); }).find("stream 2"), std::string::npos);
}

}  // namespace
}  // namespace twist
