// Validates hyperparameters: the only place that does. Their names, ranges and meanings are in
// rules.hpp.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>

#include "engine/rules.hpp"

namespace gradstep {

namespace py = pybind11;

struct NumberField {
  const char* name;
  double Hyperparameters::* member;
  Range range;
};

// Null where no number has that name.
const NumberField* find_number(const std::string& name);

py::dict by_name(const Hyperparameters& values);

// Whether `value` stands for one number. Truth values, text and arrays with axes do not.
bool is_number(py::handle value);

// A value as it is written, or its type: not every huge integer or deep list can be.
std::string shown(py::handle value);

// TypeError where `value` is not a number, ValueError where it is out of its range. Errors use the
// name that the caller knows.
double checked_number(Range range, const std::string& known_as, py::handle value);

// The same for the value of a schedule at a count, which the error names.
double scheduled_number(Range range, const std::string& known_as, py::handle schedule,
                        std::int64_t t);

// Sets a truth value by name and says whether there is one of that name.
bool set_flag(Hyperparameters& values, const std::string& name, const std::string& known_as,
              py::handle value);

}  // namespace gradstep
