// The gradients of a step: found in what the caller passes, kept until the step is over, dropped.
// Not here: whether they fit their parameters (step.cpp, arrays.cpp).
#pragma once

#include <vector>

#include "binding/model.hpp"

namespace gradstep {

// How gradients are passed: a list where `listed`, or a dict with all of the keys in one of `keys`,
// in the parameters' order. `flatten` makes a sequence of anything else; without it, gradients are
// a sequence.
struct GradientFormat {
  py::object flatten;
  std::vector<py::tuple> keys;  // those that fitted last come first
  bool listed = true;
};

class Gradients {
 public:
  GradientFormat format;

  // One array for each parameter. This may call the user's code. TypeError or ValueError where
  // there is not one for each.
  void collect(py::handle given, const Model& model);
  // What goes with a gradient may run code of the user's.
  void drop();

  const py::object& operator[](std::size_t i) const { return arrays_[i]; }
  py::list list() const;
  int traverse(visitproc visit, void* arg) const;

 private:
  bool look_up(PyObject* dict, const py::tuple& keys);

  std::vector<py::object> arrays_;
};

}  // namespace gradstep
