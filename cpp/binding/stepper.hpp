// What an optimizer keeps in the core between steps: a model, which is parameters with their state
// in groups, t, the options of a step, and another stepper whose parameters are averages of these.
// A step is in step.hpp. What sets many things at once is in prepared_update.hpp.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "binding/arrays.hpp"
#include "binding/busy_guard.hpp"
#include "binding/containers.hpp"
#include "binding/gradients.hpp"
#include "binding/model.hpp"
#include "binding/options.hpp"
#include "binding/outcome.hpp"
#include "binding/step_targets.hpp"
#include "engine/sweep.hpp"

namespace gradstep {

class Stepper {
 public:
  explicit Stepper(std::int64_t t, Options options = {});
  ~Stepper();

  // Adds a group that steps by the rule of that name. `given` is whatever the caller wants to find
  // in `given(group)`: it changes with the group. Its corrections count the steps after `start`,
  // those still to come where that is none. `mu_product`, where it is not none, is an array of one
  // number in which the caller keeps NAdam's product.
  int add_group(const std::string& rule, const CoreArgs& core_args, py::object given,
                std::optional<std::int64_t> start, py::object mu_product);

  // Adds a parameter whose state the caller keeps, in the order of `state_names(rule)`.
  void add_parameter(int group, const std::string& name, py::handle w, const py::sequence& states);

  // Changes nothing.
  std::unique_ptr<Addition> prepare_addition(const std::vector<NewGroup>& groups,
                                             const std::vector<NewParameters>& parameters);
  // Adds it, and replaces the format of gradients, the containers and `layout()`: all of it, or
  // nothing where a step would not be possible. Where averages are kept, `averages` has one for
  // each parameter.
  void add(Addition& addition, GradientFormat format, py::object walk, py::object layout,
           Addition* averages, py::object averages_layout);
  // Whatever the caller wants to find with what was added.
  py::object layout();

  // Raises what a step would, whatever the gradients.
  void require_ready();
  // ValueError where the containers that the parameters came in hold other arrays by now.
  void require_bound();

  // Each step folds the parameters into the averages that are the parameters of `averages`, a
  // stepper. Before anything is added.
  void follow(py::object averages);
  // What the parameters are to be divided by, where they are averages: one number each, 0 where
  // their group has not averaged anything yet.
  std::vector<double> corrections();
  // Whether another stepper folds into this one.
  bool followed() const { return followed_; }
  // RuntimeError while the parameters are in the place of these averages.
  void require_own() const;

  // One step over all groups: everything is validated and allocated, then swept; t moves with it.
  // Gradients are multiplied by `scale`.
  void step(py::handle gradients, py::handle scale);

  // t, for each group what was given, its start and its products, copies of all state that was
  // added with its parameters, the layout, options, skipped steps, and, where averages are kept,
  // their t, groups and copies; all as of one moment.
  py::tuple snapshot();

  py::object options();
  std::int64_t skipped() const { return outcome_.skipped(); }
  std::optional<double> norm() { return outcome_.norm(); }
  std::optional<std::string> not_finite() { return outcome_.not_finite(); }
  // A number by name; a scheduled one as its value for the next step.
  double get(int group, const std::string& name);
  py::object given(int group);
  std::int64_t t() const { return t_.load(std::memory_order_relaxed); }

  // For Python's collector: a schedule may well refer to the optimizer that calls it.
  int traverse(visitproc visit, void* arg) const;
  void clear_references();

 private:
  friend class Step;
  friend class StagedStep;
  friend class PreparedUpdate;
  friend class AveragedBlock;

  // The plan of the step under way; kept for its memory.
  struct Plan {
    Sweep sweep;
    std::vector<std::unique_ptr<StridedRun>> strided;
    Pins pins;
  };

  Hyperparameters scheduled_values(int group);
  void validate();
  void append(const Addition& addition);
  void drop_behind(std::size_t groups, std::size_t parameters);

  BusyState busy_;
  std::atomic<std::int64_t> t_{0};  // steps taken
  std::uint64_t version_ = 0;       // another one after each change
  // Groups, options and the layout can be read while another thread steps; they are written by
  // the thread that has the stepper to itself, and with this. Never held while anything of
  // Python's runs.
  std::mutex mutex_;
  Model model_;
  Options options_;
  py::object layout_ = py::none();
  Outcome outcome_;

  Containers containers_;
  Gradients gradients_;
  StepTargets targets_;
  Plan plan_;

  // Where averages are kept.
  py::object averages_object_;
  Stepper* averages_ = nullptr;
  bool followed_ = false;
};

// ValueError where `count`, which is called `name`, is below 0.
void require_count(const std::string& name, std::int64_t count);

}  // namespace gradstep
