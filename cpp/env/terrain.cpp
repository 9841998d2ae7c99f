#include "env/terrain.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace twist {
namespace {

constexpr double kLeast = 1e-4;       // MuJoCo needs a height field of some height, m
constexpr double kBase = 0.5;         // thickness below the lowest point, m
constexpr double kPlateau = 2.4;      // edge of the plateaus of "steps", m
constexpr double kRidges = 8.0;       // distance of the ridges of "slopes", m
constexpr double kBumps = 0.4;        // distance of independent heights of "rough", m
constexpr double kStartRadius = 4.0;  // robots start in a square of twice this edge, m

}  // namespace

Terrain::Terrain(const TerrainSettings& settings) : settings_(settings) {
  if (settings.kind == "flat") return;
  points_ = static_cast<int>(std::lround(settings.size / settings.resolution)) + 1;
  heights_.resize(std::size_t(points_) * points_);
  largest_ = settings.height;
  if (settings.kind == "rough") make_rough();
  if (settings.kind == "slopes") make_slopes();
  if (settings.kind == "steps") make_steps();

  // MuJoCo stretches a height field to [0, 1]
  const auto [lowest, highest] = std::minmax_element(heights_.begin(), heights_.end());
  const float least = *lowest, range = *highest - least;
  for (float& height : heights_) height = (height - least) / range;
}

// independent heights on a coarse grid, with straight lines between them
void Terrain::make_rough() {
  const double per_bump = kBumps / settings_.resolution;
  const auto bump = [](int row, int column) {
    return Random(row, column, 0, Purpose::kTerrain).uniform();
  };
  for (int row = 0; row < points_; ++row) {
    for (int column = 0; column < points_; ++column) {
      const double y = row / per_bump, x = column / per_bump;
      const int i = static_cast<int>(y), j = static_cast<int>(x);
      const double v = y - i, u = x - j;
      const double low = (1 - u) * bump(i, j) + u * bump(i, j + 1);
      const double high = (1 - u) * bump(i + 1, j) + u * bump(i + 1, j + 1);
      at(row, column) = static_cast<float>((1 - v) * low + v * high);
    }
  }
}

// straight ridges and valleys along y
void Terrain::make_slopes() {
  largest_ = 0.5 * kRidges * std::tan(settings_.slope_deg * M_PI / 180);
  for (int row = 0; row < points_; ++row) {
    for (int column = 0; column < points_; ++column) {
      const double part = std::fmod(column * settings_.resolution / kRidges, 1.0);
      at(row, column) = static_cast<float>(1 - std::abs(2 * part - 1));
    }
  }
}

// a chess board: from one plateau to the next it is a single step up or down
void Terrain::make_steps() {
  const auto index = [&](int i) { return static_cast<int>(i * settings_.resolution / kPlateau); };
  for (int row = 0; row < points_; ++row) {
    for (int column = 0; column < points_; ++column) {
      at(row, column) = (index(row) + index(column)) % 2 ? 1.0f : 0.0f;
    }
  }
}

void Terrain::add_to(mjSpec* spec) const {
  if (is_flat()) return;
  mjsElement* element = mjs_findElement(spec, mjOBJ_GEOM, "floor");
  mjsGeom* floor = element ? mjs_asGeom(element) : nullptr;
  if (!floor)
    fail("the robot model has no geom 'floor' in whose place terrain ", settings_.kind,
         " could be put");
  mjsHField* field = mjs_addHField(spec);
  mjs_setName(field->element, "terrain");
  const double size[4] = {settings_.size / 2, settings_.size / 2, largest_, kBase};
  std::copy_n(size, 4, field->size);
  field->nrow = field->ncol = points_;
  mjs_setFloat(field->userdata, heights_.data(), static_cast<int>(heights_.size()));
  floor->type = mjGEOM_HFIELD;
  mjs_setString(floor->hfieldname, "terrain");
}

void Terrain::set_difficulty(double difficulty, mjModel* model) const {
  if (!is_flat()) model->hfield_size[2] = std::max(kLeast, difficulty * largest_);
}

double Terrain::height(double difficulty, double x, double y) const {
  if (is_flat()) return 0;
  const auto place = [&](double from_middle) {
    return std::clamp((from_middle + settings_.size / 2) / settings_.size * (points_ - 1), 0.0,
                      points_ - 1.001);
  };
  const double column = place(x), row = place(y);
  const int j = static_cast<int>(column), i = static_cast<int>(row);
  const double u = column - j, v = row - i;
  const float* corner = &heights_[std::size_t(i) * points_ + j];
  const double low = (1 - u) * corner[0] + u * corner[1];
  const double high = (1 - u) * corner[points_] + u * corner[points_ + 1];
  return std::max(kLeast, difficulty * largest_) * ((1 - v) * low + v * high);
}

Vec3 Terrain::start(Random& random) const {
  if (is_flat()) return Vec3::Zero();
  const double reach = std::min(kStartRadius, settings_.size / 4);
  const double x = random.uniform(-reach, reach), y = random.uniform(-reach, reach);
  return Vec3(x, y, random.uniform(-M_PI, M_PI));
}

}  // namespace twist
