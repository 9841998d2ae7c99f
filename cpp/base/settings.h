#pragma once

#include <map>
#include <string>
#include <vector>

// How a settings struct lists its fields.
//
// Every settings struct has one member template
//
//   template <class V> void visit(V&& field) {
//     field("epochs", epochs, {1, 100}, "passes over the batch in one update");
//     ...
//   }
//
// and that one list gives Python attributes, YAML in and out, command-line overrides, range checks
// and the help text. Supported member types: bool, int, double, std::string, std::vector<double>,
// std::vector<std::string>, std::map<std::string, double>, and other settings structs (visited with
// the range {}).

namespace twist {

/// The closed interval of valid values of a number (of every element, for vectors and maps), or,
/// for a string, its valid choices. Default: anything goes.
struct Valid {
  double lower = -1e300;
  double upper = 1e300;
  std::vector<std::string> choices;

  Valid() = default;
  Valid(double lower_bound, double upper_bound) : lower(lower_bound), upper(upper_bound) {}
  Valid(std::initializer_list<const char*> names) : choices(names.begin(), names.end()) {}
};

}  // namespace twist
