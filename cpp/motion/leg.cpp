#include "motion/leg.h"

#include <Eigen/LU>

namespace twist {
namespace {

constexpr double kMargin = 0.02;  // rad inside the joint limits

// rotation vector of a small or large rotation
Vec3 rotation_vector(const Mat3& rotation) {
  const Eigen::AngleAxisd angle_axis(rotation);
  return angle_axis.angle() * angle_axis.axis();
}

}  // namespace

Leg::Leg(const Robot& robot, int side) : joints_(robot.leg_joints[side]) {
  const ModelPtr model = robot.make_model({});
  for (int i = 0; i < 6; ++i) {
    const int joint = joints_[i] + 1, body = model->jnt_bodyid[joint];
    links_[i].offset = Eigen::Map<const Vec3>(model->body_pos + 3 * body);
    links_[i].rotation = quat_from_mujoco(model->body_quat + 4 * body).toRotationMatrix();
    links_[i].axis = Eigen::Map<const Vec3>(model->jnt_axis + 3 * joint);
    lower_[i] = robot.lower[joints_[i]] + kMargin;
    upper_[i] = robot.upper[joints_[i]] - kMargin;
  }
}

void Leg::forward(const Angles& angles, Vec3* position, Mat3* rotation) const {
  position->setZero();
  rotation->setIdentity();
  for (int i = 0; i < 6; ++i) {
    *position += *rotation * links_[i].offset;
    *rotation *=
        links_[i].rotation * Eigen::AngleAxisd(angles[i], links_[i].axis).toRotationMatrix();
  }
}

double Leg::inverse(const Vec3& position, const Mat3& rotation, Angles* angles) const {
  constexpr double kTolerance = 1e-9, kMaxStep = 0.3, kMinKnee = 0.03;
  double error = 1e9;
  for (int iteration = 0; iteration < 20; ++iteration) {
    // forward pass with the axes and origins that the Jacobian needs
    Vec3 origins[6], axes[6], foot = Vec3::Zero();
    Mat3 frame = Mat3::Identity();
    for (int i = 0; i < 6; ++i) {
      foot += frame * links_[i].offset;
      frame *= links_[i].rotation;
      origins[i] = foot;
      axes[i] = frame * links_[i].axis;
      frame *= Eigen::AngleAxisd((*angles)[i], links_[i].axis).toRotationMatrix();
    }

    // error and its Jacobian
    Eigen::Matrix<double, 6, 1> residual;
    residual << position - foot, rotation_vector(rotation * frame.transpose());
    error = residual.cwiseAbs().maxCoeff();
    if (error < kTolerance) break;
    Eigen::Matrix<double, 6, 6> jacobian;
    for (int i = 0; i < 6; ++i) jacobian.col(i) << axes[i].cross(foot - origins[i]), axes[i];

    // newton step with slight damping against the straight knee
    Eigen::Matrix<double, 6, 6> normal = jacobian.transpose() * jacobian;
    normal.diagonal().array() += 1e-12;
    const Angles step = normal.llt().solve(jacobian.transpose() * residual);
    const double largest = step.cwiseAbs().maxCoeff();
    *angles += step * (largest > kMaxStep ? kMaxStep / largest : 1.0);
    (*angles)[3] = std::max((*angles)[3], kMinKnee);
  }
  return error;
}

}  // namespace twist
