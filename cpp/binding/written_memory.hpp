// The memory that a step writes. No two arrays in it may overlap, and no gradient may reach into
// it.
#pragma once

#include <cstdint>
#include <vector>

#include "binding/arrays.hpp"

namespace gradstep {

// Memory that no written array reaches into.
struct Gap {
  std::uintptr_t low = 1, high = 0;  // none
};

class WrittenMemory {
 public:
  void clear();
  // `moves`: the array is the caller's, who may reshape or resize it between two steps.
  void add(const View& view, const Label& label, bool moves);
  // ValueError where one of the arrays added repeats an element, or, naming both, where two share
  // one.
  void require_disjoint();

  // Once disjoint: whether every array still has its place, shape, dtype and flags. Who owns the
  // memory does not count: pins change that.
  bool unchanged() const;
  // The same as `require_disjoint` for an array that is only read, against all that are written.
  void require_apart(const View& view, const Label& label) const;
  // Whether [low, high) is clear of all that is written, as far as extents tell. `gap` is the gap
  // of the last time, which is tried first.
  bool clear_of(std::uintptr_t low, std::uintptr_t high, Gap& gap) const;

 private:
  struct Entry {
    std::uintptr_t low, high, high_so_far;
    py::handle array;
    Label label;
  };
  std::vector<Entry> entries_;  // sorted by `low` once disjoint
  // The arrays that may move, and the fingerprints that they had when they were added.
  std::vector<PyObject*> watched_;
  std::vector<std::uintptr_t> fingerprints_;
};

}  // namespace gradstep
