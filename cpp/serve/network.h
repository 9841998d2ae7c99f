#pragma once

#include <Eigen/Dense>
#include <map>
#include <string>
#include <vector>

namespace twist {

/// A named array of a policy file, row-major.
struct Tensor {
  std::vector<int> shape;
  std::vector<float> values;
};
using Tensors = std::map<std::string, Tensor>;

/// The forward pass of an exported policy, one observation at a time, without LibTorch: the layers
/// of learn/policy.h and learn/encoder.h written out.
class Network {
 public:
  /// Reads "normaliser.shift" and ".scale", "encoder.*" where there is one, and "actor.N.weight"
  /// and ".bias". `present`, `frames` and `remembered` say how an observation is built; `strides`
  /// are those of the convolutions. Throws UserError naming a tensor that is missing, has another
  /// shape than the others need, or is not finite.
  Network(const Tensors& tensors, int present, int frames, int remembered,
          const std::vector<int>& strides);

  int inputs() const { return present_ + frames_ * remembered_; }
  int outputs() const { return static_cast<int>(layers_.back().bias.size()); }

  /// `observation` (inputs()) -> `output` (outputs()). Takes no memory; not thread-safe.
  void run(const float* observation, float* output);

 private:
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using Vector = Eigen::VectorXf;
  struct Layer {
    Matrix weight;  // (out, in), of a convolution (out, in * kernel)
    Vector bias;
  };
  struct Convolution {
    Layer layer;
    int kernel, stride, length;  // frames it leaves
  };

  void read_encoder(const Tensors& tensors, const std::vector<int>& strides);
  void read_actor(const Tensors& tensors);
  void convolve();
  void recur();

  int present_, frames_, remembered_;
  Vector shift_, scale_;
  std::string encoder_ = "flat";
  Layer frame_, latent_, input_, hidden_;  // of conv: frame and latent, of gru: input and hidden
  std::vector<Convolution> convolutions_;
  std::vector<Layer> layers_;

  // scratch
  Vector seen_, features_, before_, state_;
  Matrix window_, image_, next_;  // of convolutions: (time, channels * kernel), (channels, time)
  Matrix inputs_;                 // of gru: (frames, 3 * latent)
  std::vector<Vector> hidden_layers_;
};

}  // namespace twist
