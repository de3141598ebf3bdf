// Many values of a stepper, validated and allocated, to be set at once: changes of hyperparameters,
// loads of a saved state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "binding/staged_copies.hpp"
#include "binding/stepper.hpp"

namespace gradstep {

// What one group is to become: its index, rule, all its hyperparameters; what `given` was when the
// change was planned, and is to be; its start and products, none to leave these as they are.
using Change = std::tuple<int, std::string, CoreArgs, py::object, py::object,
                          std::optional<std::int64_t>, std::optional<SavedProducts>>;

class PreparedUpdate {
 public:
  // What is none stays as it is. `states` is all state that was added with its parameters,
  // `parameters` what is in these.
  struct Values {
    std::vector<Change> changes;
    std::optional<std::int64_t> t;
    std::optional<States> states;
    std::optional<py::dict> options;
    std::optional<std::int64_t> skipped;
    std::optional<std::vector<py::array>> parameters;
  };

  // Once. Changes nothing; raises where a value is refused.
  void prepare(Stepper& stepper, const Values& values);

  // Several at once, each of another stepper: all, or nothing where one of these has changed since.
  static void commit_all(const std::vector<PreparedUpdate*>& updates);

 private:
  // Once, while nobody else uses the stepper. Allocates nothing, calls nothing of Python's, cannot
  // fail.
  void commit() noexcept;

  py::object keep_alive_;
  Stepper* stepper_ = nullptr;
  std::uint64_t version_ = 0;  // of the stepper, when this was prepared
  std::vector<std::pair<int, Group>> groups_;
  std::int64_t t_ = 0;
  std::int64_t skipped_ = 0;
  Options options_;
  StagedCopies copies_;
};

}  // namespace gradstep
