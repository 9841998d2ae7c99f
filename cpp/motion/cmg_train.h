#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "motion/cmg.h"
#include "motion/cmg_data.h"
#include "motion/cmg_unroll.h"

namespace twist {

/// How a CMG is trained.
struct CmgTrainSettings {
  int iterations = 1000;        ///< optimiser steps
  int batch = 1024;             ///< windows in one step
  int unroll_min = 4;           ///< frames generated from the start of a window, at first
  int unroll_max = 32;          ///< and at last
  double unroll_growth = 0.75;  ///< share of the iterations during which the unroll grows
  double learning_rate = 1e-3;
  int warmup = 50;                  ///< iterations until the full learning rate
  double final_lr_share = 0.02;     ///< of the learning rate, reached by a cosine
  double noise = 0.03;              ///< perturbation of the start, normalised
  double noise_share = 0.7;         ///< share of windows with a perturbed start
  std::string schedule = "cosine";  ///< or "plateau": halved when an epoch's loss stays high
  double plateau_factor = 0.5;
  int plateau_patience = 10;     ///< epochs
  double plateau_lowest = 1e-6;  ///< learning rate
  double teacher_forcing = 0.0;  ///< probability of continuing from the true frame, at first
  double teacher_forcing_decay = 0.995;  ///< factor per epoch
  double teacher_forcing_floor = 0.0;    ///< lowest probability
  std::string teacher_draw = "window";   ///< who shares a draw: "window" alone, or the "batch"
  std::string loss = "smooth_l1";        ///< or "mse"
  double huber_beta = 0.3;   ///< where smooth_l1 turns from squared to absolute, normalised
  bool through_time = true;  ///< gradients through all frames of a window
  double grad_clip = 1.0;    ///< largest norm of the gradient
  int shards = 4;            ///< parts of a batch; results depend on it, but not on the threads
  int seed = 1;

  template <class V>
  void visit(V&& field) {
    field("iterations", iterations, Valid(1, 1e8), "optimiser steps");
    field("batch", batch, Valid(1, 1e6), "windows in one step");
    field("unroll_min", unroll_min, Valid(1, 1000), "frames generated in a window, at first");
    field("unroll_max", unroll_max, Valid(1, 1000), "frames generated in a window, at last");
    field("unroll_growth", unroll_growth, Valid(0, 1), "share of the iterations in which it grows");
    field("learning_rate", learning_rate, Valid(0, 1), "peak learning rate of Adam");
    field("warmup", warmup, Valid(0, 1e6), "iterations until the peak learning rate");
    field("final_lr_share", final_lr_share, Valid(0, 1), "share of the peak at the end (cosine)");
    field("noise", noise, Valid(0, 10), "perturbation of the start, normalised");
    field("noise_share", noise_share, Valid(0, 1), "share of windows with a perturbed start");
    field("schedule", schedule, Valid{"cosine", "plateau"}, "of the learning rate");
    field("plateau_factor", plateau_factor, Valid(0.01, 1), "on the rate when the loss stays high");
    field("plateau_patience", plateau_patience, Valid(0, 1000), "epochs that it may stay high");
    field("plateau_lowest", plateau_lowest, Valid(0, 1), "learning rate that plateau ends at");
    field("teacher_forcing", teacher_forcing, Valid(0, 1), "probability of true frames, at first");
    field("teacher_forcing_decay", teacher_forcing_decay, Valid(0, 1), "its factor per epoch");
    field("teacher_forcing_floor", teacher_forcing_floor, Valid(0, 1), "its lowest value");
    field("teacher_draw", teacher_draw, Valid{"window", "batch"}, "who shares a draw of a frame");
    field("loss", loss, Valid{"smooth_l1", "mse"}, "error of a feature");
    field("huber_beta", huber_beta, Valid(1e-6, 100), "where smooth_l1 becomes linear, normalised");
    field("through_time", through_time, Valid(), "gradients through all frames of a window");
    field("grad_clip", grad_clip, Valid(1e-6, 1e6), "largest norm of the gradient");
    field("shards", shards, Valid(1, 1024), "parts of a batch that are summed in fixed order");
    field("seed", seed, Valid(0, 2147483647), "seed of weights, windows and noise");
  }
};

/// What one optimiser step did.
struct CmgUpdate {
  int iteration = 0;     ///< steps taken so far, this one included
  double loss = 0;       ///< mean error over windows, frames and varying features
  double grad_norm = 0;  ///< before clipping
  double learning_rate = 0;
  int unroll = 0;   ///< frames
  int skipped = 0;  ///< steps left out so far because a gradient was not finite
};

/// Trains a CMG by unrolling it with gradients through all steps.
///
/// Everything random is a function of (seed, window, iteration), so a saved state resumes exactly,
/// and the result does not depend on the number of workers. On "cuda" a batch is one shard.
class CmgTrainer {
 public:
  /// `workers` must outlive the trainer. Throws UserError on settings or data that cannot work.
  CmgTrainer(const CmgSettings& network, const CmgTrainSettings& settings,
             const CmgDataSettings& windows, Trajectories motion, JointMirror mirror,
             std::vector<double> lower, std::vector<double> upper, Workers& workers,
             at::Device device);

