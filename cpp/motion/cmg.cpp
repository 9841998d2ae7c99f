#include "motion/cmg.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/robot.h"
#include "motion/gait.h"

namespace twist {
namespace {

// Gives a tensor a shape; memory is only taken when it grows.
void set_shape(at::Tensor& tensor, std::vector<std::int64_t> leading, std::int64_t width,
               const at::TensorOptions& options) {
  leading.push_back(width);
  if (tensor.defined()) {
    tensor.resize_(leading);
  } else {
    tensor = at::empty(leading, options);
  }
}

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
  if (joints < 1 || features != FrameLayout{joints}.width()) {
    fail("a CMG for ", joints, " joints needs ", FrameLayout{joints}.width(), " features, not ",
         features);
  }
}

}  // namespace

std::vector<float> CmgStatistics::command_factor() const {
  std::vector<float> factor(command_low.size());
  for (std::size_t i = 0; i < factor.size(); ++i) {
    factor[i] = 1.0f / std::max({-command_low[i], command_high[i], 1e-3f});
  }
  return factor;
}

std::vector<float> CmgStatistics::feature_factor() const {
  std::vector<float> factor(active.size());
  for (std::size_t i = 0; i < factor.size(); ++i) factor[i] = active[i] / deviation[i];
  return factor;
}

CmgNetwork::CmgNetwork(const CmgSettings& settings, int features, at::Device device)
    : settings_(settings) {
  const int inputs = features + kCommands, experts = settings.experts, hidden = settings.hidden;
  parameters_.add("gate.0.weight", {inputs, settings.gate_hidden});
  parameters_.add("gate.0.bias", {settings.gate_hidden});
  parameters_.add("gate.2.weight", {settings.gate_hidden, experts});
  parameters_.add("gate.2.bias", {experts});
  const int widths[] = {inputs, hidden, hidden, features};
  for (int layer = 0; layer < 3; ++layer) {
    const std::string name = "layers." + std::to_string(layer);
    parameters_.add(name + ".weight", {experts, widths[layer], widths[layer + 1]});
    parameters_.add(name + ".bias", {experts, widths[layer + 1]});
  }
  parameters_.finish(device);
}

void CmgNetwork::initialise(std::uint64_t seed) {
  at::NoGradGuard no_grad;
  const int last = static_cast<int>(parameters_.views().size()) - 2;
  for (int i = 0; i <= last; i += 2) {
    // even parameters are weights (..., in, out); the odd ones, biases, stay zero
    const at::Tensor& weight = parameters_[i];
    double scale = std::sqrt(2.0 / static_cast<double>(weight.size(-2)));
    if (i == last || i == kExpertWeight) scale *= 0.1;
    Random random(seed, i, 0, Purpose::kNetwork);
    std::vector<float> values(weight.numel());
    for (float& value : values) value = static_cast<float>(scale * random.normal());
    weight.detach().copy_(at::from_blob(values.data(), weight.sizes(), at::kFloat));
  }
}

CmgActivations CmgActivations::step(std::int64_t k) const {
  CmgActivations views;
  views.input = input[k];
  views.hidden = hidden[k];
  views.gate = gate[k];
  for (int layer = 0; layer < 3; ++layer) {
    views.scaled[layer] = scaled[layer][k];
    views.output[layer] = output[layer][k];
  }
  return views;
}

void CmgNetwork::resize(CmgActivations& a, std::vector<std::int64_t> leading) const {
  const at::TensorOptions options = parameters_.flat().options();
  set_shape(a.input, leading, parameters_[kGateWeight].size(0), options);
  set_shape(a.hidden, leading, settings_.gate_hidden, options);
  set_shape(a.gate, leading, settings_.experts, options);
  for (int layer = 0; layer < 3; ++layer) {
    const at::Tensor& weight = parameters_[kLayerWeight + 2 * layer];
    set_shape(a.scaled[layer], leading, weight.size(0) * weight.size(1), options);
    set_shape(a.output[layer], leading, weight.size(2), options);
  }
}

at::Tensor CmgNetwork::change(const at::Tensor& features, const at::Tensor& commands) const {
  const at::NoGradGuard no_grad;
  CmgActivations activations;
  resize(activations, {features.size(0)});
  forward(features, commands, activations);
  return activations.output[2];
}

void CmgNetwork::forward(const at::Tensor& features, const at::Tensor& commands,
                         CmgActivations& a) const {
  const FlatParameters& p = parameters_;
  at::cat_out(a.input, {features, commands}, 1);

  // the gate, shared by all layers
  at::addmm_out(a.hidden, p[kGateBias], a.input, p[kGateWeight]);
  at::elu_(a.hidden);
  at::softmax_out(a.gate, at::addmm(p[kExpertBias], a.hidden, p[kExpertWeight]), 1);

  // the experts
  at::Tensor input = a.input;
  for (int layer = 0; layer < 3; ++layer) {
    const at::Tensor& weight = p[kLayerWeight + 2 * layer];
    at::Tensor scaled = a.scaled[layer].view({-1, weight.size(0), weight.size(1)});
    at::mul_out(scaled, a.gate.unsqueeze(2), input.unsqueeze(1));
    at::mm_out(a.output[layer], a.gate, p[kLayerBias + 2 * layer]);
    a.output[layer].addmm_(a.scaled[layer], weight.view({-1, weight.size(2)}));
    if (layer < 2) at::elu_(a.output[layer]);
    input = a.output[layer];
  }
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
  return at::addcmul(features, network_.change(features, commands), active_);
}

State Cmg::save() const {
  State state;
  network_.parameters().save(state, "network.");
  for (auto& [name, tensor] : state) tensor = tensor.cpu();
  save_statistics(statistics_, state);
  return state;
}

Cmg Cmg::load(const State& state, int joints) {
  CmgStatistics statistics = load_statistics(state);
  if (joints != 0 && statistics.joints() != joints) {
    fail("this CMG moves ", statistics.joints(), " joints, the robot has ", joints);
  }
  CmgSettings settings;
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
