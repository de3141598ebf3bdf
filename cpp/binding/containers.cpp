// Looking into containers; see containers.hpp.
#include "binding/containers.hpp"

#include <cstddef>
#include <string>
#include <utility>

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

Containers::Containers(py::object walk) : walk_(std::move(walk)) {
  if (!walk_.is_none()) note(py::tuple(walk_())[0]);
}

void Containers::note(const py::list& containers) {
  std::vector<Entry> entries;
  for (const py::handle each : containers) {
    const auto entry = py::reinterpret_borrow<py::tuple>(each);
    entries.push_back({entry[0], {}, {}});
    for (const py::handle key : entry[1]) {
      entries.back().keys.push_back(py::reinterpret_borrow<py::object>(key));
    }
    for (const py::handle child : entry[2]) {
      entries.back().children.push_back(py::reinterpret_borrow<py::object>(child));
    }
  }
  entries_.swap(entries);
}

// Another object over the same memory is as good: `params["W"] = params["W"][...]`.
void Containers::compare(const std::deque<Parameter>& parameters) {
  const py::tuple found = walk_();
  std::size_t i = 0;
  for (const py::handle each : found[1]) {
    const auto [where, leaf] = py::cast<std::pair<std::string, py::object>>(each);
    const Parameter& parameter = parameters.at(i++);
    if (leaf.is(parameter.w) || is_same_memory(leaf, parameter.w, parameter.name)) continue;
    std::string message = where;
    message +=
        " was replaced by another array, which this optimizer does not step; change the line ";
    message.append("that replaced it so that it writes into the array (").append(where);
    message += "[...] = value), or make another optimizer over params";
    throw py::value_error(message);
  }
  note(found[0]);
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
  Py_VISIT(walk_.ptr());
  for (const Entry& entry : entries_) {
    Py_VISIT(entry.container.ptr());
    for (const py::object& key : entry.keys) Py_VISIT(key.ptr());
    for (const py::object& child : entry.children) Py_VISIT(child.ptr());
  }
  return 0;
}

}  // namespace gradstep
