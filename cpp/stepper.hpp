// What an optimizer keeps in the core between steps: groups with their hyperparameters, parameters
// with their state, and t. It turns gradients into a list of checked items and sweeps them.
// Judging arrays is arrays.cpp's business, threads are the sweep's, formulas the rules'.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "hyperparameters.hpp"
#include "powers.hpp"
#include "sweep.hpp"

namespace gradstep {

class Stepper {
 public:
  // What one group is to become: its index, rule, all its hyperparameters; what `given` was when
  // the change was thought of, and is to be; its start, none to leave that as it is.
  using Change =
      std::tuple<int, std::string, py::dict, py::object, py::object, std::optional<std::int64_t>>;
  // Arrays of state by parameter, in the order of `state_names(rule)`.
  using States = std::vector<std::vector<py::array>>;

  explicit Stepper(std::int64_t t);

  // Adds a group that steps by the rule of that name. `hyperparameters` maps names to numbers,
  // truth values, or schedules: callables that get the number of steps taken. `start` is how many
  // had been taken before the group came: its corrections count from there. `given` is whatever the
  // caller wants to find in `given(group)`: it changes with the group.
  int add_group(const std::string& rule, const py::dict& hyperparameters, py::object given);

  // Adds parameters with state of their own, zeros at first, and returns for each the arrays over
  // that memory in the order of `state_names(rule)`. Whatever is done to them, the memory stays.
  States add_parameters(int group, const std::vector<std::string>& names,
                        const py::sequence& arrays);
  // Adds a parameter whose state the caller keeps, in the order of `state_names(rule)`.
  void add_parameter(int group, const std::string& name, py::handle w, const py::sequence& states);

  // What a step checks, apart from the gradients.
  void check();

  // How gradients are given: a list where `listed`, or a dict with all of the keys in one of
  // `keys`, in the parameters' order; whatever is neither, `flatten` makes a sequence of.
  void expect(py::object flatten, const std::vector<py::tuple>& keys, bool listed);

  // One step over all groups: everything is validated and allocated, then swept; t moves with it.
  // `gradients` are a sequence where nothing else is expected.
  void step(py::handle gradients);

  // Replaces hyperparameters and, where they are there, t and all state that was added with its
  // parameters: all of it, or nothing where one is refused.
  void change(const std::vector<Change>& changes, std::optional<std::int64_t> new_t,
              const std::optional<States>& states);

  // t, for each group what was given and its start, and copies of all state that was added with its
  // parameters; all as of one moment.
  py::tuple snapshot();

  // A number by name; a scheduled one as its value for the next step.
  double get(int group, const std::string& name);

  py::object given(int group);

  std::int64_t t() const { return t_.load(std::memory_order_relaxed); }

  // For Python's collector: a schedule may well refer to the optimizer that calls it.
  int traverse(visitproc visit, void* arg) const;
  void let_go();

 private:
  using Schedules = std::vector<std::pair<const NumberField*, py::object>>;
  struct Group {
    int rule = 0;  // its row in the table
    std::int64_t start = 0;
    GroupValues values;
    Schedules schedules;
    py::object given;
    Powers beta_powers, beta1_powers, beta2_powers;
    // Of the step under way; by dtype.
    const Kernel* kernels[dtype_count] = {};  // null: not prepared yet
    Constants constants[dtype_count];
  };
  struct Parameter {
    int group;
    std::string name;
    py::array w;
    std::vector<py::array> states;
    bool keeps_states;  // the states' memory is nobody else's
  };
  // What a step needs of a parameter that has been judged: looked at by each step, so kept
  // together.
  struct Slot {
    Item item;               // without the gradient; no kernel yet
    PyObject* w = nullptr;   // the parameter
    Group* group = nullptr;  // its group
    DType dtype = float32;
    Orders orders = no_order;  // in which parameter and state are dense
    Gap gap;                   // where its gradient lay
  };
  class Turn;
  // Saved state on its way to the state that a parameter keeps, laid out in advance: the copying
  // itself cannot fail.
  struct Restored {
    StridedRun run;  // the state, then what was saved
    std::int64_t count;
    int itemsize;
    void copy() const;
  };

  Group& group_at(int group);  // to be called with `groups_mutex_` or in turn
  static Group make_group(const std::string& rule, std::int64_t start, std::int64_t t,
                          const py::dict& hyperparameters, py::object given);
  std::vector<Restored> lay_out(const States& states) const;
  GroupValues scheduled_values(int group);
  static Parameter make_parameter(int group, const std::string& name, py::handle w);
  void append(Parameter parameter);
  void judge();
  void require_one_each(std::size_t gradients) const;
  void take(py::handle gradients);
  void drop_gradients();
  bool look_up(PyObject* gradients, const py::tuple& keys);
  void prepare(Group& group, DType dtype);
  void plan(std::size_t i);
  void plan_unusual(std::size_t i, Item& item);
  void pin();

  std::atomic<std::int64_t> t_{0};  // steps taken
  std::deque<Group> groups_;        // a deque, so that items may point at a group's constants
  // Hyperparameters can be read while another thread steps; they are written in turn and with this.
  // Never held while anything of Python's runs.
  std::mutex groups_mutex_;
  std::deque<Parameter> parameters_;
  py::object flatten_;
  std::vector<py::tuple> keys_;  // what fitted last comes first
  bool listed_ = true;
  // Whose turn it is: the generation of the process (threads.hpp), 0 where it is nobody's, and the
  // thread.
  std::atomic<int> busy_{0};
  std::atomic<std::thread::id> holder_{};

  // As of the last judgement, if there was one since anything was added.
  bool judged_ = false;
  WrittenMemory written_;
  std::vector<Slot> slots_;    // one for each parameter
  std::int64_t elements_ = 0;  // of all parameters

  // The plan of the step under way; kept for their memory.
  const KernelTable* table_ = nullptr;
  std::vector<py::object> gradients_;
  Sweep sweep_;
  std::vector<std::unique_ptr<StridedRun>> strided_;
  Pins pins_;
};

// The names of a rule's state, for example {"m", "v"}. ValueError for an unknown rule.
std::vector<std::string> state_names(const std::string& rule);

}  // namespace gradstep
