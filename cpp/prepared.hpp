// What has been checked and laid out and only waits to be done, so that several things are done at
// once or not at all. What it is lives with what it changes: stepper.cpp, filling.cpp.
#pragma once

#include <pybind11/pybind11.h>

#include <utility>
#include <vector>

namespace gradstep {

namespace py = pybind11;

class Prepared {
 public:
  Prepared() = default;
  virtual ~Prepared() = default;
  Prepared(const Prepared&) = delete;
  Prepared& operator=(const Prepared&) = delete;

  // Once. Allocates nothing, calls nothing of Python's, cannot fail.
  virtual void commit() noexcept = 0;
};

// Gives each object another __dict__, and does all that is prepared: everything or nothing, with no
// place in between where an interruption could come.
using Swap = std::pair<py::object, py::dict>;
void commit(const std::vector<Prepared*>& prepared, const std::vector<Swap>& swaps);

}  // namespace gradstep
