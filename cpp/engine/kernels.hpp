// What one instruction-set level offers: a table of compiled loops, the same table for every level.
// The loops themselves are in kernels.cpp, the choice of a level in dispatch.cpp.
#pragma once

#include <stdint.h>

#include "engine/rules.hpp"

namespace gradstep {

enum DType : int { float32, float64, dtype_count };
constexpr int itemsize_of[dtype_count] = {4, 8};

// Where the parameter itself enters: nowhere, into the gradient (g + λw), or by shrinking it first
// (w := w − αλw; Loshchilov & Hutter 2019).
enum Decay : int { no_decay, coupled_decay, decoupled_decay, decay_count };

constexpr int max_states = 4;
constexpr int max_streams = 2 + max_states;  // parameter, gradient, state

// The constants of a rule and its decay in one element type, as the loop reads them.
struct alignas(16) Constants {
  unsigned char bytes[128];
};

// One rule, with one kind of decay, in one element type.
struct Kernel {
  // `scale` multiplies every gradient before anything else; its sign turns descent into ascent.
  void (*prepare)(const Hyperparameters&, double scale, Constants*);
  // Updates `count` elements. streams: parameter, gradient, state; dense, aligned to their type,
  // and none overlapping another. It allocates nothing and cannot fail.
  void (*run)(const Constants*, void* const* streams, int64_t count);
};

struct Rule {
  const char* name;
  const char* states[max_states + 1];  // ended by a null pointer
  Kernel kernels[dtype_count][decay_count];
};

// Averages of a whole series: averages[i] is the average of values[0..i]. Both have `rows` rows of
// `columns` values; the first `corrected` rows are divided by their corrections.
using EwaSeries = void (*)(const Hyperparameters&, const void* values, void* averages, int64_t rows,
                           int64_t columns, const double* corrections, int64_t corrected);

// What is done to gradients of one element type before the update.
struct GradientKernel {
  // Σ (unit · (scale · g))²: the product with `scale` in the element type, as the update has it,
  // the rest in double, in an order that depends on `count` alone.
  double (*sum_of_squares)(const void* gradient, int64_t count, double scale, double unit);
  // (g · first) · second, brought within ±bound; NaN passes. `clipped` may be the gradient itself.
  void (*clip)(const void* gradient, void* clipped, int64_t count, double first, double second,
               double bound);
};

struct KernelTable {
  const char* isa;
  const Rule* rules;
  int rule_count;
  EwaSeries ewa_series[dtype_count];
  GradientKernel gradients[dtype_count];
};

}  // namespace gradstep
