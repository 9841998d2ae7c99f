// The Python module `twist_cmg._C`. Only the bindings*.cpp files know Python.

#include "bindings.h"

#include "base/parallel.h"
#include "base/robot.h"
#include "twist_versions.h"

namespace twist {
namespace {

void bind_base(py::module_& m) {
  py::class_<Workers, std::shared_ptr<Workers>>(m, "Workers",
                                                "Worker threads; 0 means all usable cores.")
      .def(py::init<int>(), "threads"_a = 0)
      .def_property_readonly("count", &Workers::count);
  py::class_<Robot, std::shared_ptr<Robot>>(m, "Robot",
                                            "Names, limits, gains and mirror map of a robot.")
      .def(py::init<RobotSettings>(), "settings"_a)
      .def_property_readonly("num_joints", &Robot::num_joints)
      .def_property_readonly("num_actions", &Robot::num_actions)
      .def_readonly("joint_names", &Robot::joint_names)
      .def_readonly("lower", &Robot::lower)
      .def_readonly("upper", &Robot::upper)
      .def_property_readonly("name", [](const Robot& r) { return r.settings().name; })
      .def_readonly("effort", &Robot::effort)
      .def_readonly("armature", &Robot::armature)
      .def_readonly("kp", &Robot::kp)
      .def_readonly("kd", &Robot::kd)
      .def_readonly("default_pose", &Robot::q_default)
      .def_readonly("acted_joints", &Robot::acted_joints)
      .def_readonly("action_scale", &Robot::action_scale)
      .def_readonly("mirror_joint", &Robot::mirror_joint)
      .def_readonly("mirror_sign", &Robot::mirror_sign)
      .def_readonly("in_leg", &Robot::in_leg)
      .def_readonly("total_mass", &Robot::total_mass);
}

}  // namespace
}  // namespace twist

PYBIND11_MODULE(_C, m) {
  using namespace twist;
  m.doc() = "The C++ core of twist_cmg.";
  m.attr("torch_version") = kTorchVersion;
  m.attr("mujoco_version") = kMujocoVersion;
  bind_settings(m);
  bind_base(m);
  bind_motion(m);
  bind_commands(m);
  bind_cmg(m);
  bind_generator(m);
  bind_env(m);
  bind_learn(m);
  bind_serve(m);
}
