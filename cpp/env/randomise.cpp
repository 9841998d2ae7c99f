#include "env/randomise.h"

#include "base/error.h"

namespace twist {
namespace {

double draw_within(const char* name, const std::vector<double>& range, double nominal,
                   double difficulty, Random& random) {
  if (range.size() != 2 || range[0] > range[1])
    fail("env.randomise.", name, " needs two ascending numbers");
  const double value = random.uniform(range[0], range[1]);
  return nominal + difficulty * (value - nominal);
}

}  // namespace

Randomisation Randomisation::draw(const RandomiseSettings& s, double difficulty, int joints,
                                  Random& random) {
  Randomisation r;
  r.friction = draw_within("friction", s.friction, 1, 1, random);
  r.mass = draw_within("mass", s.mass, 1, difficulty, random);
  r.payload = draw_within("payload", s.payload, 0, difficulty, random);
  r.strength = draw_within("strength", s.strength, 1, difficulty, random);
  r.kp = draw_within("gains", s.gains, 1, difficulty, random);
  r.kd = draw_within("gains", s.gains, 1, difficulty, random);
  r.delay = draw_within("delay", s.delay, 0, difficulty, random);
  for (int axis = 0; axis < 3; ++axis) r.com[axis] = difficulty * s.com * random.uniform(-1, 1);
  r.terrain = difficulty * random.uniform();
  if (s.joint_offset == 0) return r;
  for (int joint = 0; joint < joints; ++joint)
    r.joint_offsets.push_back(difficulty * s.joint_offset * random.uniform(-1, 1));
  return r;
}

Randomiser::Randomiser(const Robot& robot, const mjModel& model)
    : soles_(sole_geoms(robot, model)),
      mass_(model.body_mass, model.body_mass + model.nbody),
      inertia_(model.body_inertia, model.body_inertia + 3 * model.nbody),
      kp_(robot.kp),
      kd_(robot.kd) {
  // the torso is what the last waist joint moves
  torso_ = model.jnt_bodyid[1 + robot.joint_index("waist_pitch_joint")];
  com_ = Eigen::Map<const Vec3>(model.body_ipos + 3 * torso_);
}

void Randomiser::apply(const Randomisation& values, mjModel* model) const {
  for (const int geom : soles_) model->geom_friction[3 * geom] = values.friction;
  for (int body = 1; body < model->nbody; ++body) {
    model->body_mass[body] = values.mass * mass_[body];
    for (int axis = 0; axis < 3; ++axis)
      model->body_inertia[3 * body + axis] = values.mass * inertia_[3 * body + axis];
  }
  model->body_mass[torso_] += values.payload;
  for (int axis = 0; axis < 3; ++axis)
    model->body_ipos[3 * torso_ + axis] = com_[axis] + values.com[axis];
  for (std::size_t joint = 0; joint < kp_.size(); ++joint) {
    const double kp = values.strength * values.kp * kp_[joint];
    const double kd = values.strength * values.kd * kd_[joint];
    model->actuator_gainprm[mjNGAIN * joint] = kp;
    model->actuator_biasprm[mjNBIAS * joint + 1] = -kp;
    model->actuator_biasprm[mjNBIAS * joint + 2] = -kd;
  }
}

}  // namespace twist
