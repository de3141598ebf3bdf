// The stepper; see stepper.hpp.
#include "stepper.hpp"

#include <algorithm>
#include <stdexcept>

#include "dispatch.hpp"
#include "floating_point.hpp"
#include "threads.hpp"

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

// Below this many elements letting go of the interpreter costs more than anybody could gain by it.
constexpr std::int64_t worth_releasing = 16'384;

// One step at a time: a second thread on the same optimizer is told so, and finds nothing changed.
class Turn {
 public:
  explicit Turn(std::atomic<bool>& busy) : busy_(busy) {
    if (busy_.exchange(true, std::memory_order_acquire)) {
      throw std::runtime_error(
          "this optimizer is stepping in another thread (or in the schedule or array that this "
          "step "
          "has just called); give each thread an optimizer of its own, or take turns with a lock");
    }
  }
  ~Turn() { busy_.store(false, std::memory_order_release); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  std::atomic<bool>& busy_;
};

}  // namespace

std::vector<std::string> state_names(const std::string& rule) {
  const Rule& row = active_table().rules[find_rule(rule)];
  return {row.states, row.states + count_states(row)};
}

int Stepper::add_group(const std::string& rule, const py::dict& hyperparameters) {
  Group group;
  group.rule = find_rule(rule);
  group.start = t;
  assign(group, hyperparameters);
  groups_.push_back(std::move(group));
  return static_cast<int>(groups_.size()) - 1;
}

Stepper::Group& Stepper::group_at(int group) {
  if (group < 0 || group >= static_cast<int>(groups_.size())) {
    throw py::index_error("no group " + std::to_string(group));
  }
  return groups_[static_cast<std::size_t>(group)];
}

void Stepper::set(int group, const py::dict& hyperparameters) {
  Group changed = group_at(group);
  assign(changed, hyperparameters);
  group_at(group) = std::move(changed);
}

void Stepper::assign(Group& group, const py::dict& hyperparameters) const {
  for (const auto& [key, value] : hyperparameters) {
    const std::string name = py::cast<std::string>(key);
    if (set_flag(group.values, name, value)) continue;
    const NumberField* field = find_number(name);
    if (!field) throw py::value_error("no hyperparameter is named '" + name + "'");
    auto& schedules = group.schedules;
    schedules.erase(std::remove_if(schedules.begin(), schedules.end(),
                                   [&](const auto& entry) { return entry.first == field; }),
                    schedules.end());
    py::object number = py::reinterpret_borrow<py::object>(value);
    if (PyCallable_Check(value.ptr())) {
      schedules.emplace_back(field, number);
      number = value(t);
    }
    group.values.*field->member = checked_number(*field, number);
  }
}

double Stepper::get(int group, const std::string& name) {
  Group& g = group_at(group);
  const NumberField* field = find_number(name);
  if (!field) throw py::value_error("no hyperparameter is named '" + name + "'");
  read_schedules(g);
  return g.values.*field->member;
}

void Stepper::read_schedules(Group& group) {
  for (const auto& [field, schedule] : group.schedules) {
    group.values.*field->member = checked_number(*field, schedule(t));
  }
}

void Stepper::add_parameter(int group, const std::string& name, py::handle w,
                            const py::sequence& states) {
  const Rule& rule = active_table().rules[group_at(group).rule];
  Parameter parameter{group, name, {}, {}};
  const Label label{Label::parameter, &parameter.name};
  parameter.w = as_array(w, label);
  const View view = writable_view_of(parameter.w, label);
  const int count = count_states(rule);
  if (static_cast<int>(states.size()) != count) {
    throw py::value_error("rule '" + std::string(rule.name) + "' keeps " + std::to_string(count) +
                          " arrays of state, got " + std::to_string(states.size()));
  }
  for (int s = 0; s < count; ++s) {
    const Label state_label{Label::state, &parameter.name, rule.states[s]};
    const py::object given = states[static_cast<std::size_t>(s)];
    parameter.states.push_back(as_array(given, state_label));
    const View state = writable_view_of(parameter.states.back(), state_label);
    require_like(state, state_label, view);
  }
  items_.reserve(parameters_.size() + 1);
  gradients_.reserve(parameters_.size() + 1);
  strided_.reserve(parameters_.size() + 1);
  parameters_.push_back(std::move(parameter));
}

