// Jobs of many callers at once, shared out among the package's threads: each element counted once,
// and seen by the caller when the job is over. Built with -fsanitize=thread it is a search for
// races; with -DPLANT_A_RACE it holds one, which that search has to find.
//
//   threads [JOBS]   of each caller; 300 are usual
#include "engine/threads.hpp"

#include <atomic>
#include <thread>
#include <vector>

#include "engine/pool.hpp"
#include "engine/sweep.hpp"
#include "native.hpp"

namespace {

using namespace gradstep;

#if defined(PLANT_A_RACE)
int unsynchronised = 0;
#endif

// Counts are plain numbers: only the pool's own order makes it right to write and read them here.
struct Job {
  std::vector<int> counts;
  std::atomic<int> taken{0};

  explicit Job(int size) : counts(static_cast<std::size_t>(size), 0) {}
  void operator()(int) {
#if defined(PLANT_A_RACE)
    ++unsynchronised;
#endif
    const int size = static_cast<int>(counts.size());
    for (int i; (i = taken.fetch_add(1, std::memory_order_relaxed)) < size;) ++counts[i];
  }
};

// A caller's own numbers: which job comes next.
struct Mixed {
  unsigned state;
  int below(int n) {
    state = state * 1664525u + 1013904223u;
    return static_cast<int>((state >> 8) % static_cast<unsigned>(n));
  }
};

void run_jobs(int caller, int jobs, std::atomic<long>* wrong) {
  Mixed mixed{static_cast<unsigned>(caller)};
  for (int n = 0; n < jobs; ++n) {
    const int members = start_workers(1 + mixed.below(6));
    Job job(1 + mixed.below(400));
    const std::chrono::microseconds spin_times[] = {
        std::chrono::microseconds(0), std::chrono::microseconds(5), std::chrono::microseconds(60)};
    run_together(members, job, spin_times[mixed.below(3)]);
    for (const int count : job.counts) *wrong += count != 1;
  }
}

// A kernel that counts; what the step's other side, the sweep, must get right as well.
void count_up(const Constants*, void* const* streams, std::int64_t count) {
  auto* w = static_cast<std::int64_t*>(streams[0]);
  for (std::int64_t i = 0; i < count; ++i) ++w[i];
}
const Kernel counting{nullptr, count_up};

void sweep_steps(int steps, std::atomic<long>* wrong) {
  std::vector<std::vector<std::int64_t>> arrays;
  for (const int size : {3, 40001, 0, 512, 30000}) arrays.emplace_back(size, 0);
  const Constants none{};
  for (int step = 1; step <= steps; ++step) {
    Sweep sweep;  // as a step of another optimizer over the same arrays
    for (auto& array : arrays) {
      Item item;
      item.kernel = &counting;
      item.constants = &none;
      item.itemsize = sizeof(std::int64_t);
      item.count = static_cast<std::int64_t>(array.size());
      item.stream_count = 2;
      item.streams[0] = item.streams[1] = array.data();
      sweep.add(item);
    }
    const Team team(sweep.written());
    sweep.prepare(team.size(), false);
    sweep.run(team, nullptr, nullptr, 0, sweep.size());
    for (const auto& array : arrays) {
      for (const std::int64_t count : array) *wrong += count != step;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int jobs = argc > 1 ? atoi(argv[1]) : 300;
  set_num_threads(4);
  set_work_per_thread({1, 1});
  std::atomic<long> wrong{0};

  // Alone, every member taking part: what all of them do meets.
  set_rendezvous(true);
  run_jobs(0, jobs / 10, &wrong);
  sweep_steps(jobs / 10, &wrong);
  set_rendezvous(false);

  // Callers at once: one has the helpers, the others work by themselves.
  std::vector<std::thread> callers;
  for (int caller = 1; caller <= 4; ++caller) callers.emplace_back(run_jobs, caller, jobs, &wrong);
  for (int caller = 0; caller < 2; ++caller) callers.emplace_back(sweep_steps, jobs / 10, &wrong);
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong == 0, "%ld elements were not counted once", wrong.load());
  return native::verdict("threads");
}
