#include "motion/measure.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "base/error.h"
#include "motion/dynamics.h"
#include "motion/kinematics.h"

namespace twist {
namespace {

constexpr double kLimitTolerance = 1e-5;  // rad; limits are stored as float
constexpr float kCarries = 0.99f;         // share of the load of a foot that is planted

struct Window {
  int begin, end;  // frames
};

// Mean over the knees of the range of the angle.
double knee_range(const Robot& robot, const Trajectories& motion, int stream, Window window) {
  double sum = 0;
  for (const auto& leg : robot.leg_joints) {
    const int knee = leg[3];
    float least = motion.row(stream, window.begin)[knee], most = least;
    for (int frame = window.begin; frame < window.end; ++frame) {
      least = std::min(least, motion.row(stream, frame)[knee]);
      most = std::max(most, motion.row(stream, frame)[knee]);
    }
    sum += most - least;
  }
  return sum / 2;
}

double mean_of(const Trajectories& motion, int stream, int feature, Window window) {
  double sum = 0;
  for (int frame = window.begin; frame < window.end; ++frame) {
    sum += motion.row(stream, frame)[feature];
  }
  return sum / (window.end - window.begin);
}

// Counts what must never happen.
void count_faults(const Robot& robot, const Trajectories& motion, int stream,
                  MotionReport* report) {
  for (int frame = 0; frame < motion.lengths[stream]; ++frame) {
    const float* row = motion.row(stream, frame);
    report->nonfinite +=
        !std::all_of(row, row + motion.width(), [](float x) { return std::isfinite(x); });
    for (int joint = 0; joint < motion.joints; ++joint) {
      report->limit_violations += row[joint] < robot.lower[joint] - kLimitTolerance ||
                                  row[joint] > robot.upper[joint] + kLimitTolerance;
      if (frame == 0) continue;
      const double step = std::abs(row[joint] - motion.row(stream, frame - 1)[joint]);
      report->largest_step = std::max(report->largest_step, step);
    }
  }
}

void follow_command(const Robot& robot, const Trajectories& motion, int stream, int settle,
                    MotionReport* report) {
  const FrameLayout layout{motion.joints};
  const int length = motion.lengths[stream];
  const int part = std::min(static_cast<int>(10 / kControlStep), (length - settle) / 2);
  const Window all{settle, length}, early{settle, settle + part}, late{length - part, length};
  const float* target = motion.target(stream, length - 1);
  report->command = {target[0], target[1], target[2]};
  report->frames = length - settle;
  report->vx = mean_of(motion, stream, layout.lin_vel(), all);
  report->vy = mean_of(motion, stream, layout.lin_vel() + 1, all);
  report->wz = mean_of(motion, stream, layout.ang_vel() + 2, all);
  const auto change = [&](int feature) {
    return mean_of(motion, stream, feature, late) - mean_of(motion, stream, feature, early);
  };
  report->drift = std::hypot(change(layout.lin_vel()), change(layout.lin_vel() + 1));
  report->drift_height = std::abs(change(layout.height()));
  report->drift_knee =
      std::abs(knee_range(robot, motion, stream, late) - knee_range(robot, motion, stream, early));
  for (int frame = late.begin; frame < late.end; ++frame) {
    const float* qd = motion.row(stream, frame) + layout.qd();
    for (int joint = 0; joint < layout.joints; ++joint)
      report->motion = std::max(report->motion, double(std::abs(qd[joint])));
  }
}

// Feet, frame by frame: where they are while they carry, and what the ground must give.
class GroundJudge {
 public:
  GroundJudge(const Trajectories& motion, int stream, MotionReport* report)
      : layout_{motion.joints},
        path_(integrate_path(motion, stream)),
        motion_(motion),
        stream_(stream),
        report_(report) {}

  void judge(ReferenceDynamics& dynamics, int frame) {
    const int last = motion_.lengths[stream_] - 1;
    dynamics.evaluate(motion_.row(stream_, std::max(0, frame - 1)), motion_.row(stream_, frame),
                      motion_.row(stream_, std::min(last, frame + 1)));
    follow_feet(dynamics, frame);

    const GroundDemand& demand = dynamics.demand;
    const GroundLimits limits;
    const double most = demand.double_support ? limits.yaw_moment_both : limits.yaw_moment;
    const bool force = demand.force_ratio > limits.force_ratio;
    const bool pressure = demand.pressure_outside > limits.pressure_outside;
    const bool yaw = std::abs(demand.yaw_moment) > most;
    report_->force += force;
    report_->pressure += pressure;
    report_->yaw += yaw;
    report_->impossible += force || pressure || yaw;
  }

  void finish() {
    for (int side = 0; side < 2; ++side) lift(side);
    if (report_->steps > 0) report_->slip_mean /= report_->steps;
  }

 private:
  void follow_feet(const ReferenceDynamics& dynamics, int frame) {
    for (int side = 0; side < 2; ++side) {
      if (motion_.row(stream_, frame)[layout_.contact() + side] < kCarries) {
        lift(side);
        continue;
      }
      const Vec2 place = path_.xy[frame] + rot_2d(path_.yaw[frame]) * dynamics.feet[side].head<2>();
      if (slip_[side] < 0) slip_[side] = 0, planted_[side] = place;
      slip_[side] = std::max(slip_[side], (place - planted_[side]).norm());
    }
  }

  // the foot has left the floor: its step is over
  void lift(int side) {
    if (slip_[side] < 0) return;
    report_->slip_max = std::max(report_->slip_max, slip_[side]);
    report_->slip_mean += slip_[side];
    ++report_->steps;
    slip_[side] = -1;
  }

  FrameLayout layout_;
  Path path_;
  const Trajectories& motion_;
  int stream_;
  MotionReport* report_;
  double slip_[2] = {-1, -1};  // so far in this step; -1 in the air
  Vec2 planted_[2];
};

}  // namespace

std::vector<MotionReport> measure_motion(const Robot& robot, const Trajectories& motion, int settle,
                                         Workers& workers) {
  if (motion.joints != robot.num_joints()) {
    fail("the motion has ", motion.joints, " joints, the robot ", robot.num_joints());
  }
  const int least = static_cast<int>(4 / kControlStep);
  for (int stream = 0; stream < motion.streams; ++stream) {
    if (settle < 0 || motion.lengths[stream] - settle < least) {
      fail("stream ", stream, " has ", motion.lengths[stream], " frames; after settling for ",
           settle, " at least ", least, " must remain");
    }
  }
  std::vector<std::unique_ptr<ReferenceDynamics>> dynamics(workers.count());
  for (auto& d : dynamics) d = std::make_unique<ReferenceDynamics>(robot);

  std::vector<MotionReport> reports(motion.streams);
  workers.run(motion.streams, [&](int stream, int worker) {
    MotionReport& report = reports[stream];
    count_faults(robot, motion, stream, &report);
    follow_command(robot, motion, stream, settle, &report);
    if (report.nonfinite > 0) return;
    GroundJudge ground(motion, stream, &report);
    for (int frame = settle; frame + 1 < motion.lengths[stream]; ++frame) {
      ground.judge(*dynamics[worker], frame);
    }
    ground.finish();
  });
  return reports;
}

}  // namespace twist
