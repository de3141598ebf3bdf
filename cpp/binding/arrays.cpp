// Judging arrays; see arrays.hpp.
#include "binding/arrays.hpp"

#include <algorithm>
#include <cstdlib>

namespace gradstep {
namespace {

using Api = py::detail::npy_api;
using Flag = Api::constants;

std::string repr_of_type(py::handle object) {
  return py::str(py::type::handle_of(object).attr("__name__"));
}

std::string shape_text(const Geometry& g) {
  std::string text = "(";
  for (int i = 0; i < g.ndim; ++i) {
    text += std::to_string(g.shape[i]) + (i + 1 < g.ndim ? ", " : g.ndim == 1 ? "," : "");
  }
  return text + ")";
}

std::string dtype_text(py::handle array) { return py::str(array.attr("dtype")); }

const char* const dtype_names[dtype_count] = {"float32", "float64"};

[[noreturn]] void not_an_array(py::handle object, const Label& label, const std::string& fix) {
  throw py::type_error(label.text() + " must be a NumPy array or export its memory as one, got " +
                       repr_of_type(object) + "; " + fix);
}

// Unlike py::hasattr, does not swallow an interruption or a lack of memory that comes while a
// property of that name runs.
bool has(py::handle object, const char* name) {
  const auto found = py::reinterpret_steal<py::object>(PyObject_GetAttrString(object.ptr(), name));
  if (found) return true;
  if (!PyErr_ExceptionMatches(PyExc_Exception) || PyErr_ExceptionMatches(PyExc_MemoryError)) {
    throw py::error_already_set();
  }
  PyErr_Clear();
  return false;
}

// Masks and the like would be dropped without a word.
void require_plain(py::handle array, const Label& label) {
  if (has(array, "mask") && has(array, "fill_value")) {
    not_an_array(array, label, "its mask would be ignored: pass .filled(...) or .data");
  }
}

// What to do about an object that is not an array; advice that works.
const char* instead_of(py::handle object, const Label& label) {
  const bool gradient = label.is_only_read();
  if (object.is_none()) {
    return gradient ? "where there is no gradient, pass np.zeros_like(parameter), or leave the "
                      "parameter out when the optimizer is made"
                    : "leave it out";
  }
  if (has(object, "toarray")) {
    return gradient ? "make it dense with .toarray()"
                    : "keep it dense: make it an array with .toarray() before training";
  }
  if (has(object, "named_parameters")) {
    return "pass its arrays: {name: p.detach() for name, p in model.named_parameters()}";
  }
  if (PyFloat_Check(object.ptr()) || PyLong_Check(object.ptr())) {
    return gradient ? "pass an array of its parameter's shape and dtype, such as "
                      "np.full_like(parameter, value)"
                    : "a number cannot be updated in place: keep it as np.array(value)";
  }
  if (py::isinstance<py::list>(object) || py::isinstance<py::tuple>(object)) {
    return "pass np.array(..., dtype)";
  }
  if (py::isinstance<py::str>(object)) return "text is not an array";
  if (has(object, "__iter__")) {
    return "pass the dict or the list that the arrays are in, or list(...) of it";
  }
  return "pass the arrays that it holds, in a dict or a list";
}

// What to do about an array of another shape than its parameter's; advice that works.
std::string reshaping(const Label& label, const Geometry& a, const Geometry& b) {
  if (!label.is_only_read()) return "; make it with np.zeros_like(parameter)";
  const std::vector<py::ssize_t> given(a.shape, a.shape + a.ndim),
      wanted(b.shape, b.shape + b.ndim);
  const auto without_ones = [](std::vector<py::ssize_t> shape) {
    shape.erase(std::remove(shape.begin(), shape.end(), 1), shape.end());
    return shape;
  };
  if (without_ones(given) == without_ones(wanted)) {
    return "; only axes of length 1 differ: pass .reshape(" + shape_text(b) + ")";
  }
  if (std::equal(given.begin(), given.end(), wanted.rbegin(), wanted.rend())) {
    return "; it lies the other way round: pass its transpose, .T";
  }
  // One gradient for each example.
  if (given.size() == wanted.size() + 1) {
    if (std::equal(wanted.begin(), wanted.end(), given.begin() + 1)) {
      return "; if its first axis counts examples, pass .mean(axis=0)";
    }
    if (std::equal(wanted.begin(), wanted.end(), given.begin())) {
      return "; if its last axis counts examples, pass .mean(axis=-1)";
    }
  }
  if (label.role == Label::value) return "; an average takes values of one shape";
  return "; a gradient has the shape of its parameter: check which one it belongs to, and how it "
         "is "
         "computed";
}

}  // namespace

bool is_exactly_ndarray(py::handle object) {
  return Py_TYPE(object.ptr()) == Api::get().PyArray_Type_;
}

std::string Label::text() const {
  const std::string quoted = "'" + *name + "'";
  switch (role) {
    case parameter:
      return "parameter " + quoted;
    case gradient:
      return "gradient of " + quoted;
    case average:
      return "average " + quoted;
    case value:
      return "value for average " + quoted;
    case plain:
      return *name;
    case state:
      break;
  }
  return "state '" + std::string(state_name) + "' of " + quoted;
}

py::array as_array(py::handle object, const Label& label) {
  if (py::isinstance<py::array>(object)) {
    if (!is_exactly_ndarray(object)) require_plain(object, label);
    return py::reinterpret_borrow<py::array>(object);
  }
  const py::module_ numpy = py::module_::import("numpy");
  const bool scalar = py::isinstance(object, numpy.attr("generic"));
  // A NumPy scalar is what reducing a 0-d array gives. It can be read, but has no memory to update.
  if (scalar && !label.is_only_read() && label.role != Label::plain) {
    not_an_array(object, label, "a scalar cannot be updated in place: use np.array(value)");
  }
  const bool exports = scalar || PyObject_CheckBuffer(object.ptr()) ||
                       has(object, "__array_interface__") || has(object, "__array_struct__");
  const auto as_numpy = [&] { return py::array(numpy.attr("asarray")(object)); };
  try {
    if (exports) return as_numpy();
    if (has(object, "__array__")) {
      // It may hand out its memory or make a copy: two copies at a time are not in one place.
      const py::array first = as_numpy(), second = as_numpy();
      if (first.data() == second.data()) return first;
    }
    if (has(object, "__dlpack__")) return numpy.attr("from_dlpack")(object);
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_Exception) || error.matches(PyExc_MemoryError)) throw;
    not_an_array(object, label,
                 std::string("which NumPy could not read without a copy (") +
                     std::string(py::str(error.value())) + "); pass a detached CPU array");
  }
  not_an_array(object, label, instead_of(object, label));
}

