#include "motion/clips.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/rotation.h"
#include "motion/dynamics.h"

namespace twist {
namespace {

constexpr int kCommandWindow = 25;       // frames on each side over which the command is averaged
constexpr double kContactHeight = 0.03;  // m above the other foot
constexpr double kContactSpeed = 0.6;    // m/s

// motion of one clip at 50 Hz
struct Motion {
  int frames = 0;
  std::vector<Vec3> position;
  std::vector<Eigen::Quaterniond> quat;
  std::vector<std::vector<double>> q;  // (frames, joints) in the robot's order
};

void check_finite(const Clip& clip) {
  for (const auto* values : {&clip.root_pos, &clip.root_quat, &clip.q}) {
    if (!std::all_of(values->begin(), values->end(), [](double x) { return std::isfinite(x); })) {
      fail("clip '", clip.name, "' contains values that are not finite");
    }
  }
}

Motion resample(const Robot& robot, const Clip& clip) {
  const std::vector<int> column = joint_columns(robot, clip);
  check_finite(clip);
  const int source_frames = clip.frames();
  const std::size_t joints = clip.joint_names.size();

  Motion out;
  out.frames = 1 + static_cast<int>((source_frames - 1) / clip.fps / kControlStep);
  for (int frame = 0; frame < out.frames; ++frame) {
    const double place = frame * kControlStep * clip.fps;
    const int a = std::min(static_cast<int>(place), source_frames - 2), b = a + 1;
    const double u = place - a;
    const auto lerp = [&](double from, double to) { return from + u * (to - from); };
    Vec3 position;
    for (int axis = 0; axis < 3; ++axis)
      position[axis] = lerp(clip.root_pos[3 * a + axis], clip.root_pos[3 * b + axis]);
    out.position.push_back(position);
    out.quat.push_back(quat_from_mujoco(&clip.root_quat[4 * a])
                           .normalized()
                           .slerp(u, quat_from_mujoco(&clip.root_quat[4 * b]).normalized()));
    auto& q = out.q.emplace_back();
    for (std::size_t joint = 0; joint < column.size(); ++joint) {
      const double angle =
          lerp(clip.q[a * joints + column[joint]], clip.q[b * joints + column[joint]]);
      q.push_back(std::clamp(angle, robot.lower[joint], robot.upper[joint]));
    }
  }
  return out;
}

// binomial smoothing (1 4 6 4 1), ends kept
template <class Value>
void smooth(std::vector<Value>& signal) {
  const std::vector<Value> in = signal;
  for (std::size_t i = 2; i + 2 < in.size(); ++i) {
    signal[i] = (in[i - 2] + 4 * in[i - 1] + 6 * in[i] + 4 * in[i + 1] + in[i + 2]) / 16;
  }
}

// A low-pass of about 5 Hz: what is faster in recorded motion is noise, and accelerations would
// consist of nothing else.
constexpr int kPasses = 4;

void smooth_all(Motion& motion) {
  for (int pass = 0; pass < kPasses; ++pass) smooth(motion.position);
  for (std::size_t joint = 0; joint < motion.q[0].size(); ++joint) {
    std::vector<double> angle;
    for (const auto& q : motion.q) angle.push_back(q[joint]);
    for (int pass = 0; pass < kPasses; ++pass) smooth(angle);
    for (int frame = 0; frame < motion.frames; ++frame) motion.q[frame][joint] = angle[frame];
  }
}

// all of a row but the contacts
void write_row(const FrameLayout& layout, const Motion& motion, int frame, float* row) {
  const int a = std::max(0, frame - 1), b = std::min(motion.frames - 1, frame + 1);
  const double rate = 1.0 / ((b - a) * kControlStep);
  for (int joint = 0; joint < layout.joints; ++joint) {
    row[layout.q() + joint] = static_cast<float>(motion.q[frame][joint]);
    row[layout.qd() + joint] = static_cast<float>((motion.q[b][joint] - motion.q[a][joint]) * rate);
  }
  const Eigen::Quaterniond& quat = motion.quat[frame];
  const Vec3 gravity = quat.conjugate() * Vec3(0, 0, -1);
  const Vec3 velocity = rot_z(-heading(quat)) * (motion.position[b] - motion.position[a]) * rate;
  const Eigen::AngleAxisd turn(motion.quat[a].conjugate() * motion.quat[b]);
  const double angle = turn.angle() > M_PI ? turn.angle() - 2 * M_PI : turn.angle();
  const Vec3 spin = turn.axis() * angle * rate;
  row[layout.height()] = static_cast<float>(motion.position[frame].z());
  for (int axis = 0; axis < 3; ++axis) {
    row[layout.gravity() + axis] = static_cast<float>(gravity[axis]);
    row[layout.lin_vel() + axis] = static_cast<float>(velocity[axis]);
    row[layout.ang_vel() + axis] = static_cast<float>(spin[axis]);
  }
}

void write_rows(const FrameLayout& layout, const Motion& motion, int stream, Trajectories& out) {
  for (int frame = 0; frame < motion.frames; ++frame)
    write_row(layout, motion, frame, out.row(stream, frame));
}

// Somebody who walks always has a sole on the floor: shifts the pelvis until the lower sole is
// there.
void ground(ReferenceDynamics& dynamics, const Trajectories& rows, int stream, Motion& motion) {
  std::vector<double> lowest;
  for (int frame = 0; frame < motion.frames; ++frame) {
    const float* row = rows.row(stream, frame);
    dynamics.evaluate(row, row, row);
    lowest.push_back(dynamics.lowest);
  }
  for (int pass = 0; pass < kPasses; ++pass) smooth(lowest);
  for (int frame = 0; frame < motion.frames; ++frame) motion.position[frame].z() -= lowest[frame];
}

// plans which foot carries
void find_contacts(const FrameLayout& layout, ReferenceDynamics& dynamics, const Motion& motion,
                   int stream, Trajectories& out) {
  std::vector<Vec3> feet[2];  // world
  for (int frame = 0; frame < motion.frames; ++frame) {
    const float* row = out.row(stream, frame);
    dynamics.evaluate(row, row, row);
    for (int side = 0; side < 2; ++side) {
      Vec3 foot = rot_z(heading(motion.quat[frame])) * dynamics.feet[side];
      foot.head<2>() += motion.position[frame].head<2>();
      feet[side].push_back(foot);
    }
  }
  std::vector<double> left_share;
  for (int frame = 0; frame < motion.frames; ++frame) {
    const int a = std::max(0, frame - 1), b = std::min(motion.frames - 1, frame + 1);
    const double lower = std::min(feet[0][frame].z(), feet[1][frame].z());
    double weight[2];
    for (int side = 0; side < 2; ++side) {
      const double speed = (feet[side][b] - feet[side][a]).norm() / ((b - a) * kControlStep);
      const bool down = feet[side][frame].z() < lower + kContactHeight && speed < kContactSpeed;
      weight[side] = down ? 1.0 : 0.0;
    }
    // someone must carry
    if (weight[0] + weight[1] == 0) weight[feet[0][frame].z() <= feet[1][frame].z() ? 0 : 1] = 1;
    left_share.push_back(weight[0] / (weight[0] + weight[1]));
  }

  // load moves from foot to foot over a few frames
  smooth(left_share);
  smooth(left_share);
  for (int frame = 0; frame < motion.frames; ++frame) {
    out.row(stream, frame)[layout.contact()] = static_cast<float>(left_share[frame]);
    out.row(stream, frame)[layout.contact() + 1] = static_cast<float>(1.0 - left_share[frame]);
  }
}

// the command that describes the motion: its velocity averaged over a second
void find_commands(const FrameLayout& layout, int stream, Trajectories& out) {
  const int length = out.lengths[stream];
  for (int frame = 0; frame < length; ++frame) {
    const int first = std::max(0, frame - kCommandWindow),
              last = std::min(length - 1, frame + kCommandWindow);
    double sum[3] = {};
    for (int other = first; other <= last; ++other) {
      const float* row = out.row(stream, other);
      sum[0] += row[layout.lin_vel()];
      sum[1] += row[layout.lin_vel() + 1];
      sum[2] += row[layout.ang_vel() + 2];
    }
    for (int i = 0; i < 3; ++i)
      out.command(stream, frame)[i] = static_cast<float>(sum[i] / (last - first + 1));
  }
}

}  // namespace

std::vector<int> joint_columns(const Robot& robot, const Clip& clip) {
  const std::size_t frames = clip.root_pos.size() / 3, joints = clip.joint_names.size();
  if (!(clip.fps >= 1 && clip.fps <= 1000))
    fail("clip '", clip.name, "': fps is ", clip.fps, ", expected 1 to 1000");
  if (frames < 10) fail("clip '", clip.name, "' has ", frames, " frames; at least 10 are needed");
  if (clip.root_quat.size() != 4 * frames || clip.q.size() != joints * frames ||
      (!clip.qd.empty() && clip.qd.size() != clip.q.size())) {
    fail("clip '", clip.name, "': root positions, root rotations and joints differ in length");
  }
  std::vector<int> columns;
  for (const auto& name : robot.joint_names) {
    const auto& names = clip.joint_names;
    const auto found = std::find(names.begin(), names.end(), name);
    if (std::count(names.begin(), names.end(), name) != 1) {
      fail("clip '", clip.name, "' has no joint '", name, "'; it has: ", join(names));
    }
    columns.push_back(static_cast<int>(found - names.begin()));
  }
  return columns;
}

Trajectories clip_trajectories(const Robot& robot, const std::vector<Clip>& clips) {
  const FrameLayout layout{robot.num_joints()};
  std::vector<Motion> motions;
  std::vector<int> lengths;
  for (const Clip& clip : clips) {
    motions.push_back(resample(robot, clip));
    smooth_all(motions.back());
    lengths.push_back(motions.back().frames);
  }

  Trajectories out(lengths, robot.num_joints());
  ReferenceDynamics dynamics(robot);
  for (int stream = 0; stream < out.streams; ++stream) {
    write_rows(layout, motions[stream], stream, out);
    ground(dynamics, out, stream, motions[stream]);
    write_rows(layout, motions[stream], stream, out);
    find_contacts(layout, dynamics, motions[stream], stream, out);
    find_commands(layout, stream, out);
  }
  return out;
}

}  // namespace twist
