#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/robot.h"
#include "motion/cmg.h"
#include "motion/reference.h"

namespace twist {
namespace {

constexpr float kLost = 100;        // standard deviations from the mean
constexpr int kStopFrames = 60;     // a last step and a weight shift
constexpr int kSettleFrames = 50;   // then the pull below; after that the pose is held
constexpr float kRestPull = 0.12f;  // share of the way to the standing pose per frame of rest

// Scales a vector to unit length; one of no length becomes straight down.
void normalise_gravity(float* gravity) {
  const float length =
      std::sqrt(gravity[0] * gravity[0] + gravity[1] * gravity[1] + gravity[2] * gravity[2]);
  for (int axis = 0; axis < 3; ++axis) {
    gravity[axis] = length > 1e-6f ? gravity[axis] / length : (axis == 2 ? -1.0f : 0.0f);
  }
}

}  // namespace

CmgGenerator::CmgGenerator(Cmg model)
    : model_(std::move(model)),
      layout_{model_.num_joints()},
      feature_factor_(model_.statistics().feature_factor()),
      command_factor_(model_.statistics().command_factor()) {
  if (!model_.network().parameters().flat().is_cpu()) fail("a CmgGenerator runs on the CPU");
}

void CmgGenerator::resize(int streams) {
  if (streams < 0) fail("cannot generate ", streams, " streams");
  streams_ = streams;
  nonfinite_ = 0;
  frames_.resize(std::size_t(streams) * layout_.width());
  past_.resize(std::size_t(streams) * layout_.joints);
  commands_.resize(streams);
  idle_.resize(streams);
  for (int stream = 0; stream < streams; ++stream) reset(stream);
}

void CmgGenerator::reset(int stream) {
  const std::vector<float>& start = model_.statistics().start;
  std::copy(start.begin(), start.end(), frame(stream));
  std::copy_n(start.begin(), layout_.joints, past(stream));
  commands_[stream] = {};
  idle_[stream] = kStopFrames + kSettleFrames;
}

void CmgGenerator::advance(int first, int count, const Command* targets, float* rows,
                           float* commands) {
  if (first < 0 || count < 0 || first + count > streams_) {
    fail("streams ", first, " to ", first + count, " do not exist; there are ", streams_);
  }
  at::init_num_threads();  // a thread's first torch operation must know that it is alone
  c10::InferenceMode inference;
  const int end = first + count;
  for (int block = first / kBlock; block * kBlock < end; ++block) {
    const int from = std::max(first, block * kBlock), to = std::min(end, (block + 1) * kBlock);
    const int done = from - first;
    advance_block(block, from, to, targets + done, rows + std::size_t(done) * layout_.width(),
                  commands + std::size_t(done) * 3);
  }
}

// Products may round differently with another number of rows, so a block always has all its rows;
// those of streams that are not asked for are zero.
void CmgGenerator::advance_block(int block, int first, int end, const Command* targets, float* rows,
                                 float* commands) {
  const int width = layout_.width(), base = block * kBlock;
  const int size = std::min(kBlock, streams_ - base);
  const at::Tensor features = at::zeros({size, width}), conditions = at::zeros({size, 3});
  const std::vector<float>& mean = model_.statistics().mean;

  // normalise the frames and the commands
  for (int stream = first; stream < end; ++stream) {
    float* out = features.data_ptr<float>() + std::size_t(stream - base) * width;
    const float* in = frame(stream);
    for (int i = 0; i < width; ++i) out[i] = (in[i] - mean[i]) * feature_factor_[i];
    float* condition = conditions.data_ptr<float>() + std::size_t(stream - base) * 3;
    const Command& target = targets[stream - first];
    condition[0] = static_cast<float>(target.vx) * command_factor_[0];
    condition[1] = static_cast<float>(target.vy) * command_factor_[1];
    condition[2] = static_cast<float>(target.wz) * command_factor_[2];
  }

  // fresh memory would cost more than the arithmetic, so every thread keeps its own
  thread_local CmgActivations scratch;
  model_.network().resize(scratch, {size});
  model_.network().forward(features, conditions, scratch);
  const at::Tensor& changes = scratch.output[2];

  // write the current frames, keep the next ones
  std::vector<float> next(width);
  for (int stream = first; stream < end; ++stream) {
    const int i = stream - first;
    const float* change = changes.data_ptr<float>() + std::size_t(stream - base) * width;
    const bool sane = next_frame(frame(stream), change, next.data());
    if (!sane) {
      reset(stream);
      ++nonfinite_;
      std::copy_n(frame(stream), width, next.data());
    }
    settle(stream, targets[i], next.data());
    emit(stream, next.data(), sane ? targets[i] : Command{}, rows + std::size_t(i) * width,
         commands + std::size_t(i) * 3);
  }
}

// Returns false if the next frame is nowhere near the data (or not finite).
bool CmgGenerator::next_frame(const float* row, const float* change, float* next) const {
  const CmgStatistics& s = model_.statistics();
  bool sane = true;
  for (int i = 0; i < layout_.width(); ++i) {
    next[i] = s.active[i] != 0 ? row[i] + change[i] * s.deviation[i] : s.mean[i];
    sane = sane && std::abs(next[i] - s.mean[i]) <= kLost * s.deviation[i];
  }
  for (int joint = 0; joint < layout_.joints; ++joint) {
    next[joint] = std::clamp(next[joint], s.lower[joint], s.upper[joint]);
  }
  normalise_gravity(next + layout_.gravity());
  for (int foot = 0; foot < 2; ++foot) {
    float& share = next[layout_.contact() + foot];
    share = std::clamp(share, 0.0f, 1.0f);
  }
  return sane;
}

// draws a stream that rests to the standing pose
void CmgGenerator::settle(int stream, const Command& target, float* next) {
  const bool zero = target.is_zero() && commands_[stream].is_zero();
  idle_[stream] = zero ? std::min(idle_[stream] + 1, kStopFrames + kSettleFrames + 1) : 0;
  if (idle_[stream] <= kStopFrames) return;
  const float pull = idle_[stream] > kStopFrames + kSettleFrames ? 1.0f : kRestPull;
  const std::vector<float>& start = model_.statistics().start;
  for (int i = 0; i < layout_.width(); ++i) next[i] += pull * (start[i] - next[i]);
}

void CmgGenerator::emit(int stream, const float* next, const Command& target, float* row,
                        float* command) {
  float *now = frame(stream), *before = past(stream);
  std::copy_n(now, layout_.width(), row);
  for (int joint = 0; joint < layout_.joints; ++joint) {
    row[layout_.qd() + joint] =
        (next[joint] - before[joint]) * static_cast<float>(0.5 / kControlStep);
  }
  Command& in_force = commands_[stream];
  command[0] = static_cast<float>(in_force.vx);
  command[1] = static_cast<float>(in_force.vy);
  command[2] = static_cast<float>(in_force.wz);

  // step on
  const std::vector<float>& rate = model_.statistics().command_rate;
  in_force = ramp(in_force, target, rate[0], rate[1], rate[2]);
  std::copy_n(now, layout_.joints, before);
  std::copy_n(next, layout_.width(), now);
}

}  // namespace twist
