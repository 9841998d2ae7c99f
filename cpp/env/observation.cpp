#include "env/observation.h"

#include <algorithm>

namespace twist {
namespace {

constexpr float kPolarSign[3] = {1, -1, 1};     // of a vector in a mirror
constexpr char kFirstRemembered[] = "gravity";  // of a student: from here on it is history

void command(const StepView& v, float* out) { std::copy_n(v.now.command, 3, out); }

void write(const Vec3& vector, float* out) {
  for (int axis = 0; axis < 3; ++axis) out[axis] = static_cast<float>(vector[axis]);
}

void gravity(const StepView& v, float* out) { write(v.body.gravity, out); }

void gyro(const StepView& v, float* out) { write(v.body.gyro, out); }

void lin_vel(const StepView& v, float* out) { write(v.body.lin_vel, out); }

void lin_vel_error(const StepView& v, float* out) {
  for (int axis = 0; axis < 3; ++axis) {
    out[axis] = static_cast<float>(v.body.lin_vel[axis]) - v.now.frame[v.layout.lin_vel() + axis];
  }
}

void drift(const StepView& v, float* out) { write(v.body.drift, out); }

void height_error(const StepView& v, float* out) {
  out[0] = static_cast<float>(v.body.height) - v.now.frame[v.layout.height()];
}

void joint_error(const StepView& v, float* out) {
  for (int i = 0; i < v.layout.joints; ++i)
    out[i] = static_cast<float>(v.body.q[i]) - v.now.frame[v.layout.q() + i];
}

void joint_velocity_error(const StepView& v, float* out) {
  for (int i = 0; i < v.layout.joints; ++i) {
    out[i] = 0.1f * (static_cast<float>(v.body.qd[i]) - v.now.frame[v.layout.qd() + i]);
  }
}

// the legs of one reference frame, positions about the default pose
void legs(const StepView& v, const float* frame, float* out) {
  for (const auto& leg : v.robot.leg_joints) {
    for (const int joint : leg)
      *out++ = frame[v.layout.q() + joint] - static_cast<float>(v.robot.q_default[joint]);
  }
}

void reference_legs(const StepView& v, float* out) { legs(v, v.now.frame, out); }

void reference_legs_ahead(const StepView& v, float* out) { legs(v, v.ahead.frame, out); }

void reference_leg_velocity(const StepView& v, float* out) {
  for (const auto& leg : v.robot.leg_joints) {
    for (const int joint : leg) *out++ = 0.1f * v.now.frame[v.layout.qd() + joint];
  }
}

void foot_error(const StepView& v, float* out) {
  for (int side = 0; side < 2; ++side) {
    for (int axis = 0; axis < 3; ++axis) {
      *out++ = 5.0f * (static_cast<float>(v.body.feet[side][axis]) - v.now.feet[3 * side + axis]);
    }
  }
}

void planned_contact(const StepView& v, float* out) {
  std::copy_n(v.now.frame + v.layout.contact(), 2, out);
}

void planned_contact_ahead(const StepView& v, float* out) {
  std::copy_n(v.ahead.frame + v.layout.contact(), 2, out);
}

void measured_contact(const StepView& v, float* out) {
  for (int side = 0; side < 2; ++side) out[side] = v.body.loaded(side) ? 1.0f : 0.0f;
}

void last_action(const StepView& v, float* out) {
  std::copy(v.action.begin(), v.action.end(), out);
}

void reference_height(const StepView& v, float* out) { out[0] = v.now.frame[v.layout.height()]; }

void reference_gravity(const StepView& v, float* out) {
  std::copy_n(v.now.frame + v.layout.gravity(), 3, out);
}

void reference_joints(const StepView& v, float* out) {
  for (int i = 0; i < v.layout.joints; ++i)
    out[i] = v.now.frame[v.layout.q() + i] - static_cast<float>(v.robot.q_default[i]);
}

void lin_vel_estimate(const StepView& v, float* out) { write(v.body.lin_vel_estimate, out); }

void drift_estimate(const StepView& v, float* out) { write(v.body.drift_estimate, out); }

void joint_position(const StepView& v, float* out) {
  for (int i = 0; i < v.layout.joints; ++i)
    out[i] = static_cast<float>(v.body.q[i] - v.robot.q_default[i]);
}

void joint_velocity(const StepView& v, float* out) {
  for (int i = 0; i < v.layout.joints; ++i) out[i] = 0.1f * static_cast<float>(v.body.qd[i]);
}

std::vector<ObservationBlock> teacher_blocks(const Robot& robot) {
  const int joints = robot.num_joints(), actions = robot.num_actions();
  return {
      {"command", 3, Mirror::kCommand, command},
      {"gravity", 3, Mirror::kPolar, gravity, 0.03f},
      {"gyro", 3, Mirror::kAxial, gyro, 0.1f},
      {"lin_vel", 3, Mirror::kPolar, lin_vel, 0.05f},
      {"lin_vel_error", 3, Mirror::kPolar, lin_vel_error, 0.05f},
      {"drift", 3, Mirror::kCommand, drift, 0.02f},
      {"height_error", 1, Mirror::kScalar, height_error, 0.01f},
      {"joint_error", joints, Mirror::kJoints, joint_error, 0.01f},
      {"joint_velocity_error", joints, Mirror::kJoints, joint_velocity_error, 0.05f},
      {"reference_legs", 12, Mirror::kLegs, reference_legs},
      {"reference_leg_velocity", 12, Mirror::kLegs, reference_leg_velocity},
      {"reference_legs_ahead", 12, Mirror::kLegs, reference_legs_ahead},
      {"foot_error", 6, Mirror::kFeet, foot_error, 0.05f},
      {"planned_contact", 2, Mirror::kFootPair, planned_contact},
      {"planned_contact_ahead", 2, Mirror::kFootPair, planned_contact_ahead},
      {"measured_contact", 2, Mirror::kFootPair, measured_contact},
      {"last_action", actions, Mirror::kActions, last_action},
  };
}

// what is to be done, what the policy believes, and what a robot measures (remembered)
std::vector<ObservationBlock> student_blocks(const Robot& robot) {
  const int joints = robot.num_joints(), actions = robot.num_actions();
  return {
      {"command", 3, Mirror::kCommand, command},
      {"reference_height", 1, Mirror::kScalar, reference_height},
      {"reference_gravity", 3, Mirror::kPolar, reference_gravity},
      {"reference_joints", joints, Mirror::kJoints, reference_joints},
      {"reference_leg_velocity", 12, Mirror::kLegs, reference_leg_velocity},
      {"reference_legs_ahead", 12, Mirror::kLegs, reference_legs_ahead},
      {"planned_contact", 2, Mirror::kFootPair, planned_contact},
      {"planned_contact_ahead", 2, Mirror::kFootPair, planned_contact_ahead},
      {"lin_vel_estimate", 3, Mirror::kPolar, lin_vel_estimate},
      {"drift_estimate", 3, Mirror::kCommand, drift_estimate},
      {kFirstRemembered, 3, Mirror::kPolar, gravity, 0.03f},
      {"gyro", 3, Mirror::kAxial, gyro, 0.1f},
      {"joint_position", joints, Mirror::kJoints, joint_position, 0.01f},
      {"joint_velocity", joints, Mirror::kJoints, joint_velocity, 0.05f},
      {"last_action", actions, Mirror::kActions, last_action},
  };
}

}  // namespace

ObservationLayout::ObservationLayout(const Robot& robot, const ObservationSettings& settings) {
  const bool student = settings.kind == "student";
  blocks_ = student ? student_blocks(robot) : teacher_blocks(robot);
  for (const auto& block : blocks_) add_mirror(robot, block);
  if (!student) return;

  // past frames look in a mirror as the present does
  estimates_ = 3;
  history_ = settings.history;
  const auto first = std::find_if(blocks_.begin(), blocks_.end(),
                                  [](const auto& block) { return block.name == kFirstRemembered; });
  for (auto block = first; block != blocks_.end(); ++block) remembered_ += block->width;
  const int begin = present_ - remembered_;
  for (int frame = 0; frame < history_; ++frame) {
    const int shift = (frame + 1) * remembered_;
    for (int i = begin; i < present_; ++i) {
      mirror_source.push_back(mirror_source[i] + shift);
      mirror_sign.push_back(mirror_sign[i]);
    }
  }
}

// the mirror map of the next block
void ObservationLayout::add_mirror(const Robot& robot, const ObservationBlock& block) {
  const auto add = [&](int source, double sign) {
    mirror_source.push_back(present_ + source);
    mirror_sign.push_back(static_cast<float>(sign));
  };
  std::vector<int> action_source;
  std::vector<float> action_sign;
  action_mirror(robot, 0, &action_source, &action_sign);
  for (int i = 0; i < block.width; ++i) {
    switch (block.mirror) {
      case Mirror::kScalar:
        add(i, 1);
        break;
      case Mirror::kPolar:
        add(i, kPolarSign[i]);
        break;
      case Mirror::kAxial:
        add(i, -kPolarSign[i]);
        break;
      case Mirror::kCommand:
        add(i, i == 0 ? 1 : -1);
        break;
      case Mirror::kJoints:
        add(robot.mirror_joint[i], robot.mirror_sign[i]);
        break;
      case Mirror::kLegs:
        add((i + 6) % 12, robot.mirror_sign[robot.leg_joints[i / 6][i % 6]]);
        break;
      case Mirror::kFeet:
        add((i + 3) % 6, kPolarSign[i % 3]);
        break;
      case Mirror::kFootPair:
        add(1 - i, 1);
        break;
      case Mirror::kActions:
        add(action_source[i], action_sign[i]);
        break;
    }
  }
  present_ += block.width;
}

void ObservationLayout::fill(const StepView& view, float* out) const {
  for (const auto& block : blocks_) {
    block.fill(view, out);
    out += block.width;
  }
}

void ObservationLayout::remember(float* out) const {
  if (history_ == 0) return;
  float* history = out + present_;
  std::copy(history + remembered_, history + std::size_t(history_) * remembered_, history);
  std::copy_n(history - remembered_, remembered_,
              history + std::size_t(history_ - 1) * remembered_);
}

void ObservationLayout::forget(float* out) const {
  float* history = out + present_;
  for (int frame = 0; frame < history_; ++frame)
    std::copy_n(history - remembered_, remembered_, history + std::size_t(frame) * remembered_);
}

void ObservationLayout::add_joint_offset(std::span<const double> offsets, float* out) const {
  if (offsets.empty()) return;
  for (const auto& block : blocks_) {
    if (block.name == "joint_error" || block.name == "joint_position") {
      for (std::size_t i = 0; i < offsets.size(); ++i) out[i] += static_cast<float>(offsets[i]);
    }
    out += block.width;
  }
}

void ObservationLayout::add_noise(double factor, Random& random, float* out) const {
  for (const auto& block : blocks_) {
    for (int i = 0; i < block.width; ++i, ++out) {
      if (block.noise > 0) *out += static_cast<float>(factor * block.noise * random.normal());
    }
  }
}

void action_mirror(const Robot& robot, int estimates, std::vector<int>* source,
                   std::vector<float>* sign) {
  for (const int joint : robot.acted_joints) {
    const auto& acted = robot.acted_joints;
    source->push_back(static_cast<int>(
        std::find(acted.begin(), acted.end(), robot.mirror_joint[joint]) - acted.begin()));
    sign->push_back(static_cast<float>(robot.mirror_sign[joint]));
  }
  for (int i = 0; i < estimates; ++i) {
    source->push_back(static_cast<int>(source->size()));
    sign->push_back(kPolarSign[i]);
  }
}

}  // namespace twist
