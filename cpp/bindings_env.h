#pragma once

#include <memory>

#include "base/error.h"
#include "base/parallel.h"
#include "env/env.h"

namespace twist {

/// An environment as Python knows it: with the workers that step it.
struct EnvHandle {
  std::shared_ptr<Env> env;
  std::shared_ptr<Workers> workers;
};

}  // namespace twist
