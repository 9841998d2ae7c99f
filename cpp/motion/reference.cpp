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

double side_share(const CommandSettings& settings, double vx) {
  const double most = settings.vx[1], from = settings.fast_from;
  return vx <= from || most <= from ? 1.0 : std::max(0.0, (most - vx) / (most - from));
}

bool supports(const CommandSettings& settings, const Command& command) {
  constexpr double kTolerance = 1e-9;
  const double share = side_share(settings, command.vx);
  const auto within = [](double value, const std::vector<double>& range, double factor) {
    return value >= factor * range[0] - kTolerance && value <= factor * range[1] + kTolerance;
  };
  return within(command.vx, settings.vx, 1) && within(command.vy, settings.vy, share) &&
         within(command.wz, settings.wz, share);
}

void check_ranges(const CommandSettings& settings) {
  for (const auto* range : {&settings.vx, &settings.vy, &settings.wz, &settings.hold_s}) {
    if (range->size() != 2 || (*range)[0] > (*range)[1])
      fail("a command range needs two ascending numbers");
  }
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
  const double share = side_share(settings, command.vx);
  command.vy *= share;
  command.wz *= share;
  if (drop < settings.drop_share) (which < 0.5 ? command.vy : command.wz) = 0;
  return command;
}

CommandPlan random_plan(const CommandSettings& settings, int streams, int frames,
                        std::uint64_t seed) {
  check_ranges(settings);
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
      lengths(num_streams, num_frames),
      weights(num_streams, 1.0) {
  const std::size_t size = std::size_t(num_streams) * num_frames;
  const auto block = std::make_shared<std::vector<float>>(size * (width() + 6));
  memory_.push_back(block);
  for (int stream = 0; stream < streams; ++stream) {
    const std::size_t first = std::size_t(stream) * num_frames;
    rows_.push_back(block->data() + first * width());
    commands_.push_back(block->data() + size * width() + first * 3);
    targets_.push_back(block->data() + size * (width() + 3) + first * 3);
  }
}

Trajectories::Trajectories(const std::vector<int>& stream_lengths, int num_joints) {
  std::size_t total = 0;
  for (const int length : stream_lengths) total += length;
  const int width = FrameLayout{num_joints}.width();
  const auto block = std::make_shared<std::vector<float>>(total * (width + 3));
  *this =
      Trajectories(stream_lengths, num_joints, block->data(), block->data() + total * width, block);
}

Trajectories::Trajectories(const std::vector<int>& stream_lengths, int num_joints, float* rows,
                           float* commands, std::shared_ptr<void> owner)
    : streams(static_cast<int>(stream_lengths.size())),
      joints(num_joints),
      lengths(stream_lengths),
      weights(stream_lengths.size(), 1.0),
      memory_{std::move(owner)} {
  for (const int length : lengths) {
    frames = std::max(frames, length);
    rows_.push_back(rows);
    commands_.push_back(commands);
    rows += std::size_t(length) * width();
    commands += std::size_t(length) * 3;
  }
  targets_ = commands_;
}

void Trajectories::append(const Trajectories& other, double factor) {
  if (streams == 0) joints = other.joints;
  if (other.joints != joints) {
    fail("motion of ", other.joints, " joints cannot join motion of ", joints);
  }
  const auto add = [](auto& all, const auto& more) {
    all.insert(all.end(), more.begin(), more.end());
  };
  streams += other.streams;
  frames = std::max(frames, other.frames);
  add(lengths, other.lengths);
  for (const double weight : other.weights) weights.push_back(weight * factor);
  add(rows_, other.rows_);
  add(commands_, other.commands_);
  add(targets_, other.targets_);
  add(memory_, other.memory_);
}

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
        float* target = out.target(first + i, frame);
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
