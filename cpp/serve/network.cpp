#include "serve/network.h"

#include <cmath>

#include "base/error.h"

namespace twist {
namespace {

constexpr float kClip = 5;  // of normalised observations

template <class V>
void elu(V&& values) {
  values = (values.array() > 0).select(values, values.array().min(0.0f).exp() - 1);
}

std::string shape_text(const std::vector<int>& shape) {
  std::vector<std::string> sizes;
  for (const int size : shape) sizes.push_back(std::to_string(size));
  return "(" + join(sizes) + ")";
}

// a tensor of a shape, in which -1 is any size
const Tensor& find(const Tensors& tensors, const std::string& name, std::vector<int> shape) {
  const auto found = tensors.find(name);
  if (found == tensors.end()) fail("the policy lacks the tensor ", name);
  const Tensor& tensor = found->second;
  bool fits = tensor.shape.size() == shape.size();
  std::size_t size = 1;
  for (std::size_t i = 0; fits && i < shape.size(); ++i) {
    fits = shape[i] < 0 || shape[i] == tensor.shape[i];
    size *= static_cast<std::size_t>(tensor.shape[i]);
  }
  if (!fits || size != tensor.values.size())
    fail("the tensor ", name, " of the policy has shape ", shape_text(tensor.shape), ", not ",
         shape_text(shape));
  for (const float value : tensor.values) {
    if (!std::isfinite(value)) fail("the tensor ", name, " of the policy holds ", value);
  }
  return tensor;
}

Eigen::VectorXf vector_of(const Tensors& tensors, const std::string& name, int size) {
  const Tensor& tensor = find(tensors, name, {size});
  return Eigen::Map<const Eigen::VectorXf>(tensor.values.data(), size);
}

}  // namespace

Network::Network(const Tensors& tensors, int present, int frames, int remembered,
                 const std::vector<int>& strides)
    : present_(present), frames_(frames), remembered_(remembered) {
  shift_ = vector_of(tensors, "normaliser.shift", inputs());
  scale_ = vector_of(tensors, "normaliser.scale", inputs());
  seen_.resize(inputs());
  features_ = seen_;
  read_encoder(tensors, strides);
  read_actor(tensors);
}

void Network::read_encoder(const Tensors& tensors, const std::vector<int>& strides) {
  const auto read = [&](const std::string& name, std::vector<int> shape) {
    const Tensor& weight = find(tensors, "encoder." + name + ".weight", shape);
    const int rows = weight.shape[0], columns = static_cast<int>(weight.values.size()) / rows;
    return Layer{Eigen::Map<const Matrix>(weight.values.data(), rows, columns),
                 vector_of(tensors, "encoder." + name + ".bias", rows)};
  };
  int latent = 0;
  if (tensors.contains("encoder.frame.weight")) {
    encoder_ = "conv";
    frame_ = read("frame", {-1, remembered_});
    int channels = static_cast<int>(frame_.bias.size()), length = frames_;
    for (std::size_t i = 0; i < strides.size(); ++i) {
      Convolution c;
      c.layer = read("conv." + std::to_string(i), {-1, channels, -1});
      c.kernel = static_cast<int>(c.layer.weight.cols()) / channels;
      c.stride = strides[i];
      if (c.stride < 1 || c.kernel > length)
        fail("a convolution of ", c.kernel, " frames, stride ", c.stride, ", does not fit ",
             length);
      length = c.length = (length - c.kernel) / c.stride + 1;
      channels = static_cast<int>(c.layer.bias.size());
      convolutions_.push_back(std::move(c));
    }
    latent_ = read("latent", {-1, channels * length});
    latent = static_cast<int>(latent_.bias.size());
  } else if (tensors.contains("encoder.input.weight")) {
    encoder_ = "gru";
    input_ = read("input", {-1, remembered_});
    latent = static_cast<int>(input_.bias.size()) / 3;
    hidden_ = read("hidden", {3 * latent, latent});
    state_.resize(latent);
    before_.resize(3 * latent);
    inputs_.resize(frames_, 3 * latent);
  } else {
    return;
  }
  features_.resize(present_ + latent);
}

void Network::read_actor(const Tensors& tensors) {
  int width = static_cast<int>(features_.size());
  for (int i = 0; tensors.contains("actor." + std::to_string(i) + ".weight"); ++i) {
    const std::string name = "actor." + std::to_string(i);
    const Tensor& weight = find(tensors, name + ".weight", {-1, width});
    const int rows = weight.shape[0];
    layers_.push_back({Eigen::Map<const Matrix>(weight.values.data(), rows, width),
                       vector_of(tensors, name + ".bias", rows)});
    hidden_layers_.emplace_back(rows);
    width = rows;
  }
  if (layers_.empty()) fail("the policy lacks the tensor actor.0.weight");
}

void Network::run(const float* observation, float* output) {
  const Eigen::Map<const Vector> raw(observation, inputs());
  seen_.array() = ((raw - shift_).array() * scale_.array()).min(kClip).max(-kClip);
  if (encoder_ == "flat") {
    features_ = seen_;
  } else {
    features_.head(present_) = seen_.head(present_);
    encoder_ == "conv" ? convolve() : recur();
  }
  const Vector* x = &features_;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    Vector& y = hidden_layers_[i];
    y.noalias() = layers_[i].weight * *x;
    y += layers_[i].bias;
    if (i + 1 < layers_.size()) elu(y);
    x = &y;
  }
  Eigen::Map<Vector>(output, outputs()) = *x;
}

