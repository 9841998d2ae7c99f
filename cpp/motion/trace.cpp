#include "motion/trace.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

namespace twist {
namespace {

// share of the frames with a sole on the floor, at least; the others may be anywhere
constexpr double kFloorShare = 1.0 / 3;

double median(std::vector<double> values) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// where values lie closest together: the middle of the narrowest interval with a share of them
double densest(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t count = static_cast<std::size_t>(kFloorShare * (values.size() - 1));
  std::size_t best = 0;
  for (std::size_t i = 0; i + count < values.size(); ++i) {
    if (values[i + count] - values[i] < values[best + count] - values[best]) best = i;
  }
  return values[best + count / 2];
}

}  // namespace

ClipTracer::ClipTracer(const Robot& robot)
    : robot_(robot), model_(robot.make_model({})), data_(mj_makeData(model_.get())) {
  for (int side = 0; side < 2; ++side) sole_geoms_[side] = sole_geoms(robot, *model_, side);
}

ClipTrace ClipTracer::follow(const Clip& clip) {
  const std::vector<int> columns = joint_columns(robot_, clip);
  ClipTrace t;
  t.frames = clip.frames();
  t.fps = clip.fps;
  for (int frame = 0; frame < t.frames; ++frame) {
    const auto known = [](double x) {
      return std::isfinite(x) ? x : std::numeric_limits<double>::quiet_NaN();
    };
    const double* root = &clip.root_pos[3 * frame];
    t.root.emplace_back(known(root[0]), known(root[1]), known(root[2]));
    const double* wxyz = &clip.root_quat[4 * frame];
    const Eigen::Quaterniond quat(known(wxyz[0]), known(wxyz[1]), known(wxyz[2]), known(wxyz[3]));
    t.norm.push_back(quat.norm());
    t.quat.push_back(quat.normalized());
    auto& q = t.q.emplace_back();
    const double* angles = &clip.q[frame * clip.joint_names.size()];
    for (const int column : columns) q.push_back(known(angles[column]));
    const double sum = std::accumulate(q.begin(), q.end(), t.root[frame].sum());
    t.whole.push_back(std::isfinite(sum + t.norm[frame]) && t.norm[frame] > 0);
  }
  trace_soles(t);
  return t;
}

void ClipTracer::trace_soles(ClipTrace& t) {
  mjData* d = data_.get();
  std::vector<double> heights;
  for (int frame = 0; frame < t.frames; ++frame) {
    double lowest = std::numeric_limits<double>::quiet_NaN();
    for (int side = 0; side < 2; ++side) t.soles[side].emplace_back();
    if (t.whole[frame]) {
      std::copy_n(t.root[frame].data(), 3, d->qpos);
      quat_to_mujoco(t.quat[frame], d->qpos + 3);
      std::copy(t.q[frame].begin(), t.q[frame].end(), d->qpos + 7);
      mj_kinematics(model_.get(), d);
      for (int side = 0; side < 2; ++side) {
        for (const int geom : sole_geoms_[side]) {
          const Vec3 point = Eigen::Map<const Vec3>(d->geom_xpos + 3 * geom) -
                             model_->geom_size[3 * geom] * Vec3::UnitZ();
          t.soles[side][frame].push_back(point);
          lowest = std::fmin(lowest, point.z());
        }
      }
      heights.push_back(lowest);
    }
    t.lowest.push_back(lowest);
  }
  t.floor = heights.empty() ? 0 : densest(std::move(heights));
}

double fps_of_velocities(const Clip& clip) {
  const int joints = static_cast<int>(clip.joint_names.size()), frames = clip.frames();
  if (clip.qd.empty()) return std::numeric_limits<double>::quiet_NaN();
  std::vector<double> rates;
  for (int joint = 0; joint < joints; ++joint) {
    double moved = 0, product = 0, speed = 0;
    int used = 0;
    for (int i = 1; i + 1 < frames; ++i) {
      const double step = (clip.q[(i + 1) * joints + joint] - clip.q[(i - 1) * joints + joint]) / 2;
      const double velocity = clip.qd[i * joints + joint];
      if (!std::isfinite(step) || !std::isfinite(velocity)) continue;
      moved += step * step;
      product += step * velocity;
      speed += velocity * velocity;
      ++used;
    }
    // joints that rest tell nothing, nor do velocities that have nothing to do with the motion
    const bool moves = speed > 0.05 * 0.05 * used && moved > 0;
    if (moves && product > 0.5 * std::sqrt(moved * speed)) rates.push_back(product / moved);
  }
  return median(std::move(rates));
}

}  // namespace twist
