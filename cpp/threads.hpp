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

// Whether OpenMP's workers keep spinning after a region. They then take the cores that NumPy's
// matmul wants next, and only a long step is worth that.
void set_workers_spin(bool spin);
bool get_workers_spin();

// The team that a step over this many elements deserves, at least 1. Called outside any region.
int team_size(std::int64_t elements);

// Once, at import: a forked child runs serially from then on, because libgomp's threads do not
// survive fork and a region would wait for them for ever.
void watch_forks();

}  // namespace gradstep
