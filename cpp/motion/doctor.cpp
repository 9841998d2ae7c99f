#include "motion/doctor.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <tuple>

#include "base/error.h"

namespace twist {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kBridge_s = 0.2;        // shorter gaps do not part two findings
constexpr double kStandSpeed = 0.5;      // m/s; a faster foot does not stand
constexpr double kContactHeight = 0.01;  // m
constexpr double kLanding_s = 0.06;      // at the ends of a contact, when a foot may still move

struct Run {
  int first, last, worst;  // frames
};

// stretches of values above a limit; gaps of up to `bridge` are part of them (NaN is a gap)
std::vector<Run> runs_above(const std::vector<double>& values, double limit, int bridge = 0) {
  std::vector<Run> runs;
  for (int i = 0; i < static_cast<int>(values.size()); ++i) {
    if (!(values[i] > limit)) continue;
    if (runs.empty() || i - runs.back().last > bridge + 1) {
      runs.push_back({i, i, i});
    } else {
      runs.back().last = i;
      if (values[i] > values[runs.back().worst]) runs.back().worst = i;
    }
  }
  return runs;
}

// what a finding says about the frame in which it is worst.
using Describe = std::function<std::string(int frame, double value)>;

struct Report {
  Diagnosis* out;
  int bridge;  // frames

  // `reach`: frames that a value spans beyond its own
  void add(const std::string& kind, const std::vector<double>& values, DoctorLimits::Pair limits,
           int reach, const Describe& describe) const {
    for (const Run& run : runs_above(values, limits.warning, bridge)) {
      const double worst = values[run.worst];
      const bool error = worst > limits.error;
      out->findings.push_back({kind, error ? "error" : "warning", run.first, run.last + reach,
                               worst, error ? limits.error : limits.warning,
                               describe(run.worst, worst)});
    }
  }
  void add(const std::string& kind, const std::vector<double>& values, double error, int reach,
           const Describe& describe) const {
    add(kind, values, {error, error}, reach, describe);
  }
};

// from each frame to the next (frames - 1), per second
template <class Distance>
std::vector<double> speeds(int frames, double fps, const Distance& distance) {
  std::vector<double> out;
  for (int i = 0; i + 1 < frames; ++i) out.push_back(distance(i, i + 1) * fps);
  return out;
}

std::vector<double> joint_speeds(const std::vector<std::vector<double>>& q, double fps) {
  return speeds(static_cast<int>(q.size()), fps, [&](int a, int b) {
    double fastest = 0;
    for (std::size_t joint = 0; joint < q[a].size(); ++joint) {
      const double change = std::abs(q[b][joint] - q[a][joint]);
      if (!(change <= fastest)) fastest = change;  // NaN stays
      if (std::isnan(fastest)) break;
    }
    return fastest;
  });
}

// The longest [first, last) of good frames without a broken step inside.
std::pair<int, int> longest_stretch(const std::vector<bool>& good,
                                    const std::vector<bool>& broken) {
  std::pair<int, int> best = {0, 0};
  int first = 0;
  for (int frame = 0; frame < static_cast<int>(good.size()); ++frame) {
    if (!good[frame]) {
      first = frame + 1;
    } else if (frame > first && broken[frame - 1]) {
      first = frame;
    }
    if (frame + 1 - first > best.second - best.first) best = {first, frame + 1};
  }
  return best;
}

// How a standing foot moves from each frame to the next: as the one of its low points that moves
// least, so that a foot that rolls from heel to toe or turns on its ball does not slip. NaN where a
// frame is corrupt.
std::vector<Vec2> foot_steps(const std::vector<std::vector<Vec3>>& soles) {
  const auto low = [](const Vec3& a, const Vec3& b) { return a.z() < b.z(); };
  std::vector<Vec2> steps;
  for (std::size_t i = 0; i + 1 < soles.size(); ++i) {
    const auto &now = soles[i], &next = soles[i + 1];
    Vec2& least = steps.emplace_back(Vec2::Constant(kNaN));
    if (now.empty() || next.empty()) continue;
    const double floor = std::min_element(now.begin(), now.end(), low)->z() + kContactHeight;
    for (std::size_t point = 0; point < now.size(); ++point) {
      const Vec2 moved = (next[point] - now[point]).head<2>();
      if (now[point].z() < floor && !(moved.norm() >= least.norm())) least = moved;
    }
  }
  return steps;
}

// one clip on the table
struct Examination {
  const Robot& robot;
  const DoctorLimits& limits;
  const Clip& clip;
  const ClipTrace& t;
  Diagnosis& out;
  Report report;

