// Looking into containers; see containers.hpp.
#include "binding/containers.hpp"

#include <cstddef>

namespace gradstep {
namespace {

// Whether a plain dict or list has just these values, in this order. False says nothing: the order
// may differ, or other keys may have come. Borrowed references, so only with the interpreter's
// lock.
bool holds_in_order([[maybe_unused]] PyObject* container,
                    [[maybe_unused]] const std::vector<py::object>& children) {
#if !defined(Py_GIL_DISABLED)
  const auto count = static_cast<py::ssize_t>(children.size());
  py::ssize_t position = 0;
  if (PyDict_CheckExact(container) && PyDict_GET_SIZE(container) == count) {
    PyObject* value = nullptr;
    for (const py::object& child : children) {
      if (!PyDict_Next(container, &position, nullptr, &value) || child.ptr() != value) return false;
    }
    return true;
  }
  if (PyList_CheckExact(container) && PyList_GET_SIZE(container) == count) {
    for (const py::object& child : children) {
      if (child.ptr() != PyList_GET_ITEM(container, position++)) return false;
    }
    return true;
  }
#endif
  return false;
}

// Whether `container[key]` is `child`. A key that is not there, or a container that fails, is no.
bool holds(PyObject* container, const py::object& key, const py::object& child) {
  // To a subclass of dict a look may be a reason to make the entry, as to a defaultdict.
  const int there = PyDict_Check(container) ? PySequence_Contains(container, key.ptr()) : 1;
  if (there == 0) return false;
  const auto found = py::reinterpret_steal<py::object>(
      there > 0 ? PyObject_GetItem(container, key.ptr()) : nullptr);
  if (found) return found.is(child);
  if (!PyErr_ExceptionMatches(PyExc_Exception) || PyErr_ExceptionMatches(PyExc_MemoryError)) {
    throw py::error_already_set();
  }
  PyErr_Clear();
  return false;
}

}  // namespace

Containers::Containers(const py::list& found) {
  for (const py::handle each : found) {
    const auto entry = py::reinterpret_borrow<py::tuple>(each);
    entries_.push_back({entry[0], {}, {}});
    for (const py::handle key : entry[1]) {
      entries_.back().keys.push_back(py::reinterpret_borrow<py::object>(key));
    }
    for (const py::handle child : entry[2]) {
      entries_.back().children.push_back(py::reinterpret_borrow<py::object>(child));
    }
  }
}

bool Containers::unchanged() const {
  for (const Entry& entry : entries_) {
    PyObject* container = entry.container.ptr();
    if (holds_in_order(container, entry.children)) continue;
    for (std::size_t i = 0; i < entry.keys.size(); ++i) {
      if (!holds(container, entry.keys[i], entry.children[i])) return false;
    }
  }
  return true;
}

int Containers::traverse(visitproc visit, void* arg) const {
  for (const Entry& entry : entries_) {
    Py_VISIT(entry.container.ptr());
    for (const py::object& key : entry.keys) Py_VISIT(key.ptr());
    for (const py::object& child : entry.children) Py_VISIT(child.ptr());
  }
  return 0;
}

}  // namespace gradstep
