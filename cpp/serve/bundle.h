#pragma once

#include <filesystem>
#include <memory>

#include "serve/contract.h"
#include "serve/network.h"

namespace twist {

/// The largest difference that the answer to a golden observation may have.
constexpr double kGoldenTolerance = 1e-5;

/// An exported policy: a folder with contract.json, weights.f32 and golden.f32 (and, for others,
/// the same network as ONNX and TorchScript). Needs no LibTorch.
class Bundle {
 public:
  /// Opens a folder and answers its golden observations. Throws UserError in one sentence for a
  /// file that is missing or was cut, for weights that do not fit or are not finite, and for an
  /// answer that is not the golden one.
  explicit Bundle(const std::filesystem::path& folder);

  const Contract& contract() const { return contract_; }

  /// `observation` (contract().width) -> `output` (contract().outputs()): actions, then estimates.
  /// Not thread-safe.
  void act(const float* observation, float* output) { network_->run(observation, output); }

 private:
  Contract contract_;
  std::unique_ptr<Network> network_;
};

}  // namespace twist
