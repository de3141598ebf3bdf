// Powers without the C library: bias corrections with the same bits on every machine. (glibc's pow
// takes another path, and gives other bits, on a processor with FMA.) Compiled for the baseline
// alone: no level's kernels see it.
#pragma once

#include <cstdint>

namespace gradstep {

// An unevaluated sum high + low that carries about 106 bits (Dekker 1971).
struct DoubleDouble {
  double high, low;
};

// The exact product of two doubles, as Dekker's splitting into 26 and 27 bits gives it.
inline DoubleDouble exact_product(double a, double b) {
  constexpr double splitter = 134217729.0;  // 2²⁷ + 1
  const double a_scaled = splitter * a, b_scaled = splitter * b;
  const double a_high = a_scaled - (a_scaled - a), a_low = a - a_high;
  const double b_high = b_scaled - (b_scaled - b), b_low = b - b_high;
  const double product = a * b;
  const double error =
      ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low;
  return {product, error};
}

inline DoubleDouble multiply(DoubleDouble a, DoubleDouble b) {
  const DoubleDouble product = exact_product(a.high, b.high);
  const double low = product.low + (a.high * b.low + a.low * b.high);
  const double high = product.high + low;
  return {high, low - (high - product.high)};
}

inline DoubleDouble add(DoubleDouble a, DoubleDouble b) {
  const double sum = a.high + b.high;  // Knuth 1969: the error of a sum, whichever is larger
  const double of_b = sum - a.high;
  const double low = ((a.high - (sum - of_b)) + (b.high - of_b)) + (a.low + b.low);
  const double high = sum + low;
  return {high, low - (high - sum)};
}

inline DoubleDouble divide(DoubleDouble a, double b) {
  const double quotient = a.high / b;
  const DoubleDouble back = exact_product(quotient, b);
  const double low = (((a.high - back.high) - back.low) + a.low) / b;
  const double high = quotient + low;
  return {high, low - (high - quotient)};
}

// 1 − x for 0 ≤ x ≤ 1.
inline DoubleDouble complement(DoubleDouble x) { return add({1.0, 0.0}, {-x.high, -x.low}); }

// 0.96 to the power of x for x ≥ 0, to within 1e-16.
inline double power_of_0_96(double x) {
  constexpr DoubleDouble logarithm{-0x1.4e69ed6d80eaep-5, 0x1.a42d55df10262p-60};  // of 0.96
  DoubleDouble y = multiply(logarithm, {x, 0.0});
  if (!(y.high > -64)) return 0.0;
  int squarings = 0;
  for (; y.high < -0x1p-4; ++squarings) y = {y.high / 2, y.low / 2};
  DoubleDouble power{1.0, 0.0};  // Horner's rule for the series of the exponential function
  for (int n = 16; n > 0; --n) power = add({1.0, 0.0}, divide(multiply(power, y), n));
  for (; squarings > 0; --squarings) power = multiply(power, power);
  return power.high;
}

// βᵗ for 0 ≤ β < 1, remembered in blocks of t: a step asks for t, the next one for t + 1.
// The relative error stays near t · 2⁻¹⁰⁴, and what comes out depends on β and t alone.
class Powers {
 public:
  DoubleDouble power(double beta, std::int64_t t) {
    if (beta != beta_) start(beta);
    if (t / block != at_) {
      at_ = t / block;
      large_ = squared(small_[block], at_);
    }
    return multiply(large_, small_[t % block]);
  }
  // 1 − βᵗ, rounded once: the bias correction of an average that started at zero.
  double one_minus(double beta, std::int64_t t) { return complement(power(beta, t)).high; }

 private:
  static constexpr int block = 16;

  void start(double beta) {
    beta_ = beta;
    at_ = -1;
    small_[0] = {1.0, 0.0};
    for (int i = 1; i <= block; ++i) small_[i] = kept(multiply(small_[i - 1], {beta, 0.0}));
  }

  // baseⁿ by repeated squaring.
  static DoubleDouble squared(DoubleDouble base, std::int64_t n) {
    DoubleDouble result{1.0, 0.0};
    for (; n > 0; n >>= 1) {
      if (n & 1) result = kept(multiply(result, base));
      base = kept(multiply(base, base));
      if (result.high == 0.0) break;
    }
    return result;
  }

  // Far below what 1 − βᵗ can show, and clear of underflow.
  static DoubleDouble kept(DoubleDouble x) {
    return x.high < 0x1p-400 ? DoubleDouble{0.0, 0.0} : x;
  }

  double beta_ = -1.0;  // none yet
  std::int64_t at_ = -1;
  DoubleDouble small_[block + 1]{}, large_{};  // β⁰ to β¹⁶; β to the multiple of 16 below t
};

inline double one_minus_power(double beta, std::int64_t t) { return Powers().one_minus(beta, t); }

}  // namespace gradstep
