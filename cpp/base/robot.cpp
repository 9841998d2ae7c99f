#include "base/robot.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/error.h"

namespace twist {
namespace {

constexpr int kVisualGroup = 1,
              kCollisionGroup = 3;  // geoms of these groups exist only in the full model

std::string name_of(const mjModel* model, int type, int id) {
  const char* name = mj_id2name(model, type, id);
  return name ? name : "";
}

// compiles the file; without the capsules if only the feet may touch the floor
ModelPtr compile(const std::string& path, bool feet_only,
                 const std::function<void(mjSpec*)>& edit = nullptr) {
  if (!std::filesystem::exists(path)) fail("robot model '", path, "' does not exist");
  char message[1024] = "";
  mjSpec* spec = mj_parseXML(path.c_str(), nullptr, message, sizeof(message));
  if (!spec) fail("robot model '", path, "' cannot be read: ", message);
  if (feet_only) {
    for (mjsElement* geom = mjs_firstElement(spec, mjOBJ_GEOM); geom;) {
      mjsElement* next = mjs_nextElement(spec, geom);
      const int group = mjs_asGeom(geom)->group;
      if (group == kVisualGroup || group == kCollisionGroup) mjs_delete(spec, geom);
      geom = next;
    }
  }
  if (edit) edit(spec);
  ModelPtr model(mj_compile(spec, nullptr));
  const std::string error = model ? "" : mjs_getError(spec);
  mj_deleteSpec(spec);
  if (!model) fail("robot model '", path, "' does not compile: ", error);
  return model;
}

int body_id(const mjModel* model, const std::string& name, const std::string& what) {
  const int id = mj_name2id(model, mjOBJ_BODY, name.c_str());
  if (id >= 0) return id;
  std::vector<std::string> names;
  for (int body = 1; body < model->nbody; ++body) names.push_back(name_of(model, mjOBJ_BODY, body));
  fail(what, " body '", name, "' is not in the robot model; it has: ", join(names));
}

}  // namespace

int Robot::joint_index(const std::string& name) const {
  const auto found = std::find(joint_names.begin(), joint_names.end(), name);
  if (found == joint_names.end()) {
    fail("joint '", name, "' is not in robot '", settings_.name, "'; it has: ", join(joint_names));
  }
  return static_cast<int>(found - joint_names.begin());
}

Robot::Robot(RobotSettings settings) : settings_(std::move(settings)) {
  const ModelPtr model = compile(settings_.mjcf, true);
  total_mass = mj_getTotalmass(model.get());
  read_joints(model.get());
  read_default_pose();
  read_actions();
  read_mirror();
  read_bodies(model.get());
}

// joints in model order, each with its actuator
void Robot::read_joints(const mjModel* model) {
  if (model->njnt < 2 || model->jnt_type[0] != mjJNT_FREE) {
    fail("robot model '", settings_.mjcf,
         "' must begin with a free joint and have at least one hinge joint");
  }
  const double omega = 2.0 * M_PI * settings_.natural_frequency_hz;
  for (int joint = 1; joint < model->njnt; ++joint) {
    const std::string name = name_of(model, mjOBJ_JOINT, joint);
    if (model->jnt_type[joint] != mjJNT_HINGE) fail("joint '", name, "' must be a hinge");
    const int actuator = joint - 1;
    if (actuator >= model->nu || model->actuator_trnid[2 * actuator] != joint) {
      fail("joint '", name, "' has no position actuator at place ", actuator, " of robot model '",
           settings_.mjcf, "'; actuators must follow the order of the joints");
    }
    if (name.find("waist_roll") != std::string::npos ||
        name.find("waist_pitch") != std::string::npos) {
      waist_joints.push_back(actuator);
    }
    joint_names.push_back(name);
    lower.push_back(model->jnt_range[2 * joint]);
    upper.push_back(model->jnt_range[2 * joint + 1]);
    effort.push_back(model->actuator_forcerange[2 * actuator + 1]);
    armature.push_back(model->dof_armature[model->jnt_dofadr[joint]]);
    kp.push_back(armature.back() * omega * omega);
    kd.push_back(2.0 * settings_.damping_ratio * armature.back() * omega);
  }
}

void Robot::read_default_pose() {
  q_default.assign(num_joints(), 0.0);
  for (const auto& [name, angle] : settings_.default_pose) {
    const int joint = joint_index(name);
    if (angle < lower[joint] || angle > upper[joint]) {
      fail("default_pose.", name, " = ", angle, " is outside the joint's range ", lower[joint],
           " to ", upper[joint]);
    }
    q_default[joint] = angle;
  }
}

// the longest matching part of the name decides, so that a whole joint name beats "hip"
void Robot::read_actions() {
  for (int joint = 0; joint < num_joints(); ++joint) {
    double factor = -1.0;
    std::size_t longest = 0;
    for (const auto& [part, value] : settings_.action_scale) {
      if (joint_names[joint].find(part) != std::string::npos && part.size() > longest) {
        longest = part.size();
        factor = value;
      }
    }
    if (factor < 0) fail("action_scale names no part of joint '", joint_names[joint], "'");
    if (factor == 0) continue;
    acted_joints.push_back(joint);
    action_scale.push_back(factor * 0.25 * effort[joint] / kp[joint]);
  }
}

void Robot::read_mirror() {
  if (settings_.mirror_left.size() != settings_.mirror_right.size())
    fail("mirror pairs are incomplete");
  mirror_joint.resize(num_joints());
  mirror_sign.assign(num_joints(), 1.0);
  for (int joint = 0; joint < num_joints(); ++joint) mirror_joint[joint] = joint;
  for (std::size_t pair = 0; pair < settings_.mirror_left.size(); ++pair) {
    const int left = joint_index(settings_.mirror_left[pair]),
              right = joint_index(settings_.mirror_right[pair]);
    mirror_joint[left] = right;
    mirror_joint[right] = left;
  }
  for (const auto& name : settings_.mirror_negate) mirror_sign[joint_index(name)] = -1.0;
}

void Robot::read_bodies(const mjModel* model) {
  if (settings_.feet.size() != 2)
    fail("feet must name the left and the right foot body, got ", settings_.feet.size());
  for (const auto& name : settings_.feet) foot_bodies.push_back(body_id(model, name, "foot"));
  for (const auto& name : settings_.key_bodies) key_bodies.push_back(body_id(model, name, "key"));
  in_leg.assign(num_joints(), false);
  for (int side = 0; side < 2; ++side) {
    for (int body = foot_bodies[side]; model->body_parentid[body] != 0;
         body = model->body_parentid[body]) {
      if (model->body_jntnum[body] == 1) leg_joints[side].push_back(model->body_jntadr[body] - 1);
    }
    std::reverse(leg_joints[side].begin(), leg_joints[side].end());
    for (const int joint : leg_joints[side]) in_leg[joint] = true;
    if (leg_joints[side].size() != 6) {
      fail("the leg to '", settings_.feet[side], "' has ", leg_joints[side].size(),
           " joints; 6 are needed");
    }
    ankle_joints.insert(ankle_joints.end(), leg_joints[side].end() - 2, leg_joints[side].end());
  }
}

ModelPtr Robot::make_model(const SimSettings& sim, const std::function<void(mjSpec*)>& edit) const {
  if (std::abs(sim.timestep * sim.decimation - kControlStep) > 1e-9) {
    fail("sim.timestep * sim.decimation must be ", kControlStep, " s (50 Hz), got ", sim.timestep,
         " * ", sim.decimation);
  }
  ModelPtr model = compile(settings_.mjcf, sim.collision == "feet", edit);
  model->opt.timestep = sim.timestep;
  model->opt.iterations = sim.iterations;

  // servos: force = kp (target - q) - kd qd, clipped to the effort limit
  for (int joint = 0; joint < num_joints(); ++joint) {
    model->actuator_gainprm[mjNGAIN * joint] = kp[joint];
    model->actuator_biasprm[mjNBIAS * joint + 1] = -kp[joint];
    model->actuator_biasprm[mjNBIAS * joint + 2] = -kd[joint];
  }

  // sole friction decides (the soles have priority over the floor)
  for (const int geom : sole_geoms(*this, *model)) model->geom_friction[3 * geom] = sim.friction;
  return model;
}

std::vector<int> sole_geoms(const Robot& robot, const mjModel& model, int side) {
  std::vector<int> geoms;
  for (int geom = 0; geom < model.ngeom; ++geom) {
    if (model.geom_priority[geom] == 0) continue;
    if (side < 0 || model.geom_bodyid[geom] == robot.foot_bodies[side]) geoms.push_back(geom);
  }
  return geoms;
}

}  // namespace twist
