// Work without the interpreter's lock, and the way back to it. Not here: keeping arrays in place
// meanwhile (Pins, arrays.hpp).
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <thread>

namespace gradstep {

// Free-threaded builds have no lock to release; other threads run at any time.
#if defined(Py_GIL_DISABLED)
constexpr bool interpreter_has_lock = false;
#else
constexpr bool interpreter_has_lock = true;
#endif

// Releases the interpreter's lock while it lives. pybind11's own guard ends the process where the
// interpreter has shut down meanwhile, as it does while daemon threads still run.
class WithoutInterpreter {
 public:
  WithoutInterpreter() : thread_(PyEval_SaveThread()) {}
  ~WithoutInterpreter() { restore(thread_); }
  WithoutInterpreter(const WithoutInterpreter&) = delete;
  WithoutInterpreter& operator=(const WithoutInterpreter&) = delete;

 private:
  // An interpreter that shuts down ends a thread that wants the lock: glibc unwinds its stack, and
  // Python objects on it would be released without the lock. So the thread sleeps until the process
  // ends, as Python 3.14 makes it do by itself.
  struct SleepUnlessRestored {
    bool restored = false;
    ~SleepUnlessRestored() {
      while (!restored) std::this_thread::sleep_for(std::chrono::hours(1));
    }
  };
  static void restore(PyThreadState* thread) {
    SleepUnlessRestored guard;
    PyEval_RestoreThread(thread);
    guard.restored = true;
  }

  PyThreadState* thread_;
};

// Calls `act`, without the interpreter where that pays: where it takes long enough.
template <class Act>
void without_interpreter(bool pays, const Act& act) {
  if (!pays) return act();
  const WithoutInterpreter unlocked;
  act();
}

}  // namespace gradstep
