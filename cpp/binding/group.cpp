// Groups; see group.hpp.
#include "binding/group.hpp"

#include <cstring>

#include "engine/dispatch.hpp"
#include "engine/floating_point.hpp"

namespace gradstep {

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

std::vector<std::string> state_names(const std::string& rule) {
  const Rule& row = active_table().rules[find_rule(rule)];
  return {row.states, row.states + count_states(row)};
}

Group Group::make(const std::string& rule, std::int64_t start, std::int64_t t,
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
        throw py::type_error(known_as + " must be a number, got a callable; v starts from it");
      }
      group.schedules.push_back({field, known_as, value});
      number = scheduled_number(field->range, known_as, value, t);
    } else {
      number = checked_number(field->range, known_as, value);
    }
    // NAdam's factors are a schedule of their own.
    if (field->member == &Hyperparameters::momentum_decay) {
      products[Corrections::of_mu].stored = true;
    }
    damped |= field->member == &Hyperparameters::dampening;
  }
  for (const Schedule& schedule : group.schedules) {
    for (int kind = 0; kind < Corrections::of_mu; ++kind) {
      products[kind].stored |= schedule.field->name == std::string(Corrections::names[kind]);
    }
    const auto member = schedule.field->member;
    products[Corrections::of_weights].stored |=
        damped && (member == &Hyperparameters::beta || member == &Hyperparameters::dampening);
  }
  return group;
}

void Group::begin_step() {
  is_corrected = false;
  kernels[float32] = kernels[float64] = nullptr;
}

void Group::prepare_corrections(std::int64_t t) {
  if (is_corrected) return;
  const DefaultFloatingPointMode mode;
  corrected = values;
  corrections.prepare(corrected, t + 1 - start);
  is_corrected = true;
}

void Group::prepare_kernel(const KernelTable& table, DType dtype, std::int64_t t) {
  prepare_corrections(t);
  const Decay decay = values.weight_decay == 0 ? no_decay
                      : values.decoupled       ? decoupled_decay
                                               : coupled_decay;
  kernels[dtype] = &table.rules[rule].kernels[dtype][decay];
}

void Group::make_constants(double scale) {
  const double factor = corrected.maximize ? -scale : scale;
  for (const DType dtype : {float32, float64}) {
    const Kernel* kernel = kernels[dtype];
    if (kernel) kernel->prepare(corrected, factor, &constants[dtype]);
  }
}

void Group::commit_products() noexcept {
  corrections.commit();
  const double product = corrections.products[Corrections::of_mu].value.high;
  if (mu_data) std::memcpy(mu_data, &product, sizeof product);
}

void Group::validate_mu_product(const std::string& first, std::int64_t t, WrittenMemory& written) {
  if (!mu_product || mu_product.is_none()) return;
  const Label label{Label::state, &first, "mu_product"};
  const py::array array = as_array(mu_product, label);
  const View view = writable_view_of(array, label);
  if (view.dtype != float64 || view.size != 1) {
    throw py::value_error("mu_product must be an array of one float64, got " + shown(array) +
                          "; begin with numpy.ones(1)");
  }
  double product;
  std::memcpy(&product, view.geometry.data, sizeof product);
  const bool at_start = t == start;
  if (!(product >= 0 && product <= 1) || (at_start && product != 1)) {
    throw py::value_error(std::string("mu_product must be ") +
                          (at_start ? "1 before the first step" : "from 0 to 1") + ", got " +
                          shown(py::float_(product)));
  }
  mu_product = array;
  written.add(view, label, true);
  mu_data = view.geometry.data;
  corrections.products[Corrections::of_mu].value = {product, 0.0};
}

void Group::continue_products(const Group& before, std::int64_t steps) {
  const DefaultFloatingPointMode mode;
  Corrections::Products& products = corrections.products;
  const Corrections::Products& old = before.corrections.products;
  const Hyperparameters& h = before.values;
  const double betas[] = {h.beta, h.beta1, h.beta2};
  for (int kind = 0; kind < Corrections::kinds; ++kind) {
    if (old[kind].stored) {
      products[kind] = old[kind];
    } else if (kind < Corrections::of_mu) {
      products[kind].value = Powers().power(betas[kind], steps);
    }
  }
  if (!old[Corrections::of_weights].stored) {
    Hyperparameters then = h;
    then.correction = Powers().one_minus(h.beta, steps);
    products[Corrections::of_weights].value = {momentum_weights(then), 0.0};
  }
}

void Group::restore_products(const SavedProducts& saved) {
  Corrections::Products& products = corrections.products;
  std::size_t known = 0;
  for (int kind = 0; kind < Corrections::kinds; ++kind) {
    const std::string name = Corrections::names[kind];
    const auto found = saved.find(name);
    if (found == saved.end()) {
      if (!products[kind].stored) continue;
      throw py::value_error("a group of the state lacks the product of " + name +
                            " over the steps taken, which a schedule here goes on from");
    }
    if (kind == Corrections::of_mu && !products[kind].stored) continue;
    const auto [high, low] = found->second;
    const double most = kind == Corrections::of_weights ? 0x1p53 : 1.0;
    if (!(high >= 0 && high <= most && low >= -0x1p-53 && low <= 0x1p-53)) {
      throw py::value_error("the product of " + name + " in the state must be from 0 to " +
                            (most == 1.0 ? "1" : "2 to the power of 53") + ", got " +
                            shown(py::float_(high)));
    }
    products[kind] = {true, {high, low}};
    ++known;
  }
  if (known != saved.size()) throw py::value_error("the state has products that are unknown here");
}

py::dict Group::products() const {
  py::dict found;
  for (int kind = 0; kind < Corrections::kinds; ++kind) {
    const Corrections::Product& product = corrections.products[kind];
    if (!product.stored) continue;
    found[Corrections::names[kind]] = py::make_tuple(product.value.high, product.value.low);
  }
  return found;
}

double Group::average_correction(std::int64_t steps) const {
  if (!values.bias_correction || steps == 0) return 1.0;
  const DefaultFloatingPointMode mode;
  return one_minus_power(values.beta, steps);
}

int Group::traverse(visitproc visit, void* arg) const {
  for (const Schedule& schedule : schedules) Py_VISIT(schedule.function.ptr());
  Py_VISIT(given.ptr());
  Py_VISIT(mu_product.ptr());
  return 0;
}

}  // namespace gradstep
