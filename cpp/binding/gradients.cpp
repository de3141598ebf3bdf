// Looking up, keeping and dropping gradients; see gradients.hpp.
#include "binding/gradients.hpp"

namespace gradstep {

// A garbage collection meanwhile must not meet an object that has gone.
void Gradients::drop() {
  std::vector<py::object> dropped;
  dropped.swap(arrays_);
  dropped.clear();
  arrays_.swap(dropped);  // for its memory
}

// Keeps the values of a dict with just these keys; false where it has others.
bool Gradients::look_up(PyObject* dict, const py::tuple& keys) {
  if (PyDict_GET_SIZE(dict) != static_cast<py::ssize_t>(keys.size())) return false;
  drop();
  for (const py::handle key : keys) {
    PyObject* found = nullptr;
#if PY_VERSION_HEX >= 0x030D0000
    if (PyDict_GetItemRef(dict, key.ptr(), &found) < 0) throw py::error_already_set();
#else
    found = PyDict_GetItemWithError(dict, key.ptr());
    if (!found && PyErr_Occurred()) throw py::error_already_set();
    Py_XINCREF(found);
#endif
    if (!found) return false;
    arrays_.push_back(py::reinterpret_steal<py::object>(found));
  }
  return true;
}

void Gradients::collect(py::handle given, const Model& model) {
  const std::deque<Parameter>& parameters = model.parameters;
  bool found = false;
  if (PyDict_CheckExact(given.ptr())) {
    std::vector<py::tuple>& keys = format.keys;
    for (std::size_t i = 0; i < keys.size() && !found; ++i) {
      found = look_up(given.ptr(), keys[i]);
      if (found && i > 0) std::swap(keys[0], keys[i]);
    }
  }
  if (!found) {
    drop();
    const bool as_is = !format.flatten || (format.listed && PyList_CheckExact(given.ptr()) &&
                                           py::len(given) == parameters.size());
    const py::object flat =
        as_is ? py::reinterpret_borrow<py::object>(given) : format.flatten(given);
    const auto sequence = py::cast<py::sequence>(flat);
    const std::size_t count = sequence.size();
    model.require_one_each("gradients", count);
    // Objects, not handles: a subclass of list may return objects that nobody else holds.
    for (std::size_t i = 0; i < count; ++i) arrays_.push_back(py::object(sequence[i]));
  }
  model.require_one_each("gradients", arrays_.size());
  for (std::size_t i = 0; i < arrays_.size(); ++i) {
    if (!is_exactly_ndarray(arrays_[i])) {
      arrays_[i] = as_array(arrays_[i], parameters[i].gradient_label());
    }
  }
}

py::list Gradients::list() const {
  py::list arrays;
  for (const py::object& array : arrays_) arrays.append(array);
  return arrays;
}

int Gradients::traverse(visitproc visit, void* arg) const {
  for (const py::object& array : arrays_) Py_VISIT(array.ptr());
  Py_VISIT(format.flatten.ptr());
  for (const py::tuple& keys : format.keys) Py_VISIT(keys.ptr());
  return 0;
}

}  // namespace gradstep
