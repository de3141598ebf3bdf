// What the last step came to: its norm, what it was refused for, and how many were refused. Other
// threads may read it while one steps.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

namespace gradstep {

class Outcome {
 public:
  std::int64_t skipped() const { return skipped_.load(std::memory_order_relaxed); }
  void set_skipped(std::int64_t steps) { skipped_.store(steps, std::memory_order_relaxed); }
  // Of the last step, where it was measured.
  std::optional<double> norm();
  // What was not finite in the last step that was refused for it.
  std::optional<std::string> not_finite();

  void note_norm(std::optional<double> norm) {
    if (norm != norm_) set_norm(norm);
  }
  // A step was refused because of what is `not_finite`.
  void note_refused(std::string not_finite, std::optional<double> norm);

 private:
  void set_norm(std::optional<double> norm);

  std::atomic<std::int64_t> skipped_{0};
  std::mutex mutex_;  // of what follows, which is written by whoever has the stepper to itself
  std::optional<double> norm_;
  std::optional<std::string> not_finite_;
};

}  // namespace gradstep
