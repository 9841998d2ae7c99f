#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/rotation.h"
#include "g1.h"

namespace twist {

/// Judges reference motion with MuJoCo alone: the model as it is on the disk, positions integrated
/// from the rows, accelerations from finite differences, and `mj_inverse` with contacts switched
/// off.
class WalkExam {
 public:
  static constexpr double kStep = 0.02;  // s

  WalkExam(const Trajectories& motion, int stream)
      : motion_(motion),
        stream_(stream),
        frames_(motion.lengths[stream]),
        model_(g1_plain_model()) {
    model_->opt.disableflags |= mjDSBL_CONTACT | mjDSBL_LIMIT;
    data_.reset(mj_makeData(model_.get()));
    place();
    look();
  }

  int frames() const { return frames_; }
  const float* row(int frame) const { return motion_.row(stream_, frame); }
  double q(int frame, int joint) const { return row(frame)[layout_.q() + joint]; }
  double qd(int frame, int joint) const { return row(frame)[layout_.qd() + joint]; }
  double share(int frame, int side) const { return row(frame)[layout_.contact() + side]; }
  Vec3 lin_vel(int frame) const { return vec(row(frame) + layout_.lin_vel()); }
  Vec3 ang_vel(int frame) const { return vec(row(frame) + layout_.ang_vel()); }
  double height(int frame) const { return row(frame)[layout_.height()]; }
  double lowest(int frame) const { return lowest_[frame]; }

  /// Farthest that a sole point goes from where it was when its foot began to carry `load` or more
  /// of the weight, m.
  double slip(double load = 0.99) const {
    double worst = 0;
    for (int side = 0; side < 2; ++side) {
      int begin = -1;
      for (int frame = 0; frame < frames_; ++frame) {
        if (share(frame, side) < load) begin = -1;
        if (share(frame, side) >= load && begin < 0) begin = frame;
        for (int i = 0; begin >= 0 && i < 4; ++i) {
          const Vec3 moved = soles_[frame][side][i] - soles_[begin][side][i];
          worst = std::max(worst, moved.head<2>().norm());
        }
      }
    }
    return worst;
  }

  /// Highest sole point of a foot that carries all the load, m.
  double hover() const {
    double worst = 0;
    for (int frame = 0; frame < frames_; ++frame) {
      for (int side = 0; side < 2; ++side) {
        if (share(frame, side) <= 0.99) continue;
        for (const Vec3& point : soles_[frame][side]) worst = std::max(worst, point.z());
      }
    }
    return worst;
  }

  /// Highest that a whole sole comes off the floor, m.
  double clearance(int side) const {
    double highest = 0;
    for (const auto& soles : soles_) {
      double low = 1e9;
      for (const Vec3& point : soles[side]) low = std::min(low, point.z());
      highest = std::max(highest, low);
    }
    return highest;
  }

  /// Smallest horizontal distance between the hulls of the two soles' corners, m; not positive
  /// where they overlap.
  double feet_apart() const {
    double least = 1e9;
    for (const auto& soles : soles_) {
      std::vector<Vec2> feet[2];
      for (int side = 0; side < 2; ++side) {
        for (const Vec3& point : soles[side]) feet[side].push_back(point.head<2>());
      }
      least = std::min(least, widest_gap(feet[0], feet[1]));
    }
    return least;
  }

  double deepest() const { return -*std::min_element(lowest_.begin(), lowest_.end()); }

  /// Smallest distance of a joint to its limits, rad.
  double limit_margin() const {
    double margin = 1e9;
    for (int frame = 0; frame < frames_; ++frame) {
      for (int joint = 0; joint < layout_.joints; ++joint) {
        const double* range = model_->jnt_range + 2 * (joint + 1);
        margin = std::min({margin, q(frame, joint) - range[0], range[1] - q(frame, joint)});
      }
    }
    return margin;
  }

  /// Largest difference between joint velocity and the central difference of the position, beyond 2
  /// % of it, rad/s.
  double velocity_mismatch() const {
    double worst = 0;
    for (int frame = 1; frame + 1 < frames_; ++frame) {
      for (int joint = 0; joint < layout_.joints; ++joint) {
        const double slope = (q(frame + 1, joint) - q(frame - 1, joint)) / (2 * kStep);
        worst = std::max(worst, std::abs(qd(frame, joint) - slope) - 0.02 * std::abs(slope));
      }
    }
    return worst;
  }

