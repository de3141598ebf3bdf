// A NumPy object -> a checked piece of memory. Errors about dtypes, shapes and layouts are raised
// here, before any byte has changed. Overlap: overlap.hpp, written_memory.hpp.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>
#include <vector>

#include "binding/overlap.hpp"
#include "engine/kernels.hpp"

namespace gradstep {

namespace py = pybind11;

// What an array is to a step; made into words only when there is something to complain about.
struct Label {
  // To an average, its parameter is the average and its gradient a value. A plain one is called
  // just by its name.
  enum Role { parameter, gradient, state, average, value, plain } role;
  const std::string* name;      // of the parameter: "W1"
  const char* state_name = "";  // "m", where the role is state
  std::string text() const;     // "parameter 'W1'", "gradient of 'W1'", "state 'm' of 'W1'"
  bool is_only_read() const { return role == gradient || role == value; }
};

// An array as a step sees it.
struct View : Memory {
  DType dtype = float32;
  int flags = 0;

  bool has(int wanted) const { return (flags & wanted) == wanted; }
};

bool is_exactly_ndarray(py::handle object);

// The array behind `object`, which may be anything that exports its memory without a copy.
// TypeError where it is not.
py::array as_array(py::handle object, const Label& label);

// Whether an object that may be anything shows the memory of `array` as that does.
bool is_same_memory(py::handle object, const py::array& array, const std::string& name);

// TypeError where the dtype is not served.
View view_of(py::handle array, const Label& label);

// A View that may be written to: ValueError where it is read-only.
View writable_view_of(py::handle array, const Label& label);

// TypeError or ValueError where `view` has not the dtype and shape of `model`, its parameter for
// one.
void require_like(const View& view, const Label& label, const View& model,
                  const char* like = "like its parameter");

// In which memory orders an array is one dense, aligned run; one with a single axis is so in both.
enum Orders : int { no_order = 0, c_order = 1, fortran_order = 2, both_orders = 3 };
Orders dense_orders(const View& view);

// The memory of `array` where it is the usual gradient of `parameter`: plainly a NumPy array, of
// the same dtype and shape, dense in one of `orders`. Null where it takes a closer look.
char* usual_gradient(PyObject* array, PyObject* parameter, Orders orders);

// Keeps the memory of arrays where it is. Without the interpreter's lock others may run anything,
// `resize(..., refcheck=False)` for one, and a reference does not keep that from moving the memory.
// Made, filled and destroyed with the lock. Adding may start a collection, and so code of the
// user's: it comes before a look at where arrays lie.
class Pins {
 public:
  Pins() = default;
  explicit Pins(const std::vector<py::array>& arrays);
  ~Pins();
  Pins(const Pins&) = delete;
  Pins& operator=(const Pins&) = delete;

  void add(py::handle array);
  void release();

 private:
  // NumPy resizes no array that does not own its memory, so owners are not, for as long.
  std::vector<PyObject*> owners_;
  // Nor one that has weak references, which takes longer to say: for those that do not own their
  // memory because of somebody else's pins, and where there is no lock.
  std::vector<py::object> references_;
};

}  // namespace gradstep
