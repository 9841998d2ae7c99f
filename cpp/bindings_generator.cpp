// CmgMotionGenerator: tensors and arrays in, views of its memory out.

#include <ATen/ATen.h>
#include <torch/csrc/utils/pybind.h>

#include <numeric>

#include "base/error.h"
#include "bindings.h"
#include "motion/cmg_motion_generator.h"

namespace twist {
namespace {

using IntArray = py::array_t<std::int64_t, py::array::c_style | py::array::forcecast>;
using FloatArray = py::array_t<float, py::array::c_style | py::array::forcecast>;

// the generator with the arrays that it answers with
struct Reader {
  std::unique_ptr<CmgMotionGenerator> generator;
  std::vector<int> everyone;
  at::Tensor rows;  // (num_envs, features)

  // environment numbers; None means all
  std::vector<int> ids(const py::object& given) const {
    if (given.is_none()) return everyone;
    // an array of floats or truths would be taken for numbers of environments without a word
    const auto array = py::array::ensure(given);
    const char kind = array ? array.dtype().kind() : '?';
    const bool whole = kind == 'i' || kind == 'u' || (array && array.size() == 0);
    if (!whole || array.ndim() != 1) fail("env_ids must be a list of whole numbers");
    const IntArray numbers(array);
    std::vector<int> ids;
    std::vector<bool> seen(everyone.size());
    for (py::ssize_t i = 0; i < numbers.size(); ++i) {
      const std::int64_t id = numbers.data()[i];
      if (id < 0 || id >= std::int64_t(everyone.size()))
        fail("there is no environment ", id, "; they are 0 to ", everyone.size() - 1);
      if (seen[id]) fail("environment ", id, " is named twice");
      seen[id] = true;
      ids.push_back(static_cast<int>(id));
    }
    return ids;
  }
};

// a float array of the given shape; one row, or a single row that stands for all
FloatArray to_rows(const py::object& given, const char* name, std::size_t rows, int width) {
  auto array = FloatArray::ensure(given);
  if (!array) fail(name, " must be an array of numbers");
  if (array.ndim() != 2 || std::size_t(array.shape(0)) != rows || array.shape(1) != width)
    fail(name, " must have shape (", rows, ", ", width, ")");
  for (py::ssize_t i = 0; i < array.size(); ++i) {
    if (!std::isfinite(array.data()[i])) fail(name, " holds ", array.data()[i]);
  }
  return array;
}

std::vector<Command> to_command_list(const py::object& given, std::size_t rows) {
  const FloatArray array = to_rows(given, "commands", rows, 3);
  std::vector<Command> commands;
  for (std::size_t i = 0; i < rows; ++i) {
    const float* c = array.data(i);
    commands.push_back({c[0], c[1], c[2]});
  }
  return commands;
}

void reset(Reader& self, const py::object& env_ids, const py::object& init_motion,
           const py::object& commands) {
  const std::vector<int> ids = self.ids(env_ids);
  CmgMotionGenerator& g = *self.generator;
  std::vector<Command> wishes;
  if (!commands.is_none()) wishes = to_command_list(commands, ids.size());
  std::vector<float> frames;
  if (!init_motion.is_none()) {
    // joint angles and velocities; a root that is not given is the standing one
    const int given = 2 * g.num_joints();
    const FloatArray motion = to_rows(init_motion, "init_motion", ids.size(), given);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      frames.insert(frames.end(), motion.data(i), motion.data(i) + given);
      frames.insert(frames.end(), g.standing_frame().begin() + given, g.standing_frame().end());
    }
  }
  py::gil_scoped_release release;
  g.reset(ids, wishes, frames);
}

// (ids, columns) views of frames that are `offset` frames ahead
at::Tensor read(Reader& self, const py::object& env_ids, int offset) {
  const std::vector<int> some = env_ids.is_none() ? std::vector<int>() : self.ids(env_ids);
  const std::vector<int>& ids = env_ids.is_none() ? self.everyone : some;
  const int features = self.generator->features();
  float* out = self.rows.data_ptr<float>();
  for (const int id : ids) out = std::copy_n(self.generator->read(id, offset), features, out);
  return self.rows.narrow(0, 0, ids.size());
}

std::pair<at::Tensor, at::Tensor> joints_of(const Reader& self, const at::Tensor& rows) {
  const int joints = self.generator->num_joints();
  return {rows.narrow(1, 0, joints), rows.narrow(1, joints, joints)};
}

void advance(Reader& self, const py::object& env_ids) {
  const std::vector<int> some = env_ids.is_none() ? std::vector<int>() : self.ids(env_ids);
  py::gil_scoped_release release;
  self.generator->advance(env_ids.is_none() ? self.everyone : some);
}

py::dict performance(const Reader& self) {
  const CmgMotionGenerator& g = *self.generator;
  const auto& times = g.generation_ms();
  const double sum = std::accumulate(times.begin(), times.end(), 0.0);
  const auto [least, most] = std::minmax_element(times.begin(), times.end());
  return py::dict("mode"_a = g.settings().mode, "generations"_a = times.size(),
                  "mean_ms"_a = times.empty() ? 0.0 : sum / times.size(),
                  "max_ms"_a = times.empty() ? 0.0 : *most,
                  "min_ms"_a = times.empty() ? 0.0 : *least,
                  "generated_frames"_a = g.generated_frames(), "generation_s"_a = g.generation_s(),
                  "ring_bytes"_a = g.ring_bytes(), "nonfinite"_a = g.nonfinite());
}

}  // namespace

