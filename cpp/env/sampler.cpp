#include "env/sampler.h"

#include <algorithm>

namespace twist {
namespace {

constexpr int kBin = 50;        // frames
constexpr int kMinFrames = 50;  // an episode has at least this many frames before it
constexpr double kKeep = 0.99;  // of the average at an update

// the index whose running sum first exceeds a uniform share of the total
int pick(const std::vector<double>& sums, double share) {
  const auto found = std::upper_bound(sums.begin(), sums.end(), share * sums.back());
  return static_cast<int>(std::min<std::ptrdiff_t>(found - sums.begin(), sums.size() - 1));
}

}  // namespace

StartSampler::StartSampler(const std::vector<int>& lengths, const std::vector<double>& weights,
                           double failure_share)
    : lengths_(lengths), failure_share_(failure_share) {
  double sum = 0;
  for (std::size_t stream = 0; stream < lengths.size(); ++stream) {
    stream_sum_.push_back(sum += weights[stream]);
    first_bin_.push_back(static_cast<int>(stream_of_.size()));
    stream_of_.insert(stream_of_.end(), (lengths[stream] + kBin - 1) / kBin,
                      static_cast<int>(stream));
  }
  failures_.resize(stream_of_.size());
  failure_sum_.resize(stream_of_.size());
  counted_ = std::make_unique<std::atomic<int>[]>(stream_of_.size());
}

std::pair<int, int> StartSampler::draw(Random& random) const {
  const bool failed = random.uniform() < failure_share_ && failure_sum_.back() > 0;
  if (!failed) {
    const int stream = pick(stream_sum_, random.uniform());
    return {stream, random.index(std::max(1, lengths_[stream] - 1 - kMinFrames))};
  }
  // up to two bins before the fall
  const int bin = pick(failure_sum_, random.uniform()), stream = stream_of_[bin];
  const int frame = (bin - first_bin_[stream] - 1) * kBin + random.index(2 * kBin) - kBin / 2;
  return {stream, std::clamp(frame, 0, std::max(0, lengths_[stream] - 1 - kMinFrames))};
}

void StartSampler::add_failure(int stream, int frame) {
  ++counted_[first_bin_[stream] + frame / kBin];
}

void StartSampler::update() {
  for (std::size_t bin = 0; bin < failures_.size(); ++bin)
    failures_[bin] = kKeep * failures_[bin] + (1 - kKeep) * counted_[bin].exchange(0);
  refresh();
}

void StartSampler::refresh() {
  double sum = 0;
  for (std::size_t bin = 0; bin < failures_.size(); ++bin)
    failure_sum_[bin] = sum += failures_[bin];
}

}  // namespace twist
