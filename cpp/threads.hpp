// How many threads a step gets: the user's bound, what pays, and what is safe (fork, nesting, a
// system that grants no more threads). The parallel region itself is in sweep.cpp.
#pragma once

#include <cstdint>

namespace gradstep {

// Whether the build found OpenMP; without it every step is serial.
bool has_openmp();

// The upper bound; may exceed the number of cores.
void set_num_threads(int threads);
int get_num_threads();

// How many elements of a step pay for one thread; python/gradstep/_runtime.py says why so many.
void set_elements_per_thread(std::int64_t elements);
std::int64_t get_elements_per_thread();

// The team that a step over this many elements deserves, at least 1. Called outside any region.
int team_size(std::int64_t elements);

// Once, at import: a forked child runs serially from then on, because libgomp's threads do not
// survive fork and a region would wait for them for ever.
void watch_forks();

}  // namespace gradstep
