// The environment, PPO and the evaluation of policies.

#include <torch/csrc/utils/pybind.h>

#include "base/error.h"
#include "bindings.h"
#include "env/bench.h"
#include "env/env.h"
#include "learn/evaluate.h"
#include "learn/ppo.h"

namespace twist {
namespace {

// an environment with the workers that step it
struct EnvHandle {
  std::shared_ptr<Env> env;
  std::shared_ptr<Workers> workers;

  void step(const at::Tensor& actions) {
    const std::vector<std::int64_t> shape = {env->num_envs(), env->robot().num_actions()};
    if (actions.sizes() != at::IntArrayRef(shape))
      fail("actions have shape ", actions.sizes(), ", expected ", at::IntArrayRef(shape));
    const at::Tensor floats = actions.to(at::kCPU, at::kFloat).contiguous();
    workers->run(env->num_envs(), [&](int i, int worker) {
      env->step(i, worker, floats.data_ptr<float>() + i * shape[1]);
    });
  }
};

std::map<std::string, double> to_dict(const EvaluationCell& c) {
  return {{"vx", c.command.vx},
          {"vy", c.command.vy},
          {"wz", c.command.wz},
          {"episodes", c.episodes},
          {"survival", c.survival},
          {"velocity_rmse", c.velocity_rmse},
          {"velocity_rmse_1s", c.velocity_rmse_1s},
          {"yaw_rate_rmse", c.yaw_rate_rmse},
          {"yaw_rate_rmse_1s", c.yaw_rate_rmse_1s},
          {"mean_vx", c.mean_vx},
          {"mean_vy", c.mean_vy},
          {"mean_wz", c.mean_wz}};
}

py::array_t<double> to_array(const std::vector<std::vector<double>>& rows) {
  py::array_t<double> out({rows.size(), rows.empty() ? 0 : rows[0].size()});
  for (std::size_t i = 0; i < rows.size(); ++i)
    std::copy(rows[i].begin(), rows[i].end(), out.mutable_data(i));
  return out;
}

std::vector<std::string> reward_names() {
  std::vector<std::string> names;
  for (const auto& term : reward_terms()) names.push_back(term.name);
  return names;
}

// what a policy is made for, by name
std::map<std::string, std::vector<std::string>> contract(const Robot& robot) {
  std::map<std::string, std::vector<std::string>> names;
  names["joints"] = robot.joint_names;
  for (const int joint : robot.acted_joints) names["actions"].push_back(robot.joint_names[joint]);
  const ObservationLayout layout(robot);
  for (const auto& block : layout.blocks()) {
    names["observation"].push_back(block.name + ":" + std::to_string(block.width));
  }
  return names;
}

void bind_env(py::module_& m) {
  m.def("contract", &contract, "robot"_a,
        "Names of joints, actions and observation blocks that a policy relies on.");
  m.def("reward_names", &reward_names);
  m.def("termination_names",
        [] { return std::vector<std::string>(kCauseNames + 1, kCauseNames + kNumCauses); });
  py::class_<EnvHandle>(m, "Env",
                        "Simulated robots that track references, stepped by worker threads.")
      .def(py::init([](std::shared_ptr<Robot> robot, const EnvSettings& settings,
                       std::shared_ptr<MotionPool> pool, int num_envs,
                       std::shared_ptr<Workers> workers, std::uint64_t seed) {
             auto env =
                 std::make_shared<Env>(robot, settings, pool, num_envs, workers->count(), seed);
             return EnvHandle{std::move(env), std::move(workers)};
           }),
           "robot"_a, "settings"_a, "pool"_a, "num_envs"_a, "workers"_a, "seed"_a, Release())
      .def("step", &EnvHandle::step, "actions"_a, Release())
      .def_property_readonly("num_envs", [](const EnvHandle& h) { return h.env->num_envs(); })
      .def_property_readonly("blocks",
                             [](const EnvHandle& h) {
                               std::vector<std::pair<std::string, int>> blocks;
                               for (const auto& block : h.env->layout().blocks())
                                 blocks.emplace_back(block.name, block.width);
                               return blocks;
                             })
      .def_property_readonly("mirror",
                             [](const EnvHandle& h) {
                               return std::make_pair(h.env->layout().mirror_source,
                                                     h.env->layout().mirror_sign);
                             })
      .def_property_readonly("observation",
                             [](py::object self) {
                               auto& env = *self.cast<EnvHandle&>().env;
                               return py::array_t<float>({env.num_envs(), env.layout().width()},
                                                         env.observation.data(), self);
                             })
      .def_property_readonly("reward",
                             [](py::object self) {
                               auto& env = *self.cast<EnvHandle&>().env;
                               return py::array_t<float>(env.num_envs(), env.reward.data(), self);
                             })
      .def_property_readonly("state", [](py::object self) {
        auto& env = *self.cast<EnvHandle&>().env;
        return py::array_t<double>({env.num_envs(), env.state_size()}, env.state(0), self);
      });
  m.def(
      "bench_env",
      [](std::shared_ptr<Robot> robot, const EnvSettings& settings,
         std::shared_ptr<MotionPool> pool, int num_envs, std::shared_ptr<Workers> workers,
         double seconds) {
        BenchResult r;
        {
          py::gil_scoped_release release;
          Env env(robot, settings, pool, num_envs, workers->count(), 1);
          r = bench_env(env, *workers, seconds);
        }
        return py::dict("env_steps_per_s"_a = r.env_steps_per_s,
                        "raw_env_steps_per_s"_a = r.raw_env_steps_per_s, "ratio"_a = r.ratio,
                        "threads"_a = workers->count(), "envs"_a = num_envs,
                        "profile"_a = r.profile);
      },
      "robot"_a, "settings"_a, "pool"_a, "num_envs"_a, "workers"_a, "seconds"_a);
}

}  // namespace

void bind_learn(py::module_& m) {
  bind_env(m);
  m.def("choose_matmul_backend", &choose_matmul_backend, Release());
  py::class_<Ppo>(m, "Ppo", "Proximal policy optimisation on an environment.")
      .def(py::init([](const EnvHandle& handle, const PpoSettings& settings, std::uint64_t seed,
                       const std::string& device) {
             return std::make_unique<Ppo>(handle.env, handle.workers, settings, seed,
                                          at::Device(device));
           }),
           "env"_a, "settings"_a, "seed"_a, "device"_a = "cpu", Release())
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

  m.def(
      "evaluate_policy",
      [](std::shared_ptr<Robot> robot, const EnvSettings& env, const EvaluationSettings& settings,
         std::shared_ptr<MotionPool> pool, const std::vector<CommandTuple>& commands,
         const State& policy, Workers& workers, std::uint64_t seed) {
        std::vector<std::map<std::string, double>> cells;
        for (const auto& cell : evaluate_commands(robot, env, settings, pool, to_commands(commands),
                                                  policy, workers, seed)) {
          cells.push_back(to_dict(cell));
        }
        return cells;
      },
      "robot"_a, "env"_a, "settings"_a, "pool"_a, "commands"_a, "policy"_a, "workers"_a, "seed"_a,
      Release());
  m.def(
      "evaluate_tracking",
      [](std::shared_ptr<Robot> robot, const EnvSettings& env, const EvaluationSettings& settings,
         std::shared_ptr<MotionPool> pool, const State& policy, Workers& workers,
         std::uint64_t seed) {
        return to_dict(evaluate_tracking(robot, env, settings, pool, policy, workers, seed));
      },
      "robot"_a, "env"_a, "settings"_a, "pool"_a, "policy"_a, "workers"_a, "seed"_a, Release());
  m.def(
      "evaluate_kicks",
      [](std::shared_ptr<Robot> robot, const EnvSettings& env, const EvaluationSettings& settings,
         std::shared_ptr<MotionPool> pool, const std::vector<CommandTuple>& commands,
         const std::vector<double>& speeds, int repeats, const State& policy, Workers& workers,
         std::uint64_t seed) {
        std::vector<std::map<std::string, double>> cells;
        for (const KickCell& c : evaluate_kicks(robot, env, settings, pool, to_commands(commands),
                                                speeds, repeats, policy, workers, seed)) {
          cells.push_back({{"vx", c.command.vx},
                           {"vy", c.command.vy},
                           {"wz", c.command.wz},
                           {"speed", c.speed},
                           {"trials", c.trials},
                           {"survival", double(c.survived) / c.trials}});
        }
        return cells;
      },
      "robot"_a, "env"_a, "settings"_a, "pool"_a, "commands"_a, "speeds"_a, "repeats"_a, "policy"_a,
      "workers"_a, "seed"_a, Release());
  m.def(
      "record_episode",
      [](std::shared_ptr<Robot> robot, const EnvSettings& env, const EvaluationSettings& settings,
         std::shared_ptr<MotionPool> pool, const State& policy, int stream, std::uint64_t seed) {
        std::vector<std::vector<double>> rows;
        {
          py::gil_scoped_release release;
          rows = record_episode(robot, env, settings, pool, policy, stream, seed);
        }
        return to_array(rows);
      },
      "robot"_a, "env"_a, "settings"_a, "pool"_a, "policy"_a, "stream"_a, "seed"_a);
}

}  // namespace twist
