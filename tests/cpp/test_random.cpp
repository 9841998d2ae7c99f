#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/random.h"

namespace twist {
namespace {

using Words = std::array<std::uint32_t, 4>;

// Philox4x32-10 written from the paper: one round swaps the high and low halves of two products.
Words philox(Words counter, std::uint32_t key0, std::uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const unsigned __int128 product0 = static_cast<unsigned __int128>(3528531795u) * counter[0];
    const unsigned __int128 product1 = static_cast<unsigned __int128>(3449720151u) * counter[2];
    const Words out = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key0,
                       static_cast<std::uint32_t>(product1),
                       static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key1,
                       static_cast<std::uint32_t>(product0)};
    counter = out;
    key0 += 2654435769u;
    key1 += 3144134277u;
  }
  return counter;
}

// known answers of the Random123 distribution (kat_vectors, philox4x32 10)
TEST(Random, ReferenceGivesTheKnownAnswers) {
  const std::uint32_t ones = 0xffffffff;
  EXPECT_EQ(philox({0, 0, 0, 0}, 0, 0), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({ones, ones, ones, ones}, ones, ones),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Random, BeginsWithTheKnownAnswer) {
  Random random(0, 0, 0, Purpose::kReset);
  for (const std::uint32_t word : {0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}) {
    EXPECT_EQ(random.bits(), word);
  }
}

TEST(Random, IsPhiloxOfSeedStreamAndStep) {
  const std::uint64_t seed = 0x0123456789abcdef, stream = 0xfedcba9876543210;
  Random random(seed, stream, 77, Purpose::kReset);
  for (std::uint32_t block = 0; block < 3; ++block) {
    const Words expected = philox({block, 77, 0x76543210, 0xfedcba98}, 0x89abcdef, 0x01234567);
    for (const std::uint32_t word : expected) EXPECT_EQ(random.bits(), word);
  }
}

TEST(Random, StreamsDoNotMeet) {
  std::set<std::uint64_t> seen;
  int count = 0;
  for (std::uint64_t seed : {0ull, 1ull, 1ull << 32, ~0ull}) {
    for (std::uint64_t stream : {0ull, 1ull, 2ull, 1ull << 32}) {
      for (std::uint32_t step : {0u, 1u, 1000u}) {
        for (int purpose = 0; purpose <= static_cast<int>(Purpose::kNetwork); ++purpose) {
          Random random(seed, stream, step, static_cast<Purpose>(purpose));
          const std::uint64_t high = random.bits();
          seen.insert(high << 32 | random.bits());
          ++count;
        }
      }
    }
  }
  EXPECT_EQ(seen.size(), static_cast<std::size_t>(count));
}

TEST(Random, NeighbouringStreamsAreUncorrelated) {
  constexpr int kDraws = 100000;
  Random base(1, 10, 5, Purpose::kAction);
  Random others[] = {Random(2, 10, 5, Purpose::kAction), Random(1, 11, 5, Purpose::kAction),
                     Random(1, 10, 6, Purpose::kAction), Random(1, 10, 5, Purpose::kReset)};
  double sums[4] = {};
  for (int i = 0; i < kDraws; ++i) {
    const double x = base.uniform() - 0.5;
    for (int k = 0; k < 4; ++k) sums[k] += x * (others[k].uniform() - 0.5);
  }
  // the correlation of n independent draws has standard deviation 1/sqrt(n)
  for (const double sum : sums) EXPECT_LT(std::abs(sum * 12 / kDraws), 4 / std::sqrt(kDraws));
}

TEST(Random, UniformIsUniform) {
  constexpr int kDraws = 160000, kBins = 16;
  Random random(3, 0, 0, Purpose::kMotion);
  int bins[kBins] = {};
  double sum = 0, square = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double x = random.uniform();
    ASSERT_GE(x, 0);
    ASSERT_LT(x, 1);
    ++bins[static_cast<int>(x * kBins)];
    sum += x;
    square += x * x;
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 4 * std::sqrt(1.0 / 12 / kDraws));
  EXPECT_NEAR(square / kDraws, 1.0 / 3, 4 * std::sqrt(4.0 / 45 / kDraws));
  double chi2 = 0;
  for (const int count : bins) chi2 += std::pow(count - kDraws / kBins, 2) / (kDraws / kBins);
  EXPECT_LT(chi2, 44.3);  // 15 degrees of freedom, p = 1e-4
}

TEST(Random, UniformOfARangeAndIndexStayInside) {
  Random random(4, 0, 0, Purpose::kMotion);
  int seen[7] = {};
  for (int i = 0; i < 7000; ++i) {
    const double x = random.uniform(-3, -1);
    ASSERT_TRUE(x >= -3 && x < -1) << x;
    const int k = random.index(7);
    ASSERT_TRUE(k >= 0 && k < 7) << k;
    ++seen[k];
  }
  for (const int count : seen) EXPECT_NEAR(count, 1000, 130);
  EXPECT_EQ(random.index(1), 0);
}

TEST(Random, NormalHasTheMomentsOfTheNormal) {
  constexpr int kDraws = 200000;
  Random random(5, 0, 0, Purpose::kAction);
  double sums[5] = {};
  int beyond_two = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double x = random.normal();
    ASSERT_TRUE(std::isfinite(x));
    for (int power = 1; power <= 4; ++power) sums[power] += std::pow(x, power);
    beyond_two += std::abs(x) > 2;
  }
  // four standard deviations of the estimate of each moment
  const double n = kDraws;
  EXPECT_NEAR(sums[1] / n, 0, 4 * std::sqrt(1 / n));
  EXPECT_NEAR(sums[2] / n, 1, 4 * std::sqrt(2 / n));
  EXPECT_NEAR(sums[3] / n, 0, 4 * std::sqrt(15 / n));
  EXPECT_NEAR(sums[4] / n, 3, 4 * std::sqrt(96 / n));
  EXPECT_NEAR(beyond_two / n, std::erfc(std::sqrt(2.0)), 4 * std::sqrt(0.0455 / n));
}

}  // namespace
}  // namespace twist
