// A step that its caller takes in stages, as gradients arrive one after another
// (distributed.Sharded).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "binding/step.hpp"

namespace gradstep {

class StagedStep {
 public:
  StagedStep(Stepper& stepper, py::handle gradients, py::handle scale);

  // The gradients as arrays, in the order of the parameters.
  py::list gradients() const;
  // The values of this step, after all schedules: of each group by name, those of the averages
  // behind them, and the options.
  py::list hyperparameters() const;
  // The norm of these gradients, and parameter, position and text of the first that is not finite,
  // if there is any.
  std::pair<double, std::optional<std::tuple<int, std::int64_t, std::string>>> measure();
  // Norm and text are those of all gradients, also of those that other processes have. Where the
  // step is refused for them: false, or FloatingPointError, as the options say.
  bool begin(std::optional<double> norm, std::optional<std::string> not_finite);
  // Updates the parameters from `first` on and before `last`.
  void run(int first, int last);
  void finish();
  // Releases everything, at any stage.
  void close();

 private:
  // `running` while another thread may hold the interpreter.
  enum Stage { made, begun, running, over };
  Step& at(Stage stage);

  Stepper& stepper_;  // the binding keeps it alive
  std::optional<Step> step_;
  Stage stage_ = made;
};

}  // namespace gradstep
