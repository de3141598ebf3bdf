// What a group of parameters can be told: the names that Python uses and the range of each value.
// The only place that judges hyperparameters. What they mean is in rules.hpp.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

#include "rules.hpp"

namespace gradstep {

namespace py = pybind11;

struct GroupValues : Hyperparameters {
  bool maximize = false;   // ascend: the gradient's sign is turned
  bool decoupled = false;  // weight decay shrinks the parameter and stays out of the gradient
};

struct NumberField {
  const char* name;
  double GroupValues::* member;
  bool below_one;  // [0, 1), a share of what is kept; otherwise finite and >= 0
};

// Null where no number has that name.
const NumberField* find_number(const std::string& name);

// Whether `value` stands for one number. Truth values, text and arrays with axes do not.
bool is_number(py::handle value);

// TypeError where `value` is no number, ValueError where it is out of the field's range.
double checked_number(const NumberField& field, py::handle value);

// Sets a truth value by name and says whether there is one of that name.
bool set_flag(GroupValues& values, const std::string& name, py::handle value);

}  // namespace gradstep
