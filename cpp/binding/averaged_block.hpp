// The block of `averaged()`: averages take the place of their parameters, and give it back.
#pragma once

#include <memory>
#include <vector>

#include "binding/stepper.hpp"
#include "engine/swap.hpp"

namespace gradstep {

// Nothing else can be done with the stepper between `put_in` and `put_back`. In turns, as often as
// one likes.
class AveragedBlock {
 public:
  explicit AveragedBlock(Stepper& stepper) : stepper_(stepper) {}
  ~AveragedBlock() { put_back(); }
  AveragedBlock(const AveragedBlock&) = delete;
  AveragedBlock& operator=(const AveragedBlock&) = delete;

  void put_in();
  void put_back() noexcept;

 private:
  // Alive while the averages are in.
  struct Active {
    explicit Active(Stepper& stepper);

    py::object keep_alive;
    std::vector<py::array> parameters;
    BusyGuard guard, averages_guard;
    Pins pins;
    Swap swap;
    bool large = false;
  };

  Stepper& stepper_;  // the binding keeps it alive
  std::unique_ptr<Active> active_;
};

}  // namespace gradstep
