// All arrays of a step in one pass, shared out among threads. Knows neither Python nor any formula.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "kernels.hpp"
#include "strided.hpp"
#include "threads.hpp"

namespace gradstep {

// One parameter's part of a step.
struct Item {
  const Kernel* kernel = nullptr;
  const Constants* constants = nullptr;
  int stream_count = 0;
  int itemsize = 0;
  std::int64_t count = 0;
  std::int64_t offset = 0;          // elements of the step before this item
  void* streams[max_streams] = {};  // parameter, gradient, state; all dense, or else:
  const StridedRun* strided = nullptr;
};

// Elements in a tile. Parts are cut at multiples of it, counted from an array's start, so that no
// two threads write to one cache line of an array, and strided arrays pass through buffers of a
// tile.
constexpr std::int64_t tile = 512;

// Where share `share` of `shares` begins among `total` elements; share `shares` begins at the end.
std::int64_t share_begin(std::int64_t total, int shares, int share);

// The plan of a step: filled item by item, prepared, and then run, which cannot fail.
class Sweep {
 public:
  void clear();
  // Adds a copy, to be completed by the caller; its offset is set here: behind the item before.
  Item& add(const Item& item) {
    items_.push_back(item);
    Item& added = items_.back();
    added.offset = total_;
    total_ += item.count;
    written_ += item.count * (item.stream_count - 1);  // all but the gradient
    return added;
  }
  std::int64_t total() const { return total_; }
  std::int64_t written() const { return written_; }  // elements of parameters and state

  // Allocates what a team of that size needs.
  void prepare(int members);
  void run(const Team& team);

 private:
  // A member takes its own share part by part, then helps with what is left of the others'.
  struct alignas(64) Share {
    std::int64_t begin = 0, count = 0;
    std::atomic<std::int64_t> taken{0};
    std::atomic<bool> begun{false};  // by its own member
  };

  void take_parts(int member);
  std::int64_t cut(std::int64_t at) const;
  void run_range(std::int64_t begin, std::int64_t end) const;

  std::vector<Item> items_;
  std::int64_t total_ = 0, written_ = 0, part_ = 0;
  std::vector<Share> shares_;
  int members_ = 1;
  // Every other step takes the parts from the last to the first: it begins with what the step
  // before has left in the caches, where walking in the same order always would find nothing of it.
  bool backwards_ = true;
};

}  // namespace gradstep
