// Setting many values at once; see prepared_update.hpp.
#include "binding/prepared_update.hpp"

#include <algorithm>
#include <deque>

#include "engine/dispatch.hpp"
#include "engine/threads.hpp"

namespace gradstep {

void PreparedUpdate::prepare(Stepper& stepper, const Values& values) {
  const BusyGuard guard(stepper.busy_);
  Model& model = stepper.model_;
  keep_alive_ = py::cast(&stepper);
  stepper_ = &stepper;
  version_ = stepper.version_;
  t_ = values.t.value_or(stepper.t());
  require_count("t", t_);
  skipped_ = values.skipped.value_or(stepper.skipped());
  require_count("skipped", skipped_);
  for (const auto& [index, rule, core_args, before, given, new_start, products] : values.changes) {
    Group& old = model.group_at(index);
    if (!old.given.is(before)) stepper.busy_.refuse();  // another's change would be lost
    const std::string old_rule = active_table().rules[old.rule].name;
    const std::int64_t start = new_start.value_or(old.start);
    groups_.emplace_back(index, Group::make(rule, start, t_, core_args, given));
    Group& group = groups_.back().second;
    if (products) {
      group.restore_products(*products);
    } else {
      group.continue_products(old, t_ - start);
    }
    if (state_names(rule) != state_names(old_rule)) {
      std::string message = "the group steps by '";
      message.append(old_rule).append("', but this would need '").append(rule);
      message += "', which keeps other state: choose it when the optimizer is made";
      throw py::value_error(message);
    }
  }
  for (int i = 0; i < static_cast<int>(model.groups.size()); ++i) {
    const bool changed = std::any_of(groups_.begin(), groups_.end(),
                                     [i](const auto& group) { return group.first == i; });
    if (!changed && model.group_at(i).start > t_) {
      throw py::value_error("t must not be below the start of a group that stays as it is");
    }
  }
  options_ = values.options ? Options(*values.options, t_) : stepper.options_;
  // Last, as the above may call the user's code.
  if (values.states) model.stage_states(*values.states, copies_);
  if (values.parameters) {
    const std::vector<py::array>& saved = *values.parameters;
    model.require_one_each("arrays", saved.size());
    for (std::size_t i = 0; i < saved.size(); ++i) {
      const Parameter& parameter = model.parameters[i];
      copies_.add(parameter.w, saved[i], {Label::parameter, &parameter.name});
    }
  }
}

void PreparedUpdate::commit() noexcept {
  Stepper& stepper = *stepper_;
  copies_.fill();
  // Swapped: what the old groups hold is released, and may run code, only when all have changed.
  const std::lock_guard<std::mutex> lock(stepper.mutex_);
  for (auto& [index, group] : groups_) std::swap(stepper.model_.group_at(index), group);
  std::swap(stepper.options_, options_);
  stepper.t_ = t_;
  stepper.outcome_.set_skipped(skipped_);
  ++stepper.version_;
}

void PreparedUpdate::commit_all(const std::vector<PreparedUpdate*>& updates) {
  std::deque<BusyGuard> guards;
  for (const PreparedUpdate* update : updates) {
    Stepper& stepper = *update->stepper_;
    guards.emplace_back(stepper.busy_);
    if (update->version_ != stepper.version_) stepper.busy_.refuse();
  }
  const ForkGuard fork_guard;
  for (PreparedUpdate* update : updates) update->commit();
}

}  // namespace gradstep
