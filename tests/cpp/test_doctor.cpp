#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>

#include "base/error.h"
#include "motion/doctor.h"
#include "walk_exam.h"

namespace twist {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr int kFrames = 300;

// a walk of the gait library as somebody would have recorded it at 50 Hz
Clip walk_clip() {
  static const Clip walk = [] {
    const Trajectories motion = g1_motion(stand_then({{0.5, 0.05, 0.2}}, 25, kFrames));
    const FrameLayout layout{29};
    Clip clip{"walk", 50, g1()->joint_names, {}, {}, {}};
    Vec2 place = Vec2::Zero();
    double yaw = 0.7;
    for (int frame = 0; frame < kFrames; ++frame) {
      const float* row = motion.row(0, frame);
      const float* g = row + layout.gravity();
      const Eigen::Quaterniond quat =
          Eigen::Quaterniond(rot_z(yaw)) * tilt_from_gravity(Vec3(g[0], g[1], g[2]));
      clip.root_pos.insert(clip.root_pos.end(), {place.x(), place.y(), row[layout.height()]});
      clip.root_quat.insert(clip.root_quat.end(), {quat.w(), quat.x(), quat.y(), quat.z()});
      clip.q.insert(clip.q.end(), row, row + 29);
      place += 0.02 * rot_2d(yaw) * Vec2(row[layout.lin_vel()], row[layout.lin_vel() + 1]);
      yaw += 0.02 * row[layout.ang_vel() + 2];
    }
    return clip;
  }();
  return walk;
}

Diagnosis examine(const Clip& clip) { return Doctor(*g1()).examine(clip); }

// findings of one kind, or of all kinds that call for action
std::vector<Finding> found(const Diagnosis& diagnosis, const std::string& kind = "") {
  std::vector<Finding> out;
  for (const Finding& finding : diagnosis.findings) {
    const auto& kinds = Doctor::kinds();
    EXPECT_EQ(std::count(kinds.begin(), kinds.end(), finding.kind), 1) << finding.kind;
    if (kind.empty() ? finding.severity != "info" : finding.kind == kind) out.push_back(finding);
  }
  return out;
}

// the only kind of trouble that is told; fails if there is none or another
Finding only(const Clip& clip, const std::string& kind) {
  const std::vector<Finding> all = found(examine(clip));
  for (const Finding& finding : all) EXPECT_EQ(finding.kind, kind) << finding.reason;
  EXPECT_FALSE(all.empty());
  return all.empty() ? Finding() : all[0];
}

TEST(Doctor, IsSilentAboutAWalk) {
  const Diagnosis diagnosis = examine(walk_clip());
  for (const Finding& finding : found(diagnosis)) ADD_FAILURE() << finding.reason;
  EXPECT_NEAR(diagnosis.floor, 0, 0.005);
  EXPECT_EQ(diagnosis.first, 0);
  EXPECT_EQ(diagnosis.last, kFrames);
  EXPECT_TRUE(diagnosis.usable);
}

TEST(Doctor, SeesValuesThatAreNotFinite) {
  for (const double value : {kNaN, std::numeric_limits<double>::infinity()}) {
    Clip clip = walk_clip();
    clip.q[29 * 40 + 3] = clip.q[29 * 40 + 4] = value;
    const Finding finding = only(clip, "not_finite");
    EXPECT_EQ(finding.severity, "error");
    EXPECT_EQ(finding.first, 40);
    EXPECT_EQ(finding.last, 40);
    EXPECT_EQ(finding.worst, 2);
    EXPECT_EQ(examine(clip).first, 41);
    EXPECT_EQ(examine(clip).last, kFrames);
  }
}

TEST(Doctor, SeesAQuaternionOfWrongLength) {
  Clip clip = walk_clip();
  for (int i = 0; i < 4; ++i) clip.root_quat[4 * 250 + i] *= 0.5;
  const Finding finding = only(clip, "quaternion");
  EXPECT_EQ(finding.severity, "error");
  EXPECT_EQ(finding.first, 250);
  EXPECT_NE(finding.reason.find("length 0.5"), std::string::npos) << finding.reason;
  EXPECT_EQ(examine(clip).last, 250);
}

TEST(Doctor, SeesARootThatJumps) {
  Clip clip = walk_clip();
  for (int frame = 100; frame < kFrames; ++frame) clip.root_pos[3 * frame] += 0.4;
  const Finding finding = found(examine(clip), "root_speed").at(0);
  EXPECT_EQ(finding.severity, "error");
  EXPECT_EQ(finding.first, 99);
  EXPECT_EQ(finding.last, 100);
  EXPECT_NEAR(finding.worst, 0.4 * 50, 1.0);
  EXPECT_EQ(examine(clip).first, 100);
}

TEST(Doctor, SeesARootThatTurnsAtOnce) {
  Clip clip = walk_clip();
  const Eigen::Quaterniond turn(Eigen::AngleAxisd(0.5, Vec3::UnitZ()));
  for (int frame = 200; frame < kFrames; ++frame) {
    quat_to_mujoco(turn * quat_from_mujoco(&clip.root_quat[4 * frame]), &clip.root_quat[4 * frame]);
  }
  const Finding finding = found(examine(clip), "root_turn").at(0);
  EXPECT_EQ(finding.first, 199);
  EXPECT_NEAR(finding.worst, 0.5 * 50, 1.0);
  EXPECT_EQ(examine(clip).last, 200);
}

TEST(Doctor, DoesNotTakeTheSignOfAQuaternionForATurn) {
  Clip clip = walk_clip();
  for (int i = 0; i < 4; ++i) clip.root_quat[4 * 120 + i] *= -1;
  EXPECT_TRUE(found(examine(clip)).empty());
}

TEST(Doctor, SeesAnImpossibleHeightAboveTheClipsOwnFloor) {
  Clip clip = walk_clip();
  for (int frame = 0; frame < kFrames; ++frame) clip.root_pos[3 * frame + 2] += 3;
  EXPECT_TRUE(found(examine(clip), "root_height").empty()) << "another floor is no fault of height";
  const Finding floor = only(clip, "floor");
  EXPECT_EQ(floor.severity, "warning");
  EXPECT_NEAR(floor.worst, 3, 0.005);
  clip.root_pos[2] += 0.6;
  const Finding height = found(examine(clip), "root_height").at(0);
  EXPECT_EQ(height.severity, "error");
  EXPECT_EQ(height.last, 0);
  EXPECT_NEAR(height.worst, clip.root_pos[2] - 3 - 1.1, 0.005);
  EXPECT_EQ(examine(clip).first, 1);
}

TEST(Doctor, SeesAJointThatJumps) {
  Clip clip = walk_clip();
  clip.q[29 * 60 + g1()->joint_index("left_elbow_joint")] += 0.7;
  const Finding finding = only(clip, "joint_jump");
  EXPECT_EQ(finding.first, 59);
  EXPECT_EQ(finding.last, 61);
  EXPECT_NEAR(finding.worst, 35, 1);
  EXPECT_NE(finding.reason.find("left_elbow_joint"), std::string::npos);
}

TEST(Doctor, SeesJointsBeyondTheirRange) {
  const int joint = g1()->joint_index("right_wrist_roll_joint");
  for (const double beyond : {0.05, 0.5}) {
    Clip clip = walk_clip();
    for (int frame = 0; frame < kFrames; ++frame) {
      clip.q[29 * frame + joint] = g1()->upper[joint] + (frame >= 150 && frame < 170 ? beyond : 0);
    }
    const Finding finding = only(clip, "joint_limit");
    EXPECT_EQ(finding.severity, beyond < 0.2 ? "warning" : "error");
    EXPECT_EQ(finding.first, 150);
    EXPECT_EQ(finding.last, 169);
    EXPECT_NEAR(finding.worst, beyond, 1e-6);
  }
}

// shifts the root of frames [first, last), smoothly at both ends
Clip lifted(int first, int last, double height) {
  Clip clip = walk_clip();
  for (int frame = first; frame < last; ++frame) {
    const double ramp = std::min({1.0, (frame - first + 1) / 10.0, (last - frame) / 10.0});
    clip.root_pos[3 * frame + 2] += ramp * height;
  }
  return clip;
}

TEST(Doctor, SeesFeetBelowTheFloor) {
  const Finding slight = only(lifted(100, 150, -0.045), "penetration");
  EXPECT_EQ(slight.severity, "warning");
  EXPECT_NEAR(slight.worst, 0.045, 0.006);
  EXPECT_GE(slight.first, 100);
  EXPECT_LT(slight.last, 150);
  EXPECT_EQ(only(lifted(100, 150, -0.1), "penetration").severity, "error");
}

TEST(Doctor, SeesARobotThatFloatsButNotAJump) {
  const Finding floats = only(lifted(100, 150, 0.1), "floating");
  EXPECT_EQ(floats.severity, "warning");
  EXPECT_NEAR(floats.worst, 0.1, 0.01);
  EXPECT_GE(floats.first, 100);
  EXPECT_LT(floats.last, 150);
  EXPECT_EQ(only(lifted(100, 150, 0.3), "floating").severity, "error");
  EXPECT_TRUE(found(examine(lifted(100, 122, 0.2)), "floating").empty());
}

TEST(Doctor, SeesAFootThatSlips) {
  Clip clip = walk_clip();
  // the robot walks on a carpet that is pulled forwards by 0.2 m/s
  for (int frame = 100; frame < kFrames; ++frame)
    clip.root_pos[3 * frame] += 0.2 * (frame - 100) * 0.02;
  const std::vector<Finding> slips = found(examine(clip));
  ASSERT_GE(slips.size(), 4u);
  for (const Finding& slip : slips) {
    EXPECT_EQ(slip.kind, "slip") << slip.reason;
    EXPECT_GE(slip.last, 100);
    // a stand of the gait library lasts about half a second
    EXPECT_GT(slip.worst, 0.06);
    EXPECT_LT(slip.worst, 0.2);
  }
}

TEST(Doctor, SeesARobotThatSkates) {
  Clip clip = walk_clip();
  for (int frame = 0; frame < kFrames; ++frame) {
    std::copy_n(walk_clip().q.begin(), 29, clip.q.begin() + 29 * frame);
    const double pose[7] = {0.02 * frame, 0, walk_clip().root_pos[2], 1, 0, 0, 0};
    std::copy_n(pose, 3, clip.root_pos.begin() + 3 * frame);
    std::copy_n(pose + 3, 4, clip.root_quat.begin() + 4 * frame);
  }
  const Finding slip = only(clip, "slip");
  EXPECT_EQ(slip.first, 0);
  EXPECT_EQ(slip.last, kFrames - 1);
  EXPECT_NEAR(slip.worst, 1.0, 1e-6);  // m/s
}

// the first pose of the walk for the whole clip, changed frame by frame
Clip standing(const std::function<void(int, double* root, double* quat, double* q)>& change) {
  Clip clip = walk_clip();
  for (int frame = 0; frame < kFrames; ++frame) {
    double *root = &clip.root_pos[3 * frame], *quat = &clip.root_quat[4 * frame];
    std::copy_n(walk_clip().root_pos.begin(), 3, root);
    quat_to_mujoco(Eigen::Quaterniond::Identity(), quat);
    std::copy_n(walk_clip().q.begin(), 29, &clip.q[29 * frame]);
    change(frame, root, quat, &clip.q[29 * frame]);
  }
  return clip;
}

TEST(Doctor, DoesNotTakeATurnOnTheBallOfAFootForSlip) {
  // a front point of the left sole, about which everything turns
  const ModelPtr model = g1_plain_model();
  const DataPtr data(mj_makeData(model.get()));
  const Clip still = standing([](int, double*, double*, double*) {});
  std::copy_n(&still.root_pos[0], 3, data->qpos);
  std::copy_n(&still.root_quat[0], 4, data->qpos + 3);
  std::copy_n(&still.q[0], 29, data->qpos + 7);
  mj_kinematics(model.get(), data.get());
  const Vec3 pivot = Eigen::Map<const Vec3>(data->geom_xpos + 3 * sole_spheres(model.get(), 0)[0]);
  const Clip turns = standing([&](int frame, double* root, double* quat, double*) {
    const Eigen::Quaterniond turn(Eigen::AngleAxisd(0.004 * frame, Vec3::UnitZ()));
    Eigen::Map<Vec3> place(root);
    place = pivot + turn * (place - pivot);
    quat_to_mujoco(turn, quat);
  });
  EXPECT_TRUE(found(examine(still)).empty());
  const std::vector<Finding> slips = found(examine(turns));
  ASSERT_EQ(slips.size(), 1u);
  EXPECT_NE(slips[0].reason.find("right foot slips"), std::string::npos) << slips[0].reason;
}

TEST(Doctor, DoesNotTakeARaisedFootForSlip) {
  const int hip = g1()->joint_index("right_hip_pitch_joint"), knee = hip + 3;
  const Clip waves = standing([&](int frame, double*, double*, double* q) {
    q[knee] += 0.6;
    q[hip] += 0.3 * std::sin(0.02 * frame) - 0.3;
  });
  for (const Finding& finding : found(examine(waves))) ADD_FAILURE() << finding.reason;
}

TEST(Doctor, TakesTheFloorWhereTheSolesAreMost) {
  Clip clip = walk_clip();
  for (int frame = 120; frame < kFrames; ++frame) {
    clip.root_pos[3 * frame + 2] += 0.002 * (frame - 120);
  }
  EXPECT_NEAR(examine(clip).floor, 0, 0.01);
}

TEST(Doctor, TellsWhetherTheClipCloses) {
  const std::vector<Finding> open = found(examine(walk_clip()), "loop");
  ASSERT_EQ(open.size(), 1u);
  EXPECT_EQ(open[0].severity, "info");
  Clip clip = walk_clip();  // there and back
  for (int frame = kFrames / 2; frame < kFrames; ++frame) {
    std::copy_n(walk_clip().q.begin() + 29 * (kFrames - 1 - frame), 29,
                clip.q.begin() + 29 * frame);
  }
  EXPECT_TRUE(found(examine(clip), "loop").empty());
}

// the walk with its own joint velocities as a source has them that was recorded at `fps`
Clip with_velocities(double fps, const std::function<bool(int)>& kept) {
  Clip clip = walk_clip();
  clip.qd.assign(clip.q.size(), 0);
  for (int frame = 1; frame + 1 < kFrames; ++frame) {
    for (int joint = 0; joint < 29; ++joint) {
      const double step = clip.q[29 * (frame + 1) + joint] - clip.q[29 * (frame - 1) + joint];
      if (kept(joint)) clip.qd[29 * frame + joint] = step / 2 * fps;
    }
  }
  return clip;
}

TEST(Doctor, ComparesTheFrameRateWithTheVelocitiesOfTheSource) {
  const auto all = [](int) { return true; };
  EXPECT_NEAR(fps_of_velocities(with_velocities(50, all)), 50, 0.01);
  EXPECT_TRUE(found(examine(with_velocities(50, all))).empty());
  // a set whose joints other than those about y have no velocities
  const auto pitch = [](int joint) {
    const std::string& name = g1()->joint_names[joint];
    return name.find("pitch") != std::string::npos || name.find("knee") != std::string::npos;
  };
  const Finding finding = only(with_velocities(30, pitch), "fps");
  EXPECT_EQ(finding.severity, "error");
  EXPECT_NEAR(finding.worst, 30, 0.01);
  EXPECT_EQ(finding.limit, 50);
  EXPECT_TRUE(std::isnan(fps_of_velocities(walk_clip())));
  Clip noise = walk_clip();
  for (std::size_t i = 0; i < noise.q.size(); ++i) noise.qd.push_back(i / 29 % 2 ? 1 : -1);
  EXPECT_TRUE(std::isnan(fps_of_velocities(noise))) << "velocities of something else";
  EXPECT_TRUE(std::isnan(fps_of_velocities(with_velocities(30, [](int) { return false; }))));
}

TEST(Doctor, MapsJointsByName) {
  Clip clip = walk_clip();
  std::reverse(clip.joint_names.begin(), clip.joint_names.end());
  for (int frame = 0; frame < kFrames; ++frame) {
    std::reverse(clip.q.begin() + 29 * frame, clip.q.begin() + 29 * (frame + 1));
  }
  EXPECT_TRUE(found(examine(clip)).empty());
  const Clip mended = Doctor(*g1()).mend(clip).clip;
  EXPECT_EQ(mended.joint_names, g1()->joint_names);
  EXPECT_NEAR(mended.q[29 * 50 + 3], walk_clip().q[29 * 50 + 3], 1e-12);
}

// heights of the lowest sole point, by MuJoCo alone
std::vector<double> sole_heights(const Clip& clip) {
  const ModelPtr model = g1_plain_model();
  const DataPtr data(mj_makeData(model.get()));
  std::vector<double> heights;
  for (int frame = 0; frame < clip.frames(); ++frame) {
    std::copy_n(&clip.root_pos[3 * frame], 3, data->qpos);
    std::copy_n(&clip.root_quat[4 * frame], 4, data->qpos + 3);
    std::copy_n(&clip.q[29 * frame], 29, data->qpos + 7);
    mj_kinematics(model.get(), data.get());
    heights.push_back(lowest_sole(model.get(), data.get()));
  }
  return heights;
}

TEST(Doctor, MendsWhatCanBeMended) {
  Clip clip = lifted(60, 140, 0.12);
  for (int frame = 180; frame < 240; ++frame) clip.root_pos[3 * frame + 2] -= 0.07;
  for (int frame = 0; frame < kFrames; ++frame) clip.root_pos[3 * frame + 2] += 1.5;
  clip.q[29 * 3 + 5] = kNaN;
  for (int i = -20; i <= 20; ++i) clip.q[29 * (200 + i) + 28] = 1.8 * (1 - std::abs(i) / 20.0);
  const Mended mended = Doctor(*g1()).mend(clip);
  EXPECT_EQ(mended.clip.frames(), kFrames - 4);
  EXPECT_EQ(mended.done.size(), 3u);
  EXPECT_TRUE(found(examine(mended.clip)).empty()) << found(examine(mended.clip)).at(0).reason;
  for (const double height : sole_heights(mended.clip)) {
    EXPECT_GT(height, -1e-6);
    EXPECT_LT(height, 0.08);
  }
  EXPECT_NEAR(mended.clip.q[29 * 196 + 28], 1.61443, 1e-4) << "the end of its range";
  EXPECT_EQ(mended.clip.q[29 * 100 + 3], clip.q[29 * 104 + 3]) << "the rest is as it was";
  EXPECT_EQ(mended.clip.root_pos[3 * 100], clip.root_pos[3 * 104]);
}

TEST(Doctor, DoesNotMendWhatIsTooShort) {
  Clip clip = walk_clip();
  for (int frame = 0; frame < kFrames; frame += 90) clip.root_pos[3 * frame] = kNaN;
  EXPECT_FALSE(examine(clip).usable);
  const std::string error = error_of([&] { Doctor(*g1()).mend(clip); });
  EXPECT_NE(error.find("less than 2 s are usable (1 values that are not finite in frame 0)"),
            std::string::npos)
      << error;
}

TEST(Doctor, RefusesAClipOfWrongShape) {
  Clip clip = walk_clip();
  clip.root_quat.pop_back();
  EXPECT_NE(error_of([&] { examine(clip); }).find("differ in length"), std::string::npos);
  clip = walk_clip();
  clip.qd = {1, 2, 3};
  EXPECT_NE(error_of([&] { examine(clip); }).find("differ in length"), std::string::npos);
}

}  // namespace
}  // namespace twist
