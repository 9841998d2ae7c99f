#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace twist {

/// The user's mistake: the message names the value given and the valid choices. Python sees
/// ValueError.
class UserError : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

/// Throws UserError with all arguments streamed into one sentence.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  throw UserError(text.str());
}

/// All arguments streamed into one text for people: numbers with three digits.
template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  out.precision(3);
  (out << ... << parts);
  return out.str();
}

/// Joins names for an error message: "a, b, c".
template <class Range>
std::string join(const Range& names) {
  std::string text;
  for (const auto& name : names) {
    if (!text.empty()) text += ", ";
    text += name;
  }
  return text;
}

}  // namespace twist
