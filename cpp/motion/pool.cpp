#include "motion/pool.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "base/error.h"

namespace twist {

MotionPool::MotionPool(const Robot& robot, const Trajectories& motion, Workers& workers)
    : MotionPool(robot, motion.streams, motion.frames) {
  live_ = false;
  lengths_ = motion.lengths;
  weights_ = motion.weights;
  if (motion.joints != robot.num_joints()) {
    fail("the motion has ", motion.joints, " joints but robot '", robot.settings().name, "' has ",
         robot.num_joints());
  }
  if (streams_ == 0) fail("there is no motion to track");

  std::vector<std::unique_ptr<ReferenceDynamics>> dynamics(workers.count());
  for (auto& d : dynamics) d = std::make_unique<ReferenceDynamics>(robot);

  workers.run(streams_, [&](int stream, int worker) {
    ReferenceDynamics& d = *dynamics[worker];
    const int length = lengths_[stream];
    if (length < 3 || length > frames_)
      fail("motion ", stream, " has ", length, " frames; at least 3 are needed");
    for (int frame = 0; frame < length; ++frame) {
      const float* now = motion.row(stream, frame);
      for (int i = 0; i < layout_.width(); ++i) {
        if (!std::isfinite(now[i]))
          fail("motion ", stream, " is not finite at frame ", frame, ", feature ", i);
      }
      d.evaluate(motion.row(stream, std::max(0, frame - 1)), now,
                 motion.row(stream, std::min(length - 1, frame + 1)));
      write(stream, frame, now, motion.command(stream, frame), d);
    }
  });
}

MotionPool::MotionPool(const Robot& robot, int streams, int frames)
    : streams_(streams),
      frames_(frames),
      live_(true),
      layout_{robot.num_joints()},
      key_bodies_(static_cast<int>(robot.key_bodies.size())),
      stride_(layout_.width() + 3 + layout_.joints + 6 + 3 * key_bodies_),
      lengths_(streams),
      weights_(streams, 1.0),
      rows_(std::size_t(streams) * frames * stride_) {}

bool MotionPool::stands(int stream, int frame) const {
  constexpr float kStill = 1e-3f;
  const ReferenceView view = at(stream, frame);
  for (int axis = 0; axis < 3; ++axis) {
    if (view.command[axis] != 0 || std::abs(view.frame[layout_.lin_vel() + axis]) > kStill)
      return false;
  }
  for (int side = 0; side < 2; ++side) {
    if (view.frame[layout_.contact() + side] <= 0) return false;
  }
  return true;
}

Swing MotionPool::swing(int stream, int frame) const {
  constexpr int kSoon = 25;  // frames: longer than two feet are loaded in a walk
  const int first = std::max(0, frame - kSoon), last = std::min(frame + kSoon, length(stream) - 1);
  for (int foot = 0; foot < 2; ++foot) {
    if (share(stream, frame, foot) > 0) continue;
    int lift = frame;
    while (lift > first && knows(stream, lift - 1) && share(stream, lift - 1, foot) <= 0) --lift;
    return {foot, frame - lift};
  }
  for (int ahead = frame; ahead <= last; ++ahead) {
    for (int foot = 0; foot < 2; ++foot) {
      if (share(stream, ahead, foot) <= 0) return {foot, frame - ahead};
    }
  }
  return {0, -kSoon};
}

void MotionPool::write(int stream, int frame, const float* motion, const float* command,
                       const ReferenceDynamics& dynamics) {
  float* out = rows_.data() + offset(stream, frame);
  out = std::copy_n(motion, layout_.width(), out);
  out = std::copy_n(command, 3, out);
  out = std::copy(dynamics.torque.begin(), dynamics.torque.end(), out);
  for (const Vec3& foot : dynamics.feet) out = std::copy_n(foot.data(), 3, out);
  for (const Vec3& body : dynamics.key_bodies) out = std::copy_n(body.data(), 3, out);
  lengths_[stream] = std::max(lengths_[stream], frame + 1);
}

}  // namespace twist
