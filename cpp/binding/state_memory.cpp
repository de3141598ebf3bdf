// A group's block of state; see state_memory.hpp.
#include "binding/state_memory.hpp"

#include <cstdint>

namespace gradstep {

namespace {

constexpr py::ssize_t cache_line = 64;

py::ssize_t rounded_up(py::ssize_t bytes) {
  return (bytes + cache_line - 1) / cache_line * cache_line;
}

}  // namespace

StateMemory::StateMemory(const std::vector<py::array>& parameters, int kinds) {
  const py::module_ numpy = py::module_::import("numpy");
  for (const py::array& parameter : parameters) {
    // NumPy knows what "the same order, but dense" is; nothing is written to this array.
    const py::array like = numpy.attr("empty_like")(parameter, py::arg("subok") = false);
    // As far behind a cache line's border as the parameter lies: then all meet the next together.
    const auto address = reinterpret_cast<std::intptr_t>(parameter.data());
    const py::ssize_t behind = address % like.itemsize() == 0 ? address % cache_line : 0;
    likes_.push_back({like.dtype(),
                      {like.shape(), like.shape() + like.ndim()},
                      {like.strides(), like.strides() + like.ndim()},
                      bytes_of_kind_ + behind});
    bytes_of_kind_ += rounded_up(behind + like.nbytes());
  }
  // NumPy's zeros are the system's: large ones come untouched, and in huge pages where it has them.
  auto* block = new py::array(numpy.attr("zeros")(kinds * bytes_of_kind_ + cache_line, "uint8"));
  owner_ = py::capsule(block, [](void* array) { delete static_cast<py::array*>(array); });
  data_ = static_cast<char*>(block->mutable_data());
  data_ +=
      rounded_up(reinterpret_cast<std::intptr_t>(data_)) - reinterpret_cast<std::intptr_t>(data_);
}

py::array StateMemory::array(std::size_t parameter, int kind) const {
  const Like& like = likes_[parameter];
  return {like.dtype, like.shape, like.strides, data_ + kind * bytes_of_kind_ + like.offset,
          owner_};
}

}  // namespace gradstep
