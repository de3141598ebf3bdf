// Replacing what a stepper keeps, and reading all of it as of one moment; see stepper.hpp.
#include <algorithm>

#include "binding/stepper.hpp"
#include "engine/dispatch.hpp"
#include "engine/floating_point.hpp"
#include "engine/threads.hpp"

namespace gradstep {
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

void Stepper::PreparedUpdate::prepare(Stepper& stepper, const Replaced& replaced) {
  const BusyGuard guard(stepper.busy_);
  keep_alive_ = py::cast(&stepper);
  stepper_ = &stepper;
  version_ = stepper.version_;
  t_ = replaced.t.value_or(stepper.t());
  require_count("t", t_);
  skipped_ = replaced.skipped.value_or(stepper.skipped());
  require_count("skipped", skipped_);
  for (const auto& [index, rule, core_args, before, given, new_start, products] :
       replaced.changes) {
    Group& old = stepper.group_at(index);
    if (!old.given.is(before)) stepper.busy_.refuse();  // another's change would be lost
    const std::string own = active_table().rules[old.rule].name;
    const std::int64_t start = new_start.value_or(old.start);
    groups_.emplace_back(index, make_group(rule, start, t_, core_args, given));
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
  if (replaced.states) stepper.lay_out(*replaced.states, copies_);
  if (replaced.parameters) {
    const std::vector<py::array>& saved = *replaced.parameters;
    stepper.require_one_each("arrays", saved.size());
    for (std::size_t i = 0; i < saved.size(); ++i) {
      const Parameter& parameter = stepper.parameters_[i];
      copies_.add(parameter.w, saved[i], {Label::parameter, &parameter.name});
    }
  }
}

void Stepper::PreparedUpdate::commit() noexcept {
  copies_.fill();
  // Swapped: what the old groups held is let go, and may run code, only when all have changed.
  const std::lock_guard<std::mutex> lock(stepper_->groups_mutex_);
  for (auto& [index, group] : groups_) std::swap(stepper_->group_at(index), group);
  std::swap(stepper_->options_, options_);
  stepper_->t_ = t_;
  stepper_->skipped_ = skipped_;
  ++stepper_->version_;
}

void Stepper::commit(const std::vector<PreparedUpdate*>& updates) {
  std::deque<BusyGuard> turns;
  for (const PreparedUpdate* update : updates) {
    Stepper& stepper = *update->stepper_;
    turns.emplace_back(stepper.busy_);
    if (update->version_ != stepper.version_) stepper.busy_.refuse();
  }
  const ForkGuard fork_guard;
  for (PreparedUpdate* update : updates) update->commit();
}

void Stepper::lay_out(const States& states, StagedCopies& copies_) const {
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
      copies_.add(parameter.states[s], states[i][s],
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
  const BusyGuard guard(busy_);
  std::optional<BusyGuard> averages_guard;
  if (averages_) averages_guard.emplace(averages_->busy_);
  require_same_arrays();
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

}  // namespace gradstep
