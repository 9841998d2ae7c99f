#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "motion/reference.h"

namespace twist {

/// Turns sudden changes of command into straight ramps, for many environments.
///
/// Commands are rows (vx, vy, wz) in m/s, m/s, rad/s. Call k after a change returns the start plus
/// k/N of the way; the N-th returns the target itself. `envs` says which environments a call is
/// about, each at most once; the others stay as they are. All methods throw UserError for
/// environments that do not exist, a wrong number of values, or values that are not finite.
class CommandSmoother {
 public:
  /// Throws UserError unless num_envs >= 0 and interpolation_steps >= 1.
  explicit CommandSmoother(int num_envs, int interpolation_steps = 25);

  /// New targets (envs, 3). Where the target changes, a ramp begins at the present command; where
  /// it is the same, the ramp goes on.
  void set_target(std::span<const float> commands, std::span<const std::int64_t> envs);

  /// One step along the ramps.
  void advance(std::span<const std::int64_t> envs);

  /// Commands (envs, 3) hold at once, as present command and as target.
  void reset(std::span<const float> commands, std::span<const std::int64_t> envs);

  const std::vector<float>& current() const { return current_; }  // (num_envs, 3)
  const std::vector<float>& target() const { return target_; }    // (num_envs, 3)
  const std::vector<std::int64_t>& all() const { return all_; }   // 0, ..., num_envs - 1
  int interpolation_steps() const { return steps_; }

 private:
  void check_envs(std::span<const std::int64_t> envs);
  void check(std::span<const float> commands, std::span<const std::int64_t> envs);

  int steps_;
  std::vector<float> start_, target_, current_;  // (num_envs, 3)
  std::vector<int> done_;                        // (num_envs) steps since the change of target
  std::vector<std::int64_t> all_;
  std::vector<char> seen_;  // (num_envs) scratch of check_envs
};

/// A closed interval.
using Interval = std::array<double, 2>;

/// A set of commands: vx (m/s), vy (m/s) and wz (rad/s) each lie in an interval; those of vy and wz
/// shrink to zero from vx = fast_from to the largest vx, as `side_share` has it.
struct CommandSet {
  Interval vx, vy, wz;
  double fast_from = INFINITY;

  /// The commands that the shipped motion was made and measured for.
  CommandSet() : CommandSet(CommandSettings()) {}
  /// Throws UserError unless each interval is two ascending finite numbers.
  explicit CommandSet(const CommandSettings& settings);
  CommandSet(const Interval& vx, const Interval& vy, const Interval& wz);

  const Interval& operator[](int axis) const { return axis == 0 ? vx : axis == 1 ? vy : wz; }
  Interval& operator[](int axis) { return axis == 0 ? vx : axis == 1 ? vy : wz; }
};

/// The part of `wished` that is in `supported`; if there is none, throws UserError that names
/// `who` and both intervals.
CommandSet intersect(const std::string& who, const CommandSet& wished, const CommandSet& supported);

/// `settings` narrowed to a preset of `CommandSampler`, such as "stage1_basic", as far as it is
/// walked. Throws UserError for a preset that there is not.
CommandSettings stage_commands(const CommandSettings& settings, const std::string& preset);

/// Draws velocity commands. Every command lies in the supported set.
///
/// Command number i since construction is a pure function of the seed, of i and of how it is drawn,
/// so 400 commands and then 600 are the same as 1000. Results are rows (n, 3) of vx, vy, wz.
class CommandSampler {
 public:
  /// `ranges` are what uniform, curriculum and distributions draw from, as far as it is supported.
  CommandSampler(const CommandSet& ranges, const CommandSet& supported, std::uint64_t seed);

  std::vector<float> uniform(int n);

  /// From easy (0) to everything (1). At 0: straight ahead, up to half of the fastest. Each
  /// interval grows from its point nearest to zero.
  std::vector<float> curriculum(double difficulty, int n);

  /// One of `presets()`: a kind of motion such as "forward", or a stage of training such as
  /// "stage1_basic".
  std::vector<float> preset(const std::string& name, int n);

  /// Independent normal numbers; by default the mean is the middle of the range and the deviation
  /// a quarter of its width. "normal" clips to the range and thus heaps what is outside at its
  /// ends; "truncated_normal" follows the normal density inside and has no such heaps.
  std::vector<float> distribution(const std::string& name,
                                  const std::optional<std::array<double, 3>>& mean,
                                  const std::optional<std::array<double, 3>>& deviation, int n);

  /// Commands over time, (n, duration, 3): a new key command every `change_interval` frames,
  /// straight lines between them, the last key held. `mode`: uniform, curriculum (easy at the
  /// first key, everything at the last) or preset:<name>.
  std::vector<float> sequence(int duration, int change_interval, const std::string& mode, int n);

  static std::vector<std::string> presets();

  const CommandSet& ranges() const { return ranges_; }
  const CommandSet& supported() const { return supported_; }

  /// How many commands (or sequences) have been drawn; setting it goes to any place of the stream.
  std::uint64_t drawn = 0;

 private:
  CommandSet preset_set(const std::string& name) const;
  CommandSet curriculum_set(double difficulty) const;
  Command narrowed(const Command& command) const;
  template <class Draw>
  std::vector<float> draw(int n, Draw&& one);

  CommandSet ranges_, supported_;
  std::uint64_t seed_;
};

}  // namespace twist
