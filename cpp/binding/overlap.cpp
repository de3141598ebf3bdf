// Looking for shared memory; see overlap.hpp.
#include "binding/overlap.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <tuple>
#include <utility>

namespace gradstep {
namespace {

// Where an array's bytes lie modulo some number: in [begin, begin + width), wherever that wraps.
struct Band {
  std::uintptr_t begin, width;
};

// Axes that stride by multiples of `modulus` lead back to the same place; the others widen the
// band.
Band band_of(const Memory& memory, std::uintptr_t modulus) {
  const Geometry& g = memory.geometry;
  Band band{reinterpret_cast<std::uintptr_t>(g.data), static_cast<std::uintptr_t>(memory.itemsize)};
  for (int i = 0; i < g.ndim; ++i) {
    const auto stride = static_cast<std::uintptr_t>(std::abs(g.strides[i]));
    if (stride % modulus == 0) continue;
    const std::uintptr_t reach = stride * static_cast<std::uintptr_t>(g.shape[i] - 1);
    band.width += reach;
    if (g.strides[i] < 0) band.begin -= reach;
  }
  band.begin %= modulus;
  return band;
}

// Whether two arrays, none of them empty, are sure to be interleaved: columns of one matrix,
// windows of its columns, every second element and the others. False where another stride would
// have to tell.
bool interleaved(const Memory& a, const Memory& b) {
  for (const Geometry& g : {a.geometry, b.geometry}) {
    for (int i = 0; i < g.ndim; ++i) {
      const auto modulus = static_cast<std::uintptr_t>(std::abs(g.strides[i]));
      if (modulus == 0 || g.shape[i] < 2) continue;
      const Band at = band_of(a, modulus), other = band_of(b, modulus);
      const std::uintptr_t behind = (other.begin + (modulus - at.begin)) % modulus;
      if (behind >= at.width && other.width <= modulus - behind) return true;
    }
  }
  return false;
}

}  // namespace

Memory memory_of(py::handle array, std::ptrdiff_t itemsize) {
  const auto* proxy = py::detail::array_proxy(array.ptr());
  Memory memory;
  memory.array = array;
  memory.geometry = {proxy->data, proxy->nd, proxy->dimensions, proxy->strides};
  memory.itemsize = itemsize;
  memory.size = 1;
  for (int i = 0; i < proxy->nd; ++i) memory.size *= proxy->dimensions[i];
  const Geometry& g = memory.geometry;
  memory.low = memory.high = reinterpret_cast<std::uintptr_t>(g.data);
  if (memory.size == 0) return memory;  // an empty array may have strides beyond any memory
  std::ptrdiff_t below = 0, above = memory.itemsize;
  for (int i = 0; i < g.ndim; ++i) {
    const std::ptrdiff_t reach = g.strides[i] * (g.shape[i] - 1);
    (reach < 0 ? below : above) += reach;
  }
  memory.low += static_cast<std::uintptr_t>(below);
  memory.high += static_cast<std::uintptr_t>(above);
  return memory;
}

bool share_memory(const Memory& a, const Memory& b) {
  // Arithmetic decides regular cases. NumPy solves the others, which takes a hundred times as long.
  if (interleaved(a, b)) return false;
  const py::module_ numpy = py::module_::import("numpy");
  const py::object plain = numpy.attr("asarray");  // a subclass might answer in its own way
  return numpy.attr("shares_memory")(plain(a.array), plain(b.array)).cast<bool>();
}

bool repeats_elements(const Memory& memory) {
  const Geometry& g = memory.geometry;
  if (memory.size < 2) return false;
  std::vector<std::pair<std::ptrdiff_t, std::ptrdiff_t>> axes;  // stride, length
  for (int i = 0; i < g.ndim; ++i) {
    if (g.shape[i] > 1) axes.emplace_back(std::abs(g.strides[i]), g.shape[i]);
  }
  std::sort(axes.begin(), axes.end());
  // Where each axis strides over all that the finer ones reach, no two elements can meet.
  std::ptrdiff_t reach = memory.itemsize;
  bool nested = true;
  for (const auto& [stride, length] : axes) {
    nested = nested && stride >= reach;
    reach += stride * (length - 1);
  }
  if (nested) return false;
  // Odd strides (from as_strided) are looked at element by element. There are no more elements than
  // fit in the memory they span, or two of them must meet.
  bool distinct = memory.size * memory.itemsize <= reach;
  if (distinct) {
    std::vector<std::ptrdiff_t> offsets{0};
    offsets.reserve(static_cast<std::size_t>(memory.size));
    for (const auto& [stride, length] : axes) {
      const std::size_t so_far = offsets.size();
      for (std::ptrdiff_t i = 1; i < length; ++i) {
        for (std::size_t j = 0; j < so_far; ++j) offsets.push_back(offsets[j] + i * stride);
      }
    }
    std::sort(offsets.begin(), offsets.end());
    for (std::size_t i = 1; i < offsets.size() && distinct; ++i) {
      distinct = offsets[i] - offsets[i - 1] >= memory.itemsize;
    }
  }
  return !distinct;
}

py::dict overlapping(const std::vector<py::array>& arrays) {
  std::vector<std::pair<Memory, std::size_t>> order;  // with the array's number
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    const Memory memory = memory_of(arrays[i], arrays[i].itemsize());
    if (memory.low < memory.high) order.emplace_back(memory, i);
  }
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return std::tie(a.first.low, a.second) < std::tie(b.first.low, b.second);
  });
  std::vector<std::size_t> first_of(arrays.size(), SIZE_MAX);
  std::vector<std::pair<Memory, std::size_t>> reaching;  // those before that are not over yet
  for (const auto& [memory, i] : order) {
    const std::uintptr_t low = memory.low;
    reaching.erase(std::remove_if(reaching.begin(), reaching.end(),
                                  [low](const auto& each) { return each.first.high <= low; }),
                   reaching.end());
    for (const auto& [other, j] : reaching) {
      const auto [first, last] = std::minmax(i, j);
      if (first_of[last] > first && share_memory(memory, other)) first_of[last] = first;
    }
    reaching.emplace_back(memory, i);
  }
  py::dict found;
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    if (first_of[i] != SIZE_MAX) found[py::int_(i)] = py::int_(first_of[i]);
  }
  return found;
}

}  // namespace gradstep
