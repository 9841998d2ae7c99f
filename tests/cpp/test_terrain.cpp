#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "env/terrain.h"
#include "walking_env.h"

namespace twist {
namespace {

TerrainSettings ground(const std::string& kind) {
  TerrainSettings s;
  s.kind = kind;
  s.size = 24;
  return s;
}

// MuJoCo's own idea of the floor: rays from above on the compiled model
class RayFloor {
 public:
  RayFloor(const TerrainSettings& settings, double difficulty) {
    const Terrain terrain(settings);
    model_ = g1()->make_model({}, [&](mjSpec* spec) { terrain.add_to(spec); });
    terrain.set_difficulty(difficulty, model_.get());
    data_.reset(mj_makeData(model_.get()));
    data_->qpos[0] = 1000;
    mj_forward(model_.get(), data_.get());
  }

  double height(double x, double y) const {
    const mjtNum from[3] = {x, y, 10}, down[3] = {0, 0, -1};
    int geom = -1;
    const double distance =
        mj_ray(model_.get(), data_.get(), from, down, nullptr, 1, -1, &geom, nullptr);
    EXPECT_EQ(geom, mj_name2id(model_.get(), mjOBJ_GEOM, "floor"));
    return 10 - distance;
  }

  // distance of every sole sphere from the floor below it, for generalised positions
  std::vector<double> sole_gaps(const double* qpos) {
    std::copy_n(qpos, model_->nq, data_->qpos);
    mj_kinematics(model_.get(), data_.get());
    std::vector<double> gaps;
    std::vector<Vec3> soles;
    for (const int side : {0, 1}) {
      for (const int geom : sole_spheres(model_.get(), side)) {
        soles.push_back(Eigen::Map<const Vec3>(data_->geom_xpos + 3 * geom));
        soles.back().z() -= model_->geom_size[3 * geom];
      }
    }
    data_->qpos[0] = 1000;  // out of the way of the rays
    mj_kinematics(model_.get(), data_.get());
    for (const Vec3& sole : soles) gaps.push_back(sole.z() - height(sole.x(), sole.y()));
    return gaps;
  }

  double lowest_sole(const double* qpos) {
    const std::vector<double> gaps = sole_gaps(qpos);
    return *std::min_element(gaps.begin(), gaps.end());
  }

 private:
  ModelPtr model_;
  DataPtr data_;
};

class Kinds : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Terrain, Kinds, testing::Values("rough", "slopes", "steps"));

TEST_P(Kinds, HeightsAreThoseThatRaysFind) {
  const TerrainSettings settings = ground(GetParam());
  const Terrain terrain(settings);
  Random random(1, 0, 0, Purpose::kTerrain);
  for (const double difficulty : {0.0, 0.3, 1.0}) {
    const RayFloor floor(settings, difficulty);
    double least = 1, most = 0;
    for (int i = 0; i < 1000; ++i) {
      // on the lines between the points of the grid, where the floor is the same however the cells
      // are cut into triangles
      double x = 0.1 * (random.index(239) - 119), y = random.uniform(-11.9, 11.9);
      if (i % 2) std::swap(x, y);
      const double height = floor.height(x + 1e-7, y + 1e-7);
      ASSERT_NEAR(terrain.height(difficulty, x, y), height, 2e-6) << x << " " << y;
      least = std::min(least, height);
      most = std::max(most, height);
    }
    // half a ridge of slopes is 4 m long
    const double range = std::string(GetParam()) == "slopes" ? 4 * std::tan(8 * M_PI / 180) : 0.05;
    const double highest = std::max(1e-4, difficulty * range);  // MuJoCo's are never quite flat
    EXPECT_NEAR(least, 0, 0.1 * highest);
    EXPECT_NEAR(most, highest, 0.1 * highest);
  }
}

TEST_P(Kinds, HeightsBetweenThePointsOfTheGridAreNearlyThose) {
  // a cell that is not plane is two triangles for MuJoCo
  const TerrainSettings settings = ground(GetParam());
  const Terrain terrain(settings);
  const RayFloor floor(settings, 1);
  Random random(2, 0, 0, Purpose::kTerrain);
  int differ = 0;
  for (int i = 0; i < 2000; ++i) {
    const double x = random.uniform(-11.9, 11.9), y = random.uniform(-11.9, 11.9);
    differ += std::abs(terrain.height(1, x, y) - floor.height(x, y)) > 2e-3;
  }
  EXPECT_LE(differ, std::string(GetParam()) == "steps" ? 20 : 0)  // where four plateaus meet
      << "of 2000";
}

TEST(Terrain, RoughIsARandomHeightEvery40Centimetres) {
  const Terrain terrain(ground("rough")), again(ground("rough"));
  double mean = 0, square = 0, product = 0, bend = 0;
  const int n = 58;
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) {
      const double x = -12 + 0.4 * j, y = -12 + 0.4 * i;
      const double here = terrain.height(1, x, y) / 0.05,
                   next = terrain.height(1, x + 0.4, y) / 0.05;
      mean += here / (n * n);
      square += std::pow(here - 0.5, 2) / (n * n);
      product += (here - 0.5) * (next - 0.5) / (n * n);
      const double middle = terrain.height(1, x + 0.2, y) / 0.05;
      bend = std::max(bend, std::abs(middle - 0.5 * (here + next)));
      EXPECT_EQ(terrain.height(1, x, y), again.height(1, x, y));
    }
  }
  EXPECT_NEAR(mean, 0.5, 0.02);
  EXPECT_NEAR(square, 1 / 12.0, 0.005) << "uniform";
  EXPECT_NEAR(product, 0, 0.005) << "independent";
  EXPECT_LT(bend, 1e-5) << "straight between";
}

