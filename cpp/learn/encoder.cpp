#include "learn/encoder.h"

#include <torch/torch.h>

#include <cmath>
#include <map>

#include "base/error.h"

namespace twist {
namespace {

constexpr int kChannels = 60;  // of a frame before the convolutions

struct Convolution {
  int channels, kernel, stride;
};

// the convolutions of TWIST's motion encoder, by frames; all end with kChannels numbers in all
const std::map<int, std::vector<Convolution>> kConvolutions = {
    {1, {}},
    {10, {{40, 4, 2}, {20, 2, 1}}},
    {20, {{40, 6, 2}, {20, 4, 2}}},
    {50, {{40, 8, 4}, {20, 5, 1}, {20, 5, 1}}},
};

}  // namespace

void make_orthogonal(at::Tensor weight, double gain, Random random) {
  torch::NoGradGuard no_grad;
  const std::int64_t rows = weight.size(0), columns = weight.numel() / rows;
  at::Tensor normal =
      torch::empty({std::max(rows, columns), std::min(rows, columns)}, torch::kDouble);
  for (std::int64_t i = 0; i < normal.numel(); ++i) normal.data_ptr<double>()[i] = random.normal();
  auto [q, r] = torch::linalg_qr(normal);
  q = q * r.diagonal().sign();
  if (rows < columns) q = q.t();
  weight.copy_((q * gain).reshape(weight.sizes()));
}

HistoryEncoder::HistoryEncoder(FlatParameters& parameters, const std::string& kind, int frames,
                               int width, int latent)
    : kind_(kind), frames_(frames), width_(width), outputs_(latent) {
  const auto add = [&](const std::string& name, std::vector<std::int64_t> shape) {
    weights_.push_back(parameters.add("encoder." + name + ".weight", shape));
    parameters.add("encoder." + name + ".bias", {shape[0]});
  };
  if (kind == "conv") {
    const auto found = kConvolutions.find(frames);
    if (found == kConvolutions.end())
      fail("the encoder conv is made for a history of 1, 10, 20 or 50 frames, not of ", frames);
    add("frame", {kChannels, width});
    int channels = kChannels;
    for (std::size_t i = 0; i < found->second.size(); ++i) {
      const Convolution& layer = found->second[i];
      add("conv." + std::to_string(i), {layer.channels, channels, layer.kernel});
      strides_.push_back(layer.stride);
      channels = layer.channels;
    }
    add("latent", {latent, kChannels});
  } else if (kind == "gru") {
    add("input", {3 * latent, width});
    add("hidden", {3 * latent, latent});
  } else {
    outputs_ = frames * width;
  }
}

at::Tensor HistoryEncoder::forward(const FlatParameters& parameters,
                                   const at::Tensor& history) const {
  if (kind_ == "flat") return history;
  const at::Tensor x = history.reshape({-1, frames_, width_});
  return kind_ == "conv" ? convolve(parameters, x) : recur(parameters, x);
}

at::Tensor HistoryEncoder::convolve(const FlatParameters& parameters, at::Tensor x) const {
  const auto weight = [&](std::size_t i) { return parameters[weights_[i]]; };
  const auto bias = [&](std::size_t i) { return parameters[weights_[i] + 1]; };
  x = torch::elu(torch::linear(x, weight(0), bias(0))).transpose(1, 2);
  for (std::size_t i = 0; i < strides_.size(); ++i)
    x = torch::elu(torch::conv1d(x, weight(i + 1), bias(i + 1), strides_[i]));
  return torch::linear(x.flatten(1), parameters[weights_.back()], parameters[weights_.back() + 1]);
}

// r, z, n = the three gates; h' = (1 - z) n + z h, as in PyTorch and ONNX (linear_before_reset)
at::Tensor HistoryEncoder::recur(const FlatParameters& parameters, const at::Tensor& x) const {
  const at::Tensor inputs = torch::linear(x, parameters[weights_[0]], parameters[weights_[0] + 1]);
  at::Tensor hidden = torch::zeros({x.size(0), outputs_}, x.options());
  for (int frame = 0; frame < frames_; ++frame) {
    const at::Tensor before =
        torch::linear(hidden, parameters[weights_[1]], parameters[weights_[1] + 1]);
    const auto in = inputs.select(1, frame).chunk(3, 1), old = before.chunk(3, 1);
    const at::Tensor reset = torch::sigmoid(in[0] + old[0]), keep = torch::sigmoid(in[1] + old[1]);
    const at::Tensor fresh = torch::tanh(in[2] + reset * old[2]);
    hidden = fresh + keep * (hidden - fresh);
  }
  return hidden;
}

void HistoryEncoder::initialise(const FlatParameters& parameters, std::uint64_t seed) const {
  constexpr std::uint64_t kStream = 2;  // after actor and critic
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    const double gain = kind_ == "gru" ? 1.0 : std::sqrt(2.0);
    make_orthogonal(parameters[weights_[i]], gain,
                    Random(seed, kStream, static_cast<std::uint32_t>(i), Purpose::kNetwork));
  }
}

}  // namespace twist
