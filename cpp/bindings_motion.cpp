// Commands, generators, recorded clips, the reference pool.

#include "base/parallel.h"
#include "base/robot.h"
#include "bindings.h"
#include "motion/clips.h"
#include "motion/doctor.h"
#include "motion/dynamics.h"
#include "motion/gait.h"
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
  m.def("row_layout", &row_layout, "joints"_a, "Where parts of a row of motion lie.");
  bind_doctor(m);

  py::class_<MotionPool, std::shared_ptr<MotionPool>>(m, "MotionPool",
                                                      "Reference motion ready for environments.")
      .def(py::init<const Robot&, const Trajectories&, Workers&>(), "robot"_a, "motion"_a,
           "workers"_a, Release())
      .def_property_readonly("streams", &MotionPool::streams);

  m.def("ground_demand", &ground_demand, "robot"_a, "motion"_a, "stream"_a,
        "What the ground must give at each frame: force ratio, distance of the centre of pressure "
        "from the soles (m), "
        "yaw moment (N m), whether in double support, height of the lowest sole point (m).");
}

}  // namespace twist