  /// Largest changes from one frame to the next.
  struct Jump {
    double joint = 0, lin_vel = 0, ang_vel = 0, height = 0, share = 0;
  };
  Jump jump() const {
    Jump worst;
    const auto grow = [](double& most, double value) { most = std::max(most, std::abs(value)); };
    for (int frame = 1; frame < frames_; ++frame) {
      for (int i = 0; i < layout_.joints; ++i) grow(worst.joint, q(frame, i) - q(frame - 1, i));
      grow(worst.lin_vel, (lin_vel(frame) - lin_vel(frame - 1)).norm());
      grow(worst.ang_vel, (ang_vel(frame) - ang_vel(frame - 1)).norm());
      grow(worst.height, height(frame) - height(frame - 1));
      grow(worst.share, share(frame, 0) - share(frame - 1, 0));
    }
    return worst;
  }

  /// How far from rest the frames [first, last) are: joint and root velocity, and joint travel.
  double unrest(int first, int last) const {
    double worst = 0;
    for (int frame = first; frame < last; ++frame) {
      worst = std::max({worst, lin_vel(frame).norm(), ang_vel(frame).norm()});
      for (int i = 0; i < layout_.joints; ++i) {
        worst = std::max({worst, std::abs(qd(frame, i)), std::abs(q(frame, i) - q(first, i))});
      }
    }
    return worst;
  }

  /// Mean velocity (vx, vy, wz) over the whole strides between two frames, from one landing of the
  /// left foot to another; `strides` is their number.
  Vec3 mean_velocity(int first, int last, int* strides) const {
    std::vector<int> landings;
    for (int frame = first + 1; frame < last; ++frame) {
      if (share(frame - 1, 0) < 0.5 && share(frame, 0) >= 0.5) landings.push_back(frame);
    }
    *strides = static_cast<int>(landings.size()) - 1;
    if (*strides < 1) return Vec3::Constant(NAN);
    Vec3 sum = Vec3::Zero();
    for (int frame = landings.front(); frame < landings.back(); ++frame) {
      sum += Vec3(lin_vel(frame).x(), lin_vel(frame).y(), ang_vel(frame).z());
    }
    return sum / (landings.back() - landings.front());
  }

  /// What the ground must give at one frame.
  struct Ground {
    double force_ratio = 0;  // horizontal over vertical
    double outside = 0;      // of the centre of pressure from the soles that carry, m
    double yaw_moment = 0;   // about the centre of pressure, N m
    double vertical = 0;     // N
    bool both = false;       // both feet carry
    Vec3 force, moment;      // about the origin of the world, N, N m
  };
  Ground ground(int frame) {
    const int before = frame - 1, after = frame + 1;
    set_pose(frame);
    mjData* d = data_.get();
    const Vec3 velocity = world(frame, lin_vel(frame));
    const Vec3 acceleration =
        (world(after, lin_vel(after)) - world(before, lin_vel(before))) / (2 * kStep);
    const Vec3 spin = ang_vel(frame), turn = (ang_vel(after) - ang_vel(before)) / (2 * kStep);
    for (int axis = 0; axis < 3; ++axis) {
      d->qvel[axis] = velocity[axis];
      d->qvel[3 + axis] = spin[axis];
      d->qacc[axis] = acceleration[axis];
      d->qacc[3 + axis] = turn[axis];
    }
    for (int i = 0; i < layout_.joints; ++i) {
      d->qvel[6 + i] = qd(frame, i);
      d->qacc[6 + i] = (qd(after, i) - qd(before, i)) / (2 * kStep);
    }
    mj_inverse(model_.get(), d);

    // force and moment about the pelvis, world axes
    const Vec3 force = vec(d->qfrc_inverse);
    const Vec3 moment = quat_from_mujoco(d->qpos + 3) * vec(d->qfrc_inverse + 3);
    const Vec3 pelvis = vec(d->qpos);

    // the point of the floor about which no horizontal moment is left
    const Vec3 origin_moment = moment + pelvis.cross(force);
    const Vec2 pressure = Vec2(-origin_moment.y(), origin_moment.x()) / force.z();
    Ground result;
    result.force = force;
    result.moment = origin_moment;
    result.vertical = force.z();
    result.force_ratio = force.head<2>().norm() / force.z();
    result.yaw_moment =
        std::abs(origin_moment.z() - (pressure.x() * force.y() - pressure.y() * force.x()));
    std::vector<Vec2> points;
    int carrying = 0;
    for (int side = 0; side < 2; ++side) {
      if (std::max({share(before, side), share(frame, side), share(after, side)}) < 0.01) continue;
      ++carrying;
      for (const Vec3& point : soles_[frame][side]) points.push_back(point.head<2>());
    }
    result.both = carrying == 2;
    result.outside = std::max(0.0, widest_gap({pressure}, points));
    return result;
  }

