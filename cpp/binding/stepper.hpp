// What an optimizer keeps in the core between steps: groups with their hyperparameters, parameters
// with their state, t, and another stepper in which averages of the parameters are. It turns
// gradients into a list of checked items and sweeps them.
// Judging arrays is arrays.cpp's business, threads are the sweep's, formulas the rules'.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "binding/arrays.hpp"
#include "binding/busy_guard.hpp"
#include "binding/containers.hpp"
#include "binding/hyperparameters.hpp"
#include "binding/options.hpp"
#include "binding/staged_copies.hpp"
#include "engine/corrections.hpp"
#include "engine/swap.hpp"
#include "engine/sweep.hpp"

namespace gradstep {

// Below this many elements letting go of the interpreter costs more than anybody could gain by it.
constexpr std::int64_t worth_releasing = 16'384;

class Stepper {
 public:
  // What a group is told: hyperparameters by the names of the core, each with the name that its
  // user knows it by, and a number, a truth value, or a schedule: a callable that gets the number
  // of steps taken.
  using CoreArgs = std::vector<std::tuple<std::string, std::string, py::object>>;
  // Products over the steps taken, by their names in corrections.hpp: two numbers to be added.
  using Products = std::map<std::string, std::pair<double, double>>;
  // What one group is to become: its index, rule, all its hyperparameters; what `given` was when
  // the change was thought of, and is to be; its start and products, none to leave those as they
  // are.
  using Change = std::tuple<int, std::string, CoreArgs, py::object, py::object,
                            std::optional<std::int64_t>, std::optional<Products>>;
  // Arrays of state by parameter, in the order of `state_names(rule)`.
  using States = std::vector<std::vector<py::array>>;

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

  // Groups and parameters with state of their own, zeros at first, that are not in the stepper yet.
  struct Addition;
  // Groups: what is said before anything wrong with it, a rule, what it is told, and what is given.
  // Parameters: the index of a group, counted on from those that are there, names, and arrays.
  // Changes nothing.
  using NewGroup = std::tuple<std::string, std::string, CoreArgs, py::object>;
  using NewParameters = std::tuple<int, std::vector<std::string>, py::sequence>;
  std::unique_ptr<Addition> prepare_addition(const std::vector<NewGroup>& groups,
                                             const std::vector<NewParameters>& parameters);
  // How gradients are given: a list where `listed`, or a dict with all of the keys in one of
  // `keys`, in the parameters' order; whatever is neither, `flatten` makes a sequence of.
  struct Expected {
    py::object flatten;
    std::vector<py::tuple> keys;  // what fitted last comes first
    bool listed = true;
    // Returns in what containers the parameters are, and each of them with the expression for it;
    // none where nobody could rebind one.
    py::object walk = py::none();
  };
  // Adds it, and replaces what gradients are expected and `layout()`: all of it, or nothing where a
  // step would not be possible. Where averages are kept, theirs as well, with an average for each
  // parameter.
  void add(Addition& addition, Expected expected, py::object layout, Addition* averages,
           py::object averages_layout);
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

  // One step over all groups: everything is validated and allocated, then swept; t moves with it.
  // `gradients` are a sequence where nothing else is expected; they are multiplied by `scale`.
  void step(py::handle gradients, py::handle scale);
  // The same, taken in parts by a caller who has gradients one after another.
  class StagedStep;

  // Replaces hyperparameters and, where they are there, t, options, the number of skipped steps,
  // all state that was added with its parameters, and what is in the parameters: all of it, or
  // nothing where one is refused.
  struct Replaced {
    std::vector<Change> changes;
    std::optional<std::int64_t> t;
    std::optional<States> states;
    std::optional<py::dict> options;
    std::optional<std::int64_t> skipped;
    std::optional<std::vector<py::array>> parameters;
  };
  class PreparedUpdate;
  // Several at once, each of another stepper: all, or nothing where one of these has changed since.
  static void commit(const std::vector<PreparedUpdate*>& updates);

  // t, for each group what was given, its start and its products, copies of all state that was
  // added with its parameters, the layout, options, skipped steps, and, where averages are kept,
  // their t, groups and copies; all as of one moment.
  py::tuple snapshot();

  // Puts the averages in the parameters' place, at most while it lives; nothing else can be done
  // meanwhile.
  class Averaged;
  // RuntimeError while the parameters are in the place of these averages.
  void require_own() const;

  py::object options();
  std::int64_t skipped() const { return skipped_.load(std::memory_order_relaxed); }
  // Of the last step, where it was measured.
  std::optional<double> norm();
  // What was not finite in the last step that was refused for it.
  std::optional<std::string> not_finite();

