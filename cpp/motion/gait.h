#pragma once

#include <array>
#include <vector>

#include "base/robot.h"
#include "base/rotation.h"
#include "motion/leg.h"
#include "motion/reference.h"

namespace twist {

/// Shape of the walking motion. Lengths in m, times in s, angles in rad.
struct GaitSettings {
  double stride_s = 1.0;              ///< two steps
  double stride_per_speed = -0.26;    ///< added per m/s of weighted speed, up to 1 m/s
  double stride_vy = 3.0;             ///< weight of the lateral speed in that: feet come close
  double stride_wz = 1.0;             ///< weight of the yaw rate in that, in m
  double stride_per_fast = -0.2;      ///< added per m/s of planar speed above that
  double duty = 0.53;                 ///< share of the stride a foot is on the floor
  double duty_per_fast = -0.04;       ///< added per m/s of planar speed above 1 m/s
  double height = 0.735;              ///< pelvis height when standing
  double height_per_speed2 = -0.02;   ///< added per (m/s)^2, up to 3.2
  double half_width = 0.08;           ///< lateral distance of a foot from the path at mid-stance
  double half_width_per_side = 0.45;  ///< added per m a step goes sideways; half at 1 m/s
  double ankle_back = 0.03;           ///< the ankle is planted this far behind the centre of mass
  double clearance = 0.045;           ///< highest lift of the swing foot
  double toe_down = 0.4;        ///< pitch of the swing foot at mid-swing, per m/s of speed, up to 1
  double shoulder_pitch = 0.2;  ///< arm posture
  double shoulder_roll = 0.2;
  double elbow = 0.6;
  double arm_swing = 1.0;     ///< shoulder pitch per m of the other ankle's offset
  double elbow_swing = 0.5;   ///< elbow angle per shoulder angle
  double waist_swing = 1.5;   ///< waist yaw per m of ankle separation
  double pelvis_swing = 0.0;  ///< pelvis yaw per m of ankle separation
  double shift_s = 0.6;       ///< duration of the weight shift when starting and stopping
  double accel_x = 0.8;       ///< command ramps: m/s^2
  double accel_y = 0.4;       ///< m/s^2
  double accel_yaw = 1.5;     ///< rad/s^2

  template <class V>
  void visit(V&& field) {
    field("stride_s", stride_s, Valid(0.4, 2), "duration of two steps in s");
    field("stride_per_speed", stride_per_speed, Valid(-0.5, 0.5),
          "added per m/s of weighted speed");
    field("stride_vy", stride_vy, Valid(0, 10), "weight of the lateral speed in that");
    field("stride_wz", stride_wz, Valid(0, 10), "weight of the yaw rate in that in m");
    field("stride_per_fast", stride_per_fast, Valid(-0.5, 0.5), "added per m/s above 1 m/s");
    field("duty", duty, Valid(0.505, 0.9), "share of the stride a foot is on the floor");
    field("duty_per_fast", duty_per_fast, Valid(-0.5, 0.5), "added per m/s above 1 m/s");
    field("height", height, Valid(0.3, 1), "pelvis height when standing in m");
    field("height_per_speed2", height_per_speed2, Valid(-0.2, 0.2),
          "pelvis height added per (m/s)^2");
    field("half_width", half_width, Valid(0.06, 0.3), "foot to path at mid-stance in m");
    field("half_width_per_side", half_width_per_side, Valid(0, 1),
          "added per m a step goes sideways");
    field("ankle_back", ankle_back, Valid(-0.1, 0.1), "ankle behind the centre of mass in m");
    field("clearance", clearance, Valid(0.01, 0.3), "lift of the swing foot in m");
    field("toe_down", toe_down, Valid(0, 1), "pitch of the swing foot at mid-swing, rad per m/s");
    field("shoulder_pitch", shoulder_pitch, Valid(-1, 1), "shoulder pitch in rad");
    field("shoulder_roll", shoulder_roll, Valid(0, 1), "shoulder roll outwards in rad");
    field("elbow", elbow, Valid(-1, 2), "elbow angle in rad");
    field("arm_swing", arm_swing, Valid(0, 6), "shoulder pitch per m of the other ankle's offset");
    field("elbow_swing", elbow_swing, Valid(-2, 2), "elbow angle per shoulder angle");
    field("waist_swing", waist_swing, Valid(-3, 3), "waist yaw per m of ankle separation");
    field("pelvis_swing", pelvis_swing, Valid(-3, 3), "pelvis yaw per m of ankle separation");
    field("shift_s", shift_s, Valid(0.2, 2), "weight shift when starting and stopping in s");
    field("accel_x", accel_x, Valid(0.05, 10), "ramp of vx in m/s^2");
    field("accel_y", accel_y, Valid(0.05, 10), "ramp of vy in m/s^2");
    field("accel_yaw", accel_yaw, Valid(0.05, 20), "ramp of wz in rad/s^2");
  }
};

/// Closed-form walking: a linear inverted pendulum moves the pelvis, feet stay where they are
/// planted, legs follow by inverse kinematics. Stands, starts with a weight shift, steps, walks in
/// every direction, turns, and stops.
class GaitLibrary : public Generator {
 public:
  /// Throws UserError if the robot lacks one of the joints or the stance is out of reach.
  GaitLibrary(const Robot& robot, const GaitSettings& settings);

