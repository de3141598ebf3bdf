// Examples, copied; see gather.hpp.
#include "binding/gather.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <string>
#include <type_traits>

#include "binding/arrays.hpp"
#include "binding/interpreter.hpp"
#include "engine/pool.hpp"
#include "engine/threads.hpp"

namespace gradstep {

namespace py = pybind11;

namespace {

constexpr std::int64_t cache_line = 64;
constexpr std::int64_t fetched_ahead = 8;          // examples
constexpr std::int64_t least_part = 16 << 10;      // bytes that are worth taking by themselves
constexpr std::int64_t bytes_an_element = 1;       // as Team counts work
constexpr std::int64_t least_released = 64 << 10;  // bytes

bool is_plain(const py::dtype& dtype) {
  constexpr std::uint64_t counts_references = 1;  // NumPy's NPY_ITEM_REFCOUNT
  return std::strchr("biufcmMSUV", dtype.kind()) && dtype.itemsize() > 0 &&
         !(dtype.flags() & counts_references);
}

// A run of memory: innermost axes that lie close, none of them the one that counts the examples.
struct Run {
  std::int64_t bytes;
  py::ssize_t outer_axes;

  explicit Run(const py::array& array) : bytes(array.itemsize()), outer_axes(array.ndim()) {
    for (; outer_axes > 1; --outer_axes) {
      const py::ssize_t size = array.shape(outer_axes - 1);
      if (size != 1 && array.strides(outer_axes - 1) != bytes) break;
      bytes *= size;
    }
  }
};

// Where the examples of an array lie: example i begins i strides behind the data, and is made of
// runs at the same offsets from there.
struct Examples {
  const char* data;
  std::int64_t count = 0;
  std::ptrdiff_t stride = 0;
  std::int64_t run = 0;  // bytes
  std::vector<std::ptrdiff_t> offsets{0};

