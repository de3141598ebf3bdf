// One group of parameters: its hyperparameters, their schedules, and the corrections of its steps.
// Not here: which values are valid (hyperparameters.cpp), how corrections are computed
// (corrections.hpp), which parameters are in the group (model.hpp).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "binding/hyperparameters.hpp"
#include "binding/written_memory.hpp"
#include "engine/corrections.hpp"

namespace gradstep {

// The hyperparameters of a group: the core's name, the name that the user knows, and a number, a
// truth value, or a schedule, which is a callable that gets the number of steps taken.
using CoreArgs = std::vector<std::tuple<std::string, std::string, py::object>>;

// Products over the steps taken, by their names in corrections.hpp; each is a sum of two numbers.
using SavedProducts = std::map<std::string, std::pair<double, double>>;

struct Schedule {
  const NumberField* field;
  std::string name;  // that the user knows
  py::object function;
};
using Schedules = std::vector<Schedule>;

struct Group {
  int rule = 0;            // its row in the table
  std::int64_t start = 0;  // corrections count the steps after this one
  Hyperparameters values;
  Schedules schedules;
  py::object given;  // the caller's, to be read back
  Corrections corrections;
  py::object mu_product;    // none, or the caller's array for NAdam's product
  char* mu_data = nullptr;  // its memory
  // Of the step under way.
  bool is_corrected = false;
  Hyperparameters corrected;                // with corrections, once these are prepared
  const Kernel* kernels[dtype_count] = {};  // null until one is needed
  Constants constants[dtype_count];

  // ValueError or TypeError where an argument is not valid. `t` steps have been taken.
  static Group make(const std::string& rule, std::int64_t start, std::int64_t t,
                    const CoreArgs& core_args, py::object given);

  // Forgets what belongs to the step before.
  void begin_step();
  // Does so once for each step. `t` steps have been taken.
  void prepare_corrections(std::int64_t t);
  // Chooses the kernel for parameters of one dtype.
  void prepare_kernel(const KernelTable& table, DType dtype, std::int64_t t);
  // Makes the constants of all kernels that are prepared.
  void make_constants(double scale);
  // The step was taken: its products are those of the group. Cannot fail.
  void commit_products() noexcept;

  // Reads the caller's array, if there is one. `first` names the first parameter of the stepper.
  void validate_mu_product(const std::string& first, std::int64_t t, WrittenMemory& written);

  // Takes the products of the group that this one replaces after `steps` of its steps. Where that
  // group had a constant, its power is the product.
  void continue_products(const Group& before, std::int64_t steps);
  // Takes saved products. ValueError where they do not fit this group.
  void restore_products(const SavedProducts& saved);
  py::dict products() const;

  // What an average is divided by after so many steps of its group.
  double average_correction(std::int64_t steps) const;

  int traverse(visitproc visit, void* arg) const;
};

// The row of a rule. ValueError where there is none of that name.
int find_rule(const std::string& name);
int count_states(const Rule& rule);
// The names of a rule's state, for example {"m", "v"}.
std::vector<std::string> state_names(const std::string& rule);

}  // namespace gradstep
