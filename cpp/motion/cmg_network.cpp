#include "motion/cmg_network.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <string>

#include "base/random.h"

namespace twist {
namespace {

// Gives a tensor a shape; memory is only taken when it grows.
void set_shape(at::Tensor& tensor, std::vector<std::int64_t> leading, std::int64_t width,
               const at::TensorOptions& options) {
  leading.push_back(width);
  if (tensor.defined() && tensor.dtype() == options.dtype() &&
      tensor.device() == options.device()) {
    tensor.resize_(leading);
  } else {
    tensor = at::empty(leading, options);
  }
}

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
#define TWIST_WIDEST __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define TWIST_WIDEST
#endif

// out (outputs) += in (inputs) * weight (inputs, outputs), four rows at a time
TWIST_WIDEST void add_row_product(const float* in, const float* weight, std::int64_t inputs,
                                  std::int64_t outputs, float* __restrict out) {
  std::int64_t k = 0;
  for (; k + 4 <= inputs; k += 4) {
    const float *a = weight + k * outputs, *b = a + outputs, *c = b + outputs, *d = c + outputs;
    for (std::int64_t i = 0; i < outputs; ++i)
      out[i] += in[k] * a[i] + in[k + 1] * b[i] + in[k + 2] * c[i] + in[k + 3] * d[i];
  }
  for (; k < inputs; ++k) {
    for (std::int64_t i = 0; i < outputs; ++i) out[i] += in[k] * weight[k * outputs + i];
  }
}

// out += in * weight. The back ends that are fastest for many rows are slow at a single one.
void add_product(at::Tensor out, const at::Tensor& in, const at::Tensor& weight) {
  if (in.size(0) == 1 && in.is_cpu() && in.scalar_type() == at::kFloat) {
    add_row_product(in.data_ptr<float>(), weight.data_ptr<float>(), weight.size(0), weight.size(1),
                    out.data_ptr<float>());
  } else {
    out.addmm_(in, weight);
  }
}

}  // namespace

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

CmgNetwork CmgNetwork::to(at::ScalarType type, at::Device device) const {
  CmgNetwork copy = *this;
  copy.parameters_.convert(type, device);
  return copy;
}

void CmgNetwork::forward(const at::Tensor& features, const at::Tensor& commands,
                         CmgActivations& a) const {
  at::cat_out(a.input, {features, commands}, 1);
  evaluate(a);
}

void CmgNetwork::evaluate(CmgActivations& a) const {
  const FlatParameters& p = parameters_;

  // the gate, shared by all layers
  a.hidden.copy_(p[kGateBias].expand_as(a.hidden));
  add_product(a.hidden, a.input, p[kGateWeight]);
  at::elu_(a.hidden);
  a.gate.copy_(p[kExpertBias].expand_as(a.gate));
  add_product(a.gate, a.hidden, p[kExpertWeight]);
  at::softmax_out(a.gate, a.gate, 1);

  // the experts
  at::Tensor input = a.input;
  for (int layer = 0; layer < 3; ++layer) {
    const at::Tensor& weight = p[kLayerWeight + 2 * layer];
    at::Tensor scaled = a.scaled[layer].view({-1, weight.size(0), weight.size(1)});
    at::mul_out(scaled, a.gate.unsqueeze(2), input.unsqueeze(1));
    at::mm_out(a.output[layer], a.gate, p[kLayerBias + 2 * layer]);
    add_product(a.output[layer], a.scaled[layer], weight.view({-1, weight.size(2)}));
    if (layer < 2) at::elu_(a.output[layer]);
    input = a.output[layer];
  }
}

}  // namespace twist
