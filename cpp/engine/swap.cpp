// Swapping places; see swap.hpp.
#include "engine/swap.hpp"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "engine/floating_point.hpp"
#include "engine/sweep.hpp"

namespace gradstep {
namespace {

template <class T>
struct Bits;
template <>
struct Bits<float> {
  using Type = std::uint32_t;
};
template <>
struct Bits<double> {
  using Type = std::uint64_t;
};

template <class T>
auto bits_of(T x) {
  typename Bits<T>::Type bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

template <class T>
T number_of(typename Bits<T>::Type bits) {
  T x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// How many units in the last place an average is away from what multiplying its quotient back
// gives: -1, 0 or 1, since a quotient is within half a unit. Else it overflowed.
template <class T>
typename Bits<T>::Type difference(T average, T correction) {
  if (average != average) return 0;
  return bits_of(average) - bits_of(average / correction * correction);
}

// Calls `visit` with each element and its two bits, four of them to a byte of `codes`; what it
// returns are the bits from then on.
template <class Visit>
void each_code(std::uint8_t* codes, std::int64_t begin, std::int64_t count, Visit visit) {
  codes += begin / 4;  // a tile begins with a byte
  for (std::int64_t i = 0; i < count; i += 4, ++codes) {
    const int some = static_cast<int>(std::min<std::int64_t>(4, count - i));
    unsigned byte = 0;
    for (int k = 0; k < some; ++k) byte |= visit(i + k, *codes >> (2 * k) & 3U) << (2 * k);
    *codes = static_cast<std::uint8_t>(byte);
  }
}

struct PutIn {
  template <class T>
  static void swap(T* w, T* average, T correction, std::uint8_t* codes, std::int64_t begin,
                   std::int64_t count) {
    each_code(codes, begin, count, [&](std::int64_t i, unsigned) {
      const auto units = static_cast<unsigned>(difference(average[i], correction) & 3U);
      const T parameter = w[i];
      w[i] = average[i] / correction;
      average[i] = parameter;
      return units;
    });
  }
};

struct TakeOut {
  template <class T>
  static void swap(T* w, T* average, T correction, std::uint8_t* codes, std::int64_t begin,
                   std::int64_t count) {
    using Unsigned = typename Bits<T>::Type;
    each_code(codes, begin, count, [&](std::int64_t i, unsigned code) {
      const Unsigned units = code == 3U ? static_cast<Unsigned>(-1) : code;
      const T product = w[i] * correction;
      w[i] = average[i];
      average[i] = number_of<T>(bits_of(product) + units);
      return code;
    });
  }
};

constexpr int widest = 8;

}  // namespace

void Swap::add(const Geometry& parameter, const Geometry& average, DType dtype, std::int64_t count,
               double correction) {
  const double rounded = dtype == float32 ? static_cast<float>(correction) : correction;
  const std::int64_t coded = rounded == 1.0 ? 0 : (count + 3) / 4;
  pairs_.push_back({StridedRun({parameter, average}, itemsize_of[dtype]), dtype, count, correction,
                    std::vector<std::uint8_t>(static_cast<std::size_t>(coded))});
}

// Calls `visit` with the elements of each tile, in place or in buffers.
template <class Visit>
void Swap::each_tile(const Pair& pair, bool writes, Visit visit) {
  const DefaultFloatingPointMode mode;
  alignas(64) char buffers[2][tile * widest];
  for (std::int64_t begin = 0; begin < pair.count; begin += tile) {
    const std::int64_t count = std::min(tile, pair.count - begin);
    char* at[2];
    for (int a = 0; a < 2; ++a) {
      at[a] = pair.run.dense(a);
      if (at[a]) {
        at[a] += begin * itemsize_of[pair.dtype];
      } else {
        pair.run.gather(a, begin, count, at[a] = buffers[a]);
      }
    }
    visit(at[0], at[1], begin, count);
    for (int a = 0; a < 2; ++a) {
      if (writes && at[a] == buffers[a]) pair.run.scatter(a, begin, count, buffers[a]);
    }
  }
}

int Swap::overflowing() const {
  for (const Pair& pair : pairs_) {
    bool found = false;
    const auto look = [&](auto* averages, std::int64_t count) {
      using T = std::remove_pointer_t<decltype(averages)>;
      for (std::int64_t i = 0; i < count; ++i) {
        found |= difference(averages[i], static_cast<T>(pair.correction)) + 1 > 2;
      }
    };
    if (pair.codes.empty()) continue;
    each_tile(pair, false, [&](char*, char* averages, std::int64_t, std::int64_t count) {
      pair.dtype == float32 ? look(reinterpret_cast<float*>(averages), count)
                            : look(reinterpret_cast<double*>(averages), count);
    });
    if (found) return static_cast<int>(&pair - pairs_.data());
  }
  return -1;
}

template <class Way>
void Swap::go() noexcept {
  for (Pair& pair : pairs_) {
    std::uint8_t* codes = pair.codes.data();
    each_tile(pair, true, [&](char* w, char* average, std::int64_t begin, std::int64_t count) {
      const auto swap = [&](auto zero) {
        using T = decltype(zero);
        Way::swap(reinterpret_cast<T*>(w), reinterpret_cast<T*>(average),
                  static_cast<T>(pair.correction), codes, begin, count);
      };
      if (pair.codes.empty()) {
        std::swap_ranges(w, w + count * itemsize_of[pair.dtype], average);
      } else {
        pair.dtype == float32 ? swap(0.0F) : swap(0.0);
      }
    });
  }
}

void Swap::put_in() noexcept { go<PutIn>(); }
void Swap::take_out() noexcept { go<TakeOut>(); }

}  // namespace gradstep
