// Averages in the place of their parameters; see averaged_block.hpp. How they swap places:
// swap.cpp.
#include "binding/averaged_block.hpp"

#include <string>

#include "binding/interpreter.hpp"
#include "engine/threads.hpp"

namespace gradstep {
namespace {

constexpr const char* averages_are_in =
    "the averages are in the parameters' place; leave the block of averaged() first";

}  // namespace

AveragedBlock::Active::Active(Stepper& stepper)
    : keep_alive(py::cast(&stepper)),
      guard(stepper.busy_, averages_are_in),
      averages_guard(stepper.averages_->busy_, averages_are_in) {
  Model& averages = stepper.averages_->model_;
  for (const Parameter& parameter : stepper.model_.parameters) {
    parameters.push_back(parameter.w);
    pins.add(parameter.w);
  }
  stepper.containers_.require_same_arrays(stepper.model_.parameters);
  stepper.validate();
  std::vector<const std::string*> names;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& average = averages.parameters[i];
    const Group& group = averages.group_of(average);
    const std::int64_t steps = stepper.averages_->t() - group.start;
    if (steps == 0) continue;  // nothing has been averaged: the parameters stay
    const Label label{Label::parameter, &average.name};
    const View w = view_of(parameters[i], label);
    swap.add(w.geometry, view_of(average.w, label).geometry, w.dtype, w.size,
             group.average_correction(steps));
    names.push_back(&average.name);
  }
  large = stepper.targets_.pays_without_interpreter();
  int overflowing = -1;
  // Guards and pins keep everybody else away meanwhile.
  without_interpreter(large, [&] { overflowing = swap.overflowing(); });
  if (overflowing >= 0) {
    const std::string message = "the average of '" + *names[static_cast<std::size_t>(overflowing)] +
                                "' is so large that correcting its bias overflows";
    PyErr_SetString(PyExc_OverflowError, message.c_str());
    throw py::error_already_set();
  }
}

void AveragedBlock::put_in() {
  auto active = std::make_unique<Active>(stepper_);
  without_interpreter(active->large, [&] {
    const ForkGuard fork_guard;
    active->swap.put_in();
  });
  active_ = std::move(active);
}

void AveragedBlock::put_back() noexcept {
  const std::unique_ptr<Active> active = std::move(active_);
  if (!active) return;
  without_interpreter(active->large, [&] {
    const ForkGuard fork_guard;
    active->swap.take_out();
  });
}

}  // namespace gradstep
