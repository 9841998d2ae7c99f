#include "motion/gait.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace twist {
namespace {

constexpr double kAnkleHeight = 0.035;  // of the foot body above the sole, from the foot spheres
constexpr double kGravity = 9.81;

// planar speed above 1 m/s
double fast_speed(const Command& command) {
  return std::max(0.0, std::hypot(command.vx, command.vy) - 1.0);
}

double min_jerk(double u) { return u * u * u * (10.0 - 15.0 * u + 6.0 * u * u); }

}  // namespace

// exact motion with a constant twist in the moving frame
GaitLibrary::Pose GaitLibrary::Pose::moved(const Vec2& velocity, double yaw_rate,
                                           double time) const {
  const double angle = yaw_rate * time;
  double sin_part = time, cos_part = 0.5 * angle * time;
  if (std::abs(angle) > 1e-6) {
    sin_part = std::sin(angle) / yaw_rate;
    cos_part = (1.0 - std::cos(angle)) / yaw_rate;
  }
  const Vec2 local(sin_part * velocity.x() - cos_part * velocity.y(),
                   cos_part * velocity.x() + sin_part * velocity.y());
  return {to_world(local), yaw + angle};
}

GaitLibrary::GaitLibrary(const Robot& robot, const GaitSettings& settings)
    : robot_(robot), settings_(settings), legs_{Leg(robot, 0), Leg(robot, 1)} {
  const char* sides[2] = {"left_", "right_"};
  for (int side = 0; side < 2; ++side) {
    shoulder_pitch_[side] = robot.joint_index(std::string(sides[side]) + "shoulder_pitch_joint");
    shoulder_roll_[side] = robot.joint_index(std::string(sides[side]) + "shoulder_roll_joint");
    elbow_[side] = robot.joint_index(std::string(sides[side]) + "elbow_joint");
  }
  waist_yaw_ = robot.joint_index("waist_yaw_joint");

  // place the feet relative to the centre of mass, which depends on where the feet are: a few
  // rounds suffice
  const ModelPtr model = robot.make_model({});
  const DataPtr data(mj_makeData(model.get()));
  standing_.q = robot.q_default;
  standing_.pelvis.z() = settings.height;
  for (int round = 0; round < 4; ++round) {
    mj_resetData(model.get(), data.get());
    data->qpos[2] = standing_.pelvis.z();
    std::copy(standing_.q.begin(), standing_.q.end(), data->qpos + 7);
    mj_kinematics(model.get(), data.get());
    mj_comPos(model.get(), data.get());
    foot_x_ = data->subtree_com[3] - settings.ankle_back;
    omega_ = std::sqrt(kGravity / data->subtree_com[5]);
    pose_body(standing_stream(), &standing_);
  }
}

void GaitLibrary::resize(int streams) { streams_.assign(streams, standing_stream()); }

void GaitLibrary::reset(int stream) { streams_.at(stream) = standing_stream(); }

GaitLibrary::Stream GaitLibrary::standing_stream() const {
  Stream stream;
  for (int side = 0; side < 2; ++side) stream.foot[side] = foothold(stream.path, {}, side);
  stream.previous = stream.current = stream.next = standing_;
  return stream;
}

void GaitLibrary::advance(int first, int count, const Command* targets, float* rows,
                          float* commands) {
  const int width = FrameLayout{num_joints()}.width();
  for (int i = 0; i < count; ++i) {
    Stream& stream = streams_[first + i];
    // velocities are central differences, so the stream runs one frame ahead of what it emits
    std::swap(stream.previous, stream.current);
    std::swap(stream.current, stream.next);
    step(stream, targets[i]);
    stream.next.q = stream.current.q;  // start of the inverse kinematics
    pose_body(stream, &stream.next);
    write(stream, rows + std::size_t(i) * width, commands + std::size_t(i) * 3);
  }
}

void GaitLibrary::step(Stream& stream, const Command& target) const {
  switch (stream.mode) {
    case Mode::kStand:
      if (!target.is_zero()) begin_start(stream, target);
      break;
    case Mode::kStart:
    case Mode::kStop:
      stream.progress += kControlStep / settings_.shift_s;
      if (stream.progress < 1.0 - 1e-9) break;
      stream.mode = stream.mode == Mode::kStart ? Mode::kWalk : Mode::kStand;
      stream.progress = (stream.progress - 1.0) * settings_.shift_s / step_s({});
      stream.steps_in_place = 0;
      stream.swing = stream.foot[1 - stream.stance];
      break;
    case Mode::kWalk: {
      const Command& now = stream.command;
      stream.path = stream.path.moved(path_velocity(now), now.wz, kControlStep);
      stream.command = ramp(now, target, settings_.accel_x, settings_.accel_y, settings_.accel_yaw);
      if (!stream.command.is_zero()) stream.steps_in_place = -1;
      stream.progress += kControlStep / step_s(stream.command);
      move_swing_foot(stream);
      if (stream.progress >= 1.0 - 1e-9) end_step(stream, target);
      break;
    }
  }
}

