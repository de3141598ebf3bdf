// Names and ranges of hyperparameters; see hyperparameters.hpp.
#include "binding/hyperparameters.hpp"

#include <pybind11/numpy.h>

#include <cmath>
#include <cstring>

namespace gradstep {
namespace {

#define GRADSTEP_NUMBER(name, range) {#name, &Hyperparameters::name, Range::range},
#define GRADSTEP_FLAG(name) {#name, &Hyperparameters::name},

constexpr NumberField number_fields[] = {GRADSTEP_NUMBERS(GRADSTEP_NUMBER)};

constexpr struct {
  const char* name;
  bool Hyperparameters::* member;
} flag_fields[] = {GRADSTEP_FLAGS(GRADSTEP_FLAG)};

}  // namespace

const NumberField* find_number(const std::string& name) {
  for (const NumberField& field : number_fields) {
    if (name == field.name) return &field;
  }
  return nullptr;
}

py::dict by_name(const Hyperparameters& values) {
  py::dict found;
  for (const NumberField& field : number_fields) found[field.name] = values.*field.member;
  for (const auto& field : flag_fields) found[field.name] = values.*field.member;
  return found;
}

bool is_number(py::handle value) {
  if (PyFloat_Check(value.ptr())) return true;
  if (PyLong_Check(value.ptr())) return !PyBool_Check(value.ptr());
  // NumPy makes floats of arrays with one element, of complex numbers, dates and text as well.
  const py::module_ numpy = py::module_::import("numpy");
  if (py::isinstance(value, numpy.attr("ndarray")) ||
      py::isinstance(value, numpy.attr("generic"))) {
    const py::array array = numpy.attr("asarray")(value);
    return array.ndim() == 0 && std::strchr("iuf", array.dtype().kind());
  }
  return py::hasattr(py::type::handle_of(value), "__float__") || PyIndex_Check(value.ptr());
}

std::string shown(py::handle value) {
  try {
    return py::repr(value);
  } catch (const py::error_already_set& error) {
    if (!error.matches(PyExc_Exception)) throw;
    return std::string("an object of type ") + Py_TYPE(value.ptr())->tp_name;
  }
}

namespace {

double number_of(Range range, const std::string& known_as, py::handle value) {
  if (is_number(value)) {
    const double number = PyFloat_AsDouble(value.ptr());
    if (number != -1.0 || !PyErr_Occurred()) return number;
    const bool too_large = PyErr_ExceptionMatches(PyExc_OverflowError);
    if (!too_large && !PyErr_ExceptionMatches(PyExc_TypeError) &&
        !PyErr_ExceptionMatches(PyExc_ValueError)) {
      throw py::error_already_set();
    }
    PyErr_Clear();
    if (too_large) return HUGE_VAL;  // and so not finite: an integer beyond any double
  }
  const char* schedule = range == Range::finite ? "" : " or a schedule";
  throw py::type_error(known_as + " must be a number" + schedule + ", got " + shown(value));
}

}  // namespace

double checked_number(Range range, const std::string& known_as, py::handle value) {
  const double number = number_of(range, known_as, value);
  const auto require = [&](bool valid, const char* expected) {
    if (!valid) throw py::value_error(known_as + " must be " + expected + ", got " + shown(value));
  };
  switch (range) {
    case Range::nonnegative:
      require(std::isfinite(number) && number >= 0, "finite and >= 0");
      break;
    case Range::unit_interval:
      require(number >= 0 && number < 1, ">= 0 and < 1");
      break;
    case Range::nonnegative_or_inf:
      require(number >= 0, ">= 0");
      break;
    case Range::finite:
      require(std::isfinite(number), "finite");
      break;
  }
  return number;
}

double scheduled_number(Range range, const std::string& known_as, py::handle schedule,
                        std::int64_t t) {
  const auto at = [t] { return " at count " + std::to_string(t); };
  py::object value;
  try {
    value = schedule(t);
  } catch (py::error_already_set& error) {
    std::string message = known_as + ": its schedule failed" + at();
    // One of Python's own becomes another of its kind. A class of somebody else's may need more
    // than a message to be made: it gets a note (from CPython 3.11 on).
    for (PyObject* kind : {PyExc_OverflowError, PyExc_ZeroDivisionError, PyExc_FloatingPointError,
                           PyExc_ValueError, PyExc_TypeError, PyExc_IndexError, PyExc_KeyError,
                           PyExc_RuntimeError, PyExc_AttributeError, PyExc_AssertionError}) {
      if (error.type().ptr() != kind) continue;
      const std::string because = py::str(error.value());
      if (!because.empty()) message.append(": ").append(because);
      py::raise_from(error, kind, message.c_str());
      throw py::error_already_set();
    }
    if (error.matches(PyExc_Exception) && !error.matches(PyExc_MemoryError) &&
        py::hasattr(error.value(), "add_note")) {
      error.value().attr("add_note")(message);
    }
    throw;
  }
  const std::string from = "; its schedule returned that" + at();
  try {
    return checked_number(range, known_as, value);
  } catch (const py::type_error& error) {
    throw py::type_error(error.what() + from);
  } catch (const py::value_error& error) {
    throw py::value_error(error.what() + from);
  }
}

bool set_flag(Hyperparameters& values, const std::string& name, const std::string& known_as,
              py::handle value) {
  for (const auto& flag : flag_fields) {
    if (name != flag.name) continue;
    if (!py::isinstance<py::bool_>(value)) {
      throw py::type_error(known_as + " must be True or False, got " + shown(value));
    }
    values.*flag.member = value.cast<bool>();
    return true;
  }
  return false;
}

}  // namespace gradstep
