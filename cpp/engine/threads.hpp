// How many threads a step gets: the user's bound, what pays, and what is safe (fork, nesting, a
// system that grants no more threads). The threads themselves are in pool.cpp.
#pragma once

#include <chrono>
#include <cstdint>

namespace gradstep {

// Whether the build found OpenMP: then limits that are set on its runtime are obeyed.
bool has_openmp();

// The upper bound; may exceed the number of cores.
void set_num_threads(int threads);
int get_num_threads();

// How much work pays for one thread, in elements written (parameter and state): where helpers are
// asleep and have to be woken, and where they are awake.
struct WorkPerThread {
  std::int64_t asleep, awake;
};
void set_work_per_thread(WorkPerThread work);
WorkPerThread get_work_per_thread();

// A job's share of threads, decided when it begins; its end is noted, for the next one.
class Team {
 public:
  // At least 1. Helpers exist from here on. Called before anything changes: may allocate.
  explicit Team(std::int64_t work);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const { return size_; }
  // How long helpers are to spin for the next job.
  std::chrono::nanoseconds spin_time() const { return spin_time_; }

 private:
  int size_ = 1;
  bool timed_ = false;
  std::chrono::nanoseconds spin_time_{0};
};

// Once, at import: a forked child runs serially from then on, because the helpers are not in it.
void watch_forks();

// Counts the forks that led to this process from the one that imported the package: 1 in that one.
int process_generation();

// A fork waits while one lives, so the child finds the guarded work done or not begun. That work
// may not wait for a lock that the forking thread can hold, the interpreter's above all.
class ForkGuard {
 public:
  ForkGuard();
  ~ForkGuard();
  ForkGuard(const ForkGuard&) = delete;
  ForkGuard& operator=(const ForkGuard&) = delete;
};

}  // namespace gradstep
