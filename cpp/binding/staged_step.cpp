// A step in stages; see staged_step.hpp.
#include "binding/staged_step.hpp"

#include <stdexcept>

#include "binding/interpreter.hpp"
#include "engine/threads.hpp"

namespace gradstep {

StagedStep::StagedStep(Stepper& stepper, py::handle gradients, py::handle scale)
    : stepper_(stepper) {
  step_.emplace(stepper, gradients, scale, "this optimizer is in the midst of a step");
}

Step& StagedStep::at(Stage stage) {
  if (!step_ || stage_ != stage) throw std::logic_error("stages of a step, out of order");
  return *step_;
}

py::list StagedStep::gradients() const { return stepper_.gradients_.list(); }

py::list StagedStep::hyperparameters() const {
  py::list found;
  for (const Stepper* each : {&stepper_, stepper_.averages_}) {
    if (!each) continue;
    for (const Group& group : each->model_.groups) found.append(by_name(group.values));
  }
  const Options& options = stepper_.options_;
  py::dict values;
  if (options.max_norm.value) values["max_norm"] = *options.max_norm.value;
  if (options.clip_value.value) values["clip_value"] = *options.clip_value.value;
  values["nonfinite"] = static_cast<int>(options.nonfinite);
  found.append(std::move(values));
  return found;
}

std::pair<double, std::optional<std::tuple<int, std::int64_t, std::string>>> StagedStep::measure() {
  Step& step = at(made);
  if (!step.measures()) {
    throw std::logic_error("there is no memory to measure a step that need not be");
  }
  Sweep::Measured measured{};
  without_interpreter(step.pays_without_interpreter(), [&] {
    const ForkGuard fork_guard;
    measured = step.measure();
  });
  if (!measured.not_finite) return {measured.norm, std::nullopt};
  NotFinite found = step.not_finite_at(*measured.not_finite);
  return {measured.norm, std::tuple(found.parameter, found.position, std::move(found.what))};
}

bool StagedStep::begin(std::optional<double> norm, std::optional<std::string> not_finite) {
  Step& step = at(made);
  const Options& options = stepper_.options_;
  if (!options.max_norm.value) norm.reset();
  if (options.max_norm.value && !norm) throw std::logic_error("clipping needs the norm");
  if (options.nonfinite != Options::propagate && not_finite) {
    stage_ = over;
    step.refuse(*std::move(not_finite), norm);
    return false;
  }
  step.begin(norm);
  stage_ = begun;
  return true;
}

void StagedStep::run(int first, int last) {
  Step& step = at(begun);
  if (first < 0 || first > last || last > stepper_.plan_.sweep.size()) {
    throw std::out_of_range("parameters that the step does not have");
  }
  stage_ = running;
  without_interpreter(step.pays_without_interpreter(), [&] {
    const ForkGuard fork_guard;
    step.run(first, last);
  });
  stage_ = begun;
}

void StagedStep::finish() {
  at(begun).finish();
  stage_ = over;
}

void StagedStep::close() {
  if (stage_ == running) throw std::logic_error("a stage of the step is running");
  step_.reset();
}

}  // namespace gradstep
