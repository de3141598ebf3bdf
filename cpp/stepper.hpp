// What an optimizer keeps in the core between steps: groups with their hyperparameters, parameters
// with their state, and t. It turns gradients into a list of checked items and sweeps them.
// Judging arrays is arrays.cpp's business, threads are the sweep's, formulas the rules'.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "arrays.hpp"
#include "hyperparameters.hpp"
#include "sweep.hpp"

namespace gradstep {

class Stepper {
 public:
  // Adds a group that steps by the rule of that name. `hyperparameters` maps names to numbers,
  // truth values, or schedules: callables that get the number of steps taken.
  int add_group(const std::string& rule, const py::dict& hyperparameters);

  // Adds a parameter with its state, in the order of `state_names(rule)`. Checks each by itself.
  void add_parameter(int group, const std::string& name, py::handle w, const py::sequence& states);

  // What a step checks, apart from the gradients.
  void check();

  // One step over all groups: everything is validated and allocated, then swept; t moves with it.
  void step(const py::sequence& gradients);

  // Changes hyperparameters: all of them, or none where one is refused.
  void set(int group, const py::dict& hyperparameters);

  // A number by name; a scheduled one as its value for the next step.
  double get(int group, const std::string& name);

  // How many steps had been taken when the group was added: its corrections count from there.
  std::int64_t& start(int group) { return group_at(group).start; }

  std::int64_t t = 0;  // steps taken

 private:
  struct Group {
    int rule;  // its row in the table
    GroupValues values;
    std::int64_t start = 0;
    std::vector<std::pair<const NumberField*, py::object>> schedules;
    Constants constants[dtype_count];
    bool prepared[dtype_count] = {};  // in the step under way
  };
  struct Parameter {
    int group;
    std::string name;
    py::array w;
    std::vector<py::array> states;
  };

  Group& group_at(int group);
  void assign(Group& group, const py::dict& hyperparameters) const;
  void read_schedules(Group& group);
  const Constants* constants_of(Group& group, const Kernel& kernel, DType dtype);
  void plan_item(Parameter& parameter, py::handle gradient, const KernelTable& table);

  std::deque<Group> groups_;  // a deque, so that items may point at a group's constants
  std::deque<Parameter> parameters_;
  WrittenMemory written_;
  std::atomic<bool> busy_{false};

  // The plan of the step under way; kept for their memory.
  std::vector<Item> items_;
  std::vector<py::object> gradients_;
  std::vector<std::unique_ptr<StridedRun>> strided_;
  std::int64_t total_ = 0;
};

// The names of a rule's state, for example {"m", "v"}. ValueError for an unknown rule.
std::vector<std::string> state_names(const std::string& rule);

}  // namespace gradstep
