#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace twist {

/// Processor cores this process may use (respects affinity, so containers are counted right).
int usable_cores();

/// A pool of worker threads for parallel loops.
///
/// The calling thread is worker 0, so `Workers(1)` starts no thread at all. Tasks are handed out
/// one at a time, in order; results must not depend on which worker runs a task. Threads sleep
/// between loops. A pool made before a fork() refuses to work in the child process.
class Workers {
 public:
  /// `threads` >= 1; 0 means `usable_cores()`. Throws UserError if negative.
  explicit Workers(int threads);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  int count() const { return static_cast<int>(threads_.size()) + 1; }

  /// Calls `body(task, worker)` for every task in [0, tasks) and returns when all are done. If
  /// bodies throw, the exception of the lowest task index is rethrown here after all tasks have
  /// ended.
  void run(int tasks, const std::function<void(int task, int worker)>& body);

 private:
  void work(int worker);
  void take_tasks(int worker);

  std::vector<std::thread> threads_;
  int process_id_;

  std::mutex mutex_;
  std::condition_variable start_, done_;
  std::uint64_t loop_ = 0;  // counts calls of run(); a change wakes the workers
  bool stop_ = false;
  int busy_ = 0;

  const std::function<void(int, int)>* body_ = nullptr;
  int tasks_ = 0;
  int next_ = 0;
  int failed_task_ = 0;
  std::exception_ptr failure_;
};

}  // namespace twist
