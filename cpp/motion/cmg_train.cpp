#include "motion/cmg_train.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include "base/error.h"

namespace twist {
namespace {

constexpr int kPatience = 5;          // skipped steps in a row
constexpr int kHeldOutBlock = 64;     // streams that run freely together
constexpr int kHeldOutStreams = 256;  // at most
constexpr int kBefore = 50;           // frames before the start, in which "repeat" finds a cycle

CmgTrainSettings checked(const CmgTrainSettings& settings) {
  if (settings.unroll_min > settings.unroll_max) {
    fail("unroll_min ", settings.unroll_min, " is above unroll_max ", settings.unroll_max);
  }
  if (settings.shards > settings.batch) {
    fail("a batch of ", settings.batch, " windows cannot have ", settings.shards, " shards");
  }
  return settings;
}

Cmg new_model(const CmgSettings& settings, const CmgStatistics& statistics, at::Device device,
              int seed) {
  CmgNetwork network(settings, statistics.features(), device);
  network.initialise(seed);
  return Cmg(std::move(network), statistics);
}

double median(std::vector<float> values) {
  const auto middle = values.begin() + values.size() / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double active_features(const CmgStatistics& statistics) {
  return std::accumulate(statistics.active.begin(), statistics.active.end(), 0.0);
}

// The frame `ahead` of truth[kBefore] if the cycle before it were repeated: the cycle of each
// sequence is the time since it was most like now.
at::Tensor repeat_cycle(const at::Tensor& truth, int ahead) {
  constexpr int kShortest = 20;  // frames
  const at::Tensor past = truth.slice(0, 0, kBefore - kShortest + 1);
  const at::Tensor nearest = (past - truth[kBefore]).square().sum(2).argmin(0);  // (sequences)
  std::vector<at::Tensor> rows;
  for (std::int64_t i = 0; i < nearest.size(0); ++i) {
    const std::int64_t first = nearest[i].item<std::int64_t>(), cycle = kBefore - first;
    rows.push_back(truth[first + 1 + (ahead - 1) % cycle][i]);
  }
  return at::stack(rows);
}

}  // namespace

CmgTrainer::CmgTrainer(const CmgSettings& network, const CmgTrainSettings& settings,
                       const CmgDataSettings& windows, Trajectories motion, JointMirror mirror,
                       std::vector<double> lower, std::vector<double> upper, Workers& workers,
                       at::Device device)
    : settings_(checked(settings)),
      data_(motion, std::move(mirror), std::move(lower), std::move(upper), windows,
            settings.unroll_max + 1,
            network.profile == "full" ? motion.width() : 2 * motion.joints),
      model_(new_model(network, data_.statistics(), device, settings.seed)),
      adam_(model_.network().parameters().flat(), 0.9, 0.999, 1e-8),
      workers_(&workers),
      device_(device),
      shards_(device.is_cpu() ? settings.shards : 1) {
  const at::Tensor& flat = model_.network().parameters().flat();
  gradients_ = at::zeros({shards_, flat.numel()}, flat.options());
  gradient_ = at::zeros_like(flat);
  losses_.resize(shards_);
  unrolls_.resize(workers.count());
}

int CmgTrainer::unroll() const {
  const double growing = settings_.unroll_growth * settings_.iterations;
  const double progress = growing > 0 ? std::min(1.0, iteration_ / growing) : 1.0;
  const int range = settings_.unroll_max - settings_.unroll_min;
  return settings_.unroll_min + static_cast<int>(std::lround(progress * range));
}

double CmgTrainer::learning_rate() const {
  const double warm = std::min(1.0, (iteration_ + 1.0) / std::max(1, settings_.warmup));
  const double progress = std::min(1.0, double(iteration_) / settings_.iterations);
  if (settings_.schedule == "plateau") {
    return warm * std::max(settings_.plateau_lowest, settings_.learning_rate * plateau_rate_);
  }
  const double cosine = 0.5 * (1 + std::cos(M_PI * progress));
  const double share = settings_.final_lr_share + (1 - settings_.final_lr_share) * cosine;
  return settings_.learning_rate * warm * share;
}

// At the end of every epoch: has its mean loss fallen? (as ReduceLROnPlateau of PyTorch does)
void CmgTrainer::watch_plateau(double loss) {
  constexpr double kBetterBy = 1e-4;  // relative
  epoch_loss_ += loss;
  ++epoch_updates_;
  if (std::floor(epoch()) == std::floor(epoch() - settings_.batch / data_.epoch())) return;
  const double mean = epoch_loss_ / epoch_updates_;
  epoch_loss_ = 0;
  epoch_updates_ = 0;
  const bool better = mean < best_epoch_loss_ * (1 - kBetterBy);
  if (better) best_epoch_loss_ = mean;
  bad_epochs_ = better ? 0 : bad_epochs_ + 1;
  if (bad_epochs_ <= settings_.plateau_patience) return;
  plateau_rate_ *= settings_.plateau_factor;
  bad_epochs_ = 0;
}

double CmgTrainer::teacher_probability() const {
  const double decayed =
      settings_.teacher_forcing * std::pow(settings_.teacher_forcing_decay, std::floor(epoch()));
  return std::max(settings_.teacher_forcing_floor, decayed);
}

// Windows [first, first + count) of the batch of this iteration.
CmgBatch CmgTrainer::make_batch(int first, int count) const {
  const int steps = unroll(), width = data_.features();
  const double teacher = teacher_probability();
  const at::Tensor states = at::empty({steps + 1, count, width});
  const at::Tensor commands = at::empty({steps, count, CmgNetwork::kCommands});
  const at::Tensor forced = teacher > 0 ? at::empty({steps, count, 1}, at::kBool) : at::Tensor();
  float* state = states.data_ptr<float>();
  float* command = commands.data_ptr<float>();

  for (int i = 0; i < count; ++i, state += width, command += CmgNetwork::kCommands) {
    Random random(settings_.seed, first + i, iteration_, Purpose::kMinibatch);
    const CmgWindow window = data_.draw(random, steps + 1);
    data_.gather(window, steps + 1, state, std::size_t(count) * width, command,
                 std::size_t(count) * CmgNetwork::kCommands);
    if (random.uniform() < settings_.noise_share) perturb(random, state);
    if (!forced.defined()) continue;
    Random shared(settings_.seed, 0, iteration_, Purpose::kTeacherForcing);
    Random& draws = settings_.teacher_draw == "batch" ? shared : random;
    for (int k = 0; k < steps; ++k) {
      forced.data_ptr<bool>()[k * count + i] = draws.uniform() < teacher;
    }
  }
  return {states[0].to(device_), states.narrow(0, 1, steps).to(device_), commands.to(device_),
          forced.defined() ? forced.to(device_) : forced};
}

void CmgTrainer::perturb(Random& random, float* state) const {
  const std::vector<float>& active = data_.statistics().active;
  for (std::size_t i = 0; i < active.size(); ++i) {
    if (active[i] != 0) state[i] += static_cast<float>(settings_.noise * random.normal());
  }
}

void CmgTrainer::compute_shard(int shard, int worker) {
  at::init_num_threads();  // a thread's first torch operation must know that it is alone
  const at::NoGradGuard no_grad;
  const int first = static_cast<int>(std::int64_t(settings_.batch) * shard / shards_);
  const int end = static_cast<int>(std::int64_t(settings_.batch) * (shard + 1) / shards_);
  const CmgBatch batch = make_batch(first, end - first);
  const double terms = active_features(model_.statistics()) * settings_.batch * batch.truth.size(0);
  const CmgLoss loss{settings_.loss == "mse", settings_.huber_beta, settings_.through_time};
  losses_[shard] = unrolls_[worker].compute(model_, batch, loss, terms, gradients_[shard]);
}

// Shards are summed in fixed order, whoever computed them.
void CmgTrainer::compute_gradient() {
  if (shards_ == 1) {
    compute_shard(0, 0);
  } else {
    workers_->run(shards_, [this](int shard, int worker) { compute_shard(shard, worker); });
  }
  at::sum_out(gradient_, gradients_, 0);
}

CmgUpdate CmgTrainer::update() {
  at::NoGradGuard no_grad;
  CmgUpdate result;
  result.unroll = unroll();
  result.learning_rate = learning_rate();
  compute_gradient();
  result.loss = std::accumulate(losses_.begin(), losses_.end(), 0.0);
  result.grad_norm = gradient_.norm().item<double>();

  // a step that is not finite would destroy the weights: leave it out, but not for ever
  ++iteration_;
  if (std::isfinite(result.loss) && std::isfinite(result.grad_norm)) {
    if (result.grad_norm > settings_.grad_clip)
      gradient_.mul_(settings_.grad_clip / result.grad_norm);
    adam_.step(model_.network().parameters().flat(), gradient_, result.learning_rate);
    watch_plateau(result.loss);
    skipped_in_a_row_ = 0;
  } else if (++skipped_, ++skipped_in_a_row_ == kPatience) {
    throw std::runtime_error("CMG training: the gradient was not finite " +
                             std::to_string(kPatience) + " times in a row, last in iteration " +
                             std::to_string(iteration_));
  }
  result.iteration = iteration_;
  result.skipped = skipped_;
  return result;
}

std::vector<double> CmgTrainer::held_out(std::span<const int> horizons,
                                         const std::string& how) const {
  if (horizons.empty() || *std::min_element(horizons.begin(), horizons.end()) < 1) {
    fail("horizons are numbers of frames, at least 1");
  }
  if (how != "model" && how != "hold" && how != "repeat") {
    fail("motion is continued by model, hold or repeat, not by '", how, "'");
  }
  const int frames = kBefore + *std::max_element(horizons.begin(), horizons.end());
  std::vector<int> all;
  for (const int stream : data_.held_out()) {
    if (data_.motion().lengths[stream] > frames && all.size() < kHeldOutStreams)
      all.push_back(stream);
  }
  const std::size_t count = all.size();
  if (count == 0) {
    fail("none of ", data_.held_out().size(), " held-out streams has ", frames + 1,
         " frames; raise held_out_share or give more or longer streams");
  }
  std::vector<float> errors(horizons.size() * count);  // (streams, horizons)
  const int blocks = static_cast<int>((count + kHeldOutBlock - 1) / kHeldOutBlock);
  workers_->run(blocks, [&](int block, int) {
    const std::size_t first = std::size_t(block) * kHeldOutBlock;
    const std::size_t size = std::min<std::size_t>(kHeldOutBlock, count - first);
    free_run(std::span(all).subspan(first, size), horizons, how, &errors[first * horizons.size()]);
  });

  std::vector<double> medians;
  for (std::size_t h = 0; h < horizons.size(); ++h) {
    std::vector<float> column;
    for (std::size_t i = 0; i < count; ++i) column.push_back(errors[i * horizons.size() + h]);
    medians.push_back(median(column));
  }
  return medians;
}

int CmgTrainer::longest_horizon() const {
  int longest = 0;
  for (const int stream : data_.held_out())
    longest = std::max(longest, data_.motion().lengths[stream] - kBefore - 1);
  return longest;
}

// Writes the errors (streams, horizons).
void CmgTrainer::free_run(std::span<const int> streams, std::span<const int> horizons,
                          const std::string& how, float* errors) const {
  at::init_num_threads();
  c10::InferenceMode inference;
  const int frames = kBefore + *std::max_element(horizons.begin(), horizons.end()) + 1;
  const int count = static_cast<int>(streams.size()), width = data_.features();
  const at::Tensor truth = at::empty({frames, count, width});
  const at::Tensor commands = at::empty({frames - 1, count, CmgNetwork::kCommands});
  for (int i = 0; i < count; ++i) {
    const int spare = data_.motion().lengths[streams[i]] - frames;
    Random random(settings_.seed, streams[i], 0, Purpose::kEvaluation);
    data_.gather({streams[i], random.index(spare + 1), false}, frames,
                 truth.data_ptr<float>() + std::size_t(i) * width, std::size_t(count) * width,
                 commands.data_ptr<float>() + std::size_t(i) * CmgNetwork::kCommands,
                 std::size_t(count) * CmgNetwork::kCommands);
  }

  // the network and the baselines go on from the same frame
  const at::Tensor start = truth[kBefore];
  const at::Tensor made =
      how == "model" ? generate_from(start.to(device_),
                                     commands.narrow(0, kBefore, frames - 1 - kBefore).to(device_))
                     : at::Tensor();
  const double features = active_features(model_.statistics());
  for (std::size_t h = 0; h < horizons.size(); ++h) {
    const int ahead = horizons[h];
    const at::Tensor guess = how == "model"  ? made[ahead - 1].cpu()
                             : how == "hold" ? start
                                             : repeat_cycle(truth, ahead);
    const at::Tensor error = (guess - truth[kBefore + ahead]).square().sum(1) / features;
    for (int i = 0; i < count; ++i) errors[i * horizons.size() + h] = error.data_ptr<float>()[i];
  }
}

// (rows, features), (steps, rows, 3) -> (steps, rows, features), all normalised.
at::Tensor CmgTrainer::generate_from(const at::Tensor& start, const at::Tensor& commands) const {
  std::vector<at::Tensor> states;
  at::Tensor state = start;
  for (std::int64_t k = 0; k < commands.size(0); ++k) {
    state = model_.predict(state, commands[k]);
    states.push_back(state);
  }
  return at::stack(states);
}

State CmgTrainer::probe() {
  const CmgBatch batch = make_batch(0, settings_.batch);
  compute_gradient();
  State state;
  state["start"] = batch.start;
  state["truth"] = batch.truth;
  state["commands"] = batch.commands;
  if (batch.teacher.defined()) state["teacher"] = batch.teacher;
  state["loss"] = at::full({}, std::accumulate(losses_.begin(), losses_.end(), 0.0), at::kDouble);
  const FlatParameters& parameters = model_.network().parameters();
  const std::vector<at::Tensor> gradients = views_like(parameters, gradient_);
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    state["gradient." + parameters.names()[i]] = gradients[i].clone();
  }
  return state;
}

State CmgTrainer::state() const {
  State state = model_.save();
  adam_.save(state, "adam.");
  state["trainer.iteration"] = at::full({}, iteration_, at::kLong);
  state["trainer.skipped"] = at::full({}, skipped_, at::kLong);
  state["trainer.plateau"] = at::tensor(
      {plateau_rate_, epoch_loss_, best_epoch_loss_, double(epoch_updates_), double(bad_epochs_)},
      at::kDouble);
  return state;
}

void CmgTrainer::load_state(const State& state) {
  data_.set_statistics(load_statistics(state));
  CmgNetwork network = model_.network();
  network.parameters().load(state, "network.");
  model_ = Cmg(network, data_.statistics());
  adam_.load(state, "adam.");
  const at::Tensor number = at::zeros({}, at::kLong);
  load_tensor(state, "trainer.iteration", number);
  iteration_ = static_cast<int>(number.item<std::int64_t>());
  load_tensor(state, "trainer.skipped", number);
  skipped_ = static_cast<int>(number.item<std::int64_t>());
  const at::Tensor plateau = at::zeros({5}, at::kDouble);
  load_tensor(state, "trainer.plateau", plateau);
  const double* value = plateau.data_ptr<double>();
  plateau_rate_ = value[0];
  epoch_loss_ = value[1];
  best_epoch_loss_ = value[2];
  epoch_updates_ = static_cast<int>(value[3]);
  bad_epochs_ = static_cast<int>(value[4]);
}

Cmg CmgTrainer::model() const {
  at::NoGradGuard no_grad;
  CmgNetwork copy(model_.network().settings(), data_.features(), at::kCPU);
  copy.parameters().flat().copy_(model_.network().parameters().flat());
  return Cmg(std::move(copy), model_.statistics());
}

}  // namespace twist
