// The stepper; see stepper.hpp.
#include "stepper.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "dispatch.hpp"
#include "floating_point.hpp"
#include "interpreter.hpp"
#include "state_memory.hpp"
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

void require_count(std::int64_t t) {
  if (t < 0) throw py::value_error("t must be >= 0, got " + std::to_string(t));
}

// Below this many elements letting go of the interpreter costs more than anybody could gain by it.
constexpr std::int64_t worth_releasing = 16'384;

}  // namespace

std::vector<std::string> state_names(const std::string& rule) {
  const Rule& row = active_table().rules[find_rule(rule)];
  return {row.states, row.states + count_states(row)};
}

namespace {

[[noreturn]] void refuse_turn() {
  throw std::runtime_error(
      "this optimizer is stepping or being saved in another thread (or in the schedule or array "
      "that it has just called); give each thread an optimizer of its own, or take turns with a "
      "lock");
}

}  // namespace

// One at a time: a second thread on the same optimizer is told so, and finds nothing changed.
class Stepper::Turn {
 public:
  explicit Turn(Stepper& stepper) : stepper_(stepper) {
    const int here = process_generation();
    int busy = 0;
    bool taken = stepper.busy_.compare_exchange_strong(busy, here, std::memory_order_acquire);
    // This process was forked while a thread had its turn that is not here to give it back.
    if (!taken && busy != here && stepper.holder_.load() != std::this_thread::get_id()) {
      taken = stepper.busy_.compare_exchange_strong(busy, here, std::memory_order_acquire);
    }
    if (!taken) refuse_turn();
    stepper.holder_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  }
  ~Turn() { stepper_.busy_.store(0, std::memory_order_release); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  Stepper& stepper_;
};

Stepper::Stepper(std::int64_t t) : t_(t) { require_count(t); }

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
  Py_VISIT(layout_.ptr());
  return 0;
}

void Stepper::let_go() {
  for (Group& group : groups_) {
    Schedules dropped;
    dropped.swap(group.schedules);
  }
  const py::object dropped = std::move(expected_.flatten);
}

