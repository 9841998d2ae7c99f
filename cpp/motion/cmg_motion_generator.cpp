#include "motion/cmg_motion_generator.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <type_traits>

#include "base/error.h"
#include "base/robot.h"

namespace twist {
namespace {

constexpr int kFade = 25;            // frames over which the end of a loop turns into its start
constexpr std::size_t kTimes = 100;  // generations remembered

CmgMotionSettings checked(CmgMotionSettings settings) {
  settings.visit([](const char* name, const auto& value, const Valid& valid, const char*) {
    if constexpr (std::is_same_v<decltype(value), const int&>) {
      if (value < valid.lower || value > valid.upper) {
        fail(name, " must lie in [", valid.lower, ", ", valid.upper, "], not be ", value);
      }
    } else if (!std::count(valid.choices.begin(), valid.choices.end(), value)) {
      fail(name, " must be one of ", join(valid.choices), ", not '", value, "'");
    }
  });
  if (settings.look_ahead > settings.buffer_size / 2) {
    fail("look_ahead ", settings.look_ahead, " is more than half of buffer_size ",
         settings.buffer_size);
  }
  return settings;
}

}  // namespace

CmgMotionGenerator::CmgMotionGenerator(const Cmg& model, const CmgMotionSettings& settings,
                                       std::shared_ptr<Workers> workers, at::ScalarType type,
                                       at::Device device)
    : settings_(checked(settings)), rollout_(model, type, device), workers_(std::move(workers)) {
  envs_.resize(settings.num_envs);
  rollout_.resize(settings.num_envs);
  take_memory();
  std::vector<int> ids(settings.num_envs);
  for (int id = 0; id < settings.num_envs; ++id) ids[id] = id;
  reset(ids, {}, {});
}

void CmgMotionGenerator::take_memory() {
  capacity_ = settings_.mode == "realtime" ? settings_.buffer_size : settings_.preload_duration + 1;
  ring_ = {};  // the old memory goes before the new comes
  ring_.resize(std::size_t(settings_.num_envs) * capacity_ * features());
}

int CmgMotionGenerator::slot(const Position& env, int frame) const {
  if (settings_.mode == "realtime") return frame % capacity_;
  return frame < env.seam ? frame : env.loop_from + (frame - env.seam) % (env.seam - env.loop_from);
}

// commands are ramped, so the one in force now follows from where and when the ramp began
Command CmgMotionGenerator::in_force(const Position& env) const {
  const std::vector<float>& rate = rollout_.statistics().command_rate;
  return ramp(env.from, env.target, rate[0] * env.now, rate[1] * env.now, rate[2] * env.now);
}

void CmgMotionGenerator::start(int id, const float* frame, const float* past, const Command& from) {
  Position& env = envs_[id];
  rollout_.continue_from(id, frame, past, from);
  std::copy_n(frame, features(), row(id, 0));
  env.now = 0;
  env.made = 1;
  env.chunk = std::max(1, settings_.look_ahead);
  env.seam = capacity_;
  env.loop_from = 0;
  env.from = from;
}

// what comes after the current frame is made anew
void CmgMotionGenerator::restart(int id) {
  const Position& env = envs_[id];
  const float* before = env.now > 0 ? row(id, slot(env, env.now - 1)) : row(id, 0);
  const std::vector<float> frame(read(id), read(id) + features());
  const std::vector<float> past(before, before + num_joints());
  start(id, frame.data(), past.data(), in_force(env));
}

void CmgMotionGenerator::reset(std::span<const int> ids, std::span<const Command> commands,
                               std::span<const float> frames) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const float* frame = frames.empty() ? standing_frame().data() : frames.data() + i * features();
    if (!commands.empty()) envs_.at(ids[i]).target = commands[i];
    start(ids[i], frame, frame, {});
  }
  fill(ids);
}

void CmgMotionGenerator::update_commands(std::span<const int> ids,
                                         std::span<const Command> commands) {
  empty_.clear();
  for (std::size_t i = 0; i < ids.size(); ++i) {
    Position& env = envs_.at(ids[i]);
    if (env.target == commands[i]) continue;
    restart(ids[i]);
    env.target = commands[i];
    empty_.push_back(ids[i]);
  }
  if (!empty_.empty()) fill(empty_);
}

const float* CmgMotionGenerator::read(int id, int offset) const {
  const Position& env = envs_.at(id);
  const int frame = env.now + offset;
  const bool realtime = settings_.mode == "realtime";
  const int oldest = realtime ? std::max(0, env.made - capacity_) : 0;
  if (frame < oldest || (realtime && frame >= env.made)) {
    fail("environment ", id, " has the frames ", oldest - env.now, " to ", env.made - 1 - env.now,
         " from now, not ", offset, "; look_ahead is ", settings_.look_ahead);
  }
  return row(id, slot(env, frame));
}

