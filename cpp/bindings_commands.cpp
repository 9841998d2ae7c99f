// Smoothing and sampling of velocity commands. Arrays come as anything NumPy can read and go as
// float32.

#include <memory>
#include <string>

#include "base/error.h"
#include "bindings.h"
#include "motion/commands.h"

namespace twist {
namespace {

using Envs = std::vector<std::int64_t>;
using OptionalInterval = std::optional<Interval>;
using OptionalAxes = std::optional<std::array<double, 3>>;

// `given` as NumPy reads it; UserError with NumPy's reason if it cannot
py::array as_array(const py::object& given, const char* name) {
  try {
    return py::module_::import("numpy").attr("asarray")(given);
  } catch (const py::error_already_set& error) {
    fail(name, " cannot be read as an array: ", py::str(error.value()).cast<std::string>());
  }
}

std::string py_text(const py::object& object) { return py::str(object).cast<std::string>(); }

// environments by number; none means all
Envs to_envs(const py::object& given, const Envs& all) {
  if (given.is_none()) return all;
  const py::array array = as_array(given, "env_ids");
  const char kind = array.dtype().kind();
  if (array.ndim() != 1 || (array.size() > 0 && kind != 'i' && kind != 'u')) {
    fail("env_ids must be whole numbers (n), not ", py_text(array.dtype()), " ",
         py_text(array.attr("shape")));
  }
  return py::array_t<std::int64_t, py::array::forcecast>(array).cast<Envs>();
}

// commands (rows, 3)
std::vector<float> to_rows(const py::object& given, std::size_t rows) {
  const py::array array = as_array(given, "commands");
  const char kind = array.dtype().kind();
  if (kind != 'f' && kind != 'i' && kind != 'u') {
    fail("commands must be numbers, not ", py_text(array.dtype()));
  }
  if (array.ndim() != 2 || array.shape(0) != py::ssize_t(rows) || array.shape(1) != 3) {
    fail("commands must be (", rows, ", 3), not ", py_text(array.attr("shape")));
  }
  const py::array_t<double, py::array::c_style | py::array::forcecast> values(array);
  return {values.data(), values.data() + values.size()};
}

// the rows of some environments, (envs, 3)
py::array_t<float> rows_of(const std::vector<float>& commands, const Envs& envs) {
  std::vector<float> rows;
  for (const std::int64_t env : envs) {
    const auto row = commands.begin() + 3 * env;
    rows.insert(rows.end(), row, row + 3);
  }
  return to_array(std::move(rows), {std::ssize(envs), 3});
}

void bind_smoother(py::module_& m) {
  py::class_<CommandSmoother>(m, "CommandSmoother",
                              "Straight ramps between commands (vx, vy, wz in m/s, m/s, rad/s) for "
                              "many environments.")
      .def(py::init<int, int>(), "num_envs"_a, "interpolation_steps"_a = 25)
      .def(
          "set_target",
          [](CommandSmoother& self, const py::object& commands, const py::object& env_ids) {
            const Envs envs = to_envs(env_ids, self.all());
            self.set_target(to_rows(commands, envs.size()), envs);
          },
          "commands"_a, "env_ids"_a = py::none(),
          "New targets (n, 3). A changed target starts a ramp at the present command; an unchanged "
          "one lets the ramp go on.")
      .def(
          "get_current",
          [](CommandSmoother& self, const py::object& env_ids) {
            const Envs envs = to_envs(env_ids, self.all());
            self.advance(envs);
            return rows_of(self.current(), envs);
          },
          "env_ids"_a = py::none(),
          "One step along the ramp, then the commands (n, 3). Call k after a change gives k/N of "
          "the way. Only the environments asked for advance.")
      .def(
          "reset",
          [](CommandSmoother& self, const py::object& env_ids, const py::object& commands) {
            const Envs envs = to_envs(env_ids, self.all());
            self.reset(commands.is_none() ? std::vector<float>(3 * envs.size())
                                          : to_rows(commands, envs.size()),
                       envs);
          },
          "env_ids"_a = py::none(), "commands"_a = py::none(),
          "Sets the present command and the target at once, to zero if no commands are given.")
      .def_property_readonly(
          "current",
          [](const CommandSmoother& self) { return rows_of(self.current(), self.all()); },
          "The present commands (num_envs, 3), a copy; reading them advances nothing.")
      .def_property_readonly(
          "target", [](const CommandSmoother& self) { return rows_of(self.target(), self.all()); },
          "The targets (num_envs, 3), a copy.")
      .def_property_readonly("num_envs",
                             [](const CommandSmoother& self) { return self.all().size(); })
      .def_property_readonly("interpolation_steps", &CommandSmoother::interpolation_steps);
}

// A sampler that knows how many commands are usually wanted.
struct PySampler : CommandSampler {
  std::optional<int> num_envs;
  int count(std::optional<int> n) const {
    if (!n && !num_envs) fail("say how many commands: give n, or num_envs to CommandSampler");
    return n ? *n : *num_envs;
  }
};

using Count = std::optional<int>;

std::unique_ptr<PySampler> make_sampler(Count num_envs, OptionalInterval vx, OptionalInterval vy,
                                        OptionalInterval wz, std::uint64_t seed,
                                        const CommandSet& supported) {
  if (num_envs && *num_envs < 0) fail("num_envs must be a whole number from 0 on, not ", *num_envs);
  const CommandSet ranges(vx.value_or(supported.vx), vy.value_or(supported.vy),
                          wz.value_or(supported.wz));
  return std::make_unique<PySampler>(PySampler{{ranges, supported, seed}, num_envs});
}

py::array_t<float> as_commands(std::vector<float>&& rows) {
  const auto n = py::ssize_t(rows.size() / 3);
  return to_array(std::move(rows), {n, 3});
}

// the method for a strategy
py::object sample(const py::object& self, const std::string& strategy, Count n,
                  const py::kwargs& options) {
  if (strategy == "uniform" || strategy == "curriculum" || strategy == "sequence")
    return self.attr(("sample_" + strategy).c_str())("n"_a = n, **options);
  if (strategy == "normal" || strategy == "truncated_normal")
    return self.attr("sample_distribution")(strategy, "n"_a = n, **options);
  for (const std::string& preset : CommandSampler::presets()) {
    if (strategy == preset) return self.attr("sample_preset")(strategy, "n"_a = n, **options);
  }
  fail("there is no strategy '", strategy,
       "'; there are uniform, curriculum, sequence, normal, truncated_normal, ",
       join(CommandSampler::presets()));
}

void bind_sampler(py::module_& m) {
  py::class_<CommandSet>(m, "CommandSet", "A box of commands: vx, vy (m/s) and wz (rad/s).")
      .def(py::init([](OptionalInterval vx, OptionalInterval vy, OptionalInterval wz) {
             const CommandSet usual;
             CommandSet set(vx.value_or(usual.vx), vy.value_or(usual.vy), wz.value_or(usual.wz));
             if (!vx) set.fast_from = usual.fast_from;
             return set;
           }),
           "vx"_a = py::none(), "vy"_a = py::none(), "wz"_a = py::none())
      .def(py::init<const CommandSettings&>(), "settings"_a)
      .def_readonly("vx", &CommandSet::vx)
      .def_readonly("vy", &CommandSet::vy)
      .def_readonly("wz", &CommandSet::wz)
      .def_readonly("fast_from", &CommandSet::fast_from);

  py::class_<PySampler>(
      m, "CommandSampler",
      "Draws commands (n, 3) of vx, vy (m/s) and wz (rad/s), all within `supported`. Command "
      "number i depends on the seed, i and the way it is drawn, not on how calls are cut.")
      .def(py::init(&make_sampler), "num_envs"_a = py::none(), "vx"_a = py::none(),
           "vy"_a = py::none(), "wz"_a = py::none(), "seed"_a = 0, "supported"_a = CommandSet())
      .def(
          "sample_uniform",
          [](PySampler& self, Count n) { return as_commands(self.uniform(self.count(n))); },
          "n"_a = py::none(), "Independent uniform numbers in `ranges`.")
      .def(
          "sample_curriculum",
          [](PySampler& self, double difficulty, Count n) {
            return as_commands(self.curriculum(difficulty, self.count(n)));
          },
          "difficulty"_a, "n"_a = py::none(),
          "From straight ahead at no more than half speed (0) to all of `ranges` (1).")
      .def(
          "sample_preset",
          [](PySampler& self, const std::string& name, Count n) {
            return as_commands(self.preset(name, self.count(n)));
          },
          "name"_a, "n"_a = py::none(), "One of `presets`, as far as it is supported.")
      .def(
          "sample_distribution",
          [](PySampler& self, const std::string& name, const OptionalAxes& mean,
             const OptionalAxes& std,
             Count n) { return as_commands(self.distribution(name, mean, std, self.count(n))); },
          "distribution"_a = "truncated_normal", "mean"_a = py::none(), "std"_a = py::none(),
          "n"_a = py::none(),
          "normal (clipped to `ranges`) or truncated_normal; mean and std are (vx, vy, wz).")
      .def(
          "sample_sequence",
          [](PySampler& self, int duration, int change_interval, const std::string& mode, Count n) {
            const int count = self.count(n);
            return to_array(self.sequence(duration, change_interval, mode, count),
                            {count, duration, 3});
          },
          "duration"_a, "change_interval"_a = 50, "mode"_a = "uniform", "n"_a = py::none(),
          "Commands over time (n, duration, 3): a new key every change_interval frames, straight "
          "lines between; mode is uniform, curriculum or preset:<name>.")
      .def("sample", &sample, "strategy"_a = "uniform", "n"_a = py::none(),
           "Any of the above by name: uniform, curriculum, sequence, normal, truncated_normal or a "
           "preset; further arguments as there.")
      .def(
          "sample_batch",
          [](const py::object& self, Count n, const std::string& strategy,
             const py::kwargs& options) { return sample(self, strategy, n, options); },
          "n"_a = py::none(), "strategy"_a = "uniform", "The same with the number first.")
      .def_property_readonly_static("presets", [](py::object) { return PySampler::presets(); })
      .def_property_readonly("ranges", &PySampler::ranges)
      .def_property_readonly("supported", &PySampler::supported)
      .def_readonly("num_envs", &PySampler::num_envs)
      .def_readwrite("drawn", &PySampler::drawn,
                     "How many commands have been drawn; set it to return to a place.");
}

}  // namespace

void bind_commands(py::module_& m) {
  bind_smoother(m);
  bind_sampler(m);
}

}  // namespace twist
