// The bits of every kernel: for every level that this processor runs, size, alignment and cut the
// same, and on every machine those of a table that is kept. No Python, no C++ library, and no C
// library's maths or random numbers: inputs are made from integers and powers of two.
//
//   bits TABLE [--brief | --full]   compares; brief for emulators, full tries every size
//   bits --write TABLE              makes a new table
//   bits --levels                   says which levels this processor runs
#include "engine/corrections.hpp"
#include "engine/levels.hpp"
#include "native.hpp"

namespace {

using namespace gradstep;

constexpr int steps = 3;
constexpr int usual = 4097;        // elements: past a long run (kernels.cpp), and no multiple
constexpr int long_run = 3000001;  // of a few rules
constexpr int max_shift = 7;
constexpr int line = 64;    // bytes of a cache line
constexpr int margin = 64;  // bytes that must stay as they are, on either side
constexpr unsigned char canary = 0xA5;

const char* const dtype_names[dtype_count] = {"float32", "float64"};
const char* const decay_names[decay_count] = {"none", "coupled", "decoupled"};

// What tests/core/test_native.py tells the core through Python.
Hyperparameters hyperparameters(Decay decay, int t) {
  Hyperparameters h;
  h.lr = 0.125;
  h.beta = 0.9;
  h.beta1 = 0.9;
  h.beta2 = 0.999;
  h.dampening = 0.75;
  h.momentum = 0.7;
  h.eps = 1e-4;
  h.eps_root = 1e-8;
  h.weight_decay = decay == no_decay ? 0.0 : 0.01;
  h.momentum_decay = 0.004;
  h.threshold = 5;
  h.lr_decay = 0.5;
  h.bias_correction = h.looks_ahead = h.rectified = true;
  Corrections corrections;
  corrections.products[Corrections::of_mu].stored = true;
  for (int step = 1; step <= t; ++step) {
    corrections.prepare(h, step);
    corrections.commit();
  }
  return h;
}

double power_of_two(int exponent) {
  const uint64_t word = static_cast<uint64_t>(1023 + exponent) << 52;
  double power;
  memcpy(&power, &word, sizeof power);
  return power;
}

// The parameter (step 0) and the gradients of three steps. Parameters are below 1; gradients go
// from 1e-25 to 1e4 in both signs, and one in nineteen is zero.
template <class T>
T input(int step, int i) {
  const uint32_t mixed = (static_cast<uint32_t>(i) * 4 + step + 1) * 2654435761u;
  const double value = (static_cast<double>(mixed) - 0x1p31) * 0x1p-31;
  if (step == 0) return static_cast<T>(value);
  if (mixed % 19 == 0) return T(0);
  return static_cast<T>(value * power_of_two(static_cast<int>(mixed % 97) - 83));
}

// As in zip files and zlib.
uint32_t crc32(const void* data, size_t size) {
  static uint32_t table[256];
  if (!table[1]) {
    for (uint32_t n = 0; n < 256; ++n) {
      uint32_t c = n;
      for (int k = 0; k < 8; ++k) c = c & 1 ? 0xEDB88320u ^ c >> 1 : c >> 1;
      table[n] = c;
    }
  }
  uint32_t c = 0xFFFFFFFFu;
  const auto* bytes = static_cast<const unsigned char*>(data);
  for (size_t i = 0; i < size; ++i) c = table[(c ^ bytes[i]) & 255] ^ c >> 8;
  return ~c;
}

int count_states(const Rule& rule) {
  int n = 0;
  while (rule.states[n]) ++n;
  return n;
}

void* allocate(size_t size) {
  void* memory = malloc(size);
  if (!memory) {
    printf("no memory\n");
    exit(2);
  }
  return memory;
}

// Memory of one stream, filled anew for every run and read in place afterwards.
struct Buffer {
  unsigned char* raw;

