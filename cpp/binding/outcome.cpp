// The outcome of a step; see outcome.hpp.
#include "binding/outcome.hpp"

#include <utility>

namespace gradstep {

std::optional<double> Outcome::norm() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return norm_;
}

std::optional<std::string> Outcome::not_finite() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return not_finite_;
}

void Outcome::set_norm(std::optional<double> norm) {
  const std::lock_guard<std::mutex> lock(mutex_);
  norm_ = norm;
}

void Outcome::note_refused(std::string not_finite, std::optional<double> norm) {
  std::optional<std::string> text = std::move(not_finite);
  note_norm(norm);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::swap(not_finite_, text);
  }
  set_skipped(skipped() + 1);
}

}  // namespace gradstep