  std::vector<bool> judge_frames();
  std::vector<bool> judge_steps();
  void judge_joints();
  void judge_soles();
  void judge_slip();
  void judge_stand(int side, const std::vector<Vec2>& steps, const Run& stand);
  void judge_whole();
};

// Frames that are corrupt or at an impossible height; returns which are neither.
std::vector<bool> Examination::judge_frames() {
  std::vector<double> missing(t.frames, 0.0), length, height, beyond;
  for (int i = 0; i < t.frames; ++i) {
    const auto count = [&](const std::vector<double>& values) {
      const std::size_t width = values.size() / t.frames;
      const auto first = values.begin() + static_cast<std::ptrdiff_t>(i * width);
      missing[i] += std::count_if(first, first + static_cast<std::ptrdiff_t>(width),
                                  [](double x) { return !std::isfinite(x); });
    };
    for (const auto* values : {&clip.root_pos, &clip.root_quat, &clip.q}) count(*values);
    length.push_back(std::abs(t.norm[i] - 1));
    height.push_back(t.root[i].z() - t.floor);
    beyond.push_back(std::max(limits.height_low - height[i], height[i] - limits.height_high));
  }
  report.add("not_finite", missing, 0.0, 0, [](int frame, double worst) {
    return text(worst, " values that are not finite in frame ", frame);
  });
  report.add("quaternion", length, limits.quat_norm, 0, [&](int frame, double) {
    return text("a quaternion of length ", t.norm[frame], " in frame ", frame);
  });
  report.add("root_height", beyond, 0.0, 0, [&](int frame, double) {
    return text("the pelvis is ", height[frame], " m above the floor in frame ", frame,
                "; plausible are ", limits.height_low, " to ", limits.height_high);
  });
  std::vector<bool> good;
  for (int i = 0; i < t.frames; ++i) {
    good.push_back(t.whole[i] && length[i] <= limits.quat_norm && beyond[i] <= 0);
  }
  return good;
}

// Jumps from frame to frame; returns between which frames something jumps (NaN counts).
std::vector<bool> Examination::judge_steps() {
  const auto root =
      speeds(t.frames, t.fps, [&](int a, int b) { return (t.root[b] - t.root[a]).norm(); });
  const auto turn = speeds(t.frames, t.fps, [&](int a, int b) {
    return 2 * std::acos(std::min(1.0, std::abs(t.quat[a].dot(t.quat[b]))));
  });
  const auto joint = joint_speeds(t.q, t.fps);
  report.add("root_speed", root, limits.root_speed, 1, [](int frame, double worst) {
    return text("the pelvis moves at ", worst, " m/s after frame ", frame);
  });
  report.add("root_turn", turn, limits.root_turn, 1, [](int frame, double worst) {
    return text("the pelvis turns at ", worst, " rad/s after frame ", frame);
  });
  report.add("joint_jump", joint, limits.joint_speed, 1, [&](int frame, double worst) {
    int fastest = 0;
    const auto change = [&](int i) { return std::abs(t.q[frame + 1][i] - t.q[frame][i]); };
    for (int i = 1; i < robot.num_joints(); ++i) {
      if (change(i) > change(fastest)) fastest = i;
    }
    return text(robot.joint_names[fastest], " moves at ", worst, " rad/s after frame ", frame);
  });
  std::vector<bool> broken;
  for (std::size_t i = 0; i < root.size(); ++i) {
    broken.push_back(!(root[i] <= limits.root_speed && turn[i] <= limits.root_turn &&
                       joint[i] <= limits.joint_speed));
  }
  return broken;
}

void Examination::judge_joints() {
  for (int joint = 0; joint < robot.num_joints(); ++joint) {
    std::vector<double> excess;
    for (const auto& q : t.q) {
      excess.push_back(std::max(robot.lower[joint] - q[joint], q[joint] - robot.upper[joint]));
    }
    report.add("joint_limit", excess, limits.joint_limit, 0, [&](int frame, double worst) {
      return text(robot.joint_names[joint], " is at ", t.q[frame][joint], " rad in frame ", frame,
                  ", ", worst, " beyond its range ", robot.lower[joint], " to ",
                  robot.upper[joint]);
    });
  }
}

void Examination::judge_soles() {
  std::vector<double> below, above;
  for (const double lowest : t.lowest) {
    below.push_back(t.floor - lowest);
    above.push_back(lowest - t.floor);
  }
  report.add("penetration", below, limits.penetration, 0, [](int frame, double worst) {
    return text("a sole is ", worst, " m below the floor in frame ", frame);
  });

  // a jump is no fault
  Diagnosis all;
  Report{&all, 0}.add("floating", above, limits.floating, 0, [](int frame, double worst) {
    return text("both soles are up to ", worst, " m above the floor (frame ", frame, ")");
  });
  for (const Finding& finding : all.findings) {
    if (finding.last - finding.first >= limits.floating_s * t.fps) out.findings.push_back(finding);
  }
  if (std::abs(t.floor) > limits.floor) {
    out.findings.push_back({"floor", "warning", 0, t.frames - 1, t.floor, limits.floor,
                            text("the soles stand at z = ", t.floor, " m, not at 0")});
  }
}

void Examination::judge_slip() {
  std::vector<double> skating;  // m/s of the slower foot where neither stands
  const auto low = [&](int side, int i) {
    double sole = kNaN;
    for (const Vec3& point : t.soles[side][i]) sole = std::fmin(sole, point.z());
    const bool flight = t.lowest[i] > t.floor + limits.floating.warning;
    return sole < t.lowest[i] + kContactHeight && !flight;
  };
  for (int side = 0; side < 2; ++side) {
    const std::vector<Vec2> steps = foot_steps(t.soles[side]);
    skating.resize(steps.size(), 1e9);
    std::vector<double> stands;
    for (int i = 0; i + 1 < t.frames; ++i) {
      const double speed = steps[i].norm() * t.fps;
      const bool down = low(side, i) && low(side, i + 1);
      stands.push_back(down && speed < kStandSpeed ? 1 : 0);
      if (down) skating[i] = std::min(skating[i], speed);
    }
    for (const Run& run : runs_above(stands, 0)) judge_stand(side, steps, run);
  }
  for (double& speed : skating) speed = speed < 1e9 ? speed : 0;
  for (const Run& run : runs_above(skating, kStandSpeed)) {
    if (run.last - run.first < limits.floating_s * t.fps) continue;
    const double worst = skating[run.worst];
    out.findings.push_back({"slip", "warning", run.first, run.last + 1, worst, kStandSpeed,
                            text("no foot stands still, the slower one slides at up to ", worst,
                                 " m/s (frame ", run.worst, ")")});
  }
}

// the net way of a foot that stands, without its landing and its leaving
void Examination::judge_stand(int side, const std::vector<Vec2>& steps, const Run& stand) {
  const int landing = static_cast<int>(std::ceil(kLanding_s * t.fps));
  Vec2 sum = Vec2::Zero();
  double slip = 0;
  for (int i = stand.first + landing; i <= stand.last - landing; ++i) {
    sum += steps[i];
    slip = std::max(slip, sum.norm());
  }
  if (slip <= limits.slip) return;
  out.findings.push_back(
      {"slip", "warning", stand.first, stand.last + 1, slip, limits.slip,
       text("the ", side == 0 ? "left" : "right", " foot slips ", slip, " m while it stands")});
}

// the clip as a whole: its frame rate, and how its end meets its beginning
void Examination::judge_whole() {
  const double fps = fps_of_velocities(clip);
  if (std::abs(fps / clip.fps - 1) > limits.velocity_fps) {
    out.findings.push_back({"fps", "error", 0, t.frames - 1, fps, clip.fps,
                            text("the file says ", clip.fps,
                                 " frames a second, but its own joint velocities fit ", fps)});
  }
  const int a = out.first, b = out.last - 1;
  if (b - a < 2) return;
  double pose = 0, velocity = 0;
  for (int i = 0; i < robot.num_joints(); ++i) {
    const double start = t.q[a + 1][i] - t.q[a][i], end = t.q[b][i] - t.q[b - 1][i];
    pose = std::max(pose, std::abs(t.q[b][i] - t.q[a][i]));
    velocity = std::max(velocity, std::abs(end - start) * t.fps);
  }
  if (pose <= limits.loop_pose && velocity <= limits.loop_velocity) return;
  out.findings.push_back({"loop", "info", a, b, pose, limits.loop_pose,
                          text("the clip does not close: from its end to its start joints jump by ",
                               pose, " rad and ", velocity, " rad/s")});
}

}  // namespace