const Constants* Stepper::constants_of(Group& group, const Kernel& kernel, DType dtype) {
  if (!group.prepared[dtype]) {
    const DefaultFloatingPointMode mode;
    auto h = static_cast<const Hyperparameters&>(group.values);
    h.t = t + 1 - group.start;
    kernel.prepare(h, group.values.maximize ? -1.0 : 1.0, &group.constants[dtype]);
    group.prepared[dtype] = true;
  }
  return &group.constants[dtype];
}

// Checks one parameter, its state and, where given, its gradient, and appends its item.
void Stepper::plan_item(Parameter& parameter, py::handle gradient, const KernelTable& table) {
  Group& group = groups_[static_cast<std::size_t>(parameter.group)];
  const Rule& rule = table.rules[group.rule];
  View views[max_streams];
  int count = 0;

  const Label label{Label::parameter, &parameter.name};
  const View& w = views[count++] = writable_view_of(parameter.w, label);
  written_.add(w, label);

  const Label gradient_label{Label::gradient, &parameter.name};
  if (gradient) {
    gradients_.push_back(as_array(gradient, gradient_label));
    const View& g = views[count++] = view_of(gradients_.back(), gradient_label);
    require_like(g, gradient_label, w);
  }
  for (std::size_t s = 0; s < parameter.states.size(); ++s) {
    const Label state_label{Label::state, &parameter.name, rule.states[s]};
    const View& state = views[count++] = writable_view_of(parameter.states[s], state_label);
    require_like(state, state_label, w);
    written_.add(state, state_label);
  }
  if (!gradient || w.size == 0) return;

  const GroupValues& values = group.values;
  const Decay decay = values.weight_decay == 0 ? no_decay
                      : values.decoupled       ? decoupled_decay
                                               : coupled_decay;
  Item item;
  item.kernel = &rule.kernels[w.dtype][decay];
  item.constants = constants_of(group, *item.kernel, w.dtype);
  item.stream_count = count;
  item.itemsize = itemsize_of[w.dtype];
  item.count = w.size;
  item.offset = total_;
  if (all_dense(views, count)) {
    for (int s = 0; s < count; ++s) item.streams[s] = views[s].geometry.data;
  } else {
    std::vector<Geometry> geometries;
    geometries.reserve(max_streams);
    for (int s = 0; s < count; ++s) geometries.push_back(views[s].geometry);
    strided_.push_back(std::make_unique<StridedRun>(geometries, item.itemsize));
    item.strided = strided_.back().get();
  }
  items_.push_back(item);
  total_ += w.size;
}

void Stepper::check() {
  const Turn turn(busy_);
  written_.clear();
  for (Parameter& parameter : parameters_) plan_item(parameter, {}, active_table());
  written_.require_disjoint();
}

void Stepper::step(const py::sequence& gradients) {
  const Turn turn(busy_);
  const std::size_t given = gradients.size();
  if (given != parameters_.size()) {
    throw py::value_error("expected " + std::to_string(parameters_.size()) +
                          " gradients, one for each parameter, got " + std::to_string(given));
  }
  items_.clear();
  gradients_.clear();
  strided_.clear();
  written_.clear();
  total_ = 0;
  for (Group& group : groups_) {
    read_schedules(group);
    group.prepared[float32] = group.prepared[float64] = false;
  }
  const KernelTable& table = active_table();
  for (std::size_t i = 0; i < given; ++i) {
    const py::object gradient = gradients[i];
    plan_item(parameters_[i], gradient, table);
  }
  written_.require_disjoint();
  std::size_t i = 0;
  for (const py::object& gradient : gradients_) {
    const Label label{Label::gradient, &parameters_[i++].name};
    written_.require_apart(view_of(gradient, label), label);
  }
  const int team = team_size(total_);

  // From here on nothing fails.
  if (total_ < worth_releasing) {
    sweep(items_, total_, team);
  } else {
    const py::gil_scoped_release release;
    sweep(items_, total_, team);
  }
  ++t;
  gradients_.clear();
}

}  // namespace gradstep
