// A step, from top to bottom; see step.hpp.
#include "binding/step.hpp"

#include <cmath>

#include "binding/interpreter.hpp"
#include "engine/dispatch.hpp"
#include "engine/threads.hpp"

namespace gradstep {

void Stepper::step(py::handle gradients, py::handle scale) {
  Step step(*this, gradients, scale);
  // From here on nothing fails, though a step may be refused for gradients that are not finite.
  std::optional<Sweep::TilePosition> refused_for;
  std::optional<double> norm;
  without_interpreter(step.pays_without_interpreter(), [&] {
    const ForkGuard fork_guard;
    if (step.measures()) {
      const Sweep::Measured measured = step.measure();
      if (options_.max_norm.value) norm = measured.norm;
      if (options_.nonfinite != Options::propagate) refused_for = measured.not_finite;
    }
    if (refused_for) return;
    step.begin(norm);
    step.run(0, plan_.sweep.size());
    step.finish();
  });
  if (refused_for) step.refuse(step.describe(step.not_finite_at(*refused_for)), norm);
}

Step::Step(Stepper& stepper, py::handle gradients, py::handle scale, const char* reason)
    : stepper_(stepper),
      guard_(stepper.busy_, reason),
      release_{stepper},
      team_(prepare(gradients, scale, reason)) {
  stepper.plan_.sweep.prepare(team_.size(), measures());
}

std::int64_t Step::prepare(py::handle gradients, py::handle scale, const char* reason) {
  Stepper& s = stepper_;
  if (s.averages_) averages_guard_.emplace(s.averages_->busy_, reason);

  // What calls the user's code comes first: it might move an array that was looked at before.
  scale_ = checked_number(Range::finite, "scale", scale);
  call_schedules();
  s.containers_.require_same_arrays(s.model_.parameters);
  for (Stepper* each : {&s, s.averages_}) {
    if (!each) continue;
    for (Group& group : each->model_.groups) group.begin_step();
  }
  s.gradients_.collect(gradients, s.model_);
  if (!s.targets_.validated()) s.validate();
  if (scale_ != 1.0) require_scale();
  // Others run where the step lets go of the interpreter, or between the parts of a staged one.
  if (pays_without_interpreter() || !interpreter_has_lock || reason) pin();

  table_ = &active_table();
  if (!s.targets_.unchanged()) s.validate();
  s.plan_.sweep.clear();
  s.plan_.strided.clear();
  for (std::size_t i = 0; i < s.targets_.slots().size(); ++i) plan(i);
  // Also of groups in which nothing is stepped.
  for (Group& group : s.model_.groups) group.prepare_corrections(s.t());
  return s.plan_.sweep.written();
}

void Step::call_schedules() {
  Stepper& s = stepper_;
  std::deque<Group>& groups = s.model_.groups;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    if (groups[i].schedules.empty()) continue;
    const Hyperparameters values = s.scheduled_values(static_cast<int>(i));
    const std::lock_guard<std::mutex> lock(s.mutex_);
    groups[i].values = values;
  }
  if (!s.options_.scheduled()) return;
  Options now = s.options_.at(s.t());
  const std::lock_guard<std::mutex> lock(s.mutex_);
  std::swap(s.options_, now);
}

// One that float32 cannot hold would turn every gradient into infinity, or zero.
void Step::require_scale() const {
  if (scale_ == 0) return;
  const std::vector<StepTargets::Slot>& slots = stepper_.targets_.slots();
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (slots[i].dtype != float32) continue;
    const double magnitude = std::abs(scale_);
    if (magnitude >= Floor<float>::normal && magnitude <= Floor<float>::largest) return;
    throw py::value_error("scale must be a number of float32, the dtype of parameter '" +
                          stepper_.model_.parameters[i].name + "', got " +
                          shown(py::float_(scale_)));
  }
}

// All memory of the caller's that a step reads or writes.
void Step::pin() {
  Stepper& s = stepper_;
  Pins& pins = s.plan_.pins;
  for (std::size_t i = 0; i < s.model_.parameters.size(); ++i) {
    const Parameter& parameter = s.model_.parameters[i];
    pins.add(parameter.w);
    pins.add(s.gradients_[i]);
    if (parameter.owns_states) continue;
    for (const py::array& state : parameter.states) pins.add(state);
  }
  for (const Group& group : s.model_.groups) {
    if (group.mu_data) pins.add(group.mu_product);
  }
}

// Appends one parameter's item, if its gradient is valid.
void Step::plan(std::size_t i) {
  Stepper& s = stepper_;
  StepTargets::Slot& slot = s.targets_.slots()[i];
  Item& item = s.plan_.sweep.add(slot.item);
  char* data = usual_gradient(s.gradients_[i].ptr(), slot.w, slot.orders);
  const auto low = reinterpret_cast<std::uintptr_t>(data);
  const auto bytes = static_cast<std::uintptr_t>(item.count * item.itemsize);
  if (data && s.targets_.written().clear_of(low, low + bytes, slot.gap)) {
    item.streams[1] = data;
  } else {
    plan_unusual(i, item);
  }
  const DType dtype = slot.dtype;
  Group& group = *slot.group;
  if (!group.kernels[dtype]) group.prepare_kernel(*table_, dtype, s.t());
  item.kernel = group.kernels[dtype];
  item.constants = &group.constants[dtype];
  if (item.averaged) {
    Group& average = *slot.average_group;
    if (!average.kernels[dtype]) average.prepare_kernel(*table_, dtype, s.averages_->t());
    item.average = average.kernels[dtype];
    item.average_constants = &average.constants[dtype];
  }
}

