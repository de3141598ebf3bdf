// The sweep; see sweep.hpp.
#include "sweep.hpp"

#include <algorithm>

#if defined(_OPENMP)
#include <omp.h>
#endif

#include "floating_point.hpp"

namespace gradstep {
namespace {

void run_dense(const Item& item, std::int64_t begin, std::int64_t end) {
  void* streams[max_streams];
  for (int s = 0; s < item.stream_count; ++s) {
    streams[s] = static_cast<char*>(item.streams[s]) + begin * item.itemsize;
  }
  item.kernel->run(item.constants, streams, end - begin);
}

// Tile by tile: what is not dense goes through a buffer and, unless it is the gradient, back.
void run_strided(const Item& item, std::int64_t begin, std::int64_t end) {
  constexpr int widest = 8;
  alignas(64) char buffers[max_streams][tile * widest];
  const StridedRun& run = *item.strided;
  for (; begin < end; begin += tile) {
    const std::int64_t count = std::min(tile, end - begin);
    void* streams[max_streams];
    for (int s = 0; s < item.stream_count; ++s) {
      if (char* data = run.dense(s)) {
        streams[s] = data + begin * item.itemsize;
      } else {
        run.gather(s, begin, count, buffers[s]);
        streams[s] = buffers[s];
      }
    }
    item.kernel->run(item.constants, streams, count);
    for (int s = 0; s < item.stream_count; ++s) {
      constexpr int gradient = 1;
      if (s != gradient && !run.dense(s)) run.scatter(s, begin, count, buffers[s]);
    }
  }
}

void run_share(const std::vector<Item>& items, std::int64_t begin, std::int64_t end) {
  const DefaultFloatingPointMode mode;
  // The last item that starts at or before `begin`; empty ones before it have nothing to do.
  auto item = std::upper_bound(items.begin(), items.end(), begin,
                               [](std::int64_t at, const Item& i) { return at < i.offset; });
  if (item != items.begin()) --item;
  for (; item != items.end() && item->offset < end; ++item) {
    const std::int64_t first = std::max<std::int64_t>(begin - item->offset, 0);
    const std::int64_t last = std::min(end - item->offset, item->count);
    if (first < last) (item->strided ? run_strided : run_dense)(*item, first, last);
  }
}

#if defined(_OPENMP)
// A share begins at a tile's border in whichever array its first element falls.
std::int64_t cut(const std::vector<Item>& items, std::int64_t total, int shares, int share) {
  const std::int64_t at = share_begin(total, shares, share);
  if (at >= total) return total;
  const auto after = std::upper_bound(items.begin(), items.end(), at,
                                      [](std::int64_t x, const Item& i) { return x < i.offset; });
  return at - (at - std::prev(after)->offset) % tile;
}
#endif

}  // namespace

std::int64_t share_begin(std::int64_t total, int shares, int share) {
  // Not total · share / shares: the product could overflow.
  const std::int64_t whole = total / shares, rest = total % shares;
  return whole * share + std::min<std::int64_t>(share, rest);
}

void sweep(const std::vector<Item>& items, std::int64_t total, int team) {
#if defined(_OPENMP)
  if (team > 1) {
#pragma omp parallel num_threads(team)
    {
      // The runtime may grant fewer threads than asked for.
      const int shares = omp_get_num_threads(), share = omp_get_thread_num();
      run_share(items, cut(items, total, shares, share), cut(items, total, shares, share + 1));
    }
    return;
  }
#else
  static_cast<void>(team);
#endif
  run_share(items, 0, total);
}

}  // namespace gradstep
