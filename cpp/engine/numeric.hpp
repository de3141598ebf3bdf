// Element types: how a number is loaded, computed in and stored, and when a moment counts as zero.
// No optimizer maths (that is rules.hpp) and no loop (that is kernels.cpp).
#pragma once

#if defined(_MSC_VER) && !defined(__clang__)
#pragma fp_contract(off)  // before Visual Studio 2022 a default of /fp:precise
#include <math.h>         // MSVC has no __builtin_sqrt; its sqrt is an intrinsic under /O2
#define GRADSTEP_INLINE __forceinline
#define GRADSTEP_RESTRICT __restrict
#define GRADSTEP_SIMD  // MSVC vectorises plain loops; its OpenMP mode knows no simd pragma
#else
// Always inlined: an out-of-line copy would be a weak symbol, and the linker may keep the one that
// was compiled for the widest instruction set.
#define GRADSTEP_INLINE inline __attribute__((always_inline))
#define GRADSTEP_RESTRICT __restrict__
#define GRADSTEP_SIMD _Pragma("omp simd")
#endif

namespace gradstep {

#if defined(_MSC_VER) && !defined(__clang__)
GRADSTEP_INLINE float square_root(float x) { return sqrtf(x); }
GRADSTEP_INLINE double square_root(double x) { return sqrt(x); }
GRADSTEP_INLINE float magnitude(float x) { return fabsf(x); }
GRADSTEP_INLINE double magnitude(double x) { return fabs(x); }
#else
GRADSTEP_INLINE float square_root(float x) { return __builtin_sqrtf(x); }
GRADSTEP_INLINE double square_root(double x) { return __builtin_sqrt(x); }
GRADSTEP_INLINE float magnitude(float x) { return __builtin_fabsf(x); }
GRADSTEP_INLINE double magnitude(double x) { return __builtin_fabs(x); }
#endif

// How a stored element is computed with. A 16-bit type would compute in float.
template <class Stored>
struct Numeric {
  using Compute = Stored;
  static GRADSTEP_INLINE Compute load(Stored x) { return x; }
  static GRADSTEP_INLINE Stored store(Compute x) { return x; }
};

// Under zero gradients a moment decays by β a step until it is denormal, and arithmetic on
// denormals can be many times slower. So what is stored is compared with a floor, and is zero
// below it. The processor's own flush-to-zero would do the same faster on paper, but x86 decides
// what is tiny after rounding and Arm before: the bits would differ.
template <class T>
struct Floor;
template <>
struct Floor<float> {
  // Smallest normal number: for averages, which stand alone.
  static constexpr float normal = 0x1p-126f;
  // For second moments: what one leaves behind, β v, is normal for β ≥ 1/64. A step in which many
  // of them sank below the smallest normal number would be slow.
  static constexpr float decaying = 0x1p-120f;
  // For first moments: they are multiplied by a rate, and the product has to stay normal too.
  static constexpr float scaled = 0x1p-100f;
  // For a mean that is only ever squared, its root: the compiler may square what it then drops.
  static constexpr float squared = 0x1p-60f;
  static constexpr float largest = 0x1.fffffep127f;
};
template <>
struct Floor<double> {
  static constexpr double normal = 0x1p-1022;
  static constexpr double decaying = 0x1p-1016;
  static constexpr double scaled = 0x1p-996;
  static constexpr double squared = 0x1p-508;
  static constexpr double largest = 0x1.fffffffffffffp1023;
};

// A second moment that overflowed stays the largest number: were it infinite, 0 · ∞ would make the
// next one NaN where β is 0. NaN passes. `largest` is Floor<T>::largest, but has to come as one of
// the rule's constants: a number that the compiler knows lets it weave this and `flush_below` into
// one tangle of masks, where one instruction would do.
template <class T>
GRADSTEP_INLINE T bounded(T x, T largest) {
  return x > largest ? largest : x;
}

// A constant that keeps a quotient from 0/0 must not vanish when it is rounded to T.
template <class T>
GRADSTEP_INLINE T positive(double x) {
  return x > 0 && T(x) < Floor<T>::normal ? Floor<T>::normal : T(x);
}

// What is added to a root. Without any ε, 0/0 counts as 0: an element that never had a gradient
// stays where it is. The smallest normal number does that, and vanishes next to every other root,
// where a comparison for each element would make a step up to a tenth slower.
template <class T>
GRADSTEP_INLINE T outer_eps(double eps, double eps_root) {
  return eps == 0 && eps_root == 0 ? Floor<T>::normal : positive<T>(eps);
}

// NaN is not below the floor and passes.
template <class T>
GRADSTEP_INLINE T flush_below(T x, T floor) {
  return magnitude(x) < floor ? T(0) : x;
}

}  // namespace gradstep
