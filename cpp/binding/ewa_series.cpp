// Averages of a series; see ewa_series.hpp.
#include "binding/ewa_series.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "binding/arrays.hpp"
#include "binding/hyperparameters.hpp"
#include "binding/interpreter.hpp"
#include "engine/dispatch.hpp"
#include "engine/floating_point.hpp"
#include "engine/pool.hpp"
#include "engine/powers.hpp"
#include "engine/threads.hpp"

namespace gradstep {
namespace {

#if defined(__linux__) && !defined(MADV_POPULATE_WRITE)
#define MADV_POPULATE_WRITE 23  // Linux 5.14; an older one refuses, and nothing is lost
#endif

// New memory gets its pages when it is first written, which takes half as long as the averages do.
// They wait for one another and so keep one thread; a second one asks for the pages ahead of it.
// What is in them stays as it is.
struct PagesAhead {
  static constexpr std::int64_t piece = 1 << 21;  // a huge page

  char* data;
  std::int64_t bytes;
  std::atomic<std::int64_t> next;  // where the next piece begins, behind `data`

  PagesAhead(char* result, std::int64_t size)
      : data(result),
        bytes(size),
        next((piece - reinterpret_cast<std::intptr_t>(result) % piece) % piece) {}
  void stop() { next.store(bytes); }
  void ask() {
#if defined(__linux__)
    while (next.load() + piece <= bytes) {
      const std::int64_t begin = next.fetch_add(piece);
      if (begin + piece > bytes) return;
      if (madvise(data + begin, piece, MADV_POPULATE_WRITE) != 0) return;
    }
#endif
  }
};

}  // namespace

void ewa_series(const py::array& values, const py::array& averages, py::handle beta,
                bool bias_correction) {
  Hyperparameters h;
  h.beta = checked_number(Range::unit_interval, "beta", beta);
  const Pins pins({values, averages});
  const std::string name = "values";
  const Label read{Label::gradient, &name}, written{Label::parameter, &name};
  const View views[] = {writable_view_of(averages, written), view_of(values, read)};
  require_like(views[1], read, views[0]);
  const Geometry& shape = views[0].geometry;
  using Flag = py::detail::npy_api;
  constexpr int wanted = Flag::NPY_ARRAY_C_CONTIGUOUS_ | Flag::NPY_ARRAY_ALIGNED_;
  if (shape.ndim < 1 || !views[0].has(wanted) || !views[1].has(wanted)) {
    throw py::value_error("a series and its averages must be C-contiguous, with at least one axis");
  }
  if (views[0].size == 0) return;
  const std::int64_t rows = shape.shape[0];

  const DefaultFloatingPointMode mode;
  // 1 − βᵗ soon is 1 and stays it: from there on there is nothing to correct.
  std::vector<double> corrections;
  Powers powers;
  for (std::int64_t t = 1; bias_correction && t <= rows; ++t) {
    const double correction = powers.one_minus(h.beta, t);
    if (correction == 1.0) break;
    corrections.push_back(correction);
  }
  const WithoutInterpreter unlocked;
  PagesAhead pages(shape.data, views[0].size * itemsize_of[views[0].dtype]);
  auto work = [&](int member) {
    if (member > 0) return pages.ask();
    active_table().ewa_series[views[0].dtype](h, views[1].geometry.data, shape.data, rows,
                                              views[0].size / rows, corrections.data(),
                                              static_cast<std::int64_t>(corrections.size()));
    pages.stop();
  };
  const Team team(views[0].size);
  run_together(std::min(team.size(), 2), work, team.spin_time());
}

}  // namespace gradstep
