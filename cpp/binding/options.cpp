// Options of a step; see options.hpp.
#include "binding/options.hpp"

namespace gradstep {
namespace {

Options::Bound bound_of(const char* name, const py::object& value, std::int64_t t) {
  if (value.is_none()) return {};
  if (!PyCallable_Check(value.ptr())) {
    return {py::none(), checked_number(Range::nonnegative_or_inf, name, value)};
  }
  return {value, scheduled_number(Range::nonnegative_or_inf, name, value, t)};
}

Options::Nonfinite nonfinite_of(const py::object& value) {
  static constexpr const char* names[] = {"propagate", "skip", "raise"};
  if (PyUnicode_Check(value.ptr())) {
    for (int i = 0; i < 3; ++i) {
      if (PyUnicode_CompareWithASCIIString(value.ptr(), names[i]) == 0) {
        return static_cast<Options::Nonfinite>(i);
      }
    }
  }
  throw py::value_error("nonfinite must be 'propagate', 'skip' or 'raise', got " + shown(value));
}

}  // namespace

Options::Options(const py::dict& given, std::int64_t t)
    : max_norm(bound_of("max_norm", given["max_norm"], t)),
      clip_value(bound_of("clip_value", given["clip_value"], t)),
      nonfinite(nonfinite_of(given["nonfinite"])),
      given(given) {}

Options Options::at(std::int64_t t) const {
  Options now = *this;
  for (const auto& [bound, name] :
       {std::pair{&now.max_norm, "max_norm"}, std::pair{&now.clip_value, "clip_value"}}) {
    if (!bound->function.is_none()) *bound = bound_of(name, bound->function, t);
  }
  return now;
}

}  // namespace gradstep
