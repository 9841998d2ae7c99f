#include "motion/reflex.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "motion/polish.h"

namespace twist {
namespace {

constexpr int kWalk = 150;    // frames after which a walk is steady
constexpr int kStride = 60;   // frames: longer than a stride
constexpr int kLength = 200;  // of a reflex in frames: long enough to stop
constexpr double kForward[] = {-0.9, -0.5, 0, 0.5, 1.0, 1.4};  // m/s
constexpr double kAside[] = {-0.6, -0.3, 0, 0.3, 0.6};         // m/s, less for fast ones
constexpr double kCreep = 0.02;  // stepping on the spot is walking very slowly, m/s

// the frame of a steady walk in which a foot lifts off
int lift_off(const Trajectories& motion, int stream, int foot) {
  const int contact = FrameLayout{motion.joints}.contact() + foot;
  for (int frame = kWalk; frame < kWalk + kStride; ++frame) {
    if (motion.row(stream, frame - 1)[contact] > 0 && motion.row(stream, frame)[contact] <= 0)
      return frame;
  }
  fail("a walk of the gait library never lifts foot ", foot);
}

}  // namespace

Reflexes make_reflexes(const Robot& robot, const GaitSettings& settings, Workers& workers) {
  std::vector<Command> commands;
  for (const double vx : kForward) {
    const double share = std::min(1.0, 1.25 - 0.5 * std::abs(vx));
    for (const double vy : kAside)
      commands.push_back({vx == 0 && vy == 0 ? kCreep : vx, share * vy, 0});
  }
  GaitLibrary library(robot, settings);
  const Trajectories steady = generate(library, constant_plan(commands, kWalk + kStride), workers);

  // the same walks, of which some stop at the lift-off
  Reflexes reflexes;
  CommandPlan plan{static_cast<int>(4 * commands.size()), kWalk + kStride + kLength, {}};
  std::vector<int> begins;
  for (std::size_t i = 0; i < commands.size(); ++i) {
    for (int foot = 0; foot < 2; ++foot) {
      for (const bool stops : {false, true}) {
        begins.push_back(lift_off(steady, static_cast<int>(i), foot));
        reflexes.entries.push_back({Vec2(commands[i].vx, commands[i].vy), foot, stops});
        const int rest = plan.frames - begins.back();
        plan.targets.insert(plan.targets.end(), begins.back(), commands[i]);
        plan.targets.insert(plan.targets.end(), rest, stops ? Command() : commands[i]);
      }
    }
  }
  const Trajectories walks = generate_balanced(robot, library, plan, workers);
  Trajectories motion(plan.streams, kLength, walks.joints);
  for (int i = 0; i < plan.streams; ++i) {
    std::copy_n(walks.row(i, begins[i]), std::size_t(kLength) * walks.width(), motion.row(i, 0));
    std::copy_n(walks.command(i, begins[i]), std::size_t(kLength) * 3, motion.command(i, 0));
    std::copy_n(walks.target(i, begins[i]), std::size_t(kLength) * 3, motion.target(i, 0));
  }
  reflexes.pool = std::make_shared<MotionPool>(robot, motion, workers);
  return reflexes;
}

int choose_reflex(const std::vector<Reflex>& entries, const Vec2& velocity, int foot, bool stops) {
  int best = -1;
  double least = INFINITY;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const double distance = (entries[i].velocity - velocity).norm();
    if (entries[i].foot != foot || entries[i].stops != stops || distance >= least) continue;
    least = distance;
    best = static_cast<int>(i);
  }
  return best;
}

}  // namespace twist