bool is_same_memory(py::handle object, const py::array& array, const std::string& name) {
  try {
    const View a = view_of(as_array(object, {Label::parameter, &name}), {Label::parameter, &name});
    const View b = view_of(array, {Label::parameter, &name});
    const Geometry &g = a.geometry, &h = b.geometry;
    bool same = a.dtype == b.dtype && g.data == h.data && g.ndim == h.ndim;
    for (int i = 0; i < g.ndim && same; ++i) {
      same = g.shape[i] == h.shape[i] && (g.strides[i] == h.strides[i] || g.shape[i] < 2);
    }
    return same;
  } catch (const py::type_error&) {  // not an array, or one of another dtype
    return false;
  }
}

View view_of(py::handle array, const Label& label) {
  const auto* proxy = py::detail::array_proxy(array.ptr());
  const auto* descriptor = py::detail::array_descriptor_proxy(proxy->descr);
  const char order = descriptor->byteorder;
  const bool native = order == '=' || order == '|' || order == (PY_BIG_ENDIAN ? '>' : '<');
  DType dtype = float32;
  if (native && descriptor->type_num == Api::NPY_DOUBLE_) {
    dtype = float64;
  } else if (!native || descriptor->type_num != Api::NPY_FLOAT_) {
    throw py::type_error(label.text() + " must be native float32 or float64, got dtype " +
                         dtype_text(array) +
                         "; convert it once with .astype(np.float32) or .astype(np.float64)");
  }
  return {memory_of(array, itemsize_of[dtype]), dtype, proxy->flags};
}

