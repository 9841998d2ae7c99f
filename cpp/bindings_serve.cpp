// Policy files.

#include <chrono>

#include "base/error.h"
#include "bindings.h"
#include "serve/bundle.h"

namespace twist {
namespace {

using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;

Floats act(Bundle& self, const Floats& observation) {
  const int width = self.contract().width, outputs = self.contract().outputs();
  if (observation.ndim() != 2 || observation.shape(1) != width)
    fail("observations must have shape (n, ", width, ")");
  Floats output({observation.shape(0), py::ssize_t(outputs)});
  for (py::ssize_t i = 0; i < observation.shape(0); ++i)
    self.act(observation.data(i, 0), output.mutable_data(i, 0));
  return output;
}

// seconds of one pass
double time_act(Bundle& self, const Floats& observation, int passes) {
  if (observation.size() != self.contract().width)
    fail("an observation has ", self.contract().width, " numbers");
  std::vector<float> output(self.contract().outputs());
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < passes; ++i) self.act(observation.data(), output.data());
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
  return passed.count() / passes;
}

}  // namespace

void bind_serve(py::module_& m) {
  py::class_<Bundle>(m, "Bundle", "An exported policy, run without LibTorch.")
      .def(py::init([](const std::string& folder) { return Bundle(folder); }), "folder"_a,
           "Opens a folder and answers its golden observations; ValueError in one sentence.")
      .def("act", &act, "observation"_a,
           "Raw observations (n, width) to outputs (n, actions + estimates), one by one.")
      .def("time_act", &time_act, "observation"_a, "passes"_a, "Seconds of one pass, measured.")
      .def(
          "check",
          [](const Bundle& self, const Robot& robot, const ObservationSettings& observe) {
            check_contract(self.contract(), robot, ObservationLayout(robot, observe));
          },
          "robot"_a, "observe"_a,
          "ValueError naming the first difference from this robot and what policies see here.");
}

}  // namespace twist
