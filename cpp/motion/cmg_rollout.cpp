#include "motion/cmg_rollout.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/robot.h"

namespace twist {
namespace {

constexpr int kCpuBlock = 128;  // streams; their activations fit the cache
constexpr int kGpuBlock = 1 << 14;
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

CmgRollout::CmgRollout(const Cmg& model, at::ScalarType type, at::Device device)
    : model_(model),
      network_(model.network().to(type, device)),
      block_(device.is_cpu() ? kCpuBlock : kGpuBlock),
      feature_factor_(statistics().feature_factor()),
      command_centre_(statistics().command_centre()),
      command_factor_(statistics().command_factor()) {
  if (type != at::kFloat && type != at::kBFloat16) {
    fail("motion is generated in float32 or bfloat16, not in ", at::toString(type));
  }
}

void CmgRollout::resize(int streams) {
  if (streams < 0) fail("cannot generate ", streams, " streams");
  streams_ = streams;
  nonfinite_ = 0;
  frames_.resize(std::size_t(streams) * features());
  past_.resize(std::size_t(streams) * model_.num_joints());
  commands_.resize(streams);
  idle_.resize(streams);
  for (int stream = 0; stream < streams; ++stream) reset(stream);
}

void CmgRollout::reset(int stream) {
  const std::vector<float>& start = statistics().start;
  continue_from(stream, start.data(), start.data(), {});
}

void CmgRollout::continue_from(int stream, const float* row, const float* before,
                               const Command& in_force) {
  std::copy_n(row, features(), frame(stream));
  std::copy_n(before, model_.num_joints(), past(stream));
  commands_[stream] = in_force;
  // who stands is at rest already
  const bool stands =
      in_force.is_zero() && std::equal(row, row + features(), statistics().start.begin());
  idle_[stream] = stands ? kStopFrames + kSettleFrames : 0;
}

void CmgRollout::advance(std::span<const int> ids, const Command* targets, float* rows,
                         std::size_t row_stride, float* commands, std::size_t command_stride) {
  for (const int id : ids) {
    if (id < 0 || id >= streams_) fail("stream ", id, " does not exist; there are ", streams_);
  }
  at::init_num_threads();  // a thread's first torch operation must know that it is alone
  c10::InferenceMode inference;
  // fresh memory would cost more than the arithmetic, so every thread keeps its own
  thread_local CmgActivations scratch;
  thread_local std::vector<float> next;
  next.resize(features());

  for (std::size_t first = 0; first < ids.size(); first += block_) {
    const auto block = ids.subspan(first, std::min<std::size_t>(block_, ids.size() - first));
    // products may round differently with another number of rows, so a block always has them all
    network_.resize(scratch, {std::min(block_, streams_)});
    gather(block, targets + first, scratch);
    network_.evaluate(scratch);
    const at::Tensor outputs = scratch.output[2].to(at::kCPU, at::kFloat);

    for (std::size_t i = 0; i < block.size(); ++i) {
      const int stream = block[i];
      Command target = targets[first + i];
      const float* output = outputs.data_ptr<float>() + i * features();
      if (!next_frame(frame(stream), output, next.data())) {
        reset(stream);
        ++nonfinite_;
        std::copy_n(frame(stream), features(), next.data());
        target = {};
      }
      settle(stream, target, next.data());
      emit(stream, next.data(), rows + (first + i) * row_stride,
           commands + (first + i) * command_stride);
      step_on(stream, next.data(), target);
    }
  }
}

// normalises frames and commands into the network's input; rows that are not asked for are zero
void CmgRollout::gather(std::span<const int> ids, const Command* targets, CmgActivations& a) const {
  thread_local at::Tensor wide;  // (rows, features + 3)
  if (!wide.defined() || wide.sizes() != a.input.sizes()) wide = at::zeros(a.input.sizes());
  const int width = features();
  const std::vector<float>& mean = statistics().mean;
  float* out = wide.data_ptr<float>();
  for (std::size_t i = 0; i < ids.size(); ++i, out += width + CmgNetwork::kCommands) {
    const float* in = frame(ids[i]);
    for (int k = 0; k < width; ++k) out[k] = (in[k] - mean[k]) * feature_factor_[k];
    const Command command = statistics().calibrated(targets[i]);
    const double wish[] = {command.vx, command.vy, command.wz};
    for (int k = 0; k < CmgNetwork::kCommands; ++k) {
      out[width + k] = (static_cast<float>(wish[k]) - command_centre_[k]) * command_factor_[k];
    }
  }
  std::fill(out, wide.data_ptr<float>() + wide.numel(), 0.0f);
  a.input.copy_(wide);
}

// Returns false if the next frame is nowhere near the data (or not finite).
bool CmgRollout::next_frame(const float* row, const float* output, float* next) const {
  const CmgStatistics& s = model_.statistics();
  const FrameLayout layout{s.joints()};
  const float carry = network_.carry();
  bool sane = true;
  for (int i = 0; i < features(); ++i) {
    const float from = carry != 0 ? row[i] : s.mean[i];
    next[i] = s.active[i] != 0 ? from + output[i] * s.deviation[i] : s.mean[i];
    sane = sane && std::abs(next[i] - s.mean[i]) <= kLost * s.deviation[i];
  }
  for (int joint = 0; joint < layout.joints; ++joint) {
    next[joint] = std::clamp(next[joint], s.lower[joint], s.upper[joint]);
  }
  if (!s.has_root()) return sane;
  normalise_gravity(next + layout.gravity());
  for (int foot = 0; foot < 2; ++foot) {
    float& share = next[layout.contact() + foot];
    share = std::clamp(share, 0.0f, 1.0f);
  }
  return sane;
}

// draws a stream that rests to the standing pose
void CmgRollout::settle(int stream, const Command& target, float* next) {
  const bool zero = target.is_zero() && commands_[stream].is_zero();
  idle_[stream] = zero ? std::min(idle_[stream] + 1, kStopFrames + kSettleFrames + 1) : 0;
  if (idle_[stream] <= kStopFrames) return;
  const float pull = idle_[stream] > kStopFrames + kSettleFrames ? 1.0f : kRestPull;
  const std::vector<float>& start = model_.statistics().start;
  for (int i = 0; i < features(); ++i) next[i] += pull * (start[i] - next[i]);
}

void CmgRollout::emit(int stream, const float* next, float* row, float* command) const {
  const int joints = model_.num_joints();
  const float* before = past(stream);
  std::copy_n(frame(stream), features(), row);
  for (int joint = 0; joint < joints; ++joint) {
    row[joints + joint] = (next[joint] - before[joint]) * static_cast<float>(0.5 / kControlStep);
  }
  const Command& in_force = commands_[stream];
  command[0] = static_cast<float>(in_force.vx);
  command[1] = static_cast<float>(in_force.vy);
  command[2] = static_cast<float>(in_force.wz);
}

void CmgRollout::step_on(int stream, const float* next, const Command& target) {
  const std::vector<float>& rate = statistics().command_rate;
  commands_[stream] = ramp(commands_[stream], target, rate[0], rate[1], rate[2]);
  std::copy_n(frame(stream), model_.num_joints(), past(stream));
  std::copy_n(next, features(), frame(stream));
}

CmgGenerator::CmgGenerator(const Cmg& model, at::ScalarType type, at::Device device)
    : rollout_(model, type, device) {
  if (!model.statistics().has_root()) {
    fail(
        "this CMG has the profile 'joints': its motion has no root and cannot be tracked; train "
        "one "
        "with cmg.profile=full, or use CmgMotionGenerator for joint angles alone");
  }
}

void CmgGenerator::advance(int first, int count, const Command* targets, float* rows,
                           float* commands) {
  std::vector<int> ids(count);
  std::iota(ids.begin(), ids.end(), first);
  rollout_.advance(ids, targets, rows, rollout_.features(), commands, CmgNetwork::kCommands);
}

}  // namespace twist
