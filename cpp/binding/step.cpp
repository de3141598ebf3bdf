// A step of a stepper: judging what it writes, planning, sweeping. See stepper.hpp.
#include <cmath>
#include <cstring>

#include "binding/interpreter.hpp"
#include "binding/stepper.hpp"
#include "engine/dispatch.hpp"
#include "engine/floating_point.hpp"
#include "engine/threads.hpp"

namespace gradstep {
namespace {

// How gradients are brought to what the update takes, where one factor of the kernels does not do.
std::optional<ClipSettings> clip_settings_for(double factor, std::optional<double> clip_value) {
  // A factor that is denormal in float32, or nearly, is cut in two.
  constexpr double tiny = 0x1p-100, first = 0x1p-64;
  const bool cut = std::abs(factor) < tiny && factor != 0;
  if (!cut && !clip_value) return std::nullopt;
  const double bound = clip_value.value_or(HUGE_VAL);
  return cut ? ClipSettings{first, factor / first, bound} : ClipSettings{1.0, factor, bound};
}

}  // namespace

// Looks at everything that a step writes.
void Stepper::validate() {
  validated_ = false;
  written_.clear();
  slots_.clear();
  elements_ = 0;
  for (const Parameter& parameter : parameters_) {
    const Rule& rule = active_table().rules[groups_[parameter.group].rule];
    const Label label = parameter.label();
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
      require_like(w, label, view, "like its average");
      slot.item.averaged = true;
      slot.item.streams[slot.item.stream_count] = view.geometry.data;
      slot.average_group = &averages_->groups_[static_cast<std::size_t>(average.group)];
      orders &= dense_orders(view);
    }
    slot.orders = static_cast<Orders>(orders);
    slots_.push_back(slot);
  }
  for (Group& group : groups_) validate_mu_product(group);
  written_.require_disjoint();
  validated_ = true;
}

void Stepper::validate_mu_product(Group& group) {
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
      gradients_[i] = as_array(gradients_[i], parameters_[i].gradient_label());
    }
  }
}

// Once for a group and step, whatever asks for it first.
void Stepper::prepare_corrections(Group& group) {
  if (group.is_corrected) return;
  const DefaultFloatingPointMode mode;
  group.corrected = group.values;
  group.corrections.prepare(group.corrected, t() + 1 - group.start);
  group.is_corrected = true;
}

