// Averages that a stepper keeps of its parameters, and the block in which they are in their place;
// see stepper.hpp. How places are changed is in swap.cpp.
#include "binding/interpreter.hpp"
#include "binding/stepper.hpp"
#include "engine/floating_point.hpp"
#include "engine/threads.hpp"

namespace gradstep {

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
    const std::int64_t steps = t() - group.start;
    corrections.push_back(steps == 0 ? 0.0 : correction(group, steps));
  }
  return corrections;
}

// Whoever had averages kept may go on with them alone.
Stepper::~Stepper() {
  if (averages_) averages_->followed_ = false;
}

void Stepper::follow(py::object averages) {
  averages_ = &py::cast<Stepper&>(averages);
  averages_->followed_ = true;
  averages_object_ = std::move(averages);
}

void Stepper::require_own() const {
  if (const char* reason = busy_.reason.load(std::memory_order_relaxed)) {
    throw std::runtime_error(reason);
  }
}

Stepper::Averaged::Held::Held(Stepper& stepper)
    : keep_alive(py::cast(&stepper)),
      guard(stepper.busy_, reason),
      averages_guard(stepper.averages_->busy_, reason) {
  const Stepper& averages = *stepper.averages_;
  for (const Parameter& parameter : stepper.parameters_) {
    kept.push_back(parameter.w);
    pins.add(parameter.w);
  }
  stepper.require_same_arrays();
  stepper.validate();
  std::vector<const std::string*> names;
  for (std::size_t i = 0; i < stepper.parameters_.size(); ++i) {
    const Parameter& average = averages.parameters_[i];
    const Group& group = averages.groups_[static_cast<std::size_t>(average.group)];
    const std::int64_t steps = averages.t() - group.start;
    if (steps == 0) continue;  // nothing has been averaged: the parameters stay
    const Label label{Label::parameter, &average.name};
    const View w = view_of(stepper.parameters_[i].w, label);
    swap.add(w.geometry, view_of(average.w, label).geometry, w.dtype, w.size,
             correction(group, steps));
    names.push_back(&average.name);
  }
  large = stepper.elements_ >= worth_releasing;
  int overflowing = -1;
  // BusyState and pins keep everybody else away meanwhile.
  without_interpreter(large, [&] { overflowing = swap.overflowing(); });
  if (overflowing >= 0) {
    const std::string message = "the average of '" + *names[static_cast<std::size_t>(overflowing)] +
                                "' is so large that correcting its bias overflows";
    PyErr_SetString(PyExc_OverflowError, message.c_str());
    throw py::error_already_set();
  }
}

void Stepper::Averaged::put_in() {
  auto held = std::make_unique<Held>(stepper_);
  without_interpreter(held->large, [&] {
    const ForkGuard fork_guard;
    held->swap.put_in();
  });
  held_ = std::move(held);
}

void Stepper::Averaged::put_back() noexcept {
  const std::unique_ptr<Held> held = std::move(held_);
  if (!held) return;
  without_interpreter(held->large, [&] {
    const ForkGuard fork_guard;
    held->swap.take_out();
  });
}

}  // namespace gradstep
