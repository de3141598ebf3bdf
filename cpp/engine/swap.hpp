// Parameters and their averages swap places, and later back, with every bit as it was. Knows no
// Python and no optimizer.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/kernels.hpp"
#include "engine/strided.hpp"

namespace gradstep {

class Swap {
 public:
  // What takes a parameter's place is its average divided by `correction`, from 0 to 1.
  void add(const Geometry& parameter, const Geometry& average, DType dtype, std::int64_t count,
           double correction);

  // Which of the averages is so large that the corrected one overflows, -1 where none is.
  int overflowing() const;

  // In turns. Neither allocates nor fails.
  void put_in() noexcept;
  void take_out() noexcept;

 private:
  struct Pair {
    StridedRun run;  // the parameter, then the average
    DType dtype;
    std::int64_t count;
    double correction;
    // An average that was divided is found again by multiplying, up to one unit in the last place:
    // two bits for each element say which way. None where nothing is divided.
    std::vector<std::uint8_t> codes;
  };

  template <class Visit>
  static void each_tile(const Pair& pair, bool writes, Visit visit);
  template <class Way>
  void go() noexcept;

  std::vector<Pair> pairs_;
};

}  // namespace gradstep