  int num_joints() const override { return robot_.num_joints(); }
  void resize(int streams) override;
  void reset(int stream) override;
  void advance(int first, int count, const Command* targets, float* rows, float* commands) override;
  int block() const override { return 8; }

  const std::vector<double>& standing_pose() const { return standing_.q; }  // (joints) rad

 private:
  enum class Mode { kStand, kStart, kWalk, kStop };

  // a planar pose: position and yaw
  struct Pose {
    Vec2 xy = Vec2::Zero();
    double yaw = 0;
    Pose moved(const Vec2& velocity, double yaw_rate, double time) const;
    Vec2 to_world(const Vec2& local) const { return xy + rot_2d(yaw) * local; }
  };

  // the whole body at one instant
  struct Sample {
    std::vector<double> q;  // (joints)
    Vec3 pelvis = Vec3::Zero();
    double yaw = 0;
    double share[2] = {0.5, 0.5};
    Command command;
  };

  struct Stream {
    Mode mode = Mode::kStand;
    Pose path;               // moves with the command
    Pose foot[2];            // where each foot is (or was) planted
    Pose swing;              // the pose of the swing foot now
    double lift = 0;         // how far it is through its swing's height, 0..1
    int stance = 0;          // the foot that carries
    double progress = 0;     // through the step or the weight shift, 0..1
    int steps_in_place = 0;  // whole steps since the command is zero; -1 while it is not
    Command command;
    Sample previous, current, next;
  };

  void step(Stream& stream, const Command& target) const;
  void begin_start(Stream& stream, const Command& target) const;
  void end_step(Stream& stream, const Command& target) const;
  void move_swing_foot(Stream& stream) const;
  Vec2 pelvis_offset(const Stream& stream, double* share_left) const;
  void pose_body(const Stream& stream, Sample* sample) const;
  void write(const Stream& stream, float* row, float* command) const;

  Vec2 lean(const Command& command) const;
  Vec2 path_velocity(const Command& command) const;
  double step_s(const Command& command) const;
  double duty(const Command& command) const;
  double half_width(const Command& command) const;
  double shift(double progress, double* acceleration) const;
  Pose foothold(const Pose& path, const Command& command, int side) const;
  Stream standing_stream() const;

  Robot robot_;
  GaitSettings settings_;
  std::array<Leg, 2> legs_;
  int shoulder_pitch_[2], shoulder_roll_[2], elbow_[2], waist_yaw_;
  double foot_x_ = 0;   // ankle relative to the pelvis at mid-stance
  double omega_ = 3.8;  // pendulum frequency, rad/s
  Sample standing_;
  std::vector<Stream> streams_;
};

}  // namespace twist
