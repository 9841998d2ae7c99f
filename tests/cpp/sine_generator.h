#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/robot.h"
#include "motion/reference.h"

namespace twist {

/// A fake for tests: four joints that swing with a frequency that depends on the command. Joints 0
/// and 1 are a mirror pair in counter-phase, joint 2 lies on the midline, joint 3 never moves.
class SineGenerator : public Generator {
 public:
  static constexpr int kJoints = 4;
  static constexpr float kStill = 0.25f;  // angle of joint 3
  static std::vector<int> mirror_joint() { return {1, 0, 2, 3}; }
  static std::vector<double> mirror_sign() { return {1, 1, -1, 1}; }

  int num_joints() const override { return kJoints; }
  void resize(int streams) override { streams_.assign(streams, {}); }
  void reset(int stream) override { streams_[stream] = {}; }

  void advance(int first, int count, const Command* targets, float* rows,
               float* commands) override {
    for (int i = 0; i < count; ++i) {
      Stream& stream = streams_[first + i];
      stream.command.vx = towards(stream.command.vx, targets[i].vx, 0.04);
      stream.command.vy = towards(stream.command.vy, targets[i].vy, 0.02);
      stream.command.wz = towards(stream.command.wz, targets[i].wz, 0.06);
      const double speed =
          std::hypot(stream.command.vx, stream.command.vy) + 0.3 * std::abs(stream.command.wz);
      const double rate = 2 * M_PI * std::min(1.0, 3 * speed);
      write(stream, std::min(0.5, speed), rate, rows + i * FrameLayout{kJoints}.width());
      stream.phase += rate * kControlStep;
      commands[3 * i] = static_cast<float>(stream.command.vx);
      commands[3 * i + 1] = static_cast<float>(stream.command.vy);
      commands[3 * i + 2] = static_cast<float>(stream.command.wz);
    }
  }

 private:
  struct Stream {
    Command command;
    double phase = 0;
  };

  static double towards(double now, double target, double step) {
    return now + std::clamp(target - now, -step, step);
  }

  static void write(const Stream& stream, double amplitude, double rate, float* row) {
    const FrameLayout layout{kJoints};
    std::fill_n(row, layout.width(), 0.0f);
    const double swing = amplitude * std::sin(stream.phase),
                 speed = amplitude * rate * std::cos(stream.phase);
    const double value[kJoints] = {swing, -swing, 0.5 * swing, kStill};
    const double velocity[kJoints] = {speed, -speed, 0.5 * speed, 0};
    for (int joint = 0; joint < kJoints; ++joint) {
      row[layout.q() + joint] = static_cast<float>(value[joint]);
      row[layout.qd() + joint] = static_cast<float>(velocity[joint]);
    }
    row[layout.height()] = 0.75f;
    row[layout.gravity() + 2] = -1;
    row[layout.lin_vel()] = static_cast<float>(stream.command.vx);
    row[layout.lin_vel() + 1] = static_cast<float>(stream.command.vy);
    row[layout.ang_vel() + 2] = static_cast<float>(stream.command.wz);
    row[layout.contact()] = static_cast<float>(0.5 + swing);
    row[layout.contact() + 1] = static_cast<float>(0.5 - swing);
  }

  std::vector<Stream> streams_;
};

/// Motion of the sine generator under changing commands.
inline Trajectories sine_motion(int streams, int frames, std::uint64_t seed = 1) {
  SineGenerator generator;
  Workers workers(1);
  CommandSettings commands;
  commands.hold_s = {0.5, 1.5};
  return generate(generator, random_plan(commands, streams, frames, seed), workers);
}

}  // namespace twist