at::ScalarType scalar_type(const std::string& name) {
  if (name == "float32") return at::kFloat;
  if (name == "bfloat16") return at::kBFloat16;
  fail("dtype must be float32 or bfloat16, not '", name, "'");
}

void bind_generator(py::module_& m) {
  py::class_<Reader>(m, "CmgMotionGenerator",
                     "Joint motion of many environments at 50 Hz, ready to be read.")
      .def(py::init([](const Cmg& model, const CmgMotionSettings& settings,
                       std::shared_ptr<Workers> workers, const std::string& dtype,
                       const std::string& device) {
             Reader self;
             self.generator = std::make_unique<CmgMotionGenerator>(
                 model, settings, std::move(workers), scalar_type(dtype), at::Device(device));
             self.everyone.resize(settings.num_envs);
             std::iota(self.everyone.begin(), self.everyone.end(), 0);
             self.rows = at::zeros({settings.num_envs, self.generator->features()});
             return self;
           }),
           "model"_a, "settings"_a, "workers"_a, "dtype"_a = "float32", "device"_a = "cpu")
      .def("reset", &reset, "env_ids"_a = py::none(), "init_motion"_a = py::none(),
           "commands"_a = py::none(),
           "Puts environments at their first frame: standing, or init_motion (ids, 2 * joints).")
      .def(
          "update_commands",
          [](Reader& self, const py::object& commands, const py::object& env_ids) {
            const std::vector<int> ids = self.ids(env_ids);
            const std::vector<Command> wishes = to_command_list(commands, ids.size());
            py::gil_scoped_release release;
            self.generator->update_commands(ids, wishes);
          },
          "commands"_a, "env_ids"_a = py::none(),
          "New commands (ids, 3); motion goes on from the current frames.")
      .def("advance", &advance, "env_ids"_a = py::none(), "Moves environments on by one frame.")
      .def("read", &read, "env_ids"_a = py::none(), "offset"_a = 0,
           "Whole frames (ids, features), `offset` frames from now. Changes nothing; the tensor is "
           "overwritten by the next read.")
      .def(
          "get_motion",
          [](Reader& self, const py::object& env_ids) {
            const auto motion = joints_of(self, read(self, env_ids, 0));
            advance(self, env_ids);
            return motion;
          },
          "env_ids"_a = py::none(),
          "Joint angles and velocities (ids, joints) of the current frames, then moves on. The "
          "tensors are overwritten by the next read.")
      .def(
          "switch_mode",
          [](Reader& self, const std::string& mode) {
            py::gil_scoped_release release;
            self.generator->switch_mode(mode);
          },
          "mode"_a, "pregenerated or realtime; motion goes on from the current frames.")
      .def("get_performance_stats", &performance)
      .def_property_readonly("commands",
                             [](const Reader& self) {
                               std::vector<CommandTuple> commands;
                               for (const int id : self.everyone) {
                                 const Command& c = self.generator->command(id);
                                 commands.push_back({c.vx, c.vy, c.wz});
                               }
                               return commands;
                             })
      .def_property_readonly("num_envs", [](const Reader& self) { return self.everyone.size(); })
      .def_property_readonly("mode",
                             [](const Reader& self) { return self.generator->settings().mode; });
}

}  // namespace twist
