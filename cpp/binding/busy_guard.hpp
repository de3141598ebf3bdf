// One thread at a time uses an optimizer. A second one gets an error at once and finds nothing
// changed; nobody waits.
#pragma once

#include <atomic>
#include <stdexcept>
#include <thread>

#include "engine/threads.hpp"

namespace gradstep {

struct BusyState {
  // The generation (threads.hpp) of the process that uses it, 0 where none does, and the thread.
  std::atomic<int> user{0};
  std::atomic<std::thread::id> thread{};
  // Why others are refused meanwhile; null for the usual reason.
  std::atomic<const char*> reason{nullptr};

  [[noreturn]] void refuse() const {
    const char* because = reason.load(std::memory_order_relaxed);
    throw std::runtime_error(
        because ? because
                : "this optimizer is stepping or being saved in another thread (or in the schedule "
                  "or array that it has just called); give each thread an optimizer of its own, or "
                  "take turns with a lock");
  }
};

class BusyGuard {
 public:
  explicit BusyGuard(BusyState& state, const char* reason = nullptr) : state_(state) {
    const int here = process_generation();
    int user = 0;
    bool acquired = state.user.compare_exchange_strong(user, here, std::memory_order_acquire);
    // A fork may have copied the guard of a thread that does not exist in this process and would
    // never release it. A guard with a reason stays: that thread has left another state behind.
    const bool abandoned = user != here && state.thread.load() != std::this_thread::get_id();
    if (!acquired && abandoned && !state.reason.load()) {
      acquired = state.user.compare_exchange_strong(user, here, std::memory_order_acquire);
    }
    if (!acquired) state.refuse();
    state.thread.store(std::this_thread::get_id(), std::memory_order_relaxed);
    state.reason.store(reason, std::memory_order_relaxed);
  }
  ~BusyGuard() {
    state_.reason.store(nullptr, std::memory_order_relaxed);
    state_.user.store(0, std::memory_order_release);
  }
  BusyGuard(const BusyGuard&) = delete;
  BusyGuard& operator=(const BusyGuard&) = delete;

 private:
  BusyState& state_;
};

}  // namespace gradstep
