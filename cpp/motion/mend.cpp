// Doctor::mend: what a clip can be cured of.

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "motion/doctor.h"

namespace twist {
namespace {

constexpr double kGround_s = 0.1;  // over which the pelvis is shifted smoothly

// A shift that is smooth and never takes the soles below the floor: the mean of minima whose
// windows all contain the frame.
std::vector<double> lower_envelope(const std::vector<double>& values, int radius) {
  const int count = static_cast<int>(values.size());
  const auto window = [&](const std::vector<double>& of, int i) {
    return std::pair(of.begin() + std::max(0, i - radius),
                     of.begin() + std::min(count, i + radius + 1));
  };
  std::vector<double> least, mean;
  for (int i = 0; i < count; ++i) {
    const auto [first, last] = window(values, i);
    least.push_back(*std::min_element(first, last));
  }
  for (int i = 0; i < count; ++i) {
    const auto [first, last] = window(least, i);
    mean.push_back(std::accumulate(first, last, 0.0) / static_cast<double>(last - first));
  }
  return mean;
}

}  // namespace

Mended Doctor::mend(const Clip& clip) {
  const Diagnosis found = examine(clip);
  if (!found.usable) {
    fail("clip '", clip.name, "': less than ", limits_.min_seconds, " s are usable (", found.why,
         ")");
  }
  const ClipTrace before = tracer_.follow(clip);
  Mended out;
  Clip& mended = out.clip;
  mended = {clip.name, clip.fps, robot_.joint_names, {}, {}, {}};
  int clamped = 0;
  for (int frame = found.first; frame < found.last; ++frame) {
    const Vec3& root = before.root[frame];
    const Eigen::Quaterniond& quat = before.quat[frame];
    mended.root_pos.insert(mended.root_pos.end(), {root.x(), root.y(), root.z()});
    mended.root_quat.insert(mended.root_quat.end(), {quat.w(), quat.x(), quat.y(), quat.z()});
    for (int joint = 0; joint < robot_.num_joints(); ++joint) {
      const double q = before.q[frame][joint];
      mended.q.push_back(std::clamp(q, robot_.lower[joint], robot_.upper[joint]));
      clamped += mended.q.back() != q;
    }
  }

  const int radius = static_cast<int>(kGround_s * clip.fps);
  const std::vector<double> shift = lower_envelope(tracer_.follow(mended).lowest, radius);
  for (std::size_t i = 0; i < shift.size(); ++i) mended.root_pos[3 * i + 2] -= shift[i];

  if (found.first > 0 || found.last < before.frames) {
    out.done.push_back(text("kept frames ", found.first, " to ", found.last - 1, " of ",
                            before.frames, " (", found.why, ")"));
  }
  if (clamped > 0) out.done.push_back(text("moved ", clamped, " joint angles into their range"));
  const auto [low, high] = std::minmax_element(shift.begin(), shift.end());
  out.done.push_back(
      text("lowered the pelvis by ", *low, " to ", *high, " m to set the soles on the floor"));
  return out;
}

}  // namespace twist
