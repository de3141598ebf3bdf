// The stepper; see stepper.hpp.
#include "stepper.hpp"

#include <algorithm>
#include <cmath>
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

void require_count(const std::string& name, std::int64_t count) {
  if (count < 0) throw py::value_error(name + " must be >= 0, got " + std::to_string(count));
}

// How gradients are brought to what the update takes, where one factor of the kernels does not do.
std::optional<Limits> limits_for(double factor, std::optional<double> clip_value) {
  // A factor that is denormal in float32, or nearly, is cut in two.
  constexpr double tiny = 0x1p-100, first = 0x1p-64;
  const bool cut = std::abs(factor) < tiny && factor != 0;
  if (!cut && !clip_value) return std::nullopt;
  const double bound = clip_value.value_or(HUGE_VAL);
  return cut ? Limits{first, factor / first, bound} : Limits{1.0, factor, bound};
}

// Below this many elements letting go of the interpreter costs more than anybody could gain by it.
constexpr std::int64_t worth_releasing = 16'384;

}  // namespace

std::vector<std::string> state_names(const std::string& rule) {
  const Rule& row = active_table().rules[find_rule(rule)];
  return {row.states, row.states + count_states(row)};
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
  const py::object dropped = std::move(expected_.flatten);
  const Options options = std::exchange(options_, {});
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
    group.values.*field->member = checked_number(field->range, known_as, number);
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
  const Turn turn(turns_);
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

void Stepper::Replacement::prepare(Stepper& stepper, const Replaced& replaced) {
  const Turn turn(stepper.turns_);
  keep_alive_ = py::cast(&stepper);
  stepper_ = &stepper;
  version_ = stepper.version_;
  t_ = replaced.t.value_or(stepper.t());
  require_count("t", t_);
  skipped_ = replaced.skipped.value_or(stepper.skipped());
  require_count("skipped", skipped_);
  for (const auto& [index, rule, told, before, given, new_start, products] : replaced.changes) {
    Group& old = stepper.group_at(index);
    if (!old.given.is(before)) stepper.turns_.refuse();  // another's change would be lost
    const std::string own = active_table().rules[old.rule].name;
    const std::int64_t start = new_start.value_or(old.start);
    groups_.emplace_back(index, make_group(rule, start, t_, told, given));
    Corrections& corrections = groups_.back().second.corrections;
    if (products) {
      restore(corrections.products, *products);
    } else {
      go_on(corrections.products, old.corrections.products, old.values, t_ - start);
    }
    if (state_names(rule) != state_names(own)) {
      std::string message = "the group steps by '";
      message.append(own).append("', but this would need '").append(rule);
      message += "', which keeps other state: choose it when the optimizer is made";
      throw py::value_error(message);
    }
  }
  for (int i = 0; i < static_cast<int>(stepper.groups_.size()); ++i) {
    const bool changed = std::any_of(groups_.begin(), groups_.end(),
                                     [i](const auto& group) { return group.first == i; });
    if (!changed && stepper.group_at(i).start > t_) {
      throw py::value_error("t must not be below the start of a group that stays as it is");
    }
  }
  options_ = replaced.options ? Options(*replaced.options, t_) : stepper.options_;
  // Last, as the above may call the user's code.
  if (replaced.states) stepper.lay_out(*replaced.states, filling_);
  if (replaced.parameters) {
    const std::vector<py::array>& saved = *replaced.parameters;
    stepper.require_one_each("arrays", saved.size());
    for (std::size_t i = 0; i < saved.size(); ++i) {
      const Parameter& parameter = stepper.parameters_[i];
      filling_.add(parameter.w, saved[i], {Label::parameter, &parameter.name});
    }
  }
}

void Stepper::Replacement::commit() noexcept {
  filling_.fill();
  // Swapped: what the old groups held is let go, and may run code, only when all have changed.
  const std::lock_guard<std::mutex> lock(stepper_->groups_mutex_);
  for (auto& [index, group] : groups_) std::swap(stepper_->group_at(index), group);
  std::swap(stepper_->options_, options_);
  stepper_->t_ = t_;
  stepper_->skipped_ = skipped_;
  ++stepper_->version_;
}

void Stepper::commit(const std::vector<Replacement*>& replacements) {
  std::deque<Turn> turns;
  for (const Replacement* replacement : replacements) {
    Stepper& stepper = *replacement->stepper_;
    turns.emplace_back(stepper.turns_);
    if (replacement->version_ != stepper.version_) stepper.turns_.refuse();
  }
  const WholeForForks whole;
  for (Replacement* replacement : replacements) replacement->commit();
}

void Stepper::lay_out(const States& states, Filling& filling) const {
  if (states.size() != parameters_.size()) {
    throw py::value_error("expected the state of " + std::to_string(parameters_.size()) +
                          " parameters, got " + std::to_string(states.size()));
  }
  for (std::size_t i = 0; i < states.size(); ++i) {
    const Parameter& parameter = parameters_[i];
    if (states[i].size() != parameter.states.size()) {
      throw py::value_error("'" + parameter.name + "' keeps " +
                            std::to_string(parameter.states.size()) + " arrays of state, got " +
                            std::to_string(states[i].size()));
    }
    const Rule& rule = active_table().rules[groups_[parameter.group].rule];
    for (std::size_t s = 0; s < states[i].size(); ++s) {
      filling.add(parameter.states[s], states[i][s],
                  {Label::state, &parameter.name, rule.states[s]});
    }
  }
}

py::list Stepper::snapshot_of_groups() const {
  py::list groups;
  for (const Group& group : groups_) {
    py::dict products;
    for (int kind = 0; kind < Corrections::kinds; ++kind) {
      const Corrections::Product& product = group.corrections.products[kind];
      if (!product.kept) continue;
      products[Corrections::names[kind]] = py::make_tuple(product.value.high, product.value.low);
    }
    groups.append(py::make_tuple(group.given, group.start, products));
  }
  return groups;
}

py::tuple Stepper::snapshot() {
  const Turn turn(turns_);
  std::optional<Turn> averages_turn;
  if (averages_) averages_turn.emplace(averages_->turns_);
  const auto copy_of = [](const py::array& array) { return array.attr("copy")("K"); };
  py::list states;
  for (const Parameter& parameter : parameters_) {
    py::list copies;
    for (const py::array& state : parameter.states) copies.append(copy_of(state));
    states.append(std::move(copies));
  }
  py::object averages = py::none();
  if (averages_) {
    py::list copies;
    for (const Parameter& average : averages_->parameters_) copies.append(copy_of(average.w));
    averages = py::make_tuple(averages_->t(), averages_->snapshot_of_groups(), std::move(copies));
  }
  return py::make_tuple(t(), snapshot_of_groups(), std::move(states), layout(), options(),
                        skipped(), std::move(averages));
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

// What an average is divided by after so many steps of its group.
double Stepper::correction(const Group& group, std::int64_t steps) {
  if (!group.values.bias_correction || steps == 0) return 1.0;
  const DefaultFloatingPointMode mode;
  return one_minus_power(group.values.beta, steps);
}

std::vector<double> Stepper::corrections() {
  const std::lock_guard<std::mutex> lock(groups_mutex_);
  std::vector<double> corrections;
  for (const Parameter& parameter : parameters_) {
    const Group& group = group_at(parameter.group);
    corrections.push_back(correction(group, t() - group.start));
  }
  return corrections;
}

void Stepper::follow(py::object averages) {
  averages_ = &py::cast<Stepper&>(averages);
  averages_->followed_ = true;
  averages_object_ = std::move(averages);
}

void Stepper::require_own() const {
  if (const char* reason = turns_.reason.load(std::memory_order_relaxed)) {
    throw std::runtime_error(reason);
  }
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
    values.*field.member = checked_number(field.range, schedule.name, schedule.function(t()));
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
  const Turn turn(turns_);
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
    if (behind >= addition->groups.size()) turns_.refuse();  // another's addition came between
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

void Stepper::append(Addition& addition) {
  if (addition.first != groups_.size()) turns_.refuse();  // another's addition would be displaced
  slots_.reserve(parameters_.size() + addition.parameters.size());
  judged_ = false;
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
  judged_ = false;
  const std::lock_guard<std::mutex> lock(groups_mutex_);
  while (groups_.size() > groups) groups_.pop_back();
  while (parameters_.size() > parameters) parameters_.pop_back();
}

void Stepper::add(Addition& addition, Expected expected, py::object layout, Addition* averages,
                  py::object averages_layout) {
  const Turn turn(turns_);
  std::optional<Turn> averages_turn;
  if (averages_) averages_turn.emplace(averages_->turns_);
  const std::size_t groups = groups_.size(), parameters = parameters_.size();
  try {
    append(addition);
    if (averages_) {
      averages_->append(*averages);
      averages_->judge();
    }
    judge();
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
  std::swap(layout_, layout);
}

py::object Stepper::layout() {
  const std::lock_guard<std::mutex> lock(groups_mutex_);
  return layout_;
}

void Stepper::add_parameter(int group, const std::string& name, py::handle w,
                            const py::sequence& given) {
  const Turn turn(turns_);
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
    slot.item.dtype = w.dtype;
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
    if (averages_) {
      const Parameter& average = averages_->parameters_[slots_.size()];
      const Label average_label{Label::state, &parameter.name, "average"};
      const View view = view_of(average.w, average_label);
      require_like(view, average_label, w);
      slot.item.averaged = true;
      slot.item.streams[slot.item.stream_count] = view.geometry.data;
      slot.average_group = &averages_->groups_[static_cast<std::size_t>(average.group)];
      orders &= dense_orders(view);
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

void Stepper::require_one_each(const char* what, std::size_t given) const {
  if (given != parameters_.size()) {
    throw py::value_error("expected " + std::to_string(parameters_.size()) + " " + what +
                          ", one for each parameter, got " + std::to_string(given));
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
    require_one_each("gradients", count);
    // Objects, not handles: what a subclass of list returns may be nobody else's.
    for (std::size_t i = 0; i < count; ++i) gradients_.push_back(py::object(sequence[i]));
  }
  require_one_each("gradients", gradients_.size());
  for (std::size_t i = 0; i < gradients_.size(); ++i) {
    if (!is_exactly_ndarray(gradients_[i])) {
      gradients_[i] = as_array(gradients_[i], {Label::gradient, &parameters_[i].name});
    }
  }
}

// The kernel for the parameters of one dtype in a group, and what its constants are made from.
void Stepper::prepare(Group& group, DType dtype) {
  const Hyperparameters& values = group.values;
  if (!group.kernels[float32] && !group.kernels[float64]) {
    const DefaultFloatingPointMode mode;
    group.corrected = values;
    group.corrections.prepare(group.corrected, t() + 1 - group.start);
  }
  const Decay decay = values.weight_decay == 0 ? no_decay
                      : values.decoupled       ? decoupled_decay
                                               : coupled_decay;
  group.kernels[dtype] = &table_->rules[group.rule].kernels[dtype][decay];
}

// Of all kernels that are prepared, with what gradients are multiplied by.
void Stepper::make_constants(double scale) {
  const DefaultFloatingPointMode mode;
  for (Group& group : groups_) {
    const double factor = group.corrected.maximize ? -scale : scale;
    for (const DType dtype : {float32, float64}) {
      const Kernel* kernel = group.kernels[dtype];
      if (kernel) kernel->prepare(group.corrected, factor, &group.constants[dtype]);
    }
  }
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
  if (item.averaged) {
    Group& average = *slot.average_group;
    if (!average.kernels[slot.dtype]) averages_->prepare(average, slot.dtype);
    item.average = average.kernels[slot.dtype];
    item.average_constants = &average.constants[slot.dtype];
  }
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
  if (averages_) geometries.push_back(view_of(averages_->parameters_[i].w, label).geometry);
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

void Stepper::call_schedules() {
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    if (groups_[i].schedules.empty()) continue;
    const Hyperparameters values = scheduled_values(static_cast<int>(i));
    const std::lock_guard<std::mutex> lock(groups_mutex_);
    groups_[i].values = values;
  }
  if (!options_.scheduled()) return;
  Options now = options_.at(t());
  const std::lock_guard<std::mutex> lock(groups_mutex_);
  std::swap(options_, now);
}

// One that float32 cannot hold would turn every gradient into infinity, or zero.
void Stepper::require_scale(double scale) const {
  if (scale == 0) return;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].dtype != float32) continue;
    const double magnitude = std::abs(scale);
    if (magnitude >= Floor<float>::normal && magnitude <= Floor<float>::largest) return;
    throw py::value_error("scale must be a number of float32, the dtype of parameter '" +
                          parameters_[i].name + "', got " +
                          py::cast<std::string>(py::repr(py::float_(scale))));
  }
}

// What to say of the first gradient that is not finite, and where that is, in the order of its
// indices.
std::string Stepper::describe_not_finite(std::size_t i, double scale) const {
  const Label label{Label::gradient, &parameters_[i].name};
  const View g = view_of(gradients_[i], label);
  std::vector<py::ssize_t> index(static_cast<std::size_t>(g.geometry.ndim));
  double value = 0, product = 0;
  for (std::int64_t n = 0; n < g.size; ++n) {
    std::int64_t rest = n;
    const char* at = g.geometry.data;
    for (std::size_t axis = index.size(); axis-- > 0; rest /= g.geometry.shape[axis]) {
      index[axis] = rest % g.geometry.shape[axis];
      at += index[axis] * g.geometry.strides[axis];
    }
    if (g.dtype == float32) {
      float x;
      std::memcpy(&x, at, sizeof x);
      value = x;
      product = x * static_cast<float>(scale);
    } else {
      std::memcpy(&value, at, sizeof value);
      product = value * scale;
    }
    if (!std::isfinite(product)) break;
  }
  const auto number = [](double x) { return py::cast<std::string>(py::repr(py::float_(x))); };
  std::string text = label.text() + " is " + number(value);
  if (std::isfinite(value)) text += ", times the scale " + number(scale) + " " + number(product);
  std::string where;
  for (const py::ssize_t at : index) where += (where.empty() ? "" : ", ") + std::to_string(at);
  return where.empty() ? text : text + ", at [" + where + "]";
}

void Stepper::step(py::handle gradients, py::handle given_scale) {
  const Turn turn(turns_);
  std::optional<Turn> averages_turn;
  if (averages_) averages_turn.emplace(averages_->turns_);
  // Gradients are let go when the step is over, also where it was refused.
  struct LetGo {
    Stepper& stepper;
    ~LetGo() {
      stepper.pins_.release();
      stepper.drop_gradients();
    }
  } const let_go{*this};

  // Whatever calls the user's code comes first: it might move an array that was looked at before.
  const double scale = checked_number(Range::factor, "scale", given_scale);
  call_schedules();
  for (Stepper* stepper : {this, averages_}) {
    if (!stepper) continue;
    for (Group& group : stepper->groups_) group.kernels[float32] = group.kernels[float64] = nullptr;
  }
  take(gradients);
  if (!judged_) judge();
  if (scale != 1.0) require_scale(scale);
  const bool releases_lock = elements_ >= worth_releasing;
  if (releases_lock || !interpreter_has_lock) pin();

  table_ = &active_table();
  if (averages_) averages_->table_ = table_;
  if (!written_.unchanged()) judge();
  sweep_.clear();
  strided_.clear();
  for (std::size_t i = 0; i < slots_.size(); ++i) plan(i);
  const Team team(sweep_.written());
  sweep_.prepare(team.size(), options_.measures());

  // From here on nothing fails, though a step may be refused for gradients that are not finite.
  std::optional<std::size_t> refused_for;
  std::optional<double> norm;
  const auto take_step = [&] {
    const WholeForForks whole;
    double factor = scale;
    if (options_.measures()) {
      const Sweep::Measured measured = sweep_.measure(team, table_->gradients, scale);
      if (measured.not_finite >= 0 && options_.nonfinite != Options::propagate) {
        refused_for = static_cast<std::size_t>(measured.not_finite);
      }
      if (options_.max_norm.value) {
        norm = measured.norm;
        factor *= clipping_factor(measured.norm, *options_.max_norm.value);
      }
    }
    if (refused_for) return;
    const std::optional<Limits> limits = limits_for(factor, options_.clip_value.value);
    make_constants(limits ? 1.0 : factor);
    if (averages_) averages_->make_constants(1.0);
    sweep_.run(team, table_->gradients, limits ? &*limits : nullptr);
    take_products();
    t_.store(t() + 1, std::memory_order_relaxed);
    ++version_;
    if (averages_) {
      averages_->t_.store(averages_->t() + 1, std::memory_order_relaxed);
      ++averages_->version_;
    }
    note_norm(norm);
  };
  if (releases_lock) {
    const WithoutInterpreter unlocked;
    take_step();
  } else {
    take_step();
  }
  if (refused_for) refuse_not_finite(*refused_for, scale, norm);
}

void Stepper::note_norm(std::optional<double> norm) {
  if (norm == norm_) return;
  const std::lock_guard<std::mutex> lock(groups_mutex_);
  norm_ = norm;
}

// Whatever needs memory comes first: a step is refused with all that is said of it, or not at all.
void Stepper::refuse_not_finite(std::size_t i, double scale, std::optional<double> norm) {
  const bool raises = options_.nonfinite == Options::raise;
  std::optional<std::string> text = describe_not_finite(i, scale);
  const std::string message =
      *text + (raises ? "; nothing has changed. nonfinite='skip' would leave out such steps" : "");
  py::object error;
  if (raises) error = py::reinterpret_borrow<py::object>(PyExc_FloatingPointError)(message);
  note_norm(norm);
  {
    const std::lock_guard<std::mutex> lock(groups_mutex_);
    std::swap(not_finite_, text);
  }
  skipped_.store(skipped() + 1, std::memory_order_relaxed);
  ++version_;
  if (raises) {
    PyErr_SetObject(PyExc_FloatingPointError, error.ptr());
    throw py::error_already_set();
  }
}

Stepper::Averaged::Held::Held(Stepper& stepper)
    : keep_alive(py::cast(&stepper)),
      turn(stepper.turns_, reason),
      averages_turn(stepper.averages_->turns_, reason) {
  const Stepper& averages = *stepper.averages_;
  for (const Parameter& parameter : stepper.parameters_) {
    kept.push_back(parameter.w);
    pins.add(parameter.w);
  }
  stepper.judge();
  std::vector<const std::string*> names;
  for (std::size_t i = 0; i < stepper.parameters_.size(); ++i) {
    const Parameter& average = averages.parameters_[i];
    const Group& group = averages.groups_[static_cast<std::size_t>(average.group)];
    const std::int64_t steps = averages.t() - group.start;
    if (steps == 0) continue;  // nothing has been averaged: the parameters stay
    const Label label{Label::parameter, &average.name};
    const View w = view_of(stepper.parameters_[i].w, label);
    exchange.add(w.geometry, view_of(average.w, label).geometry, w.dtype, w.size,
                 correction(group, steps));
    names.push_back(&average.name);
  }
  const int overflowing = exchange.overflowing();
  if (overflowing >= 0) {
    const std::string message = "the average of '" + *names[static_cast<std::size_t>(overflowing)] +
                                "' is so large that correcting its bias overflows";
    PyErr_SetString(PyExc_OverflowError, message.c_str());
    throw py::error_already_set();
  }
}

void Stepper::Averaged::put_in() {
  auto held = std::make_unique<Held>(stepper_);
  const WholeForForks whole;
  held->exchange.put_in();
  held_ = std::move(held);
}

void Stepper::Averaged::put_back() noexcept {
  if (!held_) return;
  {
    const WholeForForks whole;
    held_->exchange.take_out();
  }
  held_.reset();
}

}  // namespace gradstep
