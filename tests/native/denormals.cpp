// No step is slow because moments have sunk: every rule, from a state in full swing, under zero
// gradients, until its moments are gone. The processor itself notes when an operation meets or
// makes a denormal number; its flags are cleared before a kernel runs and read after. Noted may be
// only the last step of an average, in which it falls below the smallest normal number and becomes
// zero.
//
//   denormals STEPS       of each rule under zero gradients, second moments begin close to their
//   end denormals --full      from full swing to the end, a million steps
#include "engine/corrections.hpp"
#include "engine/levels.hpp"
#include "native.hpp"

#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
#endif

namespace {

using namespace gradstep;

// What the processor has noted since the last `clear`.
#if defined(__x86_64__) || defined(_M_X64)
constexpr bool notes_operands = true;
constexpr unsigned denormal_operand = 1u << 1, underflow = 1u << 4;  // of MXCSR
void clear_notes() { _mm_setcsr(_mm_getcsr() & ~0x3Fu); }
bool met_denormal() { return _mm_getcsr() & (denormal_operand | underflow); }
#elif defined(__aarch64__)
// Arm notes operands only where it flushes them; what is made and then rounded it always notes.
constexpr bool notes_operands = false;
void clear_notes() { __asm__ volatile("msr fpsr, xzr" ::: "memory"); }
bool met_denormal() {
  constexpr uint64_t underflow = 1u << 3;
  uint64_t status;
  __asm__ volatile("mrs %0, fpsr" : "=r"(status)::"memory");
  return status & underflow;
}
#else
#error "say here how this processor notes denormal numbers"
#endif

// A program that could not see a denormal number would find nothing wrong.
void see_that_notes_are_taken() {
  volatile float smallest = 0x1p-126f, below = 0x1p-140f, factor = 0.3f, result;
  clear_notes();
  result = smallest + smallest;
  CHECK(!met_denormal(), "a denormal number is noted where there is none");
  clear_notes();
  result = smallest * factor;
  CHECK(met_denormal(), "a denormal number is made, and not noted");
  clear_notes();
  result = below + smallest;
  CHECK(met_denormal() || !notes_operands, "a denormal number is met, and not noted");
  static_cast<void>(result);
}

struct Options {
  double eps, eps_root, dampening;
  bool bias_correction;
};
const Options usual[] = {
    {0.0, 1e-8, 0.9, true},   // the defaults here
    {1e-8, 0.0, 0.9, true},   // as in most other libraries
    {1e-7, 0.0, 0.0, false},  // heavy ball, no correction
};

constexpr int count = 19;  // elements: vectors and a tail

// Everything that a rule writes, for one run of `count` elements.
template <class T>
struct Memory {
  T streams[max_streams][count] = {};  // as kernels take them

  // How many values that sink are not zero yet: all state; an average is its own parameter.
  int alive(const Rule& rule) const {
    if (!rule.states[0]) return alive(streams[0]);
    int n = 0;
    for (int s = 0; rule.states[s]; ++s) n += alive(streams[2 + s]);
    return n;
  }
  // The same of those whose last step may be noted.
  int ending(const Rule& rule) const {
    if (strcmp(rule.name, "ewa") == 0) return alive(streams[0]);
    return 0;
  }
  static int alive(const T (&values)[count]) {
    int n = 0;
    for (const T x : values) n += x != 0;
    return n;
  }

