// Every element of a step once: arrays that are made up of addresses alone, up to 2^40 elements,
// and kernels that write down what they were given and touch nothing. The members of a team are
// made up as well: they come in the order, and as late, as a test says, all on one thread, so that
// what happens is the same in every run.
//
//   sweep [--full]   up to 2^35 elements, or to 2^40
#include "engine/sweep.hpp"

#include <map>
#include <string>
#include <vector>

#include "native.hpp"

namespace {

using namespace gradstep;

// Who comes when: after so many kernel runs have begun, the member begins. Before 0: before the
// caller itself. A member that is not named never comes.
struct Arrival {
  std::int64_t after;
  int member;
};

// An array: where its streams begin, and what of it has been done.
struct Array {
  Constants constants;  // only its address counts: a kernel knows by it which array it works on
  std::int64_t count = 0, offset = 0;
  int itemsize = 0, streams = 0;
  std::map<std::int64_t, std::int64_t> done;  // beginnings and ends, none touching another

  std::uintptr_t base(int stream) const {
    // Far enough apart for 2^40 elements; off any alignment but the element's.
    return (std::uintptr_t(stream + 1) << 44) + std::uintptr_t(itemsize) * 3;
  }
};

// The step under way.
std::vector<Array> arrays;
std::vector<Arrival> arrivals;
std::size_t next_arrival = 0;
std::int64_t kernel_runs = 0;
bool begun_backwards = false;
void (*member_work)(void*, int) = nullptr;
void* member_context = nullptr;
std::string what;  // is tried, for messages

void let_arrive() {
  if (!member_work) return;  // a step too small for a team
  while (next_arrival < arrivals.size() && arrivals[next_arrival].after <= kernel_runs) {
    member_work(member_context, arrivals[next_arrival++].member);
  }
}

void note(Array& array, std::int64_t begin, std::int64_t end) {
  const auto overlaps = [&](std::map<std::int64_t, std::int64_t>::iterator other) {
    return other != array.done.end() && other->first < end && begin < other->second;
  };
  auto after = array.done.lower_bound(begin);
  auto before = after == array.done.begin() ? array.done.end() : std::prev(after);
  CHECK(!overlaps(after) && !overlaps(before), "%s: elements %lld to %lld a second time",
        what.c_str(), (long long)begin, (long long)end);
  if (before != array.done.end() && before->second == begin) {
    begin = before->first;
    array.done.erase(before);
  }
  if (after != array.done.end() && after->first == end) {
    end = after->second;
    array.done.erase(after);
  }
  array.done[begin] = end;
}

void run(const Constants* constants, void* const* streams, std::int64_t count) {
  // Array is not of standard layout, but its first member stands where it does.
  Array* array = nullptr;
  for (Array& candidate : arrays) {
    if (constants == &candidate.constants) array = &candidate;
  }
  CHECK(array, "%s: constants of no array", what.c_str());
  if (!array) return;
  const auto address = [&](int s) { return reinterpret_cast<std::uintptr_t>(streams[s]); };
  const std::int64_t bytes = static_cast<std::int64_t>(address(0) - array->base(0));
  const std::int64_t begin = bytes / array->itemsize, end = begin + count;
  for (int s = 0; s < array->streams; ++s) {
    CHECK(address(s) - array->base(s) == std::uintptr_t(begin) * std::uintptr_t(array->itemsize),
          "%s: stream %d does not begin at element %lld", what.c_str(), s, (long long)begin);
  }
  CHECK(begin >= 0 && count > 0 && end <= array->count, "%s: elements %lld to %lld of %lld",
        what.c_str(), (long long)begin, (long long)end, (long long)array->count);
  CHECK(begin % tile == 0 && (end % tile == 0 || end == array->count),
        "%s: cut beside a tile's border, %lld to %lld", what.c_str(), (long long)begin,
        (long long)end);
  if (kernel_runs == 0) begun_backwards = array->offset + begin > 0;
  note(*array, begin, end);
  ++kernel_runs;
  let_arrive();  // in the middle of somebody's part
}

const Kernel fake_kernel{nullptr, run};

// Of the pass before: a tile counts as one, and as infinite where a test says.
std::int64_t summed = 0, tiles_summed = 0, infinite = -1;

double sum_of_squares(const void*, std::int64_t count, double, double unit) {
  CHECK(unit == 1.0 || tiles_summed == infinite + 1, "%s: summed in another unit", what.c_str());
  if (unit != 1.0) return HUGE_VAL;
  CHECK(count > 0 && count <= tile, "%s: %lld elements in a tile", what.c_str(), (long long)count);
  summed += count;
  ++kernel_runs;
  let_arrive();
  return tiles_summed++ == infinite ? HUGE_VAL : 1.0;
}

const GradientKernel fake_gradients[dtype_count] = {{sum_of_squares, nullptr},
                                                    {sum_of_squares, nullptr}};

// The pass that measures: every tile once, and the array whose gradient is not finite is found.
void measure(Sweep& sweep, const Team& team, const std::vector<std::int64_t>& counts, bool alone,
             const std::vector<Arrival>& who_comes) {
  std::int64_t tiles = 0;
  for (const std::int64_t count : counts) tiles += (count + tile - 1) / tile;
  for (const std::int64_t bad : {std::int64_t{-1}, std::int64_t{0}, tiles / 2, tiles - 1}) {
    // Members take turns in the middle of tiles, so which is the n-th is known of one alone.
    if (bad >= 0 && !alone) continue;
    arrivals = who_comes;
    next_arrival = 0;
    kernel_runs = summed = tiles_summed = 0;
    infinite = bad;
    member_work = nullptr;
    const Sweep::Measured found = sweep.measure(team, fake_gradients, 1.0);
    CHECK(summed == sweep.total() && tiles_summed == tiles, "%s: %lld elements are summed",
          what.c_str(), (long long)summed);
    if (bad < 0 || bad >= tiles) {
      CHECK(found.norm * found.norm > double(tiles) - 0.5 &&
                found.norm * found.norm < double(tiles) + 0.5,
            "%s: of %lld tiles the norm is %g", what.c_str(), (long long)tiles, found.norm);
      CHECK(!found.not_finite, "%s: a gradient is not finite", what.c_str());
    } else {
      CHECK(found.not_finite && counts[std::size_t(found.not_finite->item)] > 0,
            "%s: the gradient that is not finite is not found", what.c_str());
    }
  }
}

// Two steps, one of them forwards and one backwards, of a team whose members come so.
void step_twice(const std::vector<std::int64_t>& counts, int members,
                const std::vector<Arrival>& who_comes, const std::string& called) {
  Sweep sweep;
  arrays = std::vector<Array>(counts.size());
  for (std::size_t i = 0; i < counts.size(); ++i) {
    Array& array = arrays[i];
    array.count = counts[i];
    array.offset = sweep.total();
    array.itemsize = i % 2 ? 4 : 8;
    array.streams = 2 + static_cast<int>(i % (max_states + 1));
    Item item;
    item.kernel = &fake_kernel;
    item.constants = &array.constants;
    item.count = array.count;
    item.itemsize = array.itemsize;
    item.stream_count = array.streams;
    for (int s = 0; s < array.streams; ++s) {
      item.streams[s] = reinterpret_cast<void*>(array.base(s));  // NOLINT: nothing is read there
    }
    sweep.add(item);
  }
  const bool measures = sweep.total() < (std::int64_t{1} << 22);  // else too many tiles to keep
  const Team team(sweep.written());
  int backwards = 0;
  for (int turn = 0; turn < 2; ++turn) {
    what = called + ", " + std::to_string(members) + " members, turn " + std::to_string(turn);
    arrivals = who_comes;
    next_arrival = 0;
    kernel_runs = 0;
    begun_backwards = false;
    member_work = nullptr;
    sweep.prepare(members, measures);
    sweep.run(team, nullptr, nullptr, 0, sweep.size());
    backwards += begun_backwards;
    for (Array& array : arrays) {
      std::int64_t end = 0;
      for (const auto& piece : array.done) {
        CHECK(piece.first == end, "%s: elements %lld to %lld are left out", what.c_str(),
              (long long)end, (long long)piece.first);
        end = piece.second;
      }
      CHECK(end == array.count, "%s: left out from %lld on", what.c_str(), (long long)end);
      array.done.clear();
    }
  }
  constexpr std::int64_t parts = 1 << 14;  // so many elements are a few parts at least
  if (members == 1 && sweep.total() >= parts) {
    CHECK(backwards == 1, "%s: the two steps went the same way", what.c_str());
  }
  if (measures) measure(sweep, team, counts, members == 1, who_comes);
}

// The ways in which a team may come together.
void try_teams(const std::vector<std::int64_t>& counts, const std::string& called) {
  for (const int members : {1, 2, 3, 7, 64}) {
    step_twice(counts, members, {}, called + ", no helper comes");
    std::vector<Arrival> first, last_first, one_by_one, odd_ones;
    for (int m = 1; m < members; ++m) {
      first.push_back({0, m});
      last_first.push_back({0, members - m});
      one_by_one.push_back({m, members - m});  // each in the middle of another's part
      if (m % 2) odd_ones.push_back({5 * m, m});
    }
    step_twice(counts, members, first, called + ", helpers before the caller");
    step_twice(counts, members, last_first, called + ", the last helper first");
    step_twice(counts, members, one_by_one, called + ", one helper after another");
    step_twice(counts, members, odd_ones, called + ", some late and some never");
  }
}

void try_shares(std::int64_t total) {
  for (const int shares : {1, 2, 3, 7, 64}) {
    CHECK(share_begin(total, shares, 0) == 0, "the first share of %lld", (long long)total);
    CHECK(share_begin(total, shares, shares) == total, "the end of %lld", (long long)total);
    for (int i = 0; i < shares; ++i) {
      const std::int64_t size = share_begin(total, shares, i + 1) - share_begin(total, shares, i);
      CHECK(size == total / shares || size == total / shares + 1, "share %d of %d of %lld: %lld", i,
            shares, (long long)total, (long long)size);
    }
  }
}

}  // namespace

