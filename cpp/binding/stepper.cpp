// What a stepper keeps: adding to it, reading it; see stepper.hpp.
#include "binding/stepper.hpp"

#include <utility>

namespace gradstep {

void require_count(const std::string& name, std::int64_t count) {
  if (count < 0) throw py::value_error(name + " must be >= 0, got " + std::to_string(count));
}

Stepper::Stepper(std::int64_t t, Options options) : t_(t), options_(std::move(options)) {
  require_count("t", t);
}

// The averages may go on alone.
Stepper::~Stepper() {
  if (averages_) averages_->followed_ = false;
}

int Stepper::traverse(visitproc visit, void* arg) const {
  if (const int stopped = model_.traverse(visit, arg)) return stopped;
  if (const int stopped = gradients_.traverse(visit, arg)) return stopped;
  if (const int stopped = containers_.traverse(visit, arg)) return stopped;
  Py_VISIT(layout_.ptr());
  Py_VISIT(options_.given.ptr());
  Py_VISIT(options_.max_norm.function.ptr());
  Py_VISIT(options_.clip_value.function.ptr());
  Py_VISIT(averages_object_.ptr());
  return 0;
}

void Stepper::clear_references() {
  for (Group& group : model_.groups) {
    Schedules dropped;
    dropped.swap(group.schedules);
  }
  const py::object flatten = std::move(gradients_.format.flatten);
  const Containers containers = std::exchange(containers_, {});
  const Options options = std::exchange(options_, {});
}

int Stepper::add_group(const std::string& rule, const CoreArgs& core_args, py::object given,
                       std::optional<std::int64_t> start, py::object mu_product) {
  const BusyGuard guard(busy_);
  Group made = Group::make(rule, start.value_or(t()), t(), core_args, std::move(given));
  made.mu_product = std::move(mu_product);
  const std::lock_guard<std::mutex> lock(mutex_);
  model_.groups.push_back(std::move(made));
  return static_cast<int>(model_.groups.size()) - 1;
}

void Stepper::add_parameter(int group, const std::string& name, py::handle w,
                            const py::sequence& given) {
  const BusyGuard guard(busy_);
  Parameter parameter = Parameter::with_states(group, name, w, given, model_.rule_of(group));
  targets_.reserve(model_.parameters.size() + 1);
  targets_.invalidate();
  model_.parameters.push_back(std::move(parameter));
}

std::unique_ptr<Addition> Stepper::prepare_addition(const std::vector<NewGroup>& groups,
                                                    const std::vector<NewParameters>& parameters) {
  const BusyGuard guard(busy_);
  return std::make_unique<Addition>(model_.prepare(groups, parameters, t(), busy_));
}

void Stepper::append(const Addition& addition) {
  if (addition.first != model_.groups.size()) busy_.refuse();  // another thread has added groups
  targets_.reserve(model_.parameters.size() + addition.parameters.size());
  targets_.invalidate();
  ++version_;
  const std::lock_guard<std::mutex> lock(mutex_);
  model_.append(addition, t());
}

void Stepper::drop_behind(std::size_t groups, std::size_t parameters) {
  targets_.invalidate();
  const std::lock_guard<std::mutex> lock(mutex_);
  model_.drop_behind(groups, parameters);
}

void Stepper::add(Addition& addition, GradientFormat format, py::object walk, py::object layout,
                  Addition* averages, py::object averages_layout) {
  const BusyGuard guard(busy_);
  std::optional<BusyGuard> averages_guard;
  if (averages_) averages_guard.emplace(averages_->busy_);
  const std::size_t groups = model_.groups.size(), parameters = model_.parameters.size();
  Containers containers(std::move(walk));
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
  // The old values go with the arguments, and may run code, when all has changed.
  if (averages_) {
    const std::lock_guard<std::mutex> lock(averages_->mutex_);
    std::swap(averages_->layout_, averages_layout);
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  std::swap(gradients_.format, format);
  std::swap(containers_, containers);
  std::swap(layout_, layout);
}

void Stepper::validate() {
  targets_.validate(model_, averages_ ? &averages_->model_ : nullptr, t());
}

void Stepper::require_ready() {
  const BusyGuard guard(busy_);
  std::optional<BusyGuard> averages_guard;
  if (averages_) averages_guard.emplace(averages_->busy_);
  containers_.require_same_arrays(model_.parameters);
  validate();
}

void Stepper::require_bound() {
  const BusyGuard guard(busy_);
  containers_.require_same_arrays(model_.parameters);
}

void Stepper::follow(py::object averages) {
  averages_ = &py::cast<Stepper&>(averages);
  averages_->followed_ = true;
  averages_object_ = std::move(averages);
}

std::vector<double> Stepper::corrections() {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<double> corrections;
  for (const Parameter& parameter : model_.parameters) {
    const Group& group = model_.group_of(parameter);
    const std::int64_t steps = t() - group.start;
    corrections.push_back(steps == 0 ? 0.0 : group.average_correction(steps));
  }
  return corrections;
}

void Stepper::require_own() const {
  if (const char* reason = busy_.reason.load(std::memory_order_relaxed)) {
    throw std::runtime_error(reason);
  }
}

py::object Stepper::layout() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return layout_;
}

py::object Stepper::options() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return options_.given;
}

py::object Stepper::given(int group) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return model_.group_at(group).given;
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
    const std::lock_guard<std::mutex> lock(mutex_);
    values = model_.group_at(group).values;
    schedules = model_.group_at(group).schedules;
  }
  for (const Schedule& schedule : schedules) {
    const NumberField& field = *schedule.field;
    values.*field.member = scheduled_number(field.range, schedule.name, schedule.function, t());
  }
  return values;
}

py::tuple Stepper::snapshot() {
  const BusyGuard guard(busy_);
  std::optional<BusyGuard> averages_guard;
  if (averages_) averages_guard.emplace(averages_->busy_);
  containers_.require_same_arrays(model_.parameters);
  const auto copy_of = [](const py::array& array) { return array.attr("copy")("K"); };
  py::list states;
  for (const Parameter& parameter : model_.parameters) {
    py::list copies;
    for (const py::array& state : parameter.states) copies.append(copy_of(state));
    states.append(std::move(copies));
  }
  py::object averages = py::none();
  if (averages_) {
    py::list copies;
    for (const Parameter& average : averages_->model_.parameters) {
      copies.append(copy_of(average.w));
    }
    averages =
        py::make_tuple(averages_->t(), averages_->model_.snapshot_of_groups(), std::move(copies));
  }
  return py::make_tuple(t(), model_.snapshot_of_groups(), std::move(states), layout(), options(),
                        skipped(), std::move(averages));
}

}  // namespace gradstep