TEST(Terrain, SlopesHaveTheirAngleUpAndDownInTurn) {
  TerrainSettings settings = ground("slopes");
  settings.slope_deg = 10;
  const Terrain terrain(settings);
  double uphill = 0, downhill = 0;
  for (int i = 1; i < 239; ++i) {
    const double x = -12 + 0.1 * i;
    const double rise = (terrain.height(0.5, x + 0.1, 3) - terrain.height(0.5, x, 3)) / 0.1;
    EXPECT_NEAR(std::abs(rise), 0.5 * std::tan(10 * M_PI / 180), 1e-4) << x;
    (rise > 0 ? uphill : downhill) += 0.1;
    EXPECT_NEAR(terrain.height(0.5, x, 3), terrain.height(0.5, x, -7), 1e-7) << "straight ridges";
  }
  EXPECT_NEAR(uphill, 12, 0.2);
  EXPECT_NEAR(downhill, 12, 0.2);
}

TEST(Terrain, StepsAreSingleStepsBetweenSquarePlateaus) {
  TerrainSettings settings = ground("steps");
  settings.height = 0.12;
  const Terrain terrain(settings);
  for (int i = 0; i < 10; ++i) {
    for (int j = 0; j < 10; ++j) {
      const double x = -12 + 2.4 * (j + 0.5), y = -12 + 2.4 * (i + 0.5);
      const double expected = (i + j) % 2 ? 0.12 : 0;
      for (const double d : {-1.0, 0.0, 1.0}) {
        EXPECT_NEAR(terrain.height(1, x + d, y), expected, 1e-7) << i << " " << j;
        EXPECT_NEAR(terrain.height(1, x, y + d), expected, 1e-7) << i << " " << j;
      }
    }
  }
}

TEST(Terrain, FlatChangesNothing) {
  const Terrain flat(TerrainSettings{});
  EXPECT_TRUE(flat.is_flat());
  const ModelPtr plain = g1()->make_model({});
  const ModelPtr model = g1()->make_model({}, [&](mjSpec* spec) { flat.add_to(spec); });
  flat.set_difficulty(1, model.get());
  const auto bytes = [](const mjModel* m) {
    std::vector<char> buffer(mj_sizeModel(m));
    mj_saveModel(m, nullptr, buffer.data(), static_cast<int>(buffer.size()));
    return buffer;
  };
  EXPECT_EQ(bytes(plain.get()), bytes(model.get()));
  EXPECT_EQ(flat.height(1, 3, 4), 0);

  // all places are alike: no random number is used
  Random random(1, 0, 0, Purpose::kReset), twin(1, 0, 0, Purpose::kReset);
  EXPECT_EQ(flat.start(random), Vec3(0, 0, 0));
  EXPECT_EQ(random.bits(), twin.bits());
}

TEST(Terrain, StartsNearTheMiddleInAnyDirection) {
  const Terrain wide(ground("rough"));
  TerrainSettings settings = ground("rough");
  settings.size = 8;
  const Terrain narrow(settings);
  double most = 0, most_narrow = 0, cosine = 0, sine = 0;
  Vec2 mean = Vec2::Zero();
  for (int i = 0; i < 2000; ++i) {
    Random random(1, i, 0, Purpose::kReset);
    const Vec3 start = wide.start(random), near = narrow.start(random);
    most = std::max(most, start.head<2>().cwiseAbs().maxCoeff());
    most_narrow = std::max(most_narrow, near.head<2>().cwiseAbs().maxCoeff());
    mean += start.head<2>() / 2000;
    cosine += std::cos(start.z()) / 2000;
    sine += std::sin(start.z()) / 2000;
  }
  EXPECT_NEAR(most, 4, 0.02);
  EXPECT_LE(most, 4);
  EXPECT_NEAR(most_narrow, 2, 0.01) << "a quarter of the ground";
  EXPECT_LT(mean.norm(), 0.2);
  EXPECT_LT(std::hypot(cosine, sine), 0.07);
}

TEST(Terrain, NeedsAFloorInTheModel) {
  mjSpec* spec = mj_makeSpec();
  const Terrain terrain(ground("steps"));
  const std::string error = error_of([&] { terrain.add_to(spec); });
  mj_deleteSpec(spec);
  EXPECT_NE(error.find("floor"), std::string::npos) << error;
  EXPECT_NE(error.find("steps"), std::string::npos) << error;
}

