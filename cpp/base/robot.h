#pragma once

#include <mujoco/mujoco.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/settings.h"

namespace twist {

struct ModelDeleter {
  void operator()(mjModel* model) const { mj_deleteModel(model); }
};
struct DataDeleter {
  void operator()(mjData* data) const { mj_deleteData(data); }
};
using ModelPtr = std::unique_ptr<mjModel, ModelDeleter>;
using DataPtr = std::unique_ptr<mjData, DataDeleter>;

/// What a robot file (configs/robots/*.yaml) says.
struct RobotSettings {
  std::string name = "g1_29dof";
  std::string mjcf;                            ///< path of the MuJoCo model
  double natural_frequency_hz = 10.0;          ///< kp = armature (2 pi f)^2
  double damping_ratio = 2.0;                  ///< kd = 2 zeta armature 2 pi f
  std::map<std::string, double> default_pose;  ///< joint name -> rad, zero where absent
  std::map<std::string, double>
      action_scale;  ///< part of a joint name -> factor on 0.25 effort/kp; 0: not actuated
  std::vector<std::string> feet;  ///< left and right sole-carrying body
  std::vector<std::string> key_bodies;
  std::vector<std::string> mirror_left, mirror_right;  ///< pairs of joints that change places
  std::vector<std::string> mirror_negate;              ///< joints whose angle changes sign

  template <class V>
  void visit(V&& field) {
    field("name", name, Valid(), "name of the robot");
    field("mjcf", mjcf, Valid(), "MuJoCo model file");
    field("natural_frequency_hz", natural_frequency_hz, Valid(0.1, 1000),
          "servo natural frequency");
    field("damping_ratio", damping_ratio, Valid(0, 100), "servo damping ratio");
    field("default_pose", default_pose, Valid(-6.3, 6.3),
          "joint name to angle in rad, zero where absent");
    field("action_scale", action_scale, Valid(0, 10),
          "part of a joint name to factor on 0.25 effort/kp");
    field("feet", feet, Valid(), "left and right foot body");
    field("key_bodies", key_bodies, Valid(), "bodies whose positions describe a pose");
    field("mirror_left", mirror_left, Valid(), "joints that change places with mirror_right");
    field("mirror_right", mirror_right, Valid(), "joints that change places with mirror_left");
    field("mirror_negate", mirror_negate, Valid(), "joints whose angle changes sign in the mirror");
  }
};

/// Physics of one simulation.
struct SimSettings {
  double timestep = 0.01;  ///< s
  int decimation = 2;      ///< physics steps per control step; timestep * decimation = 0.02 s
  std::string collision = "feet";  ///< "feet": soles on the floor only; "full": the capsules too
  double friction = 0.8;           ///< of the soles
  int iterations = 10;             ///< Newton iterations, never below 5

  template <class V>
  void visit(V&& field) {
    field("timestep", timestep, Valid(0.0005, 0.02),
          "physics step in s; timestep * decimation is 0.02 s");
    field("decimation", decimation, Valid(1, 40), "physics steps in a control step");
    field("collision", collision, Valid{"feet", "full"},
          "feet: soles on the floor only; full: all capsules");
    field("friction", friction, Valid(0.01, 5), "sliding friction of the soles");
    field("iterations", iterations, Valid(5, 100),
          "Newton iterations (fewer than 5 is inaccurate)");
  }
};

constexpr double kControlStep = 0.02;  ///< s; everything above physics runs at 50 Hz

/// The robot as data: names, limits, gains and the mirror map, in the joint order of the model.
/// Immutable.
class Robot {
 public:
  /// Reads the model and checks every name. Throws UserError naming the missing joint, body or
  /// actuator.
  explicit Robot(RobotSettings settings);

  /// A model for simulation; `Robot` owns none, so that each worker can have its own. `edit`, if
  /// given, changes the model's description before it is compiled.
  ModelPtr make_model(const SimSettings& sim,
                      const std::function<void(mjSpec*)>& edit = nullptr) const;

  const RobotSettings& settings() const { return settings_; }
  int num_joints() const { return static_cast<int>(joint_names.size()); }
  int num_actions() const { return static_cast<int>(acted_joints.size()); }

  /// Index of a joint by name; throws UserError listing the joints there are.
  int joint_index(const std::string& name) const;

  std::vector<std::string> joint_names;          // (joints)
  std::vector<double> lower, upper;              // (joints) rad
  std::vector<double> effort, armature, kp, kd;  // (joints) N m, kg m^2, N m/rad, N m s/rad
  std::vector<double> q_default;                 // (joints) rad
  std::vector<int> acted_joints;                 // (actions) joints that the policy moves
  std::vector<double> action_scale;  // (actions) rad per unit of action: factor 0.25 effort/kp
  std::vector<int> mirror_joint;     // (joints) the joint on the other side (itself on the midline)
  std::vector<double> mirror_sign;   // (joints) +1 or -1
  std::vector<int> foot_bodies;      // (2) body ids, left and right
  std::vector<int> key_bodies;       // (key bodies) body ids
  std::vector<int> leg_joints[2];    // joints from pelvis to foot, left and right
  std::vector<bool> in_leg;          // (joints)
  std::vector<int> ankle_joints;     // the last two joints of both legs
  std::vector<int> waist_joints;     // waist roll and pitch, where there are any
  double total_mass = 0.0;           // kg

 private:
  void read_joints(const mjModel* model);
  void read_default_pose();
  void read_actions();
  void read_mirror();
  void read_bodies(const mjModel* model);

  RobotSettings settings_;
};

/// The geoms of `model` that may carry load: the soles of the left (0) or right (1) foot, or of
/// both
/// (-1). Soles are the geoms with priority over the floor.
std::vector<int> sole_geoms(const Robot& robot, const mjModel& model, int side = -1);

}  // namespace twist
