// What a step writes; see written_memory.hpp.
#include "binding/written_memory.hpp"

#include <algorithm>
#include <iterator>

namespace gradstep {
namespace {

using Flag = py::detail::npy_api::constants;

[[noreturn]] void raise_overlap(const Label& a, const Label& b, bool same_bytes) {
  // Not a copy: it would be another parameter, and tied weights would go their own ways.
  const bool tied = a.role == Label::parameter && b.role == Label::parameter;
  const char* advice =
      !tied ? "; arrays of a step must not overlap: pass a copy of one of them"
      : same_bytes
          ? "; tied arrays are one parameter: give it once and add its gradients"
          : "; parameters that overlap are one: give the whole array once, with the sum of "
            "its gradients";
  throw py::value_error(a.text() + " shares memory with " + b.text() + advice);
}

// Calls `word` with each word of an array's fingerprint, until it returns false. A dtype stands for
// itself: an array keeps its own alive, and another one is another object.
template <class Word>
bool each_word(PyObject* array, Word word) {
  const auto* proxy = py::detail::array_proxy(array);
  const auto flags = static_cast<unsigned>(proxy->flags & ~Flag::NPY_ARRAY_OWNDATA_);
  if (!word(reinterpret_cast<std::uintptr_t>(proxy->data)) || !word(flags) ||
      !word(reinterpret_cast<std::uintptr_t>(proxy->descr)) ||
      !word(static_cast<std::uintptr_t>(proxy->nd))) {
    return false;
  }
  for (int i = 0; i < proxy->nd; ++i) {
    if (!word(static_cast<std::uintptr_t>(proxy->dimensions[i])) ||
        !word(static_cast<std::uintptr_t>(proxy->strides[i]))) {
      return false;
    }
  }
  return true;
}

}  // namespace

void WrittenMemory::clear() {
  entries_.clear();
  watched_.clear();
  fingerprints_.clear();
}

void WrittenMemory::add(const View& view, const Label& label, bool moves) {
  if (moves) {
    watched_.push_back(view.array.ptr());
    each_word(view.array.ptr(), [this](std::uintptr_t word) {
      fingerprints_.push_back(word);
      return true;
    });
  }
  if (view.size > 0) entries_.push_back({view.low, view.high, 0, view.array, label});
}

bool WrittenMemory::unchanged() const {
  const std::uintptr_t* expected = fingerprints_.data();
  return std::all_of(watched_.begin(), watched_.end(), [&](PyObject* array) {
    return each_word(array, [&](std::uintptr_t word) { return word == *expected++; });
  });
}

void WrittenMemory::require_disjoint() {
  std::sort(entries_.begin(), entries_.end(),
            [](const Entry& a, const Entry& b) { return a.low < b.low; });
  std::uintptr_t high = 0;
  for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
    const View view = view_of(entry->array, entry->label);
    if (repeats_elements(view)) {
      throw py::value_error(
          entry->label.text() +
          " repeats elements: several indices reach the same memory (a stride of "
          "0 or overlapping windows), so it cannot be updated in place; pass a copy");
    }
    entry->high_so_far = high = std::max(high, entry->high);
    for (auto next = entry + 1; next != entries_.end() && next->low < entry->high; ++next) {
      if (!share_memory(view, view_of(next->array, next->label))) continue;
      raise_overlap(entry->label, next->label,
                    entry->low == next->low && entry->high == next->high);
    }
  }
}

void WrittenMemory::require_apart(const View& view, const Label& label) const {
  // Backwards from the last entry that begins below the array's end, while one may reach into it.
  auto entry = std::lower_bound(entries_.begin(), entries_.end(), view.high,
                                [](const Entry& e, std::uintptr_t at) { return e.low < at; });
  while (entry != entries_.begin()) {
    --entry;
    if (entry->high_so_far <= view.low) return;
    if (entry->high > view.low && share_memory(view, view_of(entry->array, entry->label))) {
      raise_overlap(label, entry->label, false);
    }
  }
}

bool WrittenMemory::clear_of(std::uintptr_t low, std::uintptr_t high, Gap& gap) const {
  if (gap.low <= low && high <= gap.high) return true;
  const auto above = std::lower_bound(entries_.begin(), entries_.end(), high,
                                      [](const Entry& e, std::uintptr_t at) { return e.low < at; });
  const std::uintptr_t below = above == entries_.begin() ? 0 : std::prev(above)->high_so_far;
  if (below > low) return false;
  gap = {below, above == entries_.end() ? UINTPTR_MAX : above->low};
  return true;
}

}  // namespace gradstep