// the first step is taken with the foot on the side of the motion
void GaitLibrary::begin_start(Stream& stream, const Command& target) const {
  stream.mode = Mode::kStart;
  stream.progress = 0;
  const double towards_left = std::abs(target.vy) > 0.05 ? target.vy : target.wz;
  stream.stance = towards_left > 0 ? 1 : 0;
}

// the swing foot has landed: change feet, or stop if both feet were planted without a command
void GaitLibrary::end_step(Stream& stream, const Command& target) const {
  stream.foot[1 - stream.stance] = stream.swing;
  stream.lift = 0;
  stream.stance = 1 - stream.stance;
  stream.swing = stream.foot[1 - stream.stance];
  stream.progress -= 1.0;
  ++stream.steps_in_place;
  if (stream.steps_in_place < 2 || !target.is_zero()) return;
  stream.mode = Mode::kStop;
  stream.progress *= step_s({}) / settings_.shift_s;
}

// In a turn the body leans inwards by a/omega^2, a being the centripetal acceleration, so the
// pendulum balances over the path.
Vec2 GaitLibrary::lean(const Command& command) const {
  return Vec2(-command.vy, command.vx) * command.wz / (omega_ * omega_);
}

// The pelvis, on its smaller radius, has the commanded velocity; the path between the feet is
// faster.
Vec2 GaitLibrary::path_velocity(const Command& command) const {
  const double turn = command.wz / omega_;
  return Vec2(command.vx, command.vy) * (1.0 + turn * turn);
}

double GaitLibrary::step_s(const Command& command) const {
  const double weighted =
      std::hypot(command.vx, settings_.stride_vy * command.vy, settings_.stride_wz * command.wz);
  return 0.5 * (settings_.stride_s + settings_.stride_per_speed * std::min(1.0, weighted) +
                settings_.stride_per_fast * fast_speed(command));
}

double GaitLibrary::duty(const Command& command) const {
  return std::max(0.505, settings_.duty + settings_.duty_per_fast * fast_speed(command));
}

double GaitLibrary::half_width(const Command& command) const {
  // at speed the feet are apart lengthwise
  const double close = 1.0 - 0.5 * std::min(1.0, std::abs(command.vx));
  const double sideways = std::abs(command.vy) * step_s(command);
  return settings_.half_width + settings_.half_width_per_side * close * sideways;
}

GaitLibrary::Pose GaitLibrary::foothold(const Pose& path, const Command& command, int side) const {
  const double y = half_width(command);
  return {path.to_world({foot_x_, side == 0 ? y : -y}), path.yaw};
}

void GaitLibrary::move_swing_foot(Stream& stream) const {
  const int side = 1 - stream.stance;
  const double margin = duty(stream.command) - 0.5;  // double support at both ends of the step
  const double u = std::clamp((stream.progress - margin) / (1.0 - 2.0 * margin), 0.0, 1.0);

  // the foot must be under the path half a step after it lands
  const double step = step_s(stream.command);
  const double ahead = std::max(0.0, 1.0 - stream.progress) * step + 0.5 * step;
  const Command& command = stream.command;
  const Pose target =
      foothold(stream.path.moved(path_velocity(command), command.wz, ahead), command, side);

  const Pose& start = stream.foot[side];
  const double s = min_jerk(u);
  stream.swing.xy = (1.0 - s) * start.xy + s * target.xy;
  stream.swing.yaw = (1.0 - s) * start.yaw + s * target.yaw;
  stream.lift = 16.0 * u * u * (1.0 - u) * (1.0 - u);
}

// Lateral pelvis motion of the weight shift towards the left foot, from rest to the velocity with
// which the periodic motion passes the midline: the quintic with the boundary values (0, 0, 0) and
// (0, velocity, acceleration).
double GaitLibrary::shift(double progress, double* acceleration) const {
  const double time = settings_.shift_s, w = settings_.half_width;
  const double velocity = omega_ * w * std::tanh(0.5 * omega_ * step_s({})) * time;
  const double end = omega_ * omega_ * w * time * time;
  const double c3 = -4.0 * velocity + 0.5 * end, c4 = 7.0 * velocity - end,
               c5 = -3.0 * velocity + 0.5 * end;
  const double u = progress;
  *acceleration = (6.0 * c3 + 12.0 * c4 * u + 20.0 * c5 * u * u) * u / (time * time);
  return u * u * u * (c3 + c4 * u + c5 * u * u);
}

