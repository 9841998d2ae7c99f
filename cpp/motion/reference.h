#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/parallel.h"
#include "base/random.h"
#include "base/settings.h"

namespace twist {

/// A velocity command in the heading frame.
struct Command {
  double vx = 0, vy = 0, wz = 0;  // m/s, m/s, rad/s
  bool operator==(const Command&) const = default;
  bool is_zero() const { return vx == 0 && vy == 0 && wz == 0; }
};

/// Where each part of a reference frame lies in a row of floats. Frames are 50 Hz.
///
///   q (n) rad | qd (n) rad/s | pelvis height m | projected gravity in the base frame (3) |
///   linear velocity in the heading frame (3) m/s | angular velocity in the base frame (3) rad/s |
///   planned share of the load on the left and right foot (2), summing to 1 (0 and 0 in flight)
struct FrameLayout {
  int joints;
  int q() const { return 0; }
  int qd() const { return joints; }
  int height() const { return 2 * joints; }
  int gravity() const { return 2 * joints + 1; }
  int lin_vel() const { return 2 * joints + 4; }
  int ang_vel() const { return 2 * joints + 7; }
  int contact() const { return 2 * joints + 10; }
  int width() const { return 2 * joints + 12; }
};

/// Moves `now` towards `target`, each component by at most its rate (m/s^2, m/s^2, rad/s^2) times
/// the control step.
Command ramp(const Command& now, const Command& target, double rate_x, double rate_y,
             double rate_yaw);

/// Which part of the command space, and how it changes over time.
struct CommandSettings {
  std::vector<double> vx = {-0.6, 1.55};
  std::vector<double> vy = {-0.35, 0.35};
  std::vector<double> wz = {-0.9, 0.9};
  double fast_from = 1.05;                  ///< above this vx the others' ranges shrink to zero
  std::vector<double> hold_s = {2.5, 6.0};  ///< a command is held for a uniform time in this range
  double stand_share = 0.15;                ///< share of commands that are exactly zero
  double straight_share = 0.2;              ///< share of pure vx
  double side_share = 0.08;                 ///< share of pure vy
  double turn_share = 0.08;                 ///< share of pure wz
  double drop_share = 0.3;                  ///< share in which one of vy, wz is zero

  template <class V>
  void visit(V&& field) {
    field("vx", vx, Valid(-3, 4), "range of the forward velocity in m/s");
    field("vy", vy, Valid(-2, 2), "range of the lateral velocity in m/s");
    field("wz", wz, Valid(-4, 4), "range of the yaw rate in rad/s");
    field("fast_from", fast_from, Valid(0, 4),
          "vx in m/s above which the ranges of vy and wz shrink, to zero at the largest vx");
    field("hold_s", hold_s, Valid(0.1, 100), "range of the time a command is held in s");
    field("stand_share", stand_share, Valid(0, 1), "share of commands that are zero");
    field("straight_share", straight_share, Valid(0, 1), "share of commands that are pure vx");
    field("side_share", side_share, Valid(0, 1), "share of commands that are pure vy");
    field("turn_share", turn_share, Valid(0, 1), "share of commands that are pure wz");
    field("drop_share", drop_share, Valid(0, 1), "share of commands in which vy or wz is zero");
  }
};

/// The share of the ranges of vy and wz that is left at a forward velocity: 1, falling to 0 from
/// `fast_from` to the largest vx.
double side_share(const CommandSettings& settings, double vx);

/// Whether a command lies in the set that is walked.
bool supports(const CommandSettings& settings, const Command& command);

/// Throws UserError unless every range is two ascending numbers.
void check_ranges(const CommandSettings& settings);

/// Draws one command target, which is in the set.
Command sample_command(const CommandSettings& settings, Random& random);

/// Command targets for many streams over time: (streams, frames).
struct CommandPlan {
  int streams = 0, frames = 0;
  std::vector<Command> targets;  // (streams, frames)
  const Command& at(int stream, int frame) const {
    return targets[std::size_t(stream) * frames + frame];
  }
};

/// Every stream stands for a moment, then changes command at random times. Pure function of the
/// arguments.
CommandPlan random_plan(const CommandSettings& settings, int streams, int frames,
                        std::uint64_t seed);

/// One constant command per stream, from the first frame on.
CommandPlan constant_plan(std::span<const Command> commands, int frames);

/// Motion of many streams: each is a block of rows, one after the other in time. Copies share the
/// rows. A stream may lie in memory that someone else owns, such as a mapped file.
class Trajectories {
 public:
  Trajectories() = default;
  /// Streams of equal length in one block of zeros, (streams, frames, width).
  Trajectories(int num_streams, int num_frames, int num_joints);
  /// Recorded motion, zeros at first, that takes no more memory than its frames.
  Trajectories(const std::vector<int>& stream_lengths, int num_joints);
  /// Recorded motion that lies elsewhere: `rows` (sum of lengths, width) and `commands` (sum of
  /// lengths, 3); `owner` keeps them alive.
  Trajectories(const std::vector<int>& stream_lengths, int num_joints, float* rows, float* commands,
               std::shared_ptr<void> owner);

