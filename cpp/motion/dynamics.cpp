#include "motion/dynamics.h"

#include <algorithm>
#include <cmath>

namespace twist {
namespace {

double cross(const Vec2& a, const Vec2& b) { return a.x() * b.y() - a.y() * b.x(); }

// the point of the convex hull of a few points that is nearest to `point`
Vec2 nearest_in_hull(const Vec2& point, std::vector<Vec2> points) {
  // monotone chain, counter-clockwise
  std::sort(points.begin(), points.end(), [](const Vec2& a, const Vec2& b) {
    return a.x() < b.x() || (a.x() == b.x() && a.y() < b.y());
  });
  std::vector<Vec2> hull;
  for (int pass = 0; pass < 2; ++pass) {
    const std::size_t base = hull.size();
    for (const Vec2& p : points) {
      while (hull.size() >= base + 2 &&
             cross(hull.back() - hull[hull.size() - 2], p - hull.back()) <= 0) {
        hull.pop_back();
      }
      hull.push_back(p);
    }
    hull.pop_back();
    std::reverse(points.begin(), points.end());
  }

  bool inside = true;
  Vec2 nearest = point;
  double distance = 1e9;
  for (std::size_t i = 0; i < hull.size(); ++i) {
    const Vec2 a = hull[i], edge = hull[(i + 1) % hull.size()] - a;
    if (cross(edge, point - a) < 0) inside = false;
    const Vec2 candidate =
        a + std::clamp(edge.dot(point - a) / edge.squaredNorm(), 0.0, 1.0) * edge;
    if ((point - candidate).norm() < distance) {
      distance = (point - candidate).norm();
      nearest = candidate;
    }
  }
  return inside ? point : nearest;
}

}  // namespace

ReferenceDynamics::ReferenceDynamics(const Robot& robot)
    : torque(robot.num_joints()),
      key_bodies(robot.key_bodies.size()),
      robot_(robot),
      layout_{robot.num_joints()},
      model_(robot.make_model({})),
      data_(mj_makeData(model_.get())),
      jacobian_(6 * model_->nv) {
  for (int side = 0; side < 2; ++side) sole_geoms_[side] = sole_geoms(robot, *model_, side);
}

// state and accelerations in a world whose x axis is the heading of `now`
void ReferenceDynamics::set_state(const float* before, const float* now, const float* after) {
  const auto vec = [](const float* p) { return Vec3(p[0], p[1], p[2]); };
  mjData* d = data_.get();
  std::fill_n(d->qpos, 2, 0.0);
  d->qpos[2] = now[layout_.height()];
  quat_to_mujoco(tilt_from_gravity(vec(now + layout_.gravity())), d->qpos + 3);
  const double per_two_frames = 0.5 / kControlStep;
  for (int joint = 0; joint < layout_.joints; ++joint) {
    d->qpos[7 + joint] = now[layout_.q() + joint];
    d->qvel[6 + joint] = now[layout_.qd() + joint];
    d->qacc[6 + joint] =
        (after[layout_.qd() + joint] - before[layout_.qd() + joint]) * per_two_frames;
  }

  // the heading turns between the frames, and velocities are given in it
  const double turn = now[layout_.ang_vel() + 2] * kControlStep;
  const Vec3 acceleration = (rot_z(turn) * vec(after + layout_.lin_vel()) -
                             rot_z(-turn) * vec(before + layout_.lin_vel())) *
                            per_two_frames;
  for (int axis = 0; axis < 3; ++axis) {
    d->qvel[axis] = now[layout_.lin_vel() + axis];
    d->qvel[3 + axis] = now[layout_.ang_vel() + axis];
    d->qacc[axis] = acceleration[axis];
    d->qacc[3 + axis] =
        (after[layout_.ang_vel() + axis] - before[layout_.ang_vel() + axis]) * per_two_frames;
  }
}

void ReferenceDynamics::evaluate(const float* before, const float* now, const float* after) {
  mjModel* m = model_.get();
  mjData* d = data_.get();
  set_state(before, now, after);
  mj_kinematics(m, d);
  mj_comPos(m, d);
  mj_comVel(m, d);
  std::vector<mjtNum> required(m->nv);
  mj_rne(m, d, 1, required.data());
  for (int joint = 0; joint < layout_.joints; ++joint) {
    torque[joint] = required[6 + joint] + robot_.armature[joint] * d->qacc[6 + joint];
  }

  // what the root needs from the ground: force and moment about the pelvis, world axes
  const Vec3 force(required[0], required[1], required[2]);
  const Vec3 moment = quat_from_mujoco(d->qpos + 3) * Vec3(required[3], required[4], required[5]);
  const float* share = now + layout_.contact();
  bool loaded[2];
  for (int side = 0; side < 2; ++side) {
    const int i = layout_.contact() + side;
    loaded[side] = std::max({before[i], now[i], after[i]}) > 0.02f;
  }
  judge_ground(force, moment, loaded);
  add_contact(force, moment, share);
  for (int joint = 0; joint < layout_.joints; ++joint) {
    torque[joint] = std::clamp(torque[joint], -robot_.effort[joint], robot_.effort[joint]);
  }

  // the pelvis is at x = y = 0
  for (std::size_t i = 0; i < key_bodies.size(); ++i) {
    key_bodies[i] = Eigen::Map<const Vec3>(d->xpos + 3 * robot_.key_bodies[i]);
    key_bodies[i].z() -= d->qpos[2];
  }
  lowest = 1e9;
  for (int side = 0; side < 2; ++side) {
    feet[side] = Eigen::Map<const Vec3>(d->xpos + 3 * robot_.foot_bodies[side]);
    for (const int geom : sole_geoms_[side]) {
      lowest = std::min(lowest, d->geom_xpos[3 * geom + 2] - m->geom_size[3 * geom]);
    }
  }
}

void ReferenceDynamics::judge_ground(const Vec3& force, const Vec3& moment, const bool* loaded) {
  const mjData* d = data_.get();
  demand.vertical_force = force.z();
  demand.force_ratio = force.head<2>().norm() / std::max(1.0, force.z());
  demand.double_support = loaded[0] && loaded[1];

  // about the point of the floor under the pelvis, then the point where only a yaw moment is left
  const Vec3 floor_moment = moment + Vec3(0, 0, d->qpos[2]).cross(force);
  const double load = std::max(1.0, force.z());
  demand.pressure = Vec2(-floor_moment.y(), floor_moment.x()) / load;
  demand.yaw_moment = floor_moment.z() - cross(demand.pressure, force.head<2>());

  // without a foot on the floor there is nothing to judge
  std::vector<Vec2> corners;
  const SoleBox sole;
  for (int side = 0; side < 2; ++side) {
    if (!loaded[side]) continue;
    const double* foot = d->xpos + 3 * robot_.foot_bodies[side];
    const double* axes = d->xmat + 9 * robot_.foot_bodies[side];
    for (const double x : {sole.back, sole.front}) {
      for (const double y : {-sole.half_width, sole.half_width}) {
        corners.emplace_back(foot[0] + axes[0] * x + axes[1] * y,
                             foot[1] + axes[3] * x + axes[4] * y);
      }
    }
  }
  demand.nearest = corners.empty() ? demand.pressure : nearest_in_hull(demand.pressure, corners);
  demand.pressure_outside = (demand.pressure - demand.nearest).norm();
}

// Each foot carries its share of the force; the moment that remains is shared alike and limited to
// what a sole gives.
void ReferenceDynamics::add_contact(const Vec3& force, const Vec3& moment, const float* share) {
  const mjModel* m = model_.get();
  mjData* d = data_.get();
  Vec3 rest = moment;
  Vec3 soles[2];
  for (int side = 0; side < 2; ++side) {
    const double* foot = d->xpos + 3 * robot_.foot_bodies[side];
    soles[side] = Vec3(foot[0], foot[1], 0);
    rest -= (soles[side] - Vec3(0, 0, d->qpos[2])).cross(share[side] * force);
  }
  for (int side = 0; side < 2; ++side) {
    if (share[side] <= 0.0f) continue;
    const Vec3 foot_force = share[side] * force;
    const double load = std::max(0.0, foot_force.z());

    // the moment limits are the lever arms of the sole, in the foot's yaw frame
    const double* axes = d->xmat + 9 * robot_.foot_bodies[side];
    const Mat3 foot_yaw = rot_z(std::atan2(axes[3], axes[0]));
    Vec3 foot_moment = foot_yaw.transpose() * (share[side] * rest);
    foot_moment.x() = std::clamp(foot_moment.x(), -0.02 * load, 0.02 * load);
    foot_moment.y() = std::clamp(foot_moment.y(), -0.10 * load, 0.04 * load);
    foot_moment.z() = std::clamp(foot_moment.z(), -0.04 * load, 0.04 * load);
    foot_moment = foot_yaw * foot_moment;

    mj_jac(m, d, jacobian_.data(), jacobian_.data() + 3 * m->nv, soles[side].data(),
           robot_.foot_bodies[side]);
    for (const int joint : robot_.leg_joints[side]) {
      for (int axis = 0; axis < 3; ++axis) {
        torque[joint] -= jacobian_[axis * m->nv + 6 + joint] * foot_force[axis] +
                         jacobian_[(3 + axis) * m->nv + 6 + joint] * foot_moment[axis];
      }
    }
  }
}

}  // namespace twist
