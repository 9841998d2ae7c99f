#pragma once

#include <array>
#include <cmath>
#include <cstdint>

namespace twist {

/// What a random stream is for; streams of different purpose never overlap.
enum class Purpose : std::uint32_t {
  kReset,
  kCommand,
  kAction,
  kMinibatch,
  kMotion,
  kEvaluation,
  kNetwork,
  kTeacherForcing,
  kSampler,
  kRandomise,
  kPush,
  kTerrain,
  kNoise
};

/// Counter-based random numbers: a pure function of (seed, stream, step, purpose) and of how many
/// numbers were drawn since construction. Nothing is shared, so results do not depend on threads or
/// order. Philox4x32-10 of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
class Random {
 public:
  Random(std::uint64_t seed, std::uint64_t stream, std::uint32_t step, Purpose purpose)
      : key_{static_cast<std::uint32_t>(seed),
             static_cast<std::uint32_t>(seed >> 32) ^
                 (static_cast<std::uint32_t>(purpose) * 0x9E3779B9u)},
        counter_{0, step, static_cast<std::uint32_t>(stream),
                 static_cast<std::uint32_t>(stream >> 32)} {}

  /// Uniform over all 32-bit values.
  std::uint32_t bits() {
    if (used_ == 4) {
      block_ = philox(counter_, key_);
      ++counter_[0];
      used_ = 0;
    }
    return block_[used_++];
  }

  /// Uniform in [0, 1).
  double uniform() { return bits() * 0x1p-32; }

  /// Uniform in [lower, upper).
  double uniform(double lower, double upper) { return lower + (upper - lower) * uniform(); }

  /// Uniform in {0, ..., n - 1}; n >= 1.
  int index(int n) { return static_cast<int>((static_cast<std::uint64_t>(bits()) * n) >> 32); }

  /// Standard normal (Box-Muller, one of the pair).
  double normal() {
    const double radius = std::sqrt(-2.0 * std::log((bits() + 0.5) * 0x1p-32));
    return radius * std::cos(2.0 * M_PI * uniform());
  }

 private:
  using Block = std::array<std::uint32_t, 4>;

  static Block philox(Block c, std::array<std::uint32_t, 2> k) {
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t a = std::uint64_t{0xD2511F53} * c[0];
      const std::uint64_t b = std::uint64_t{0xCD9E8D57} * c[2];
      c = {static_cast<std::uint32_t>(b >> 32) ^ c[1] ^ k[0], static_cast<std::uint32_t>(b),
           static_cast<std::uint32_t>(a >> 32) ^ c[3] ^ k[1], static_cast<std::uint32_t>(a)};
      k[0] += 0x9E3779B9;
      k[1] += 0xBB67AE85;
    }
    return c;
  }

  std::array<std::uint32_t, 2> key_;
  Block counter_;
  Block block_{};
  int used_ = 4;
};

}  // namespace twist