  /// Adds the streams of `other`, whose weights are multiplied by `factor`. Throws UserError if it
  /// has another number of joints.
  void append(const Trajectories& other, double factor = 1.0);

  int width() const { return FrameLayout{joints}.width(); }
  float* row(int stream, int frame) { return rows_[stream] + std::size_t(frame) * width(); }
  const float* row(int stream, int frame) const {
    return rows_[stream] + std::size_t(frame) * width();
  }
  /// The ramped command in force, (3).
  float* command(int stream, int frame) { return commands_[stream] + std::size_t(frame) * 3; }
  const float* command(int stream, int frame) const {
    return commands_[stream] + std::size_t(frame) * 3;
  }
  /// The command asked for, (3); recorded motion has none: there it is the command in force.
  float* target(int stream, int frame) { return targets_[stream] + std::size_t(frame) * 3; }
  const float* target(int stream, int frame) const {
    return targets_[stream] + std::size_t(frame) * 3;
  }
  bool is_recorded(int stream) const { return targets_[stream] == commands_[stream]; }

  int streams = 0, frames = 0, joints = 0;  // frames: of the longest stream
  std::vector<int> lengths;                 // (streams) frames that are valid
  std::vector<double> weights;              // (streams) how often to draw from it, relatively

 private:
  std::vector<float*> rows_, commands_, targets_;  // (streams) first row of each
  std::vector<std::shared_ptr<void>> memory_;
};

/// Makes reference motion from commands, frame after frame, for many independent streams. The only
/// virtual interface of the project: the gait library, the CMG and a sine fake for tests implement
/// it.
class Generator {
 public:
  virtual ~Generator() = default;

  virtual int num_joints() const = 0;

  /// Prepares `streams` streams, all standing.
  virtual void resize(int streams) = 0;

  /// Puts one stream back to standing.
  virtual void reset(int stream) = 0;

  /// Advances streams [first, first + count) by one frame towards their command targets (count).
  /// Writes `rows` (count, FrameLayout::width) and the ramped command in force, `commands` (count,
  /// 3). Disjoint ranges may be advanced from different threads.
  virtual void advance(int first, int count, const Command* targets, float* rows,
                       float* commands) = 0;

  /// The number of consecutive streams that are cheapest to advance together.
  virtual int block() const { return 1; }
};

/// Runs a generator over a whole plan from standing. Results do not depend on the number of
/// workers.
Trajectories generate(Generator& generator, const CommandPlan& plan, Workers& workers);

/// Reflects a frame (or a command) left to right. `mirror_joint` and `mirror_sign` are those of
/// `Robot`.
void mirror_frame(std::span<const int> mirror_joint, std::span<const double> mirror_sign,
                  const float* in, float* out);

}  // namespace twist
