#pragma once

#include <vector>

#include "motion/cmg.h"
#include "motion/reference.h"

namespace twist {

/// How to reflect a robot left to right: as in `Robot`. Both (joints).
struct JointMirror {
  std::vector<int> joint;
  std::vector<double> sign;
};

/// A piece of motion to train on.
struct CmgWindow {
  int stream = 0, start = 0;
  bool mirrored = false;
};

/// The data set of a CMG: motion, the split into training and held-out streams, statistics, and
/// windows.
///
/// The condition of a frame is its command target; recorded motion, which has none, is conditioned
/// on the command in force. Statistics are those of the motion and its mirror image together.
class CmgData {
 public:
  /// `frames` is the number of rows of the longest window. Throws UserError if a stream is shorter,
  /// if sizes contradict each other, or if a split leaves no stream to train on.
  CmgData(Trajectories motion, JointMirror mirror, std::vector<double> lower,
          std::vector<double> upper, double held_out_share, int frames);

  const CmgStatistics& statistics() const { return statistics_; }
  /// Replaces the statistics by those that a saved model was trained with.
  void set_statistics(CmgStatistics statistics);

  const Trajectories& motion() const { return motion_; }
  const std::vector<int>& training() const { return training_; }  // streams
  const std::vector<int>& held_out() const { return held_out_; }  // streams
  int features() const { return motion_.width(); }
  /// Places where the command changes between zero and not zero, in the training streams.
  int transitions() const { return static_cast<int>(transitions_.size()); }

  /// Draws a training window of `frames` rows. With probability `transition_share` it starts within
  /// -6 to +45 frames of a transition; with probability `mirror_share` it is mirrored.
  CmgWindow draw(Random& random, int frames, double transition_share, double mirror_share) const;

  /// Normalised features of `frames` rows, row k at states + k * state_stride, and the normalised
  /// commands of all rows but the last, at commands + k * command_stride.
  void gather(const CmgWindow& window, int frames, float* states, std::size_t state_stride,
              float* commands, std::size_t command_stride) const;

 private:
  struct Place {
    int stream, frame;
  };

  void compute_statistics();
  void include_mirror_image(std::vector<float>& mean, std::vector<float>& variance) const;
  void find_start();
  void find_command_limits();
  void find_transitions();
  const float* condition(int stream, int frame) const;

  Trajectories motion_;
  JointMirror mirror_;
  CmgStatistics statistics_;
  std::vector<float> feature_factor_, command_factor_;
  std::vector<int> training_, held_out_;
  std::vector<int> frames_before_;  // (training streams + 1) frames in all streams before this one
  std::vector<Place> transitions_;
};

}  // namespace twist
