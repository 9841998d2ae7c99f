#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "base/parallel.h"
#include "env/sampler.h"

namespace twist {
namespace {

using Starts = std::vector<std::pair<int, int>>;

Starts draw(const StartSampler& sampler, int count = 20000) {
  Starts starts;
  for (int i = 0; i < count; ++i) {
    Random random(4, 0, i, Purpose::kMotion);
    starts.push_back(sampler.draw(random));
  }
  return starts;
}

double share(const Starts& starts, int stream, int first = 0, int last = 1 << 30) {
  return std::count_if(starts.begin(), starts.end(),
                       [&](const auto& start) {
                         return start.first == stream && start.second >= first &&
                                start.second < last;
                       }) /
         double(starts.size());
}

// the earliest and the latest frame of a stream
std::pair<int, int> reach(const Starts& starts, int stream) {
  std::pair<int, int> reach{1 << 30, -1};
  for (const auto& [drawn, frame] : starts) {
    if (drawn != stream) continue;
    reach = {std::min(reach.first, frame), std::max(reach.second, frame)};
  }
  return reach;
}

TEST(StartSampler, WithoutFailuresIsUniformOverFramesAndByTheWeightsOverStreams) {
  // a stream of n frames can be begun in the first n - 51: a second is left, and a frame to go to
  const StartSampler sampler({301, 551, 80, 30, 400}, {1, 2, 1, 1, 0}, 0.7);
  const Starts starts = draw(sampler);
  EXPECT_NEAR(share(starts, 0), 0.2, 0.012);
  EXPECT_NEAR(share(starts, 1), 0.4, 0.012);
  EXPECT_NEAR(share(starts, 2), 0.2, 0.012);
  EXPECT_NEAR(share(starts, 3), 0.2, 0.012);
  EXPECT_EQ(share(starts, 4), 0) << "its weight is zero";
  for (int first = 0; first < 500; first += 50)
    EXPECT_NEAR(share(starts, 1, first, first + 50), 0.04, 0.007) << first;
  EXPECT_EQ(reach(starts, 0), std::pair(0, 249));
  EXPECT_EQ(reach(starts, 1), std::pair(0, 499));
  EXPECT_EQ(reach(starts, 2), std::pair(0, 28));
  EXPECT_EQ(reach(starts, 3), std::pair(0, 0)) << "too short for a choice";
}

TEST(StartSampler, AShareBeginsShortlyBeforeAFall) {
  // only falls lead to stream 1, whose weight is zero
  StartSampler sampler({400, 600}, {1, 0}, 0.3);
  sampler.add_failure(1, 320);
  EXPECT_EQ(share(draw(sampler), 1), 0) << "falls count from the update on";
  sampler.update();
  const Starts starts = draw(sampler);
  EXPECT_NEAR(share(starts, 1), 0.3, 0.014);
  EXPECT_NEAR(share(starts, 0), 0.7, 0.014);

  // from one and a half seconds before the second in which it fell to the middle of that second
  EXPECT_EQ(reach(starts, 1), std::pair(225, 324));
  for (int first = 225; first < 325; first += 20)
    EXPECT_NEAR(share(starts, 1, first, first + 20), 0.06, 0.008) << first;
}

TEST(StartSampler, StartsStayInTheStreamWithASecondLeft) {
  StartSampler begin({400, 600}, {1, 1}, 1), end({400, 600}, {1, 1}, 1), brief({30}, {1}, 1);
  begin.add_failure(1, 10);
  end.add_failure(0, 399);
  brief.add_failure(0, 29);
  for (StartSampler* sampler : {&begin, &end, &brief}) sampler->update();
  EXPECT_EQ(share(draw(begin), 1), 1);
  EXPECT_EQ(reach(draw(begin), 1), std::pair(0, 24));
  EXPECT_EQ(share(draw(end), 0), 1);
  EXPECT_EQ(reach(draw(end), 0), std::pair(275, 349));
  EXPECT_EQ(reach(draw(brief), 0), std::pair(0, 0));
}

TEST(StartSampler, PlacesWhereMoreRobotsFellComeMoreOften) {
  StartSampler sampler({200, 600}, {1, 1}, 1);
  for (int fall = 0; fall < 3; ++fall) sampler.add_failure(1, 500 + fall);
  sampler.add_failure(0, 149);
  sampler.update();
  EXPECT_NEAR(share(draw(sampler), 1), 0.75, 0.014);
  EXPECT_NEAR(share(draw(sampler), 0), 0.25, 0.014);
}

TEST(StartSampler, FailuresAreAnExponentialAverage) {
  // bins of 50 frames: three of the first stream, the last of them short; two of the second
  StartSampler sampler({120, 100}, {1, 1}, 0.5);
  ASSERT_EQ(sampler.failures().size(), 5u);
  const auto expect_failures = [&](const std::vector<double>& expected) {
    for (std::size_t bin = 0; bin < expected.size(); ++bin)
      EXPECT_NEAR(sampler.failures()[bin], expected[bin], 1e-12) << bin;
  };
  expect_failures({0, 0, 0, 0, 0});
  for (const int frame : {0, 49, 50, 119}) sampler.add_failure(0, frame);
  sampler.add_failure(1, 99);
  sampler.update();
  expect_failures({0.02, 0.01, 0.01, 0, 0.01});
  sampler.update();  // none
  expect_failures({0.0198, 0.0099, 0.0099, 0, 0.0099});
  sampler.add_failure(1, 0);
  sampler.update();
  expect_failures({0.019602, 0.009801, 0.009801, 0.01, 0.009801});
}

TEST(StartSampler, LoadedFailuresDecide) {
  StartSampler sampler({200, 600}, {1, 1}, 1), other({200, 600}, {1, 1}, 1);
  sampler.add_failure(1, 500);
  sampler.add_failure(0, 80);
  sampler.update();
  other.failures() = sampler.failures();
  EXPECT_NE(draw(other), draw(sampler));
  other.refresh();
  EXPECT_EQ(draw(other), draw(sampler));
}

TEST(StartSampler, FallsMayBeCountedByManyThreadsAtOnce) {
  StartSampler sampler({1000}, {1}, 0.5);
  Workers workers(4);
  std::atomic<int> there = 0;
  workers.run(4, [&](int, int) {
    for (++there; there < 4;) std::this_thread::yield();
    for (int fall = 0; fall < 4000000; ++fall) sampler.add_failure(0, fall % 100);
  });
  sampler.update();
  for (int bin = 0; bin < 20; ++bin)
    EXPECT_NEAR(sampler.failures()[bin], bin < 2 ? 80000 : 0, 1e-6) << bin;
}

}  // namespace
}  // namespace twist
