#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/robot.h"
#include "env/observation.h"
#include "env/randomise.h"
#include "env/sampler.h"
#include "env/terms.h"
#include "env/terrain.h"
#include "motion/pool.h"

namespace twist {

/// How episodes begin.
struct ResetSettings {
  double stand_share =
      0.2;  ///< share that begins with the first frame of a trajectory, where the robot stands
  double failure_share = 0;  ///< share that begins shortly before places where robots fell
  double q = 0.04;           ///< standard deviations of the start noise: joints, rad
  double qd = 0.2;           ///< rad/s
  double lin_vel = 0.1;      ///< m/s
  double ang_vel = 0.15;     ///< rad/s
  double tilt = 0.02;        ///< rad

  template <class V>
  void visit(V&& field) {
    field("stand_share", stand_share, Valid(0, 1), "share of episodes that begin standing");
    field("failure_share", failure_share, Valid(0, 1),
          "share of the others that begin shortly before places where robots fell");
    field("q", q, Valid(0, 1), "start noise of the joints, rad");
    field("qd", qd, Valid(0, 5), "start noise of the joint velocities, rad/s");
    field("lin_vel", lin_vel, Valid(0, 3), "start noise of the pelvis velocity, m/s");
    field("ang_vel", ang_vel, Valid(0, 5), "start noise of the pelvis rotation, rad/s");
    field("tilt", tilt, Valid(0, 1), "start noise of the pelvis tilt, rad");
  }
};

/// What the reference does when a robot is pushed: it takes steps that fit the robot's velocity
/// (motion/reflex.h) until that is near what the motion would have been.
struct ReflexSettings {
  double standing = 0.3;        ///< speed of the pelvis, m/s
  double walking = 0.45;        ///< distance of a walking one's velocity from the reference, m/s
  double walking_share = 0.15;  ///< to which this share of the reference's speed is added
  double sideways = 0.2;        ///< and this part of it to the side, m/s, lifts a foot at once
  double step = 0.8;  ///< largest change of the reference's velocity from step to step, m/s

  template <class V>
  void visit(V&& field) {
    field("standing", standing, Valid(0.05, 100),
          "speed of a standing robot's pelvis from which the reference takes steps, in m/s");
    field("walking", walking, Valid(0.05, 100),
          "velocity error of a walking robot's pelvis from which the reference gives way, in m/s");
    field("walking_share", walking_share, Valid(0, 10),
          "share of the reference's speed that is added to it");
    field("sideways", sideways, Valid(0, 100),
          "part of that error to the side, in m/s, from which the foot on that side lifts off at "
          "once");
    field("step", step, Valid(0, 100), "by how much it comes back with every step, in m/s");
  }
};

/// What of the reference, beside its joint angles, goes into the targets of the joints.
struct FeedForwardSettings {
  double velocity = 1;  ///< share of the damping torque that the reference's velocity makes up for
  double torque = 1;    ///< share of the torque that the reference needs

  template <class V>
  void visit(V&& field) {
    field("velocity", velocity, Valid(0, 2), "share of (kd/kp) qd_ref in the targets");
    field("torque", torque, Valid(0, 2), "share of tau_ref/kp in the targets");
  }
};

struct EnvSettings {
  SimSettings sim;
  ObservationSettings observe;
  TerrainSettings terrain;
  ResetSettings reset;
  RandomiseSettings randomise;
  ReflexSettings reflex;
  TerminationSettings termination;
  std::string action_mode = "reference_residual";
  FeedForwardSettings feed_forward;
  double action_clip = 4;
  double episode_s = 10;
  int lookahead = 5;        ///< frames
  double fall_reward = -1;  ///< once, at a fall
  std::map<std::string, double>
      rewards;  ///< weights of reward_terms(); those not named have weight 0
  std::map<std::string, double>
      final_rewards;  ///< to which they move with the difficulty; those not named stay

