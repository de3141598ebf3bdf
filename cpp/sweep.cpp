// The sweep; see sweep.hpp.
#include "sweep.hpp"

#include <algorithm>

#include "floating_point.hpp"
#include "pool.hpp"

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

}  // namespace

std::int64_t share_begin(std::int64_t total, int shares, int share) {
  // Not total · share / shares: the product could overflow.
  const std::int64_t whole = total / shares, rest = total % shares;
  return whole * share + std::min<std::int64_t>(share, rest);
}

void Sweep::clear() {
  items_.clear();
  total_ = written_ = 0;
}

void Sweep::prepare(int members) {
  members_ = members;
  if (members > static_cast<int>(shares_.size())) shares_ = std::vector<Share>(members);
}

void Sweep::run(const Team& team) {
  // Large enough that taking one costs nothing, and small enough that nobody waits long for the
  // last.
  constexpr std::int64_t least = 4096, most = 65536;
  if (total_ <= least) {
    const DefaultFloatingPointMode mode;
    run_range(0, total_);
    return;
  }
  part_ = std::clamp(total_ / members_ / 16, least, most);
  for (int i = 0; i < members_; ++i) {
    Share& share = shares_[static_cast<std::size_t>(i)];
    share.begin = share_begin(total_, members_, i);
    share.count = share_begin(total_, members_, i + 1) - share.begin;
    share.taken.store(0, std::memory_order_relaxed);
    share.begun.store(false, std::memory_order_relaxed);
  }
  backwards_ = !backwards_;
  auto work = [this](int member) { take_parts(member); };
  run_together(members_, work, team.linger());
}

void Sweep::take_parts(int member) {
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
        run_range(cut(end - last), cut(end - first));
      } else {
        run_range(cut(share.begin + first), cut(share.begin + last));
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

void Sweep::run_range(std::int64_t begin, std::int64_t end) const {
  // The item that holds `begin`.
  auto item = std::upper_bound(items_.begin(), items_.end(), begin,
                               [](std::int64_t at, const Item& i) { return at < i.offset; });
  if (item != items_.begin()) --item;
  for (; item != items_.end() && item->offset < end; ++item) {
    const std::int64_t first = std::max<std::int64_t>(begin - item->offset, 0);
    const std::int64_t last = std::min(end - item->offset, item->count);
    if (first < last) (item->strided ? run_strided : run_dense)(*item, first, last);
  }
}

}  // namespace gradstep
