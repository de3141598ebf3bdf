// The memory's own limit: the streams of a step, or of an average, with arithmetic that costs
// nothing. Compiled and called by limit.py; no part of the package.
#define _GNU_SOURCE  // for the affinity of threads
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#define MAX_THREADS 256
#define LINE 16  // floats of a cache line, so that no two threads share one

// Seven streams, those of Adam: read w, g, m, v; write w, m, v.
// Not inlined: the compiler must not merge the passes.
static __attribute__((noinline)) void step(float* restrict w, const float* restrict g,
                                           float* restrict m, float* restrict v, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    m[i] = 0.9f * m[i] + 0.1f * g[i];
    v[i] = 0.999f * v[i] + 0.001f * g[i];
    w[i] -= 0.001f * (m[i] + v[i]);
  }
}

// Three streams, those of an average: read v, x; write v.
static __attribute__((noinline)) void average(float* restrict v, const float* restrict x,
                                              int64_t n) {
  for (int64_t i = 0; i < n; ++i) v[i] = 0.9f * v[i] + 0.1f * x[i];
}

struct team {
  float *w, *m, *v;  // w and m are null for an average
  const float* g;
  int64_t n, passes;
  int threads;
  atomic_int arrived, generation;
};

struct member {
  struct team* team;
  int rank;
};

// A barrier that spins: waking a sleeping thread is not the memory's doing. It yields in the end,
// for machines with fewer cores than threads.
static void wait_for_all(struct team* t) {
  const int generation = atomic_load(&t->generation);
  if (atomic_fetch_add(&t->arrived, 1) + 1 == t->threads) {
    atomic_store(&t->arrived, 0);
    atomic_fetch_add(&t->generation, 1);
    return;
  }
  for (int spins = 0; atomic_load(&t->generation) == generation; ++spins)
    if (spins > 10000) sched_yield();
}

// Passes over the share of one thread; all begin and end every pass together.
static void* work(void* argument) {
  const struct member* self = argument;
  struct team* t = self->team;
  const int64_t share = (t->n / t->threads + LINE - 1) / LINE * LINE;
  const int64_t begin = share * self->rank < t->n ? share * self->rank : t->n;
  const int is_last = self->rank == t->threads - 1;
  const int64_t end = is_last || begin + share > t->n ? t->n : begin + share;
  wait_for_all(t);
  for (int64_t pass = 0; pass < t->passes; ++pass) {
    if (t->w)
      step(t->w + begin, t->g + begin, t->m + begin, t->v + begin, end - begin);
    else
      average(t->v + begin, t->g + begin, end - begin);
    wait_for_all(t);
  }
  return 0;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + 1e-9 * t.tv_nsec;
}

// Gives every new thread a core of its own, as far as there are any beside the caller's. Left to
// the scheduler it may begin on the caller's core, and a short sample is over before it is moved.
static int create(pthread_t* thread, struct member* member) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
#ifdef __linux__
  static int core;  // of the thread created last
  const int here = sched_getcpu();
  cpu_set_t allowed, chosen;
  if (member->rank == 1) core = -1;
  CPU_ZERO(&chosen);
  if (!sched_getaffinity(0, sizeof allowed, &allowed))
    while (++core < CPU_SETSIZE && (core == here || !CPU_ISSET(core, &allowed))) continue;
  if (core >= 0 && core < CPU_SETSIZE) {
    CPU_SET(core, &chosen);
    pthread_attr_setaffinity_np(&attributes, sizeof chosen, &chosen);
  }
#endif
  const int error = pthread_create(thread, &attributes, work, member);
  pthread_attr_destroy(&attributes);
  return error;
}

// Returns the seconds of all passes, from the moment that all threads are there.
double limit(float* w, const float* g, float* m, float* v, int64_t n, int threads, int64_t passes) {
  if (threads < 1 || threads > MAX_THREADS) abort();
  struct team team = {.w = w, .m = m, .v = v, .g = g, .n = n, .passes = passes, .threads = threads};
  struct member members[MAX_THREADS];
  pthread_t others[MAX_THREADS];
  for (int i = 1; i < threads; ++i) {
    members[i] = (struct member){&team, i};
    if (create(&others[i], &members[i])) abort();
  }
  while (atomic_load(&team.arrived) < threads - 1) sched_yield();
  members[0] = (struct member){&team, 0};
  const double begin = now();
  work(&members[0]);
  const double seconds = now() - begin;
  for (int i = 1; i < threads; ++i) pthread_join(others[i], 0);
  return seconds;
}