  template <class V>
  void visit(V&& field) {
    field("sim", sim, Valid(), "physics");
    field("observe", observe, Valid(), "what the policy sees");
    field("terrain", terrain, Valid(), "the floor");
    field("reset", reset, Valid(), "how episodes begin");
    field("randomise", randomise, Valid(), "what differs from episode to episode, and pushes");
    field("reflex", reflex, Valid(), "steps after a push");
    field("termination", termination, Valid(), "how episodes end");
    field("action_mode", action_mode, Valid{"reference_residual", "default_offset"},
          "what the action is added to: the reference with its feed-forward, or the default pose");
    field("feed_forward", feed_forward, Valid(),
          "what of the reference's motion the targets contain in mode reference_residual");
    field("action_clip", action_clip, Valid(0.1, 100), "largest action");
    field("episode_s", episode_s, Valid(0.1, 1000), "longest episode in s");
    field("lookahead", lookahead, Valid(0, 100),
          "how many frames ahead the policy sees the reference");
    field("fall_reward", fall_reward, Valid(-1000, 0), "reward of a fall, once");
    field("rewards", rewards, Valid(-1000, 1000), "weights of the reward terms, per second");
    field("final_rewards", final_rewards, Valid(-1000, 1000),
          "weights to which those move as the difficulty goes from 0 to 1");
  }
};

/// What happened since the last call of `take_statistics`, summed over environments in their order.
struct EnvStatistics {
  std::int64_t steps = 0, episodes = 0, quarantined = 0;
  double reward = 0, velocity_error = 0, yaw_rate_error = 0;  // sums over steps
  double episode_steps = 0;                                   // sum over ended episodes
  std::vector<double> terms;                                  // (terms) weighted sums over steps
  std::vector<std::int64_t> causes;                           // (kNumCauses)
};

/// Phases of a step, for the profile.
enum class Phase { kAct, kSimulate, kMeasure, kJudge, kReset };
constexpr int kNumPhases = 5;
extern const char* const kPhaseNames[kNumPhases];

/// Thousands of simulated robots that track references. Every environment is a row of state; each
/// worker thread has one scratch mjModel and mjData. All of a step happens in one call: act,
/// simulate, judge, reset, observe.
///
/// Results depend on (settings, seed, actions) only, not on threads or order. Different
/// environments may be stepped from different threads at the same time, each thread with its own
/// `worker` number.
class Env {
 public:
  Env(std::shared_ptr<const Robot> robot, const EnvSettings& settings,
      std::shared_ptr<const MotionPool> pool, int num_envs, int num_workers, std::uint64_t seed);

  int num_envs() const { return num_envs_; }
  int num_workers() const { return static_cast<int>(scratch_.size()); }
  const Robot& robot() const { return *robot_; }
  const EnvSettings& settings() const { return settings_; }
  const ObservationLayout& layout() const { return layout_; }

  /// What a critic and a teacher see: for a teacher its own observation, without another copy.
  const ObservationLayout& privileged_layout() const { return privileged_layout_; }
  bool is_privileged() const { return layout_.estimates() == 0; }

  /// What a policy answers with: its actions, and after them its estimates.
  int num_outputs() const { return robot_->num_actions() + layout_.estimates(); }
  const MotionPool& pool() const { return *pool_; }

  /// Steps one environment with `output` (num_outputs()). Fills its rows of the buffers below.
  void step(int env, int worker, const float* output);

  /// What a policy that acts by `settings` (its action_mode and feed_forward) must be told to have
  /// done here: the action (actions) that leads to the same targets as `action` does there.
  void translate(int env, const EnvSettings& settings, const float* action, float* here) const;

  /// Begins an episode at a given place of the reference, with the start noise of training and a
  /// given body and floor.
  void reset_at(int env, int worker, int stream, int frame, const Randomisation& given);

  /// Begins an episode of the evaluation protocol at frame 0 of a stream (the present frame of a
  /// live one): default pose with joints +-0.05 rad, any heading, base twist +-0.1, lowest sole
  /// point on the floor.
  void reset_standing(int env, int worker, int stream, const Randomisation& given);

