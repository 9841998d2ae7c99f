#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "motion/clips.h"
#include "walk_exam.h"

namespace twist {
namespace {

constexpr double kYawRate = 0.4, kSpeed = 0.5;  // rad/s, m/s along world x

double angle_at(int joint, double time) {
  return g1()->q_default[joint] + (0.02 + 0.002 * joint) * (time - 0.5);
}

double slope_of(int joint) { return 0.02 + 0.002 * joint; }

// A slow motion at 30 fps that is linear in time, with the joints in reverse order and one that the
// robot lacks.
Clip linear_clip(int frames = 61) {
  Clip clip{"slow", 30, {}, {}, {}, {}};
  for (int i = 28; i >= 0; --i) clip.joint_names.push_back(g1()->joint_names[i]);
  clip.joint_names.insert(clip.joint_names.begin() + 3, "tail_joint");
  for (int frame = 0; frame < frames; ++frame) {
    const double time = frame / 30.0, half_yaw = 0.5 * kYawRate * time;
    clip.root_pos.insert(clip.root_pos.end(), {1 + kSpeed * time, -2, 0.9});
    // q and -q are the same rotation
    const double sign = frame % 7 == 3 ? -1 : 1;
    clip.root_quat.insert(clip.root_quat.end(),
                          {sign * std::cos(half_yaw), 0, 0, sign * std::sin(half_yaw)});
    for (const auto& name : clip.joint_names) {
      clip.q.push_back(name == "tail_joint" ? 1e6 : angle_at(g1()->joint_index(name), time));
    }
  }
  return clip;
}

Trajectories load(const Clip& clip) { return clip_trajectories(*g1(), {clip}); }

TEST(Clips, ResamplesToFiftyHertzAndMapsJointsByName) {
  const Trajectories motion = load(linear_clip());
  ASSERT_EQ(motion.lengths[0], 101);  // two seconds
  for (int frame = 0; frame <= 100; ++frame) {
    for (int joint = 0; joint < 29; ++joint) {
      ASSERT_NEAR(motion.row(0, frame)[joint], angle_at(joint, 0.02 * frame), 1e-6);
      ASSERT_NEAR(motion.row(0, frame)[29 + joint], slope_of(joint), 1e-4);
    }
  }
}

TEST(Clips, RootVelocityIsThatOfTheHeadingFrame) {
  const Trajectories motion = load(linear_clip());
  const FrameLayout layout{29};
  for (int frame = 0; frame <= 100; ++frame) {
    const float* row = motion.row(0, frame);
    const double yaw = kYawRate * 0.02 * frame;
    ASSERT_NEAR(row[layout.lin_vel()], kSpeed * std::cos(yaw), 1e-4) << frame;
    ASSERT_NEAR(row[layout.lin_vel() + 1], -kSpeed * std::sin(yaw), 1e-4) << frame;
    // the pelvis rises and sinks so that the lower sole stays on the floor
    const int before = std::max(0, frame - 1), after = std::min(100, frame + 1);
    const double rise =
        motion.row(0, after)[layout.height()] - motion.row(0, before)[layout.height()];
    ASSERT_NEAR(row[layout.lin_vel() + 2], rise / (0.02 * (after - before)), 1e-4);
    ASSERT_NEAR(row[layout.ang_vel()], 0, 1e-4);
    ASSERT_NEAR(row[layout.ang_vel() + 1], 0, 1e-4);
    ASSERT_NEAR(row[layout.ang_vel() + 2], kYawRate, 1e-3) << frame;
    ASSERT_NEAR(row[layout.gravity() + 2], -1, 1e-6);
  }
}

TEST(Clips, CommandIsTheMeanVelocityOfASecond) {
  const Trajectories motion = load(linear_clip());
  double vx = 0, vy = 0;
  for (int frame = 25; frame <= 75; ++frame) {
    vx += kSpeed * std::cos(kYawRate * 0.02 * frame) / 51;
    vy -= kSpeed * std::sin(kYawRate * 0.02 * frame) / 51;
  }
  EXPECT_NEAR(motion.command(0, 50)[0], vx, 1e-4);
  EXPECT_NEAR(motion.command(0, 50)[1], vy, 1e-4);
  EXPECT_NEAR(motion.command(0, 50)[2], kYawRate, 1e-3);
  EXPECT_TRUE(motion.is_recorded(0));
}

TEST(Clips, TiltBecomesProjectedGravity) {
  Clip clip = linear_clip();
  // rolled by 0.3 rad about x, then pitched by nothing and yawed by nothing
  for (std::size_t frame = 0; frame < clip.root_quat.size() / 4; ++frame) {
    const double quat[4] = {std::cos(0.15), std::sin(0.15), 0, 0};
    std::copy_n(quat, 4, &clip.root_quat[4 * frame]);
  }
  const float* row = load(clip).row(0, 40);
  const FrameLayout layout{29};
  EXPECT_NEAR(row[layout.gravity()], 0, 1e-6);
  EXPECT_NEAR(row[layout.gravity() + 1], -std::sin(0.3), 1e-6);
  EXPECT_NEAR(row[layout.gravity() + 2], -std::cos(0.3), 1e-6);
}

TEST(Clips, FeetAreGrounded) {
  const Trajectories motion = load(linear_clip());
  const WalkExam exam(motion, 0);
  for (int frame = 0; frame < exam.frames(); ++frame) {
    ASSERT_GT(exam.lowest(frame), -0.0051) << frame;
    ASSERT_LT(exam.lowest(frame), 0.02) << frame;
    ASSERT_NEAR(exam.share(frame, 0) + exam.share(frame, 1), 1, 1e-6);
  }
}

TEST(Clips, KeepsTheContactsOfAWalk) {
  // our own walk as a recording: world positions integrated from it
  const Trajectories walk = g1_motion(stand_then({{0.5, 0, 0}}, 20, 200));
  Clip clip{"walk", 50, g1()->joint_names, {}, {}, {}};
  double x = 0, y = 0;
  for (int frame = 0; frame < 200; ++frame) {
    const float* row = walk.row(0, frame);
    clip.root_pos.insert(clip.root_pos.end(), {x, y, row[58] + 0.4});
    clip.root_quat.insert(clip.root_quat.end(), {1, 0, 0, 0});
    clip.q.insert(clip.q.end(), row, row + 29);
    x += 0.02 * row[62];
    y += 0.02 * row[63];
  }
  const Trajectories motion = load(clip);
  int same = 0;
  for (int frame = 0; frame < 200; ++frame) {
    for (int side = 0; side < 2; ++side) {
      same += std::abs(motion.row(0, frame)[68 + side] - walk.row(0, frame)[68 + side]) < 0.5;
    }
  }
  EXPECT_GT(same, 0.85 * 400);
  EXPECT_NEAR(motion.command(0, 150)[0], 0.5, 0.05);
}

TEST(Clips, ClipsOfDifferentLengthBecomeStreams) {
  const Trajectories motion = clip_trajectories(*g1(), {linear_clip(31), linear_clip(61)});
  EXPECT_EQ(motion.streams, 2);
  EXPECT_EQ(motion.lengths, (std::vector<int>{51, 101}));
  EXPECT_EQ(motion.frames, 101);
}

// what is said about a clip; always with its name
std::string complaint(const Clip& clip) {
  const std::string error = error_of([&] { load(clip); });
  EXPECT_NE(error.find("clip 'slow'"), std::string::npos) << error;
  return error;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Clips, SayWhatIsWrong) {
  Clip clip = linear_clip();
  clip.fps = 0;
  EXPECT_TRUE(contains(complaint(clip), "fps is 0")) << complaint(clip);

  EXPECT_TRUE(contains(complaint(linear_clip(9)), "9 frames")) << complaint(linear_clip(9));

  clip = linear_clip();
  clip.root_quat.pop_back();
  EXPECT_TRUE(contains(complaint(clip), "differ in length")) << complaint(clip);
  clip = linear_clip();
  clip.q.pop_back();
  EXPECT_TRUE(contains(complaint(clip), "differ in length")) << complaint(clip);

  clip = linear_clip();
  clip.q[40] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(contains(complaint(clip), "not finite")) << complaint(clip);
}

TEST(Clips, NameTheJointThatIsMissingOrGivenTwice) {
  Clip clip = linear_clip();
  std::replace(clip.joint_names.begin(), clip.joint_names.end(), std::string("left_knee_joint"),
               std::string("left_knee"));
  EXPECT_TRUE(contains(complaint(clip), "'left_knee_joint'")) << complaint(clip);
  EXPECT_TRUE(contains(complaint(clip), "tail_joint")) << "lists what there is";

  clip = linear_clip();
  std::replace(clip.joint_names.begin(), clip.joint_names.end(), std::string("tail_joint"),
               std::string("left_knee_joint"));
  EXPECT_TRUE(contains(complaint(clip), "'left_knee_joint'")) << complaint(clip);
}

}  // namespace
}  // namespace twist
