#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <regex>
#include <sstream>

#include "base/error.h"
#include "base/robot.h"
#include "g1.h"

namespace twist {
namespace {

bool mentions(const std::string& text, const std::vector<std::string>& parts) {
  for (const auto& part : parts) {
    if (text.find(part) == std::string::npos) return false;
  }
  return true;
}

// what the constructor says about these settings
std::string complaint(const RobotSettings& settings) {
  return error_of([&] { Robot robot(settings); });
}

// settings whose model file has every match of `pattern` replaced
RobotSettings with_model(const std::string& pattern, const std::string& replacement) {
  RobotSettings settings = g1_settings();
  std::stringstream text;
  text << std::ifstream(settings.mjcf).rdbuf();
  const std::string changed = std::regex_replace(text.str(), std::regex(pattern), replacement);
  EXPECT_NE(changed, text.str()) << pattern;
  settings.mjcf = testing::TempDir() + "twist_test_robot_" + std::to_string(getpid()) + ".xml";
  std::ofstream(settings.mjcf) << changed;
  return settings;
}

TEST(Robot, HasTheJointsInTheOrderOfTheModel) {
  const ModelPtr model = g1_plain_model();
  ASSERT_EQ(g1()->num_joints(), 29);
  for (int joint = 0; joint < 29; ++joint) {
    EXPECT_EQ(mj_name2id(model.get(), mjOBJ_JOINT, g1()->joint_names[joint].c_str()), joint + 1);
    EXPECT_EQ(g1()->lower[joint], model->jnt_range[2 * (joint + 1)]);
    EXPECT_EQ(g1()->upper[joint], model->jnt_range[2 * (joint + 1) + 1]);
    EXPECT_EQ(g1()->effort[joint], model->actuator_forcerange[2 * joint + 1]);
    EXPECT_EQ(g1()->joint_index(g1()->joint_names[joint]), joint);
  }
  EXPECT_NEAR(g1()->total_mass, 33.34, 2e-3);
}

TEST(Robot, GainsFollowFromArmatureFrequencyAndDamping) {
  // the published figures of this robot at 10 Hz and damping ratio 2
  const int hip = g1()->joint_index("left_hip_pitch_joint"),
            knee = g1()->joint_index("left_knee_joint");
  EXPECT_NEAR(g1()->kp[hip], 40.18, 5e-3);
  EXPECT_NEAR(g1()->kd[hip], 2.558, 5e-4);
  EXPECT_NEAR(g1()->kp[knee], 99.10, 5e-3);
  EXPECT_NEAR(g1()->kd[knee], 6.309, 5e-4);

  RobotSettings settings = g1_settings();
  settings.natural_frequency_hz = 5;
  settings.damping_ratio = 1;
  const Robot soft(settings);
  for (int joint = 0; joint < 29; ++joint) {
    EXPECT_NEAR(soft.kp[joint], g1()->kp[joint] / 4, 1e-9);
    EXPECT_NEAR(soft.kd[joint], g1()->kd[joint] / 4, 1e-9);
  }
}

TEST(Robot, ModelCarriesTheGainsAndTheSimulationSettings) {
  RobotSettings settings = g1_settings();
  settings.natural_frequency_hz = 7;
  const Robot robot(settings);
  SimSettings sim;
  sim.timestep = 0.004;
  sim.decimation = 5;
  sim.iterations = 8;
  sim.friction = 0.33;
  const ModelPtr model = robot.make_model(sim);
  EXPECT_EQ(model->opt.timestep, 0.004);
  EXPECT_EQ(model->opt.iterations, 8);
  for (int joint = 0; joint < robot.num_joints(); ++joint) {
    EXPECT_EQ(model->actuator_gainprm[mjNGAIN * joint], robot.kp[joint]);
    EXPECT_EQ(model->actuator_biasprm[mjNBIAS * joint], 0);
    EXPECT_EQ(model->actuator_biasprm[mjNBIAS * joint + 1], -robot.kp[joint]);
    EXPECT_EQ(model->actuator_biasprm[mjNBIAS * joint + 2], -robot.kd[joint]);
  }
  for (int side = 0; side < 2; ++side) {
    for (const int geom : sole_spheres(model.get(), side)) {
      EXPECT_EQ(model->geom_friction[3 * geom], 0.33);
    }
  }
}

TEST(Robot, TrainingModelHasSolesAndFloorOnlyAndTheFullOneMore) {
  SimSettings sim;
  const ModelPtr feet = g1()->make_model(sim);
  EXPECT_EQ(feet->ngeom, 9);
  sim.collision = "full";
  const ModelPtr full = g1()->make_model(sim);
  EXPECT_GT(full->ngeom, 9 + 10);
  EXPECT_NEAR(mj_getTotalmass(feet.get()), mj_getTotalmass(full.get()), 1e-12);
}

TEST(Robot, ControlStepMustBeFiftyHertz) {
  SimSettings sim;
  sim.timestep = 0.005;
  sim.decimation = 3;
  const std::string error = error_of([&] { g1()->make_model(sim); });
  EXPECT_TRUE(mentions(error, {"0.02", "0.005", "3"})) << error;
}

TEST(Robot, ActionScalesByHand) {
  EXPECT_EQ(g1()->num_actions(), 15);
  for (int i = 0; i < g1()->num_actions(); ++i) {
    const int joint = g1()->acted_joints[i];
    const std::string& name = g1()->joint_names[joint];
    for (const char* still : {"shoulder", "elbow", "wrist"})
      EXPECT_EQ(name.find(still), std::string::npos) << name;
    double expected = -1;
    if (name.find("knee") != std::string::npos) expected = 0.25 * 139 / 99.0984475;
    if (name.find("hip_pitch") != std::string::npos) expected = 0.25 * 88 / 40.1792385;
    if (name.find("ankle") != std::string::npos) expected = 0.25 * 50 / 28.5012462;
    if (name.find("waist_yaw") != std::string::npos) expected = 0.5 * 0.25 * 88 / 40.1792385;
    if (expected > 0) {
      EXPECT_NEAR(g1()->action_scale[i], expected, 1e-6) << name;
    }
  }
}

TEST(Robot, AWholeJointNameBeatsAPartOfIt) {
  RobotSettings settings = g1_settings();
  settings.action_scale["left_knee_joint"] = 0.5;
  const Robot robot(settings);
  const auto scale_of = [&](const char* name) {
    const auto& acted = robot.acted_joints;
    const auto place = std::find(acted.begin(), acted.end(), robot.joint_index(name));
    return robot.action_scale[place - acted.begin()];
  };
  EXPECT_NEAR(scale_of("left_knee_joint"), 0.5 * scale_of("right_knee_joint"), 1e-12);

  settings.action_scale.erase("elbow");
  EXPECT_TRUE(mentions(complaint(settings), {"left_elbow_joint"})) << complaint(settings);
}

TEST(Robot, MirrorTwiceIsTheIdentity) {
  int pairs = 0;
  for (int joint = 0; joint < 29; ++joint) {
    const int other = g1()->mirror_joint[joint];
    EXPECT_EQ(g1()->mirror_joint[other], joint);
    EXPECT_EQ(g1()->mirror_sign[joint] * g1()->mirror_sign[other], 1.0);
    pairs += other != joint;

    // left goes to right, and the limits go along
    std::string name = g1()->joint_names[joint];
    if (name.starts_with("left_")) {
      EXPECT_EQ(g1()->joint_names[other], "right_" + name.substr(5));
    }
    const double sign = g1()->mirror_sign[joint];
    EXPECT_NEAR(g1()->lower[joint], std::min(sign * g1()->lower[other], sign * g1()->upper[other]),
                1e-9);
    EXPECT_NEAR(g1()->kp[joint], g1()->kp[other], 1e-12);
  }
  EXPECT_EQ(pairs, 26);
}

TEST(Robot, LegsRunFromHipToAnkle) {
  const char* order[] = {"hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll"};
  for (int side = 0; side < 2; ++side) {
    ASSERT_EQ(g1()->leg_joints[side].size(), 6u);
    for (int i = 0; i < 6; ++i) {
      const int joint = g1()->leg_joints[side][i];
      EXPECT_EQ(g1()->joint_names[joint],
                (side == 0 ? "left_" : "right_") + std::string(order[i]) + "_joint");
      EXPECT_TRUE(g1()->in_leg[joint]);
    }
  }
  EXPECT_EQ(std::count(g1()->in_leg.begin(), g1()->in_leg.end(), true), 12);
}

TEST(Robot, KnowsTheJointsOfAnklesAndWaist) {
  const auto names = [](const std::vector<int>& joints) {
    std::vector<std::string> names;
    for (const int joint : joints) names.push_back(g1()->joint_names[joint]);
    return names;
  };
  EXPECT_EQ(names(g1()->ankle_joints),
            (std::vector<std::string>{"left_ankle_pitch_joint", "left_ankle_roll_joint",
                                      "right_ankle_pitch_joint", "right_ankle_roll_joint"}));
  EXPECT_EQ(names(g1()->waist_joints),
            (std::vector<std::string>{"waist_roll_joint", "waist_pitch_joint"}));
}

TEST(Robot, NamesTheJointOfTheDefaultPoseThatIsMissing) {
  RobotSettings settings = g1_settings();
  settings.default_pose["left_tail_joint"] = 0.1;
  EXPECT_TRUE(mentions(complaint(settings), {"left_tail_joint", "left_knee_joint", "g1_29dof"}))
      << complaint(settings);

  settings = g1_settings();
  settings.default_pose["left_knee_joint"] = 3.0;
  EXPECT_TRUE(mentions(complaint(settings), {"left_knee_joint", "3", "2.8798"}))
      << complaint(settings);
}

TEST(Robot, NamesTheJointThatTheModelLacks) {
  const std::string error = complaint(with_model("\"left_knee_joint\"", "\"left_hinge\""));
  EXPECT_TRUE(mentions(error, {"left_knee_joint", "left_hinge"})) << error;
}

TEST(Robot, NamesTheJointWithoutActuator) {
  // the key frame counts the actuators, so it goes too
  const std::string error =
      complaint(with_model("<position name=\"left_knee_joint\"[^>]*>|<key [^>]*>", ""));
  EXPECT_TRUE(mentions(error, {"left_knee_joint", "actuator"})) << error;
}

TEST(Robot, NamesTheBodyThatIsMissing) {
  RobotSettings settings = g1_settings();
  settings.feet[1] = "right_hoof";
  EXPECT_TRUE(mentions(complaint(settings), {"right_hoof", "right_ankle_roll_link"}));
  settings = g1_settings();
  settings.key_bodies.push_back("tail");
  EXPECT_TRUE(mentions(complaint(settings), {"key", "tail"}));
  settings = g1_settings();
  settings.feet.pop_back();
  EXPECT_TRUE(mentions(complaint(settings), {"feet"}));
}

TEST(Robot, NamesTheModelFileThatIsMissingOrBroken) {
  RobotSettings settings = g1_settings();
  settings.mjcf = "/nowhere/robot.xml";
  EXPECT_TRUE(mentions(complaint(settings), {"/nowhere/robot.xml"}));
  settings = with_model("</worldbody>", "<worldbody>");
  EXPECT_TRUE(mentions(complaint(settings), {settings.mjcf})) << complaint(settings);
}

}  // namespace
}  // namespace twist
