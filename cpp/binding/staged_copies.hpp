// Copies from arrays into others, validated and laid out in advance: copying itself cannot fail.
#pragma once

#include <cstdint>
#include <vector>

#include "binding/arrays.hpp"

namespace gradstep {

class StagedCopies {
 public:
  // ValueError or TypeError where `target` cannot be written to or `source` is not like it.
  void add(const py::array& target, const py::array& source, const Label& label);
  // Allocates nothing, cannot fail.
  void fill() const noexcept;

 private:
  struct Copy {
    StridedRun run;  // the target, then the source
    std::int64_t count;
    int itemsize;
  };
  std::vector<Copy> copies_;
  std::vector<py::array> kept_;
  Pins pins_;
};

}  // namespace gradstep
