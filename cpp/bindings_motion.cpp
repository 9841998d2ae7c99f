// Commands, generators, recorded clips, the reference pool.

#include <map>
#include <string>
#include <tuple>

#include "base/error.h"
#include "base/parallel.h"
#include "base/robot.h"
#include "bindings.h"
#include "motion/clips.h"
#include "motion/commands.h"
#include "motion/doctor.h"
#include "motion/dynamics.h"
#include "motion/gait.h"
#include "motion/kinematics.h"
#include "motion/measure.h"
#include "motion/polish.h"
#include "motion/pool.h"
#include "motion/reflex.h"

namespace twist {
namespace {

using RowOf = float* (Trajectories::*)(int, int);

// a (streams, frames, width) view of streams that lie in one block; width 0 is that of a frame
py::array_t<float> block_view(py::object self, RowOf row, int width) {
  auto& t = self.cast<Trajectories&>();
  if (width == 0) width = t.width();
  for (int stream = 1; stream < t.streams; ++stream) {
    if ((t.*row)(stream, 0) != (t.*row)(0, 0) + std::size_t(stream) * t.frames * width)
      fail("these streams do not lie in one block; take them one by one with stream(index)");
  }
  return py::array_t<float>({py::ssize_t(t.streams), py::ssize_t(t.frames), py::ssize_t(width)},
                            t.streams ? (t.*row)(0, 0) : nullptr, self);
}

py::array_t<float> stream_view(py::object self, int stream) {
  auto& t = self.cast<Trajectories&>();
  if (stream < 0 || stream >= t.streams) throw py::index_error("no such stream");
  return py::array_t<float>({py::ssize_t(t.lengths[stream]), py::ssize_t(t.width())},
                            t.row(stream, 0), self);
}

// keeps a Python object alive from C++, whichever thread lets it go
std::shared_ptr<void> keep(py::object object) {
  return {object.release().ptr(), [](void* pointer) {
            py::gil_scoped_acquire gil;
            Py_DECREF(static_cast<PyObject*>(pointer));
          }};
}

// the memory of an array, never that of a copy
float* memory_of(py::array& array, const char* name) {
  if (!py::isinstance<py::array_t<float, py::array::c_style>>(array) || !array.writeable())
    fail(name, " must be a contiguous array of float32 that can be written");
  return static_cast<float*>(array.mutable_data());
}

Trajectories mapped(py::array rows, py::array commands, const std::vector<int>& lengths,
                    int joints) {
  py::ssize_t total = 0;
  for (const int length : lengths) total += length;
  const py::ssize_t width = FrameLayout{joints}.width();
  if (rows.ndim() != 2 || rows.shape(0) != total || rows.shape(1) != width ||
      commands.ndim() != 2 || commands.shape(0) != total || commands.shape(1) != 3) {
    fail("rows and commands must be (", total, ", ", width, ") and (", total, ", 3) floats");
  }
  float *first = memory_of(rows, "rows"), *command = memory_of(commands, "commands");
  return Trajectories(lengths, joints, first, command, keep(py::make_tuple(rows, commands)));
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
  if (!dict["dof_vel"].is_none()) clip.qd = to_vector(dict["dof_vel"]);
  return clip;
}

py::dict from_clip(const Clip& clip) {
  const auto table = [&](const std::vector<double>& values, std::size_t width) {
    return py::array_t<double>({values.size() / width, width}, values.data());
  };
  py::dict dict;
  dict["name"] = clip.name;
  dict["fps"] = clip.fps;
  dict["joint_names"] = clip.joint_names;
  dict["root_pos"] = table(clip.root_pos, 3);
  dict["root_quat_wxyz"] = table(clip.root_quat, 4);
  dict["dof_pos"] = table(clip.q, clip.joint_names.size());
  return dict;
}

// where the parts of a row lie, by the names of FrameLayout
py::dict row_layout(int joints) {
  const FrameLayout layout{joints};
  py::dict dict;
  dict["lin_vel"] = layout.lin_vel();
  dict["ang_vel"] = layout.ang_vel();
  dict["width"] = layout.width();
  return dict;
}

void bind_doctor(py::module_& m) {
  py::class_<Finding>(m, "Finding", "One thing that is wrong with a clip, or worth knowing.")
      .def_readonly("kind", &Finding::kind)
      .def_readonly("severity", &Finding::severity)
      .def_readonly("first", &Finding::first)
      .def_readonly("last", &Finding::last)
      .def_readonly("worst", &Finding::worst)
      .def_readonly("limit", &Finding::limit)
      .def_readonly("reason", &Finding::reason);
  py::class_<Diagnosis>(m, "Diagnosis", "What the doctor found about a clip; see motion/doctor.h.")
      .def_readonly("findings", &Diagnosis::findings)
      .def_readonly("floor", &Diagnosis::floor)
      .def_readonly("first", &Diagnosis::first)
      .def_readonly("last", &Diagnosis::last)
      .def_readonly("usable", &Diagnosis::usable)
      .def_readonly("why", &Diagnosis::why);
  py::class_<Doctor>(m, "Doctor", "Judges and mends recorded motion.")
      .def(py::init<const Robot&>(), "robot"_a)
      .def_static("kinds", &Doctor::kinds)
      .def(
          "examine",
          [](Doctor& doctor, const py::dict& dict) {
            const Clip clip = to_clip(dict);
            py::gil_scoped_release release;
            return doctor.examine(clip);
          },
          "clip"_a)
      .def(
          "mend",
          [](Doctor& doctor, const py::dict& dict) {
            const Mended mended = doctor.mend(to_clip(dict));
            return py::make_tuple(from_clip(mended.clip), mended.done);
          },
          "clip"_a, "The mended clip, and a line about each thing that was done.");
  m.def(
      "fps_of_velocities", [](const py::dict& dict) { return fps_of_velocities(to_clip(dict)); },
      "clip"_a,
      "The frame rate that the clip's own joint velocities fit; NaN if they do not tell.");
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

std::map<std::string, double> to_dict(const MotionReport& r) {
  const double frames = r.frames;
  return {{"vx", r.command.vx},
          {"vy", r.command.vy},
          {"wz", r.command.wz},
          {"mean_vx", r.vx},
          {"mean_vy", r.vy},
          {"mean_wz", r.wz},
          {"drift", r.drift},
          {"drift_height", r.drift_height},
          {"drift_knee", r.drift_knee},
          {"slip_mean", r.slip_mean},
          {"slip_max", r.slip_max},
          {"steps", r.steps},
          {"motion", r.motion},
          {"largest_step", r.largest_step},
          {"limit_violations", r.limit_violations},
          {"nonfinite", r.nonfinite},
          {"force", r.force / frames},
          {"pressure", r.pressure / frames},
          {"yaw", r.yaw / frames},
          {"impossible", r.impossible / frames}};
}

}  // namespace

void bind_motion(py::module_& m) {
  py::class_<CommandPlan>(m, "CommandPlan", "Command targets of many streams over time.")
      .def_readonly("streams", &CommandPlan::streams)
      .def_readonly("frames", &CommandPlan::frames);
  m.def(
      "supports",
      [](const CommandSettings& settings, const CommandTuple& command) {
        return supports(settings, {command[0], command[1], command[2]});
      },
      "settings"_a, "command"_a, "Whether a command lies in the set that is walked.");
  m.def("random_plan", &random_plan, "settings"_a, "streams"_a, "frames"_a, "seed"_a);
  m.def(
      "constant_plan",
      [](const std::vector<CommandTuple>& commands, int frames) {
        return constant_plan(to_commands(commands), frames);
      },
      "commands"_a, "frames"_a);

  m.def(
      "plan",
      [](py::array_t<double, py::array::c_style | py::array::forcecast> targets) {
        if (targets.ndim() != 3 || targets.shape(2) != 3)
          fail("targets must be (streams, frames, 3)");
        CommandPlan plan{int(targets.shape(0)), int(targets.shape(1)), {}};
        for (const double* c = targets.data(); c < targets.data() + targets.size(); c += 3)
          plan.targets.push_back({c[0], c[1], c[2]});
        return plan;
      },
      "targets"_a, "Any commands (streams, frames, 3).");

  py::class_<Trajectories>(m, "Trajectories",
                           "Motion of many streams; rows as described in motion/reference.h.")
      .def(py::init<int, int, int>(), "streams"_a, "frames"_a, "joints"_a)
      .def_readonly("streams", &Trajectories::streams)
      .def_readonly("frames", &Trajectories::frames)
      .def_readonly("joints", &Trajectories::joints)
      .def_readwrite("lengths", &Trajectories::lengths)
      .def_readwrite("weights", &Trajectories::weights)
      .def("append", &Trajectories::append, "other"_a, "factor"_a = 1.0)
      .def_static(
          "mapped", &mapped, "rows"_a, "commands"_a, "lengths"_a, "joints"_a,
          "Recorded motion in arrays (all frames, width) and (all frames, 3), used in place.")
      .def(
          "stream", [](py::object self, int i) { return stream_view(self, i); }, "index"_a,
          "Rows (length, width) of one stream.")
      .def_property_readonly(
          "rows", [](py::object self) { return block_view(self, &Trajectories::row, 0); })
      .def_property_readonly(
          "commands", [](py::object self) { return block_view(self, &Trajectories::command, 3); })
      .def_property_readonly(
          "targets", [](py::object self) { return block_view(self, &Trajectories::target, 3); });

  py::class_<Generator, std::shared_ptr<Generator>>(m, "Generator")
      .def_property_readonly("num_joints", &Generator::num_joints);
  py::class_<GaitLibrary, Generator, std::shared_ptr<GaitLibrary>>(
      m, "GaitLibrary", "Closed-form walking for any command.")
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
  m.def("row_layout", &row_layout, "joints"_a, "Where parts of a row of motion lie.");
  bind_doctor(m);

  py::class_<Reflexes>(m, "Reflexes", "Steps for a standing robot that was pushed.")
      .def_property_readonly("count", [](const Reflexes& r) { return r.entries.size(); });
  m.def("stage_commands", &stage_commands, "settings"_a, "preset"_a,
        "Settings narrowed to a preset of CommandSampler.");
  m.def("make_reflexes", &make_reflexes, "robot"_a, "settings"_a, "workers"_a, Release());
  py::class_<MotionPool, std::shared_ptr<MotionPool>>(m, "MotionPool",
                                                      "Reference motion ready for environments.")
      .def(py::init<const Robot&, const Trajectories&, Workers&>(), "robot"_a, "motion"_a,
           "workers"_a, Release())
      .def("set_reflexes", &MotionPool::set_reflexes, "reflexes"_a)
      .def_property_readonly("streams", &MotionPool::streams)
      .def_property_readonly("lengths", [](const MotionPool& pool) {
        std::vector<int> lengths;
        for (int i = 0; i < pool.streams(); ++i) lengths.push_back(pool.length(i));
        return lengths;
      });

  m.def("body_poses", &body_poses_dict, "robot"_a, "motion"_a, "stream"_a,
        "points"_a = std::vector<PointTuple>(),
        "Names of the bodies, the root first; their positions (frames, bodies, 3) and rotations "
        "(frames, bodies, 4; w x y z) in the world, and local positions from the root in its "
        "frame. The root is integrated from the rows. `points` are (name, body, offset).");
  m.def(
      "measure_motion",
      [](const Robot& robot, const Trajectories& motion, int settle, Workers& workers) {
        std::vector<std::map<std::string, double>> reports;
        for (const MotionReport& r : measure_motion(robot, motion, settle, workers))
          reports.push_back(to_dict(r));
        return reports;
      },
      "robot"_a, "motion"_a, "settle"_a, "workers"_a, Release(),
      "Judges every stream from frame `settle` on; see motion/measure.h.");
  m.def("ground_demand", &ground_demand, "robot"_a, "motion"_a, "stream"_a,
        "What the ground must give at each frame: force ratio, distance of the centre of pressure "
        "from the soles (m), "
        "yaw moment (N m), whether in double support, height of the lowest sole point (m).");
}

}  // namespace twist