  explicit Buffer(size_t bytes)
      : raw(static_cast<unsigned char*>(allocate(bytes + 2 * margin + 2 * line))) {}
  ~Buffer() { free(raw); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  // `bytes` bytes, `shift` < `line` behind a border of cache lines, with canaries on either side.
  unsigned char* place(size_t shift, const void* from, size_t bytes) const {
    const size_t past = reinterpret_cast<uintptr_t>(raw) % line;
    unsigned char* at = raw + line - past + margin + shift;
    memset(at - margin, canary, margin);
    memset(at + bytes, canary, margin);
    memcpy(at, from, bytes);
    return at;
  }
};

bool untouched(const unsigned char* at, size_t bytes) {
  for (int i = 0; i < margin; ++i) {
    if (at[i - margin] != canary || at[bytes + i] != canary) return false;
  }
  return true;
}

// One rule with one decay in one element type: its values before the first step and after each, as
// the baseline computes them in one dense run. `count` elements.
template <class T>
class Course {
 public:
  Course(int rule, DType dtype, Decay decay, int count)
      : rule_(rule), dtype_(dtype), decay_(decay), count_(count) {
    states_ = count_states(baseline::table.rules[rule]);
    for (int s = 0; s < streams(); ++s) values_[0][s] = new_stream();
    for (int i = 0; i < count; ++i) values_[0][0][i] = input<T>(0, i);
    for (int t = 1; t <= steps; ++t) {
      gradients_[t - 1] = new_stream();
      for (int i = 0; i < count; ++i) gradients_[t - 1][i] = input<T>(t, i);
      void* at[max_streams];
      for (int s = 0; s < streams(); ++s) {
        values_[t][s] = new_stream();
        memcpy(values_[t][s], values_[t - 1][s], count * sizeof(T));
        at[s == 0 ? 0 : s + 1] = values_[t][s];
      }
      at[1] = gradients_[t - 1];
      run(baseline::table, t, at, count);
    }
  }
  ~Course() {
    for (T* gradient : gradients_) free(gradient);
    for (auto& step : values_) {
      for (T* value : step) free(value);
    }
  }
  Course(const Course&) = delete;
  Course& operator=(const Course&) = delete;

  // Takes step t of the elements [first, first + size) at another level and other addresses, in
  // pieces of `piece` elements, and compares.
  void compare(const KernelTable& table, int t, int first, int size, int shift, int piece) const {
    void* at[max_streams];
    unsigned char* begin[max_streams];
    const size_t bytes = size * sizeof(T);
    for (int s = 0; s < streams() + 1; ++s) {
      const T* from = s == 1 ? gradients_[t - 1] : values_[t - 1][s == 0 ? 0 : s - 1];
      // Streams meet borders at different elements, as arrays of a user do.
      const size_t shift_here = (s == 0 ? shift : (shift * 3 + s) % 8) * sizeof(T);
      begin[s] = buffers_[s].place(shift_here, from + first, bytes);
    }
    for (int done = 0; done < size; done += piece) {
      for (int s = 0; s < streams() + 1; ++s) at[s] = begin[s] + done * sizeof(T);
      run(table, t, at, size - done < piece ? size - done : piece);
    }
    for (int s = 0; s < streams() + 1; ++s) {
      const T* expected = s == 1 ? gradients_[t - 1] : values_[t][s == 0 ? 0 : s - 1];
      const char* name = s == 0 ? "w" : s == 1 ? "g" : this->rule().states[s - 2];
      CHECK(memcmp(begin[s], expected + first, bytes) == 0,
            "%s %s %s: %s differs at level %s, step %d, elements %d to %d, shift %d, pieces of %d",
            this->rule().name, dtype_names[dtype_], decay_names[decay_], name, table.isa, t, first,
            first + size, shift, piece);
      CHECK(untouched(begin[s], bytes), "%s %s: written beside %s at level %s, %d elements",
            this->rule().name, dtype_names[dtype_], name, table.isa, size);
    }
  }

  // The line of the table, for example: adam float32 none 4097 w=… m=… v=…
  void print(char* text, size_t room) const {
    int n = snprintf(text, room, "%s %s %s %d", rule().name, dtype_names[dtype_],
                     decay_names[decay_], count_);
    for (int s = 0; s < streams(); ++s) {
      n += snprintf(text + n, room - n, " %s=%08x", s == 0 ? "w" : rule().states[s - 1],
                    static_cast<unsigned>(crc32(values_[steps][s], count_ * sizeof(T))));
    }
    snprintf(text + n, room - n, "\n");
  }

 private:
  const Rule& rule() const { return baseline::table.rules[rule_]; }
  int streams() const { return 1 + states_; }  // without the gradient
  T* new_stream() const {
    auto* stream = static_cast<T*>(allocate(count_ * sizeof(T)));
    memset(stream, 0, count_ * sizeof(T));
    return stream;
  }

