#pragma once

#include <functional>
#include <string>

#include "base/error.h"

namespace twist {

/// What is said when `body` fails with an error of one kind; empty if it does not fail.
template <class Error = UserError>
std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace twist
