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

}  // namespace

std::vector<std::string> state_names(const std::string& rule) {
  const Rule& row = active_table().rules[find_rule(rule)];
  return {row.states, row.states + count_states(row)};
}

// One at a time: a second thread on the same optimizer is told so, and finds nothing changed.
class Stepper::Turn {
 public:
  explicit Turn(Stepper& stepper) : stepper_(stepper), nested_(is_held_here(stepper)) {
    if (!nested_) take(stepper);
  }
  ~Turn() {
    if (!nested_) give_back(stepper_);
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  static void take(Stepper& stepper) {
    if (stepper.busy_.exchange(true, std::memory_order_acquire)) {
      throw std::runtime_error(
          "this optimizer is stepping or being saved in another thread (or in the schedule or "
          "array that it has just called); give each thread an optimizer of its own, or take turns "
          "with a lock");
    }
  }
  static void give_back(Stepper& stepper) {
    stepper.holder_ = {};
    stepper.busy_.store(false, std::memory_order_release);
  }
  static bool is_held_here(const Stepper& stepper) {
    return stepper.busy_.load(std::memory_order_acquire) &&
           stepper.holder_ == std::this_thread::get_id();
  }

 private:
  Stepper& stepper_;
  bool nested_;  // within this thread's own `hold`
};

void Stepper::hold() {
  Turn::take(*this);
  holder_ = std::this_thread::get_id();
}

void Stepper::release() {
  if (Turn::is_held_here(*this)) Turn::give_back(*this);
}

int Stepper::traverse(visitproc visit, void* arg) const {
  for (const Group& group : groups_) {
    for (const auto& entry : group.schedules) Py_VISIT(entry.second.ptr());
  }
  for (const Parameter& parameter : parameters_) {
    Py_VISIT(parameter.w.ptr());
    for (const py::array& state : parameter.states) Py_VISIT(state.ptr());
  }
  for (const py::array& gradient : gradients_) Py_VISIT(gradient.ptr());
  return 0;
}

void Stepper::drop_schedules() {
  for (Group& group : groups_) {
    Schedules dropped;
    dropped.swap(group.schedules);
  }
}

Stepper::Group Stepper::make_group(const std::string& rule, std::int64_t start, std::int64_t t,
                                   const py::dict& hyperparameters) {
  Group group;
  group.rule = find_rule(rule);
  group.start = start;
  for (const auto& [key, value] : hyperparameters) {
    const std::string name = py::cast<std::string>(key);
    if (set_flag(group.values, name, value)) continue;
    const NumberField* field = find_number(name);
    if (!field) throw py::value_error("no hyperparameter is named '" + name + "'");
    py::object number = py::reinterpret_borrow<py::object>(value);
    if (PyCallable_Check(value.ptr())) {
      group.schedules.emplace_back(field, number);
      number = value(t);
    }
    group.values.*field->member = checked_number(*field, number);
  }
  for (const auto& entry : group.schedules) {
    if (group.values.bias_correction && entry.first->below_one) {
      throw py::value_error(std::string(entry.first->name) +
                            " cannot follow a schedule together with bias_correction=True: the "
                            "correction assumes one value for all steps; switch it off");
    }
  }
  return group;
}

int Stepper::add_group(const std::string& rule, const py::dict& hyperparameters,
                       std::int64_t start) {
  const Turn turn(*this);
  groups_.push_back(make_group(rule, start, t_, hyperparameters));
  return static_cast<int>(groups_.size()) - 1;
}

Stepper::Group& Stepper::group_at(int group) {
  if (group < 0 || group >= static_cast<int>(groups_.size())) {
    throw py::index_error("no group " + std::to_string(group));
  }
  return groups_[static_cast<std::size_t>(group)];
}

void Stepper::change(const std::vector<Change>& changes, std::int64_t new_t) {
  const Turn turn(*this);
  std::vector<Group> made;
  made.reserve(changes.size());
  for (const auto& [index, rule, start, hyperparameters] : changes) {
    const std::string own = active_table().rules[group_at(index).rule].name;
    if (start < 0 || start > new_t) {
      throw py::value_error("start must be between 0 and t, got " + std::to_string(start));
    }
    made.push_back(make_group(rule, start, new_t, hyperparameters));
    if (state_names(rule) != state_names(own)) {
      std::string message = "the group steps by '";
      message.append(own).append("', but this would need '").append(rule);
      message += "', which keeps other state: choose it when the optimizer is made";
      throw py::value_error(message);
    }
  }
  // Swapped: what the old groups held is let go, and may run code, only when all have changed.
  for (std::size_t i = 0; i < made.size(); ++i) {
    std::swap(group_at(std::get<0>(changes[i])), made[i]);
  }
  t_ = new_t;
}

double Stepper::get(int group, const std::string& name) {
  group_at(group);
  const NumberField* field = find_number(name);
  if (!field) throw py::value_error("no hyperparameter is named '" + name + "'");
  return scheduled_values(group).*field->member;
}

// A schedule is the user's code, and may do anything, even change this group: nothing here refers
// to it while a schedule is called.
GroupValues Stepper::scheduled_values(int group) const {
  const auto index = static_cast<std::size_t>(group);
  GroupValues values = groups_[index].values;
  if (groups_[index].schedules.empty()) return values;
  const Schedules schedules = groups_[index].schedules;
  for (const auto& [field, schedule] : schedules) {
    values.*field->member = checked_number(*field, schedule(t_));
  }
  return values;
}

void Stepper::add_parameter(int group, const std::string& name, py::handle w,
                            const py::sequence& states) {
  const Turn turn(*this);
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
  gradients_.reserve(parameters_.size() + 1);
  strided_.reserve(parameters_.size() + 1);
  parameters_.push_back(std::move(parameter));
}

const Constants* Stepper::constants_of(Group& group, const Kernel& kernel, DType dtype) {
  if (!group.prepared[dtype]) {
    const DefaultFloatingPointMode mode;
    auto h = static_cast<const Hyperparameters&>(group.values);
    h.t = t_ + 1 - group.start;
    kernel.prepare(h, group.values.maximize ? -1.0 : 1.0, &group.constants[dtype]);
    group.prepared[dtype] = true;
  }
  return &group.constants[dtype];
}

// Checks one parameter, its state and, where given, its gradient, and appends its item.
void Stepper::plan_item(Parameter& parameter, const py::array* gradient, const KernelTable& table) {
  Group& group = groups_[static_cast<std::size_t>(parameter.group)];
  const Rule& rule = table.rules[group.rule];
  View views[max_streams];
  int count = 0;

  const Label label{Label::parameter, &parameter.name};
  const View& w = views[count++] = writable_view_of(parameter.w, label);
  written_.add(w, label);

  const Label gradient_label{Label::gradient, &parameter.name};
  if (gradient) {
    const View& g = views[count++] = view_of(*gradient, gradient_label);
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
  if (all_dense(views, count)) {
    for (int s = 0; s < count; ++s) item.streams[s] = views[s].geometry.data;
  } else {
    std::vector<Geometry> geometries;
    geometries.reserve(max_streams);
    for (int s = 0; s < count; ++s) geometries.push_back(views[s].geometry);
    strided_.push_back(std::make_unique<StridedRun>(geometries, item.itemsize));
    item.strided = strided_.back().get();
  }
  sweep_.add(item);
}

void Stepper::check() {
  const Turn turn(*this);
  written_.clear();
  for (Parameter& parameter : parameters_) plan_item(parameter, nullptr, active_table());
  written_.require_disjoint();
}

void Stepper::step(const py::sequence& gradients) {
  if (Turn::is_held_here(*this)) Turn::take(*this);  // not within `hold`: throws
  const Turn turn(*this);
  const std::size_t given = gradients.size();
  if (given != parameters_.size()) {
    throw py::value_error("expected " + std::to_string(parameters_.size()) +
                          " gradients, one for each parameter, got " + std::to_string(given));
  }
  sweep_.clear();
  strided_.clear();
  written_.clear();
  // Gradients are let go when the step is over, also where it was refused.
  struct Emptied {
    std::vector<py::array>& arrays;
    ~Emptied() { arrays.clear(); }
  } const emptied{gradients_};

  // Whatever calls the user's code comes first: it might move an array that was looked at before.
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    groups_[i].values = scheduled_values(static_cast<int>(i));
    groups_[i].prepared[float32] = groups_[i].prepared[float64] = false;
  }
  for (std::size_t i = 0; i < given; ++i) {
    const py::object gradient = gradients[i];
    gradients_.push_back(as_array(gradient, {Label::gradient, &parameters_[i].name}));
  }

  const KernelTable& table = active_table();
  for (std::size_t i = 0; i < given; ++i) plan_item(parameters_[i], &gradients_[i], table);
  written_.require_disjoint();
  for (std::size_t i = 0; i < given; ++i) {
    const Label label{Label::gradient, &parameters_[i].name};
    written_.require_apart(view_of(gradients_[i], label), label);
  }
  const Team team(sweep_.written());
  sweep_.prepare(team.size());

  // From here on nothing fails.
  if (sweep_.total() < worth_releasing) {
    sweep_.run(team);
  } else {
    const py::gil_scoped_release release;
    sweep_.run(team);
  }
  ++t_;
}

}  // namespace gradstep
