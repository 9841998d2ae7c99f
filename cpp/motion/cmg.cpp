#include "motion/cmg.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "motion/reference.h"

namespace twist {
namespace {

// Calls `use(name, vector, size)` for every vector of the statistics.
template <class Statistics, class Use>
void for_each_statistic(Statistics& s, int features, int joints, Use&& use) {
  use("statistics.mean", s.mean, features);
  use("statistics.deviation", s.deviation, features);
  use("statistics.active", s.active, features);
  use("statistics.start", s.start, features);
  use("statistics.lower", s.lower, joints);
  use("statistics.upper", s.upper, joints);
  use("statistics.command_low", s.command_low, CmgNetwork::kCommands);
  use("statistics.command_high", s.command_high, CmgNetwork::kCommands);
  use("statistics.command_rate", s.command_rate, CmgNetwork::kCommands);
  use("statistics.calibration", s.calibration, CmgStatistics::kTerms * CmgNetwork::kCommands);
}

// The length of a dimension of a saved tensor; throws UserError if it is missing or has another
// rank.
int saved_size(const State& state, const std::string& name, int rank, int dimension) {
  const auto found = state.find(name);
  if (found == state.end()) fail("this is no CMG: tensor '", name, "' is missing");
  if (found->second.dim() != rank) {
    fail("tensor '", name, "' has shape ", found->second.sizes(), ", expected ", rank,
         " dimensions");
  }
  return static_cast<int>(found->second.size(dimension));
}

void check_features(int features, int joints) {
  const int full = FrameLayout{joints}.width();
  if (joints < 1 || (features != full && features != 2 * joints)) {
    fail("a CMG for ", joints, " joints has ", full, " features (full) or ", 2 * joints,
         " (joints), not ", features);
  }
}

}  // namespace

Command CmgStatistics::calibrated(const Command& c) const {
  const double x = c.vx, y = c.vy, w = c.wz;
  const double terms[kTerms] = {x,         y,         w,         x * x, y * y, w * w,
                                x * x * x, y * y * y, w * w * w, y * w, x * y, x * w};
  Command out = c;
  for (int i = 0; i < kTerms; ++i) {
    const float* row = &calibration[std::size_t(i) * 3];
    out.vx += terms[i] * row[0];
    out.vy += terms[i] * row[1];
    out.wz += terms[i] * row[2];
  }
  return out;
}

std::vector<float> CmgStatistics::command_centre() const {
  std::vector<float> centre(command_low.size());
  for (std::size_t i = 0; i < centre.size(); ++i)
    centre[i] = 0.5f * (command_low[i] + command_high[i]);
  return centre;
}

std::vector<float> CmgStatistics::command_factor() const {
  std::vector<float> factor(command_low.size());
  for (std::size_t i = 0; i < factor.size(); ++i)
    factor[i] = 2.0f / std::max(command_high[i] - command_low[i], 1e-3f);
  return factor;
}

std::vector<float> CmgStatistics::feature_factor() const {
  std::vector<float> factor(active.size());
  for (std::size_t i = 0; i < factor.size(); ++i) factor[i] = active[i] / deviation[i];
  return factor;
}

Cmg::Cmg(CmgNetwork network, CmgStatistics statistics)
    : network_(std::move(network)), statistics_(std::move(statistics)) {
  const int features = statistics_.features(), joints = statistics_.joints();
  check_features(features, joints);
  for_each_statistic(statistics_, features, joints, [](const char* name, auto& values, int size) {
    if (static_cast<int>(values.size()) != size)
      fail(name, " has ", values.size(), " entries, not ", size);
  });
  const at::Tensor active = at::from_blob(statistics_.active.data(), {features}, at::kFloat);
  active_ = active.to(network_.parameters().flat().device(), at::kFloat, false, /*copy=*/true);
}

at::Tensor Cmg::predict(const at::Tensor& features, const at::Tensor& commands) const {
  const at::NoGradGuard no_grad;
  CmgActivations activations;
  network_.resize(activations, {features.size(0)});
  network_.forward(features, commands, activations);
  return at::add(activations.output[2] * active_, features, network_.carry());
}

State Cmg::save() const {
  State state;
  network_.parameters().save(state, "network.");
  for (auto& [name, tensor] : state) tensor = tensor.cpu();
  state["network.carry"] = at::full({1}, network_.carry());
  save_statistics(statistics_, state);
  return state;
}

Cmg Cmg::load(const State& state, int joints) {
  CmgStatistics statistics = load_statistics(state);
  if (joints != 0 && statistics.joints() != joints) {
    fail("this CMG moves ", statistics.joints(), " joints, the robot has ", joints);
  }
  CmgSettings settings;
  settings.profile = statistics.has_root() ? "full" : "joints";
  const at::Tensor carry = at::zeros({1});
  load_tensor(state, "network.carry", carry);
  settings.predicts = carry.item<float>() != 0 ? "change" : "next";
  settings.gate_hidden = saved_size(state, "network.gate.0.bias", 1, 0);
  settings.experts = saved_size(state, "network.gate.2.bias", 1, 0);
  settings.hidden = saved_size(state, "network.layers.0.bias", 2, 1);
  CmgNetwork network(settings, statistics.features(), at::kCPU);
  network.parameters().load(state, "network.");
  return Cmg(std::move(network), std::move(statistics));
}

void save_statistics(const CmgStatistics& statistics, State& state) {
  CmgStatistics copy = statistics;
  for_each_statistic(copy, copy.features(), copy.joints(),
                     [&](const char* name, auto& values, int size) {
                       state[name] = at::from_blob(values.data(), {size}, at::kFloat).clone();
                     });
}

CmgStatistics load_statistics(const State& state) {
  const int features = saved_size(state, "statistics.mean", 1, 0);
  const int joints = saved_size(state, "statistics.lower", 1, 0);
  check_features(features, joints);
  CmgStatistics statistics;
  for_each_statistic(statistics, features, joints, [&](const char* name, auto& values, int size) {
    values.resize(size);
    load_tensor(state, name, at::from_blob(values.data(), {size}, at::kFloat));
  });
  return statistics;
}

}  // namespace twist
