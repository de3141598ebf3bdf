// Finding an element that is not finite; see not_finite.hpp.
#include "binding/not_finite.hpp"

#include <cmath>
#include <cstring>

namespace gradstep {
namespace {

double product(float x, double scale) { return x * static_cast<float>(scale); }
double product(double x, double scale) { return x * scale; }

const char* element_at(const Geometry& g, std::int64_t position) {
  const char* at = g.data;
  for (int axis = g.ndim; axis-- > 0; position /= g.shape[axis]) {
    at += position % g.shape[axis] * g.strides[axis];
  }
  return at;
}

std::string number_text(double x) { return py::cast<std::string>(py::repr(py::float_(x))); }

template <class T>
NotFinite find(const Geometry& g, int parameter, std::int64_t from, double scale) {
  const std::int64_t inner = g.ndim > 0 ? g.shape[g.ndim - 1] : 1;
  const std::ptrdiff_t stride = g.ndim > 0 ? g.strides[g.ndim - 1] : 0;
  for (std::int64_t row = from / inner;; ++row) {
    const char* at = element_at(g, row * inner);
    for (std::int64_t i = 0; i < inner; ++i) {
      T x;
      std::memcpy(&x, at + i * stride, sizeof x);
      if (std::isfinite(product(x, scale))) continue;
      std::string what = "is " + number_text(x);
      if (std::isfinite(x)) {
        what += ", times the scale " + number_text(scale) + " " + number_text(product(x, scale));
      }
      return {parameter, row * inner + i, std::move(what)};
    }
  }
}

}  // namespace

NotFinite find_not_finite(const View& gradient, int parameter, std::int64_t from, double scale) {
  return gradient.dtype == float32 ? find<float>(gradient.geometry, parameter, from, scale)
                                   : find<double>(gradient.geometry, parameter, from, scale);
}

std::string describe(const NotFinite& found, const View& gradient, const Label& label) {
  const Geometry& g = gradient.geometry;
  std::string where;
  std::int64_t rest = found.position;
  for (int axis = g.ndim; axis-- > 0; rest /= g.shape[axis]) {
    where.insert(0, std::to_string(rest % g.shape[axis]) + (where.empty() ? "" : ", "));
  }
  const std::string text = label.text() + " " + found.what;
  return where.empty() ? text : text + ", at [" + where + "]";
}

}  // namespace gradstep
