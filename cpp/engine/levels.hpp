// Which instruction-set levels a processor runs, as a pure function of what it says of itself, and
// the tables of those that this one runs. Which of them is in use: dispatch.hpp. Nothing of the
// standard library, so that programs without it can use this as well.
#pragma once

#include "engine/kernels.hpp"

namespace gradstep {

// The words of CPUID and XCR0 that decide. What the processor does not offer is zero.
struct ProcessorWords {
  unsigned leaf1_ecx = 0, leaf7_ebx = 0, extended_ecx = 0;  // leaves 1, 7 and 0x80000001
  unsigned saved = 0;  // XCR0: the register files that the operating system saves
};

struct CpuidRegisters {
  unsigned eax, ebx, ecx, edx;
};

constexpr bool all_bits(unsigned have, unsigned want) { return (have & want) == want; }
constexpr unsigned bit(int n) { return 1u << n; }
constexpr unsigned osxsave = bit(27);  // of leaf 1, ECX: the system lets XCR0 be read

// Asks for the words: `cpuid(leaf)` as the instruction answers (subleaf 0), `xgetbv()` as XCR0. A
// leaf beyond the highest one is not asked for, because Intel's processors answer it with another
// leaf's words; nor XCR0 where reading it is an illegal instruction.
template <class Cpuid, class Xgetbv>
ProcessorWords ask_processor(Cpuid cpuid, Xgetbv xgetbv) {
  ProcessorWords words;
  const unsigned highest = cpuid(0u).eax;
  if (highest >= 1) words.leaf1_ecx = cpuid(1u).ecx;
  if (highest >= 7) words.leaf7_ebx = cpuid(7u).ebx;
  // Not below 0x80000000 as well: a processor without extended leaves answers anything.
  const unsigned extended = cpuid(0x80000000u).eax;
  if (extended >= 0x80000001u) words.extended_ecx = cpuid(0x80000001u).ecx;
  if (all_bits(words.leaf1_ecx, osxsave)) words.saved = xgetbv();
  return words;
}

// The whole feature group of the x86-64 psABI's level, not only the instructions we expect to use:
// the compiler may use any of them. And the registers have to survive a context switch.
constexpr bool runs_v3(const ProcessorWords& p) {
  // SSE3, SSSE3, FMA, CMPXCHG16B, SSE4.1, SSE4.2, MOVBE, POPCNT, AVX, F16C
  return all_bits(p.leaf1_ecx, bit(0) | bit(9) | bit(12) | bit(13) | bit(19) | bit(20) | bit(22) |
                                   bit(23) | osxsave | bit(28) | bit(29)) &&
         all_bits(p.leaf7_ebx, bit(3) | bit(5) | bit(8)) &&  // BMI1, AVX2, BMI2
         all_bits(p.extended_ecx, bit(0) | bit(5)) &&        // LAHF/SAHF, LZCNT
         all_bits(p.saved, bit(1) | bit(2));                 // xmm, ymm
}

constexpr bool runs_v4(const ProcessorWords& p) {
  return runs_v3(p) &&
         // AVX-512 F, DQ, CD, BW, VL
         all_bits(p.leaf7_ebx, bit(16) | bit(17) | bit(28) | bit(30) | bit(31)) &&
         // opmask, the upper halves of zmm0–15, zmm16–31
         all_bits(p.saved, bit(5) | bit(6) | bit(7));
}

namespace baseline {
extern const KernelTable table;  // of the level that every processor runs
}

// The tables of the levels that were built and that this processor runs, lowest first.
constexpr int max_levels = 3;
struct Levels {
  const KernelTable* tables[max_levels];
  int count;
};
Levels available_levels();

}  // namespace gradstep
