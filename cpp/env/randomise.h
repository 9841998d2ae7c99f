#pragma once

#include <mujoco/mujoco.h>

#include <vector>

#include "base/random.h"
#include "base/robot.h"
#include "base/rotation.h"
#include "base/settings.h"

namespace twist {

/// What differs from episode to episode. Ranges are for difficulty 1; at a lower difficulty they
/// shrink towards the nominal value. Friction is always drawn from its whole range.
struct RandomiseSettings {
  std::vector<double> friction = {0.5, 1.2};  ///< of the soles
  std::vector<double> mass = {1, 1};          ///< factor on all masses
  std::vector<double> payload = {0, 0};       ///< kg on the torso
  double com = 0;                             ///< shift of the torso's centre of mass, each axis, m
  std::vector<double> strength = {1, 1};      ///< factor on all torques
  std::vector<double> gains = {1, 1};         ///< factor on kp and on kd, drawn apart
  std::vector<double> delay = {0, 0};         ///< control steps by which an action comes late
  double push = 0;                            ///< largest jump of the pelvis velocity, m/s
  double joint_offset = 0;                    ///< largest error of a joint encoder, rad
  double noise = 0;                           ///< factor on the sensor noise of the observation
  double spin = 0;                            ///< largest jump of the yaw rate, rad/s
  std::vector<double> push_every_s = {2, 5};  ///< between pushes

  template <class V>
  void visit(V&& field) {
    field("friction", friction, Valid(0.05, 5), "range of the sole friction");
    field("mass", mass, Valid(0.3, 3), "range of the factor on all masses");
    field("payload", payload, Valid(-10, 20), "range of a load on the torso in kg");
    field("com", com, Valid(0, 0.3), "largest shift of the torso's centre of mass in m");
    field("strength", strength, Valid(0.1, 3), "range of the factor on all torques");
    field("gains", gains, Valid(0.1, 3), "range of the factors on kp and on kd");
    field("delay", delay, Valid(0, 2), "range of the delay of actions in control steps");
    field("joint_offset", joint_offset, Valid(0, 0.5), "largest error of a joint encoder in rad");
    field("noise", noise, Valid(0, 100), "factor on the sensor noise of the observation");
    field("push", push, Valid(0, 5), "largest jump of the pelvis velocity in m/s");
    field("spin", spin, Valid(0, 10), "largest jump of the yaw rate in rad/s");
    field("push_every_s", push_every_s, Valid(0.1, 1000), "range of the time between pushes in s");
  }
};

/// The draws of one episode.
struct Randomisation {
  double friction = 1, mass = 1, payload = 0, strength = 1, kp = 1, kd = 1;
  double delay = 0;    // control steps
  double terrain = 0;  // difficulty of the floor, 0..1
  Vec3 com = Vec3::Zero();
  std::vector<double> joint_offsets;  // (joints) rad, added to what encoders read; empty: none
  double joint_offset(int joint) const {
    return joint_offsets.empty() ? 0.0 : joint_offsets[joint];
  }

  /// A pure function of the arguments. Throws UserError for a range that is not two ascending
  /// numbers.
  static Randomisation draw(const RandomiseSettings& settings, double difficulty, int joints,
                            Random& random);
};

/// Writes randomised parameters into a model that several environments use in turn.
class Randomiser {
 public:
  /// Remembers the nominal values of `model`.
  Randomiser(const Robot& robot, const mjModel& model);

  void apply(const Randomisation& values, mjModel* model) const;

 private:
  std::vector<int> soles_;
  int torso_;
  std::vector<double> mass_, inertia_;  // (bodies), (bodies, 3)
  std::vector<double> kp_, kd_;         // (joints)
  Vec3 com_;
};

}  // namespace twist
