// Processor detection and the choice of a level. Compiled for the baseline; calls no kernel.
#include "dispatch.hpp"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#if defined(GRADSTEP_X86_LEVELS)
#if defined(_MSC_VER)
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#endif

namespace gradstep {

namespace baseline {
extern const KernelTable table;
}
#if defined(GRADSTEP_X86_LEVELS)
namespace v3 {
extern const KernelTable table;
}
namespace v4 {
extern const KernelTable table;
}
#endif

namespace {

#if defined(GRADSTEP_X86_LEVELS)

struct Registers {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers cpuid(unsigned leaf) {
  Registers r;
#if defined(_MSC_VER)
  int highest[4], out[4];
  __cpuid(highest, static_cast<int>(leaf & 0x80000000u));
  if (static_cast<unsigned>(highest[0]) < leaf) return r;
  __cpuidex(out, static_cast<int>(leaf), 0);
  r = {unsigned(out[0]), unsigned(out[1]), unsigned(out[2]), unsigned(out[3])};
#else
  if (__get_cpuid_max(leaf & 0x80000000u, nullptr) < leaf) return r;
  __cpuid_count(leaf, 0, r.eax, r.ebx, r.ecx, r.edx);
#endif
  return r;
}

// The register files that the operating system saves on a context switch (XCR0).
unsigned saved_registers() {
#if defined(_MSC_VER)
  return static_cast<unsigned>(_xgetbv(0));
#else
  unsigned eax, edx;
  __asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
  return eax;
#endif
}

constexpr bool all(unsigned have, unsigned want) { return (have & want) == want; }
constexpr unsigned bit(int n) { return 1u << n; }

// The whole feature group of the x86-64 psABI's level, not only the instructions we expect to use:
// the compiler may use any of them.
bool runs_v3() {
  const Registers one = cpuid(1), seven = cpuid(7), extended = cpuid(0x80000001u);
  // SSE3, SSSE3, FMA, CMPXCHG16B, SSE4.1, SSE4.2, MOVBE, POPCNT, OSXSAVE, AVX, F16C
  const unsigned ecx = bit(0) | bit(9) | bit(12) | bit(13) | bit(19) | bit(20) | bit(22) | bit(23) |
                       bit(27) | bit(28) | bit(29);
  if (!all(one.ecx, ecx)) return false;
  if (!all(saved_registers(), bit(1) | bit(2))) return false;  // xmm, ymm
  return all(seven.ebx, bit(3) | bit(5) | bit(8))              // BMI1, AVX2, BMI2
         && all(extended.ecx, bit(0) | bit(5));                // LAHF/SAHF, LZCNT
}

bool runs_v4() {
  // opmask, the upper halves of zmm0–15, zmm16–31
  return runs_v3() && all(saved_registers(), bit(5) | bit(6) | bit(7)) &&
         // AVX-512 F, DQ, CD, BW, VL
         all(cpuid(7).ebx, bit(16) | bit(17) | bit(28) | bit(30) | bit(31));
}

#endif

// Lowest first.
std::vector<const KernelTable*> available_tables() {
  std::vector<const KernelTable*> tables{&baseline::table};
#if defined(GRADSTEP_X86_LEVELS)
  if (runs_v3()) tables.push_back(&v3::table);
  if (runs_v4()) tables.push_back(&v4::table);
#endif
  return tables;
}

std::atomic<const KernelTable*> active{&baseline::table};

}  // namespace

const KernelTable& active_table() { return *active.load(std::memory_order_acquire); }

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const KernelTable* table : available_tables()) names.emplace_back(table->isa);
  return names;
}

void use_isa(const std::string& name) {
  std::string known;
  for (const KernelTable* table : available_tables()) {
    if (name == table->isa) {
      active.store(table, std::memory_order_release);
      return;
    }
    known += (known.empty() ? "" : ", ") + std::string(table->isa);
  }
  throw std::invalid_argument(
      "instruction-set level '" + name +
      "' is unknown or not supported by this processor; available: " + known);
}

void choose_isa() {
  const char* wanted = std::getenv("GRADSTEP_ISA");
  use_isa(wanted && *wanted ? wanted : available_isas().back());
}

}  // namespace gradstep
