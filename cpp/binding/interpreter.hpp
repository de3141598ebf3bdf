// Work without the interpreter's lock, and the way back to it. Not here: what has to be kept in
// place meanwhile (Pins, arrays.hpp).
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <thread>

namespace gradstep {

// Free-threaded builds have no lock to let go of; others then run at any time.
#if defined(Py_GIL_DISABLED)
constexpr bool interpreter_has_lock = false;
#else
constexpr bool interpreter_has_lock = true;
#endif

// Lets go of the interpreter's lock while it lives. pybind11's own guard ends the process where the
// interpreter has shut down meanwhile, as it does while daemon threads still run.
class WithoutInterpreter {
 public:
  WithoutInterpreter() : thread_(PyEval_SaveThread()) {}
  ~WithoutInterpreter() { come_back(thread_); }
  WithoutInterpreter(const WithoutInterpreter&) = delete;
  WithoutInterpreter& operator=(const WithoutInterpreter&) = delete;

 private:
  // An interpreter that shuts down ends a thread that comes back to it: glibc unwinds its stack,
  // and what it holds of Python's would be let go without the lock. So it stays where it is, as
  // Python 3.14 has it stay by itself, until the process ends.
  struct StaysUnlessBack {
    bool back = false;
    ~StaysUnlessBack() {
      while (!back) std::this_thread::sleep_for(std::chrono::hours(1));
    }
  };
  static void come_back(PyThreadState* thread) {
    StaysUnlessBack guard;
    PyEval_RestoreThread(thread);
    guard.back = true;
  }

  PyThreadState* thread_;
};

// Does `act`, without the interpreter where it takes long enough for letting go of it to pay.
template <class Act>
void without_interpreter(bool pays, const Act& act) {
  if (!pays) return act();
  const WithoutInterpreter unlocked;
  act();
}

}  // namespace gradstep
