// Averages of a series; see series.hpp.
#include "series.hpp"

#include <string>
#include <vector>

#include "arrays.hpp"
#include "dispatch.hpp"
#include "floating_point.hpp"
#include "hyperparameters.hpp"
#include "powers.hpp"

namespace gradstep {

void ewa_series(const py::array& values, const py::array& averages, py::handle beta,
                bool bias_correction) {
  Hyperparameters h;
  h.beta = checked_number(*find_number("beta"), beta);
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
  const py::gil_scoped_release release;
  active_table().series[views[0].dtype](h, views[1].geometry.data, shape.data, rows,
                                        views[0].size / rows, corrections.data(),
                                        static_cast<std::int64_t>(corrections.size()));
}

}  // namespace gradstep
