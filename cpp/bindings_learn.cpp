// PPO, policies and trials of them.

#include <torch/csrc/utils/pybind.h>

#include "bindings.h"
#include "bindings_env.h"
#include "learn/ppo.h"
#include "learn/trials.h"

namespace twist {
namespace {

using Columns = std::map<std::string, std::vector<double>>;

Columns to_columns(std::vector<TrialResult> results) {
  Columns columns;
  for (TrialResult& result : results)
    result.visit([&](const char* name, double value) { columns[name].push_back(value); });
  return columns;
}

// results as columns of numbers; with the series, as arrays, if asked for
py::dict trials(std::shared_ptr<Robot> robot, const EnvSettings& settings,
                std::shared_ptr<MotionPool> pool, const std::vector<Trial>& trials, int steps,
                int settle, const State& policy, Workers& workers, std::uint64_t seed,
                bool with_series) {
  TrialSeries series;
  Columns columns;
  {
    py::gil_scoped_release release;
    columns = to_columns(run_trials(robot, settings, pool, trials, steps, settle, policy, workers,
                                    seed, with_series ? &series : nullptr));
  }
  py::dict answer;
  for (auto& [name, values] : columns) {
    const auto size = static_cast<py::ssize_t>(values.size());
    answer[name.c_str()] = to_array(std::move(values), {size});
  }
  if (!with_series) return answer;
  const auto rows = static_cast<py::ssize_t>(trials.size());
  const py::ssize_t nq = rows == 0 ? 0 : series.position.size() / rows / steps;
  answer["velocity"] = to_array(std::move(series.velocity), {rows, steps, 3});
  answer["position"] = to_array(std::move(series.position), {rows, steps, nq});
  answer["reference"] = to_array(std::move(series.reference), {rows, steps, nq});
  return answer;
}

void bind_trials(py::module_& m) {
  py::class_<Randomisation>(m, "Body", "What may differ from the nominal robot and floor.")
      .def(py::init<>())
      .def_readwrite("friction", &Randomisation::friction)
      .def_readwrite("mass", &Randomisation::mass, "factor on all masses")
      .def_readwrite("payload", &Randomisation::payload, "kg on the torso")
      .def_readwrite("strength", &Randomisation::strength, "factor on all torques")
      .def_readwrite("kp", &Randomisation::kp, "factor")
      .def_readwrite("kd", &Randomisation::kd, "factor")
      .def_readwrite("delay", &Randomisation::delay, "of actions, in control steps")
      .def_readwrite("terrain", &Randomisation::terrain, "difficulty of the floor, 0 to 1")
      .def_property(
          "com",
          [](const Randomisation& r) {
            return std::array{r.com[0], r.com[1], r.com[2]};
          },
          [](Randomisation& r, const std::array<double, 3>& com) {
            r.com = Vec3(com[0], com[1], com[2]);
          },
          "shift of the torso's centre of mass, m");
  py::class_<Trial>(m, "Trial", "One episode, and what is done to the robot in it.")
      .def(py::init<>())
      .def_readwrite("stream", &Trial::stream)
      .def_readwrite("frame", &Trial::frame)
      .def_readwrite("body", &Trial::body)
      .def_readwrite("push_step", &Trial::push_step)
      .def_property(
          "push",
          [](const Trial& t) {
            return std::array{t.push[0], t.push[1]};
          },
          [](Trial& t, const std::array<double, 2>& v) { std::copy_n(v.data(), 2, t.push); })
      .def_readwrite("pull_step", &Trial::pull_step)
      .def_readwrite("pull_steps", &Trial::pull_steps)
      .def_readwrite("pull_body", &Trial::pull_body)
      .def_property(
          "pull",
          [](const Trial& t) {
            return std::array{t.pull[0], t.pull[1], t.pull[2]};
          },
          [](Trial& t, const std::array<double, 3>& v) { std::copy_n(v.data(), 3, t.pull); });
  m.def("run_trials", &trials, "robot"_a, "settings"_a, "pool"_a, "trials"_a, "steps"_a, "settle"_a,
        "policy"_a, "workers"_a, "seed"_a, "series"_a = false,
        "Runs the deterministic policy: a column (trials) for each result; with `series` also "
        "velocity (trials, steps, 3), position and reference (trials, steps, nq).");
  m.def(
      "evaluation_environment",
      [](const EvaluationSettings& settings, const EnvSettings& training) {
        return settings.environment(training);
      },
      "settings"_a, "training"_a, "The environment of training with the physics of evaluation.");
}

using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;

struct PolicyHandle {
  Policy policy;
  int observations, outputs;
};

Floats act(const PolicyHandle& self, const Floats& observation) {
  if (observation.ndim() != 2 || observation.shape(1) != self.observations)
    fail("observations must have shape (n, ", self.observations, ")");
  Floats action({observation.shape(0), py::ssize_t(self.outputs)});
  self.policy.act(observation.data(), static_cast<int>(observation.shape(0)),
                  action.mutable_data());
  return action;
}

}  // namespace

void bind_learn(py::module_& m) {
  bind_trials(m);
  py::class_<PolicyHandle>(m, "Policy", "The deterministic actor of a checkpoint.")
      .def(py::init([](const State& state, const Robot& robot, const ObservationSettings& observe) {
             const ObservationLayout layout(robot, observe);
             const int outputs = robot.num_actions() + layout.estimates();
             return PolicyHandle{Policy(state, ObservationShape(layout), outputs), layout.width(),
                                 outputs};
           }),
           "state"_a, "robot"_a, "observe"_a)
      .def("act", &act, "observation"_a,
           "Observations (n, observations) to what the environment is stepped with (n, outputs).");
  py::class_<Teacher, std::shared_ptr<Teacher>>(m, "Teacher", "The policy a student imitates.")
      .def(py::init([](const State& state, const EnvSettings& settings, const EnvHandle& handle) {
             return std::make_shared<Teacher>(state, settings, *handle.env);
           }),
           "state"_a, "settings"_a, "env"_a);
  m.def("choose_matmul_backend", &choose_matmul_backend, Release());
  py::class_<Ppo>(m, "Ppo", "Proximal policy optimisation on an environment.")
      .def(py::init([](const EnvHandle& handle, const PpoSettings& settings, std::uint64_t seed,
                       const std::string& device, std::shared_ptr<Teacher> teacher) {
             return std::make_unique<Ppo>(handle.env, handle.workers, settings, seed,
                                          at::Device(device), std::move(teacher));
           }),
           "env"_a, "settings"_a, "seed"_a, "device"_a = "cpu", "teacher"_a = nullptr, Release())
      .def("iterate", &Ppo::iterate, Release())
      .def("state", &Ppo::state, Release())
      .def("load_state", &Ppo::load, "state"_a, Release())
      .def("warm_start", &Ppo::warm_start, "state"_a, Release())
      .def(
          "policy_state",
          [](const Ppo& ppo) {
            State policy;
            for (auto& [name, tensor] : ppo.state()) {
              if (name.starts_with("policy.")) policy[name] = tensor;
            }
            return policy;
          },
          Release());
}

}  // namespace twist
