#include "base/simulate.h"

#include <csetjmp>
#include <cstdio>
#include <mutex>

namespace twist {
namespace {

thread_local bool armed = false;
thread_local std::jmp_buf landing;
thread_local char message[1024];
mjfLogHandler previous_handler = nullptr;

// While a worker simulates, errors jump back to it and warnings are left to the counters in mjData.
void on_log(const mjLogMessage* log) {
  if (!armed) {
    if (previous_handler) previous_handler(log);
    return;
  }
  if (log->level < mjLOG_ERROR) return;
  std::snprintf(message, sizeof(message), "%s", log->subject);
  armed = false;
  std::longjmp(landing, 1);
}

// No object with a destructor may live in this frame: longjmp does not run them.
[[gnu::noinline]] bool step_trapped(const mjModel* model, mjData* data, int steps) {
  if (setjmp(landing)) return false;
  armed = true;
  for (int step = 0; step < steps; ++step) mj_step(model, data);
  armed = false;
  return true;
}

}  // namespace

bool simulate(const mjModel* model, mjData* data, int steps, std::string* reason) {
  constexpr mjtWarning kBadState[] = {mjWARN_BADQPOS, mjWARN_BADQVEL, mjWARN_BADQACC,
                                      mjWARN_BADCTRL};
  for (const int warning : kBadState) data->warning[warning].number = 0;
  static std::once_flag once;
  std::call_once(once, [] { previous_handler = mju_setLogHandler(on_log); });

  if (!step_trapped(model, data, steps)) {
    if (reason) *reason = message;
    return false;
  }
  for (const int warning : kBadState) {
    if (data->warning[warning].number == 0) continue;
    if (reason) *reason = mju_warningText(warning, data->warning[warning].lastinfo);
    return false;
  }
  return true;
}

}  // namespace twist
