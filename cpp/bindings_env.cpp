// The environment: observations, rewards and the physics of many robots.

#include "bindings_env.h"

#include "bindings.h"
#include "env/bench.h"
#include "motion/live.h"

namespace twist {
namespace {

using Floats = py::array_t<float>;
using FloatRows = py::array_t<float, py::array::c_style | py::array::forcecast>;

int checked(const EnvHandle& handle, int env) {
  if (env < 0 || env >= handle.env->num_envs())
    fail("there is no environment ", env, "; they are 0 to ", handle.env->num_envs() - 1);
  return env;
}

void step(EnvHandle& handle, const FloatRows& actions) {
  Env& env = *handle.env;
  const int envs = env.num_envs(), width = env.num_outputs();
  if (actions.ndim() != 2 || actions.shape(0) != envs || actions.shape(1) != width)
    fail("actions must have shape (", envs, ", ", width, ")");
  const float* rows = actions.data();
  py::gil_scoped_release release;
  handle.workers->run(
      envs, [&](int i, int worker) { env.step(i, worker, rows + std::size_t(i) * width); });
}

void reset_standing(EnvHandle& handle, int i) {
  Env& env = *handle.env;
  Randomisation nominal;
  nominal.friction = env.settings().sim.friction;
  env.reset_standing(checked(handle, i), 0, i % env.pool().streams(), nominal);
}

Floats reference_qpos(EnvHandle& handle, int i) {
  std::vector<float> qpos(handle.env->model(0)->nq);
  handle.env->reference_pose(checked(handle, i), qpos.data());
  const auto size = static_cast<py::ssize_t>(qpos.size());
  return to_array(std::move(qpos), {size});
}

std::array<double, 3> velocity(EnvHandle& handle, int i) {
  const Env::Pose& pose = handle.env->pose(checked(handle, i));
  return {pose.lin_vel.x(), pose.lin_vel.y(), pose.yaw_rate};
}

std::vector<std::string> causes(EnvHandle& handle) {
  std::vector<std::string> names;
  for (const Cause cause : handle.env->cause) names.push_back(kCauseNames[static_cast<int>(cause)]);
  return names;
}

std::vector<std::string> reward_names() {
  std::vector<std::string> names;
  for (const auto& term : reward_terms()) names.push_back(term.name);
  return names;
}

auto mirror_of(const ObservationLayout& layout) {
  return std::make_pair(layout.mirror_source, layout.mirror_sign);
}

// how an observation is built
py::dict layout_of(const Robot& robot, const ObservationSettings& settings) {
  const ObservationLayout layout(robot, settings);
  py::list blocks;
  for (const auto& block : layout.blocks())
    blocks.append(
        py::dict("name"_a = block.name, "width"_a = block.width, "noise"_a = block.noise));
  return py::dict("width"_a = layout.width(), "blocks"_a = blocks, "frames"_a = layout.history(),
                  "remembered"_a = layout.remembered(), "estimates"_a = layout.estimates());
}

// what a policy is made for, by name
std::map<std::string, std::vector<std::string>> contract(const Robot& robot,
                                                         const ObservationSettings& settings) {
  std::map<std::string, std::vector<std::string>> names;
  names["joints"] = robot.joint_names;
  for (const int joint : robot.acted_joints) names["actions"].push_back(robot.joint_names[joint]);
  const ObservationLayout layout(robot, settings);
  for (const auto& block : layout.blocks()) {
    names["observation"].push_back(block.name + ":" + std::to_string(block.width));
  }
  if (layout.history() > 0) {
    names["observation"].push_back("history:" + std::to_string(layout.history()) + "x" +
                                   std::to_string(layout.remembered()));
  }
  return names;
}

void bind_env_class(py::module_& m) {
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
      .def("step", &step, "actions"_a, "20 ms of every environment under actions (envs, actions).")
      .def("reset_standing", &reset_standing, "env"_a,
           "An episode of the evaluation protocol from standing, at the present frame of live "
           "motion.",
           Release())
      .def(
          "push",
          [](EnvHandle& h, int i, double vx, double vy) {
            h.env->push(checked(h, i), Vec2(vx, vy));
          },
          "env"_a, "vx"_a, "vy"_a, "The pelvis velocity jumps, m/s in the heading frame.")
      .def(
          "set_pool",
          [](EnvHandle& h, std::shared_ptr<MotionPool> pool) { h.env->set_pool(std::move(pool)); },
          "pool"_a, "All episodes begin anew on other references.", Release())
      .def_property_readonly("num_envs", [](const EnvHandle& h) { return h.env->num_envs(); })
      .def_property_readonly("blocks",
                             [](const EnvHandle& h) {
                               std::vector<std::pair<std::string, int>> blocks;
                               for (const auto& block : h.env->layout().blocks())
                                 blocks.emplace_back(block.name, block.width);
                               return blocks;
                             })
      .def_property_readonly("mirror",
                             [](const EnvHandle& h) { return mirror_of(h.env->layout()); })
      .def_property_readonly(
          "privileged_mirror",
          [](const EnvHandle& h) { return mirror_of(h.env->privileged_layout()); })
      .def_property_readonly(
          "observation",
          [](py::object self) {
            auto& env = *self.cast<EnvHandle&>().env;
            return Floats({env.num_envs(), env.layout().width()}, env.observation.data(), self);
          })
      .def_property_readonly(
          "privileged",
          [](py::object self) {
            auto& env = *self.cast<EnvHandle&>().env;
            return Floats({env.num_envs(), env.privileged_layout().width()},
                          env.critic_observation().data(), self);
          },
          "What a critic sees, (envs, privileged observations).")
      .def_property_readonly("reward",
                             [](py::object self) {
                               auto& env = *self.cast<EnvHandle&>().env;
                               return Floats(env.num_envs(), env.reward.data(), self);
                             })
      .def_property_readonly("causes", &causes, "Why the last step ended an episode, or none.")
      .def("qpos",
           [](EnvHandle& h, int i) {
             const double* qpos = h.env->state(checked(h, i)) + 1;  // the state begins with time
             return py::array_t<double>(h.env->model(0)->nq, qpos);
           })
      .def("reference_qpos", &reference_qpos, "env"_a,
           "The reference's pose at the robot's place and heading, (nq).")
      .def("velocity", &velocity, "env"_a, "vx, vy in the heading frame, yaw rate.")
      .def_property_readonly("state", [](py::object self) {
        auto& env = *self.cast<EnvHandle&>().env;
        return py::array_t<double>({env.num_envs(), env.state_size()}, env.state(0), self);
      });
}

void bind_live(py::module_& m) {
  py::class_<LiveMotion>(m, "LiveMotion",
                         "Reference motion made while robots follow it, one stream each.")
      .def(py::init<const Robot&, std::shared_ptr<Generator>, int, int, std::shared_ptr<Workers>>(),
           "robot"_a, "generator"_a, "streams"_a, "ahead"_a, "workers"_a, Release())
      .def("draw_commands", &LiveMotion::draw_commands, "settings"_a, "seed"_a)
      .def(
          "set_commands",
          [](LiveMotion& live, const std::vector<CommandTuple>& commands) {
            live.set_commands(to_commands(commands));
          },
          "commands"_a)
      .def("advance", &LiveMotion::advance, "frames"_a, Release())
      .def_property_readonly("pool", &LiveMotion::pool);
}

}  // namespace

void bind_env(py::module_& m) {
  m.def("contract", &contract, "robot"_a, "observe"_a = ObservationSettings(),
        "Names of joints, actions and observation blocks that a policy relies on.");
  m.def("observation_layout", &layout_of, "robot"_a, "observe"_a,
        "Width, blocks (name, width, noise), frames of history, numbers of each (`remembered`) and "
        "numbers that a policy answers with beside its actions (`estimates`).");
  m.def("reward_names", &reward_names);
  m.def("termination_names",
        [] { return std::vector<std::string>(kCauseNames + 1, kCauseNames + kNumCauses); });
  bind_live(m);
  bind_env_class(m);
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

}  // namespace twist
