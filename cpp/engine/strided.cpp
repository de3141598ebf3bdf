// Walking strided arrays; see strided.hpp.
#include "engine/strided.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <numeric>

namespace gradstep {

StridedRun::StridedRun(const std::vector<Geometry>& arrays, int itemsize) : itemsize_(itemsize) {
  const Geometry& first = arrays.front();
  std::vector<int> axes;
  for (int axis = 0; axis < first.ndim; ++axis) {
    if (first.shape[axis] != 1) axes.push_back(axis);
  }
  std::stable_sort(axes.begin(), axes.end(), [&](int a, int b) {
    return std::abs(first.strides[a]) > std::abs(first.strides[b]);
  });

  for (const Geometry& array : arrays) {
    Stream stream{array.data, {}};
    for (int axis : axes) {
      std::ptrdiff_t stride = array.strides[axis];
      // An axis that the first array walks backwards is turned round for all of them.
      if (first.strides[axis] < 0) {
        stream.data += stride * (array.shape[axis] - 1);
        stride = -stride;
      }
      stream.strides.push_back(stride);
    }
    streams_.push_back(std::move(stream));
  }
  for (int axis : axes) shape_.push_back(first.shape[axis]);

  // Two neighbouring axes are one where that holds for every array.
  for (std::size_t axis = shape_.size(); axis-- > 1;) {
    const bool joins = std::all_of(streams_.begin(), streams_.end(), [&](const Stream& s) {
      return s.strides[axis - 1] == s.strides[axis] * shape_[axis];
    });
    if (!joins) continue;
    const auto at = static_cast<std::ptrdiff_t>(axis);
    shape_[axis - 1] *= shape_[axis];
    shape_.erase(shape_.begin() + at);
    for (Stream& s : streams_) s.strides.erase(s.strides.begin() + at - 1);
  }

  for (Stream& s : streams_) {
    std::ptrdiff_t expected = itemsize;
    s.dense = reinterpret_cast<std::uintptr_t>(s.data) % static_cast<unsigned>(itemsize) == 0;
    for (std::size_t axis = shape_.size(); axis-- > 0;) {
      s.dense = s.dense && s.strides[axis] == expected;
      expected *= shape_[axis];
    }
  }
}

template <class Copy>
void StridedRun::walk(int a, std::int64_t begin, std::int64_t count, Copy copy) const {
  const Stream& s = streams_[a];
  if (shape_.empty()) {
    if (count > 0) copy(s.data, 0, 1);
    return;
  }
  const std::size_t inner = shape_.size() - 1;
  std::vector<std::ptrdiff_t>::size_type axis;
  std::ptrdiff_t index[64];  // NumPy's own limit on the number of dimensions
  char* row = s.data;
  for (axis = inner + 1; axis-- > 0; begin /= shape_[axis]) {
    index[axis] = begin % shape_[axis];
    row += index[axis] * s.strides[axis];
  }
  while (true) {
    const std::int64_t n = std::min<std::int64_t>(count, shape_[inner] - index[inner]);
    copy(row, s.strides[inner], n);
    count -= n;
    if (count <= 0) return;
    // Carry into the outer axes, as an odometer does.
    row -= index[inner] * s.strides[inner];
    index[inner] = 0;
    for (axis = inner; axis-- > 0;) {
      row += s.strides[axis];
      if (++index[axis] < shape_[axis]) break;
      row -= shape_[axis] * s.strides[axis];
      index[axis] = 0;
    }
  }
}

namespace {

// memcpy of a constant size compiles to one move and asks for no alignment.
template <int size>
void copy_in(char*& buffer, const char* from, std::ptrdiff_t stride, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i, buffer += size) std::memcpy(buffer, from + i * stride, size);
}
template <int size>
void copy_out(const char*& buffer, char* to, std::ptrdiff_t stride, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i, buffer += size) std::memcpy(to + i * stride, buffer, size);
}

}  // namespace

void StridedRun::gather(int a, std::int64_t begin, std::int64_t count, char* buffer) const {
  walk(a, begin, count, [&](const char* from, std::ptrdiff_t stride, std::int64_t n) {
    itemsize_ == 4 ? copy_in<4>(buffer, from, stride, n) : copy_in<8>(buffer, from, stride, n);
  });
}

void StridedRun::scatter(int a, std::int64_t begin, std::int64_t count, const char* buffer) const {
  walk(a, begin, count, [&](char* to, std::ptrdiff_t stride, std::int64_t n) {
    itemsize_ == 4 ? copy_out<4>(buffer, to, stride, n) : copy_out<8>(buffer, to, stride, n);
  });
}

}  // namespace gradstep
