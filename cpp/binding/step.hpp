// A step under way; nothing else can be done with its stepper meanwhile.
#pragma once

#include <optional>
#include <string>

#include "binding/not_finite.hpp"
#include "binding/stepper.hpp"

namespace gradstep {

// What can fail is done when it is made: every array is validated, all memory is allocated. The
// rest cannot fail, but has to be called in the order in which it stands here. Gradients are
// dropped with it, also where it was refused.
class Step {
 public:
  // `reason` is the error of other threads that want the stepper meanwhile; null for the usual one.
  Step(Stepper& stepper, py::handle gradients, py::handle scale, const char* reason = nullptr);

  bool pays_without_interpreter() const { return stepper_.targets_.pays_without_interpreter(); }
  bool measures() const { return stepper_.options_.measures(); }
  // A pass over all gradients, where `measures()`.
  Sweep::Measured measure();
  // The first gradient that is not finite; one is in that place.
  NotFinite not_finite_at(const Sweep::TilePosition& place) const;
  // Refuses the step instead of what follows: counts it, and raises FloatingPointError where the
  // options say so.
  void refuse(std::string not_finite, std::optional<double> norm);
  std::string describe(const NotFinite& found) const;
  // Makes the constants; `norm` is that of all gradients, where it was measured, and clips.
  void begin(std::optional<double> norm);
  // Updates the parameters from `first` on and before `last`.
  void run(int first, int last);
  // All have been updated: t moves.
  void finish();

 private:
  struct Release {
    Stepper& stepper;
    ~Release();
  };

  // Everything that can fail; returns how many elements are written.
  std::int64_t prepare(py::handle gradients, py::handle scale, const char* reason);
  void call_schedules();
  void require_scale() const;
  void pin();
  void plan(std::size_t i);
  void plan_unusual(std::size_t i, Item& item);

  Stepper& stepper_;
  const BusyGuard guard_;
  std::optional<BusyGuard> averages_guard_;
  const Release release_;
  const KernelTable* table_ = nullptr;
  double scale_ = 1;
  Team team_;
  std::optional<ClipSettings> clip_;
  std::optional<double> norm_;
};

}  // namespace gradstep