  /// The pelvis velocity jumps by (vx, vy) in the heading frame, m/s, before the next step.
  void push(int env, const Vec2& velocity, double yaw_rate = 0);

  /// From now on a force in N, in the present heading frame, acts on a body's centre of mass.
  void pull(int env, int body, const Vec3& force);

  /// All environments begin anew on other references.
  void set_pool(std::shared_ptr<const MotionPool> pool);

  /// Takes the falls since the last call into the choice of starts (`reset.failure_share`).
  void update_starts() { starts_->update(); }
  StartSampler& starts() { return *starts_; }

  /// How hard episodes that begin from now on are: 0 nominal, 1 the whole ranges of `randomise`;
  /// with it the weights of the rewards move at once to `final_rewards`.
  void set_difficulty(double difficulty) { difficulty_ = difficulty; }
  double difficulty() const { return difficulty_; }

  /// What the critic sees of the state now, and saw before the reset (like final_observation).
  const std::vector<float>& critic_observation() const {
    return is_privileged() ? observation : privileged;
  }
  const std::vector<float>& final_critic_observation() const {
    return is_privileged() ? final_observation : final_privileged;
  }

  // results of the last step, owned here
  std::vector<float> observation;  // (envs, observations) of the state after a possible reset
  std::vector<float>
      final_observation;  // (envs, observations) before the reset; valid where cause is not kNone
  std::vector<float> privileged, final_privileged;  // the same of what a critic sees, (envs,
                                                    // privileged observations); empty for teachers
  std::vector<float> reward;                        // (envs)
  std::vector<Cause> cause;                         // (envs) why the episode ended in this step

  EnvStatistics take_statistics();

  /// Time spent in each phase by all workers since construction, s; counted while `profiling` is
  /// set.
  bool profiling = false;
  std::vector<double> profile() const;

  /// Physics state of one environment: mjSTATE_INTEGRATION, as long as `state_size()`.
  double* state(int env) { return states_.data() + std::size_t(env) * state_size_; }
  int state_size() const { return state_size_; }
  const mjModel* model(int worker) const { return scratch_[worker].model.get(); }

  /// The simulation of a worker and what was measured: those of the environment that it stepped
  /// last, if that step ended no episode.
  const mjData* data(int worker) const { return scratch_[worker].data.get(); }
  StepView view(int env, int worker) const { return view(env, scratch_[worker]); }

  /// The reference's pose at the place and heading of the robot: generalised positions (nq).
  void reference_pose(int env, float* qpos) const;

  /// The reward that a robot would get for standing still in the default pose at this place of the
  /// reference, both feet loaded and nothing done.
  double statue_reward(int env) const;

  /// Everything needed to continue exactly, as numbers: (envs, record_size()). Bodies that were
  /// given to `reset_at` or `reset_standing` are not kept, they are drawn as in training; on live
  /// motion, episodes begin anew.
  int record_size() const;
  void save(double* records) const;
  void load(const double* records);

  /// What a worker measured last.
  const BodyState& body(int worker) const { return scratch_[worker].body; }

  /// Body state after the last step of one environment, for evaluation.
  struct Pose {
    Vec3 lin_vel;  // heading frame
    double yaw_rate, height, tilt;
  };
  const Pose& pose(int env) const { return poses_[env]; }

  /// The command in force, (3): during a reflex that of the motion to which it goes back.
  const float* command(int env) const {
    const auto [stream, frame] = episodes_[env].home();
    return pool_->at(stream, frame).command;
  }

  /// Where environment `env` is in its reference.
  ReferenceView reference(int env) const { return reference_at(env, 0); }