View writable_view_of(py::handle array, const Label& label) {
  const View view = view_of(array, label);
  if (!view.has(Flag::NPY_ARRAY_WRITEABLE_)) {
    throw py::value_error(label.text() +
                          " must be writable, got a read-only array; it is updated in place, so "
                          "pass a writable one, for instance a copy");
  }
  return view;
}

void require_like(const View& view, const Label& label, const View& model, const char* like) {
  if (view.dtype != model.dtype) {
    const std::string wanted = dtype_names[model.dtype];
    throw py::type_error(label.text() + " must have dtype " + wanted + " " + like + ", got " +
                         dtype_names[view.dtype] + "; convert it with .astype(np." + wanted + ")");
  }
  const Geometry &a = view.geometry, &b = model.geometry;
  if (a.ndim != b.ndim || !std::equal(a.shape, a.shape + a.ndim, b.shape)) {
    throw py::value_error(label.text() + " must have shape " + shape_text(b) + " " + like +
                          ", got " + shape_text(a) + reshaping(label, a, b));
  }
}

Pins::Pins(const std::vector<py::array>& arrays) {
  for (const py::array& array : arrays) add(array);
}

Pins::~Pins() { release(); }

void Pins::add(py::handle array) {
  // Whose memory it is: views lead there, and what else exports memory keeps it by itself.
  PyObject* owner = array.ptr();
  while (PyObject* base = py::detail::array_proxy(owner)->base) {
    if (!py::isinstance<py::array>(base)) return;
    owner = base;
  }
#if !defined(Py_GIL_DISABLED)
  int& flags = py::detail::array_proxy(owner)->flags;
  if (flags & Flag::NPY_ARRAY_OWNDATA_) {
    owners_.push_back(owner);
    flags &= ~Flag::NPY_ARRAY_OWNDATA_;
    return;
  }
#endif
  references_.push_back(py::reinterpret_steal<py::object>(PyWeakref_NewRef(owner, nullptr)));
  if (!references_.back()) throw py::error_already_set();
}

void Pins::release() {
  for (PyObject* owner : owners_) {
    auto* proxy = py::detail::array_proxy(owner);
    if (!proxy->base) proxy->flags |= Flag::NPY_ARRAY_OWNDATA_;  // it was given no other memory
  }
  owners_.clear();
  references_.clear();
}

Orders dense_orders(const View& view) {
  if (!view.has(Flag::NPY_ARRAY_ALIGNED_)) return no_order;
  return static_cast<Orders>((view.has(Flag::NPY_ARRAY_C_CONTIGUOUS_) ? c_order : no_order) |
                             (view.has(Flag::NPY_ARRAY_F_CONTIGUOUS_) ? fortran_order : no_order));
}

char* usual_gradient(PyObject* array, PyObject* parameter, Orders orders) {
  // An order is written as NumPy's flag for it.
  static_assert(int{Flag::NPY_ARRAY_C_CONTIGUOUS_} == int{c_order} &&
                int{Flag::NPY_ARRAY_F_CONTIGUOUS_} == int{fortran_order});
  if (!is_exactly_ndarray(array)) return nullptr;
  const auto* g = py::detail::array_proxy(array);
  const auto* w = py::detail::array_proxy(parameter);
  if (g->descr != w->descr || g->nd != w->nd || !(g->flags & orders) ||
      !(g->flags & Flag::NPY_ARRAY_ALIGNED_)) {
    return nullptr;
  }
  for (int i = 0; i < g->nd; ++i) {
    if (g->dimensions[i] != w->dimensions[i]) return nullptr;
  }
  return g->data;
}

}  // namespace gradstep
