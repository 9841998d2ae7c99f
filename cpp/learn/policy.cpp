#include "learn/policy.h"

#include <torch/torch.h>

#include <cmath>

#include "base/error.h"
#include "base/random.h"

namespace twist {
namespace {

constexpr double kClip = 5.0;  // of normalised observations

at::Tensor normalise(const at::Tensor& raw, const at::Tensor& shift, const at::Tensor& scale) {
  return raw.sub(shift).mul_(scale).clamp_(-kClip, kClip);
}

}  // namespace

Mlp::Mlp(FlatParameters& parameters, const std::string& prefix, int inputs,
         const std::vector<double>& hidden, int outputs) {
  std::vector<int> widths = {inputs};
  for (const double width : hidden) widths.push_back(static_cast<int>(width));
  widths.push_back(outputs);
  for (std::size_t layer = 0; layer + 1 < widths.size(); ++layer) {
    const std::string name = prefix + "." + std::to_string(layer);
    weights_.push_back(parameters.add(name + ".weight", {widths[layer + 1], widths[layer]}));
    parameters.add(name + ".bias", {widths[layer + 1]});
  }
}

at::Tensor Mlp::forward(const FlatParameters& parameters, at::Tensor x) const {
  for (const int weight : weights_) {
    x = torch::addmm(parameters[weight + 1], x, parameters[weight].t());
    if (weight != weights_.back()) x = torch::elu(x);
  }
  return x;
}

void Mlp::initialise(const FlatParameters& parameters, double last_gain, std::uint64_t seed,
                     std::uint64_t stream) const {
  torch::NoGradGuard no_grad;
  for (std::size_t layer = 0; layer < weights_.size(); ++layer) {
    at::Tensor weight = parameters[weights_[layer]];
    const auto rows = weight.size(0), columns = weight.size(1);
    Random random(seed, stream, static_cast<std::uint32_t>(layer), Purpose::kNetwork);
    at::Tensor normal =
        torch::empty({std::max(rows, columns), std::min(rows, columns)}, torch::kDouble);
    for (std::int64_t i = 0; i < normal.numel(); ++i)
      normal.data_ptr<double>()[i] = random.normal();
    auto [q, r] = torch::linalg_qr(normal);
    q = q * r.diagonal().sign();
    if (rows < columns) q = q.t();
    weight.copy_(q * (layer + 1 == weights_.size() ? last_gain : std::sqrt(2.0)));
  }
}

ActorCritic::ActorCritic(int observations, int actions, const NetworkSettings& settings,
                         std::uint64_t seed, at::Device device)
    : actor_(parameters, "actor", observations, settings.actor, actions) {
  log_std_ = parameters.add("log_std", {actions});
  actor_size = parameters.size();
  critic_ = Mlp(parameters, "critic", observations, settings.critic, 1);
  parameters.finish(device);

  // a nearly silent actor: the first policy is the feed-forward tracker
  actor_.initialise(parameters, 0.002 * std::sqrt(2.0), seed, 0);
  critic_.initialise(parameters, 1.0, seed, 1);
  torch::NoGradGuard no_grad;
  at::Tensor(log_std()).fill_(std::log(settings.std_start));
}

Normaliser::Normaliser(const std::vector<int>& mirror_source, const std::vector<float>& mirror_sign)
    : source_(torch::tensor(mirror_source, torch::kLong)), sign_(torch::tensor(mirror_sign)) {
  const auto width = static_cast<std::int64_t>(mirror_source.size());
  mean_ = torch::zeros({width}, torch::kDouble);
  variance_ = torch::ones({width}, torch::kDouble);
  count_ = torch::full({}, 1e-2, torch::kDouble);
  prepare();
}

void Normaliser::add(const at::Tensor& raw) {
  // statistics of the batch and its mirror image together
  const at::Tensor batch = raw.to(torch::kDouble);
  at::Tensor mean = batch.mean(0);
  at::Tensor square = batch.square().mean(0);
  mean = 0.5 * (mean + mean.index_select(0, source_) * sign_);
  square = 0.5 * (square + square.index_select(0, source_));

  const double n = count_.item<double>(), m = static_cast<double>(batch.size(0)), total = n + m;
  const at::Tensor delta = mean - mean_;
  variance_ =
      (variance_ * n + (square - mean.square()) * m + delta.square() * (n * m / total)) / total;
  mean_ = mean_ + delta * (m / total);
  count_ = torch::full({}, total, torch::kDouble);
  prepare();
}

void Normaliser::prepare() {
  shift_ = mean_.to(torch::kFloat);
  scale_ = (variance_ + 1e-4).rsqrt().to(torch::kFloat);
}

at::Tensor Normaliser::apply(const at::Tensor& raw) const { return normalise(raw, shift_, scale_); }

void Normaliser::save(State& state, const std::string& prefix) const {
  state[prefix + "mean"] = mean_.clone();
  state[prefix + "variance"] = variance_.clone();
  state[prefix + "count"] = count_.clone();
}

void Normaliser::load(const State& state, const std::string& prefix) {
  load_tensor(state, prefix + "mean", mean_);
  load_tensor(state, prefix + "variance", variance_);
  load_tensor(state, prefix + "count", count_);
  prepare();
}

Policy::Policy(const State& state, int observations, int actions) {
  for (int layer = 0;; ++layer) {
    const auto weight = state.find("policy.actor." + std::to_string(layer) + ".weight");
    if (weight == state.end()) break;
    weights_.push_back(weight->second.to(torch::kFloat).contiguous());
    biases_.push_back(
        state.at("policy.actor." + std::to_string(layer) + ".bias").to(torch::kFloat).contiguous());
  }
  if (weights_.empty()) fail("this checkpoint holds no policy (policy.actor.0.weight is missing)");
  if (weights_.front().size(1) != observations || weights_.back().size(0) != actions) {
    fail("the policy maps ", weights_.front().size(1), " observations to ", weights_.back().size(0),
         " actions, but this environment has ", observations, " and ", actions);
  }
  at::Tensor mean = torch::empty({observations}, torch::kDouble),
             variance = torch::empty_like(mean);
  load_tensor(state, "policy.normaliser.mean", mean);
  load_tensor(state, "policy.normaliser.variance", variance);
  shift_ = mean.to(torch::kFloat);
  scale_ = (variance + 1e-4).rsqrt().to(torch::kFloat);
}

void Policy::act(const float* observations, int count, float* actions) const {
  c10::InferenceMode inference;
  at::Tensor x =
      torch::from_blob(const_cast<float*>(observations), {count, weights_.front().size(1)});
  x = normalise(x, shift_, scale_);
  for (std::size_t layer = 0; layer < weights_.size(); ++layer) {
    x = torch::addmm(biases_[layer], x, weights_[layer].t());
    if (layer + 1 < weights_.size()) x = torch::elu_(x);
  }
  std::copy_n(x.contiguous().data_ptr<float>(), x.numel(), actions);
}

}  // namespace twist
