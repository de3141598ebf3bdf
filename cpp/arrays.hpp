// A NumPy object -> a checked piece of memory. The only place that judges arrays: every error about
// a dtype, shape, layout or overlap is raised here, before any byte has changed.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>
#include <vector>

#include "kernels.hpp"
#include "strided.hpp"

namespace gradstep {

namespace py = pybind11;

// What an array is to a step; made into words only when there is something to complain about.
struct Label {
  enum Role { parameter, gradient, state } role;
  const std::string* name;      // of the parameter: "W1"
  const char* state_name = "";  // "m", where the role is state
  std::string text() const;     // "parameter 'W1'", "gradient of 'W1'", "state 'm' of 'W1'"
};

// An array as a step sees it, read afresh each time: data may move and flags may change in between.
struct View {
  py::handle array;
  Geometry geometry;
  DType dtype = float32;
  std::int64_t size = 0;
  int flags = 0;

  bool has(int wanted) const { return (flags & wanted) == wanted; }
  std::uintptr_t low = 0, high = 0;  // every byte lies in [low, high)
};

// The array behind `object`, which may be anything that exports its memory without a copy.
// TypeError where it is not.
py::array as_array(py::handle object, const Label& label);

// TypeError where the dtype is not served.
View view_of(py::handle array, const Label& label);

// A View that may be written to: ValueError where it is read-only.
View writable_view_of(py::handle array, const Label& label);

// TypeError or ValueError where `view` has not the parameter's dtype and shape.
void require_like(const View& view, const Label& label, const View& parameter);

// True where all are dense in one and the same order, so that they can be walked as plain runs.
bool all_dense(const View* views, int count);

// The memory that a step writes. Nothing in it may overlap, and no gradient may reach into it.
class WrittenMemory {
 public:
  void clear();
  void add(const View& view, const Label& label);
  // ValueError where one of the arrays added so far repeats an element, or, naming both, where two
  // share one. Cheap where they lie as they did when it was last called.
  void require_disjoint();
  // The same for an array that is only read, against all that are written.
  void require_apart(const View& view, const Label& label) const;

 private:
  struct Entry {
    std::uintptr_t low, high, high_so_far;
    py::handle array;
    Label label;
  };
  std::vector<Entry> entries_;  // sorted by `low` once checked
  std::vector<std::uintptr_t> shapes_, checked_shapes_;
  std::vector<Entry> checked_;
};

}  // namespace gradstep
