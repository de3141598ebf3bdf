// Copying, prepared; see staged_copies.hpp.
#include "binding/staged_copies.hpp"

#include <algorithm>

#include "engine/sweep.hpp"

namespace gradstep {

void StagedCopies::add(const py::array& target, const py::array& source, const Label& label) {
  // Pinned before they are looked at: that may run code of the user's.
  for (const py::array& array : {target, source}) {
    kept_.push_back(array);
    pins_.add(array);
  }
  const View to = writable_view_of(target, label);
  const View from = view_of(source, label);
  require_like(from, label, to);
  const int itemsize = itemsize_of[to.dtype];
  copies_.push_back({StridedRun({to.geometry, from.geometry}, itemsize), to.size, itemsize});
}

void StagedCopies::fill() const noexcept {
  constexpr int widest = 8;
  alignas(64) char buffer[tile * widest];
  for (const Copy& copy : copies_) {
    for (std::int64_t begin = 0; begin < copy.count; begin += tile) {
      const std::int64_t some = std::min(tile, copy.count - begin);
      copy.run.gather(1, begin, some, buffer);
      copy.run.scatter(0, begin, some, buffer);
    }
  }
}

}  // namespace gradstep