  // A number by name; a scheduled one as its value for the next step.
  double get(int group, const std::string& name);

  py::object given(int group);

  std::int64_t t() const { return t_.load(std::memory_order_relaxed); }

  // For Python's collector: a schedule may well refer to the optimizer that calls it.
  int traverse(visitproc visit, void* arg) const;
  void let_go();

 private:
  struct Schedule {
    const NumberField* field;
    std::string name;  // that its user knows
    py::object function;
  };
  using Schedules = std::vector<Schedule>;
  struct Group {
    int rule = 0;  // its row in the table
    std::int64_t start = 0;
    Hyperparameters values;
    Schedules schedules;
    py::object given;
    Corrections corrections;
    py::object mu_product;  // none, or the array of the caller's that keeps it, and its memory
    char* mu_data = nullptr;
    // Of the step under way.
    bool is_corrected = false;
    Hyperparameters corrected;                // with corrections, where those are prepared
    const Kernel* kernels[dtype_count] = {};  // null: not prepared yet
    Constants constants[dtype_count];
  };
  struct Parameter {
    int group;
    std::string name;
    py::array w;
    std::vector<py::array> states;
    bool keeps_states;  // the states' memory is nobody else's
    bool is_average;    // its rule is that of averages
    Label label() const { return {is_average ? Label::average : Label::parameter, &name}; }
    Label gradient_label() const { return {is_average ? Label::value : Label::gradient, &name}; }
  };
  // What a step needs of a parameter that has been judged: looked at by each step, so kept
  // together.
  struct Slot {
    Item item;               // without the gradient; no kernel yet
    PyObject* w = nullptr;   // the parameter
    Group* group = nullptr;  // its group
    Group* average_group = nullptr;
    DType dtype = float32;
    Orders orders = no_order;  // in which parameter and state are dense
    Gap gap;                   // where its gradient lay
  };
  Group& group_at(int group);  // to be called with `groups_mutex_` or in turn
  static Group make_group(const std::string& rule, std::int64_t start, std::int64_t t,
                          const CoreArgs& core_args, py::object given);
  void lay_out(const States& states, StagedCopies& copies_) const;
  Hyperparameters scheduled_values(int group);
  static Parameter make_parameter(int group, const std::string& name, py::handle w,
                                  const Rule& rule);
  void append(Parameter parameter);
  void append(Addition& addition);
  void drop_behind(std::size_t groups, std::size_t parameters);
  void validate();
  void require_same_arrays();
  void require_one_each(const char* what, std::size_t given) const;
  void take(py::handle gradients);
  void drop_gradients();
  bool look_up(PyObject* gradients, const py::tuple& keys);
  void validate_mu_product(Group& group);
  void take_products();
  void call_schedules();
  void prepare(Group& group, DType dtype);
  void prepare_corrections(Group& group);
  void make_constants(double scale);
  void plan(std::size_t i);
  void plan_unusual(std::size_t i, Item& item);
  void pin();
  void require_scale(double scale) const;
  static double correction(const Group& group, std::int64_t steps);
  // A gradient that is not finite: whose, where in the order of its indices, and what it is.
  struct NotFinite {
    int parameter;
    std::int64_t position;
    std::string what;
  };
  NotFinite not_finite_at(const Sweep::TilePosition& place, double scale) const;
  std::string describe(const NotFinite& found) const;
  void note_norm(std::optional<double> norm);
  class Step;
  void refuse_not_finite(std::string text, std::optional<double> norm);
  py::list snapshot_of_groups() const;

  std::atomic<std::int64_t> t_{0};  // steps taken
  std::deque<Group> groups_;        // a deque, so that items may point at a group's constants
  // Hyperparameters can be read while another thread steps; they are written in turn and with this.
  // Never held while anything of Python's runs.
  std::mutex groups_mutex_;
  std::deque<Parameter> parameters_;
  Expected expected_;
  Containers containers_;
  py::object layout_ = py::none();
  BusyState busy_;
  Options options_;  // read and written as groups are
  std::atomic<std::int64_t> skipped_{0};
  std::uint64_t version_ = 0;   // another one after each change; read and written in turn
  std::optional<double> norm_;  // as groups are
  std::optional<std::string> not_finite_;  // likewise
  // Where averages are kept.
  py::object averages_object_;
  Stepper* averages_ = nullptr;
  bool followed_ = false;

