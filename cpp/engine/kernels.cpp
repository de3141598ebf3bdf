// The one loop over a run of elements. This file is compiled once per instruction-set level, with
// that level's flags, into the namespace GRADSTEP_LEVEL, and exports one constant table.
// No pybind11, no standard library, no formula: anything that could leave a weak symbol or a static
// initialiser here would be compiled wide and might run on a processor that cannot.
#include "engine/kernels.hpp"

namespace gradstep {
namespace GRADSTEP_LEVEL {
namespace {

template <int... I>
struct Indices {};
template <int N, int... I>
struct CountTo : CountTo<N - 1, N - 1, I...> {};
template <int... I>
struct CountTo<0, I...> {
  using Type = Indices<I...>;
};

constexpr int64_t long_run = 2048;  // elements
constexpr uintptr_t cache_line = 64;

// How many state streams a rule has, read off its `update`.
template <class R, class T, class... State>
constexpr int arity(void (R::*)(T&, T, State&...) const) {
  return sizeof...(State);
}

template <class R, class T, Decay decay>
struct Loop {
  R rule;
  T scale;
  T decay_factor;  // λ where coupled, 1 − αλ where decoupled

  static void prepare(const Hyperparameters& h, double scale, Constants* constants) {
    static_assert(sizeof(Loop) <= sizeof(Constants), "make Constants larger");
    const double factor = decay == decoupled_decay ? 1.0 - h.lr * h.weight_decay : h.weight_decay;
    *reinterpret_cast<Loop*>(constants) = Loop{R(h), T(scale), T(factor)};
  }

  static void run(const Constants* constants, void* const* streams, int64_t count) {
    const Loop loop = *reinterpret_cast<const Loop*>(constants);
    // A long run is entered by a short one, up to where the parameter meets a border of cache
    // lines: vectors that lie across two lines cost two accesses.
    int64_t begin = 0, end = count;
    if (count >= long_run) {
      const auto past = reinterpret_cast<uintptr_t>(streams[0]) % cache_line;
      if (past != 0) end = static_cast<int64_t>((cache_line - past) / sizeof(T));
    }
    for (; begin < count; begin = end, end = count) {
      loop.over(streams, begin, end - begin, typename CountTo<arity(&R::update)>::Type{});
    }
  }

  template <int... I>
  GRADSTEP_INLINE void over(void* const* streams, int64_t begin, int64_t count,
                            Indices<I...>) const {
    elements(count, static_cast<T*>(streams[0]) + begin, static_cast<const T*>(streams[1]) + begin,
             static_cast<T*>(streams[2 + I]) + begin...);
  }

  template <class... State>
  GRADSTEP_INLINE void elements(int64_t count, T* GRADSTEP_RESTRICT w, const T* GRADSTEP_RESTRICT g,
                                State* GRADSTEP_RESTRICT... state) const {
    using N = Numeric<T>;
    GRADSTEP_SIMD
    for (int64_t i = 0; i < count; ++i) {
      auto wi = N::load(w[i]);
      auto gi = N::load(g[i]) * scale;
      if constexpr (decay == coupled_decay) gi += decay_factor * wi;
      if constexpr (decay == decoupled_decay) wi *= decay_factor;
      rule.update(wi, gi, state[i]...);
      w[i] = N::store(wi);
    }
  }
};

// The average is a recurrence down the rows; within a row the columns are independent.
template <class T>
void ewa_series(const Hyperparameters& h, const void* values, void* averages, int64_t rows,
                int64_t columns, const double* corrections, int64_t corrected) {
  const EWA<T> rule(h);
  const T* GRADSTEP_RESTRICT x = static_cast<const T*>(values);
  T* average = static_cast<T*>(averages);
  if (columns == 1) {  // a plain series: the running value stays in a register
    T v = 0;
    for (int64_t i = 0; i < rows; ++i) {
      rule.update(v, x[i]);
      average[i] = i < corrected ? v / T(corrections[i]) : v;
    }
    return;
  }
  // Without correction each row continues the one above; dividing comes last, when all are done.
  for (int64_t i = 0; i < rows; ++i, x += columns) {
    T* GRADSTEP_RESTRICT row = average + i * columns;
    const T* above = i > 0 ? row - columns : nullptr;
    GRADSTEP_SIMD
    for (int64_t j = 0; j < columns; ++j) {
      T v = above ? above[j] : T(0);
      rule.update(v, x[j]);
      row[j] = v;
    }
  }
  for (int64_t i = 0; i < corrected; ++i) {
    T* row = average + i * columns;
    const T correction = T(corrections[i]);
    GRADSTEP_SIMD
    for (int64_t j = 0; j < columns; ++j) row[j] /= correction;
  }
}

// Each lane sums every 16th element and the lanes are added pairwise, so that a level may take as
// many lanes at once as its vectors hold, and all have the same bits.
template <class T>
double sum_of_squares(const void* gradient, int64_t count, double scale, double unit) {
  constexpr int lanes = 16;
  const T* GRADSTEP_RESTRICT g = static_cast<const T*>(gradient);
  const T factor = T(scale);
  double sums[lanes] = {};
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    GRADSTEP_SIMD
    for (int lane = 0; lane < lanes; ++lane) {
      const double x = unit * static_cast<double>(Numeric<T>::load(g[i + lane]) * factor);
      sums[lane] += x * x;
    }
  }
  for (int lane = 0; i < count; ++i, ++lane) {
    const double x = unit * static_cast<double>(Numeric<T>::load(g[i]) * factor);
    sums[lane] += x * x;
  }
  for (int half = lanes / 2; half > 0; half /= 2) {
    for (int lane = 0; lane < half; ++lane) sums[lane] += sums[lane + half];
  }
  return sums[0];
}

template <class T>
void clip(const void* gradient, void* clipped, int64_t count, double first, double second,
          double bound) {
  const T* g = static_cast<const T*>(gradient);
  T* out = static_cast<T*>(clipped);
  const T a = T(first), b = T(second), most = T(bound);
  GRADSTEP_SIMD
  for (int64_t i = 0; i < count; ++i) {
    const T x = Numeric<T>::load(g[i]) * a * b;
    out[i] = Numeric<T>::store(x > most ? most : x < -most ? -most : x);
  }
}

#define GRADSTEP_KERNEL(R, T, decay) {&Loop<R<T>, T, decay>::prepare, &Loop<R<T>, T, decay>::run}
#define GRADSTEP_DECAYS(R, T)                                             \
  {GRADSTEP_KERNEL(R, T, no_decay), GRADSTEP_KERNEL(R, T, coupled_decay), \
   GRADSTEP_KERNEL(R, T, decoupled_decay)}
#define GRADSTEP_ROW(name, R, ...) \
  {name, {__VA_ARGS__}, {GRADSTEP_DECAYS(R, float), GRADSTEP_DECAYS(R, double)}},

constexpr Rule rules[] = {GRADSTEP_RULES(GRADSTEP_ROW)};

}  // namespace

extern const KernelTable table;
constexpr KernelTable table = {
    GRADSTEP_ISA,
    rules,
    sizeof(rules) / sizeof(rules[0]),
    {&ewa_series<float>, &ewa_series<double>},
    {{&sum_of_squares<float>, &clip<float>}, {&sum_of_squares<double>, &clip<double>}}};

}  // namespace GRADSTEP_LEVEL
}  // namespace gradstep
