// The norm of the gradients of a step, from sums of squares of tiles that anybody may have summed,
// in any order of time. They are added in the order of the tiles, so the norm has the same bits
// always. The sum of a tile is in kernels.cpp, the walk over tiles in sweep.cpp.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "engine/kernels.hpp"

namespace gradstep {

// Of one tile: Σ (2^exponent · g)². Squares of doubles leave the range of double long before their
// root does, so a tile of large or small numbers is summed in another unit (Blue 1978).
struct Squares {
  enum Unit : int { plain, large, small } unit = plain;
  double sum = 0;  // not finite where a gradient is not

  bool finite() const { return std::isfinite(sum); }

  static Squares of(const GradientKernel& kernel, const void* gradient, std::int64_t count,
                    double scale) {
    // Below the least, squares may have lost what they were; above the most, a sum of many could
    // overflow.
    constexpr double least = 0x1p-900, most = 0x1p900;
    const double sum = kernel.sum_of_squares(gradient, count, scale, 1.0);
    if (sum >= least && sum <= most) return {plain, sum};
    const Unit unit = sum < least ? small : large;
    return {unit, kernel.sum_of_squares(gradient, count, scale, factor(unit))};
  }

  static constexpr double factor(Unit unit) {
    return unit == plain ? 1.0 : unit == large ? 0x1p-600 : 0x1p600;
  }
};

inline double norm_of(const std::vector<Squares>& tiles) {
  double sums[3] = {};
  for (const Squares& tile : tiles) sums[tile.unit] += tile.sum;
  // A sum of a lower unit counts in the next higher one as 2^-1200 times what it is.
  const auto down = [](double sum) { return sum * 0x1p-600 * 0x1p-600; };
  if (sums[Squares::large] > 0 || !std::isfinite(sums[Squares::large])) {
    return std::sqrt(sums[Squares::large] + down(sums[Squares::plain])) * 0x1p600;
  }
  if (sums[Squares::plain] > 0) {
    return std::sqrt(sums[Squares::plain] + down(sums[Squares::small]));
  }
  return std::sqrt(sums[Squares::small]) * 0x1p-600;
}

// What gradients are multiplied by so that their norm is at most `max_norm` (Pascanu, Mikolov &
// Bengio 2013, algorithm 1). One that is not finite is nothing to go by.
inline double clipping_factor(double norm, double max_norm) {
  return std::isfinite(norm) && norm > max_norm ? max_norm / norm : 1.0;
}

}  // namespace gradstep
