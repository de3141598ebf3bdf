// All arrays of a step in one pass, shared out among threads. Knows neither Python nor any formula.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "engine/kernels.hpp"
#include "engine/norm.hpp"
#include "engine/strided.hpp"
#include "engine/threads.hpp"

namespace gradstep {

// One parameter's part of a step.
struct Item {
  const Kernel* kernel = nullptr;
  const Constants* constants = nullptr;
  int stream_count = 0;
  DType dtype = float32;
  int itemsize = 0;
  std::int64_t count = 0;
  std::int64_t offset = 0;  // elements of the step before this item
  std::int64_t tiles = 0;   // tiles of the step before this item
  // Parameter, gradient, state, and behind them the average; all dense, or else:
  void* streams[max_streams + 1] = {};
  const StridedRun* strided = nullptr;
  // Of the average of the parameter, where one is kept.
  bool averaged = false;
  const Kernel* average = nullptr;
  const Constants* average_constants = nullptr;

  int all_streams() const { return stream_count + (averaged ? 1 : 0); }
};

// How gradients are scaled and clipped where the one factor of a kernel is not enough; see
// GradientKernel.
struct ClipSettings {
  double first = 1, second = 1, bound = 0;
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
    added.tiles = tiles_;
    total_ += item.count;
    tiles_ += (item.count + tile - 1) / tile;
    written_ += item.count * (item.all_streams() - 1);  // all but the gradient
    return added;
  }
  std::int64_t total() const { return total_; }
  // Elements of parameters, state and averages.
  std::int64_t written() const { return written_; }

  // Allocates what a team of that size needs, and for `measure` where that is to come.
  void prepare(int members, bool measures);
  // A pass over the gradients, multiplied by `scale`: their norm, and the first tile in which one
  // is not finite, if there is any.
  struct TilePosition {
    int item;
    std::int64_t tile;  // of the item
  };
  struct Measured {
    double norm;
    std::optional<TilePosition> not_finite;
  };
  bool is_strided(int item) const { return items_[static_cast<std::size_t>(item)].strided; }
  Measured measure(const Team& team, const GradientKernel* kernels, double scale);
  // The pass that updates, of the items from `first` on and before `last`. With `clip`, gradients
  // go through them first.
  void run(const Team& team, const GradientKernel* kernels, const ClipSettings* clip, int first,
           int last);
  int size() const { return static_cast<int>(items_.size()); }

 private:
  // A member takes its own share part by part, then helps with what is left of the others'.
  struct alignas(64) Share {
    std::int64_t begin = 0, count = 0;
    std::atomic<std::int64_t> taken{0};
    std::atomic<bool> begun{false};  // by its own member
  };

  // What a pass does with the elements from `begin` to `end` of an item.
  using Visit = void (Sweep::*)(const Item& item, std::int64_t begin, std::int64_t end);
  void pass(Visit visit, std::chrono::nanoseconds spin_time, std::int64_t begin, std::int64_t end);
  void take_parts(int member, Visit visit);
  std::int64_t offset_of(int item) const;  // of the end, where there is no such item
  std::int64_t cut(std::int64_t at) const;
  void visit_range(std::int64_t begin, std::int64_t end, Visit visit);
  void sum_tiles(const Item& item, std::int64_t begin, std::int64_t end);
  void update(const Item& item, std::int64_t begin, std::int64_t end);
  void update_dense(const Item& item, std::int64_t begin, std::int64_t end) const;
  void update_tiles(const Item& item, std::int64_t begin, std::int64_t end) const;

  std::vector<Item> items_;
  std::int64_t total_ = 0, tiles_ = 0, written_ = 0, part_ = 0;
  std::vector<Share> shares_;
  int members_ = 1;
  std::vector<Squares> squares_;  // by tile
  // Of the pass under way.
  const GradientKernel* kernels_ = nullptr;  // by dtype
  double scale_ = 1;
  const ClipSettings* clip_ = nullptr;
  // Every other step takes the parts from the last to the first: it begins with what the step
  // before has left in the caches, where walking in the same order always would find nothing of it.
  bool backwards_ = true;
};

}  // namespace gradstep
