// Arrays that are not one dense run: in which order their elements are walked together, and how a
// tile of them is copied into a dense buffer and back. Knows no Python and no optimizer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace gradstep {

// Memory as NumPy describes it; strides in bytes.
struct Geometry {
  char* data = nullptr;
  int ndim = 0;
  const std::ptrdiff_t* shape = nullptr;
  const std::ptrdiff_t* strides = nullptr;
};

// Several arrays of one shape, walked element by element in the memory order of the first one. The
// order is the same for all of them, which is all that an elementwise update needs.
class StridedRun {
 public:
  StridedRun(const std::vector<Geometry>& arrays, int itemsize);

  // Where array `a` is one dense, aligned run in the walk's order: its first element, else null.
  char* dense(int a) const { return streams_[a].dense ? streams_[a].data : nullptr; }

  // Copies the elements [begin, begin + count) of the walk between array `a` and a dense buffer.
  void gather(int a, std::int64_t begin, std::int64_t count, char* buffer) const;
  void scatter(int a, std::int64_t begin, std::int64_t count, const char* buffer) const;

 private:
  struct Stream {
    char* data;
    std::vector<std::ptrdiff_t> strides;
    bool dense = false;
  };

  template <class Copy>
  void walk(int a, std::int64_t begin, std::int64_t count, Copy copy) const;

  int itemsize_;
  std::vector<std::ptrdiff_t> shape_;  // outermost first
  std::vector<Stream> streams_;
};

}  // namespace gradstep