// In the place of pool.cpp and threads.cpp: members are called one within another.
namespace gradstep {

void run_together(int, void (*work)(void* context, int member), void* context,
                  std::chrono::nanoseconds) {
  member_work = work;
  member_context = context;
  let_arrive();
  work(context, 0);
}

Team::Team(std::int64_t) {}
Team::~Team() = default;

}  // namespace gradstep

int main(int argc, char** argv) {
  static_assert(tile * itemsize_of[float32] % 64 == 0, "two members would write to one cache line");
  const bool full = argc > 1 && strcmp(argv[1], "--full") == 0;
  const std::int64_t one = 1;
  try_teams({}, "nothing");
  for (const std::int64_t count :
       {one * 0, one, one * 511, one * 512, one * 513, one * 4096, one * 4097, one * 65537}) {
    try_teams({count}, std::to_string(count));
  }
  try_teams({0, 1, 511, 0, 512, 513, 4095, 1, 1, 0, 70001, 0}, "odd sizes");
  try_teams(std::vector<std::int64_t>(300, 1), "300 of one");
  try_teams(std::vector<std::int64_t>(40, 1537), "40 of 1537");
  try_teams({513, (one << 31) + 1, 0, 511, (one << 31) + 513, 3}, "beyond 2^31");
  try_teams({1, (one << 32) + 12345, 512}, "beyond 2^32");
  const int power = full ? 40 : 35;
  step_twice({(one << power) - 3}, 64, {{0, 63}, {3, 1}, {100, 2}}, "one array");
  step_twice({(one << (power - 2)) + 1, 0, 513, (one << (power - 1)) + 511, 7}, 7,
             {{1, 5}, {99, 2}}, "several arrays");
  for (const std::int64_t total : {one * 0, one, one * 63, one * 64, one * 65, (one << 32) - 1,
                                   (one << 40) - 1, one << 40, INT64_MAX}) {
    try_shares(total);
  }
  return native::verdict("sweep");
}