  void run(const KernelTable& table, int t, void* const* at, int count) const {
    const Kernel& kernel = table.rules[rule_].kernels[dtype_][decay_];
    Constants constants;
    kernel.prepare(hyperparameters(decay_, t), 1.0, &constants);
    kernel.run(&constants, at, count);
  }

  int rule_;
  DType dtype_;
  Decay decay_;
  int count_, states_ = 0;
  T* gradients_[steps] = {};
  T* values_[steps + 1][1 + max_states] = {};
  Buffer buffers_[max_streams] = {Buffer(count_ * sizeof(T)), Buffer(count_ * sizeof(T)),
                                  Buffer(count_ * sizeof(T)), Buffer(count_ * sizeof(T)),
                                  Buffer(count_ * sizeof(T)), Buffer(count_ * sizeof(T))};
};

// How much is tried: for an emulator, for every day, for once.
enum Effort { brief, daily, full };

// Whether a size is tried: outside of a full run those around vectors, lines, tiles and long runs.
bool is_tried(int size, Effort effort) {
  if (effort == full || size <= (effort == brief ? 20 : 70)) return true;
  for (const int border : {64, 128, 512, 1024, 2048, usual - 1}) {
    if (size >= border - 1 && size <= border + 1) return effort == daily || border <= 64;
  }
  return false;
}

template <class T>
void try_everything(const Course<T>& course, const KernelTable& table, Effort effort) {
  for (const int shift : {0, 1, 3, max_shift}) {
    for (int size = 1; size <= usual; ++size) {
      if (is_tried(size, effort)) course.compare(table, 1 + size % steps, 0, size, shift, size);
    }
    // From the middle, and in pieces: where an element lies in its array has no say.
    for (const int piece : {1, 5, 64, 511, 2051}) {
      const int size = effort == brief ? 2 * piece % 600 : 2200;
      course.compare(table, 1 + piece % steps, shift * 9, size, shift, piece);
    }
    const int t = 1 + shift % steps;  // each of them: 1, 2, 1, 2 and, below, 3
    course.compare(table, t, 0, usual, shift, usual);
  }
  course.compare(table, steps, 0, usual, 2, usual);
}

class Table {
 public:
  Table(const char* path, bool write) : file_(fopen(path, write ? "w" : "r")), write_(write) {
    if (!file_) {
      printf("cannot open %s\n", path);
      exit(2);
    }
  }
  ~Table() { fclose(file_); }
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  void compare(const char* found) {
    if (write_) {
      fputs(found, file_);
      return;
    }
    char expected[256] = "";
    const bool there = fgets(expected, sizeof expected, file_);
    CHECK(there && strcmp(expected, found) == 0,
          "expected %s   found    %s   where that is meant (a new rule, say): bits --write TABLE",
          expected, found);
  }
  void skip() {
    char unread[256];
    fgets(unread, sizeof unread, file_);
  }
  void end() {
    char rest[8];
    CHECK(write_ || !fgets(rest, sizeof rest, file_), "the table has more lines");
  }

