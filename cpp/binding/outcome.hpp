// The outcome of the last step: its norm, or why it was refused, and how many steps were refused so
// far. Other threads may read it while one steps.
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
  // The text for the last step that was refused.
  std::optional<std::string> not_finite();

  void note_norm(std::optional<double> norm) {
    if (norm != norm_) set_norm(norm);
  }
  // A step was refused; `not_finite` says which element of which gradient.
  void note_refused(std::string not_finite, std::optional<double> norm);

 private:
  void set_norm(std::optional<double> norm);

  std::atomic<std::int64_t> skipped_{0};
  std::mutex mutex_;  // of the members below; only the thread that has the stepper writes them
  std::optional<double> norm_;
  std::optional<std::string> not_finite_;
};

}  // namespace gradstep
