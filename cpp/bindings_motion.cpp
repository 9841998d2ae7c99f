// Commands, generators, recorded clips, the reference pool.

#include <string>
#include <tuple>

#include "base/parallel.h"
#include "base/robot.h"
#include "bindings.h"
#include "motion/clips.h"
#include "motion/dynamics.h"
#include "motion/gait.h"
#include "motion/kinematics.h"
#include "motion/polish.h"
#include "motion/pool.h"

namespace twist {
namespace {

// a (streams, frames, width) view of a buffer of `owner`
py::array_t<float> view(std::vector<float>& buffer, py::ssize_t streams, py::ssize_t frames,
                        py::ssize_t width, py::handle owner) {
  return py::array_t<float>({buffer.empty() ? 0 : streams, frames, width}, buffer.data(), owner);
}

std::vector<double> to_vector(const py::object& object) {
  const auto array = object.cast<py::array_t<double, py::array::c_style | py::array::forcecast>>();
  return {array.data(), array.data() + array.size()};
}

Clip to_clip(const py::dict& dict) {
  Clip clip;
  clip.name = dict["name"].cast<std::string>();
  clip.fps = dict["fps"].cast<double>();
  clip.joint_names = dict["joint_names"].cast<std::vector<std::string>>();
  clip.root_pos = to_vector(dict["root_pos"]);
  clip.root_quat = to_vector(dict["root_quat_wxyz"]);
  clip.q = to_vector(dict["dof_pos"]);
  return clip;
}

// (frames, 5), see its binding
py::array_t<double> ground_demand(const Robot& robot, const Trajectories& motion, int stream) {
  ReferenceDynamics dynamics(robot);
  const int length = motion.lengths.at(stream);
  py::array_t<double> out({length, 5});
  auto rows = out.mutable_unchecked<2>();
  for (int frame = 0; frame < length; ++frame) {
    dynamics.evaluate(motion.row(stream, std::max(0, frame - 1)), motion.row(stream, frame),
                      motion.row(stream, std::min(length - 1, frame + 1)));
    const GroundDemand& demand = dynamics.demand;
    const double values[] = {demand.force_ratio, demand.pressure_outside, demand.yaw_moment,
                             double(demand.double_support), dynamics.lowest};
    for (int i = 0; i < 5; ++i) rows(frame, i) = values[i];
  }
  return out;
}

// (name, body, offset) as Python gives it
using PointTuple = std::tuple<std::string, std::string, std::array<double, 3>>;

py::dict body_poses_dict(const Robot& robot, const Trajectories& motion, int stream,
                         const std::vector<PointTuple>& tuples) {
  std::vector<FixedPoint> points;
  for (const auto& [name, body, offset] : tuples)
    points.push_back({name, body, Vec3(offset.data())});
  BodyPoses poses = body_poses(robot, motion, stream, points);
  const auto bodies = std::ssize(poses.names), frames = std::ssize(poses.positions) / 3 / bodies;
  py::dict dict;
  dict["names"] = poses.names;
  dict["positions"] = to_array(std::move(poses.positions), {frames, bodies, 3});
  dict["rotations"] = to_array(std::move(poses.rotations), {frames, bodies, 4});
  dict["local"] = to_array(std::move(poses.local), {frames, bodies, 3});
  return dict;
}

}  // namespace

void bind_motion(py::module_& m) {
  py::class_<CommandPlan>(m, "CommandPlan", "Command targets of many streams over time.")
      .def_readonly("streams", &CommandPlan::streams)
      .def_readonly("frames", &CommandPlan::frames);
  m.def("random_plan", &random_plan, "settings"_a, "streams"_a, "frames"_a, "seed"_a);
  m.def(
      "constant_plan",
      [](const std::vector<CommandTuple>& commands, int frames) {
        return constant_plan(to_commands(commands), frames);
      },
      "commands"_a, "frames"_a);

  py::class_<Trajectories>(m, "Trajectories",
                           "Motion of many streams; rows as described in motion/reference.h.")
      .def(py::init<int, int, int>(), "streams"_a, "frames"_a, "joints"_a)
      .def_readonly("streams", &Trajectories::streams)
      .def_readonly("frames", &Trajectories::frames)
      .def_readonly("joints", &Trajectories::joints)
      .def_readwrite("lengths", &Trajectories::lengths)
      .def_property_readonly("rows",
                             [](py::object self) {
                               auto& t = self.cast<Trajectories&>();
                               return view(t.rows, t.streams, t.frames, t.width(), self);
                             })
      .def_property_readonly("commands",
                             [](py::object self) {
                               auto& t = self.cast<Trajectories&>();
                               return view(t.commands, t.streams, t.frames, 3, self);
                             })
      .def_property_readonly("targets", [](py::object self) {
        auto& t = self.cast<Trajectories&>();
        return view(t.targets, t.streams, t.frames, 3, self);
      });

  py::class_<Generator>(m, "Generator").def_property_readonly("num_joints", &Generator::num_joints);
  py::class_<GaitLibrary, Generator>(m, "GaitLibrary", "Closed-form walking for any command.")
      .def(py::init<const Robot&, const GaitSettings&>(), "robot"_a, "settings"_a = GaitSettings())
      .def_property_readonly("standing_pose", &GaitLibrary::standing_pose);
  m.def("generate", &generate, "generator"_a, "plan"_a, "workers"_a, Release());
  m.def("generate_balanced", &generate_balanced, "robot"_a, "generator"_a, "plan"_a, "workers"_a,
        Release());
  m.def(
      "clip_trajectories",
      [](const Robot& robot, const std::vector<py::dict>& dicts) {
        std::vector<Clip> clips;
        for (const auto& dict : dicts) clips.push_back(to_clip(dict));
        py::gil_scoped_release release;
        return clip_trajectories(robot, clips);
      },
      "robot"_a, "clips"_a);

  py::class_<MotionPool, std::shared_ptr<MotionPool>>(m, "MotionPool",
                                                      "Reference motion ready for environments.")
      .def(py::init<const Robot&, const Trajectories&, Workers&>(), "robot"_a, "motion"_a,
           "workers"_a, Release())
      .def_property_readonly("streams", &MotionPool::streams);

  m.def("body_poses", &body_poses_dict, "robot"_a, "motion"_a, "stream"_a,
        "points"_a = std::vector<PointTuple>(),
        "Names of the bodies, the root first; their positions (frames, bodies, 3) and rotations "
        "(frames, bodies, 4; w x y z) in the world, and local positions from the root in its "
        "frame. The root is integrated from the rows. `points` are (name, body, offset).");
  m.def("ground_demand", &ground_demand, "robot"_a, "motion"_a, "stream"_a,
        "What the ground must give at each frame: force ratio, distance of the centre of pressure "
        "from the soles (m), "
        "yaw moment (N m), whether in double support, height of the lowest sole point (m).");
}

}  // namespace twist