  // As of the last judgement, if there was one since anything was added.
  bool validated_ = false;
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

// A step under way; nothing else can be done meanwhile. What can fail is done when it is made:
// every array is judged, all memory is there. The rest cannot, but has to be called in the order in
// which it stands here. Gradients are let go with it, also where it was refused.
class Stepper::Step {
 public:
  Step(Stepper& stepper, py::handle gradients, py::handle scale, const char* reason = nullptr);

  bool pays_without_interpreter() const { return stepper_.elements_ >= worth_releasing; }
  bool measures() const { return stepper_.options_.measures(); }
  // A pass over all gradients, where `measures()`.
  Sweep::Measured measure();
  // The first gradient that is not finite, which is there.
  NotFinite not_finite_at(const Sweep::TilePosition& place) const {
    return stepper_.not_finite_at(place, scale_);
  }
  // Makes the constants; `norm` is that of all gradients, where it was measured, and clips.
  void begin(std::optional<double> norm);
  // Updates the parameters from `first` on and before `last`.
  void run(int first, int last);
  // All have been updated: t moves.
  void finish();

 private:
  struct LetGo {
    Stepper& stepper;
    ~LetGo();
  };
  // Judges and plans all; returns how many elements are written.
  std::int64_t plan(py::handle gradients, py::handle scale, const char* reason);

  Stepper& stepper_;
  const BusyGuard guard_;
  std::optional<BusyGuard> averages_guard_;
  const LetGo let_go_;
  double scale_ = 1;
  Team team_;
  std::optional<ClipSettings> clip_;
  std::optional<double> norm_;
};

class Stepper::StagedStep {
 public:
  StagedStep(Stepper& stepper, py::handle gradients, py::handle scale);

  // The gradients as arrays, in the order of the parameters.
  py::list gradients() const;
  // What this step is taken with, after all schedules: of each group by name, those of the averages
  // behind them, and the options.
  py::list hyperparameters() const;
  // The norm of these gradients, and the first that is not finite, if there is any.
  std::pair<double, std::optional<std::tuple<int, std::int64_t, std::string>>> measure();
  // With what is true of all gradients, also of those that others have. False where the step is
  // refused for them, or FloatingPointError, as the options say.
  bool begin(std::optional<double> norm, std::optional<std::string> not_finite);
  void run(int first, int last);
  void finish();
  // Lets go of everything, wherever the step stands.
  void close();

 private:
  // `running` while another thread may hold the interpreter.
  enum Stage { made, begun, running, over };
  Step& at(Stage stage);
  Stepper& stepper_;  // whoever owns this keeps it alive
  std::optional<Step> step_;
  Stage stage_ = made;
};

class Stepper::PreparedUpdate {
 public:
  void prepare(Stepper& stepper, const Replaced& replaced);  // once
  // To be called in turn, once. Allocates nothing, calls nothing of Python's, cannot fail.
  void commit() noexcept;

 private:
  friend class Stepper;

  py::object keep_alive_;
  Stepper* stepper_ = nullptr;
  std::uint64_t version_ = 0;  // of the stepper, when this was prepared
  std::vector<std::pair<int, Group>> groups_;
  std::int64_t t_ = 0;
  std::int64_t skipped_ = 0;
  Options options_;
  StagedCopies copies_;
};

class Stepper::Averaged {
 public:
  explicit Averaged(Stepper& stepper) : stepper_(stepper) {}
  ~Averaged() { put_back(); }
  Averaged(const Averaged&) = delete;
  Averaged& operator=(const Averaged&) = delete;

  // In turns, as often as one likes.
  void put_in();
  void put_back() noexcept;

 private:
  // What there is until they are back.
  struct Held;
  Stepper& stepper_;  // whoever owns this keeps it alive
  std::unique_ptr<Held> held_;
};

struct Stepper::Averaged::Held {
  explicit Held(Stepper& stepper);

  static constexpr const char* reason =
      "the averages are in the parameters' place; leave the block of averaged() first";
  py::object keep_alive;
  std::vector<py::array> kept;
  BusyGuard guard, averages_guard;
  Pins pins;
  Swap swap;
  bool large = false;
};

struct Stepper::Addition {
  std::size_t first;  // how many groups there were
  std::vector<Group> groups;
  std::vector<Parameter> parameters;
  States states;  // by parameter, in the order of `state_names(rule)`; the memory outlives them
};

// The names of a rule's state, for example {"m", "v"}. ValueError for an unknown rule.
std::vector<std::string> state_names(const std::string& rule);

// ValueError where `count`, which is called `name`, is below 0.
void require_count(const std::string& name, std::int64_t count);

}  // namespace gradstep
