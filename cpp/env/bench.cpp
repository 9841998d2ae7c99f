#include "env/bench.h"

#include <chrono>

namespace twist {
namespace {

constexpr int kRoundSteps = 10;  // control steps

template <class Body>
double seconds_of(const Body& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

BenchResult bench_env(Env& env, Workers& workers, double seconds) {
  const int blocks = workers.count() * 4, size = env.state_size();
  const int decimation = env.settings().sim.decimation;
  const std::vector<float> action(env.robot().num_actions(), 0.0f);
  std::vector<DataPtr> data;
  for (int worker = 0; worker < workers.count(); ++worker)
    data.emplace_back(mj_makeData(env.model(worker)));
  std::vector<double> states(std::size_t(env.num_envs()) * size);
  const auto for_blocks = [&](const auto& body) {
    workers.run(blocks, [&](int block, int worker) {
      for (int i = block * env.num_envs() / blocks; i < (block + 1) * env.num_envs() / blocks; ++i)
        body(i, worker);
    });
  };

  // both sides keep an environment for a whole round on one thread, so that neither pays for more
  // barriers
  const auto whole = [&] {
    for_blocks([&](int i, int worker) {
      for (int step = 0; step < kRoundSteps; ++step) env.step(i, worker, action.data());
    });
  };
  const auto bare = [&] {
    for_blocks([&](int i, int worker) {
      mjData* d = data[worker].get();
      double* state = states.data() + std::size_t(i) * size;
      for (int step = 0; step < kRoundSteps; ++step) {
        mj_setState(env.model(worker), d, state, mjSTATE_INTEGRATION);
        for (int k = 0; k < decimation; ++k) mj_step(env.model(worker), d);
        mj_getState(env.model(worker), d, state, mjSTATE_INTEGRATION);
      }
    });
  };

  BenchResult result;
  double whole_s = 0, bare_s = 0;
  int rounds = 0;
  whole();
  const std::vector<double> before = env.profile();
  env.profiling = false;
  while (whole_s + bare_s < seconds) {
    std::copy_n(env.state(0), states.size(), states.data());
    // alternate who comes first
    if (rounds % 2) whole_s += seconds_of(whole);
    bare_s += seconds_of(bare);
    if (rounds % 2 == 0) whole_s += seconds_of(whole);
    ++rounds;
  }
  const double steps = double(rounds) * kRoundSteps * env.num_envs();
  result.env_steps_per_s = steps / whole_s;
  result.raw_env_steps_per_s = steps / bare_s;
  result.ratio = bare_s / whole_s;

  // the profile is measured apart, because the clock itself takes time
  env.profiling = true;
  for (int round = 0; round < 5; ++round) whole();
  env.profiling = false;
  const std::vector<double> after = env.profile();
  for (int phase = 0; phase < kNumPhases; ++phase) {
    result.profile[kPhaseNames[phase]] =
        1e6 * (after[phase] - before[phase]) / (5.0 * kRoundSteps * env.num_envs());
  }
  return result;
}

}  // namespace twist
