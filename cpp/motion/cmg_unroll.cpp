#include "motion/cmg_unroll.h"

#include <ATen/ATen.h>

namespace twist {
namespace {

// d/dy of ELU where `result` is its output.
void elu_backward_(at::Tensor gradient, const at::Tensor& result) {
  at::elu_backward_out(gradient, gradient, 1, 1, 1, /*is_result=*/true, result);
}

// One row of `blend_backward`: the dot products are summed in 16 lanes so that they can be
// vectorised.
void blend_backward_row(const float* d_scaled, const float* input, const float* gate, int experts,
                        int width, float* d_input, float* d_gate) {
  constexpr int kLanes = 16;
  std::fill_n(d_input, width, 0.0f);
  for (int k = 0; k < experts; ++k, d_scaled += width) {
    const float weight = gate[k];
    float lanes[kLanes] = {};
    int i = 0;
    for (; i + kLanes <= width; i += kLanes) {
      for (int j = 0; j < kLanes; ++j) {
        lanes[j] += d_scaled[i + j] * input[i + j];
        d_input[i + j] += weight * d_scaled[i + j];
      }
    }
    float sum = 0;
    for (; i < width; ++i) {
      sum += d_scaled[i] * input[i];
      d_input[i] += weight * d_scaled[i];
    }
    for (const float lane : lanes) sum += lane;
    d_gate[k] += sum;
  }
}

// Backward of scaled[:, k, :] = gate[:, k] * input. Writes d_input and adds to d_gate.
void blend_backward(const at::Tensor& d_scaled, const at::Tensor& input, const at::Tensor& gate,
                    at::Tensor d_input, at::Tensor d_gate) {
  const std::int64_t rows = input.size(0), width = input.size(1), experts = gate.size(1);
  if (!d_scaled.is_cpu()) {
    const at::Tensor d = d_scaled.view({rows, experts, width});
    d_gate.add_((d * input.unsqueeze(1)).sum(2));
    at::sum_out(d_input, d * gate.unsqueeze(2), 1);
    return;
  }
  for (std::int64_t row = 0; row < rows; ++row) {
    blend_backward_row(
        d_scaled.data_ptr<float>() + row * experts * width, input.data_ptr<float>() + row * width,
        gate.data_ptr<float>() + row * experts, static_cast<int>(experts), static_cast<int>(width),
        d_input.data_ptr<float>() + row * width, d_gate.data_ptr<float>() + row * experts);
  }
}

// (steps, rows, width) -> (steps * rows, width)
at::Tensor all_rows(const at::Tensor& tensor) { return tensor.view({-1, tensor.size(2)}); }

}  // namespace

std::vector<at::Tensor> views_like(const FlatParameters& parameters, const at::Tensor& flat) {
  std::vector<at::Tensor> views;
  std::int64_t offset = 0;
  for (const at::Tensor& parameter : parameters.views()) {
    views.push_back(flat.narrow(0, offset, parameter.numel()).view(parameter.sizes()));
    offset += parameter.numel();
  }
  return views;
}

double CmgUnroll::compute(const Cmg& model, const CmgBatch& batch, const CmgLoss& loss,
                          double terms, at::Tensor gradient) {
  const std::int64_t steps = batch.truth.size(0), windows = batch.truth.size(1);
  model.network().resize(value_, {steps, windows});
  model.network().resize(slope_, {steps, windows});
  if (!prediction_.defined()) prediction_ = at::empty({0}, batch.truth.options());
  if (!d_prediction_.defined()) d_prediction_ = at::empty({0}, batch.truth.options());
  prediction_.resize_(batch.truth.sizes());
  d_prediction_.resize_(batch.truth.sizes());

  forward(model, batch);
  const double value = judge(batch, loss, terms);
  backward(model, batch, loss.through_time);
  weight_gradients(model.network(), gradient);
  return value;
}

// the loss, and its slope with respect to every prediction
double CmgUnroll::judge(const CmgBatch& batch, const CmgLoss& loss, double terms) {
  const auto sum = at::Reduction::Sum;
  const at::Tensor seed = at::full({}, 1 / terms, batch.truth.options());
  at::Tensor value;
  if (loss.squared) {
    value = at::mse_loss(prediction_, batch.truth, sum);
    at::mse_loss_backward_out(d_prediction_, seed, prediction_, batch.truth, sum);
  } else {
    value = at::smooth_l1_loss(prediction_, batch.truth, sum, loss.beta);
    at::smooth_l1_loss_backward_out(d_prediction_, seed, prediction_, batch.truth, sum, loss.beta);
  }
  return value.item<double>() / terms;
}

void CmgUnroll::forward(const Cmg& model, const CmgBatch& batch) {
  const float carry = model.network().carry();
  at::Tensor state = batch.start;
  for (std::int64_t k = 0; k < batch.truth.size(0); ++k) {
    CmgActivations value = value_.step(k);
    model.network().forward(state, batch.commands[k], value);
    at::Tensor next = prediction_[k];
    at::mul_out(next, value.output[2], model.active());
    if (carry != 0) next.add_(state);
    state = batch.teacher.defined() ? at::where(batch.teacher[k], batch.truth[k], next) : next;
  }
}

void CmgUnroll::backward(const Cmg& model, const CmgBatch& batch, bool through_time) {
  const std::int64_t features = batch.start.size(1);
  const bool carried = model.network().carry() != 0;
  at::Tensor d_state = at::zeros_like(batch.start);
  for (std::int64_t k = batch.truth.size(0) - 1; k >= 0; --k) {
    if (!through_time) d_state.zero_();
    if (batch.teacher.defined()) d_state.masked_fill_(batch.teacher[k], 0);
    d_state.add_(d_prediction_[k]);
    const CmgActivations slope = slope_.step(k);
    at::Tensor d_change = slope.output[2];
    at::mul_out(d_change, d_state, model.active());
    const at::Tensor d_input = backward_step(model.network(), value_.step(k), slope);
    if (!carried) d_state.zero_();
    d_state.add_(d_input.narrow(1, 0, features));
  }
}

// Given d.output[2], fills the other slopes of a step; returns the slope of its input.
at::Tensor CmgUnroll::backward_step(const CmgNetwork& network, const CmgActivations& a,
                                    const CmgActivations& d) {
  const FlatParameters& p = network.parameters();
  at::Tensor d_gate = d.gate, d_hidden = d.hidden, d_input = d.input;
  d_gate.zero_();
  for (int layer = 2; layer >= 0; --layer) {
    const at::Tensor& weight = p[CmgNetwork::kLayerWeight + 2 * layer];
    const at::Tensor& bias = p[CmgNetwork::kLayerBias + 2 * layer];
    at::Tensor d_scaled = d.scaled[layer];
    at::mm_out(d_scaled, d.output[layer], weight.view({-1, weight.size(2)}).t());
    d_gate.addmm_(d.output[layer], bias.t());
    const at::Tensor& below = layer > 0 ? a.output[layer - 1] : a.input;
    const at::Tensor& d_below = layer > 0 ? d.output[layer - 1] : d_input;
    blend_backward(d_scaled, below, a.gate, d_below, d_gate);
    if (layer > 0) elu_backward_(d_below, below);
  }

  // through the softmax to the logits, and through the gate's hidden layer
  d_gate.copy_(at::_softmax_backward_data(d_gate, a.gate, 1, at::kFloat));
  at::mm_out(d_hidden, d_gate, p[CmgNetwork::kExpertWeight].t());
  elu_backward_(d_hidden, a.hidden);
  return d_input.addmm_(d_hidden, p[CmgNetwork::kGateWeight].t());
}

void CmgUnroll::weight_gradients(const CmgNetwork& network, at::Tensor gradient) const {
  std::vector<at::Tensor> into = views_like(network.parameters(), gradient);
  const at::Tensor gate = all_rows(value_.gate), d_gate = all_rows(slope_.gate);
  const at::Tensor hidden = all_rows(value_.hidden), d_hidden = all_rows(slope_.hidden);
  at::mm_out(into[CmgNetwork::kGateWeight], all_rows(value_.input).t(), d_hidden);
  at::sum_out(into[CmgNetwork::kGateBias], d_hidden, 0);
  at::mm_out(into[CmgNetwork::kExpertWeight], hidden.t(), d_gate);
  at::sum_out(into[CmgNetwork::kExpertBias], d_gate, 0);
  for (int layer = 0; layer < 3; ++layer) {
    at::Tensor& weight = into[CmgNetwork::kLayerWeight + 2 * layer];
    const at::Tensor d_output = all_rows(slope_.output[layer]);
    at::Tensor stacked = weight.view({-1, weight.size(2)});
    at::mm_out(stacked, all_rows(value_.scaled[layer]).t(), d_output);
    at::mm_out(into[CmgNetwork::kLayerBias + 2 * layer], gate.t(), d_output);
  }
}

}  // namespace twist
