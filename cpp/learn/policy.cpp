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

std::string layer_name(int layer) { return "policy.actor." + std::to_string(layer) + ".weight"; }

// the settings of the actor in a checkpoint, by the names and shapes of its parameters
NetworkSettings read_actor(const State& state) {
  NetworkSettings settings;
  settings.actor.clear();
  for (int layer = 0; state.contains(layer_name(layer)); ++layer)
    settings.actor.push_back(static_cast<double>(state.at(layer_name(layer)).size(0)));
  if (settings.actor.empty())
    fail("this checkpoint holds no policy (", layer_name(0), " is missing)");
  settings.actor.pop_back();
  if (const auto conv = state.find("policy.encoder.latent.weight"); conv != state.end()) {
    settings.encoder = "conv";
    settings.latent = static_cast<int>(conv->second.size(0));
  } else if (const auto gru = state.find("policy.encoder.hidden.weight"); gru != state.end()) {
    settings.encoder = "gru";
    settings.latent = static_cast<int>(gru->second.size(1));
  }
  return settings;
}

const at::Tensor& last_layer(const State& state) {
  int layer = 0;
  while (state.contains(layer_name(layer + 1))) ++layer;
  return state.at(layer_name(layer));
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
  for (std::size_t layer = 0; layer < weights_.size(); ++layer) {
    make_orthogonal(parameters[weights_[layer]],
                    layer + 1 == weights_.size() ? last_gain : std::sqrt(2.0),
                    Random(seed, stream, static_cast<std::uint32_t>(layer), Purpose::kNetwork));
  }
}

Actor::Actor(FlatParameters& parameters, const ObservationShape& shape, int outputs,
             const NetworkSettings& settings)
    : shape_(shape),
      encoder_(parameters, settings.encoder, shape.frames, shape.remembered, settings.latent) {
  if (settings.encoder != "flat" && shape.frames == 0)
    fail("the encoder ", settings.encoder, " reads a history, but there is none here");
  mlp_ = Mlp(parameters, "actor", shape.present + encoder_.outputs(), settings.actor, outputs);
}

at::Tensor Actor::forward(const FlatParameters& parameters, const at::Tensor& x) const {
  if (shape_.frames == 0) return mlp_.forward(parameters, x);
  const at::Tensor history = x.narrow(1, shape_.present, shape_.frames * shape_.remembered);
  return mlp_.forward(
      parameters,
      torch::cat({x.narrow(1, 0, shape_.present), encoder_.forward(parameters, history)}, 1));
}

void Actor::initialise(const FlatParameters& parameters, std::uint64_t seed) const {
  mlp_.initialise(parameters, 0.002 * std::sqrt(2.0), seed, 0);
  encoder_.initialise(parameters, seed);
}

ActorCritic::ActorCritic(const ActorCriticShape& shape, const NetworkSettings& settings,
                         std::uint64_t seed, at::Device device)
    : actor_(parameters, shape.observation, shape.actions + shape.estimates, settings) {
  log_std_ = parameters.add("log_std", {shape.actions});
  actor_size = parameters.size();
  critic_ = Mlp(parameters, "critic", shape.privileged, settings.critic, 1);
  parameters.finish(device);

  // the first policy is the feed-forward tracker
  actor_.initialise(parameters, seed);
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

Policy::Policy(const State& state, const ObservationShape& shape, int outputs)
    : width_(shape.width()) {
  const NetworkSettings settings = read_actor(state);
  const auto mean_of = state.find("policy.normaliser.mean");
  if (mean_of == state.end())
    fail("this checkpoint holds no policy (policy.normaliser.mean is missing)");
  const std::int64_t observations = mean_of->second.size(0);
  const std::int64_t answers = last_layer(state).size(0);
  if (observations != width_ || answers != outputs) {
    fail("the policy maps ", observations, " observations to ", answers,
         " actions, but this environment has ", width_, " and ", outputs);
  }
  actor_ = Actor(parameters_, shape, outputs, settings);
  parameters_.finish(torch::kCPU);
  parameters_.load(state, "policy.");
  parameters_.convert(torch::kFloat, torch::kCPU);

  at::Tensor mean = torch::empty({width_}, torch::kDouble), variance = torch::empty_like(mean);
  load_tensor(state, "policy.normaliser.mean", mean);
  load_tensor(state, "policy.normaliser.variance", variance);
  shift_ = mean.to(torch::kFloat);
  scale_ = (variance + 1e-4).rsqrt().to(torch::kFloat);
}

void Policy::act(const float* observations, int count, float* outputs) const {
  c10::InferenceMode inference;
  const at::Tensor raw = torch::from_blob(const_cast<float*>(observations), {count, width_});
  const at::Tensor y = actor_.forward(parameters_, normalise(raw, shift_, scale_)).contiguous();
  std::copy_n(y.data_ptr<float>(), y.numel(), outputs);
}

}  // namespace twist