// a layer for each frame, then convolutions over time (learn/encoder.cpp)
void Network::convolve() {
  const Eigen::Map<const Matrix> history(seen_.data() + present_, frames_, remembered_);
  image_.noalias() = frame_.weight * history.transpose();  // (channels, frames)
  image_.colwise() += frame_.bias;
  elu(image_);
  for (const Convolution& c : convolutions_) {
    // the frames under each place of the kernel, channel by channel
    const int channels = static_cast<int>(image_.rows());
    window_.resize(c.length, channels * c.kernel);
    for (int at = 0; at < c.length; ++at) {
      for (int channel = 0; channel < channels; ++channel)
        window_.row(at).segment(channel * c.kernel, c.kernel) =
            image_.row(channel).segment(at * c.stride, c.kernel);
    }
    next_.noalias() = c.layer.weight * window_.transpose();
    next_.colwise() += c.layer.bias;
    elu(next_);
    image_.swap(next_);
  }
  const Eigen::Map<const Vector> flat(image_.data(), image_.size());  // channel by channel
  features_.tail(latent_.bias.size()).noalias() = latent_.weight * flat;
  features_.tail(latent_.bias.size()) += latent_.bias;
}

// the gates r, z, n of a gated recurrent unit, one below the other
void Network::recur() {
  const Eigen::Map<const Matrix> history(seen_.data() + present_, frames_, remembered_);
  const Eigen::Index n = state_.size();
  inputs_.noalias() = history * input_.weight.transpose();
  inputs_.rowwise() += input_.bias.transpose();
  state_.setZero();
  for (int frame = 0; frame < frames_; ++frame) {
    before_.noalias() = hidden_.weight * state_;
    before_ += hidden_.bias;
    for (Eigen::Index i = 0; i < n; ++i) {
      const auto sigmoid = [](float x) { return 1 / (1 + std::exp(-x)); };
      const float reset = sigmoid(inputs_(frame, i) + before_[i]);
      const float keep = sigmoid(inputs_(frame, n + i) + before_[n + i]);
      const float fresh = std::tanh(inputs_(frame, 2 * n + i) + reset * before_[2 * n + i]);
      state_[i] = fresh + keep * (state_[i] - fresh);
    }
  }
  features_.tail(n) = state_;
}

}  // namespace twist
