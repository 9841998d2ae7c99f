#pragma once

#include <memory>
#include <vector>

#include "base/parallel.h"
#include "env/env.h"
#include "learn/policy.h"

namespace twist {

/// The evaluation protocol: plain MuJoCo with the full collision model, no training shortcuts.
struct EvaluationSettings {
  int episodes = 8;     ///< of every command
  double seconds = 20;  ///< of every episode
  double settle_s = 2;  ///< errors count from here on
  double timestep = 0.002;
  int decimation = 10;
  std::string collision = "full";
  double friction = 0.8;
  std::vector<double> vx = {-0.5, 0, 0.5, 1.0};
  std::vector<double> vy = {0, 0.3};
  std::vector<double> wz = {0, 0.8};

  template <class V>
  void visit(V&& field) {
    field("episodes", episodes, Valid(1, 100000), "episodes of every command");
    field("seconds", seconds, Valid(0.1, 3600), "length of an episode in s");
    field("settle_s", settle_s, Valid(0, 3600), "errors count from this time on");
    field("timestep", timestep, Valid(0.0005, 0.005), "physics step in s, never coarser than 5 ms");
    field("decimation", decimation, Valid(4, 40), "physics steps in a control step");
    field("collision", collision, Valid{"feet", "full"}, "collision model");
    field("friction", friction, Valid(0.01, 5), "sliding friction of the soles");
    field("vx", vx, Valid(-3, 4), "forward velocities of the command grid, m/s");
    field("vy", vy, Valid(-2, 2), "lateral velocities of the command grid, m/s");
    field("wz", wz, Valid(-4, 4), "yaw rates of the command grid, rad/s");
  }

  /// The environment of the evaluation: `training` with our physics and the protocol's definition
  /// of a fall.
  EnvSettings environment(const EnvSettings& training) const;
};

/// Result of one command, or of tracking a whole pool. Errors and means are NaN if no episode
/// lasted long enough to know them.
struct EvaluationCell {
  Command command;
  int episodes = 0;
  double survival = 0;          ///< share of episodes without a fall
  double velocity_rmse = 0;     ///< of the planar velocity in the heading frame, per step, m/s
  double velocity_rmse_1s = 0;  ///< of that error averaged over one second
  double yaw_rate_rmse = 0;     ///< rad/s, per step
  double yaw_rate_rmse_1s = 0;  ///< averaged over one second
  double mean_vx = 0, mean_vy = 0, mean_wz = 0;
};

/// Runs the deterministic policy from standing with constant commands. `pool` has one stream per
/// command, in order, made with that command from the first frame on and at least `seconds` long.
std::vector<EvaluationCell> evaluate_commands(std::shared_ptr<const Robot> robot,
                                              const EnvSettings& training,
                                              const EvaluationSettings& settings,
                                              std::shared_ptr<const MotionPool> pool,
                                              const std::vector<Command>& commands,
                                              const State& policy, Workers& workers,
                                              std::uint64_t seed);

/// Runs the deterministic policy on random places of a pool (any reference, recorded clips too),
/// starting on the reference with the start noise of training. Velocity errors are against the
/// reference.
EvaluationCell evaluate_tracking(std::shared_ptr<const Robot> robot, const EnvSettings& training,
                                 const EvaluationSettings& settings,
                                 std::shared_ptr<const MotionPool> pool, const State& policy,
                                 Workers& workers, std::uint64_t seed);

/// How often a robot stays up after its pelvis velocity has jumped.
struct KickCell {
  Command command;
  double speed = 0;  ///< of the jump, m/s
  int trials = 0, survived = 0;
};

/// Kicks in 8 directions at 4 phases of the gait, `repeats` times each: from standing, after 3 s
/// and a phase the velocity jumps; the robot must stay up for 4 s more. Streams of `pool` as for
/// `evaluate_commands`, at least 8 s long.
std::vector<KickCell> evaluate_kicks(std::shared_ptr<const Robot> robot,
                                     const EnvSettings& training,
                                     const EvaluationSettings& settings,
                                     std::shared_ptr<const MotionPool> pool,
                                     const std::vector<Command>& commands,
                                     const std::vector<double>& speeds, int repeats,
                                     const State& policy, Workers& workers, std::uint64_t seed);

/// One episode from standing on a stream of the pool: generalised positions (steps, nq), until the
/// end or the fall.
std::vector<std::vector<double>> record_episode(std::shared_ptr<const Robot> robot,
                                                const EnvSettings& training,
                                                const EvaluationSettings& settings,
                                                std::shared_ptr<const MotionPool> pool,
                                                const State& policy, int stream,
                                                std::uint64_t seed);

}  // namespace twist
