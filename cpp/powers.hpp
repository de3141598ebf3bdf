// β to the power of t without the C library: bias corrections with the same bits on every machine.
// (glibc's pow takes another path, and gives other bits, on a processor with FMA.)
#pragma once

#include <stdint.h>

namespace gradstep {

// Static, so that no object exports a copy that the linker could take for all.

// An unevaluated sum high + low that carries about 106 bits (Dekker 1971).
struct DoubleDouble {
  double high, low;
};

// The exact product of two doubles, as Dekker's splitting into 26 and 27 bits gives it.
static inline DoubleDouble exact_product(double a, double b) {
  constexpr double splitter = 134217729.0;  // 2²⁷ + 1
  const double a_scaled = splitter * a, b_scaled = splitter * b;
  const double a_high = a_scaled - (a_scaled - a), a_low = a - a_high;
  const double b_high = b_scaled - (b_scaled - b), b_low = b - b_high;
  const double product = a * b;
  const double error =
      ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low;
  return {product, error};
}

static inline DoubleDouble multiply(DoubleDouble a, DoubleDouble b) {
  const DoubleDouble product = exact_product(a.high, b.high);
  const double low = product.low + (a.high * b.low + a.low * b.high);
  const double high = product.high + low;
  return {high, low - (high - product.high)};
}

// βᵗ for 0 ≤ β < 1 by repeated squaring: the relative error stays near t · 2⁻¹⁰⁴.
static inline DoubleDouble power(double beta, int64_t t) {
  constexpr double vanished = 0x1p-400;  // far below what 1 − βᵗ can show; keeps clear of underflow
  DoubleDouble result{1.0, 0.0}, square{beta, 0.0};
  for (; t > 0; t >>= 1) {
    if (t & 1) result = multiply(result, square);
    square = multiply(square, square);
    if (square.high < vanished) square = {0.0, 0.0};
    if (result.high < vanished) return {0.0, 0.0};
  }
  return result;
}

// 1 − βᵗ, rounded once: the bias correction of an average that started at zero.
static inline double one_minus_power(double beta, int64_t t) {
  const DoubleDouble p = power(beta, t);
  return (1.0 - p.high) - p.low;
}

}  // namespace gradstep
