// The memory's own limit: the seven streams of an Adam step (read w, g, m, v; write w, m, v) with
// arithmetic that costs nothing. Compiled and called by limit.py; no part of the package.
#include <omp.h>
#include <stdint.h>

// Not inlined: the compiler must not merge the repeats.
static __attribute__((noinline)) void run(float* restrict w, const float* restrict g,
                                          float* restrict m, float* restrict v, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    m[i] = 0.9f * m[i] + 0.1f * g[i];
    v[i] = 0.999f * v[i] + 0.001f * g[i];
    w[i] -= 0.001f * (m[i] + v[i]);
  }
}

void limit(float* w, const float* g, float* m, float* v, int64_t n, int threads, int64_t repeats) {
  for (int64_t r = 0; r < repeats; ++r) {
    if (threads == 1) {
      run(w, g, m, v, n);
      continue;
    }
#pragma omp parallel num_threads(threads)
    {
      const int64_t share = (n / omp_get_num_threads() + 15) / 16 * 16;
      const int64_t begin = share * omp_get_thread_num();
      const int is_last = omp_get_thread_num() == omp_get_num_threads() - 1;
      const int64_t end = is_last || begin + share > n ? n : begin + share;
      if (begin < end) run(w + begin, g + begin, m + begin, v + begin, end - begin);
    }
  }
}
