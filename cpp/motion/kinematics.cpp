#include "motion/kinematics.h"

#include <algorithm>

#include "base/error.h"

namespace twist {
namespace {

Vec3 vec(const float* p) { return {p[0], p[1], p[2]}; }

// how fast the x axis of the base turns about the vertical, from the angular velocity in the base
double heading_rate(const FrameLayout& layout, const float* row) {
  const Eigen::Quaterniond tilt = tilt_from_gravity(vec(row + layout.gravity()));
  const Vec3 spin = tilt * vec(row + layout.ang_vel()), x_axis = tilt * Vec3::UnitX();
  return spin.z() - spin.x() * x_axis.z() / x_axis.x();
}

// Runs the kinematics of one frame; the root is at `xy` with heading `yaw`.
void pose(const mjModel* model, mjData* data, const float* row, const Vec2& xy, double yaw) {
  const FrameLayout layout{model->njnt - 1};
  const Eigen::Quaterniond turn(Eigen::AngleAxisd(yaw, Vec3::UnitZ()));
  std::copy_n(xy.data(), 2, data->qpos);
  data->qpos[2] = row[layout.height()];
  quat_to_mujoco(turn * tilt_from_gravity(vec(row + layout.gravity())), data->qpos + 3);
  std::copy_n(row + layout.q(), layout.joints, data->qpos + 7);
  mj_kinematics(model, data);
}

void check(const Robot& robot, const Trajectories& motion, int stream) {
  if (motion.joints != robot.num_joints()) {
    fail("the motion has ", motion.joints, " joints but robot '", robot.settings().name, "' has ",
         robot.num_joints());
  }
  if (stream < 0 || stream >= motion.streams) {
    fail("there is no stream ", stream, "; there are ", motion.streams, ", counted from 0");
  }
}

}  // namespace

Path integrate_path(const Trajectories& motion, int stream) {
  const FrameLayout layout{motion.joints};
  const int length = motion.lengths[stream];
  Path path{std::vector<Vec2>(length, Vec2::Zero()), std::vector<double>(length, 0.0)};
  for (int frame = 1; frame < length; ++frame) {
    const float *a = motion.row(stream, frame - 1), *b = motion.row(stream, frame);
    path.yaw[frame] = path.yaw[frame - 1] +
                      0.5 * kControlStep * (heading_rate(layout, a) + heading_rate(layout, b));
    const Vec2 va = rot_2d(path.yaw[frame - 1]) * vec(a + layout.lin_vel()).head<2>();
    const Vec2 vb = rot_2d(path.yaw[frame]) * vec(b + layout.lin_vel()).head<2>();
    path.xy[frame] = path.xy[frame - 1] + 0.5 * kControlStep * (va + vb);
  }
  return path;
}

BodyPoses body_poses(const Robot& robot, const Trajectories& motion, int stream,
                     const std::vector<FixedPoint>& points) {
  check(robot, motion, stream);
  const ModelPtr model = robot.make_model({});
  const DataPtr data(mj_makeData(model.get()));

  // the model's bodies without the world, each as a point at its own origin
  std::vector<int> ids;
  std::vector<Vec3> offsets;
  BodyPoses out;
  const auto add = [&](const std::string& name, int id, const Vec3& offset) {
    out.names.push_back(name);
    ids.push_back(id);
    offsets.push_back(offset);
  };
  for (int body = 1; body < model->nbody; ++body) {
    add(mj_id2name(model.get(), mjOBJ_BODY, body), body, Vec3::Zero());
  }
  const std::vector<std::string> bodies = out.names;
  for (const FixedPoint& point : points) {
    const int id = mj_name2id(model.get(), mjOBJ_BODY, point.body.c_str());
    if (id < 0) fail("there is no body '", point.body, "'; there are ", join(bodies));
    add(point.name, id, point.offset);
  }

  const Path path = integrate_path(motion, stream);
  for (int frame = 0; frame < motion.lengths[stream]; ++frame) {
    pose(model.get(), data.get(), motion.row(stream, frame), path.xy[frame], path.yaw[frame]);
    const Vec3 root = Eigen::Map<const Vec3>(data->xpos + 3 * ids[0]);
    const Eigen::Quaterniond root_quat = quat_from_mujoco(data->xquat + 4 * ids[0]);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const double* quat = data->xquat + 4 * ids[i];
      const Vec3 position =
          Eigen::Map<const Vec3>(data->xpos + 3 * ids[i]) + quat_from_mujoco(quat) * offsets[i];
      const Vec3 local = root_quat.conjugate() * (position - root);
      out.positions.insert(out.positions.end(), position.data(), position.data() + 3);
      out.rotations.insert(out.rotations.end(), quat, quat + 4);
      out.local.insert(out.local.end(), local.data(), local.data() + 3);
    }
  }
  return out;
}

}  // namespace twist
