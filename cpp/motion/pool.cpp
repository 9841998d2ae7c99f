#include "motion/pool.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "base/error.h"
#include "motion/dynamics.h"

namespace twist {

MotionPool::MotionPool(const Robot& robot, const Trajectories& motion, Workers& workers)
    : streams_(motion.streams),
      frames_(motion.frames),
      layout_{motion.joints},
      stride_(layout_.width() + 3 + layout_.joints + 6 + 3 * robot.key_bodies.size()),
      lengths_(motion.lengths),
      rows_(std::size_t(motion.streams) * motion.frames * stride_) {
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

      float* out = rows_.data() + (std::size_t(stream) * frames_ + frame) * stride_;
      out = std::copy_n(now, layout_.width(), out);
      out = std::copy_n(motion.command(stream, frame), 3, out);
      out = std::copy(d.torque.begin(), d.torque.end(), out);
      for (const Vec3& foot : d.feet) out = std::copy_n(foot.data(), 3, out);
      for (const Vec3& body : d.key_bodies) out = std::copy_n(body.data(), 3, out);
    }
  });
}

}  // namespace twist