  /// One optimiser step. Throws std::runtime_error when the gradient was not finite five times in a
  /// row.
  CmgUpdate update();

  /// Free-running error on the held-out streams after each of `horizons` frames: the median over
  /// streams of the mean square over varying features, normalised. Streams too short for the
  /// longest horizon are left out; throws UserError if none remains. `how` is "model", or a trivial
  /// baseline: "hold" keeps the first frame, "repeat" goes through the last cycle again and
  /// again.
  std::vector<double> held_out(std::span<const int> horizons,
                               const std::string& how = "model") const;

  /// The longest horizon that a held-out stream allows; 0 if none is held out.
  int longest_horizon() const;

  /// What the next update would see and compute, for tests: start (batch, features), truth (unroll,
  /// batch, features), commands (unroll, batch, 3), teacher (unroll, batch, 1) if truth is forced
  /// on any, loss (), and gradient.<parameter>.
  State probe();

  /// Everything needed to continue exactly: weights, statistics, moments, iteration.
  State state() const;
  void load_state(const State& state);

  /// A copy of the model on the CPU.
  Cmg model() const;
  const CmgData& data() const { return data_; }
  double epoch() const { return iteration_ * double(settings_.batch) / data_.epoch(); }
  int iteration() const { return iteration_; }

 private:
  int unroll() const;
  void watch_plateau(double loss);
  double learning_rate() const;
  double teacher_probability() const;
  CmgBatch make_batch(int first, int count) const;
  void perturb(Random& random, float* state) const;
  void compute_shard(int shard, int worker);
  void compute_gradient();
  void free_run(std::span<const int> streams, std::span<const int> horizons, const std::string& how,
                float* errors) const;
  at::Tensor generate_from(const at::Tensor& start, const at::Tensor& commands) const;

  CmgTrainSettings settings_;
  CmgData data_;
  Cmg model_;
  Adam adam_;
  Workers* workers_;
  at::Device device_;
  int shards_;
  int iteration_ = 0, skipped_ = 0, skipped_in_a_row_ = 0;
  double plateau_rate_ = 1;                         // share of the learning rate that is left
  double epoch_loss_ = 0, best_epoch_loss_ = 1e30;  // sum in this epoch; lowest mean so far
  int epoch_updates_ = 0, bad_epochs_ = 0;
  at::Tensor gradients_;            // (shards, parameters)
  at::Tensor gradient_;             // (parameters)
  std::vector<double> losses_;      // (shards)
  std::vector<CmgUnroll> unrolls_;  // (workers) scratch memory
};

}  // namespace twist
