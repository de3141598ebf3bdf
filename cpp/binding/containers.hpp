// The dicts and lists in which parameters came, and whether they still hold the same objects.
// Somebody who rebinds an entry (`params["W"] = params["W"] - step`) trains an array that no
// optimizer steps. What the objects are is arrays.cpp's business.
#pragma once

#include <pybind11/pybind11.h>

#include <vector>

namespace gradstep {

namespace py = pybind11;

class Containers {
 public:
  Containers() = default;
  // A list of tuples: a container, its keys or positions, and what it holds there.
  explicit Containers(const py::list& found);

  // A few nanoseconds for each entry of a plain dict or list. Others may run code of the user's.
  bool unchanged() const;
  int traverse(visitproc visit, void* arg) const;

 private:
  struct Entry {
    py::object container;
    std::vector<py::object> keys, children;
  };
  std::vector<Entry> entries_;
};

}  // namespace gradstep
