#include "motion/reference.h"

#include <algorithm>

#include "base/error.h"
#include "base/robot.h"

namespace twist {
namespace {

double approach(double now, double target, double most) {
  return now + std::clamp(target - now, -most, most);
}

}  // namespace

Command ramp(const Command& now, const Command& target, double rate_x, double rate_y,
             double rate_yaw) {
  return {approach(now.vx, target.vx, rate_x * kControlStep),
          approach(now.vy, target.vy, rate_y * kControlStep),
          approach(now.wz, target.wz, rate_yaw * kControlStep)};
}

Command sample_command(const CommandSettings& settings, Random& random) {
  const double kind = random.uniform();
  Command command{random.uniform(settings.vx[0], settings.vx[1]),
                  random.uniform(settings.vy[0], settings.vy[1]),
                  random.uniform(settings.wz[0], settings.wz[1])};
  const double drop = random.uniform(), which = random.uniform();

  // the special directions take their shares, the rest is general
  double edge = settings.stand_share;
  if (kind < edge) return {};
  if (kind < (edge += settings.straight_share)) return {command.vx, 0, 0};
  if (kind < (edge += settings.side_share)) return {0, command.vy, 0};
  if (kind < (edge += settings.turn_share)) return {0, 0, command.wz};
  if (drop < settings.drop_share) (which < 0.5 ? command.vy : command.wz) = 0;
  return command;
}

CommandPlan random_plan(const CommandSettings& settings, int streams, int frames,
                        std::uint64_t seed) {
  for (const auto* range : {&settings.vx, &settings.vy, &settings.wz, &settings.hold_s}) {
    if (range->size() != 2 || (*range)[0] > (*range)[1])
      fail("a command range needs two ascending numbers");
  }
  CommandPlan plan{streams, frames, std::vector<Command>(std::size_t(streams) * frames)};
  for (int stream = 0; stream < streams; ++stream) {
    Random random(seed, stream, 0, Purpose::kCommand);
    // most streams start walking soon; some stand for a while first
    int change = random.uniform() < 0.8 ? random.index(20) : random.index(150);
    Command target;
    for (int frame = 0; frame < frames; ++frame) {
      if (frame == change) {
        target = sample_command(settings, random);
        const double hold_s = random.uniform(settings.hold_s[0], settings.hold_s[1]);
        change = frame + std::max(1, static_cast<int>(hold_s / kControlStep));
      }
      plan.targets[std::size_t(stream) * frames + frame] = target;
    }
  }
  return plan;
}

CommandPlan constant_plan(std::span<const Command> commands, int frames) {
  CommandPlan plan{static_cast<int>(commands.size()), frames, {}};
  for (const Command& command : commands) plan.targets.insert(plan.targets.end(), frames, command);
  return plan;
}

Trajectories::Trajectories(int num_streams, int num_frames, int num_joints)
    : streams(num_streams),
      frames(num_frames),
      joints(num_joints),
      rows(std::size_t(num_streams) * num_frames * width()),
      commands(std::size_t(num_streams) * num_frames * 3),
      targets(std::size_t(num_streams) * num_frames * 3),
      lengths(num_streams, num_frames) {}

Trajectories generate(Generator& generator, const CommandPlan& plan, Workers& workers) {
  Trajectories out(plan.streams, plan.frames, generator.num_joints());
  generator.resize(plan.streams);
  const int block = generator.block(), width = out.width();

  workers.run((plan.streams + block - 1) / block, [&](int task, int) {
    const int first = task * block, count = std::min(block, plan.streams - first);
    std::vector<Command> targets(count);
    std::vector<float> rows(std::size_t(count) * width), commands(std::size_t(count) * 3);
    for (int frame = 0; frame < plan.frames; ++frame) {
      for (int i = 0; i < count; ++i) targets[i] = plan.at(first + i, frame);
      generator.advance(first, count, targets.data(), rows.data(), commands.data());

      // scatter the block into the rows of its streams
      for (int i = 0; i < count; ++i) {
        std::copy_n(&rows[std::size_t(i) * width], width, out.row(first + i, frame));
        std::copy_n(&commands[std::size_t(i) * 3], 3, out.command(first + i, frame));
        float* target = &out.targets[(std::size_t(first + i) * plan.frames + frame) * 3];
        target[0] = static_cast<float>(targets[i].vx);
        target[1] = static_cast<float>(targets[i].vy);
        target[2] = static_cast<float>(targets[i].wz);
      }
    }
  });
  return out;
}

void mirror_frame(std::span<const int> mirror_joint, std::span<const double> mirror_sign,
                  const float* in, float* out) {
  const FrameLayout layout{static_cast<int>(mirror_joint.size())};
  for (int joint = 0; joint < layout.joints; ++joint) {
    const float sign = static_cast<float>(mirror_sign[joint]);
    out[layout.q() + joint] = sign * in[layout.q() + mirror_joint[joint]];
    out[layout.qd() + joint] = sign * in[layout.qd() + mirror_joint[joint]];
  }
  out[layout.height()] = in[layout.height()];

  // vectors lose the sign of y, axial vectors those of x and z
  const float polar[3] = {1, -1, 1};
  for (int axis = 0; axis < 3; ++axis) {
    out[layout.gravity() + axis] = polar[axis] * in[layout.gravity() + axis];
    out[layout.lin_vel() + axis] = polar[axis] * in[layout.lin_vel() + axis];
    out[layout.ang_vel() + axis] = -polar[axis] * in[layout.ang_vel() + axis];
  }
  out[layout.contact()] = in[layout.contact() + 1];
  out[layout.contact() + 1] = in[layout.contact()];
}

}  // namespace twist
