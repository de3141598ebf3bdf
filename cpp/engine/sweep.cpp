// The sweep; see sweep.hpp.
#include "engine/sweep.hpp"

#include <algorithm>

#include "engine/floating_point.hpp"
#include "engine/pool.hpp"

namespace gradstep {
namespace {

constexpr int gradient = 1;  // which stream it is

// Where a stream's elements from `begin` on lie densely: in place, or copied to `buffer`.
void* dense_tile(const Item& item, int stream, std::int64_t begin, std::int64_t count,
                 char* buffer) {
  char* data =
      item.strided ? item.strided->dense(stream) : static_cast<char*>(item.streams[stream]);
  if (data) return data + begin * item.itemsize;
  item.strided->gather(stream, begin, count, buffer);
  return buffer;
}

constexpr int widest = 8;  // bytes of an element
using Buffer = char[tile * widest];

}  // namespace

std::int64_t share_begin(std::int64_t total, int shares, int share) {
  // Not total · share / shares: the product could overflow.
  const std::int64_t whole = total / shares, rest = total % shares;
  return whole * share + std::min<std::int64_t>(share, rest);
}

void Sweep::clear() {
  items_.clear();
  total_ = tiles_ = written_ = 0;
}

void Sweep::prepare(int members, bool measures) {
  members_ = members;
  backwards_ = !backwards_;
  if (members > static_cast<int>(shares_.size())) shares_ = std::vector<Share>(members);
  if (measures) squares_.resize(static_cast<std::size_t>(tiles_));
}

Sweep::Measured Sweep::measure(const Team& team, const GradientKernel* kernels, double scale) {
  kernels_ = kernels;
  scale_ = scale;
  // The update follows at once, and finds helpers awake.
  constexpr std::chrono::microseconds until_the_update{50};
  pass(&Sweep::sum_tiles, std::max<std::chrono::nanoseconds>(team.spin_time(), until_the_update), 0,
       total_);

  const auto bad = std::find_if(squares_.begin(), squares_.end(),
                                [](const Squares& squares) { return !squares.finite(); });
  std::optional<TilePosition> not_finite;
  if (bad != squares_.end()) {
    const std::int64_t at = bad - squares_.begin();
    const auto after = std::upper_bound(items_.begin(), items_.end(), at,
                                        [](auto x, const Item& i) { return x < i.tiles; });
    const auto item = std::prev(after);
    not_finite = TilePosition{static_cast<int>(item - items_.begin()), at - item->tiles};
  }
  const DefaultFloatingPointMode mode;
  return {norm_of(squares_), not_finite};
}

void Sweep::run(const Team& team, const GradientKernel* kernels, const ClipSettings* clip,
                int first, int last) {
  kernels_ = kernels;
  clip_ = clip;
  pass(&Sweep::update, team.spin_time(), offset_of(first), offset_of(last));
}

std::int64_t Sweep::offset_of(int item) const {
  return item < size() ? items_[static_cast<std::size_t>(item)].offset : total_;
}

void Sweep::pass(Visit visit, std::chrono::nanoseconds spin_time, std::int64_t begin,
                 std::int64_t end) {
  // Large enough that taking one costs nothing, and small enough that nobody waits long for the
  // last.
  constexpr std::int64_t least = 4096, most = 65536;
  const std::int64_t total = end - begin;
  if (total <= least) {
    const DefaultFloatingPointMode mode;
    visit_range(begin, end, visit);
    return;
  }
  part_ = std::clamp(total / members_ / 16, least, most);
  for (int i = 0; i < members_; ++i) {
    Share& share = shares_[static_cast<std::size_t>(i)];
    share.begin = begin + share_begin(total, members_, i);
    share.count = begin + share_begin(total, members_, i + 1) - share.begin;
    share.taken.store(0, std::memory_order_relaxed);
    share.begun.store(false, std::memory_order_relaxed);
  }
  auto work = [this, visit](int member) { take_parts(member, visit); };
  run_together(members_, work, spin_time);
}

void Sweep::take_parts(int member, Visit visit) {
  const DefaultFloatingPointMode mode;
  shares_[static_cast<std::size_t>(member)].begun.store(true, std::memory_order_relaxed);
  for (int i = 0; i < members_; ++i) {
    Share& share = shares_[static_cast<std::size_t>((member + i) % members_)];
    // Who has begun is left its last parts, which it will finish: fetching what lies in another
    // core's cache, here and in its next step, takes longer than waiting.
    const bool left_alone = i > 0 && share.begun.load(std::memory_order_relaxed);
    const std::int64_t spared = left_alone ? 2 * part_ : 0;
    while (share.taken.load(std::memory_order_relaxed) + spared < share.count) {
      const std::int64_t first = share.taken.fetch_add(part_, std::memory_order_relaxed);
      if (first >= share.count) break;
      const std::int64_t last = std::min(first + part_, share.count);
      if (backwards_) {
        const std::int64_t end = share.begin + share.count;
        visit_range(cut(end - last), cut(end - first), visit);
      } else {
        visit_range(cut(share.begin + first), cut(share.begin + last), visit);
      }
    }
  }
}

// A part begins at a tile's border in whichever array its first element falls.
std::int64_t Sweep::cut(std::int64_t at) const {
  if (at >= total_) return total_;
  const auto after = std::upper_bound(items_.begin(), items_.end(), at,
                                      [](std::int64_t x, const Item& i) { return x < i.offset; });
  return at - (at - std::prev(after)->offset) % tile;
}

void Sweep::visit_range(std::int64_t begin, std::int64_t end, Visit visit) {
  // The item that holds `begin`.
  auto item = std::upper_bound(items_.begin(), items_.end(), begin,
                               [](std::int64_t at, const Item& i) { return at < i.offset; });
  if (item != items_.begin()) --item;
  for (; item != items_.end() && item->offset < end; ++item) {
    const std::int64_t first = std::max<std::int64_t>(begin - item->offset, 0);
    const std::int64_t last = std::min(end - item->offset, item->count);
    if (first < last) (this->*visit)(*item, first, last);
  }
}

void Sweep::sum_tiles(const Item& item, std::int64_t begin, std::int64_t end) {
  alignas(64) Buffer buffer;
  for (; begin < end; begin += tile) {
    const std::int64_t count = std::min(tile, end - begin);
    const void* g = dense_tile(item, gradient, begin, count, buffer);
    Squares& squares = squares_[static_cast<std::size_t>(item.tiles + begin / tile)];
    squares = Squares::of(kernels_[item.dtype], g, count, scale_);
  }
}

void Sweep::update(const Item& item, std::int64_t begin, std::int64_t end) {
  const bool as_it_is = !item.strided && !item.averaged && !clip_;
  as_it_is ? update_dense(item, begin, end) : update_tiles(item, begin, end);
}

void Sweep::update_dense(const Item& item, std::int64_t begin, std::int64_t end) const {
  void* streams[max_streams];
  for (int s = 0; s < item.stream_count; ++s) {
    streams[s] = static_cast<char*>(item.streams[s]) + begin * item.itemsize;
  }
  item.kernel->run(item.constants, streams, end - begin);
}

// Tile by tile, all that is done to an element while it lies in the nearest cache.
void Sweep::update_tiles(const Item& item, std::int64_t begin, std::int64_t end) const {
  alignas(64) Buffer buffers[max_streams + 1];
  const int stream_count = item.all_streams();
  for (; begin < end; begin += tile) {
    const std::int64_t count = std::min(tile, end - begin);
    void* streams[max_streams + 1] = {};
    void* last = nullptr;  // the average, where there is one
    for (int s = 0; s < stream_count; ++s) {
      streams[s] = last = dense_tile(item, s, begin, count, buffers[s]);
    }
    if (clip_) {
      kernels_[item.dtype].clip(streams[gradient], buffers[gradient], count, clip_->first,
                                clip_->second, clip_->bound);
      streams[gradient] = buffers[gradient];
    }
    item.kernel->run(item.constants, streams, count);
    if (item.averaged) {
      void* averaged[] = {last, streams[0]};
      item.average->run(item.average_constants, averaged, count);
    }
    for (int s = 0; s < stream_count; ++s) {
      if (s != gradient && streams[s] == buffers[s]) {
        item.strided->scatter(s, begin, count, buffers[s]);
      }
    }
  }
}

}  // namespace gradstep
