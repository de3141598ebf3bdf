// Validating what a step writes; see step_targets.hpp.
#include "binding/step_targets.hpp"

#include "engine/dispatch.hpp"

namespace gradstep {

void StepTargets::validate(Model& model, Model* averages, std::int64_t t) {
  validated_ = false;
  written_.clear();
  slots_.clear();
  elements_ = 0;
  for (const Parameter& parameter : model.parameters) {
    Slot slot = slot_of(parameter, model);
    if (averages) {
      const Parameter& average = averages->parameters[slots_.size()];
      const Label label{Label::state, &parameter.name, "average"};
      const View view = view_of(average.w, label);
      require_like(view_of(parameter.w, parameter.label()), parameter.label(), view,
                   "like its average");
      slot.item.averaged = true;
      slot.item.streams[slot.item.stream_count] = view.geometry.data;
      slot.average_group = &averages->group_of(average);
      slot.orders = static_cast<Orders>(slot.orders & dense_orders(view));
    }
    slots_.push_back(slot);
    elements_ += slot.item.count;
  }
  if (!model.parameters.empty()) {
    const std::string& first = model.parameters.front().name;
    for (Group& group : model.groups) group.validate_mu_product(first, t, written_);
  }
  written_.require_disjoint();
  validated_ = true;
}

StepTargets::Slot StepTargets::slot_of(const Parameter& parameter, Model& model) {
  const Rule& rule = model.rule_of(parameter.group);
  const Label label = parameter.label();
  const View w = writable_view_of(parameter.w, label);
  written_.add(w, label, true);

  Slot slot;
  slot.w = parameter.w.ptr();
  slot.group = &model.group_of(parameter);
  slot.dtype = w.dtype;
  slot.item.dtype = w.dtype;
  slot.item.itemsize = itemsize_of[w.dtype];
  slot.item.count = w.size;
  slot.item.streams[0] = w.geometry.data;
  slot.item.stream_count = 2;  // the parameter and, still to come, its gradient
  int orders = dense_orders(w);
  for (std::size_t s = 0; s < parameter.states.size(); ++s) {
    const Label state_label{Label::state, &parameter.name, rule.states[s]};
    const View state = writable_view_of(parameter.states[s], state_label);
    if (parameter.owns_states) {
      require_like(w, label, state, "like its state");  // whose shape nobody else can change
    } else {
      require_like(state, state_label, w);
    }
    written_.add(state, state_label, !parameter.owns_states);
    slot.item.streams[slot.item.stream_count++] = state.geometry.data;
    orders &= dense_orders(state);
  }
  slot.orders = static_cast<Orders>(orders);
  return slot;
}

}  // namespace gradstep