// The kernel for the parameters of one dtype in a group, and what its constants are made from.
void Stepper::prepare(Group& group, DType dtype) {
  const Hyperparameters& values = group.values;
  prepare_corrections(group);
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
  const View w = view_of(parameter.w, parameter.label());
  const Label label = parameter.gradient_label();
  const View g = view_of(gradients_[i], label);
  require_like(g, label, w, parameter.is_average ? "like the average" : "like its parameter");
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

namespace {

double product(float x, double scale) { return x * static_cast<float>(scale); }
double product(double x, double scale) { return x * scale; }

// The first element, in the order of indices and not before `from`, of which the product with
// `scale` is not finite.
template <class T>
std::int64_t find_not_finite(const Geometry& g, std::int64_t from, double scale) {
  const int last = g.ndim - 1;
  const std::int64_t inner = g.ndim > 0 ? g.shape[last] : 1;
  const std::ptrdiff_t stride = g.ndim > 0 ? g.strides[last] : 0;
  for (std::int64_t row = from / inner;; ++row) {
    const char* at = g.data;
    std::int64_t rest = row;
    for (int axis = last; axis-- > 0; rest /= g.shape[axis]) {
      at += rest % g.shape[axis] * g.strides[axis];
    }
    for (std::int64_t i = 0; i < inner; ++i) {
      T x;
      std::memcpy(&x, at + i * stride, sizeof x);
      if (!std::isfinite(product(x, scale))) return row * inner + i;
    }
  }
}

}  // namespace

Stepper::NotFinite Stepper::not_finite_at(const Sweep::TilePosition& place, double scale) const {
  const auto i = static_cast<std::size_t>(place.item);
  const Label label = parameters_[i].gradient_label();
  const View g = view_of(gradients_[i], label);
  // Tiles are counted in the order of memory, which is that of indices here.
  const bool in_order = !sweep_.is_strided(place.item) && (dense_orders(g) & c_order);
  const std::int64_t from = in_order ? place.tile * tile : 0;
  const std::int64_t position = g.dtype == float32
                                    ? find_not_finite<float>(g.geometry, from, scale)
                                    : find_not_finite<double>(g.geometry, from, scale);
  const char* at = g.geometry.data;
  std::int64_t rest = position;
  for (int axis = g.geometry.ndim; axis-- > 0; rest /= g.geometry.shape[axis]) {
    at += rest % g.geometry.shape[axis] * g.geometry.strides[axis];
  }
  double value = 0;
  if (g.dtype == float32) {
    float x;
    std::memcpy(&x, at, sizeof x);
    value = x;
  } else {
    std::memcpy(&value, at, sizeof value);
  }
  const auto number = [](double x) { return py::cast<std::string>(py::repr(py::float_(x))); };
  std::string what = "is " + number(value);
  if (std::isfinite(value)) {
    const bool narrow = g.dtype == float32;
    const double scaled =
        narrow ? product(static_cast<float>(value), scale) : product(value, scale);
    what += ", times the scale " + number(scale) + " " + number(scaled);
  }
  return {place.item, position, std::move(what)};
}

std::string Stepper::describe(const NotFinite& found) const {
  const auto i = static_cast<std::size_t>(found.parameter);
  const Label label = parameters_[i].gradient_label();
  const Geometry& g = view_of(gradients_[i], label).geometry;
  std::string where;
  std::int64_t rest = found.position;
  for (int axis = g.ndim; axis-- > 0; rest /= g.shape[axis]) {
    where.insert(0, std::to_string(rest % g.shape[axis]) + (where.empty() ? "" : ", "));
  }
  const std::string text = label.text() + " " + found.what;
  return where.empty() ? text : text + ", at [" + where + "]";
}

void Stepper::require_ready() {
  const BusyGuard guard(busy_);
  std::optional<BusyGuard> averages_guard;
  if (averages_) averages_guard.emplace(averages_->busy_);
  require_same_arrays();
  validate();
}

Stepper::Step::Step(Stepper& stepper, py::handle gradients, py::handle given_scale,
                    const char* reason)
    : stepper_(stepper),
      guard_(stepper.busy_, reason),
      let_go_{stepper},
      team_(plan(gradients, given_scale, reason)) {
  stepper.sweep_.prepare(team_.size(), measures());
}

std::int64_t Stepper::Step::plan(py::handle gradients, py::handle given_scale, const char* reason) {
  Stepper& s = stepper_;
  if (s.averages_) averages_guard_.emplace(s.averages_->busy_, reason);

  // Whatever calls the user's code comes first: it might move an array that was looked at before.
  scale_ = checked_number(Range::finite, "scale", given_scale);
  s.call_schedules();
  s.require_same_arrays();
  for (Stepper* each : {&s, s.averages_}) {
    if (!each) continue;
    for (Group& group : each->groups_) {
      group.is_corrected = false;
      group.kernels[float32] = group.kernels[float64] = nullptr;
    }
  }
  s.take(gradients);
  if (!s.validated_) s.validate();
  if (scale_ != 1.0) s.require_scale(scale_);
  if (pays_without_interpreter() || !interpreter_has_lock || reason) s.pin();

  s.table_ = &active_table();
  if (s.averages_) s.averages_->table_ = s.table_;
  if (!s.written_.unchanged()) s.validate();
  s.sweep_.clear();
  s.strided_.clear();
  for (std::size_t i = 0; i < s.slots_.size(); ++i) s.plan(i);
  for (Group& group : s.groups_) s.prepare_corrections(group);  // also where nothing is stepped
  return s.sweep_.written();
}

Stepper::Step::LetGo::~LetGo() {
  stepper.pins_.release();
  stepper.drop_gradients();
}

Sweep::Measured Stepper::Step::measure() {
  return stepper_.sweep_.measure(team_, stepper_.table_->gradients, scale_);
}

void Stepper::Step::begin(std::optional<double> norm) {
  const Options& options = stepper_.options_;
  double factor = scale_;
  if (options.max_norm.value) {
    norm_ = norm;
    factor *= clipping_factor(norm.value_or(0.0), *options.max_norm.value);
  }
  clip_ = clip_settings_for(factor, options.clip_value.value);
  stepper_.make_constants(clip_ ? 1.0 : factor);
  if (stepper_.averages_) stepper_.averages_->make_constants(1.0);
}

void Stepper::Step::run(int first, int last) {
  stepper_.sweep_.run(team_, stepper_.table_->gradients, clip_ ? &*clip_ : nullptr, first, last);
}

void Stepper::Step::finish() {
  Stepper& s = stepper_;
  s.take_products();
  s.t_.store(s.t() + 1, std::memory_order_relaxed);
  ++s.version_;
  if (s.averages_) {
    s.averages_->t_.store(s.averages_->t() + 1, std::memory_order_relaxed);
    ++s.averages_->version_;
  }
  s.note_norm(norm_);
}

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
    step.run(0, sweep_.size());
    step.finish();
  });
  if (refused_for) refuse_not_finite(describe(step.not_finite_at(*refused_for)), norm);
}

