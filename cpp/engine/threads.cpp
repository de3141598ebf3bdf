// Thread policy; see threads.hpp.
#include "engine/threads.hpp"

#include <algorithm>
#include <atomic>
#include <climits>
#include <thread>

#if defined(_OPENMP)
#include <omp.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

#include "engine/pool.hpp"

namespace gradstep {
namespace {

using Clock = std::chrono::steady_clock;

std::atomic<int> bound{1};
// docs/performance.md has the measurements behind these.
std::atomic<std::int64_t> asleep_work{240'000}, awake_work{24'000};
std::atomic<int> generation{1};

// Guards that a fork must wait for, and threads that are about to fork.
std::atomic<int> guards{0}, forking{0};
thread_local int guards_here = 0;  // of this thread

// Steps that follow each other as closely as this find the helpers awake. A training loop, which
// computes gradients in between, finds them asleep, and its own threads find the cores free.
constexpr std::chrono::nanoseconds close_by = std::chrono::microseconds(30);
constexpr int close_calls_needed = 2;  // in a row

std::atomic<Clock::rep> last_end{0};
std::atomic<int> close_calls{0};

bool follows_closely() {
  const Clock::duration gap =
      Clock::now().time_since_epoch() - Clock::duration(last_end.load(std::memory_order_relaxed));
  const int calls = gap > close_by ? 0 : close_calls.load(std::memory_order_relaxed) + 1;
  close_calls.store(std::min(calls, close_calls_needed), std::memory_order_relaxed);
  return calls >= close_calls_needed;
}

// What other libraries and the user say of OpenMP holds here too: a later omp_set_num_threads, by
// threadpoolctl for one, that asks for less than there was at first, and being inside of a region.
int runtime_limit() {
#if defined(_OPENMP)
  static const int at_start = omp_get_max_threads();
  const int now = omp_get_max_threads();
  return omp_in_parallel() ? 1 : now < at_start ? now : INT_MAX;
#else
  return INT_MAX;
#endif
}

}  // namespace

bool has_openmp() {
#if defined(_OPENMP)
  return true;
#else
  return false;
#endif
}

void set_num_threads(int threads) { bound.store(threads); }
int get_num_threads() { return bound.load(); }
void set_work_per_thread(WorkPerThread work) {
  asleep_work.store(std::max<std::int64_t>(work.asleep, 1));
  awake_work.store(std::max<std::int64_t>(work.awake, 1));
}
WorkPerThread get_work_per_thread() { return {asleep_work.load(), awake_work.load()}; }

Team::Team(std::int64_t work) {
  const std::int64_t least = awake_work.load(std::memory_order_relaxed);
  const int most = bound.load(std::memory_order_relaxed);
  if (most <= 1 || work < 2 * least || process_generation() > 1) return;
  timed_ = true;
  const bool awake = follows_closely();
  const std::int64_t pays = work / (awake ? least : asleep_work.load());
  if (pays <= 1) return;
  const int wanted = static_cast<int>(std::min<std::int64_t>(most, pays));
  size_ = start_workers(std::min(wanted, runtime_limit()));
  if (awake) spin_time_ = close_by;
}

Team::~Team() {
  if (timed_) {
    last_end.store(Clock::now().time_since_epoch().count(), std::memory_order_relaxed);
  }
}

void watch_forks() {
  runtime_limit();
#if defined(__unix__) || defined(__APPLE__)
  const auto before = [] {
    forking.fetch_add(1);
    // A handler of a signal or a fault may fork in the midst of a step of its own thread, which
    // cannot wait for that step.
    while (guards.load() > guards_here && !on_helper()) std::this_thread::yield();
  };
  const auto in_parent = [] { forking.fetch_sub(1); };
  const auto in_child = [] {
    forking.store(0);
    guards.store(guards_here);
    generation.fetch_add(1);
  };
  pthread_atfork(before, in_parent, in_child);
#endif
}

int process_generation() { return generation.load(std::memory_order_relaxed); }

ForkGuard::ForkGuard() {
  // Sequentially consistent, as in `before`: either the fork is seen here or this thread there.
  for (guards.fetch_add(1); forking.load() > 0; guards.fetch_add(1)) {
    guards.fetch_sub(1);
    while (forking.load() > 0) std::this_thread::yield();
  }
  ++guards_here;
}

ForkGuard::~ForkGuard() {
  --guards_here;
  guards.fetch_sub(1, std::memory_order_release);
}

}  // namespace gradstep
