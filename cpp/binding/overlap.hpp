// Which arrays share memory, exactly, and whether one does with itself. Of any dtype. Not here:
// what that means for a step (written_memory.hpp).
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <vector>

#include "engine/strided.hpp"

namespace gradstep {

namespace py = pybind11;

// The memory of an array, read afresh each time: it may move in between.
struct Memory {
  py::handle array;
  Geometry geometry;
  std::ptrdiff_t itemsize = 0;
  std::int64_t size = 0;             // elements
  std::uintptr_t low = 0, high = 0;  // every byte lies in [low, high)
};

Memory memory_of(py::handle array, std::ptrdiff_t itemsize);

// Whether two arrays, none of them empty, share a byte.
bool share_memory(const Memory& a, const Memory& b);

// Whether two elements of one array share a byte, as in overlapping windows or where a stride is 0.
bool repeats_elements(const Memory& memory);

// Which of these arrays share memory with an earlier one, and with which first.
py::dict overlapping(const std::vector<py::array>& arrays);

}  // namespace gradstep
