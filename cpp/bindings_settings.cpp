// Settings structs: one Python class each, made from the struct's own list of fields.

#include <map>

#include "base/robot.h"
#include "base/settings.h"
#include "bindings.h"
#include "env/env.h"
#include "learn/ppo.h"
#include "learn/trials.h"
#include "motion/cmg_motion_generator.h"
#include "motion/cmg_train.h"
#include "motion/gait.h"

namespace twist {
namespace {

struct FieldInfo {
  std::string name, type, doc;
  Valid valid;
};

template <class T>
constexpr const char* kTypeName = "settings";
template <>
constexpr const char* kTypeName<bool> = "bool";
template <>
constexpr const char* kTypeName<int> = "int";
template <>
constexpr const char* kTypeName<double> = "float";
template <>
constexpr const char* kTypeName<std::string> = "str";
template <>
constexpr const char* kTypeName<std::vector<double>> = "list[float]";
template <>
constexpr const char* kTypeName<std::vector<std::string>> = "list[str]";
template <>
constexpr const char* kTypeName<std::map<std::string, double>> = "dict[str,float]";

// Binds a settings struct from its one list of fields. Members are reached by their offset in the
// struct.
template <class S>
void bind_struct(py::module_& m, const char* name) {
  py::class_<S> binding(m, name);
  binding.def(py::init<>());
  std::vector<FieldInfo> infos;
  S sample;
  sample.visit([&](const char* field, auto& member, const Valid& valid, const char* doc) {
    using T = std::remove_reference_t<decltype(member)>;
    infos.push_back({field, kTypeName<T>, doc, valid});
    const std::ptrdiff_t offset =
        reinterpret_cast<char*>(&member) - reinterpret_cast<char*>(&sample);
    const auto at = [offset](S& self) -> T& {
      return *reinterpret_cast<T*>(reinterpret_cast<char*>(&self) + offset);
    };
    binding.def_property(
        field,
        py::cpp_function([at](S& self) -> T& { return at(self); },
                         py::return_value_policy::reference_internal),
        [at](S& self, const T& value) { at(self) = value; }, doc);
  });
  binding.def("fields", [infos](const S&) { return infos; });
}

}  // namespace

void bind_settings(py::module_& m) {
  py::class_<FieldInfo>(m, "Field")
      .def_readonly("name", &FieldInfo::name)
      .def_readonly("type", &FieldInfo::type)
      .def_readonly("doc", &FieldInfo::doc)
      .def_property_readonly("lower", [](const FieldInfo& f) { return f.valid.lower; })
      .def_property_readonly("upper", [](const FieldInfo& f) { return f.valid.upper; })
      .def_property_readonly("choices", [](const FieldInfo& f) { return f.valid.choices; });
  bind_struct<RobotSettings>(m, "RobotSettings");
  bind_struct<SimSettings>(m, "SimSettings");
  bind_struct<CommandSettings>(m, "CommandSettings");
  bind_struct<GaitSettings>(m, "GaitSettings");
  bind_struct<TerrainSettings>(m, "TerrainSettings");
  bind_struct<ResetSettings>(m, "ResetSettings");
  bind_struct<RandomiseSettings>(m, "RandomiseSettings");
  bind_struct<ReflexSettings>(m, "ReflexSettings");
  bind_struct<FeedForwardSettings>(m, "FeedForwardSettings");
  bind_struct<TerminationSettings>(m, "TerminationSettings");
  bind_struct<ObservationSettings>(m, "ObservationSettings");
  bind_struct<EnvSettings>(m, "EnvSettings");
  bind_struct<NetworkSettings>(m, "NetworkSettings");
  bind_struct<ImitationSettings>(m, "ImitationSettings");
  bind_struct<PpoSettings>(m, "PpoSettings");
  bind_struct<EvaluationSettings>(m, "EvaluationSettings");
  bind_struct<CmgSettings>(m, "CmgSettings");
  bind_struct<CmgTrainSettings>(m, "CmgTrainSettings");
  bind_struct<CmgMotionSettings>(m, "CmgMotionSettings");
  bind_struct<CmgDataSettings>(m, "CmgDataSettings");
}

}  // namespace twist