 private:
  FILE* file_;
  bool write_;
};

// What is done to gradients before the update: sums of squares and clipping, at every level, size
// and alignment the bits of the baseline. A line of the table sums over what was found.
template <class T>
void compare_gradients(DType dtype, const Levels& levels, Table& table, Effort effort) {
  struct Scaling {
    const char* name;
    double scale, unit, second, bound;
  };
  // In units of their own: numbers whose squares leave the range of double.
  const Scaling scalings[] = {
      {"plain", 1.0, 1.0, 1.0, 0.5},
      {"scaled", -0.3, 1.0, 0.7, 1e-3},
      {"large", 1.0, 0x1p-600, 1.0, Floor<double>::largest},
      {"small", 0.7, 0x1p600, 0x1p-64, 0.0},
  };
  const GradientKernel& reference = baseline::table.gradients[dtype];
  auto* gradients = static_cast<T*>(allocate((usual + 1) * sizeof(T)));
  for (int i = 0; i < usual; ++i) gradients[i] = input<T>(1, i);
  const Buffer buffer(usual * sizeof(T)), limited(usual * sizeof(T));
  auto* expected = static_cast<T*>(allocate(usual * sizeof(T)));
  auto* sums = static_cast<double*>(allocate(usual * sizeof(double)));
  for (const Scaling& scaling : scalings) {
    for (int size = 1; size <= usual; ++size) {
      sums[size - 1] = reference.sum_of_squares(gradients, size, scaling.scale, scaling.unit);
    }
    reference.clip(gradients, expected, usual, scaling.scale, scaling.second, scaling.bound);
    char text[256];
    snprintf(text, sizeof text, "gradients %s %s %d sums=%08x clipped=%08x\n", scaling.name,
             dtype_names[dtype], usual, static_cast<unsigned>(crc32(sums, usual * sizeof(double))),
             static_cast<unsigned>(crc32(expected, usual * sizeof(T))));
    table.compare(text);
    for (int level = 0; level < levels.count; ++level) {
      const GradientKernel& kernel = levels.tables[level]->gradients[dtype];
      const char* isa = levels.tables[level]->isa;
      for (const int shift : {0, 1, 3, max_shift}) {
        for (int size = 1; size <= usual; ++size) {
          if (!is_tried(size, effort)) continue;
          const size_t bytes = size * sizeof(T);
          unsigned char* g = buffer.place(shift * sizeof(T), gradients, bytes);
          const double sum = kernel.sum_of_squares(g, size, scaling.scale, scaling.unit);
          CHECK(memcmp(&sum, &sums[size - 1], sizeof sum) == 0,
                "sum of squares, %s, %s: differs at level %s, %d elements, shift %d", scaling.name,
                dtype_names[dtype], isa, size, shift);
          unsigned char* out = limited.place((shift * 3 % 8) * sizeof(T), gradients, bytes);
          kernel.clip(g, out, size, scaling.scale, scaling.second, scaling.bound);
          CHECK(memcmp(out, expected, bytes) == 0 && memcmp(g, gradients, bytes) == 0,
                "clip, %s, %s: differs at level %s, %d elements, shift %d", scaling.name,
                dtype_names[dtype], isa, size, shift);
          kernel.clip(g, g, size, scaling.scale, scaling.second, scaling.bound);  // in place
          CHECK(memcmp(g, expected, bytes) == 0 && untouched(g, bytes) && untouched(out, bytes),
                "clip in place, %s, %s: differs at level %s, %d elements, shift %d", scaling.name,
                dtype_names[dtype], isa, size, shift);
        }
      }
    }
  }
  free(gradients);
  free(expected);
  free(sums);
}

template <class T>
void compare_kernel(int rule, DType dtype, Decay decay, const Levels& levels, Table& table,
                    Effort effort) {
  char text[256];
  {
    const Course<T> course(rule, dtype, decay, usual);
    course.print(text, sizeof text);
    table.compare(text);
    for (int i = 0; i < levels.count; ++i) try_everything(course, *levels.tables[i], effort);
  }
  const char* name = baseline::table.rules[rule].name;
  const bool with_most_state = baseline::table.rules[rule].states[2];
  const bool is_adam = strcmp(name, "adam") == 0;
  if (dtype != float32 || decay != decoupled_decay || !(with_most_state || is_adam)) return;
  if (effort == brief) return table.skip();
  const Course<T> course(rule, dtype, decay, long_run);
  course.print(text, sizeof text);
  table.compare(text);
  for (int i = 1; i < levels.count; ++i) {
    for (int t = 1; t <= steps; ++t) course.compare(*levels.tables[i], t, 0, long_run, 1, long_run);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const auto given = [&](int i, const char* word) {
    return argc > i && strcmp(argv[i], word) == 0;
  };
  const bool write = given(1, "--write"), levels_only = given(1, "--levels");
  if (argc < 2 || argc > 3 || (write && argc != 3)) {
    printf("usage: bits TABLE [--brief | --full] | bits --write TABLE | bits --levels\n");
    return 2;
  }
  const Levels levels = available_levels();
  printf("levels:");
  for (int i = 0; i < levels.count; ++i) printf(" %s", levels.tables[i]->isa);
  printf("\n");
  if (levels_only) return 0;

  const Effort effort = given(2, "--brief") ? brief : given(2, "--full") ? full : daily;
  Table table(argv[write ? 2 : 1], write);
  for (int rule = 0; rule < baseline::table.rule_count; ++rule) {
    for (const Decay decay : {no_decay, coupled_decay, decoupled_decay}) {
      compare_kernel<float>(rule, float32, decay, levels, table, effort);
      compare_kernel<double>(rule, float64, decay, levels, table, effort);
    }
  }
  compare_gradients<float>(float32, levels, table, effort);
  compare_gradients<double>(float64, levels, table, effort);
  table.end();
  return native::verdict("bits");
}
