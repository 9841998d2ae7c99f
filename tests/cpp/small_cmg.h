#pragma once

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <string>

#include "base/robot.h"
#include "motion/cmg.h"
#include "motion/reference.h"

namespace twist {

constexpr int kSmallJoints = 4, kSmallWidth = 20;  // of the models below; full frames

/// Statistics with all kinds of features: joint 3 and the height are constant.
inline CmgStatistics small_statistics(const std::string& profile = "full") {
  CmgStatistics s;
  const FrameLayout layout{kSmallJoints};
  s.mean.assign(kSmallWidth, 0.0f);
  s.deviation.assign(kSmallWidth, 0.3f);
  s.active.assign(kSmallWidth, 1.0f);
  for (const int constant : {3, 7, layout.height()}) s.active[constant] = 0;
  s.mean[3] = 0.25f;
  s.mean[layout.height()] = 0.75f;
  s.start = s.mean;
  s.start[layout.gravity() + 2] = -1;
  if (profile == "joints") {
    for (auto* values : {&s.mean, &s.deviation, &s.active, &s.start})
      values->resize(2 * kSmallJoints);
  }
  s.lower.assign(kSmallJoints, -0.5f);
  s.upper.assign(kSmallJoints, 0.4f);
  s.command_low = {-0.5f, -0.4f, -1.0f};
  s.command_high = {1.0f, 0.4f, 1.0f};
  s.command_rate = {1.0f, 0.5f, 2.0f};
  return s;
}

/// A small network with weights large enough to move everything.
inline Cmg small_model(const std::string& profile = "full", const std::string& predicts = "change",
                       std::uint64_t seed = 3) {
  CmgSettings settings;
  settings.profile = profile;
  settings.predicts = predicts;
  settings.hidden = 24;
  settings.gate_hidden = 16;
  settings.experts = 3;
  const CmgStatistics statistics = small_statistics(profile);
  CmgNetwork network(settings, statistics.features(), at::kCPU);
  network.initialise(seed);
  for (const at::Tensor& view : network.parameters().views()) {
    if (view.dim() == 3 && view.size(2) == statistics.features()) view.detach().mul_(4);
    if (view.dim() == 1) view.detach().copy_(at::linspace(-0.2, 0.3, view.numel()));
  }
  return Cmg(std::move(network), statistics);
}

constexpr int kCircle = 40;  // frames in which the model below goes round

/// A model whose motion is known: under a constant command, joints 0 and 1 go round a circle that
/// starts at the standing pose, with a radius proportional to vx and wz; `keep` of the radius is
/// left after each frame. The network is linear: large biases keep ELU on its straight side.
inline Cmg circling_model(const std::string& profile = "full", double keep = 1) {
  const at::NoGradGuard no_grad;
  CmgSettings settings;
  settings.profile = profile;
  settings.hidden = 32;
  settings.gate_hidden = 2;
  settings.experts = 2;
  CmgStatistics s = small_statistics(profile);
  for (int i = 0; i < s.features(); ++i) s.active[i] = i < 2;  // velocities come from the angles
  for (int i = 0; i < s.features(); ++i) s.mean[i] = s.start[i];
  s.command_rate.assign(CmgNetwork::kCommands, 1e4f);  // commands hold at once
  const int features = s.features(), inputs = features + CmgNetwork::kCommands;
  CmgNetwork network(settings, features, at::kCPU);
  const FlatParameters& p = network.parameters();
  constexpr float kLift = 8;
  for (int layer = 0; layer < 2; ++layer) {
    p[CmgNetwork::kLayerWeight + 2 * layer].detach().copy_(
        at::eye(layer == 0 ? inputs : settings.hidden, settings.hidden));
    if (layer == 0) p[CmgNetwork::kLayerBias].detach().fill_(kLift);
  }

  // change = (keep R - 1) (x - centre), centre proportional to the distance of the command from
  // zero
  const double angle = 2 * M_PI / kCircle;
  const at::Tensor turn = at::zeros({inputs, features}), shift = at::zeros({features});
  const double c = keep * std::cos(angle), d = keep * std::sin(angle);
  const double r[2][2] = {{c - 1, -d}, {d, c - 1}};
  const std::vector<float> centre = s.command_centre(), factor = s.command_factor();
  for (int out = 0; out < 2; ++out) {
    for (int axis = 0; axis < 2; ++axis) {
      const int command = axis == 0 ? 0 : 2;  // vx, wz
      turn[axis][out] = r[out][axis];
      turn[features + command][out] = -0.3 * r[out][axis];
      shift[out] += 0.3 * r[out][axis] * -centre[command] * factor[command];
    }
  }
  const at::Tensor last = at::zeros({settings.hidden, features});
  last.narrow(0, 0, inputs).copy_(turn);
  p[CmgNetwork::kLayerWeight + 4].detach().copy_(last);
  p[CmgNetwork::kLayerBias + 4].detach().copy_(shift - kLift * turn.sum(0));
  return Cmg(std::move(network), s);
}

}  // namespace twist
