#include "base/parallel.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace twist {

int usable_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

Workers::Workers(int threads) : process_id_(getpid()) {
  if (threads < 0) fail("threads must be 0 (all usable cores) or more, got ", threads);
  const int total = threads == 0 ? usable_cores() : threads;
  for (int worker = 1; worker < total; ++worker)
    threads_.emplace_back([this, worker] { work(worker); });
}

Workers::~Workers() {
  // after a fork the threads do not exist in the child: there is nothing to join
  if (getpid() != process_id_) {
    for (auto& thread : threads_) thread.detach();
    return;
  }
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  start_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void Workers::run(int tasks, const std::function<void(int, int)>& body) {
  if (getpid() != process_id_)
    fail("this thread pool was made in another process; do not fork, use spawn");
  {
    std::lock_guard lock(mutex_);
    body_ = &body;
    tasks_ = tasks;
    next_ = 0;
    failure_ = nullptr;
    busy_ = count();
    ++loop_;
  }
  start_.notify_all();
  take_tasks(0);
  std::unique_lock lock(mutex_);
  done_.wait(lock, [this] { return busy_ == 0; });
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void Workers::work(int worker) {
  std::uint64_t seen = 0;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      start_.wait(lock, [&] { return stop_ || loop_ != seen; });
      if (stop_) return;
      seen = loop_;
    }
    take_tasks(worker);
  }
}

void Workers::take_tasks(int worker) {
  std::unique_lock lock(mutex_);
  while (next_ < tasks_) {
    const int task = next_++;
    lock.unlock();
    std::exception_ptr failure;
    try {
      (*body_)(task, worker);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    // the lowest failing task wins, so that the report does not depend on timing
    if (failure && (!failure_ || task < failed_task_)) {
      failure_ = failure;
      failed_task_ = task;
    }
  }
  if (--busy_ == 0) done_.notify_all();
}

}  // namespace twist
