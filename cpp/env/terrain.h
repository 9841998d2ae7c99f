#pragma once

#include <mujoco/mujoco.h>

#include <string>
#include <vector>

#include "base/random.h"
#include "base/rotation.h"
#include "base/settings.h"

namespace twist {

/// The floor that all environments share. Its heights grow with the difficulty of an episode.
struct TerrainSettings {
  std::string kind = "flat";
  double height = 0.05;  ///< difficulty 1: of roughness from lowest to highest point, of a step, m
  double slope_deg = 8;  ///< difficulty 1: of slopes
  double size = 48;      ///< edge of the square that is walked on, m
  double resolution = 0.1;  ///< distance of its points, m; a step rises over this distance

  template <class V>
  void visit(V&& field) {
    field("kind", kind, Valid{"flat", "rough", "slopes", "steps"},
          "flat, rough: random heights, slopes: up and down in turn, steps: square plateaus");
    field("height", height, Valid(0.001, 0.5), "of roughness or of a step at difficulty 1, in m");
    field("slope_deg", slope_deg, Valid(0.1, 40), "of slopes at difficulty 1");
    field("size", size, Valid(4, 200), "edge of the ground in m");
    field("resolution", resolution, Valid(0.02, 1), "distance of its points in m");
  }
};

/// The ground as a MuJoCo height field: a pure function of the settings. Heights are factors in
/// [0, 1] of a largest height that may differ from episode to episode; the place where robots
/// start, the middle, is rough too.
class Terrain {
 public:
  explicit Terrain(const TerrainSettings& settings);

  bool is_flat() const { return heights_.empty(); }

  /// Puts the height field in the place of the geom "floor". Throws UserError if there is none.
  void add_to(mjSpec* spec) const;

  /// Scales the height field of a model made with `add_to`.
  void set_difficulty(double difficulty, mjModel* model) const;

  /// Height of the floor at a place of the world, m.
  double height(double difficulty, double x, double y) const;

  /// A place and heading to start from, near the middle: x, y in m and yaw in rad. Zero on flat
  /// ground, where all places are alike.
  Vec3 start(Random& random) const;

 private:
  void make_rough();
  void make_slopes();
  void make_steps();
  float& at(int row, int column) { return heights_[std::size_t(row) * points_ + column]; }

  TerrainSettings settings_;
  double largest_ = 0;          // height at difficulty 1, m
  int points_ = 0;              // along an edge
  std::vector<float> heights_;  // (points, points) in [0, 1], rows along y; empty if flat
};

}  // namespace twist
