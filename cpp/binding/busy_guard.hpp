// Whose turn it is: what changes the same thing is done by one at a time, and who comes in between
// is told so and finds nothing changed. Nobody waits.
#pragma once

#include <atomic>
#include <stdexcept>
#include <thread>

#include "engine/threads.hpp"

namespace gradstep {

// What turns are taken of.
struct Turns {
  // The generation of the process (threads.hpp), 0 where it is nobody's turn, and the thread.
  std::atomic<int> busy{0};
  std::atomic<std::thread::id> holder{};
  // Why a turn is refused, while it lasts; null for the usual reason.
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

class Turn {
 public:
  explicit Turn(Turns& turns, const char* reason = nullptr) : turns_(turns) {
    const int here = process_generation();
    int busy = 0;
    bool taken = turns.busy.compare_exchange_strong(busy, here, std::memory_order_acquire);
    // This process was forked while a thread had its turn that is not here to give it back. What
    // that one has left in another state, for a reason that is told, stays refused.
    const bool left = busy != here && turns.holder.load() != std::this_thread::get_id();
    if (!taken && left && !turns.reason.load()) {
      taken = turns.busy.compare_exchange_strong(busy, here, std::memory_order_acquire);
    }
    if (!taken) turns.refuse();
    turns.holder.store(std::this_thread::get_id(), std::memory_order_relaxed);
    turns.reason.store(reason, std::memory_order_relaxed);
  }
  ~Turn() {
    turns_.reason.store(nullptr, std::memory_order_relaxed);
    turns_.busy.store(0, std::memory_order_release);
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  Turns& turns_;
};

}  // namespace gradstep
