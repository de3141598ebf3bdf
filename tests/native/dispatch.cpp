// Which levels a processor is given, for processors that are made up: one feature is taken away at
// a time. The features are those of the x86-64 psABI (section 3.1.1, table 3.1), with the positions
// that the processors' manuals give them; nothing is taken from the masks of the code.
#include "engine/levels.hpp"
#include "native.hpp"

namespace {

enum Word { leaf1_ecx, leaf7_ebx, extended_ecx, xcr0, words };
const char* const word_names[words] = {"leaf 1 ECX", "leaf 7 EBX", "leaf 80000001 ECX", "XCR0"};

struct Feature {
  const char* name;
  Word word;
  int bit;
  int level;  // the lowest that asks for it
};

const Feature features[] = {
    // x86-64-v2
    {"SSE3", leaf1_ecx, 0, 2},
    {"SSSE3", leaf1_ecx, 9, 2},
    {"CMPXCHG16B", leaf1_ecx, 13, 2},
    {"SSE4.1", leaf1_ecx, 19, 2},
    {"SSE4.2", leaf1_ecx, 20, 2},
    {"POPCNT", leaf1_ecx, 23, 2},
    {"LAHF-SAHF", extended_ecx, 0, 2},
    // x86-64-v3
    {"FMA", leaf1_ecx, 12, 3},
    {"MOVBE", leaf1_ecx, 22, 3},
    {"OSXSAVE", leaf1_ecx, 27, 3},
    {"AVX", leaf1_ecx, 28, 3},
    {"F16C", leaf1_ecx, 29, 3},
    {"BMI1", leaf7_ebx, 3, 3},
    {"AVX2", leaf7_ebx, 5, 3},
    {"BMI2", leaf7_ebx, 8, 3},
    {"LZCNT", extended_ecx, 5, 3},
    {"xmm state", xcr0, 1, 3},
    {"ymm state", xcr0, 2, 3},
    // x86-64-v4
    {"AVX512F", leaf7_ebx, 16, 4},
    {"AVX512DQ", leaf7_ebx, 17, 4},
    {"AVX512CD", leaf7_ebx, 28, 4},
    {"AVX512BW", leaf7_ebx, 30, 4},
    {"AVX512VL", leaf7_ebx, 31, 4},
    {"opmask state", xcr0, 5, 4},
    {"zmm0-15 upper state", xcr0, 6, 4},
    {"zmm16-31 state", xcr0, 7, 4},
};

// A processor that is made up: what it answers, and whether it was asked what it cannot answer.
struct Processor {
  uint32_t word[words];
  uint32_t highest = 0x20, highest_extended = 0x80000008;
  mutable bool died = false;  // of xgetbv

  gradstep::CpuidRegisters cpuid(uint32_t leaf) const {
    constexpr uint32_t junk = 0xFFFFFFFF;  // what lies beyond the highest leaf is some other leaf's
    if (leaf == 0) return {highest, junk, junk, junk};
    if (leaf == 0x80000000) return {highest_extended, junk, junk, junk};
    if (leaf == 1 && leaf <= highest) return {junk, junk, word[leaf1_ecx], junk};
    if (leaf == 7 && leaf <= highest) return {junk, word[leaf7_ebx], junk, junk};
    if (leaf == 0x80000001 && leaf <= highest_extended)
      return {junk, junk, word[extended_ecx], junk};
    return {junk, junk, junk, junk};
  }

  // The level that the package gives it: 1, 3 or 4.
  int level() const {
    const auto xgetbv = [this] {
      if (!(word[leaf1_ecx] >> 27 & 1)) died = true;
      return word[xcr0];
    };
    const auto answers =
        gradstep::ask_processor([this](uint32_t leaf) { return cpuid(leaf); }, xgetbv);
    const bool v3 = runs_v3(answers), v4 = runs_v4(answers);
    CHECK(v3 || !v4, "v4 without v3");
    CHECK(!died, "xgetbv was executed where it is an illegal instruction");
    return v4 ? 4 : v3 ? 3 : 1;
  }
};

// All that the levels up to this one ask for, and nothing else.
Processor processor_of(int level) {
  Processor made{};
  for (const Feature& f : features) {
    if (f.level <= level) made.word[f.word] |= uint32_t{1} << f.bit;
  }
  return made;
}

// Every bit that there is, known or not.
Processor everything() {
  Processor made{};
  for (uint32_t& word : made.word) word = 0xFFFFFFFF;
  return made;
}

void take_away_one_at_a_time(const Processor& from) {
  for (const Feature& f : features) {
    Processor lacking = from;
    lacking.word[f.word] &= ~(uint32_t{1} << f.bit);
    const int expected = f.level == 4 ? 3 : 1, found = lacking.level();
    CHECK(found == expected, "without %s (%s, bit %d): level %d instead of %d", f.name,
          word_names[f.word], f.bit, found, expected);
  }
}

}  // namespace

int main() {
  CHECK(everything().level() == 4, "with every feature: level %d", everything().level());
  for (const int level : {3, 4}) {
    const int found = processor_of(level).level();
    CHECK(found == level, "with all of level %d and no more: level %d", level, found);
  }
  CHECK(processor_of(2).level() == 1, "level 2 is the baseline here");
  CHECK(processor_of(0).level() == 1, "a processor of nothing");

  take_away_one_at_a_time(everything());
  take_away_one_at_a_time(processor_of(4));

  // Where a leaf is not offered, what is read there anyway belongs to another one.
  for (const uint32_t highest : {0u, 1u, 6u}) {
    Processor old = everything();
    old.highest = highest;
    CHECK(old.level() == 1, "leaf 7 was read where leaf %u is the highest", highest);
  }
  for (const uint32_t highest : {0u, 0x6Fu, 0x80000000u}) {
    Processor old = everything();
    old.highest_extended = highest;
    CHECK(old.level() == 1, "leaf 80000001 was read where %x is the highest", highest);
  }
  return native::verdict("dispatch");
}