 private:
  // what an environment remembers beside its physics
  struct Episode {
    int stream = 0, frame = 0;             // place in the reference
    int home_stream = -1, home_frame = 0;  // during a reflex: where it would be; else -1
    int steps = 0;                         // since the beginning
    int limit = 0;                         // steps at which it ends
    std::uint32_t count = 0;               // episodes so far: the step of the random stream
    double difficulty = 0;
    int next_push = 0;  // step
    Randomisation random;
    Vec3 feet[2];                        // world positions after the last step
    Vec3 drift = Vec3::Zero();           // vx, vy, wz: recent mean of velocity minus command
    Vec3 estimate = Vec3::Zero();        // lin_vel by the policy
    Vec3 drift_estimate = Vec3::Zero();  // drift by it
    int air_steps[2] = {0, 0};           // since each foot was loaded

    // stream and frame where it is, or without the reflex would be
    std::pair<int, int> home() const {
      return home_stream < 0 ? std::pair(stream, frame) : std::pair(home_stream, home_frame);
    }
  };
  struct Scratch {
    ModelPtr model;
    DataPtr data;
    BodyState body;
    double profile[kNumPhases] = {};  // s
  };

  void act(int env, Scratch& scratch, const float* output);
  void keep_final_observation(int env);
  void reset(int env, int worker);
  void reset_all();
  Random begin(int env, int stream, int frame, Purpose purpose);
  void draw_randomisation(int env);
  void push_sometimes(int env);
  void move_on(Episode& episode);
  void go_home(Episode& episode, int frame);
  void react(int env, const Scratch& scratch);
  void step_on(Episode& episode, const Vec2& velocity);
  void begin_reflex(Episode& episode, const Vec2& velocity, const Swing& swing, bool stops);
  bool is_pushed(const Vec2& velocity, const Vec2& planned) const;
  Vec2 towards(const Vec2& from, const Vec2& to) const;
  Vec2 planned_velocity(int stream, int frame) const;
  void place(int env, int worker, Random& random);
  void settle(int env, int worker);
  double base_target(int joint, const EnvSettings& settings, const ReferenceView& now,
                     const ReferenceView& next) const;
  void set_targets(int env, Scratch& scratch) const;
  void follow_drift(int env, Scratch& scratch);
  void measure(int env, Scratch& scratch);
  void observe(int env, const Scratch& scratch);
  float* past_actions(int env, int age) {
    return actions_.data() + (std::size_t(env) * kPastActions + age) * robot_->num_actions();
  }
  const float* past_actions(int env, int age) const {
    return const_cast<Env*>(this)->past_actions(env, age);
  }
  StepView view(int env, const Scratch& scratch) const;
  StepView view_of(int env, const BodyState& body, std::span<const float> action,
                   std::span<const float> before) const;
  double weigh(const StepView& view, double* sums) const;
  double judge(int env, const Scratch& scratch);
  void pose_statue();
  ReferenceView reference_at(int env, int ahead) const;

  std::shared_ptr<const Robot> robot_;
  EnvSettings settings_;
  std::shared_ptr<const MotionPool> pool_;
  int num_envs_;
  std::uint64_t seed_;
  ObservationLayout layout_, privileged_layout_;
  FrameLayout frame_layout_;
  std::vector<double> first_weights_, last_weights_;  // (terms) at difficulty 0 and 1
  Terrain terrain_;
  std::unique_ptr<StartSampler> starts_;
  std::vector<int> sole_geoms_;
  std::vector<int> geom_side_;  // (geoms) 0 left sole, 1 right sole, -1 else

  double difficulty_ = 0;
  BodyState statue_;
  std::vector<double> zeros_;     // (joints) velocities and torques of the statue
  std::vector<float> no_action_;  // (actions)

  std::vector<Scratch> scratch_;  // (workers)
  std::unique_ptr<Randomiser> randomiser_;
  int state_size_;
  std::vector<double> states_;     // (envs, state_size)
  std::vector<Episode> episodes_;  // (envs)
  static constexpr int kPastActions = 3;
  std::vector<float> actions_;       // (envs, kPastActions, actions) the last ones, newest first
  std::vector<Pose> poses_;          // (envs)
  std::vector<EnvStatistics> sums_;  // (envs)
};

}  // namespace twist
