// What a step writes: parameters, state, averages, NAdam's products. They are validated when they
// are added, and again before a step where one of them has moved or changed its flags since.
#pragma once

#include <cstdint>
#include <vector>

#include "binding/model.hpp"
#include "engine/sweep.hpp"

namespace gradstep {

class StepTargets {
 public:
  // What a step needs of a valid parameter. Each step walks these, so they lie together.
  struct Slot {
    Item item;               // without the gradient and the kernel
    PyObject* w = nullptr;   // the parameter
    Group* group = nullptr;  // its group
    Group* average_group = nullptr;
    DType dtype = float32;
    Orders orders = no_order;  // in which parameter and state are dense
    Gap gap;                   // where its gradient lay
  };

  // TypeError or ValueError where one cannot be stepped. `averages` is null where none are kept;
  // `t` steps have been taken.
  void validate(Model& model, Model* averages, std::int64_t t);
  // Parameters were added or dropped.
  void invalidate() { validated_ = false; }
  bool validated() const { return validated_; }
  // Once validated: whether all of them still are where and what they were.
  bool unchanged() const { return written_.unchanged(); }

  void reserve(std::size_t parameters) { slots_.reserve(parameters); }
  std::vector<Slot>& slots() { return slots_; }
  const WrittenMemory& written() const { return written_; }
  // Whether a step takes so long that letting go of the interpreter pays.
  bool pays_without_interpreter() const { return elements_ >= worth_releasing; }

 private:
  static constexpr std::int64_t worth_releasing = 16'384;  // elements of all parameters

  Slot slot_of(const Parameter& parameter, Model& model);

  bool validated_ = false;
  WrittenMemory written_;
  std::vector<Slot> slots_;    // one for each parameter
  std::int64_t elements_ = 0;  // of all parameters
};

}  // namespace gradstep
