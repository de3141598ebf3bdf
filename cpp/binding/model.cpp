// Groups and their parameters; see model.hpp.
#include "binding/model.hpp"

#include <cstring>

#include "binding/state_memory.hpp"
#include "engine/dispatch.hpp"
#include "engine/floating_point.hpp"

namespace gradstep {

Parameter Parameter::make(int group, const std::string& name, py::handle w, const Rule& rule) {
  Parameter parameter{group, name, {}, {}, false, std::strcmp(rule.name, "ewa") == 0};
  const Label label = parameter.label();
  parameter.w = as_array(w, label);
  static_cast<void>(writable_view_of(parameter.w, label));
  return parameter;
}

Parameter Parameter::with_states(int group, const std::string& name, py::handle w,
                                 const py::sequence& given, const Rule& rule) {
  const int count = count_states(rule);
  if (static_cast<int>(given.size()) != count) {
    throw py::value_error("states must be " + std::to_string(count) + " arrays for rule '" +
                          rule.name + "', got " + std::to_string(given.size()));
  }
  std::vector<py::array> states;
  for (int s = 0; s < count; ++s) {
    const py::object state = given[static_cast<std::size_t>(s)];
    states.push_back(as_array(state, {Label::state, &name, rule.states[s]}));
  }
  Parameter parameter = make(group, name, w, rule);
  parameter.states = std::move(states);
  return parameter;
}

Group& Model::group_at(int group) {
  if (group < 0 || group >= static_cast<int>(groups.size())) {
    throw py::index_error("no group " + std::to_string(group));
  }
  return groups[static_cast<std::size_t>(group)];
}

const Rule& Model::rule_of(int group) { return active_table().rules[group_at(group).rule]; }

void Model::require_one_each(const char* what, std::size_t given) const {
  if (given != parameters.size()) {
    throw py::value_error(std::string(what) + " must be " + std::to_string(parameters.size()) +
                          ", one for each parameter, got " + std::to_string(given));
  }
}

Addition Model::prepare(const std::vector<NewGroup>& new_groups,
                        const std::vector<NewParameters>& new_parameters, std::int64_t t,
                        const BusyState& busy) const {
  Addition addition;
  addition.first = groups.size();
  for (const auto& [label, rule, core_args, given] : new_groups) {
    try {
      addition.groups.push_back(Group::make(rule, t, t, core_args, given));
    } catch (const py::type_error& error) {
      throw py::type_error(label + error.what());
    } catch (const py::value_error& error) {
      throw py::value_error(label + error.what());
    }
  }
  for (const auto& [index, names, arrays] : new_parameters) {
    const std::size_t behind = static_cast<std::size_t>(index) - addition.first;
    if (behind >= addition.groups.size()) busy.refuse();  // another thread has added groups
    const Rule& rule = active_table().rules[addition.groups[behind].rule];
    const int kinds = count_states(rule);
    std::vector<py::array> written;
    for (std::size_t i = 0; i < names.size(); ++i) {
      const py::object given = arrays[i];
      addition.parameters.push_back(Parameter::make(index, names[i], given, rule));
      written.push_back(addition.parameters.back().w);
    }
    const StateMemory memory(written, kinds);
    Parameter* made = addition.parameters.data() + (addition.parameters.size() - names.size());
    for (std::size_t i = 0; i < names.size(); ++i) {
      made[i].owns_states = true;
      std::vector<py::array>& windows = addition.states.emplace_back();
      for (int kind = 0; kind < kinds; ++kind) {
        made[i].states.push_back(memory.array(i, kind));
        windows.push_back(memory.array(i, kind));
      }
    }
  }
  return addition;
}

void Model::append(const Addition& addition, std::int64_t t) {
  for (const Group& group : addition.groups) {
    groups.push_back(group);
    groups.back().start = t;  // steps may have been taken since it was prepared
  }
  for (const Parameter& parameter : addition.parameters) parameters.push_back(parameter);
}

void Model::drop_behind(std::size_t groups_left, std::size_t parameters_left) {
  while (groups.size() > groups_left) groups.pop_back();
  while (parameters.size() > parameters_left) parameters.pop_back();
}

void Model::make_constants(double scale) {
  const DefaultFloatingPointMode mode;
  for (Group& group : groups) group.make_constants(scale);
}

void Model::stage_states(const States& states, StagedCopies& copies) {
  require_one_each("states", states.size());
  for (std::size_t i = 0; i < states.size(); ++i) {
    const Parameter& parameter = parameters[i];
    if (states[i].size() != parameter.states.size()) {
      throw py::value_error("the state of '" + parameter.name + "' must be " +
                            std::to_string(parameter.states.size()) + " arrays, got " +
                            std::to_string(states[i].size()));
    }
    const Rule& rule = rule_of(parameter.group);
    for (std::size_t s = 0; s < states[i].size(); ++s) {
      copies.add(parameter.states[s], states[i][s],
                 {Label::state, &parameter.name, rule.states[s]});
    }
  }
}

py::list Model::snapshot_of_groups() const {
  py::list snapshot;
  for (const Group& group : groups) {
    snapshot.append(py::make_tuple(group.given, group.start, group.products()));
  }
  return snapshot;
}

int Model::traverse(visitproc visit, void* arg) const {
  for (const Group& group : groups) {
    if (const int stopped = group.traverse(visit, arg)) return stopped;
  }
  for (const Parameter& parameter : parameters) {
    Py_VISIT(parameter.w.ptr());
    for (const py::array& state : parameter.states) Py_VISIT(state.ptr());
  }
  return 0;
}

}  // namespace gradstep
