#include "motion/optim.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <chrono>

#include "base/error.h"

namespace twist {
namespace {

// The time of one product in seconds.
double seconds_of_product(const at::Tensor& a, const at::Tensor& b) {
  const auto start = std::chrono::steady_clock::now();
  const at::Tensor c = at::mm(a, b);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Largest error of a float32 product against double precision, relative to the largest element.
double error_of_product(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor exact = at::mm(a.to(at::kDouble), b.to(at::kDouble));
  const at::Tensor error = (at::mm(a, b).to(at::kDouble) - exact).abs().max();
  return (error / exact.abs().max()).item<double>();
}

// Numbers in [-1, 1] without touching the global random generator.
at::Tensor test_matrix(std::int64_t rows, std::int64_t columns) {
  return at::sin(at::arange(rows * columns, at::kFloat) * 1.7f).view({rows, columns});
}

}  // namespace

int FlatParameters::add(const std::string& name, std::vector<std::int64_t> shape) {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) count *= extent;
  size_ += count;
  names_.push_back(name);
  shapes_.push_back(std::move(shape));
  return static_cast<int>(names_.size()) - 1;
}

void FlatParameters::finish(at::Device device) {
  flat_ = at::zeros({size_}, at::TensorOptions().dtype(at::kFloat).device(device));
  make_views();
  for (at::Tensor& view : views_) view.requires_grad_(true);
}

void FlatParameters::convert(at::ScalarType type, at::Device device) {
  flat_ = flat_.to(device, type, /*non_blocking=*/false, /*copy=*/true);
  make_views();
}

void FlatParameters::make_views() {
  views_.clear();
  std::int64_t offset = 0;
  for (const auto& shape : shapes_) {
    std::int64_t count = 1;
    for (const std::int64_t extent : shape) count *= extent;
    views_.push_back(flat_.narrow(0, offset, count).view(shape).detach());
    offset += count;
  }
}

void FlatParameters::pack(const std::vector<at::Tensor>& gradients, at::Tensor out) const {
  at::NoGradGuard no_grad;
  std::int64_t offset = 0;
  for (std::size_t i = 0; i < views_.size(); ++i) {
    const std::int64_t count = views_[i].numel();
    at::Tensor part = out.narrow(0, offset, count);
    if (gradients[i].defined()) {
      part.view(shapes_[i]).copy_(gradients[i]);
    } else {
      part.zero_();
    }
    offset += count;
  }
}

void FlatParameters::save(State& state, const std::string& prefix) const {
  for (std::size_t i = 0; i < views_.size(); ++i) {
    state[prefix + names_[i]] = views_[i].detach().clone();
  }
}

void FlatParameters::load(const State& state, const std::string& prefix) {
  for (std::size_t i = 0; i < views_.size(); ++i) {
    load_tensor(state, prefix + names_[i], views_[i].detach());
  }
}

Adam::Adam(const at::Tensor& parameters, double beta1, double beta2, double epsilon)
    : mean_(at::zeros_like(parameters)),
      square_(at::zeros_like(parameters)),
      beta1_(beta1),
      beta2_(beta2),
      epsilon_(epsilon) {}

void Adam::step(at::Tensor parameters, const at::Tensor& gradient, double learning_rate) {
  at::NoGradGuard no_grad;
  ++steps_;
  const at::Tensor steps =
      at::full({}, static_cast<double>(steps_), parameters.options().dtype(at::kFloat));
  at::_fused_adam_({parameters}, {gradient}, {mean_}, {square_}, {}, {steps}, learning_rate, beta1_,
                   beta2_, /*weight_decay=*/0.0, epsilon_, /*amsgrad=*/false, /*maximize=*/false);
}

void Adam::save(State& state, const std::string& prefix) const {
  state[prefix + "mean"] = mean_.clone();
  state[prefix + "square"] = square_.clone();
  state[prefix + "steps"] = at::full({}, steps_, at::kLong);
}

void Adam::load(const State& state, const std::string& prefix) {
  load_tensor(state, prefix + "mean", mean_);
  load_tensor(state, prefix + "square", square_);
  at::Tensor steps = at::zeros({}, at::kLong);
  load_tensor(state, prefix + "steps", steps);
  steps_ = steps.item<std::int64_t>();
}

void load_tensor(const State& state, const std::string& name, at::Tensor like) {
  const auto found = state.find(name);
  if (found == state.end()) {
    std::vector<std::string> names;
    for (const auto& [key, value] : state) names.push_back(key);
    fail("no tensor '", name, "' in the saved state; it holds: ", join(names));
  }
  if (found->second.sizes() != like.sizes()) {
    fail("tensor '", name, "' has shape ", found->second.sizes(), ", expected ", like.sizes());
  }
  at::NoGradGuard no_grad;
  like.copy_(found->second);
}

std::string choose_matmul_backend() {
  // the project has its own worker threads: every torch operation runs on the thread that calls it
  at::set_num_threads(1);

  struct Backend {
    const char *name, *precision;
    double seconds = 0, error = 0;
  };
  Backend backends[2] = {{"mkl", "highest"}, {"onednn", "medium"}};
  const at::Tensor left[2] = {test_matrix(512, 256), test_matrix(512, 512)};
  const at::Tensor right[2] = {test_matrix(256, 512), test_matrix(512, 1024)};

  // oneDNN may use bfloat16 on some processors: measure, do not trust the name
  for (Backend& backend : backends) {
    at::globalContext().setFloat32MatmulPrecision(backend.precision);
    backend.error = error_of_product(left[0], right[0]);
  }

  // interleaved, best of three of each shape; the first error product was the warm-up
  for (int shape = 0; shape < 2; ++shape) {
    double best[2] = {1e9, 1e9};
    for (int round = 0; round < 3; ++round) {
      for (int i = 0; i < 2; ++i) {
        at::globalContext().setFloat32MatmulPrecision(backends[i].precision);
        best[i] = std::min(best[i], seconds_of_product(left[shape], right[shape]));
      }
    }
    for (int i = 0; i < 2; ++i) backends[i].seconds += best[i] / best[0];
  }

  const bool onednn = backends[1].error < 1e-5 && backends[1].seconds < backends[0].seconds;
  const Backend& chosen = backends[onednn];
  at::globalContext().setFloat32MatmulPrecision(chosen.precision);
  return chosen.name;
}

}  // namespace twist
