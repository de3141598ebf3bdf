// Arrays that are to be filled from others: judged and laid out in advance, so that the copying
// itself cannot fail.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "arrays.hpp"
#include "prepared.hpp"

namespace gradstep {

class Filling : public Prepared {
 public:
  // ValueError or TypeError where `target` cannot be written to or `source` is not like it.
  void add(const py::array& target, const py::array& source, const Label& label);
  void commit() noexcept override;

 private:
  struct Copy {
    StridedRun run;  // the target, then the source
    std::int64_t count;
    int itemsize;
  };
  std::vector<Copy> copies_;
  std::vector<py::array> kept_;
  Pins pins_;
};

// Parameters by name.
std::unique_ptr<Filling> prepare_filling(const std::vector<std::string>& names,
                                         const std::vector<py::array>& targets,
                                         const std::vector<py::array>& sources);

}  // namespace gradstep
