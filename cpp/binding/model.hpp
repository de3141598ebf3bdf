// The parameters of a stepper with their state, in groups; and groups that are ready to be added.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <tuple>
#include <vector>

#include "binding/busy_guard.hpp"
#include "binding/group.hpp"
#include "binding/staged_copies.hpp"

namespace gradstep {

struct Parameter {
  int group;
  std::string name;
  py::array w;
  std::vector<py::array> states;  // in the order of `state_names(rule)`
  bool owns_states;               // no array of the caller's shows the states' memory as its own
  bool is_average;                // its rule is that of averages

  static Parameter make(int group, const std::string& name, py::handle w, const Rule& rule);
  // One whose state the caller keeps.
  static Parameter with_states(int group, const std::string& name, py::handle w,
                               const py::sequence& states, const Rule& rule);
  Label label() const { return {is_average ? Label::average : Label::parameter, &name}; }
  Label gradient_label() const { return {is_average ? Label::value : Label::gradient, &name}; }
};

// Arrays of state by parameter.
using States = std::vector<std::vector<py::array>>;
// A prefix for errors, a rule, its arguments, and an object to be read back as `given`.
using NewGroup = std::tuple<std::string, std::string, CoreArgs, py::object>;
// The index of a group, counted on from those that are there; names; arrays.
using NewParameters = std::tuple<int, std::vector<std::string>, py::sequence>;

// Groups and parameters that are not in a model yet. Their state is the core's own, zeros at first.
struct Addition {
  std::size_t first;  // how many groups the model had
  std::vector<Group> groups;
  std::vector<Parameter> parameters;
  States states;  // the caller's arrays over the same memory
};

struct Model {
  std::deque<Group> groups;  // a deque, so that items may point at a group's constants
  std::deque<Parameter> parameters;

  Group& group_at(int group);
  Group& group_of(const Parameter& parameter) {
    return groups[static_cast<std::size_t>(parameter.group)];
  }
  const Rule& rule_of(int group);
  // ValueError where there is not one of `what` for each parameter.
  void require_one_each(const char* what, std::size_t given) const;

  // Changes nothing. `t` steps have been taken.
  Addition prepare(const std::vector<NewGroup>& new_groups,
                   const std::vector<NewParameters>& new_parameters, std::int64_t t,
                   const BusyState& busy) const;
  void append(const Addition& addition, std::int64_t t);
  // Drops what was added behind so many groups and parameters.
  void drop_behind(std::size_t groups_left, std::size_t parameters_left);

  // Makes the constants of a step; gradients are multiplied by `scale`.
  void make_constants(double scale);
  void stage_states(const States& states, StagedCopies& copies);
  // Of each group what was given, its start and its products.
  py::list snapshot_of_groups() const;

  int traverse(visitproc visit, void* arg) const;
};

}  // namespace gradstep
