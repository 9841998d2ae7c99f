#include "motion/reflex.h"

#include <cmath>

#include "base/error.h"
#include "motion/polish.h"

namespace twist {
namespace {

constexpr int kWalk = 150;                    // frames after which a walk is steady
constexpr int kStride = 60;                   // frames: longer than a stride
constexpr int kStop = 150;                    // frames in which a walk ends
constexpr double kAhead = 0.5, kAside = 0.3;  // speeds, m/s
constexpr double kCreep = 0.02;               // stepping on the spot is walking very slowly, m/s

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
  std::vector<Command> commands = {{kCreep, 0, 0}};
  for (int x = -1; x <= 1; ++x) {
    for (int y = -1; y <= 1; ++y) {
      if (x != 0 || y != 0) commands.push_back({x * kAhead, y * kAside, 0});
    }
  }
  GaitLibrary library(robot, settings);
  const Trajectories steady = generate(library, constant_plan(commands, kWalk + kStride), workers);

  // the same walks, which stop at the lift-off
  Reflexes reflexes;
  CommandPlan plan{static_cast<int>(2 * commands.size()), kWalk + kStride + kStop, {}};
  std::vector<int> begins;
  for (std::size_t i = 0; i < commands.size(); ++i) {
    for (int foot = 0; foot < 2; ++foot) {
      begins.push_back(lift_off(steady, static_cast<int>(i), foot));
      reflexes.entries.push_back({Vec2(commands[i].vx, commands[i].vy), foot});
      plan.targets.insert(plan.targets.end(), begins.back(), commands[i]);
      plan.targets.insert(plan.targets.end(), plan.frames - begins.back(), Command());
    }
  }
  const Trajectories walks = generate_balanced(robot, library, plan, workers);
  Trajectories motion(plan.streams, kStop, walks.joints);
  for (int i = 0; i < plan.streams; ++i) {
    std::copy_n(walks.row(i, begins[i]), std::size_t(kStop) * walks.width(), motion.row(i, 0));
    std::copy_n(walks.command(i, begins[i]), std::size_t(kStop) * 3, motion.command(i, 0));
    std::copy_n(walks.target(i, begins[i]), std::size_t(kStop) * 3, motion.target(i, 0));
  }
  reflexes.pool = std::make_shared<MotionPool>(robot, motion, workers);
  return reflexes;
}

int choose_reflex(const std::vector<Reflex>& entries, const Vec2& velocity) {
  const int foot = velocity.y() > 0 ? 0 : 1;
  int best = -1;
  double least = INFINITY;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const double distance = (entries[i].velocity - velocity).norm();
    if (entries[i].foot != foot || distance >= least) continue;
    least = distance;
    best = static_cast<int>(i);
  }
  return best;
}

}  // namespace twist
