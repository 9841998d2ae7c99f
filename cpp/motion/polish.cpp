#include "motion/polish.h"

#include <cmath>
#include <memory>

#include "base/rotation.h"
#include "motion/dynamics.h"
#include "motion/kinematics.h"
#include "motion/leg.h"

namespace twist {
namespace {

constexpr double kInside =
    0.01;  // the corrected centre of pressure stays this far inside the soles, m
constexpr double kLargestStep = 0.15;  // of a correction in one round, m: hopeless frames stay so

// two-sided exponential smoothing with unit gain, in place
void smooth(std::vector<Vec2>& signal, double omega) {
  const double decay = std::exp(-omega * kControlStep);
  std::vector<Vec2> forward = signal, backward = signal;
  const int n = static_cast<int>(signal.size());
  for (int i = 1; i < n; ++i) forward[i] += decay * forward[i - 1];
  for (int i = n - 2; i >= 0; --i) backward[i] += decay * backward[i + 1];
  const double gain = (1.0 - decay) / (1.0 + decay);
  for (int i = 0; i < n; ++i) signal[i] = gain * (forward[i] + backward[i] - signal[i]);
}

// moves a point towards `centre` by kInside
Vec2 inside(const Vec2& nearest, const Vec2& pressure) {
  const Vec2 outwards = pressure - nearest;
  const double distance = outwards.norm();
  return distance > 1e-9 ? Vec2(nearest - outwards / distance * kInside) : nearest;
}

// the pelvis shift of every frame, world axes
std::vector<Vec2> wanted_shift(const FrameLayout& layout, const Trajectories& motion, int stream,
                               const Path& path, ReferenceDynamics& dynamics) {
  const int length = motion.lengths[stream];
  std::vector<Vec2> shift(length, Vec2::Zero());
  for (int frame = 0; frame < length; ++frame) {
    dynamics.evaluate(motion.row(stream, std::max(0, frame - 1)), motion.row(stream, frame),
                      motion.row(stream, std::min(length - 1, frame + 1)));
    const GroundDemand& demand = dynamics.demand;
    if (demand.pressure_outside > 0) {
      Vec2 step = inside(demand.nearest, demand.pressure) - demand.pressure;
      if (!step.allFinite()) continue;
      step *= kLargestStep / std::max(step.norm(), kLargestStep);
      shift[frame] = rot_2d(path.yaw[frame]) * step;
    }
  }
  smooth(shift, std::sqrt(9.81 / motion.row(stream, 0)[layout.height()]));
  return shift;
}

// moves the pelvis over the standing feet
void move_pelvis(const FrameLayout& layout, const Leg* legs, const Vec2& shift_heading,
                 float* row) {
  const Eigen::Quaterniond tilt = tilt_from_gravity(
      Vec3(row[layout.gravity()], row[layout.gravity() + 1], row[layout.gravity() + 2]));
  const Vec3 shift = tilt.conjugate() * Vec3(shift_heading.x(), shift_heading.y(), 0);
  for (int side = 0; side < 2; ++side) {
    Leg::Angles angles;
    for (int i = 0; i < 6; ++i) angles[i] = row[layout.q() + legs[side].joints()[i]];
    Vec3 position;
    Mat3 rotation;
    legs[side].forward(angles, &position, &rotation);
    legs[side].inverse(position - shift, rotation, &angles);
    legs[side].clamp(&angles);
    for (int i = 0; i < 6; ++i)
      row[layout.q() + legs[side].joints()[i]] = static_cast<float>(angles[i]);
  }
}

// central differences of the new positions
void renew_velocities(const FrameLayout& layout, Trajectories& motion, int stream,
                      const Path& path) {
  const int length = motion.lengths[stream];
  for (int frame = 0; frame < length; ++frame) {
    const int before = std::max(0, frame - 1), after = std::min(length - 1, frame + 1);
    const double rate = 1.0 / ((after - before) * kControlStep);
    float* row = motion.row(stream, frame);
    const float *a = motion.row(stream, before), *b = motion.row(stream, after);
    for (int joint = 0; joint < layout.joints; ++joint) {
      row[layout.qd() + joint] = static_cast<float>((double(b[joint]) - a[joint]) * rate);
    }
    const Vec2 velocity = rot_2d(-path.yaw[frame]) * (path.xy[after] - path.xy[before]) * rate;
    row[layout.lin_vel()] = static_cast<float>(velocity.x());
    row[layout.lin_vel() + 1] = static_cast<float>(velocity.y());
  }
}

}  // namespace

void make_balanced(const Robot& robot, Trajectories& motion, Workers& workers, int rounds) {
  const FrameLayout layout{robot.num_joints()};
  const Leg legs[2] = {Leg(robot, 0), Leg(robot, 1)};
  std::vector<std::unique_ptr<ReferenceDynamics>> dynamics(workers.count());
  for (auto& d : dynamics) d = std::make_unique<ReferenceDynamics>(robot);

  workers.run(motion.streams, [&](int stream, int worker) {
    Path path = integrate_path(motion, stream);
    for (int round = 0; round < rounds; ++round) {
      const std::vector<Vec2> shift = wanted_shift(layout, motion, stream, path, *dynamics[worker]);
      for (int frame = 0; frame < motion.lengths[stream]; ++frame) {
        move_pelvis(layout, legs, rot_2d(-path.yaw[frame]) * shift[frame],
                    motion.row(stream, frame));
        path.xy[frame] += shift[frame];
      }
      renew_velocities(layout, motion, stream, path);
    }
  });
}

Trajectories generate_balanced(const Robot& robot, Generator& generator, const CommandPlan& plan,
                               Workers& workers) {
  constexpr int kExtra = 60;  // frames
  CommandPlan longer{plan.streams, plan.frames + kExtra, {}};
  longer.targets.reserve(std::size_t(longer.streams) * longer.frames);
  for (int stream = 0; stream < plan.streams; ++stream) {
    const Command* first = &plan.targets[std::size_t(stream) * plan.frames];
    longer.targets.insert(longer.targets.end(), first, first + plan.frames);
    longer.targets.insert(longer.targets.end(), kExtra, first[plan.frames - 1]);
  }
  Trajectories motion = generate(generator, longer, workers);
  make_balanced(robot, motion, workers);

  Trajectories out(plan.streams, plan.frames, motion.joints);
  for (int stream = 0; stream < plan.streams; ++stream) {
    std::copy_n(motion.row(stream, 0), std::size_t(plan.frames) * motion.width(),
                out.row(stream, 0));
    std::copy_n(motion.command(stream, 0), std::size_t(plan.frames) * 3, out.command(stream, 0));
    std::copy_n(motion.target(stream, 0), std::size_t(plan.frames) * 3, out.target(stream, 0));
  }
  return out;
}

}  // namespace twist
