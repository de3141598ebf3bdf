// The search for the gradient that is not finite, once a pass over all of them has met one, and
// the words for it.
#pragma once

#include <cstdint>
#include <string>

#include "binding/arrays.hpp"

namespace gradstep {

struct NotFinite {
  int parameter;
  std::int64_t position;  // in the order of indices
  std::string what;       // "is nan"
};

// The first element of the gradient of parameter `parameter`, in the order of indices and not
// before `from`, whose product with `scale` is not finite. There is one.
NotFinite find_not_finite(const View& gradient, int parameter, std::int64_t from, double scale);

// "gradient of 'W' is nan, at [0, 2]"
std::string describe(const NotFinite& found, const View& gradient, const Label& label);

}  // namespace gradstep