Stepper::StagedStep::StagedStep(Stepper& stepper, py::handle gradients, py::handle scale)
    : stepper_(stepper) {
  step_.emplace(stepper, gradients, scale, "this optimizer is in the midst of a step");
}

Stepper::Step& Stepper::StagedStep::at(Stage stage) {
  if (!step_ || stage_ != stage) throw std::logic_error("parts of a step, out of order");
  return *step_;
}

py::list Stepper::StagedStep::gradients() const {
  py::list gradients;
  for (const py::object& gradient : stepper_.gradients_) gradients.append(gradient);
  return gradients;
}

py::list Stepper::StagedStep::hyperparameters() const {
  py::list found;
  for (const Stepper* each : {&stepper_, stepper_.averages_}) {
    if (!each) continue;
    for (const Group& group : each->groups_) {
      found.append(by_name(group.values));
    }
  }
  const Options& options = stepper_.options_;
  py::dict values;
  if (options.max_norm.value) values["max_norm"] = *options.max_norm.value;
  if (options.clip_value.value) values["clip_value"] = *options.clip_value.value;
  values["nonfinite"] = static_cast<int>(options.nonfinite);
  found.append(std::move(values));
  return found;
}

std::pair<double, std::optional<std::tuple<int, std::int64_t, std::string>>>
Stepper::StagedStep::measure() {
  Step& step = at(made);
  if (!step.measures())
    throw std::logic_error("there is no memory to measure a step that need not be");
  Sweep::Measured measured{};
  without_interpreter(step.pays_without_interpreter(), [&] {
    const ForkGuard fork_guard;
    measured = step.measure();
  });
  if (!measured.not_finite) return {measured.norm, std::nullopt};
  NotFinite found = step.not_finite_at(*measured.not_finite);
  return {measured.norm, std::tuple(found.parameter, found.position, std::move(found.what))};
}

bool Stepper::StagedStep::begin(std::optional<double> norm, std::optional<std::string> not_finite) {
  Step& step = at(made);
  const Options& options = stepper_.options_;
  if (!options.max_norm.value) norm.reset();
  if (options.max_norm.value && !norm) throw std::logic_error("clipping needs the norm");
  if (options.nonfinite != Options::propagate && not_finite) {
    stage_ = over;
    stepper_.refuse_not_finite(*std::move(not_finite), norm);
    return false;
  }
  step.begin(norm);
  stage_ = begun;
  return true;
}

void Stepper::StagedStep::run(int first, int last) {
  Step& step = at(begun);
  if (first < 0 || first > last || last > stepper_.sweep_.size()) {
    throw std::out_of_range("parts of a step that it does not have");
  }
  stage_ = running;
  without_interpreter(step.pays_without_interpreter(), [&] {
    const ForkGuard fork_guard;
    step.run(first, last);
  });
  stage_ = begun;
}

void Stepper::StagedStep::close() {
  if (stage_ == running) throw std::logic_error("parts of a step are being run");
  step_.reset();
}

void Stepper::StagedStep::finish() {
  at(begun).finish();
  stage_ = over;
}

void Stepper::note_norm(std::optional<double> norm) {
  if (norm == norm_) return;
  const std::lock_guard<std::mutex> lock(groups_mutex_);
  norm_ = norm;
}

// Whatever needs memory comes first: a step is refused with all that is said of it, or not at all.
void Stepper::refuse_not_finite(std::string because, std::optional<double> norm) {
  const bool raises = options_.nonfinite == Options::raise;
  std::optional<std::string> text = std::move(because);
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

}  // namespace gradstep
