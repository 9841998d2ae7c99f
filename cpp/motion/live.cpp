#include "motion/live.h"

#include <algorithm>

#include "base/error.h"

namespace twist {

LiveMotion::LiveMotion(const Robot& robot, std::shared_ptr<Generator> generator, int streams,
                       int ahead, std::shared_ptr<Workers> workers)
    : generator_(std::move(generator)),
      workers_(std::move(workers)),
      width_(FrameLayout{robot.num_joints()}.width()),
      targets_(streams),
      next_change_(streams),
      rows_(std::size_t(streams) * 3 * width_),
      commands_(std::size_t(streams) * 6) {
  if (generator_->num_joints() != robot.num_joints()) {
    fail("the generator has ", generator_->num_joints(), " joints but robot '",
         robot.settings().name, "' has ", robot.num_joints());
  }
  if (streams < 1) fail("live motion needs at least 1 stream, got ", streams);
  if (ahead < 1) fail("live motion needs at least 1 frame ahead, got ", ahead);
  pool_ = std::make_shared<MotionPool>(robot, streams, 2 * ahead);
  for (int worker = 0; worker < workers_->count(); ++worker) dynamics_.emplace_back(robot);
  generator_->resize(streams);

  // the frame before the first is the first: everybody stands
  for (int first = 0; first < streams; first += generator_->block()) {
    const int count = std::min(generator_->block(), streams - first);
    std::vector<float> rows(std::size_t(count) * width_), commands(std::size_t(count) * 3);
    generator_->advance(first, count, &targets_[first], rows.data(), commands.data());
    for (int i = 0; i < count; ++i) {
      const float* row = &rows[std::size_t(i) * width_];
      float* kept = &rows_[std::size_t(first + i) * 3 * width_];
      std::copy_n(row, width_, kept);
      std::copy_n(row, width_, kept + width_);
      std::copy_n(&commands[std::size_t(i) * 3], 3, &commands_[std::size_t(first + i) * 6]);
    }
  }
  advance(ahead);
}

void LiveMotion::draw_commands(const CommandSettings& settings, std::uint64_t seed) {
  check_ranges(settings);
  settings_ = settings;
  seed_ = seed;
  for (std::size_t stream = 0; stream < targets_.size(); ++stream) {
    Random random(seed_, stream, 0, Purpose::kSampler);
    next_change_[stream] = pool_->length(static_cast<int>(stream)) + random.index(100);
  }
}

void LiveMotion::set_commands(std::span<const Command> targets) {
  if (targets.size() != targets_.size())
    fail("got ", targets.size(), " commands for ", targets_.size(), " streams");
  settings_.reset();
  std::copy(targets.begin(), targets.end(), targets_.begin());
}

void LiveMotion::advance(int frames) {
  if (frames < 0) fail("live motion advances by 0 frames or more, asked for ", frames);
  const int streams = pool_->streams(), block = generator_->block();
  workers_->run((streams + block - 1) / block, [&](int task, int worker) {
    const int first = task * block;
    make(first, std::min(block, streams - first), frames, dynamics_[worker]);
  });
}

// a new target where its time has come
void LiveMotion::draw(int stream) {
  const int frame = pool_->length(stream);
  if (!settings_ || frame < next_change_[stream]) return;
  Random random(seed_, stream, static_cast<std::uint32_t>(frame), Purpose::kCommand);
  targets_[stream] = sample_command(*settings_, random);
  const double hold_s = random.uniform(settings_->hold_s[0], settings_->hold_s[1]);
  next_change_[stream] = frame + std::max(1, static_cast<int>(hold_s / kControlStep));
}

// a frame is complete when the one after it is known: accelerations are central differences
void LiveMotion::make(int first, int count, int frames, ReferenceDynamics& dynamics) {
  std::vector<float> rows(std::size_t(count) * width_), commands(std::size_t(count) * 3);
  for (int step = 0; step < frames; ++step) {
    for (int i = first; i < first + count; ++i) draw(i);
    generator_->advance(first, count, &targets_[first], rows.data(), commands.data());
    for (int i = 0; i < count; ++i) {
      const int stream = first + i;
      float* before = &rows_[std::size_t(stream) * 3 * width_];
      float *now = before + width_, *after = now + width_;
      float* command = &commands_[std::size_t(stream) * 6];
      std::copy_n(&rows[std::size_t(i) * width_], width_, after);
      std::copy_n(&commands[std::size_t(i) * 3], 3, command + 3);
      dynamics.evaluate(before, now, after);
      pool_->write(stream, pool_->length(stream), now, command, dynamics);
      std::copy_n(now, 2 * width_, before);
      std::copy_n(command + 3, 3, command);
    }
  }
}

}  // namespace twist