  /// Joint torques (29) if one foot carries all; `moment` is that about the floor under the ankle,
  /// in the foot's yaw frame.
  std::vector<double> torques_on_one_foot(int frame, int side, Vec3* moment) {
    const Ground needed = ground(frame);
    const int foot = g1()->foot_bodies[side];
    const Vec3 point(data_->xpos[3 * foot], data_->xpos[3 * foot + 1], 0);
    const Vec3 about_point = needed.moment - point.cross(needed.force);
    std::vector<double> given(model_->nv, 0.0);
    mj_applyFT(model_.get(), data_.get(), needed.force.data(), about_point.data(), point.data(),
               foot, given.data());
    const double* axes = data_->xmat + 9 * foot;
    *moment = rot_z(-std::atan2(axes[3], axes[0])) * about_point;
    for (int i = 0; i < model_->nv; ++i) given[i] = data_->qfrc_inverse[i] - given[i];
    return {given.begin() + 6, given.end()};
  }

  /// Joint torques of the last call of `ground` if nothing touched the robot, N m.
  const double* joint_torques() const { return data_->qfrc_inverse + 6; }

 private:
  static Vec3 vec(const float* p) { return Vec3(p[0], p[1], p[2]); }
  static Vec3 vec(const double* p) { return Vec3(p[0], p[1], p[2]); }
  Vec3 world(int frame, const Vec3& heading_vector) const {
    return rot_z(yaw_[frame]) * heading_vector;
  }

  // The widest gap between two convex hulls that is seen from any direction: their distance, or not
  // positive where they overlap.
  static double widest_gap(const std::vector<Vec2>& one, const std::vector<Vec2>& other) {
    double gap = -1e9;
    for (int i = 0; i < 720; ++i) {
      const Vec2 direction(std::cos(i * M_PI / 360), std::sin(i * M_PI / 360));
      double begin = 1e9, end = -1e9;
      for (const Vec2& corner : one) begin = std::min(begin, direction.dot(corner));
      for (const Vec2& corner : other) end = std::max(end, direction.dot(corner));
      gap = std::max(gap, begin - end);
    }
    return gap;
  }

  // world position and yaw of every frame: trapezoids of the velocities
  void place() {
    xy_.assign(frames_, Vec2::Zero());
    yaw_.assign(frames_, 0);
    for (int frame = 1; frame < frames_; ++frame) {
      yaw_[frame] = yaw_[frame - 1] + 0.5 * kStep * (ang_vel(frame - 1).z() + ang_vel(frame).z());
      const Vec3 sum = world(frame - 1, lin_vel(frame - 1)) + world(frame, lin_vel(frame));
      xy_[frame] = xy_[frame - 1] + 0.5 * kStep * sum.head<2>();
    }
  }

  void set_pose(int frame) {
    mjData* d = data_.get();
    d->qpos[0] = xy_[frame].x();
    d->qpos[1] = xy_[frame].y();
    d->qpos[2] = height(frame);
    const Vec3 gravity = vec(row(frame) + layout_.gravity());
    quat_to_mujoco(Eigen::Quaterniond(rot_z(yaw_[frame])) * tilt_from_gravity(gravity),
                   d->qpos + 3);
    for (int i = 0; i < layout_.joints; ++i) d->qpos[7 + i] = q(frame, i);
  }

  // where the soles are in every frame
  void look() {
    for (int frame = 0; frame < frames_; ++frame) {
      set_pose(frame);
      mj_kinematics(model_.get(), data_.get());
      auto& soles = soles_.emplace_back();
      lowest_.push_back(lowest_sole(model_.get(), data_.get()));
      for (int side = 0; side < 2; ++side) {
        for (const int geom : sole_spheres(model_.get(), side)) {
          soles[side].push_back(vec(data_->geom_xpos + 3 * geom) -
                                Vec3(0, 0, model_->geom_size[3 * geom]));
        }
      }
    }
  }

  const Trajectories& motion_;
  int stream_, frames_;
  FrameLayout layout_{29};
  ModelPtr model_;
  DataPtr data_;
  std::vector<Vec2> xy_;
  std::vector<double> yaw_, lowest_;
  std::vector<std::array<std::vector<Vec3>, 2>> soles_;
};

}  // namespace twist
