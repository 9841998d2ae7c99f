#pragma once

// Shared by the bindings_*.cpp files, the only ones that know Python: names, shapes and lifetimes;
// no logic.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "motion/reference.h"

namespace twist {

namespace py = pybind11;
using namespace pybind11::literals;

using Release = py::call_guard<py::gil_scoped_release>;

/// (vx, vy, wz) as Python gives it.
using CommandTuple = std::array<double, 3>;

inline std::vector<Command> to_commands(const std::vector<CommandTuple>& tuples) {
  std::vector<Command> commands;
  for (const auto& t : tuples) commands.push_back({t[0], t[1], t[2]});
  return commands;
}

/// A NumPy array of the given shape that takes over the memory of `values`.
template <class T>
py::array_t<T> to_array(std::vector<T>&& values, std::vector<py::ssize_t> shape) {
  auto owner = std::make_unique<std::vector<T>>(std::move(values));
  const T* data = owner->data();
  const py::capsule release(owner.release(),
                            [](void* p) { delete static_cast<std::vector<T>*>(p); });
  return py::array_t<T>(std::move(shape), data, release);
}

void bind_settings(py::module_& m);
void bind_motion(py::module_& m);
void bind_commands(py::module_& m);
void bind_cmg(py::module_& m);
void bind_generator(py::module_& m);
void bind_env(py::module_& m);
void bind_learn(py::module_& m);
void bind_serve(py::module_& m);

}  // namespace twist
