#include "motion/cmg_data.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/robot.h"

namespace twist {
namespace {

constexpr double kConstantBelow = 1e-4;  // a feature that varies less is constant
constexpr int kBeforeTransition = 6, kAfterTransition = 45;  // frames

bool is_zero(const float* command) { return command[0] == 0 && command[1] == 0 && command[2] == 0; }

void check(const Trajectories& motion, const JointMirror& mirror, std::size_t limits, int frames) {
  const std::size_t joints = motion.joints;
  if (mirror.joint.size() != joints || mirror.sign.size() != joints || limits != joints) {
    fail("the motion has ", joints, " joints, but ", mirror.joint.size(), " mirror joints, ",
         mirror.sign.size(), " mirror signs and ", limits, " limits were given");
  }
  if (static_cast<int>(motion.lengths.size()) != motion.streams) {
    fail("the motion has ", motion.streams, " streams but ", motion.lengths.size(), " lengths");
  }
  for (int stream = 0; stream < motion.streams; ++stream) {
    const int length = motion.lengths[stream];
    if (length < frames || length > motion.frames) {
      fail("stream ", stream, " has ", length, " frames of ", motion.frames,
           "; training needs at least ", frames, " (unroll_max + 1)");
    }
    const float* rows = motion.row(stream, 0);
    for (std::size_t i = 0; i < std::size_t(length) * motion.width(); ++i) {
      if (!std::isfinite(rows[i])) {
        fail("stream ", stream, ", frame ", i / motion.width(), ", feature ", i % motion.width(),
             " of the motion is ", rows[i]);
      }
    }
  }
}

}  // namespace

CmgData::CmgData(Trajectories motion, JointMirror mirror, std::vector<double> lower,
                 std::vector<double> upper, const CmgDataSettings& settings, int frames,
                 int features)
    : motion_(std::move(motion)),
      mirror_(std::move(mirror)),
      settings_(settings),
      features_(features) {
  check(motion_, mirror_, std::min(lower.size(), upper.size()), frames);
  if (features != motion_.width() && features != 2 * motion_.joints) {
    fail("a frame has ", motion_.width(), " features, ", 2 * motion_.joints,
         " of joints alone; not ", features);
  }
  if (settings.repeat_above.size() != settings.repeat_times.size()) {
    fail(settings.repeat_above.size(), " speeds in repeat_above need as many repeat_times, not ",
         settings.repeat_times.size());
  }
  statistics_.lower.assign(lower.begin(), lower.end());
  statistics_.upper.assign(upper.begin(), upper.end());
  split(settings.held_out_share);
  compute_statistics();
  find_start();
  find_command_limits();
  find_transitions();
  list_windows(frames);
  statistics_.calibration.assign(CmgStatistics::kTerms * 3, 0.0f);
  set_statistics(statistics_);
}

// spreads the held-out streams evenly
void CmgData::split(double held_out_share) {
  for (int stream = 0; stream < motion_.streams; ++stream) {
    const bool held =
        std::floor((stream + 1) * held_out_share) > std::floor(stream * held_out_share);
    (held ? held_out_ : training_).push_back(stream);
  }
  if (training_.empty()) {
    fail(motion_.streams, " streams with held_out_share ", held_out_share,
         " leave none to train on");
  }
}

void CmgData::list_windows(int frames) {
  double until = 0;
  for (const int stream : training_) {
    for (int start = 0; start + frames <= motion_.lengths[stream]; start += settings_.stride) {
      until += motion_.weights[stream] * repeats(stream, start, frames);
      windows_.push_back({until, stream, start});
    }
  }
  if (!(until > 0)) fail("all ", windows_.size(), " windows have weight 0");
}

double CmgData::repeats(int stream, int start, int frames) const {
  if (settings_.repeat_above.empty()) return 1;
  const int velocity = FrameLayout{motion_.joints}.lin_vel();
  double speed = 0;
  for (int frame = start; frame < start + frames; ++frame) {
    const float* v = motion_.row(stream, frame) + velocity;
    speed += std::hypot(v[0], v[1]) / frames;
  }
  for (std::size_t i = 0; i < settings_.repeat_above.size(); ++i) {
    if (speed > settings_.repeat_above[i]) return settings_.repeat_times[i];
  }
  return 1;
}

void CmgData::set_statistics(CmgStatistics statistics) {
  if (statistics.joints() != motion_.joints) {
    fail("the statistics are of ", statistics.joints(), " joints, the motion has ", motion_.joints);
  }
  statistics_ = std::move(statistics);
  feature_factor_ = statistics_.feature_factor();
  command_centre_ = statistics_.command_centre();
  command_factor_ = statistics_.command_factor();
}

void CmgData::compute_statistics() {
  const int width = motion_.width();
  std::vector<double> sum(width), squares(width);
  std::vector<float> mean(width), variance(width);
  double count = 0;
  for (const int stream : training_) {
    const double weight = motion_.weights[stream];
    for (int frame = 0; frame < motion_.lengths[stream]; ++frame, count += weight) {
      for (int i = 0; i < width; ++i) sum[i] += weight * motion_.row(stream, frame)[i];
    }
  }
  for (int i = 0; i < width; ++i) mean[i] = static_cast<float>(sum[i] / count);

  // deviations from the mean, so that small ones are exact
  for (const int stream : training_) {
    const double weight = motion_.weights[stream];
    for (int frame = 0; frame < motion_.lengths[stream]; ++frame) {
      const float* row = motion_.row(stream, frame);
      for (int i = 0; i < width; ++i)
        squares[i] += weight * double(row[i] - mean[i]) * (row[i] - mean[i]);
    }
  }
  for (int i = 0; i < width; ++i) variance[i] = static_cast<float>(squares[i] / count);
  include_mirror_image(mean, variance);

  for (int i = 0; i < features_; ++i) {
    const double deviation = std::sqrt(variance[i]);
    statistics_.mean.push_back(mean[i]);
    statistics_.active.push_back(deviation < kConstantBelow ? 0.0f : 1.0f);
    statistics_.deviation.push_back(
        static_cast<float>(std::max(deviation, settings_.deviation_floor)));
  }
}

// The moments of a set and its mirror image together.
void CmgData::include_mirror_image(std::vector<float>& mean, std::vector<float>& variance) const {
  std::vector<float> mirror_mean(mean.size()), mirror_variance(mean.size());
  mirror_frame(mirror_.joint, mirror_.sign, mean.data(), mirror_mean.data());
  mirror_frame(mirror_.joint, mirror_.sign, variance.data(), mirror_variance.data());
  for (std::size_t i = 0; i < mean.size(); ++i) {
    const float half_distance = 0.5f * (mean[i] - mirror_mean[i]);
    variance[i] =
        0.5f * (variance[i] + std::abs(mirror_variance[i])) + half_distance * half_distance;
    mean[i] = 0.5f * (mean[i] + mirror_mean[i]);
  }
}

// The frame with the least motion is where generated motion starts.
void CmgData::find_start() {
  const FrameLayout layout{motion_.joints};
  const auto motion_of = [&](const float* row) {
    double sum = 0;
    for (int i = layout.qd(); i < layout.height(); ++i) sum += double(row[i]) * row[i];
    for (int i = layout.lin_vel(); i < layout.contact(); ++i) sum += double(row[i]) * row[i];
    return sum;
  };
  const float* stillest = motion_.row(training_.front(), 0);
  double least = motion_of(stillest);
  for (const int stream : training_) {
    for (int frame = 0; frame < motion_.lengths[stream] && least > 0; ++frame) {
      const double value = motion_of(motion_.row(stream, frame));
      if (value < least) least = value, stillest = motion_.row(stream, frame);
    }
  }

  // at rest, and constant features at their constant
  statistics_.start.assign(stillest, stillest + layout.width());
  std::vector<float>& start = statistics_.start;
  std::fill(start.begin() + layout.qd(), start.begin() + layout.height(), 0.0f);
  std::fill(start.begin() + layout.lin_vel(), start.begin() + layout.contact(), 0.0f);
  start.resize(features_);
  for (int i = 0; i < features_; ++i) {
    if (statistics_.active[i] == 0) start[i] = statistics_.mean[i];
  }
}

void CmgData::find_command_limits() {
  std::vector<float> low(3, 0.0f), high(3, 0.0f), rate(3, 0.0f);
  for (const int stream : training_) {
    for (int frame = 0; frame < motion_.lengths[stream]; ++frame) {
      const float* wish = motion_.target(stream, frame);
      const float* now = motion_.command(stream, frame);
      const float* before = motion_.command(stream, std::max(frame - 1, 0));
      for (int i = 0; i < 3; ++i) {
        low[i] = std::min(low[i], wish[i]);
        high[i] = std::max(high[i], wish[i]);
        rate[i] =
            std::max(rate[i], std::abs(now[i] - before[i]) / static_cast<float>(kControlStep));
      }
    }
  }

  // the mirror image swaps the sides of vy and wz
  for (int i = 1; i < 3; ++i) {
    high[i] = std::max(high[i], -low[i]);
    low[i] = -high[i];
  }
  statistics_.command_low = low;
  statistics_.command_high = high;
  statistics_.command_rate = rate;
}

void CmgData::find_transitions() {
  for (const int stream : training_) {
    for (int frame = 1; frame < motion_.lengths[stream]; ++frame) {
      if (is_zero(motion_.target(stream, frame - 1)) != is_zero(motion_.target(stream, frame))) {
        transitions_.push_back({stream, frame});
      }
    }
  }
}

CmgWindow CmgData::draw(Random& random, int frames) const {
  CmgWindow window;
  const double transition = random.uniform(), mirrored = random.uniform();
  window.mirrored = mirrored < settings_.mirror_share;
  if (transition < settings_.transition_share && !transitions_.empty()) {
    const Place& place = transitions_[random.index(transitions())];
    const int offset = random.index(kBeforeTransition + kAfterTransition + 1) - kBeforeTransition;
    const int last = motion_.lengths[place.stream] - frames;
    window.stream = place.stream;
    window.start = std::clamp(place.frame + offset, 0, last);
    return window;
  }
  const double at = random.uniform() * windows_.back().until;
  const auto after = std::upper_bound(windows_.begin(), windows_.end() - 1, at,
                                      [](double x, const Start& s) { return x < s.until; });
  window.stream = after->stream;
  window.start = after->frame;
  return window;
}

void CmgData::gather(const CmgWindow& window, int frames, float* states, std::size_t state_stride,
                     float* commands, std::size_t command_stride) const {
  const std::vector<float>& mean = statistics_.mean;
  std::vector<float> reflected(window.mirrored ? motion_.width() : 0);
  const float side = window.mirrored ? -1.0f : 1.0f;
  for (int k = 0; k < frames; ++k) {
    const float* row = motion_.row(window.stream, window.start + k);
    if (window.mirrored) {
      mirror_frame(mirror_.joint, mirror_.sign, row, reflected.data());
      row = reflected.data();
    }
    float* state = states + k * state_stride;
    for (int i = 0; i < features_; ++i) state[i] = (row[i] - mean[i]) * feature_factor_[i];
    if (k + 1 == frames) break;

    // the command reflects to (vx, -vy, -wz)
    const float* wish = motion_.target(window.stream, window.start + k);
    float* command = commands + k * command_stride;
    for (int i = 0; i < CmgNetwork::kCommands; ++i) {
      const float reflected_wish = i == 0 ? wish[i] : side * wish[i];
      command[i] = (reflected_wish - command_centre_[i]) * command_factor_[i];
    }
  }
}

}  // namespace twist
