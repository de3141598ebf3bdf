// No step is slow because moments have sunk: every rule, from a state in full swing, under zero
// gradients, until its moments are gone. The processor itself notes when an operation meets or makes
// a denormal number; its flags are cleared before a kernel runs and read after.
//
//   denormals [STEPS]   of each rule under zero gradients; 100000 are usual
#include <math.h>

#include "levels.hpp"
#include "native.hpp"
#include "powers.hpp"

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
    {0.0, 1e-8, 0.9, true},    // the defaults here
    {1e-8, 0.0, 0.9, true},    // as in most other libraries
    {1e-7, 0.0, 0.0, false},   // heavy ball, no correction
};

template <class T>
void sink(const KernelTable& table, const Rule& rule, DType dtype, Decay decay,
          const Options& options, int64_t steps) {
  constexpr int count = 19;  // vectors and a tail
  constexpr int swing = 50;  // steps that bring the state there
  T memory[max_streams][count];
  void* streams[max_streams];
  for (int s = 0; s < max_streams; ++s) {
    streams[s] = memory[s];
    for (T& x : memory[s]) x = 0;
  }
  for (int i = 0; i < count; ++i) memory[0][i] = T(1) + T(i) / 8;

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
  Powers beta, beta1, beta2;
  const Kernel& kernel = rule.kernels[dtype][decay];
  int64_t slow = 0, first = 0;
  for (int64_t t = 1; t <= swing + steps; ++t) {
    for (int i = 0; i < count; ++i) {
      // Both signs, up to 1, another order every step.
      const int mixed = static_cast<int>((t * 7 + i * 5) % 16) - 8;
      memory[1][i] = t <= swing ? T(mixed) / 8 : T(0);
    }
    if (h.bias_correction) {
      h.correction = beta.one_minus(h.beta, t);
      h.correction1 = beta1.one_minus(h.beta1, t);
      h.correction2 = beta2.one_minus(h.beta2, t);
    }
    Constants constants;
    kernel.prepare(h, 1.0, &constants);
    clear_notes();
    kernel.run(&constants, streams, count);
    if (met_denormal() && slow++ == 0) first = t;
  }
  CHECK(slow == 0, "%s float%d, decay %d, eps %g, eps_root %g, level %s: %lld steps met denormals, "
        "first step %lld", rule.name, itemsize_of[dtype] * 8, decay, options.eps, options.eps_root,
        table.isa, (long long)slow, (long long)first);
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t steps = argc > 1 ? atoll(argv[1]) : 100000;
  see_that_notes_are_taken();
  const Levels levels = available_levels();
  for (int i = 0; i < levels.count; ++i) {
    const KernelTable& table = *levels.tables[i];
    for (int r = 0; r < table.rule_count; ++r) {
      // Decay that enters the gradient keeps it from being zero.
      for (const Decay decay : {no_decay, decoupled_decay}) {
        for (const Options& options : usual) {
          sink<float>(table, table.rules[r], float32, decay, options, steps);
          sink<double>(table, table.rules[r], float64, decay, options, steps);
        }
      }
    }
  }
  return native::verdict("denormals");
}
