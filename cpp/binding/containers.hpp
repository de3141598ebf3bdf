// The dicts and lists in which parameters came, and whether they still hold the same arrays. Code
// that rebinds an entry (`params["W"] = params["W"] - step`) trains an array that no optimizer
// steps.
#pragma once

#include <pybind11/pybind11.h>

#include <deque>
#include <vector>

#include "binding/model.hpp"

namespace gradstep {

class Containers {
 public:
  Containers() = default;
  // `walk` returns the containers, as tuples of a container, its keys or positions and what it
  // holds there, and each parameter with the expression for it. None where no entry can be rebound.
  explicit Containers(py::object walk);

  // ValueError where they hold other arrays than these parameters. A few nanoseconds for each entry
  // of a plain dict or list; others may run code of the user's.
  void require_same_arrays(const std::deque<Parameter>& parameters) {
    if (!unchanged()) compare(parameters);
  }
  int traverse(visitproc visit, void* arg) const;

 private:
  struct Entry {
    py::object container;
    std::vector<py::object> keys, children;
  };

  bool unchanged() const;
  void compare(const std::deque<Parameter>& parameters);
  void note(const py::list& containers);

  py::object walk_ = py::none();
  std::vector<Entry> entries_;
};

}  // namespace gradstep