// A gradient that needs a closer look: an error, or one that lies in another order.
void Step::plan_unusual(std::size_t i, Item& item) {
  Stepper& s = stepper_;
  const Parameter& parameter = s.model_.parameters[i];
  const View w = view_of(parameter.w, parameter.label());
  const Label label = parameter.gradient_label();
  const View g = view_of(s.gradients_[i], label);
  require_like(g, label, w, parameter.is_average ? "like the average" : "like its parameter");
  s.targets_.written().require_apart(g, label);
  if (s.targets_.slots()[i].orders & dense_orders(g)) {
    item.streams[1] = g.geometry.data;
    return;
  }
  std::vector<Geometry> geometries{w.geometry, g.geometry};
  for (const py::array& state : parameter.states) {
    geometries.push_back(view_of(state, {Label::state, &parameter.name}).geometry);
  }
  if (s.averages_) {
    geometries.push_back(view_of(s.averages_->model_.parameters[i].w, label).geometry);
  }
  s.plan_.strided.push_back(std::make_unique<StridedRun>(geometries, item.itemsize));
  item.strided = s.plan_.strided.back().get();
}

Sweep::Measured Step::measure() {
  return stepper_.plan_.sweep.measure(team_, table_->gradients, scale_);
}

NotFinite Step::not_finite_at(const Sweep::TilePosition& place) const {
  const auto i = static_cast<std::size_t>(place.item);
  const View g = view_of(stepper_.gradients_[i], stepper_.model_.parameters[i].gradient_label());
  // Tiles are counted in the order of memory, which is that of indices here.
  const bool in_order = !stepper_.plan_.sweep.is_strided(place.item) && (dense_orders(g) & c_order);
  return find_not_finite(g, place.item, in_order ? place.tile * tile : 0, scale_);
}

std::string Step::describe(const NotFinite& found) const {
  const auto i = static_cast<std::size_t>(found.parameter);
  const Label label = stepper_.model_.parameters[i].gradient_label();
  return gradstep::describe(found, view_of(stepper_.gradients_[i], label), label);
}

// Memory is allocated first: a step is refused with its text, or not at all.
void Step::refuse(std::string not_finite, std::optional<double> norm) {
  const bool raises = stepper_.options_.nonfinite == Options::raise;
  py::object error;
  if (raises) {
    error = py::reinterpret_borrow<py::object>(PyExc_FloatingPointError)(
        not_finite + "; nothing has changed. nonfinite='skip' would leave out such steps");
  }
  stepper_.outcome_.note_refused(std::move(not_finite), norm);
  ++stepper_.version_;
  if (raises) {
    PyErr_SetObject(PyExc_FloatingPointError, error.ptr());
    throw py::error_already_set();
  }
}

namespace {

// None where one factor of the kernels is enough.
std::optional<ClipSettings> clip_settings_for(double factor, std::optional<double> clip_value) {
  // A factor that is denormal in float32, or nearly, is cut in two.
  constexpr double tiny = 0x1p-100, first = 0x1p-64;
  const bool cut = std::abs(factor) < tiny && factor != 0;
  if (!cut && !clip_value) return std::nullopt;
  const double bound = clip_value.value_or(HUGE_VAL);
  return cut ? ClipSettings{first, factor / first, bound} : ClipSettings{1.0, factor, bound};
}

}  // namespace

void Step::begin(std::optional<double> norm) {
  const Options& options = stepper_.options_;
  double factor = scale_;
  if (options.max_norm.value) {
    norm_ = norm;
    factor *= clipping_factor(norm.value_or(0.0), *options.max_norm.value);
  }
  clip_ = clip_settings_for(factor, options.clip_value.value);
  stepper_.model_.make_constants(clip_ ? 1.0 : factor);
  if (stepper_.averages_) stepper_.averages_->model_.make_constants(1.0);
}

void Step::run(int first, int last) {
  stepper_.plan_.sweep.run(team_, table_->gradients, clip_ ? &*clip_ : nullptr, first, last);
}

void Step::finish() {
  Stepper& s = stepper_;
  for (Group& group : s.model_.groups) group.commit_products();
  s.t_.store(s.t() + 1, std::memory_order_relaxed);
  ++s.version_;
  if (s.averages_) {
    s.averages_->t_.store(s.averages_->t() + 1, std::memory_order_relaxed);
    ++s.averages_->version_;
  }
  s.outcome_.note_norm(norm_);
}

Step::Release::~Release() {
  stepper.plan_.pins.release();
  stepper.gradients_.drop();
}

}  // namespace gradstep