const std::vector<std::string>& Doctor::kinds() {
  static const std::vector<std::string> names = {
      "not_finite", "quaternion",  "root_speed",  "root_turn", "root_height",
      "joint_jump", "joint_limit", "penetration", "floating",  "floor",
      "slip",       "fps",         "loop"};
  return names;
}

Doctor::Doctor(const Robot& robot, const DoctorLimits& limits)
    : robot_(robot), limits_(limits), tracer_(robot) {}

Diagnosis Doctor::examine(const Clip& clip) {
  const ClipTrace t = tracer_.follow(clip);
  Diagnosis out;
  out.floor = t.floor;
  Examination on{robot_, limits_, clip, t, out, {&out, static_cast<int>(kBridge_s * t.fps)}};
  const std::vector<bool> good = on.judge_frames(), broken = on.judge_steps();
  std::tie(out.first, out.last) = longest_stretch(good, broken);
  out.usable = (out.last - out.first) / t.fps >= limits_.min_seconds;
  int earliest = t.frames;
  for (const Finding& finding : out.findings) {
    if (finding.first < earliest) out.why = finding.reason;
    earliest = std::min(earliest, finding.first);
  }
  if (out.why.empty()) out.why = text(t.frames, " frames");

  on.judge_joints();
  on.judge_soles();
  on.judge_slip();
  on.judge_whole();
  return out;
}

}  // namespace twist
