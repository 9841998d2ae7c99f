// The Conditional Motion Generator and its training.

#include <torch/csrc/utils/pybind.h>

#include "base/error.h"
#include "base/parallel.h"
#include "base/robot.h"
#include "bindings.h"
#include "motion/cmg_rollout.h"
#include "motion/cmg_train.h"

namespace twist {

at::ScalarType scalar_type(const std::string& name);  // bindings_generator.cpp

namespace {

std::map<std::string, double> to_dict(const CmgUpdate& u) {
  return {{"iteration", u.iteration}, {"loss", u.loss},     {"grad_norm", u.grad_norm},
          {"lr", u.learning_rate},    {"unroll", u.unroll}, {"skipped", u.skipped}};
}

}  // namespace

void bind_cmg(py::module_& m) {
  py::class_<CmgStatistics>(m, "CmgStatistics")
      .def_readonly("mean", &CmgStatistics::mean)
      .def_readonly("deviation", &CmgStatistics::deviation)
      .def_readonly("active", &CmgStatistics::active)
      .def_readonly("start", &CmgStatistics::start)
      .def_readonly("command_low", &CmgStatistics::command_low)
      .def_readonly("command_high", &CmgStatistics::command_high)
      .def_readonly("calibration", &CmgStatistics::calibration)
      .def_property_readonly("command_centre", &CmgStatistics::command_centre)
      .def_property_readonly("command_factor", &CmgStatistics::command_factor)
      .def_property_readonly("feature_factor", &CmgStatistics::feature_factor);
  py::class_<Cmg>(m, "Cmg", "The Conditional Motion Generator network with its statistics.")
      .def_static("from_state", &Cmg::load, "state"_a, "joints"_a = 0)
      .def("state", &Cmg::save)
      .def("predict", &Cmg::predict, "features"_a, "commands"_a,
           "Next normalised features of normalised features (rows, features) and commands (rows, "
           "3).",
           Release())
      .def_property_readonly("statistics", &Cmg::statistics)
      .def_property_readonly("num_joints", &Cmg::num_joints);
  py::class_<CmgGenerator, Generator, std::shared_ptr<CmgGenerator>>(
      m, "CmgGenerator", "Motion from commands by a CMG.")
      .def(py::init([](const Cmg& model, const std::string& dtype, const std::string& device) {
             return std::make_shared<CmgGenerator>(model, scalar_type(dtype), at::Device(device));
           }),
           "model"_a, "dtype"_a = "float32", "device"_a = "cpu")
      .def_property_readonly("nonfinite", &CmgGenerator::nonfinite);
  py::class_<CmgTrainer>(m, "CmgTrainer", "Trains a CMG on motion with command targets.")
      .def(py::init([](const CmgSettings& network, const CmgTrainSettings& settings,
                       const CmgDataSettings& windows, const Trajectories& motion,
                       const Robot& robot, Workers& workers, const std::string& device) {
             return std::make_unique<CmgTrainer>(network, settings, windows, motion,
                                                 JointMirror{robot.mirror_joint, robot.mirror_sign},
                                                 robot.lower, robot.upper, workers,
                                                 at::Device(device));
           }),
           "network"_a, "settings"_a, "windows"_a, "motion"_a, "robot"_a, "workers"_a,
           "device"_a = "cpu", py::keep_alive<1, 7>())
      .def(
          "update", [](CmgTrainer& trainer) { return to_dict(trainer.update()); }, Release())
      .def(
          "held_out",
          [](const CmgTrainer& trainer, const std::vector<int>& horizons, const std::string& how) {
            const std::vector<double> errors = trainer.held_out(horizons, how);
            std::map<int, double> by_horizon;
            for (std::size_t i = 0; i < errors.size(); ++i) by_horizon[horizons[i]] = errors[i];
            return by_horizon;
          },
          "horizons"_a = std::vector<int>{1, 10, 50, 200}, "how"_a = "model", Release())
      .def("probe", &CmgTrainer::probe, Release())
      .def("state", &CmgTrainer::state, Release())
      .def("load_state", &CmgTrainer::load_state, "state"_a, Release())
      .def("model", &CmgTrainer::model, Release())
      .def_property_readonly("longest_horizon", &CmgTrainer::longest_horizon)
      .def_property_readonly("epoch", &CmgTrainer::epoch)
      .def_property_readonly("iteration", &CmgTrainer::iteration);
}

}  // namespace twist
