#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/robot.h"
#include "error_of.h"
#include "motion/gait.h"
#include "motion/polish.h"
#include "motion/pool.h"

namespace twist {

/// The robot of configs/robots/g1_29dof.yaml, so that tests of the core need no YAML reader.
inline RobotSettings g1_settings() {
  RobotSettings s;
  s.name = "g1_29dof";
  s.mjcf = TWIST_SOURCE_DIR "/configs/robots/g1_29dof.xml";
  s.action_scale = {{"hip", 1.0},      {"knee", 1.0},  {"ankle", 1.0}, {"waist", 0.5},
                    {"shoulder", 0.0}, {"elbow", 0.0}, {"wrist", 0.0}};
  s.feet = {"left_ankle_roll_link", "right_ankle_roll_link"};
  for (const std::string side : {"left_", "right_"}) {
    s.default_pose[side + "hip_pitch_joint"] = -0.412;
    s.default_pose[side + "knee_joint"] = 0.851;
    s.default_pose[side + "ankle_pitch_joint"] = -0.439;
    s.default_pose[side + "shoulder_pitch_joint"] = 0.2;
    s.default_pose[side + "shoulder_roll_joint"] = side == "left_" ? 0.2 : -0.2;
    s.default_pose[side + "elbow_joint"] = 0.6;
    for (const char* body : {"wrist_yaw_link", "ankle_roll_link", "knee_link", "elbow_link"}) {
      s.key_bodies.push_back(side + body);
    }
    for (const char* joint :
         {"hip_roll_joint", "hip_yaw_joint", "ankle_roll_joint", "shoulder_roll_joint",
          "shoulder_yaw_joint", "wrist_roll_joint", "wrist_yaw_joint"}) {
      s.mirror_negate.push_back(side + joint);
    }
  }
  s.key_bodies.push_back("torso_link");
  s.mirror_negate.insert(s.mirror_negate.end(), {"waist_yaw_joint", "waist_roll_joint"});
  for (const char* joint :
       {"hip_pitch_joint", "hip_roll_joint", "hip_yaw_joint", "knee_joint", "ankle_pitch_joint",
        "ankle_roll_joint", "shoulder_pitch_joint", "shoulder_roll_joint", "shoulder_yaw_joint",
        "elbow_joint", "wrist_roll_joint", "wrist_pitch_joint", "wrist_yaw_joint"}) {
    s.mirror_left.push_back(std::string("left_") + joint);
    s.mirror_right.push_back(std::string("right_") + joint);
  }
  return s;
}

/// One robot for all tests.
inline std::shared_ptr<const Robot> g1() {
  static const auto robot = std::make_shared<const Robot>(g1_settings());
  return robot;
}

/// The model file as MuJoCo reads it, without any of our code.
inline ModelPtr g1_plain_model() {
  char error[512] = "";
  ModelPtr model(mj_loadXML(g1()->settings().mjcf.c_str(), nullptr, error, sizeof(error)));
  if (!model) throw std::runtime_error(error);
  return model;
}

/// Balanced motion of the gait library.
inline Trajectories g1_motion(const CommandPlan& plan) {
  GaitLibrary gait(*g1(), GaitSettings());
  Workers workers(1);
  return generate_balanced(*g1(), gait, plan, workers);
}

/// One constant command per stream, after `stand` frames of standing.
inline CommandPlan stand_then(const std::vector<Command>& commands, int stand, int frames) {
  CommandPlan plan = constant_plan(commands, frames);
  for (int stream = 0; stream < plan.streams; ++stream) {
    std::fill_n(plan.targets.begin() + std::size_t(stream) * frames, stand, Command{});
  }
  return plan;
}

/// A small set of references for environments: standing, walking, turning and changes of command.
inline std::shared_ptr<const MotionPool> g1_pool() {
  static const auto pool = [] {
    const std::vector<Command> commands = {{}, {0.6, 0, 0}, {0.3, 0.2, 0.5}, {-0.3, 0, -0.6}};
    Workers workers(1);
    const Trajectories motion = g1_motion(stand_then(commands, 20, 250));
    return std::make_shared<const MotionPool>(*g1(), motion, workers);
  }();
  return pool;
}

/// Ids of the four sole spheres of a foot.
inline std::vector<int> sole_spheres(const mjModel* model, int side) {
  std::vector<int> geoms;
  for (int i = 0; i < 4; ++i) {
    const std::string name = (side == 0 ? "left_foot_" : "right_foot_") + std::to_string(i);
    geoms.push_back(mj_name2id(model, mjOBJ_GEOM, name.c_str()));
  }
  return geoms;
}

/// Height of the lowest sole point; `data` has kinematics.
inline double lowest_sole(const mjModel* model, const mjData* data) {
  double lowest = 1e9;
  for (int side = 0; side < 2; ++side) {
    for (const int geom : sole_spheres(model, side)) {
      lowest = std::min(lowest, data->geom_xpos[3 * geom + 2] - model->geom_size[3 * geom]);
    }
  }
  return lowest;
}

}  // namespace twist
