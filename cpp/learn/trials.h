#pragma once

#include <memory>
#include <vector>

#include "base/parallel.h"
#include "env/env.h"
#include "env/quality.h"
#include "learn/policy.h"

namespace twist {

/// The physics of the evaluation protocol: plain MuJoCo with the full collision model, no training
/// shortcuts.
struct EvaluationSettings {
  int episodes = 8;     ///< of every command
  double seconds = 20;  ///< of every episode
  double settle_s = 2;  ///< errors count from here on
  double timestep = 0.002;
  int decimation = 10;
  std::string collision = "full";
  double friction = 0.8;
  double noise = 0;  ///< of the sensors
  double delay = 0;  ///< of actions, control steps
  std::vector<double> vx = {-0.5, 0, 0.5, 1.0};
  std::vector<double> vy = {-0.3, 0, 0.3};
  std::vector<double> wz = {-0.8, 0, 0.8};

  template <class V>
  void visit(V&& field) {
    field("episodes", episodes, Valid(1, 100000), "episodes of every command");
    field("seconds", seconds, Valid(0.1, 3600), "length of an episode in s");
    field("settle_s", settle_s, Valid(0, 3600), "errors count from this time on");
    field("timestep", timestep, Valid(0.0005, 0.005), "physics step in s, never coarser than 5 ms");
    field("decimation", decimation, Valid(4, 40), "physics steps in a control step");
    field("collision", collision, Valid{"feet", "full"}, "collision model");
    field("friction", friction, Valid(0.01, 5), "of the soles");
    field("noise", noise, Valid(0, 100), "factor on the sensor noise of training");
    field("delay", delay, Valid(0, 2), "control steps by which actions come late");
    field("vx", vx, Valid(-3, 4), "forward velocities of the grid in m/s");
    field("vy", vy, Valid(-2, 2), "lateral velocities in m/s");
    field("wz", wz, Valid(-4, 4), "yaw rates in rad/s");
  }

  /// The environment of training with this physics: a robot is fallen when its pelvis is below
  /// 0.45 m or tilted over 60 degrees, nothing is random but the sensor noise asked for.
  EnvSettings environment(const EnvSettings& training) const;

  /// The nominal body on this floor, with this delay.
  Randomisation nominal() const;
};

/// One episode of the deterministic policy, and what is done to the robot in it.
struct Trial {
  int stream = 0;
  int frame = -1;  ///< of the reference to begin on, with start noise; -1: stand, at frame 0
  Randomisation body;
  int push_step = -1;          ///< control step at which the pelvis velocity jumps; -1: never
  double push[2] = {0, 0};     ///< by so much, heading frame, m/s
  int pull_step = -1;          ///< control step at which a force begins; -1: never
  int pull_steps = 0;          ///< how long it acts
  int pull_body = 1;           ///< on the centre of mass of this body
  double pull[3] = {0, 0, 0};  ///< heading frame at its beginning, N
};

/// What became of a trial. Errors count from `settle` on; those that nobody lived to see are
/// not-a-number.
struct TrialResult {
  double survived = 0;              ///< 1 or 0
  double steps = 0;                 ///< control steps until the end or the fall
  double counted = 0, windows = 0;  ///< steps and seconds (sliding) that the errors are means of
  double velocity_rmse = 0;         ///< of the planar velocity against the command, per step, m/s
  double velocity_rmse_1s = 0;      ///< of that error averaged over one second
  double yaw_rate_rmse = 0, yaw_rate_rmse_1s = 0;    ///< likewise, rad/s
  double reference_rmse = 0, reference_rmse_1s = 0;  ///< velocity against the reference, m/s
  double reference_yaw_rmse = 0, reference_yaw_rmse_1s = 0;
  double mean_vx = 0, mean_vy = 0, mean_wz = 0;
  double drift = 0;   ///< horizontal distance of the pelvis from where it began, m
  double reward = 0;  ///< of the terms, per step
  double statue = 0;  ///< the same for a robot that stands still on the same reference
  Quality quality;

  template <class V>
  void visit(V&& field) {
    field("survived", survived);
    field("steps", steps);
    field("counted", counted);
    field("windows", windows);
    field("velocity_rmse", velocity_rmse);
    field("velocity_rmse_1s", velocity_rmse_1s);
    field("yaw_rate_rmse", yaw_rate_rmse);
    field("yaw_rate_rmse_1s", yaw_rate_rmse_1s);
    field("reference_rmse", reference_rmse);
    field("reference_rmse_1s", reference_rmse_1s);
    field("reference_yaw_rmse", reference_yaw_rmse);
    field("reference_yaw_rmse_1s", reference_yaw_rmse_1s);
    field("mean_vx", mean_vx);
    field("mean_vy", mean_vy);
    field("mean_wz", mean_wz);
    field("drift", drift);
    field("reward", reward);
    field("statue", statue);
    quality.visit(field);
  }
};

/// The course of trials, step by step; zero after the end.
struct TrialSeries {
  std::vector<float> velocity;   // (trials, steps, 3) vx, vy in the heading frame, yaw rate
  std::vector<float> position;   // (trials, steps, nq) generalised positions before each step
  std::vector<float> reference;  // (trials, steps, nq) the reference's pose at the robot's place
};

/// Runs all trials for `steps` control steps in `settings` (physics and rewards); errors count from
/// step `settle` on. A pure function of its arguments: not of the number of workers. `series`, if
/// given, is filled.
std::vector<TrialResult> run_trials(std::shared_ptr<const Robot> robot, const EnvSettings& settings,
                                    std::shared_ptr<const MotionPool> pool,
                                    const std::vector<Trial>& trials, int steps, int settle,
                                    const State& policy, Workers& workers, std::uint64_t seed,
                                    TrialSeries* series = nullptr);

}  // namespace twist
