#include "motion/commands.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"

namespace twist {
namespace {

constexpr const char* kAxisNames[] = {"vx", "vy", "wz"};

std::string range_text(const Interval& interval) {
  std::ostringstream out;
  out << "[" << interval[0] << ", " << interval[1] << "]";
  return out.str();
}

Interval to_interval(const char* name, const std::vector<double>& values) {
  if (values.size() != 2) fail(name, " needs two ascending numbers, not ", values.size());
  return {values[0], values[1]};
}

struct Preset {
  const char* name;
  Interval vx, vy, wz;
};

// Kinds of motion, then the stages of training. They are wishes: what is supported is drawn.
constexpr Preset kPresets[] = {
    {"forward", {0.5, 2.5}, {0, 0}, {0, 0}},
    {"backward", {-1.3, -0.3}, {0, 0}, {0, 0}},
    {"turn_left", {0, 0}, {0, 0}, {0.2, 0.7}},
    {"turn_right", {0, 0}, {0, 0}, {-0.7, -0.2}},
    {"strafe_left", {0, 0.5}, {0.3, 0.8}, {0, 0}},
    {"strafe_right", {0, 0.5}, {-0.8, -0.3}, {0, 0}},
    {"forward_turn", {0.5, 2.0}, {0, 0}, {-0.4, 0.4}},
    {"stand", {0, 0}, {0, 0}, {0, 0}},
    {"stage1_basic", {0.3, 2.0}, {0, 0}, {0, 0}},
    {"stage2_turn", {0.3, 2.0}, {0, 0}, {-0.5, 0.5}},
    {"stage3_strafe", {0, 2.0}, {-0.5, 0.5}, {-0.5, 0.5}},
    {"stage4_mixed", {-1.0, 3.0}, {-0.8, 0.8}, {-0.8, 0.8}},
};
constexpr const char* kMixed = "mixed";  // everything in the ranges of the sampler

// the part of a preset that is supported
CommandSet find_preset(const std::string& name, const CommandSet& supported) {
  for (const Preset& preset : kPresets) {
    if (name == preset.name)
      return intersect("preset '" + name + "'", {preset.vx, preset.vy, preset.wz}, supported);
  }
  fail("there is no preset '", name, "'; there are ", join(CommandSampler::presets()));
}

Command draw_in(const CommandSet& set, Random& random) {
  const double vx = random.uniform(set.vx[0], set.vx[1]);
  const double vy = random.uniform(set.vy[0], set.vy[1]);
  return {vx, vy, random.uniform(set.wz[0], set.wz[1])};
}

double normal_cdf(double z) { return 0.5 * std::erfc(-z * M_SQRT1_2); }

// The number below which a share `u` of the truncated normal lies, by bisection: one random number
// makes one command, however narrow the range is. `mean` lies in the range.
double truncated_quantile(double u, double mean, double deviation, const Interval& range) {
  if (deviation == 0) return mean;
  const double low = normal_cdf((range[0] - mean) / deviation);
  const double wanted = low + u * (normal_cdf((range[1] - mean) / deviation) - low);
  double a = range[0], b = range[1];
  for (int halving = 0; halving < 50; ++halving) {
    const double middle = 0.5 * (a + b);
    (normal_cdf((middle - mean) / deviation) < wanted ? a : b) = middle;
  }
  return 0.5 * (a + b);
}

void check_moments(int axis, double mean, double deviation, const Interval& range) {
  const char* name = kAxisNames[axis];
  if (!(mean >= range[0] && mean <= range[1])) {
    fail("the mean of ", name, " must lie in its range ", range_text(range), ", not be ", mean);
  }
  if (!(deviation >= 0 && std::isfinite(deviation))) {
    fail("the deviation of ", name, " must be a number from 0 on, not ", deviation);
  }
}

void write(const Command& command, float* out) {
  out[0] = static_cast<float>(command.vx);
  out[1] = static_cast<float>(command.vy);
  out[2] = static_cast<float>(command.wz);
}

}  // namespace

CommandSmoother::CommandSmoother(int num_envs, int interpolation_steps)
    : steps_(interpolation_steps) {
  if (num_envs < 0) fail("num_envs must be a whole number from 0 on, not ", num_envs);
  if (steps_ < 1) fail("interpolation_steps must be a whole number from 1 on, not ", steps_);
  for (auto* commands : {&start_, &target_, &current_}) commands->resize(3 * std::size_t(num_envs));
  done_.assign(num_envs, steps_);
  seen_.assign(num_envs, 0);
  all_.resize(num_envs);
  std::iota(all_.begin(), all_.end(), 0);
}

void CommandSmoother::set_target(std::span<const float> commands,
                                 std::span<const std::int64_t> envs) {
  check(commands, envs);
  for (std::size_t i = 0; i < envs.size(); ++i) {
    const float* wish = &commands[3 * i];
    float* target = &target_[3 * envs[i]];
    if (std::equal(wish, wish + 3, target)) continue;
    std::copy_n(wish, 3, target);
    std::copy_n(&current_[3 * envs[i]], 3, &start_[3 * envs[i]]);
    done_[envs[i]] = 0;
  }
}

void CommandSmoother::advance(std::span<const std::int64_t> envs) {
  check_envs(envs);
  for (const std::int64_t env : envs) {
    if (done_[env] == steps_) continue;
    const float share = static_cast<float>(++done_[env]) / static_cast<float>(steps_);
    for (std::int64_t i = 3 * env, end = i + 3; i < end; ++i) {
      // written so that it ends at the target exactly
      current_[i] = (1 - share) * start_[i] + share * target_[i];
    }
  }
}

void CommandSmoother::reset(std::span<const float> commands, std::span<const std::int64_t> envs) {
  check(commands, envs);
  for (std::size_t i = 0; i < envs.size(); ++i) {
    for (auto* kept : {&start_, &target_, &current_}) {
      std::copy_n(&commands[3 * i], 3, &(*kept)[3 * envs[i]]);
    }
    done_[envs[i]] = steps_;
  }
}

void CommandSmoother::check_envs(std::span<const std::int64_t> envs) {
  const std::int64_t count = std::ssize(all_);
  std::fill(seen_.begin(), seen_.end(), 0);
  for (const std::int64_t env : envs) {
    if (env < 0 || env >= count) {
      fail("there is no environment ", env, "; there are ", count, ", counted from 0");
    }
    if (seen_[env]++) fail("environment ", env, " is named twice in env_ids");
  }
}

void CommandSmoother::check(std::span<const float> commands, std::span<const std::int64_t> envs) {
  check_envs(envs);
  if (commands.size() != 3 * envs.size()) {
    fail("commands must be (", envs.size(), ", 3), one row for each environment, but there are ",
         commands.size(), " values");
  }
  for (std::size_t i = 0; i < commands.size(); ++i) {
    if (!std::isfinite(commands[i])) {
      fail("commands must be finite, but ", kAxisNames[i % 3], " in row ", i / 3, " is ",
           commands[i]);
    }
  }
}

CommandSet::CommandSet(const CommandSettings& settings)
    : CommandSet(to_interval("vx", settings.vx), to_interval("vy", settings.vy),
                 to_interval("wz", settings.wz)) {
  fast_from = settings.fast_from;
}

CommandSet::CommandSet(const Interval& vx, const Interval& vy, const Interval& wz)
    : vx(vx), vy(vy), wz(wz) {
  for (int axis = 0; axis < 3; ++axis) {
    const Interval& interval = (*this)[axis];
    if (!(std::isfinite(interval[0]) && std::isfinite(interval[1]) && interval[0] <= interval[1])) {
      fail(kAxisNames[axis], " needs two ascending finite numbers, not ", range_text(interval));
    }
  }
}

CommandSet intersect(const std::string& who, const CommandSet& wished,
                     const CommandSet& supported) {
  CommandSet common = wished;
  for (int axis = 0; axis < 3; ++axis) {
    const Interval &wish = wished[axis], &have = supported[axis];
    common[axis] = {std::max(wish[0], have[0]), std::min(wish[1], have[1])};
    if (common[axis][0] > common[axis][1]) {
      fail(who, " asks for ", kAxisNames[axis], " in ", range_text(wish), ", but supported is ",
           range_text(have));
    }
  }
  return common;
}

CommandSampler::CommandSampler(const CommandSet& ranges, const CommandSet& supported,
                               std::uint64_t seed)
    : ranges_(intersect("the sampler", ranges, supported)), supported_(supported), seed_(seed) {}

// each row has a stream of random numbers of its own
template <class Draw>
std::vector<float> CommandSampler::draw(int n, Draw&& one) {
  if (n < 0) fail("the number of commands must be a whole number from 0 on, not ", n);
  std::vector<float> rows(3 * std::size_t(n));
  for (int i = 0; i < n; ++i) {
    Random random(seed_, drawn + i, 0, Purpose::kSampler);
    write(narrowed(one(random)), &rows[3 * std::size_t(i)]);
  }
  drawn += n;
  return rows;
}

// a fast command goes straight, or nearly
Command CommandSampler::narrowed(const Command& command) const {
  CommandSettings set;
  set.vx = {supported_.vx[0], supported_.vx[1]};
  set.fast_from = supported_.fast_from;
  const double share = side_share(set, command.vx);
  return {command.vx, share * command.vy, share * command.wz};
}

std::vector<float> CommandSampler::uniform(int n) {
  return draw(n, [&](Random& random) { return draw_in(ranges_, random); });
}

std::vector<float> CommandSampler::curriculum(double difficulty, int n) {
  return draw(n,
              [set = curriculum_set(difficulty)](Random& random) { return draw_in(set, random); });
}

std::vector<float> CommandSampler::preset(const std::string& name, int n) {
  return draw(n, [set = preset_set(name)](Random& random) { return draw_in(set, random); });
}

std::vector<float> CommandSampler::distribution(
    const std::string& name, const std::optional<std::array<double, 3>>& mean,
    const std::optional<std::array<double, 3>>& deviation, int n) {
  const bool truncated = name == "truncated_normal";
  if (!truncated && name != "normal") {
    fail("there is no distribution '", name, "'; there are normal and truncated_normal");
  }
  std::array<double, 3> centre, spread;
  for (int axis = 0; axis < 3; ++axis) {
    const Interval& range = ranges_[axis];
    centre[axis] = mean ? (*mean)[axis] : 0.5 * (range[0] + range[1]);
    spread[axis] = deviation ? (*deviation)[axis] : 0.25 * (range[1] - range[0]);
    check_moments(axis, centre[axis], spread[axis], range);
  }
  return draw(n, [&](Random& random) {
    std::array<double, 3> value;
    for (int axis = 0; axis < 3; ++axis) {
      const Interval& range = ranges_[axis];
      value[axis] =
          truncated ? truncated_quantile(random.uniform(), centre[axis], spread[axis], range)
                    : std::clamp(centre[axis] + spread[axis] * random.normal(), range[0], range[1]);
    }
    return Command{value[0], value[1], value[2]};
  });
}

std::vector<float> CommandSampler::sequence(int duration, int change_interval,
                                            const std::string& mode, int n) {
  if (duration < 1) fail("duration must be a whole number of frames from 1 on, not ", duration);
  if (change_interval < 1) {
    fail("change_interval must be a whole number of frames from 1 on, not ", change_interval);
  }
  if (n < 0) fail("the number of sequences must be a whole number from 0 on, not ", n);

  // what each key is drawn from
  const int last = duration / change_interval;
  std::vector<CommandSet> sets;
  for (int key = 0; key <= last; ++key) {
    if (mode == "uniform") {
      sets.push_back(ranges_);
    } else if (mode == "curriculum") {
      sets.push_back(curriculum_set(last == 0 ? 0.0 : double(key) / last));
    } else if (mode.starts_with("preset:")) {
      sets.push_back(preset_set(mode.substr(7)));
    } else {
      fail("there is no mode '", mode, "'; there are uniform, curriculum and preset:<name>");
    }
  }

  std::vector<float> rows(3 * std::size_t(n) * duration);
  std::vector<Command> keys(last + 1);
  float* row = rows.data();
  for (int i = 0; i < n; ++i) {
    for (int key = 0; key <= last; ++key) {
      Random random(seed_, drawn + i, key, Purpose::kSampler);
      keys[key] = narrowed(draw_in(sets[key], random));
    }
    for (int frame = 0; frame < duration; ++frame, row += 3) {
      const Command &a = keys[frame / change_interval],
                    &b = keys[std::min(last, frame / change_interval + 1)];
      const double u = double(frame % change_interval) / change_interval;
      write({std::lerp(a.vx, b.vx, u), std::lerp(a.vy, b.vy, u), std::lerp(a.wz, b.wz, u)}, row);
    }
  }
  drawn += n;
  return rows;
}

std::vector<std::string> CommandSampler::presets() {
  std::vector<std::string> names;
  for (const Preset& preset : kPresets) names.push_back(preset.name);
  names.push_back(kMixed);
  return names;
}

CommandSet CommandSampler::preset_set(const std::string& name) const {
  return name == kMixed ? ranges_ : find_preset(name, supported_);
}

CommandSettings stage_commands(const CommandSettings& settings, const std::string& preset) {
  if (preset == kMixed) return settings;
  const CommandSet set = find_preset(preset, CommandSet(settings));
  CommandSettings stage = settings;
  stage.vx.assign(set.vx.begin(), set.vx.end());
  stage.vy.assign(set.vy.begin(), set.vy.end());
  stage.wz.assign(set.wz.begin(), set.wz.end());
  return stage;
}

CommandSet CommandSampler::curriculum_set(double difficulty) const {
  if (!(difficulty >= 0 && difficulty <= 1)) {
    fail("difficulty must lie in [0, 1], not be ", difficulty);
  }
  CommandSet set = ranges_;
  for (int axis = 0; axis < 3; ++axis) {
    const double base = std::clamp(0.0, set[axis][0], set[axis][1]);
    const double forward = axis == 0 ? 0.5 + 0.5 * difficulty : difficulty;
    set[axis] = {std::lerp(base, set[axis][0], difficulty), std::lerp(base, set[axis][1], forward)};
  }
  return set;
}

}  // namespace twist
