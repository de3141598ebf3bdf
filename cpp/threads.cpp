// Thread policy; see threads.hpp.
#include "threads.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#if defined(_OPENMP)
#include <omp.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace gradstep {
namespace {

std::atomic<int> bound{1};
std::atomic<std::int64_t> elements_per_thread{INT64_MAX};

#if defined(_OPENMP)
std::atomic<bool> forked{false};  // from a process in which anybody may have opened a region

// Threads that the system is known to grant; libgomp keeps a pool for each thread that asks.
thread_local int granted = 1;

// What the runtime was told before anybody could have changed it: a later omp_set_num_threads, by
// threadpoolctl for one, that asks for less is obeyed.
int runtime_limit() {
  static const int at_start = omp_get_max_threads();
  const int now = omp_get_max_threads();
  return now < at_start ? now : INT32_MAX;
}

// libgomp ends the process where it cannot create a thread. So the first time that a team of this
// size is wanted, as many threads are started and joined here, where a refusal is an exception.
bool can_start(int team) {
  if (team <= granted) return true;
  std::mutex mutex;
  std::condition_variable all_started;
  bool release = false;
  std::vector<std::thread> others;
  bool enough = true;
  try {
    others.reserve(static_cast<std::size_t>(team) - 1);
    while (static_cast<int>(others.size()) < team - 1) {
      others.emplace_back([&] {
        std::unique_lock<std::mutex> lock(mutex);
        all_started.wait(lock, [&] { return release; });  // alive together, as in a team
      });
    }
  } catch (const std::exception&) {  // no thread, or no memory for one
    enough = false;
  }
  {
    const std::lock_guard<std::mutex> lock(mutex);
    release = true;
  }
  all_started.notify_all();
  for (std::thread& other : others) other.join();
  if (enough) granted = team;
  return enough;
}
#endif

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
void set_elements_per_thread(std::int64_t elements) {
  elements_per_thread.store(std::max<std::int64_t>(elements, 1));
}
std::int64_t get_elements_per_thread() { return elements_per_thread.load(); }

int team_size(std::int64_t elements) {
#if defined(_OPENMP)
  const std::int64_t pays = elements / elements_per_thread.load();
  int team = static_cast<int>(std::min<std::int64_t>(bound.load(), pays));
  if (team <= 1 || forked.load() || omp_in_parallel()) return 1;
  team = std::min(team, runtime_limit());
  if (team <= 1 || !can_start(team)) return 1;
  return team;
#else
  static_cast<void>(elements);
  return 1;
#endif
}

void watch_forks() {
#if defined(_OPENMP)
  runtime_limit();
#if defined(__unix__) || defined(__APPLE__)
  pthread_atfork(nullptr, nullptr, [] { forked.store(true); });
#endif
#endif
}

}  // namespace gradstep