// Where the pelvis is relative to the path: the linear inverted pendulum over the stance foot.
Vec2 GaitLibrary::pelvis_offset(const Stream& stream, double* share_left) const {
  const double side = stream.stance == 0 ? 1.0 : -1.0;
  switch (stream.mode) {
    case Mode::kStand:
      *share_left = 0.5;
      return Vec2::Zero();
    case Mode::kStart:
    case Mode::kStop: {
      // stopping is starting played backwards
      const bool start = stream.mode == Mode::kStart;
      double acceleration;
      const double y = side * (start ? 1.0 : -1.0) *
                       shift(start ? stream.progress : 1.0 - stream.progress, &acceleration);
      acceleration *= side * (start ? 1.0 : -1.0);
      const double pressure = y - acceleration / (omega_ * omega_);
      *share_left = std::clamp(0.5 + 0.5 * pressure / settings_.half_width, 0.0, 1.0);
      return {0, y};
    }
    case Mode::kWalk:
      break;
  }

  // share of the load: linear through double support
  const double margin = duty(stream.command) - 0.5;
  const double from_end = std::min(stream.progress, 1.0 - stream.progress);
  const double share = std::clamp(0.5 + 0.5 * from_end / margin, 0.5, 1.0);
  *share_left = stream.stance == 0 ? share : 1.0 - share;

  const double step = step_s(stream.command);
  const double tau = (stream.progress - 0.5) * step, half = 0.5 * omega_ * step;
  const double sway =
      side * half_width(stream.command) * (1.0 - std::cosh(omega_ * tau) / std::cosh(half));
  const double surge = 0.5 * step * std::sinh(omega_ * tau) / std::sinh(half) - tau;
  return path_velocity(stream.command) * surge + lean(stream.command) + Vec2(0, sway);
}

void GaitLibrary::pose_body(const Stream& stream, Sample* sample) const {
  const Command& command = stream.command;
  double share_left;
  const Vec2 xy = stream.path.to_world(pelvis_offset(stream, &share_left));
  const double speed2 = std::min(3.2, command.vx * command.vx + command.vy * command.vy);
  sample->pelvis << xy, settings_.height + settings_.height_per_speed2 * speed2;
  sample->share[0] = share_left;
  sample->share[1] = 1.0 - share_left;
  sample->command = command;

  // feet in the path frame
  Pose feet[2] = {stream.foot[0], stream.foot[1]};
  double lift[2] = {0, 0};
  if (stream.mode == Mode::kWalk) {
    feet[1 - stream.stance] = stream.swing;
    lift[1 - stream.stance] = stream.lift;
  }
  double ahead[2];
  for (int side = 0; side < 2; ++side) {
    ahead[side] = (rot_2d(-stream.path.yaw) * (feet[side].xy - stream.path.xy)).x() - foot_x_;
  }

  // trunk and arms swing against the legs
  const double separation = ahead[0] - ahead[1];
  sample->yaw = stream.path.yaw - settings_.pelvis_swing * separation;
  sample->q[waist_yaw_] = (settings_.waist_swing + settings_.pelvis_swing) * separation;
  for (int side = 0; side < 2; ++side) {
    const double swing = -settings_.arm_swing * ahead[1 - side];
    sample->q[shoulder_pitch_[side]] = settings_.shoulder_pitch + swing;
    sample->q[shoulder_roll_[side]] =
        side == 0 ? settings_.shoulder_roll : -settings_.shoulder_roll;
    sample->q[elbow_[side]] = settings_.elbow - settings_.elbow_swing * swing;
  }

  // legs
  const Mat3 base_from_world = rot_z(-sample->yaw);
  for (int side = 0; side < 2; ++side) {
    const Vec3 ankle(feet[side].xy.x(), feet[side].xy.y(),
                     kAnkleHeight + settings_.clearance * lift[side]);
    const double pitch = settings_.toe_down * std::min(1.0, std::sqrt(speed2)) * lift[side];
    const Mat3 sole = rot_z(feet[side].yaw - sample->yaw) *
                      Eigen::AngleAxisd(pitch, Vec3::UnitY()).toRotationMatrix();
    Leg::Angles angles;
    for (int i = 0; i < 6; ++i) angles[i] = sample->q[legs_[side].joints()[i]];
    legs_[side].inverse(base_from_world * (ankle - sample->pelvis), sole, &angles);
    legs_[side].clamp(&angles);
    for (int i = 0; i < 6; ++i) sample->q[legs_[side].joints()[i]] = angles[i];
  }
}

void GaitLibrary::write(const Stream& stream, float* row, float* command) const {
  const FrameLayout layout{num_joints()};
  const Sample &before = stream.previous, &now = stream.current, &after = stream.next;
  constexpr double per_two_frames = 0.5 / kControlStep;
  for (int joint = 0; joint < layout.joints; ++joint) {
    row[layout.q() + joint] = static_cast<float>(now.q[joint]);
    row[layout.qd() + joint] =
        static_cast<float>((after.q[joint] - before.q[joint]) * per_two_frames);
  }
  const Vec3 velocity = rot_z(-now.yaw) * (after.pelvis - before.pelvis) * per_two_frames;
  const double values[] = {now.pelvis.z(),
                           0,
                           0,
                           -1,
                           velocity.x(),
                           velocity.y(),
                           velocity.z(),
                           0,
                           0,
                           (after.yaw - before.yaw) * per_two_frames,
                           now.share[0],
                           now.share[1]};
  std::copy(std::begin(values), std::end(values), row + layout.height());
  command[0] = static_cast<float>(now.command.vx);
  command[1] = static_cast<float>(now.command.vy);
  command[2] = static_cast<float>(now.command.wz);
}

}  // namespace twist
