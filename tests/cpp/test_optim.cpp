#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "motion/optim.h"

namespace twist {
namespace {

FlatParameters two_parameters() {
  FlatParameters parameters;
  parameters.add("weight", {2, 3});
  parameters.add("bias", {3});
  parameters.finish(at::kCPU);
  return parameters;
}

TEST(FlatParameters, ViewsAreLeavesThatShareMemory) {
  const FlatParameters parameters = two_parameters();
  EXPECT_EQ(parameters.size(), 9);
  parameters.flat().copy_(at::arange(9));
  EXPECT_TRUE(parameters[1].requires_grad() && parameters[1].is_leaf());
  EXPECT_FALSE(parameters.flat().requires_grad());
  EXPECT_TRUE(at::equal(parameters[1].detach(), at::tensor({6.f, 7.f, 8.f})));
}

TEST(FlatParameters, PackConcatenatesGradients) {
  const FlatParameters parameters = two_parameters();
  at::Tensor packed = at::full({9}, 5.f);
  // a transposed gradient, and one that is missing
  parameters.pack({at::arange(6, at::kFloat).view({3, 2}).t(), at::Tensor()}, packed);
  EXPECT_TRUE(at::equal(packed, at::tensor({0.f, 2.f, 4.f, 1.f, 3.f, 5.f, 0.f, 0.f, 0.f})));
}

TEST(FlatParameters, SavesCopiesAndLoadsByName) {
  FlatParameters parameters = two_parameters();
  parameters.flat().copy_(at::arange(9));
  State state;
  parameters.save(state, "net.");
  parameters.flat().zero_();
  EXPECT_EQ(state.size(), 2u);
  parameters.load(state, "net.");
  EXPECT_TRUE(at::equal(parameters.flat(), at::arange(9, at::kFloat)));

  EXPECT_THROW(parameters.load(state, "other."), UserError);
  state["net.bias"] = at::zeros({4});
  EXPECT_THROW(parameters.load(state, "net."), UserError);
}

TEST(Adam, FollowsThePaperAndResumes) {
  at::Tensor x = at::tensor({1.f, -2.f, 0.5f});
  Adam adam(x, 0.9, 0.99, 1e-8);
  double mean[3] = {}, square[3] = {}, expected[3] = {1, -2, 0.5};
  for (int step = 1; step <= 6; ++step) {
    const at::Tensor gradient = at::sin(x * step);
    for (int i = 0; i < 3; ++i) {
      const double g = gradient[i].item<double>();
      mean[i] = 0.9 * mean[i] + 0.1 * g;
      square[i] = 0.99 * square[i] + 0.01 * g * g;
      const double m = mean[i] / (1 - std::pow(0.9, step)),
                   v = square[i] / (1 - std::pow(0.99, step));
      expected[i] -= 0.01 * m / (std::sqrt(v) + 1e-8);
    }
    adam.step(x, gradient, 0.01);
    for (int i = 0; i < 3; ++i) EXPECT_NEAR(x[i].item<double>(), expected[i], 2e-6);

    // half way, continue in another object
    if (step == 3) {
      State state;
      adam.save(state, "adam.");
      adam = Adam(x, 0.9, 0.99, 1e-8);
      adam.load(state, "adam.");
    }
  }
}

TEST(Matmul, ChosenBackendIsExactAndSingleThreaded) {
  const std::string name = choose_matmul_backend();
  EXPECT_TRUE(name == "mkl" || name == "onednn") << name;
  EXPECT_EQ(at::get_num_threads(), 1);
  const at::Tensor a = at::cos(at::arange(64 * 300, at::kFloat)).view({64, 300});
  const at::Tensor exact = at::mm(a.to(at::kDouble), a.t().to(at::kDouble));
  EXPECT_LT((at::mm(a, a.t()).to(at::kDouble) - exact).abs().max().item<double>(), 1e-5 * 300);
}

}  // namespace
}  // namespace twist