  explicit Examples(const py::array& array);
  std::int64_t runs() const { return static_cast<std::int64_t>(offsets.size()); }
  std::int64_t bytes() const { return run * runs(); }
  const char* at(std::int64_t example) const { return data + example * stride; }
};

Examples::Examples(const py::array& array) : data(static_cast<const char*>(array.data())) {
  if (array.ndim() == 0) {
    throw py::value_error("examples must have an axis that counts them, got a 0-dimensional array");
  }
  if (const py::dtype dtype = array.dtype(); !is_plain(dtype)) {
    throw py::type_error("examples must be plain bytes, got dtype " +
                         py::str(dtype).cast<std::string>() + "; index the array with NumPy");
  }
  count = array.shape(0);
  stride = array.strides(0);
  const Run inner(array);
  run = inner.bytes;
  for (py::ssize_t axis = 1; axis < inner.outer_axes; ++axis) {
    std::vector<std::ptrdiff_t> deeper;
    for (const std::ptrdiff_t offset : offsets) {
      for (py::ssize_t i = 0; i < array.shape(axis); ++i) {
        deeper.push_back(offset + i * array.strides(axis));
      }
    }
    offsets.swap(deeper);
  }
}

// Where the compiler knows the size, a copy is a load and a store; 0 stands for any other size.
template <std::size_t known>
void copy(char* to, const char* from, std::int64_t bytes) {
  std::memcpy(to, from, known ? known : static_cast<std::size_t>(bytes));
}

// Calls `work` with the size of a run as a constant, where it is that of a number.
template <class Work>
void with_known_size(std::int64_t run, Work work) {
  using std::integral_constant;
  switch (run) {
    case 1:
      return work(integral_constant<std::size_t, 1>{});
    case 2:
      return work(integral_constant<std::size_t, 2>{});
    case 4:
      return work(integral_constant<std::size_t, 4>{});
    case 8:
      return work(integral_constant<std::size_t, 8>{});
    case 16:
      return work(integral_constant<std::size_t, 16>{});
    default:
      return work(integral_constant<std::size_t, 0>{});
  }
}

void fetch_ahead(const char* from, std::int64_t bytes) {
#if defined(__GNUC__) || defined(__clang__)
  for (std::int64_t i = 0; i < bytes; i += cache_line) __builtin_prefetch(from + i);
#else
  (void)from, (void)bytes;
#endif
}

// Copies the examples chosen[begin..end). Where they lie follows no pattern that the processor
// could guess, so the beginnings of later ones are asked for early; of a run that has begun it
// finds the rest by itself.
void copy_chosen(const Examples& from, const std::vector<std::int64_t>& chosen, std::int64_t begin,
                 std::int64_t end, char* batch) {
  constexpr std::int64_t beginning = 4 * cache_line;
  const std::int64_t fetched = std::min(from.run, beginning);
  const std::int64_t ahead = from.runs() == 1 ? fetched_ahead : 1;
  const std::int64_t last = static_cast<std::int64_t>(chosen.size()) - 1;
  with_known_size(from.run, [&](auto size) {
    char* to = batch + begin * from.bytes();
    for (std::int64_t i = begin; i < end; ++i) {
      const char* example = from.at(chosen[static_cast<std::size_t>(i)]);
      const char* later = from.at(chosen[static_cast<std::size_t>(std::min(i + ahead, last))]);
      for (const std::ptrdiff_t offset : from.offsets) {
        fetch_ahead(later + offset, fetched);
        copy<size()>(to, example + offset, from.run);
        to += from.run;
      }
    }
  });
}

// Copies the examples [begin, end), a few of their runs at a time: what lies beside a run in its
// cache line belongs to the next examples, and is copied while the line is at hand.
void copy_tile(const Examples& from, std::int64_t begin, std::int64_t end, char* rows) {
  constexpr int most = 4;
  const std::ptrdiff_t stride = from.stride;
  const std::int64_t bytes = from.bytes(), runs = from.runs();
  with_known_size(from.run, [&](auto size) {
    const std::int64_t run = size() ? static_cast<std::int64_t>(size()) : from.run;
    for (std::int64_t first = 0; first < runs; first += most) {
      const int wide = static_cast<int>(std::min<std::int64_t>(most, runs - first));
      const char* columns[most];
      for (int r = 0; r < wide; ++r) {
        columns[r] = from.at(begin) + from.offsets[static_cast<std::size_t>(first + r)];
      }
      char* to = rows + begin * bytes + first * run;
      for (std::int64_t i = begin; i < end; ++i, to += bytes) {
        for (int r = 0; r < most; ++r) {
          if (r >= wide) break;
          copy<size()>(to + r * run, columns[r], run);
          columns[r] += stride;
        }
      }
    }
  });
}

// Shares the examples [0, count) out among threads, `part` at a time; members take from what is
// left. `work` copies a part and cannot fail.
template <class Work>
void share_out(std::int64_t count, std::int64_t part, std::int64_t bytes, const Work& work) {
  const Team team(bytes / bytes_an_element);
  if (team.size() == 1) return work(0, count);
  std::atomic<std::int64_t> next{0};
  auto take_parts = [&](int) {
    while (next.load(std::memory_order_relaxed) < count) {
      const std::int64_t begin = next.fetch_add(part, std::memory_order_relaxed);
      if (begin < count) work(begin, std::min(begin + part, count));
    }
  };
  run_together(team.size(), take_parts, team.spin_time());
}

py::array new_rows(const py::array& like, std::int64_t count) {
  std::vector<py::ssize_t> shape(like.shape(), like.shape() + like.ndim());
  shape[0] = count;
  return py::array(like.dtype(), shape);
}

// The indices that a gather reads and those that it fetches ahead, in range for every array. A
// copy: no other thread can change it while the lock is released.
std::vector<std::int64_t> checked(const py::array_t<std::int64_t, py::array::c_style>& order,
                                  std::int64_t start, std::int64_t stop,
                                  const std::vector<Examples>& all) {
  if (order.ndim() != 1 || start < 0 || stop < start || stop > order.size()) {
    throw py::index_error("start and stop must lie within a one-dimensional order");
  }
  const std::int64_t beyond = std::min<std::int64_t>(stop + fetched_ahead, order.size());
  std::vector<std::int64_t> chosen(order.data() + start, order.data() + beyond);
  for (const Examples& examples : all) {
    for (const std::int64_t example : chosen) {
      if (example < 0 || example >= examples.count) {
        throw py::index_error("there is no example " + std::to_string(example) + " among " +
                              std::to_string(examples.count));
      }
    }
  }
  return chosen;
}

}  // namespace

std::int64_t bytes_in_one_piece(const py::array& array) {
  return is_plain(array.dtype()) && array.size() > 0 ? Run(array).bytes : 0;
}

std::vector<py::array> gather(const std::vector<py::array>& arrays,
                              const py::array_t<std::int64_t, py::array::c_style>& order,
                              std::int64_t start, std::int64_t stop) {
  const Pins pins(arrays);
  const std::vector<Examples> all(arrays.begin(), arrays.end());
  const std::vector<std::int64_t> chosen = checked(order, start, stop, all);
  const std::int64_t count = stop - start;
  std::vector<py::array> batches;
  std::vector<char*> data;
  std::int64_t bytes_each = 0;
  for (std::size_t a = 0; a < arrays.size(); ++a) {
    batches.push_back(new_rows(arrays[a], count));
    data.push_back(static_cast<char*>(batches[a].mutable_data()));
    bytes_each += all[a].bytes();
  }
  const std::int64_t bytes = count * bytes_each;
  const std::int64_t part = least_part / std::max<std::int64_t>(bytes_each, 1) + 1;
  without_interpreter(bytes >= least_released, [&] {
    share_out(count, part, bytes, [&](std::int64_t begin, std::int64_t end) {
      for (std::size_t a = 0; a < all.size(); ++a) copy_chosen(all[a], chosen, begin, end, data[a]);
    });
  });
  return batches;
}

py::array copy_in_rows(const py::array& array) {
  constexpr std::int64_t tile = 128;  // examples
  const Pins pins({array});
  const Examples from(array);
  py::array rows = new_rows(array, from.count);
  char* const to = static_cast<char*>(rows.mutable_data());
  const std::int64_t bytes = from.count * from.bytes();
  without_interpreter(bytes >= least_released, [&] {
    share_out((from.count + tile - 1) / tile, 1, bytes, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t t = begin; t < end; ++t) {
        copy_tile(from, t * tile, std::min((t + 1) * tile, from.count), to);
      }
    });
  });
  return rows;
}

}  // namespace gradstep
