#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "base/random.h"
#include "env/observation.h"
#include "hand_made_step.h"
#include "walking_env.h"

namespace twist {
namespace {

std::vector<float> observe(HandMadeStep& step) {
  const ObservationLayout layout(*g1());
  std::vector<float> out(layout.width());
  layout.fill(step.view(), out.data());
  return out;
}

// everything differs from everything, so that an exchange shows
HandMadeStep disturbed() {
  HandMadeStep s;
  Random random(1, 0, 0, Purpose::kReset);
  for (int i = 0; i < 29; ++i) {
    s.q[i] += random.uniform(-0.3, 0.3);
    s.qd[i] += random.uniform(-3, 3);
  }
  for (float& a : s.action) a = static_cast<float>(random.normal());
  s.body.gravity = Vec3(0.1, -0.2, -0.97);
  s.body.gyro = Vec3(0.3, -0.4, 0.5);
  s.body.lin_vel = Vec3(0.9, 0.3, -0.1);
  s.body.drift = Vec3(0.15, -0.25, 0.35);
  s.body.height = 0.7;
  s.body.feet[0] += Vec3(0.01, 0.02, 0.03);
  s.body.feet[1] += Vec3(-0.04, 0.05, -0.06);
  s.body.load[1] = 5.5;
  return s;
}

void expect_near(const std::vector<float>& values, const std::vector<double>& expected) {
  ASSERT_EQ(values.size(), expected.size());
  for (std::size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(values[i], expected[i], 1e-5) << i;
}

TEST(Observation, FillsExactlyItsDeclaredWidth) {
  const ObservationLayout layout(*g1());
  HandMadeStep step = disturbed();
  std::vector<float> out(layout.width() + 8, NAN);
  layout.fill(step.view(), out.data());
  for (int i = 0; i < layout.width(); ++i) EXPECT_TRUE(std::isfinite(out[i])) << i;
  for (int i = layout.width(); i < layout.width() + 8; ++i) EXPECT_TRUE(std::isnan(out[i])) << i;

  // each block by itself, too
  std::set<std::string> names;
  int sum = 0;
  for (const ObservationBlock& b : layout.blocks()) {
    std::vector<float> part(b.width + 1, NAN);
    b.fill(step.view(), part.data());
    EXPECT_EQ(std::count_if(part.begin(), part.end(), [](float x) { return std::isnan(x); }), 1)
        << b.name;
    EXPECT_TRUE(names.insert(b.name).second) << b.name << " is there twice";
    sum += b.width;
  }
  EXPECT_EQ(sum, layout.width());
}

TEST(Observation, BlocksByHand) {
  HandMadeStep s = disturbed();
  const std::vector<float> o = observe(s);
  expect_near(block_of(o, "command"), {0.5, -0.2, 0.3});
  expect_near(block_of(o, "gravity"), {0.1, -0.2, -0.97});
  expect_near(block_of(o, "gyro"), {0.3, -0.4, 0.5});
  expect_near(block_of(o, "lin_vel"), {0.9, 0.3, -0.1});
  expect_near(block_of(o, "lin_vel_error"), {0.4, 0.55, -0.225});
  expect_near(block_of(o, "drift"), {0.15, -0.25, 0.35});
  expect_near(block_of(o, "height_error"), {-0.05});
  expect_near(block_of(o, "foot_error"), {0.05, 0.1, 0.15, -0.2, 0.25, -0.3});
  expect_near(block_of(o, "planned_contact"), {1, 0});
  expect_near(block_of(o, "planned_contact_ahead"), {0.25, 0.75});
  expect_near(block_of(o, "measured_contact"), {1, 1});
  for (int i = 0; i < 29; ++i) {
    EXPECT_NEAR(block_of(o, "joint_error")[i], s.q[i] - s.frame[i], 1e-6);
    EXPECT_NEAR(block_of(o, "joint_velocity_error")[i], 0.1 * (s.qd[i] - s.frame[29 + i]), 1e-6);
  }
  for (int i = 0; i < 12; ++i) {  // the first twelve joints are the legs
    EXPECT_NEAR(block_of(o, "reference_legs")[i], 0.25 + i / 64.0 - g1()->q_default[i], 1e-6);
    EXPECT_NEAR(block_of(o, "reference_legs_ahead")[i], 0.75 + i / 64.0 - g1()->q_default[i], 1e-6);
    EXPECT_NEAR(block_of(o, "reference_leg_velocity")[i], 0.1 * (1 - i / 8.0), 1e-6);
  }
  EXPECT_EQ(block_of(o, "last_action"), s.action);
}

TEST(Observation, MirrorTwiceIsTheIdentity) {
  const ObservationLayout layout(*g1());
  ASSERT_EQ(static_cast<int>(layout.mirror_source.size()), layout.width());
  int moved = 0, negated = 0;
  for (int i = 0; i < layout.width(); ++i) {
    const int source = layout.mirror_source[i];
    ASSERT_TRUE(source >= 0 && source < layout.width());
    EXPECT_EQ(layout.mirror_source[source], i);
    EXPECT_EQ(layout.mirror_sign[i] * layout.mirror_sign[source], 1.0f);
    moved += source != i;
    negated += layout.mirror_sign[i] < 0;
  }
  EXPECT_GT(moved, 100);
  EXPECT_GT(negated, 50);
}

TEST(Observation, MirrorMapIsThatOfAReflectedBody) {
  HandMadeStep s = disturbed();
  const std::vector<float> original = observe(s);

  // reflect by what the quantities are: left and right change places, y changes its sign, for
  // rotations x and z
  HandMadeStep m = disturbed();
  const auto polar = [](const Vec3& v) { return Vec3(v.x(), -v.y(), v.z()); };
  const auto axial = [](const Vec3& v) { return Vec3(-v.x(), v.y(), -v.z()); };
  const auto other = [](int joint) {
    std::string name = g1()->joint_names[joint];
    if (name.starts_with("left_")) return g1()->joint_index("right_" + name.substr(5));
    if (name.starts_with("right_")) return g1()->joint_index("left_" + name.substr(6));
    return joint;
  };
  const auto sign = [](int joint) {
    const std::string& name = g1()->joint_names[joint];
    return name.find("pitch") != std::string::npos || name.find("knee") != std::string::npos ||
                   name.find("elbow") != std::string::npos
               ? 1
               : -1;
  };
  for (int i = 0; i < 29; ++i) {
    m.q[i] = sign(i) * s.q[other(i)];
    m.qd[i] = sign(i) * s.qd[other(i)];
    m.frame_ahead[i] = sign(i) * s.frame_ahead[other(i)];
  }
  mirror_frame(g1()->mirror_joint, g1()->mirror_sign, s.frame.data(), m.frame.data());
  std::swap(m.frame_ahead[m.layout.contact()], m.frame_ahead[m.layout.contact() + 1]);
  m.command = {s.command[0], -s.command[1], -s.command[2]};
  m.body.gravity = polar(s.body.gravity);
  m.body.gyro = axial(s.body.gyro);
  m.body.lin_vel = polar(s.body.lin_vel);
  m.body.drift = {s.body.drift.x(), -s.body.drift.y(), -s.body.drift.z()};
  for (int side = 0; side < 2; ++side) {
    m.body.feet[side] = polar(s.body.feet[1 - side]);
    m.body.load[side] = s.body.load[1 - side];
    for (int axis = 0; axis < 3; ++axis) {
      m.feet[3 * side + axis] = (axis == 1 ? -1 : 1) * s.feet[3 * (1 - side) + axis];
    }
  }
  for (int i = 0; i < g1()->num_actions(); ++i) {
    const auto& acted = g1()->acted_joints;
    const auto place = std::find(acted.begin(), acted.end(), other(acted[i])) - acted.begin();
    m.action[i] = sign(acted[i]) * s.action[place];
  }

  const ObservationLayout layout(*g1());
  const std::vector<float> reflected = observe(m);
  for (int i = 0; i < layout.width(); ++i) {
    EXPECT_NEAR(layout.mirror_sign[i] * original[layout.mirror_source[i]], reflected[i], 1e-6) << i;
  }
  std::vector<int> source;
  std::vector<float> action_sign;
  action_mirror(*g1(), 0, &source, &action_sign);
  for (std::size_t i = 0; i < s.action.size(); ++i) {
    EXPECT_EQ(action_sign[i] * s.action[source[i]], m.action[i]);
  }
}

}  // namespace
}  // namespace twist
