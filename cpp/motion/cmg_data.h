#pragma once

#include <vector>

#include "base/settings.h"
#include "motion/cmg.h"
#include "motion/reference.h"

namespace twist {

/// How to reflect a robot left to right: as in `Robot`. Both (joints).
struct JointMirror {
  std::vector<int> joint;
  std::vector<double> sign;
};

/// How windows are drawn from the motion.
struct CmgDataSettings {
  double held_out_share = 0.1;        ///< streams kept for evaluation
  int stride = 1;                     ///< frames from one window to the next
  std::vector<double> repeat_above;   ///< mean planar speeds of a window, descending
  std::vector<double> repeat_times;   ///< how often windows above each of them are repeated
  double transition_share = 1.0 / 3;  ///< windows around a change between standing and moving
  double mirror_share = 0.5;          ///< windows that are mirrored
  double deviation_floor = 0.02;      ///< least standard deviation, in the units of the feature

  template <class V>
  void visit(V&& field) {
    field("held_out_share", held_out_share, Valid(0, 1), "share of streams kept for evaluation");
    field("stride", stride, Valid(1, 10000), "frames from one window to the next");
    field("repeat_above", repeat_above, Valid(0, 100),
          "mean planar speeds in m/s, descending, above which windows are repeated");
    field("repeat_times", repeat_times, Valid(0, 1000), "how often, for each of those speeds");
    field("transition_share", transition_share, Valid(0, 1), "windows near a start or stop");
    field("mirror_share", mirror_share, Valid(0, 1), "share of mirrored windows");
    field("deviation_floor", deviation_floor, Valid(1e-6, 10),
          "least standard deviation of a feature, in its units");
  }
};

/// A piece of motion to train on.
struct CmgWindow {
  int stream = 0, start = 0;
  bool mirrored = false;
};

/// The data set of a CMG: motion, the split into training and held-out streams, statistics, and
/// windows.
///
/// The condition of a frame is its command target: the network learns the ramp. That of recorded
/// motion is the command in force.
/// Statistics are those of the motion and its mirror image together, weighted like the streams.
class CmgData {
 public:
  /// `frames` is the number of rows of the longest window, `features` either all columns of a row
  /// or the first 2 * joints. Throws UserError if a stream is shorter than a window, if sizes
  /// contradict each other, or if a split leaves no stream to train on.
  CmgData(Trajectories motion, JointMirror mirror, std::vector<double> lower,
          std::vector<double> upper, const CmgDataSettings& settings, int frames, int features);

  const CmgStatistics& statistics() const { return statistics_; }
  /// Replaces the statistics by those that a saved model was trained with.
  void set_statistics(CmgStatistics statistics);

  const Trajectories& motion() const { return motion_; }
  const std::vector<int>& training() const { return training_; }  // streams
  const std::vector<int>& held_out() const { return held_out_; }  // streams
  int features() const { return features_; }
  /// Windows in the training streams, repeats and mirror images included: the draws of an epoch.
  double epoch() const { return windows_.back().until * (settings_.mirror_share > 0 ? 2 : 1); }
  /// Places where the command changes between zero and not zero, in the training streams.
  int transitions() const { return static_cast<int>(transitions_.size()); }

  /// Draws a training window of `frames` rows; with probability `transition_share` it starts within
  /// -6 to +45 frames of a transition.
  CmgWindow draw(Random& random, int frames) const;

  /// Normalised features of `frames` rows, row k at states + k * state_stride, and the normalised
  /// commands of all rows but the last, at commands + k * command_stride.
  void gather(const CmgWindow& window, int frames, float* states, std::size_t state_stride,
              float* commands, std::size_t command_stride) const;

 private:
  struct Place {
    int stream, frame;
  };
  struct Start {
    double until;  // weight of all windows up to this one
    int stream, frame;
  };

  void split(double held_out_share);
  void compute_statistics();
  void include_mirror_image(std::vector<float>& mean, std::vector<float>& variance) const;
  void find_start();
  void find_command_limits();
  void find_transitions();
  void list_windows(int frames);
  double repeats(int stream, int start, int frames) const;

  Trajectories motion_;
  JointMirror mirror_;
  CmgDataSettings settings_;
  int features_;
  CmgStatistics statistics_;
  std::vector<float> feature_factor_, command_centre_, command_factor_;
  std::vector<int> training_, held_out_;
  std::vector<Start> windows_;
  std::vector<Place> transitions_;
};

}  // namespace twist
