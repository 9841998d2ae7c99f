#pragma once

#include <span>
#include <string>
#include <vector>

#include "env/observation.h"

namespace twist {

/// One reward term: a pure function that returns the term before its weight. Tracking terms lie in
/// [0, 1]; costs are positive and get a negative weight.
struct RewardTerm {
  const char* name;
  double (*value)(const StepView& view);
  const char* doc;
};

/// All reward terms there are. A new one is a function in terms.cpp, a line in this table and a
/// weight in the configuration (`env.rewards`).
std::span<const RewardTerm> reward_terms();

/// Thresholds of the terminations.
struct TerminationSettings {
  double min_height = 0.45;         ///< of the pelvis, m
  double max_tilt_deg = 50;         ///< of the pelvis
  double min_foot_distance = 0.07;  ///< between the ankles, m

  template <class V>
  void visit(V&& field) {
    field("min_height", min_height, Valid(0, 1),
          "fallen when the pelvis is below this height in m");
    field("max_tilt_deg", max_tilt_deg, Valid(5, 180),
          "fallen when the pelvis tilts more than this");
    field("min_foot_distance", min_foot_distance, Valid(0, 0.5),
          "ends when the ankles come closer than this in m");
  }
};

/// Why an episode ended. Exclusive: the first that applies counts.
enum class Cause : unsigned char { kNone, kPhysics, kHeight, kTilt, kFeetClose, kTimeOut };
constexpr int kNumCauses = 6;
extern const char* const kCauseNames[kNumCauses];

/// Checks the body against the thresholds, in the order of `Cause`.
Cause check_termination(const TerminationSettings& settings, const BodyState& body);

}  // namespace twist
