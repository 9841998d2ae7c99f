#pragma once

#include <vector>

#include "env/observation.h"
#include "g1.h"

namespace twist {

/// A moment made by hand: the reference stands in the default pose and the body follows it exactly,
/// until a test changes something.
struct HandMadeStep {
  FrameLayout layout{29};
  std::vector<double> q, qd, torque;
  std::vector<float> frame, frame_ahead, command, command_ahead, feed_forward, feet;
  std::vector<float> key_bodies, action, last_action;
  BodyState body;

  HandMadeStep()
      : q(g1()->q_default),
        qd(29, 0.0),
        torque(29, 0.0),
        frame(layout.width(), 0.0f),
        command{0.5f, -0.2f, 0.3f},
        command_ahead{0.6f, -0.1f, 0.2f},
        feed_forward(29, 0.0f),
        feet{0.01f, 0.11f, 0.035f, -0.02f, -0.12f, 0.06f},
        key_bodies(3 * g1()->key_bodies.size()),
        action(15, 0.0f),
        last_action(15, 0.0f) {
    // numbers that floats hold exactly, so that a perfect body has no error at all
    for (int i = 0; i < 29; ++i) frame[i] = static_cast<float>(q[i] = 0.25 + i / 64.0);
    for (int i = 0; i < 29; ++i) frame[29 + i] = static_cast<float>(qd[i] = 1 - i / 8.0);
    frame[layout.height()] = 0.75f;
    frame[layout.gravity() + 2] = -1;
    const float lin_vel[3] = {0.5f, -0.25f, 0.125f}, ang_vel[3] = {0, 0, 0.375f};
    std::copy_n(lin_vel, 3, &frame[layout.lin_vel()]);
    std::copy_n(ang_vel, 3, &frame[layout.ang_vel()]);
    frame[layout.contact()] = 1;
    frame_ahead = frame;
    frame_ahead[layout.contact()] = 0.25f;
    frame_ahead[layout.contact() + 1] = 0.75f;
    for (int i = 0; i < 29; ++i) frame_ahead[i] += 0.5f;

    body.height = 0.75;
    body.quat_wb = Eigen::Quaterniond::Identity();
    body.gravity = Vec3(0, 0, -1);
    body.gyro = Vec3(0, 0, 0.375);
    body.lin_vel = Vec3(0.5, -0.25, 0.125);
    for (int side = 0; side < 2; ++side) {
      for (int axis = 0; axis < 3; ++axis) body.feet[side][axis] = feet[3 * side + axis];
      body.foot_vel[side] = Vec3::Zero();
    }
    for (std::size_t i = 0; i < key_bodies.size(); ++i) key_bodies[i] = 0.5f - i / 32.0f;
    for (std::size_t i = 0; i < key_bodies.size(); i += 3)
      body.key_bodies.emplace_back(key_bodies[i], key_bodies[i + 1], key_bodies[i + 2]);
    body.last_qd = qd;
    body.load[0] = 300;
    body.foot_force[0] = Vec3(0, 0, 300);
  }

  StepView view() {
    body.q = q;
    body.qd = qd;
    body.torque = torque;
    const ReferenceView now{frame.data(), command.data(), feed_forward.data(), feet.data(),
                            key_bodies.data()};
    const ReferenceView ahead{frame_ahead.data(), command_ahead.data(), feed_forward.data(),
                              feet.data(), key_bodies.data()};
    return {*g1(), body, now, ahead, layout, action, last_action};
  }
};

}  // namespace twist
