#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace twist {

/// Named tensors: what checkpoints are made of.
using State = std::map<std::string, at::Tensor>;

/// All parameters of a model in one flat vector, with one named leaf view each. Saving, loading,
/// averaging and the optimiser become one call each.
class FlatParameters {
 public:
  /// Adds a parameter of the given shape (before `finish`); returns its index.
  int add(const std::string& name, std::vector<std::int64_t> shape);
  /// Allocates the vector (zeros) on a device and makes the views.
  void finish(at::Device device);

  /// Replaces the vector by a copy of another type or on another device, without gradients.
  void convert(at::ScalarType type, at::Device device);

  const at::Tensor& flat() const { return flat_; }  // (size)
  const std::vector<at::Tensor>& views() const {
    return views_;
  }  // leaves that share memory with flat()
  const at::Tensor& operator[](int index) const { return views_[index]; }
  const std::vector<std::string>& names() const { return names_; }
  std::int64_t size() const { return size_; }

  /// Concatenates gradients in the order of the views into `out` (size).
  void pack(const std::vector<at::Tensor>& gradients, at::Tensor out) const;

  /// Copies of the parameters by name, prefixed; and back. `load` throws UserError on a missing
  /// name or shape.
  void save(State& state, const std::string& prefix) const;
  void load(const State& state, const std::string& prefix);

 private:
  void make_views();

  std::vector<std::string> names_;
  std::vector<std::vector<std::int64_t>> shapes_;
  std::int64_t size_ = 0;
  at::Tensor flat_;
  std::vector<at::Tensor> views_;
};

/// Adam (Kingma & Ba 2015) on a flat vector, with optional decoupled clipping of the gradient norm
/// by the caller.
class Adam {
 public:
  Adam() = default;
  Adam(const at::Tensor& parameters, double beta1, double beta2, double epsilon);
  /// One step in place. `gradient` has the shape of `parameters`.
  void step(at::Tensor parameters, const at::Tensor& gradient, double learning_rate);
  void save(State& state, const std::string& prefix) const;
  void load(const State& state, const std::string& prefix);

 private:
  at::Tensor mean_, square_;  // first and second moment
  std::int64_t steps_ = 0;
  double beta1_ = 0.9, beta2_ = 0.999, epsilon_ = 1e-8;
};

/// Finds `name` in a state, checks its shape against `like` and copies it there. Throws UserError
/// otherwise.
void load_tensor(const State& state, const std::string& name, at::Tensor like);

/// Measures float32 matrix products of the learner's shapes on the available back ends (MKL,
/// oneDNN) and selects the faster one whose relative error against double precision is below 1e-5.
/// Returns its name. Call once at start-up.
std::string choose_matmul_backend();

}  // namespace twist
