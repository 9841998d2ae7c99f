#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <stdexcept>
#include <thread>

#include "base/error.h"
#include "base/parallel.h"

namespace twist {
namespace {

class WorkersOf : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Threads, WorkersOf, testing::Values(1, 2, 3, 4));

TEST_P(WorkersOf, RunEveryTaskOnce) {
  Workers workers(GetParam());
  EXPECT_EQ(workers.count(), GetParam());
  for (const int tasks : {0, 1, 2, 3, 1000}) {
    std::vector<std::atomic<int>> runs(tasks);
    std::atomic<bool> worker_in_range = true;
    workers.run(tasks, [&](int task, int worker) {
      ++runs[task];
      if (worker < 0 || worker >= workers.count()) worker_in_range = false;
    });
    for (const auto& count : runs) EXPECT_EQ(count, 1);
    EXPECT_TRUE(worker_in_range);
  }
}

TEST_P(WorkersOf, RethrowTheExceptionOfTheLowestTaskAfterAllHaveEnded) {
  Workers workers(GetParam());
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> ended = 0;
    std::string message;
    try {
      workers.run(50, [&](int task, int) {
        // the lower failure comes later
        if (task == 9) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        ++ended;
        if (task == 9 || task == 10 || task == 40) throw std::runtime_error(std::to_string(task));
      });
    } catch (const std::runtime_error& error) {
      message = error.what();
    }
    EXPECT_EQ(message, "9");
    EXPECT_EQ(ended, 50);
  }
  int runs = 0;
  workers.run(1, [&](int, int) { ++runs; });
  EXPECT_EQ(runs, 1) << "the pool is usable after a failure";
}

TEST_P(WorkersOf, NeverGiveOneWorkerNumberToTwoTasksAtOnce) {
  Workers workers(GetParam());
  std::vector<std::atomic<int>> inside(workers.count());
  std::atomic<bool> clash = false;
  for (int round = 0; round < 50; ++round) {
    workers.run(20, [&](int, int worker) {
      if (++inside[worker] != 1) clash = true;
      std::this_thread::yield();
      --inside[worker];
    });
  }
  EXPECT_FALSE(clash);
}

TEST(Workers, RunAtTheSameTime) {
  Workers workers(3);
  std::latch together(3);
  std::atomic<int> met = 0;
  workers.run(3, [&](int, int) {
    together.count_down();
    for (int i = 0; i < 10000 && !together.try_wait(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    met += together.try_wait();
  });
  EXPECT_EQ(met, 3);
}

TEST(Workers, OneThreadIsTheCaller) {
  Workers workers(1);
  workers.run(3, [caller = std::this_thread::get_id()](int, int) {
    EXPECT_EQ(std::this_thread::get_id(), caller);
  });
}

TEST(Workers, ZeroMeansAllUsableCoresAndNegativeIsAnError) {
  EXPECT_EQ(Workers(0).count(), usable_cores());
  EXPECT_GE(usable_cores(), 1);
  EXPECT_THROW(Workers(-1), UserError);
}

TEST(Workers, RefuseToWorkAfterAFork) {
  Workers workers(2);
  const pid_t child = fork();
  if (child == 0) {
    try {
      workers.run(4, [](int, int) {});
    } catch (const UserError&) {
      _exit(7);
    }
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

}  // namespace
}  // namespace twist