void CmgMotionGenerator::advance(std::span<const int> ids) {
  empty_.clear();
  for (const int id : ids) {
    Position& env = envs_.at(id);
    ++env.now;
    if (settings_.mode == "pregenerated") {
      if (env.now >= env.seam) env.now = slot(env, env.now);
    } else if (env.made - env.now <= settings_.look_ahead) {
      empty_.push_back(id);
    }
  }
  if (!empty_.empty()) fill(empty_);
}

void CmgMotionGenerator::switch_mode(const std::string& mode) {
  if (mode != "realtime" && mode != "pregenerated") {
    fail("mode must be pregenerated or realtime, not '", mode, "'");
  }
  if (mode == settings_.mode) return;

  // the current frames and the ones before them outlive the ring
  const int count = settings_.num_envs, joints = num_joints();
  std::vector<float> frames(std::size_t(count) * features()), pasts(std::size_t(count) * joints);
  std::vector<int> ids(count);
  for (int id = 0; id < count; ++id) {
    const Position& env = envs_[id];
    ids[id] = id;
    std::copy_n(read(id), features(), &frames[std::size_t(id) * features()]);
    std::copy_n(env.now > 0 ? row(id, slot(env, env.now - 1)) : read(id), joints,
                &pasts[std::size_t(id) * joints]);
  }
  settings_.mode = mode;
  take_memory();
  for (int id = 0; id < count; ++id) {
    start(id, &frames[std::size_t(id) * features()], &pasts[std::size_t(id) * joints],
          in_force(envs_[id]));
  }
  fill(ids);
}

// how many frames an environment should make now
int CmgMotionGenerator::wanted(const Position& env) const {
  if (settings_.mode == "pregenerated") return capacity_ - env.made;
  // one frame before the current one stays, for velocities
  const int room = capacity_ - 1 - (env.made - env.now);
  const int needed = settings_.look_ahead + 1 - (env.made - env.now);
  return std::clamp(std::max(env.chunk, needed), 0, std::max(0, room));
}

void CmgMotionGenerator::fill(std::span<const int> ids) {
  const auto begin = std::chrono::steady_clock::now();
  const int block = rollout_.block(), count = static_cast<int>(ids.size());
  std::int64_t frames = 0;
  for (const int id : ids) frames += wanted(envs_[id]);
  workers_->run((count + block - 1) / block, [&](int task, int) {
    fill_block(ids.subspan(std::size_t(task) * block, std::min(block, count - task * block)));
  });
  generated_frames_ += frames;
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
  generation_s_ += 1e-3 * took.count();
  generation_ms_.push_back(took.count());
  if (generation_ms_.size() > kTimes) generation_ms_.pop_front();
}

void CmgMotionGenerator::fill_block(std::span<const int> ids) {
  std::vector<int> left(ids.size()), active;
  std::vector<Command> targets;
  std::vector<float> rows(ids.size() * features()), commands(ids.size() * 3);
  std::vector<bool> fresh(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    Position& env = envs_[ids[i]];
    fresh[i] = env.made == 1;
    left[i] = wanted(env) + fresh[i];  // the first frame is there, but comes out once more
    env.chunk = std::min(2 * env.chunk, std::max(1, capacity_ / 2));
  }

  while (true) {
    active.clear();
    targets.clear();
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (left[i] == 0) continue;
      active.push_back(ids[i]);
      targets.push_back(envs_[ids[i]].target);
    }
    if (active.empty()) break;
    rollout_.advance(active, targets.data(), rows.data(), features(), commands.data(), 3);
    std::size_t next = 0;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (left[i] == 0) continue;
      --left[i];
      const float* made = &rows[next++ * features()];
      if (fresh[i]) {
        fresh[i] = false;
        continue;
      }
      Position& env = envs_[ids[i]];
      std::copy_n(made, features(), row(ids[i], env.made++ % capacity_));
    }
  }
  if (settings_.mode == "realtime") return;
  for (const int id : ids) close_loop(id);
}

// Finds two frames that are alike, one late and one in the middle, and turns the frames before the
// first gradually into those before the second.
void CmgMotionGenerator::close_loop(int id) {
  Position& env = envs_[id];
  const std::vector<float>& deviation = rollout_.statistics().deviation;
  const auto distance = [&](int a, int b) {
    double sum = 0;
    for (int i = 0; i < features(); ++i) {
      const double d = (row(id, a)[i] - row(id, b)[i]) / deviation[i];
      sum += d * d;
    }
    return sum;
  };
  double best = INFINITY;
  int late = capacity_ - 1, middle = capacity_ / 2;
  for (int a = capacity_ - capacity_ / 8; a < capacity_; a += 2) {
    for (int b = capacity_ / 2; b < capacity_ / 2 + 50 && b + kFade < a; ++b) {
      const double d = distance(a, b);
      if (d < best) best = d, late = a, middle = b;
    }
  }
  for (int k = 1; k <= kFade; ++k) {
    const float weight = 1.0f - float(k) / (kFade + 1);
    float* out = row(id, late - k);
    const float* like = row(id, middle - k);
    for (int i = 0; i < features(); ++i) out[i] += weight * (like[i] - out[i]);
  }
  env.seam = late;
  env.loop_from = middle;
}

}  // namespace twist