Stepper::Group Stepper::make_group(const std::string& rule, std::int64_t start, std::int64_t t,
                                   const Told& told, py::object given) {
  if (start < 0 || start > t) {
    throw py::value_error("start must be between 0 and t, got " + std::to_string(start));
  }
  Group group;
  group.rule = find_rule(rule);
  group.start = start;
  group.given = std::move(given);
  Corrections::Products& products = group.corrections.products;
  bool damped = false;
  for (const auto& [name, known_as, value] : told) {
    if (set_flag(group.values, name, known_as, value)) continue;
    const NumberField* field = find_number(name);
    if (!field) throw py::value_error("no hyperparameter is named '" + name + "'");
    py::object number = value;
    if (PyCallable_Check(value.ptr())) {
      if (field->member == &Hyperparameters::initial_v) {
        throw py::type_error(known_as + " must be a number, as v starts from it, got a callable");
      }
      group.schedules.push_back({field, known_as, value});
      number = value(t);
    }
    group.values.*field->member = checked_number(*field, known_as, number);
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

namespace {

// The products of a group that goes on from another: what that kept is kept, and where it kept
// none, the power that stood for it is what a schedule goes on from.
void go_on(Corrections::Products& products, const Corrections::Products& before,
           const Hyperparameters& values, std::int64_t steps) {
  const DefaultFloatingPointMode mode;
  const double betas[] = {values.beta, values.beta1, values.beta2};
  for (int kind = 0; kind < Corrections::kinds; ++kind) {
    if (before[kind].kept) {
      products[kind] = before[kind];
    } else if (kind < Corrections::of_mu) {
      products[kind].value = Powers().power(betas[kind], steps);
    }
  }
  if (!before[Corrections::of_weights].kept) {
    Hyperparameters then = values;
    then.correction = Powers().one_minus(values.beta, steps);
    products[Corrections::of_weights].value = {momentum_weights(then), 0.0};
  }
}

// Takes over what was saved: all that is kept here, and what else was kept there.
void restore(Corrections::Products& products, const Stepper::Products& saved) {
  std::size_t known = 0;
  for (int kind = 0; kind < Corrections::kinds; ++kind) {
    const std::string name = Corrections::names[kind];
    const auto found = saved.find(name);
    if (found == saved.end()) {
      if (!products[kind].kept) continue;
      throw py::value_error("a group of the state lacks the product of " + name +
                            " over the steps taken, which a schedule here goes on from");
    }
    if (kind == Corrections::of_mu && !products[kind].kept) continue;
    const auto [high, low] = found->second;
    const double most = kind == Corrections::of_weights ? 0x1p53 : 1.0;
    if (!(high >= 0 && high <= most && low >= -0x1p-53 && low <= 0x1p-53)) {
      throw py::value_error("the product of " + name + " in the state must be from 0 to " +
                            (most == 1.0 ? "1" : "2 to the power of 53"));
    }
    products[kind] = {true, {high, low}};
    ++known;
  }
  if (known != saved.size()) throw py::value_error("the state has products that are unknown here");
}

}  // namespace

int Stepper::add_group(const std::string& rule, const Told& told, py::object given,
                       std::optional<std::int64_t> start, py::object mu_product) {
  const Turn turn(*this);
  Group made = make_group(rule, start.value_or(t()), t(), told, std::move(given));
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

void Stepper::change(const std::vector<Change>& changes, std::optional<std::int64_t> new_t,
                     const std::optional<States>& states) {
  const Turn turn(*this);
  const std::int64_t t = new_t.value_or(this->t());
  require_count(t);
  std::vector<Group> made;
  made.reserve(changes.size());
  for (const auto& [index, rule, told, before, given, new_start, products] : changes) {
    if (!group_at(index).given.is(before)) refuse_turn();  // another's change would be lost
    const std::string own = active_table().rules[group_at(index).rule].name;
    const std::int64_t start = new_start.value_or(group_at(index).start);
    made.push_back(make_group(rule, start, t, told, given));
    Corrections& corrections = made.back().corrections;
    if (products) {
      restore(corrections.products, *products);
    } else {
      const Group& old = group_at(index);
      go_on(corrections.products, old.corrections.products, old.values, t - start);
    }
    if (state_names(rule) != state_names(own)) {
      std::string message = "the group steps by '";
      message.append(own).append("', but this would need '").append(rule);
      message += "', which keeps other state: choose it when the optimizer is made";
      throw py::value_error(message);
    }
  }
  for (int i = 0; i < static_cast<int>(groups_.size()); ++i) {
    const bool changed = std::any_of(changes.begin(), changes.end(), [i](const Change& change) {
      return std::get<0>(change) == i;
    });
    if (!changed && group_at(i).start > t) {
      throw py::value_error("t must not be below the start of a group that stays as it is");
    }
  }
  // Last, as making a group may call the user's code.
  const std::vector<Restored> restored = states ? lay_out(*states) : std::vector<Restored>();

  // From here on nothing fails.
  const WholeForForks whole;
  for (const Restored& state : restored) state.copy();
  // Swapped: what the old groups held is let go, and may run code, only when all have changed.
  const std::lock_guard<std::mutex> lock(groups_mutex_);
  for (std::size_t i = 0; i < made.size(); ++i) {
    std::swap(group_at(std::get<0>(changes[i])), made[i]);
  }
  t_ = t;
}

std::vector<Stepper::Restored> Stepper::lay_out(const States& states) const {
  if (states.size() != parameters_.size()) {
    throw py::value_error("expected the state of " + std::to_string(parameters_.size()) +
                          " parameters, got " + std::to_string(states.size()));
  }
  std::vector<Restored> restored;
  for (std::size_t i = 0; i < states.size(); ++i) {
    const Parameter& parameter = parameters_[i];
    if (states[i].size() != parameter.states.size()) {
      throw py::value_error("'" + parameter.name + "' keeps " +
                            std::to_string(parameter.states.size()) + " arrays of state, got " +
                            std::to_string(states[i].size()));
    }
    const Rule& rule = active_table().rules[groups_[parameter.group].rule];
    for (std::size_t s = 0; s < states[i].size(); ++s) {
      const Label label{Label::state, &parameter.name, rule.states[s]};
      const View own = writable_view_of(parameter.states[s], label);
      const View saved = view_of(states[i][s], label);
      require_like(saved, label, own);
      const int itemsize = itemsize_of[own.dtype];
      restored.push_back(
          {StridedRun({own.geometry, saved.geometry}, itemsize), own.size, itemsize});
    }
  }
  return restored;
}

void Stepper::Restored::copy() const {
  constexpr int widest = 8;
  alignas(64) char buffer[tile * widest];
  for (std::int64_t begin = 0; begin < count; begin += tile) {
    const std::int64_t some = std::min(tile, count - begin);
    run.gather(1, begin, some, buffer);
    run.scatter(0, begin, some, buffer);
  }
}

py::tuple Stepper::snapshot() {
  const Turn turn(*this);
  py::list groups, states;
  for (const Group& group : groups_) {
    py::dict products;
    for (int kind = 0; kind < Corrections::kinds; ++kind) {
      const Corrections::Product& product = group.corrections.products[kind];
      if (!product.kept) continue;
      products[Corrections::names[kind]] = py::make_tuple(product.value.high, product.value.low);
    }
    groups.append(py::make_tuple(group.given, group.start, products));
  }
  for (const Parameter& parameter : parameters_) {
    py::list copies;
    for (const py::array& state : parameter.states) copies.append(state.attr("copy")("K"));
    states.append(std::move(copies));
  }
  return py::make_tuple(t(), std::move(groups), std::move(states), layout());
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
    values.*field.member = checked_number(field, schedule.name, schedule.function(t()));
  }
  return values;
}

Stepper::Parameter Stepper::make_parameter(int group, const std::string& name, py::handle w) {
  Parameter parameter{group, name, {}, {}, false};
  const Label label{Label::parameter, &parameter.name};
  parameter.w = as_array(w, label);
  static_cast<void>(writable_view_of(parameter.w, label));
  return parameter;
}

void Stepper::append(Parameter parameter) {
  slots_.reserve(parameters_.size() + 1);
  judged_ = false;
  parameters_.push_back(std::move(parameter));
}

std::unique_ptr<Stepper::Addition> Stepper::prepare_addition(
    const std::vector<NewGroup>& groups, const std::vector<NewParameters>& parameters) {
  const Turn turn(*this);
  auto addition = std::make_unique<Addition>();
  addition->first = groups_.size();
  for (const auto& [label, rule, told, given] : groups) {
    try {
      addition->groups.push_back(make_group(rule, t(), t(), told, given));
    } catch (const py::type_error& error) {
      throw py::type_error(label + error.what());
    } catch (const py::value_error& error) {
      throw py::value_error(label + error.what());
    }
  }
  for (const auto& [index, names, arrays] : parameters) {
    const std::size_t behind = static_cast<std::size_t>(index) - addition->first;
    if (behind >= addition->groups.size()) refuse_turn();  // another's addition came between
    const int kinds = count_states(active_table().rules[addition->groups[behind].rule]);
    std::vector<py::array> written;
    for (std::size_t i = 0; i < names.size(); ++i) {
      const py::object given = arrays[i];
      addition->parameters.push_back(make_parameter(index, names[i], given));
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

void Stepper::add(Addition& addition, Expected expected, py::object layout) {
  const Turn turn(*this);
  if (addition.first != groups_.size()) refuse_turn();  // another's addition would be displaced
  const std::size_t parameters = parameters_.size();
  slots_.reserve(parameters + addition.parameters.size());
  try {
    {
      const std::lock_guard<std::mutex> lock(groups_mutex_);
      for (const Group& group : addition.groups) {
        groups_.push_back(group);
        groups_.back().start = t();  // steps may have been taken since it was prepared
      }
    }
    for (const Parameter& parameter : addition.parameters) parameters_.push_back(parameter);
    judge();
  } catch (...) {
    judged_ = false;
    const std::lock_guard<std::mutex> lock(groups_mutex_);
    while (groups_.size() > addition.first) groups_.pop_back();
    while (parameters_.size() > parameters) parameters_.pop_back();
    throw;
  }
  // What was kept goes with the arguments, and may run code, when all has changed.
  const std::lock_guard<std::mutex> lock(groups_mutex_);
  std::swap(expected_, expected);
  std::swap(layout_, layout);
}

py::object Stepper::layout() {
  const std::lock_guard<std::mutex> lock(groups_mutex_);
  return layout_;
}

void Stepper::add_parameter(int group, const std::string& name, py::handle w,
                            const py::sequence& given) {
  const Turn turn(*this);
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
  Parameter parameter = make_parameter(group, name, w);
  parameter.states = std::move(states);
  append(std::move(parameter));
}

// Looks at everything that a step writes.
void Stepper::judge() {
  judged_ = false;
  written_.clear();
  slots_.clear();
  elements_ = 0;
  for (const Parameter& parameter : parameters_) {
    const Rule& rule = active_table().rules[groups_[parameter.group].rule];
    const Label label{Label::parameter, &parameter.name};
    const View w = writable_view_of(parameter.w, label);
    written_.add(w, label, true);

    Slot slot;
    slot.w = parameter.w.ptr();
    slot.group = &groups_[static_cast<std::size_t>(parameter.group)];
    slot.dtype = w.dtype;
    slot.item.itemsize = itemsize_of[w.dtype];
    slot.item.count = w.size;
    elements_ += w.size;
    slot.item.streams[0] = w.geometry.data;
    slot.item.stream_count = 2;  // the parameter and, still to come, its gradient
    int orders = dense_orders(w);
    for (std::size_t s = 0; s < parameter.states.size(); ++s) {
      const Label state_label{Label::state, &parameter.name, rule.states[s]};
      const View state = writable_view_of(parameter.states[s], state_label);
      if (parameter.keeps_states) {
        require_like(w, label, state, "like its state");  // whose shape nobody else can change
      } else {
        require_like(state, state_label, w);
      }
      written_.add(state, state_label, !parameter.keeps_states);
      slot.item.streams[slot.item.stream_count++] = state.geometry.data;
      orders &= dense_orders(state);
    }
    slot.orders = static_cast<Orders>(orders);
    slots_.push_back(slot);
  }
  for (Group& group : groups_) judge_product(group);
  written_.require_disjoint();
  judged_ = true;
}

void Stepper::judge_product(Group& group) {
  if (!group.mu_product || group.mu_product.is_none() || parameters_.empty()) return;
  const Label label{Label::state, &parameters_.front().name, "mu_product"};
  const py::array array = as_array(group.mu_product, label);
  const View view = writable_view_of(array, label);
  if (view.dtype != float64 || view.size != 1) {
    throw py::value_error("mu_product must be an array of one float64, numpy.ones(1) at first");
  }
  double product;
  std::memcpy(&product, view.geometry.data, sizeof product);
  const bool first = t() == group.start;
  if (!(product >= 0 && product <= 1) || (first && product != 1)) {
    throw py::value_error(std::string("mu_product must be ") +
                          (first ? "1 before the first step" : "from 0 to 1") + ", got " +
                          py::cast<std::string>(py::str(py::float_(product))));
  }
  group.mu_product = array;
  written_.add(view, label, true);
  group.mu_data = view.geometry.data;
  group.corrections.products[Corrections::of_mu].value = {product, 0.0};
}

// What has been prepared becomes the state of the groups. Cannot fail.
void Stepper::take_products() {
  for (Group& group : groups_) {
    group.corrections.take();
    const double product = group.corrections.products[Corrections::of_mu].value.high;
    if (group.mu_data) std::memcpy(group.mu_data, &product, sizeof product);
  }
}

// What goes with a gradient may run code, and a collection, which must not meet one that has gone.
void Stepper::drop_gradients() {
  std::vector<py::object> dropped;
  dropped.swap(gradients_);
  dropped.clear();
  gradients_.swap(dropped);  // for its memory
}

// Fills `gradients_` from a dict with just these keys; false where it has others.
bool Stepper::look_up(PyObject* gradients, const py::tuple& keys) {
  if (PyDict_GET_SIZE(gradients) != static_cast<py::ssize_t>(keys.size())) return false;
  drop_gradients();
  for (const py::handle key : keys) {
    PyObject* found = nullptr;
#if PY_VERSION_HEX >= 0x030D0000
    if (PyDict_GetItemRef(gradients, key.ptr(), &found) < 0) throw py::error_already_set();
#else
    found = PyDict_GetItemWithError(gradients, key.ptr());
    if (!found && PyErr_Occurred()) throw py::error_already_set();
    Py_XINCREF(found);
#endif
    if (!found) return false;
    gradients_.push_back(py::reinterpret_steal<py::object>(found));
  }
  return true;
}

void Stepper::require_one_each(std::size_t gradients) const {
  if (gradients != parameters_.size()) {
    throw py::value_error("expected " + std::to_string(parameters_.size()) +
                          " gradients, one for each parameter, got " + std::to_string(gradients));
  }
}

// Keeps the gradients until the step is over. This may call the user's code.
void Stepper::take(py::handle gradients) {
  bool found = false;
  if (PyDict_CheckExact(gradients.ptr())) {
    std::vector<py::tuple>& keys = expected_.keys;
    for (std::size_t i = 0; i < keys.size() && !found; ++i) {
      found = look_up(gradients.ptr(), keys[i]);
      if (found && i > 0) std::swap(keys[0], keys[i]);
    }
  }
  if (!found) {
    drop_gradients();
    const bool as_is =
        !expected_.flatten || (expected_.listed && PyList_CheckExact(gradients.ptr()) &&
                               py::len(gradients) == parameters_.size());
    const py::object flat =
        as_is ? py::reinterpret_borrow<py::object>(gradients) : expected_.flatten(gradients);
    const auto sequence = py::cast<py::sequence>(flat);
    const std::size_t count = sequence.size();
    require_one_each(count);
    // Objects, not handles: what a subclass of list returns may be nobody else's.
    for (std::size_t i = 0; i < count; ++i) gradients_.push_back(py::object(sequence[i]));
  }
  require_one_each(gradients_.size());
  for (std::size_t i = 0; i < gradients_.size(); ++i) {
    if (!is_exactly_ndarray(gradients_[i])) {
      gradients_[i] = as_array(gradients_[i], {Label::gradient, &parameters_[i].name});
    }
  }
}

// The kernel and its constants, for the parameters of one dtype in a group.
void Stepper::prepare(Group& group, DType dtype) {
  const Hyperparameters& values = group.values;
  const Decay decay = values.weight_decay == 0 ? no_decay
                      : values.decoupled       ? decoupled_decay
                                               : coupled_decay;
  const Kernel& kernel = table_->rules[group.rule].kernels[dtype][decay];
  const DefaultFloatingPointMode mode;
  Hyperparameters h = values;
  group.corrections.prepare(h, t() + 1 - group.start);
  kernel.prepare(h, values.maximize ? -1.0 : 1.0, &group.constants[dtype]);
  group.kernels[dtype] = &kernel;
}

// Appends one parameter's item, if its gradient is found right.
void Stepper::plan(std::size_t i) {
  Slot& slot = slots_[i];
  Item& item = sweep_.add(slot.item);
  char* data = usual_gradient(gradients_[i].ptr(), slot.w, slot.orders);
  const auto low = reinterpret_cast<std::uintptr_t>(data);
  const auto bytes = static_cast<std::uintptr_t>(item.count * item.itemsize);
  if (data && written_.clear_of(low, low + bytes, slot.gap)) {
    item.streams[1] = data;
  } else {
    plan_unusual(i, item);
  }
  Group& group = *slot.group;
  if (!group.kernels[slot.dtype]) prepare(group, slot.dtype);
  item.kernel = group.kernels[slot.dtype];
  item.constants = &group.constants[slot.dtype];
}

void Stepper::plan_unusual(std::size_t i, Item& item) {
  const Parameter& parameter = parameters_[i];
  const View w = view_of(parameter.w, {Label::parameter, &parameter.name});
  const Label label{Label::gradient, &parameter.name};
  const View g = view_of(gradients_[i], label);
  require_like(g, label, w);
  written_.require_apart(g, label);
  if (slots_[i].orders & dense_orders(g)) {
    item.streams[1] = g.geometry.data;
    return;
  }
  std::vector<Geometry> geometries{w.geometry, g.geometry};
  for (std::size_t s = 0; s < parameter.states.size(); ++s) {
    const Label state{Label::state, &parameter.name};
    geometries.push_back(view_of(parameter.states[s], state).geometry);
  }
  strided_.push_back(std::make_unique<StridedRun>(geometries, item.itemsize));
  item.strided = strided_.back().get();
}

// All memory of others that a step reads or writes.
void Stepper::pin() {
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    pins_.add(parameters_[i].w);
    pins_.add(gradients_[i]);
    if (parameters_[i].keeps_states) continue;
    for (const py::array& state : parameters_[i].states) pins_.add(state);
  }
  for (const Group& group : groups_) {
    if (group.mu_data) pins_.add(group.mu_product);
  }
}

void Stepper::step(py::handle gradients) {
  const Turn turn(*this);
  // Gradients are let go when the step is over, also where it was refused.
  struct LetGo {
    Stepper& stepper;
    ~LetGo() {
      stepper.pins_.release();
      stepper.drop_gradients();
    }
  } const let_go{*this};

  // Whatever calls the user's code comes first: it might move an array that was looked at before.
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    if (!groups_[i].schedules.empty()) {
      const Hyperparameters values = scheduled_values(static_cast<int>(i));
      const std::lock_guard<std::mutex> lock(groups_mutex_);
      groups_[i].values = values;
    }
    groups_[i].kernels[float32] = groups_[i].kernels[float64] = nullptr;
  }
  take(gradients);
  if (!judged_) judge();
  const bool releases_lock = elements_ >= worth_releasing;
  if (releases_lock || !interpreter_has_lock) pin();

  table_ = &active_table();
  if (!written_.unchanged()) judge();
  sweep_.clear();
  strided_.clear();
  for (std::size_t i = 0; i < slots_.size(); ++i) plan(i);
  const Team team(sweep_.written());
  sweep_.prepare(team.size());

  // From here on nothing fails.
  const auto take_step = [&] {
    const WholeForForks whole;
    sweep_.run(team);
    take_products();
    t_.store(t() + 1, std::memory_order_relaxed);
  };
  if (releases_lock) {
    const WithoutInterpreter unlocked;
    take_step();
  } else {
    take_step();
  }
}

}  // namespace gradstep