  // Brings values that sink slowly to a few steps before the smallest normal number.
  void lower(const Rule& rule) {
    if (!rule.states[0]) return lower(streams[0]);
    for (int s = 0; rule.states[s]; ++s) {
      const char* name = rule.states[s];
      if (strcmp(name, "v") == 0 || strcmp(name, "u") == 0) lower(streams[2 + s]);
      if (strcmp(rule.name, "lion") == 0) lower(streams[2 + s], Floor<T>::scaled * 64);
    }
  }
  static void lower(T (&values)[count], T scale = Floor<T>::normal * 64) {
    for (T& x : values) x = (x < 0 ? -x : x) < T(1) / 64 ? T(0) : x * scale;
  }
};

// Whether one of what a rule keeps never sinks: a maximum, a sum, what is kept above an ε; and
// SGD's parameters.
bool lasts(const Rule& rule, const Options& options) {
  for (const char* name : {"sgd", "amsgrad", "amsgrad_of_corrected", "adagrad"}) {
    if (strcmp(rule.name, name) == 0) return true;
  }
  return strcmp(rule.name, "adamax") == 0 && options.eps_root > 0;
}

template <class T>
void sink(const KernelTable& table, const Rule& rule, DType dtype, Decay decay,
          const Options& options, int64_t steps, bool from_swing) {
  constexpr int swing = 50;  // steps that bring the state there
  Memory<T> memory;
  void* streams[max_streams];
  for (int s = 0; s < max_streams; ++s) streams[s] = memory.streams[s];
  for (int i = 0; i < count; ++i) memory.streams[0][i] = T(1) + T(i) / 8;

  Hyperparameters h;
  h.lr = 1e-3;
  h.beta = h.beta1 = 0.9;
  h.beta2 = 0.999;
  h.momentum = 0.9;
  h.dampening = options.dampening;
  h.eps = options.eps;
  h.eps_root = options.eps_root;
  h.bias_correction = options.bias_correction;
  h.weight_decay = decay == no_decay ? 0 : 1e-2;
  h.threshold = 5;
  h.momentum_decay = 0.004;
  h.looks_ahead = h.rectified = options.bias_correction;
  Corrections corrections;
  corrections.products[Corrections::of_mu].stored = true;
  const Kernel& kernel = rule.kernels[dtype][decay];
  int64_t slow = 0, first = 0;
  for (int64_t t = 1; t <= swing + steps; ++t) {
    for (int i = 0; i < count; ++i) {
      // Both signs, up to 1, another order every step.
      const int mixed = static_cast<int>((t * 7 + i * 5) % 16) - 8;
      memory.streams[1][i] = t <= swing ? T(mixed) / 8 : T(0);
    }
    if (t == swing + 1 && !from_swing) memory.lower(rule);
    corrections.prepare(h, t);
    corrections.commit();
    Constants constants;
    kernel.prepare(h, 1.0, &constants);
    const int before = memory.ending(rule);
    clear_notes();
    kernel.run(&constants, streams, count);
    if (met_denormal() && memory.ending(rule) >= before && slow++ == 0) first = t;
  }
  const auto describe = [&](const char* wrong, long long n, long long at) {
    native::fail(__FILE__, __LINE__,
                 "%s float%d, decay %d, eps %g, eps_root %g, level %s: %lld %s %lld", rule.name,
                 itemsize_of[dtype] * 8, decay, options.eps, options.eps_root, table.isa, n, wrong,
                 at);
  };
  if (slow) describe("steps met denormals, the first of them is step", slow, first);
  const int expected = lasts(rule, options) ? count : 0;
  const int left = memory.alive(rule);
  if (left > expected) describe("values are left, expected", left, expected);
}

}  // namespace

int main(int argc, char** argv) {
  const bool full = argc == 2 && strcmp(argv[1], "--full") == 0;
  const int64_t steps = full ? 1000000 : argc == 2 ? atoll(argv[1]) : 0;
  if (steps <= 0) {
    printf("usage: denormals STEPS | --full\n");
    return 2;
  }
  see_that_notes_are_taken();
  const Levels levels = available_levels();
  for (int i = 0; i < levels.count; ++i) {
    const KernelTable& table = *levels.tables[i];
    for (int r = 0; r < table.rule_count; ++r) {
      // Decay that enters the gradient keeps it from being zero.
      for (const Decay decay : {no_decay, decoupled_decay}) {
        for (const Options& options : usual) {
          // Without its only ε it ends at 0/0.
          if (strcmp(table.rules[r].name, "adadelta") == 0 && options.eps_root == 0) continue;
          sink<float>(table, table.rules[r], float32, decay, options, steps, full);
          sink<double>(table, table.rules[r], float64, decay, options, steps, full);
        }
      }
    }
  }
  return native::verdict("denormals");
}
