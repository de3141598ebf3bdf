// What a stepper keeps, and adding to it; see stepper.hpp. Steps are in step.cpp, changes of what
// is there in changes.cpp, averages in averaged.cpp.
#include "binding/stepper.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "binding/state_memory.hpp"
#include "engine/dispatch.hpp"

namespace gradstep {

namespace {

int find_rule(const std::string& name) {
  const KernelTable& table = active_table();
  for (int i = 0; i < table.rule_count; ++i) {
    if (name == table.rules[i].name) return i;
  }
  throw py::value_error("no rule is named '" + name + "'");
}

int count_states(const Rule& rule) {
  int n = 0;
  while (rule.states[n]) ++n;
  return n;
}

}  // namespace

std::vector<std::string> state_names(const std::string& rule) {
  const Rule& row = active_table().rules[find_rule(rule)];
  return {row.states, row.states + count_states(row)};
}

void require_count(const std::string& name, std::int64_t count) {
  if (count < 0) throw py::value_error(name + " must be >= 0, got " + std::to_string(count));
}

Stepper::Stepper(std::int64_t t, Options options) : t_(t), options_(std::move(options)) {
  require_count("t", t);
}

int Stepper::traverse(visitproc visit, void* arg) const {
  for (const Group& group : groups_) {
    for (const Schedule& schedule : group.schedules) Py_VISIT(schedule.function.ptr());
    Py_VISIT(group.given.ptr());
    Py_VISIT(group.mu_product.ptr());
  }
  for (const Parameter& parameter : parameters_) {
    Py_VISIT(parameter.w.ptr());
    for (const py::array& state : parameter.states) Py_VISIT(state.ptr());
  }
  for (const py::object& gradient : gradients_) Py_VISIT(gradient.ptr());
  Py_VISIT(expected_.flatten.ptr());
  for (const py::tuple& keys : expected_.keys) Py_VISIT(keys.ptr());
  Py_VISIT(expected_.walk.ptr());
  if (const int stopped = containers_.traverse(visit, arg)) return stopped;
  Py_VISIT(layout_.ptr());
  Py_VISIT(options_.given.ptr());
  Py_VISIT(options_.max_norm.function.ptr());
  Py_VISIT(options_.clip_value.function.ptr());
  Py_VISIT(averages_object_.ptr());
  return 0;
}

void Stepper::let_go() {
  for (Group& group : groups_) {
    Schedules dropped;
    dropped.swap(group.schedules);
  }
  const py::object flatten = std::move(expected_.flatten), walk = std::move(expected_.walk);
  const Containers containers = std::exchange(containers_, {});
  const Options options = std::exchange(options_, {});
}

Stepper::Group Stepper::make_group(const std::string& rule, std::int64_t start, std::int64_t t,
                                   const CoreArgs& core_args, py::object given) {
  if (start < 0 || start > t) {
    throw py::value_error("start must be between 0 and t, got " + std::to_string(start));
  }
  Group group;
  group.rule = find_rule(rule);
  group.start = start;
  group.given = std::move(given);
  Corrections::Products& products = group.corrections.products;
  bool damped = false;
  for (const auto& [name, known_as, value] : core_args) {
    if (set_flag(group.values, name, known_as, value)) continue;
    const NumberField* field = find_number(name);
    if (!field) throw py::value_error("no hyperparameter is named '" + name + "'");
    double& number = group.values.*field->member;
    if (PyCallable_Check(value.ptr())) {
      if (field->member == &Hyperparameters::initial_v) {
        throw py::type_error(known_as + " must be a number, as v starts from it, got a callable");
      }
      group.schedules.push_back({field, known_as, value});
      number = scheduled_number(field->range, known_as, value, t);
    } else {
      number = checked_number(field->range, known_as, value);
    }
    // NAdam's factors are a schedule of their own.
    if (field->member == &Hyperparameters::momentum_decay) products[Corrections::of_mu].kept = true;
    damped |= field->member == &Hyperparameters::dampening;
  }
  for (const Schedule& schedule : group.schedules) {
    for (int kind = 0; kind < Corrections::of_mu; ++kind) {
      products[kind].kept |= schedule.field->name == std::string(Corrections::names[kind]);
    }
    const auto member = schedule.field->member;
    products[Corrections::of_weights].kept |=
        damped && (member == &Hyperparameters::beta || member == &Hyperparameters::dampening);
  }
  return group;
}

int Stepper::add_group(const std::string& rule, const CoreArgs& core_args, py::object given,
                       std::optional<std::int64_t> start, py::object mu_product) {
  const BusyGuard guard(busy_);
  Group made = make_group(rule, start.value_or(t()), t(), core_args, std::move(given));
  made.mu_product = std::move(mu_product);
  const std::lock_guard<std::mutex> lock(groups_mutex_);
  groups_.push_back(std::move(made));
  return static_cast<int>(groups_.size()) - 1;
}

Stepper::Group& Stepper::group_at(int group) {
  if (group < 0 || group >= static_cast<int>(groups_.size())) {
    throw py::index_error("no group " + std::to_string(group));
  }
  return groups_[static_cast<std::size_t>(group)];
}

py::object Stepper::options() {
  const std::lock_guard<std::mutex> lock(groups_mutex_);
  return options_.given;
}

std::optional<double> Stepper::norm() {
  const std::lock_guard<std::mutex> lock(groups_mutex_);
  return norm_;
}

std::optional<std::string> Stepper::not_finite() {
  const std::lock_guard<std::mutex> lock(groups_mutex_);
  return not_finite_;
}

py::object Stepper::given(int group) {
  const std::lock_guard<std::mutex> lock(groups_mutex_);
  return group_at(group).given;
}

double Stepper::get(int group, const std::string& name) {
  const NumberField* field = find_number(name);
  if (!field) throw py::value_error("no hyperparameter is named '" + name + "'");
  return scheduled_values(group).*field->member;
}

// A schedule is the user's code, and may do anything, even change this group: nothing here refers
// to it while a schedule is called.
Hyperparameters Stepper::scheduled_values(int group) {
  Hyperparameters values;
  Schedules schedules;
  {
    const std::lock_guard<std::mutex> lock(groups_mutex_);
    values = group_at(group).values;
    schedules = group_at(group).schedules;
  }
  for (const Schedule& schedule : schedules) {
    const NumberField& field = *schedule.field;
    values.*field.member = scheduled_number(field.range, schedule.name, schedule.function, t());
  }
  return values;
}

Stepper::Parameter Stepper::make_parameter(int group, const std::string& name, py::handle w,
                                           const Rule& rule) {
  Parameter parameter{group, name, {}, {}, false, std::strcmp(rule.name, "ewa") == 0};
  const Label label = parameter.label();
  parameter.w = as_array(w, label);
  static_cast<void>(writable_view_of(parameter.w, label));
  return parameter;
}

void Stepper::append(Parameter parameter) {
  slots_.reserve(parameters_.size() + 1);
  validated_ = false;
  parameters_.push_back(std::move(parameter));
}

std::unique_ptr<Stepper::Addition> Stepper::prepare_addition(
    const std::vector<NewGroup>& groups, const std::vector<NewParameters>& parameters) {
  const BusyGuard guard(busy_);
  auto addition = std::make_unique<Addition>();
  addition->first = groups_.size();
  for (const auto& [label, rule, core_args, given] : groups) {
    try {
      addition->groups.push_back(make_group(rule, t(), t(), core_args, given));
    } catch (const py::type_error& error) {
      throw py::type_error(label + error.what());
    } catch (const py::value_error& error) {
      throw py::value_error(label + error.what());
    }
  }
  for (const auto& [index, names, arrays] : parameters) {
    const std::size_t behind = static_cast<std::size_t>(index) - addition->first;
    if (behind >= addition->groups.size()) busy_.refuse();  // another's addition came between
    const Rule& rule = active_table().rules[addition->groups[behind].rule];
    const int kinds = count_states(rule);
    std::vector<py::array> written;
    for (std::size_t i = 0; i < names.size(); ++i) {
      const py::object given = arrays[i];
      addition->parameters.push_back(make_parameter(index, names[i], given, rule));
      written.push_back(addition->parameters.back().w);
    }
    const StateMemory memory(written, kinds);
    Parameter* made = addition->parameters.data() + (addition->parameters.size() - names.size());
    for (std::size_t i = 0; i < names.size(); ++i) {
      made[i].keeps_states = true;
      std::vector<py::array>& windows = addition->states.emplace_back();
      for (int kind = 0; kind < kinds; ++kind) {
        made[i].states.push_back(memory.array(i, kind));
        windows.push_back(memory.array(i, kind));
      }
    }
  }
  return addition;
}

void Stepper::append(Addition& addition) {
  if (addition.first != groups_.size()) busy_.refuse();  // another's addition would be displaced
  slots_.reserve(parameters_.size() + addition.parameters.size());
  validated_ = false;
  ++version_;
  {
    const std::lock_guard<std::mutex> lock(groups_mutex_);
    for (const Group& group : addition.groups) {
      groups_.push_back(group);
      groups_.back().start = t();  // steps may have been taken since it was prepared
    }
  }
  for (const Parameter& parameter : addition.parameters) parameters_.push_back(parameter);
}

void Stepper::drop_behind(std::size_t groups, std::size_t parameters) {
  validated_ = false;
  const std::lock_guard<std::mutex> lock(groups_mutex_);
  while (groups_.size() > groups) groups_.pop_back();
  while (parameters_.size() > parameters) parameters_.pop_back();
}

void Stepper::add(Addition& addition, Expected expected, py::object layout, Addition* averages,
                  py::object averages_layout) {
  const BusyGuard guard(busy_);
  std::optional<BusyGuard> averages_guard;
  if (averages_) averages_guard.emplace(averages_->busy_);
  const std::size_t groups = groups_.size(), parameters = parameters_.size();
  Containers containers;
  if (!expected.walk.is_none()) containers = Containers(py::tuple(expected.walk())[0]);
  try {
    append(addition);
    if (averages_) {
      averages_->append(*averages);
      averages_->validate();
    }
    validate();
  } catch (...) {
    if (averages_) averages_->drop_behind(groups, parameters);
    drop_behind(groups, parameters);
    throw;
  }
  // What was kept goes with the arguments, and may run code, when all has changed.
  if (averages_) {
    const std::lock_guard<std::mutex> lock(averages_->groups_mutex_);
    std::swap(averages_->layout_, averages_layout);
  }
  const std::lock_guard<std::mutex> lock(groups_mutex_);
  std::swap(expected_, expected);
  std::swap(containers_, containers);
  std::swap(layout_, layout);
}

void Stepper::require_bound() {
  const BusyGuard guard(busy_);
  require_same_arrays();
}

// Another object over the same memory is as good: `params["W"] = params["W"][...]`.
void Stepper::require_same_arrays() {
  if (containers_.unchanged()) return;
  const py::tuple found = expected_.walk();
  std::size_t i = 0;
  for (const py::handle each : found[1]) {
    const auto [where, leaf] = py::cast<std::pair<std::string, py::object>>(each);
    const Parameter& parameter = parameters_.at(i++);
    if (leaf.is(parameter.w) || is_same_memory(leaf, parameter.w, parameter.name)) continue;
    std::string message = where;
    message +=
        " was replaced by another array, which this optimizer does not step; change the line ";
    message.append("that replaced it so that it writes into the array (").append(where);
    message += "[...] = value), or make another optimizer over params";
    throw py::value_error(message);
  }
  containers_ = Containers(found[0]);
}

py::object Stepper::layout() {
  const std::lock_guard<std::mutex> lock(groups_mutex_);
  return layout_;
}

void Stepper::add_parameter(int group, const std::string& name, py::handle w,
                            const py::sequence& given) {
  const BusyGuard guard(busy_);
  const Rule& rule = active_table().rules[group_at(group).rule];
  const int count = count_states(rule);
  if (static_cast<int>(given.size()) != count) {
    throw py::value_error("rule '" + std::string(rule.name) + "' keeps " + std::to_string(count) +
                          " arrays of state, got " + std::to_string(given.size()));
  }
  std::vector<py::array> states;
  for (int s = 0; s < count; ++s) {
    const py::object state = given[static_cast<std::size_t>(s)];
    states.push_back(as_array(state, {Label::state, &name, rule.states[s]}));
  }
  Parameter parameter = make_parameter(group, name, w, rule);
  parameter.states = std::move(states);
  append(std::move(parameter));
}

}  // namespace gradstep
