// The only file that knows Python: names, shapes and lifetimes; no logic.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <torch/csrc/utils/pybind.h>

#include "base/error.h"
#include "base/parallel.h"
#include "base/robot.h"
#include "base/settings.h"
#include "env/bench.h"
#include "env/env.h"
#include "learn/evaluate.h"
#include "learn/ppo.h"
#include "motion/clips.h"
#include "motion/cmg.h"
#include "motion/cmg_train.h"
#include "motion/dynamics.h"
#include "motion/gait.h"
#include "motion/measure.h"
#include "motion/polish.h"
#include "motion/pool.h"
#include "twist_versions.h"

namespace py = pybind11;
using namespace pybind11::literals;

namespace twist {
namespace {

using Release = py::call_guard<py::gil_scoped_release>;

// --- settings
// ------------------------------------------------------------------------------------------------------

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
void bind_settings(py::module_& m, const char* name) {
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

void bind_all_settings(py::module_& m) {
  py::class_<FieldInfo>(m, "Field")
      .def_readonly("name", &FieldInfo::name)
      .def_readonly("type", &FieldInfo::type)
      .def_readonly("doc", &FieldInfo::doc)
      .def_property_readonly("lower", [](const FieldInfo& f) { return f.valid.lower; })
      .def_property_readonly("upper", [](const FieldInfo& f) { return f.valid.upper; })
      .def_property_readonly("choices", [](const FieldInfo& f) { return f.valid.choices; });
  bind_settings<RobotSettings>(m, "RobotSettings");
  bind_settings<SimSettings>(m, "SimSettings");
  bind_settings<CommandSettings>(m, "CommandSettings");
  bind_settings<GaitSettings>(m, "GaitSettings");
  bind_settings<ResetSettings>(m, "ResetSettings");
  bind_settings<TerminationSettings>(m, "TerminationSettings");
  bind_settings<EnvSettings>(m, "EnvSettings");
  bind_settings<NetworkSettings>(m, "NetworkSettings");
  bind_settings<PpoSettings>(m, "PpoSettings");
  bind_settings<EvaluationSettings>(m, "EvaluationSettings");
  bind_settings<CmgSettings>(m, "CmgSettings");
  bind_settings<CmgTrainSettings>(m, "CmgTrainSettings");
}

// --- motion
// --------------------------------------------------------------------------------------------------------

using CommandTuple = std::array<double, 3>;

std::vector<Command> to_commands(const std::vector<CommandTuple>& tuples) {
  std::vector<Command> commands;
  for (const auto& t : tuples) commands.push_back({t[0], t[1], t[2]});
  return commands;
}

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
  return clip;
}

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
      .def_readonly("effort", &Robot::effort)
      .def_readonly("armature", &Robot::armature)
      .def_readonly("kp", &Robot::kp)
      .def_readonly("kd", &Robot::kd)
      .def_readonly("default_pose", &Robot::q_default)
      .def_readonly("acted_joints", &Robot::acted_joints)
      .def_readonly("action_scale", &Robot::action_scale)
      .def_readonly("mirror_joint", &Robot::mirror_joint)
      .def_readonly("mirror_sign", &Robot::mirror_sign)
      .def_readonly("total_mass", &Robot::total_mass);
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

std::map<std::string, double> to_dict(const CmgUpdate& u) {
  return {{"iteration", u.iteration}, {"loss", u.loss},     {"grad_norm", u.grad_norm},
          {"lr", u.learning_rate},    {"unroll", u.unroll}, {"skipped", u.skipped}};
}

void bind_cmg(py::module_& m) {
  py::class_<CmgStatistics>(m, "CmgStatistics")
      .def_readonly("mean", &CmgStatistics::mean)
      .def_readonly("deviation", &CmgStatistics::deviation)
      .def_readonly("active", &CmgStatistics::active)
      .def_readonly("start", &CmgStatistics::start)
      .def_readonly("command_low", &CmgStatistics::command_low)
      .def_readonly("command_high", &CmgStatistics::command_high)
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
  py::class_<CmgGenerator, Generator>(m, "CmgGenerator", "Motion from commands by a CMG.")
      .def(py::init<Cmg>(), "model"_a)
      .def_property_readonly("nonfinite", &CmgGenerator::nonfinite);
  m.def(
      "measure_cmg",
      [](const Robot& robot, Generator& generator, const std::vector<CommandTuple>& commands,
         double seconds, Workers& workers) {
        const std::vector<int> knees = {robot.leg_joints[0][3], robot.leg_joints[1][3]};
        std::vector<std::map<std::string, double>> cells;
        for (const CmgCell& c : measure_cmg(generator, to_commands(commands), seconds, knees,
                                            robot.lower, robot.upper, workers)) {
          cells.push_back({{"vx", c.command.vx},
                           {"vy", c.command.vy},
                           {"wz", c.command.wz},
                           {"mean_vx", c.vx},
                           {"mean_vy", c.vy},
                           {"mean_wz", c.wz},
                           {"knee_first", c.knee_first},
                           {"knee_last", c.knee_last},
                           {"height_first", c.height_first},
                           {"height_last", c.height_last},
                           {"largest_step", c.largest_step},
                           {"limit_violations", c.limit_violations},
                           {"nonfinite", c.nonfinite}});
        }
        return cells;
      },
      "robot"_a, "generator"_a, "commands"_a, "seconds"_a, "workers"_a, Release(),
      "Runs a generator freely under constant commands and judges the motion.");
  py::class_<CmgTrainer>(m, "CmgTrainer", "Trains a CMG on motion with command targets.")
      .def(py::init([](const CmgSettings& network, const CmgTrainSettings& settings,
                       const Trajectories& motion, const Robot& robot, Workers& workers,
                       const std::string& device) {
             return std::make_unique<CmgTrainer>(
                 network, settings, motion, JointMirror{robot.mirror_joint, robot.mirror_sign},
                 robot.lower, robot.upper, workers, at::Device(device));
           }),
           "network"_a, "settings"_a, "motion"_a, "robot"_a, "workers"_a, "device"_a = "cpu",
           py::keep_alive<1, 6>())
      .def(
          "update", [](CmgTrainer& trainer) { return to_dict(trainer.update()); }, Release())
      .def(
          "held_out",
          [](const CmgTrainer& trainer, const std::vector<int>& horizons) {
            const std::vector<double> errors = trainer.held_out(horizons);
            std::map<int, double> by_horizon;
            for (std::size_t i = 0; i < errors.size(); ++i) by_horizon[horizons[i]] = errors[i];
            return by_horizon;
          },
          "horizons"_a = std::vector<int>{1, 10, 50, 200}, Release())
      .def("probe", &CmgTrainer::probe, Release())
      .def("state", &CmgTrainer::state, Release())
      .def("load_state", &CmgTrainer::load_state, "state"_a, Release())
      .def("model", &CmgTrainer::model, Release())
      .def_property_readonly("iteration", &CmgTrainer::iteration);
}

// --- environment and learning
// --------------------------------------------------------------------------------------

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

void bind_learn(py::module_& m) {
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

}  // namespace
}  // namespace twist

PYBIND11_MODULE(_C, m) {
  using namespace twist;
  m.doc() = "The C++ core of twist_cmg.";
  m.attr("torch_version") = kTorchVersion;
  m.attr("mujoco_version") = kMujocoVersion;
  bind_all_settings(m);
  bind_base(m);
  bind_motion(m);
  bind_cmg(m);
  bind_env(m);
  bind_learn(m);
}