// --- robots on it --------------------------------------------------------------------------------

EnvSettings calm_on(const TerrainSettings& terrain) {
  EnvSettings s = calm();
  s.terrain = terrain;
  return s;
}

Randomisation body_on(double difficulty) {
  Randomisation body = plain_body();
  body.terrain = difficulty;
  return body;
}

class RobotOn : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Terrain, RobotOn, testing::Values("rough", "slopes"));

TEST_P(RobotOn, EpisodesBeginWithTheLowestSoleOnTheFloor) {
  const TerrainSettings terrain = ground(GetParam());
  Env env(g1(), calm_on(terrain), g1_pool(), 20, 1, 7);
  double spread = 0;
  for (const double difficulty : {0.0, 0.4, 1.0}) {
    RayFloor floor(terrain, difficulty);
    for (int i = 0; i < 20; ++i) {
      if (i % 2) {
        env.reset_at(i, 0, i % 4, 7 * i, body_on(difficulty));
      } else {
        env.reset_standing(i, 0, i % 4, body_on(difficulty));
      }
      ASSERT_NEAR(floor.lowest_sole(qpos_of(env, i)), 0, 2e-3) << i;
      spread = std::max(spread, qpos_of(env, i)[2] - 0.75);
    }
  }
  EXPECT_GT(spread, 0.02) << "this should be a test on uneven ground";
}

TEST_P(RobotOn, EpisodesBeginAtOtherPlaces) {
  Env env(g1(), calm_on(ground(GetParam())), g1_pool(), 40, 1, 7);
  Vec2 most[2] = {Vec2::Zero(), Vec2::Zero()};
  for (int i = 0; i < 40; ++i) {
    if (i % 2) {
      env.reset_at(i, 0, 0, 0, body_on(1));
    } else {
      env.reset_standing(i, 0, 0, body_on(1));
    }
    most[i % 2] = most[i % 2].cwiseMax(Vec2(qpos_of(env, i)[0], qpos_of(env, i)[1]).cwiseAbs());
  }
  for (const Vec2& reach : most) {
    EXPECT_GT(reach.minCoeff(), 2.5);
    EXPECT_LT(reach.maxCoeff(), 4.1);
  }
}

TEST_P(RobotOn, ItStandsOnTheFloorOfItsEpisodeAndMeasuresHeightsAboveIt) {
  const TerrainSettings terrain = ground(GetParam());
  Env env(g1(), calm_on(terrain), g1_pool(), 6, 1, 7);
  const double difficulties[6] = {0, 0.2, 0.4, 0.6, 0.8, 1};
  for (int i = 0; i < 6; ++i) env.reset_at(i, 0, 0, 0, body_on(difficulties[i]));
  double offset = 0;
  for (int step = 0; step < 20; ++step) {
    for (int i = 0; i < 6; ++i) {
      env.step(i, 0, no_action().data());
      if (step < 19) continue;
      RayFloor floor(terrain, difficulties[i]);
      const double* qpos = qpos_of(env, i);
      EXPECT_NEAR(floor.lowest_sole(qpos), 0, 0.01) << "no robot sinks in or floats";
      const BodyState& body = env.body(0);
      EXPECT_GT(body.load[0] + body.load[1], 100);
      EXPECT_NEAR(body.height, qpos[2] - floor.height(qpos[0], qpos[1]), 2e-3);
      EXPECT_EQ(env.pose(i).height, body.height);
      for (int side = 0; side < 2; ++side) {
        const double* foot = env.data(0)->xpos + 3 * g1()->foot_bodies[side];
        EXPECT_NEAR(body.feet[side].z(), foot[2] - floor.height(foot[0], foot[1]), 2e-3);
      }
      offset = std::max(offset, floor.height(qpos[0], qpos[1]));

      // the reference at the robot's place stands on the same floor
      std::vector<float> reference(36);
      env.reference_pose(i, reference.data());
      EXPECT_NEAR(reference[2], env.reference(i).frame[58] + floor.height(qpos[0], qpos[1]), 2e-3);
    }
  }
  EXPECT_GT(offset, 0.02) << "this should be a test on uneven ground";
}

TEST(Terrain, EpisodesOfTrainingAreAsRoughAsTheyAreHard) {
  const TerrainSettings terrain = ground("slopes");
  EnvSettings settings = calm_on(terrain);
  Env env(g1(), settings, g1_pool(), 40, 1, 7);
  double highest = 0;
  for (int i = 0; i < 40; ++i) highest = std::max(highest, std::abs(qpos_of(env, i)[2] - 0.735));
  EXPECT_LT(highest, 0.03) << "at difficulty 0 the ground is flat";

  env.set_difficulty(1);
  env.set_pool(g1_pool());  // all begin anew
  double spread = 0;
  for (int i = 0; i < 40; ++i) spread = std::max(spread, qpos_of(env, i)[2] - 0.735);
  EXPECT_GT(spread, 0.15);
}

}  // namespace
}  // namespace twist
