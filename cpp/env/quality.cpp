#include "env/quality.h"

#include <algorithm>
#include <cmath>

namespace twist {
namespace {

constexpr double kGravity = 9.81;

}  // namespace

QualityMeter::QualityMeter(const Robot& robot) : robot_(&robot), angle_(12) {}

void QualityMeter::add(const mjModel& model, const mjData& data, const StepView& view) {
  ++steps_;
  for (int axis = 0; axis < 2; ++axis) speed_[axis] += view.body.lin_vel[axis];
  add_contacts(model, data);
  add_swings(view.body);
  add_servos(data, view);
  add_tracking(view);
}

void QualityMeter::add_contacts(const mjModel& model, const mjData& data) {
  double total = 0;
  for (int i = 0; i < data.ncon; ++i) {
    const mjContact& contact = data.contact[i];
    const int first = model.geom_bodyid[contact.geom[0]],
              second = model.geom_bodyid[contact.geom[1]];
    const int body = std::max(first, second);
    if (std::min(first, second) != 0 || contact.efc_address < 0) continue;  // not on the floor
    mjtNum force[6], velocity[6];
    mj_contactForce(&model, &data, i, force);
    mj_objectVelocity(&model, &data, mjOBJ_XBODY, body, velocity, 0);
    const Vec3 arm =
        Eigen::Map<const Vec3>(contact.pos) - Eigen::Map<const Vec3>(data.xpos + 3 * body);
    const Vec3 normal = Eigen::Map<const Vec3>(contact.frame);
    Vec3 speed = Eigen::Map<const Vec3>(velocity + 3) + Eigen::Map<const Vec3>(velocity).cross(arm);
    speed -= speed.dot(normal) * normal;
    slip_ += force[0] * speed.norm();
    total += force[0];
  }
  normal_ += total;
  peak_ = std::max(peak_, total / (robot_->total_mass * kGravity));
}

void QualityMeter::add_swings(const BodyState& body) {
  for (int side = 0; side < 2; ++side) {
    const double ankle = body.feet[side].z();
    if (!body.loaded(side)) {
      top_[side] = std::max(top_[side], ankle);
      continue;
    }
    if (top_[side] >= 0 && floor_[side] >= 0) {
      clearance_ += top_[side] - floor_[side];
      ++swings_;
    }
    top_[side] = -1;
    floor_[side] = ankle;
  }
}

void QualityMeter::add_servos(const mjData& data, const StepView& view) {
  std::vector<double> target, torque;
  for (int side = 0; side < 2; ++side) {
    for (const int joint : robot_->leg_joints[side]) {
      target.push_back(data.ctrl[joint]);
      torque.push_back(view.body.torque[joint]);
      angle_[6 * side + (torque.size() - 1) % 6] += view.body.q[joint];
    }
  }
  for (int joint = 0; joint < robot_->num_joints(); ++joint) {
    saturated_ += std::abs(view.body.torque[joint]) >= 0.99 * robot_->effort[joint];
    power_ += std::abs(view.body.torque[joint] * view.body.qd[joint]);
  }
  if (!torque_.empty()) {
    ++rates_;
    for (int i = 0; i < 12; ++i)
      torque_rate_ += std::abs(torque[i] - torque_[i]) / kControlStep / 12;
  }
  if (!targets_[2].empty()) {
    ++jerks_;
    for (int i = 0; i < 12; ++i) {
      const double third = target[i] - 3 * targets_[0][i] + 3 * targets_[1][i] - targets_[2][i];
      jerk_ += std::abs(third) / std::pow(kControlStep, 3) / 12;
    }
  }
  torque_ = std::move(torque);
  targets_[2] = std::move(targets_[1]);
  targets_[1] = std::move(targets_[0]);
  targets_[0] = std::move(target);
}

void QualityMeter::add_tracking(const StepView& v) {
  const int joints = robot_->num_joints();
  for (int joint = 0; joint < joints; ++joint)
    joint2_ += std::pow(v.body.q[joint] - v.now.frame[v.layout.q() + joint], 2) / joints;
  for (std::size_t i = 0; i < v.body.key_bodies.size(); ++i) {
    const Vec3 planned = Eigen::Map<const Eigen::Vector3f>(v.now.key_bodies + 3 * i).cast<double>();
    key_ += (v.body.key_bodies[i] - planned).norm() / v.body.key_bodies.size();
  }
  const float* gravity = v.now.frame + v.layout.gravity();
  const Vec3 down(gravity[0], gravity[1], gravity[2]);
  tilt_ += std::acos(std::clamp(v.body.gravity.dot(down.normalized()), -1.0, 1.0));
  height_ += std::abs(v.body.height - v.now.frame[v.layout.height()]);
}

Quality QualityMeter::result() const {
  Quality q;
  q.slip = slip_ / normal_;
  q.clearance = clearance_ / swings_;
  q.target_jerk = jerk_ / jerks_;
  q.torque_rate = torque_rate_ / rates_;
  q.saturation = saturated_ / (double(steps_) * robot_->num_joints());
  q.power = power_ / steps_;
  const double speed = std::hypot(speed_[0], speed_[1]) / steps_;
  q.cost_of_transport = q.power / (robot_->total_mass * kGravity * speed);
  q.peak_force = steps_ > 0 ? peak_ : NAN;
  double difference2 = 0;
  for (int i = 0; i < 6; ++i) {
    const double sign = robot_->mirror_sign[robot_->leg_joints[0][i]];
    difference2 += std::pow((angle_[i] - sign * angle_[6 + i]) / steps_, 2) / 6;
  }
  q.asymmetry = std::sqrt(difference2);
  q.joint_error = std::sqrt(joint2_ / steps_);
  q.key_body_error = key_ / steps_;
  q.tilt_error = tilt_ / steps_;
  q.height_error = height_ / steps_;
  return q;
}

}  // namespace twist
