#include "motion/measure.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/robot.h"

namespace twist {
namespace {

constexpr double kLimitTolerance = 1e-5;  // rad; limits are stored as float

struct Window {
  int begin, end;  // frames
};

// Mean over the knees of the range of the angle.
double knee_range(const Trajectories& motion, int stream, std::span<const int> knees,
                  Window window) {
  double sum = 0;
  for (const int knee : knees) {
    float least = motion.row(stream, window.begin)[knee], most = least;
    for (int frame = window.begin; frame < window.end; ++frame) {
      least = std::min(least, motion.row(stream, frame)[knee]);
      most = std::max(most, motion.row(stream, frame)[knee]);
    }
    sum += most - least;
  }
  return sum / static_cast<double>(knees.size());
}

double mean_of(const Trajectories& motion, int stream, int feature, Window window) {
  double sum = 0;
  for (int frame = window.begin; frame < window.end; ++frame) {
    sum += motion.row(stream, frame)[feature];
  }
  return sum / (window.end - window.begin);
}

// Counts what must never happen.
void count_faults(const Trajectories& motion, int stream, std::span<const double> lower,
                  std::span<const double> upper, CmgCell* cell) {
  for (int frame = 0; frame < motion.frames; ++frame) {
    const float* row = motion.row(stream, frame);
    cell->nonfinite +=
        !std::all_of(row, row + motion.width(), [](float x) { return std::isfinite(x); });
    for (int joint = 0; joint < motion.joints; ++joint) {
      cell->limit_violations += row[joint] < lower[joint] - kLimitTolerance ||
                                row[joint] > upper[joint] + kLimitTolerance;
      if (frame == 0) continue;
      const double step = std::abs(row[joint] - motion.row(stream, frame - 1)[joint]);
      cell->largest_step = std::max(cell->largest_step, step);
    }
  }
}

}  // namespace

std::vector<CmgCell> measure_cmg(Generator& generator, std::span<const Command> commands,
                                 double seconds, std::span<const int> knees,
                                 std::span<const double> lower, std::span<const double> upper,
                                 Workers& workers) {
  const std::size_t joints = generator.num_joints();
  if (!(seconds >= 4)) fail("a measurement of ", seconds, " s is too short; give at least 4 s");
  if (knees.empty()) fail("a measurement needs the index of at least one knee joint");
  for (const int knee : knees) {
    if (knee < 0 || knee >= generator.num_joints()) {
      fail("knee joint ", knee, " does not exist; the generator has ", joints, " joints");
    }
  }
  if (lower.size() != joints || upper.size() != joints) {
    fail("joint limits for ", lower.size(), " and ", upper.size(),
         " joints given; the generator has ", joints);
  }

  const int frames = static_cast<int>(seconds / kControlStep);
  const Trajectories motion = generate(generator, constant_plan(commands, frames), workers);
  const int part = std::min(static_cast<int>(10 / kControlStep), frames / 2);
  const Window early{0, part}, late{frames - part, frames}, settled{part, frames};
  const FrameLayout layout{motion.joints};

  std::vector<CmgCell> cells(commands.size());
  for (int stream = 0; stream < motion.streams; ++stream) {
    CmgCell& cell = cells[stream];
    cell.command = commands[stream];
    cell.vx = mean_of(motion, stream, layout.lin_vel(), settled);
    cell.vy = mean_of(motion, stream, layout.lin_vel() + 1, settled);
    cell.wz = mean_of(motion, stream, layout.ang_vel() + 2, settled);
    cell.knee_first = knee_range(motion, stream, knees, early);
    cell.knee_last = knee_range(motion, stream, knees, late);
    cell.height_first = mean_of(motion, stream, layout.height(), early);
    cell.height_last = mean_of(motion, stream, layout.height(), late);
    count_faults(motion, stream, lower, upper, &cell);
  }
  return cells;
}

}  // namespace twist
