// The threads that help with a job: they sleep between jobs, and no job waits for one that is late.
// Not here: how many a job gets and whether they pay (threads.cpp), what they do (sweep.cpp).
#pragma once

#include <chrono>

namespace gradstep {

// Starts helpers until there are `members` - 1 and returns how many members, the caller included, a
// job can have; fewer where the system grants no more threads.
int start_workers(int members);

// Runs `work` on the calling thread as member 0 and, at the same time, on up to `members` - 1
// helpers as members 1, 2, … It returns when all that have begun have returned. A helper that comes
// after member 0 has returned is not called, so member 0 must not return before all is done or
// taken: members take their parts from what is left. Where another thread runs a job, `work` gets
// no helper. `spin_time` is how long a helper spins for the next job before it sleeps. Allocates
// nothing, cannot fail.
void run_together(int members, void (*work)(void* context, int member), void* context,
                  std::chrono::nanoseconds spin_time);

// The same for anything that can be called with a member's number.
template <class Work>
void run_together(int members, Work& work, std::chrono::nanoseconds spin_time) {
  const auto call = [](void* context, int member) { (*static_cast<Work*>(context))(member); };
  run_together(members, call, &work, spin_time);
}

// Whether the calling thread is a helper.
bool on_helper();

// For tests: no member begins before all are there, so that each does its share.
void set_rendezvous(bool on);

}  // namespace gradstep
