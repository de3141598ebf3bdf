// The options of a step: clipping and the finite check. The same lines validate them and
// hyperparameters; the formulas are in norm.hpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "binding/hyperparameters.hpp"

namespace gradstep {

struct Options {
  enum Nonfinite { propagate, skip, raise };
  // None where it is not asked for.
  struct Bound {
    py::object function = py::none();  // a schedule: called with the number of steps taken
    std::optional<double> value;
  };

  Bound max_norm, clip_value;
  Nonfinite nonfinite = propagate;
  py::object given = py::none();  // the caller's dict, to be read back

  Options() = default;
  // `given` is a dict of all three by name.
  Options(const py::dict& given, std::int64_t t);

  // Whether a pass over the gradients comes before the update.
  bool measures() const { return max_norm.value || nonfinite != propagate; }
  bool scheduled() const { return !max_norm.function.is_none() || !clip_value.function.is_none(); }
  // Calls the schedules.
  Options at(std::int64_t t) const;
};

}  // namespace gradstep
