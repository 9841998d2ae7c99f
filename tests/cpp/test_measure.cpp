#include <gtest/gtest.h>

#include "base/error.h"
#include "motion/measure.h"
#include "sine_generator.h"

namespace twist {
namespace {

const std::vector<Command> kCommands = {{0, 0, 0}, {0.5, 0, 0}, {0, 0.3, -0.8}};
const std::vector<int> kKnees = {0, 1};

TEST(MeasureCmg, ReportsWhatTheSineDoes) {
  SineGenerator generator;
  Workers workers(2);
  const std::vector<double> lower(4, -0.4), upper(4, 0.4);
  const auto cells = measure_cmg(generator, kCommands, 8, kKnees, lower, upper, workers);
  ASSERT_EQ(cells.size(), 3u);
  for (std::size_t i = 0; i < cells.size(); ++i) {
    EXPECT_EQ(cells[i].command, kCommands[i]);
    EXPECT_NEAR(cells[i].vx, kCommands[i].vx, 1e-5);
    EXPECT_NEAR(cells[i].vy, kCommands[i].vy, 1e-5);
    EXPECT_NEAR(cells[i].wz, kCommands[i].wz, 1e-5);
    EXPECT_EQ(cells[i].nonfinite, 0);
    EXPECT_NEAR(cells[i].height_last, 0.75, 1e-6);
  }

  // standing has no knee motion; the swing at 0.5 m/s has amplitude 0.5 and leaves the limits
  EXPECT_EQ(cells[0].knee_last, 0);
  EXPECT_EQ(cells[0].limit_violations, 0);
  EXPECT_NEAR(cells[1].knee_last, 1.0, 0.01);
  EXPECT_GT(cells[1].limit_violations, 0);
  EXPECT_NEAR(cells[1].largest_step, 0.5 * 2 * M_PI * 0.02, 0.01);
}

TEST(MeasureCmg, RefusesNonsense) {
  SineGenerator generator;
  Workers workers(1);
  const std::vector<double> limits(4, 1), three(3, 1);
  EXPECT_THROW(measure_cmg(generator, kCommands, 1, kKnees, limits, limits, workers), UserError);
  EXPECT_THROW(measure_cmg(generator, kCommands, 8, {}, limits, limits, workers), UserError);
  EXPECT_THROW(measure_cmg(generator, kCommands, 8, kKnees, three, limits, workers), UserError);
  const std::vector<int> missing = {9};
  EXPECT_THROW(measure_cmg(generator, kCommands, 8, missing, limits, limits, workers), UserError);
}

}  // namespace
}  // namespace twist
