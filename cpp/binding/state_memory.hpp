// Memory for the state of a group: one block of zeros, in which all first moments stand behind each
// other, then all second moments, and so on. Walking many small arrays is then as walking one.
#pragma once

#include <pybind11/numpy.h>

#include <cstddef>
#include <vector>

namespace gradstep {

namespace py = pybind11;

class StateMemory {
 public:
  // Room for `kinds` arrays like each of these parameters.
  StateMemory(const std::vector<py::array>& parameters, int kinds);

  // A new array over one parameter's state of one kind, of the parameter's dtype and shape and
  // dense in its memory order. It owns no memory and its owner is out of reach, so it can be
  // reshaped, but not resized; the memory lives as long as any array over it.
  py::array array(std::size_t parameter, int kind) const;

 private:
  struct Like {
    py::dtype dtype;
    std::vector<py::ssize_t> shape, strides;
    py::ssize_t offset;  // within the arrays of one kind
  };
  std::vector<Like> likes_;
  py::ssize_t bytes_of_kind_ = 0;
  char* data_ = nullptr;
  py::capsule owner_;
};

}  // namespace gradstep
