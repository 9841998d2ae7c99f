// How the reference of an Env moves on, and gives way to a robot that was pushed.

#include <algorithm>

#include "env/env.h"
#include "motion/reflex.h"

namespace twist {
namespace {

// lifts off now the foot on the side to which a robot moves
Swing outer_foot(double sideways) { return {sideways > 0 ? 0 : 1, 0}; }

}  // namespace

// the next frame; after a reflex that stopped the motion goes on where it would have been
void Env::move_on(Episode& e) {
  ++e.steps;
  const auto next = [&](int stream, int frame) {
    return pool_->live() ? frame + 1 : std::min(frame + 1, pool_->length(stream) - 1);
  };
  if (e.home_stream < 0) {
    e.frame = next(e.stream, e.frame);
    return;
  }
  e.home_frame = next(e.home_stream, e.home_frame);
  if (++e.frame < pool_->length(e.stream) - 1) return;
  if (pool_->stands(e.home_stream, e.home_frame)) {
    go_home(e, e.home_frame);
  } else {
    const Vec2 velocity = planned_velocity(e.home_stream, e.home_frame);
    begin_reflex(e, towards(Vec2::Zero(), velocity), {0, 0}, false);
  }
}

void Env::go_home(Episode& e, int frame) {
  e.stream = e.home_stream;
  e.frame = frame;
  e.home_stream = -1;
}

// from a velocity to another, at most one step's change
Vec2 Env::towards(const Vec2& from, const Vec2& to) const {
  const double distance = (to - from).norm(), step = settings_.reflex.step;
  return distance <= step ? to : Vec2(from + step / distance * (to - from));
}

Vec2 Env::planned_velocity(int stream, int frame) const {
  const float* velocity = pool_->at(stream, frame).frame + frame_layout_.lin_vel();
  return Vec2(velocity[0], velocity[1]);
}

bool Env::is_pushed(const Vec2& velocity, const Vec2& planned) const {
  const ReflexSettings& s = settings_.reflex;
  return (velocity - planned).norm() > s.walking + s.walking_share * planned.norm();
}

// a robot that was pushed gets a reference that steps as the robot moves
void Env::react(int env, const Scratch& scratch) {
  Episode& e = episodes_[env];
  if (pool_->reflexes().empty() || !pool_->knows(e.stream, e.frame)) return;
  // a student goes by what it believes its velocity to be
  const Vec3& felt = is_privileged() ? scratch.body.lin_vel : e.estimate;
  const Vec2 velocity = felt.head<2>();
  if (e.home_stream >= 0) {
    step_on(e, velocity);
  } else if (pool_->stands(e.stream, e.frame)) {
    if (velocity.norm() > settings_.reflex.standing)
      begin_reflex(e, velocity, outer_foot(velocity.y()), true);
  } else if (const Vec2 planned = planned_velocity(e.stream, e.frame);
             is_pushed(velocity, planned)) {
    // sideways, the step on that side comes at once, or the legs would cross
    const double aside = velocity.y() - planned.y();
    const bool sideways = std::abs(aside) > settings_.reflex.sideways;
    begin_reflex(e, velocity, sideways ? outer_foot(aside) : pool_->swing(e.stream, e.frame),
                 false);
  }
}

// In a reflex, every lift-off is a chance to go on with another or to go back.
void Env::step_on(Episode& e, const Vec2& velocity) {
  const int foot = pool_->lifts_off(e.stream, e.frame, 0) ? 0 : 1;
  if (!pool_->lifts_off(e.stream, e.frame, foot)) return;
  const bool stands = pool_->stands(e.home_stream, e.home_frame);
  if (stands) {
    // a reflex that stops does so by itself
    const bool stops = pool_->reflexes()[e.stream - pool_->streams()].stops;
    if (velocity.norm() > settings_.reflex.standing || !stops)
      begin_reflex(e, velocity, {foot, 0}, true);
    return;
  }
  const Vec2 planned = planned_velocity(e.home_stream, e.home_frame);
  if (is_pushed(velocity, planned)) {
    begin_reflex(e, towards(velocity, planned), {foot, 0}, false);
    return;
  }
  // back where the same foot lifts off; live motion knows only its present frame
  if (pool_->live()) return go_home(e, e.home_frame);
  constexpr int kStride = 45;  // frames
  const int last = std::min(e.home_frame + kStride, pool_->length(e.home_stream) - 1);
  for (int frame = e.home_frame; frame <= last; ++frame) {
    if (pool_->lifts_off(e.home_stream, frame, foot)) return go_home(e, frame);
  }
}

void Env::begin_reflex(Episode& e, const Vec2& velocity, const Swing& swing, bool stops) {
  if (e.home_stream < 0) {
    e.home_stream = e.stream;
    e.home_frame = e.frame;
  }
  e.stream = pool_->streams() + choose_reflex(pool_->reflexes(), velocity, swing.foot, stops);
  e.frame = std::max(0, swing.frames);
}

}  // namespace twist
