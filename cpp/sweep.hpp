// All arrays of a step in one pass: equal shares, one parallel region. Knows neither Python nor any
// formula; nothing in here can fail.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels.hpp"
#include "strided.hpp"

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

// Elements in a tile. Shares are cut at multiples of it, counted from an array's start, so that no
// two threads write to one cache line of an array, and strided arrays pass through buffers of a
// tile.
constexpr std::int64_t tile = 512;

// Where share `share` of `shares` begins among `total` elements; share `shares` begins at the end.
std::int64_t share_begin(std::int64_t total, int shares, int share);

// Runs every item, on up to `team` threads. `items` are in the order of their offsets.
void sweep(const std::vector<Item>& items, std::int64_t total, int team);

}  // namespace gradstep
