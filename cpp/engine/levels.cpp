// Asks this processor; see levels.hpp. Compiled for the baseline; calls no kernel.
#include "engine/levels.hpp"

#if defined(GRADSTEP_X86_LEVELS)
#if defined(_MSC_VER)
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#endif

namespace gradstep {

#if defined(GRADSTEP_X86_LEVELS)

namespace v3 {
extern const KernelTable table;
}
namespace v4 {
extern const KernelTable table;
}

namespace {

CpuidRegisters cpuid(unsigned leaf) {
#if defined(_MSC_VER)
  int out[4];
  __cpuidex(out, static_cast<int>(leaf), 0);
  return {unsigned(out[0]), unsigned(out[1]), unsigned(out[2]), unsigned(out[3])};
#else
  CpuidRegisters r;
  __cpuid_count(leaf, 0, r.eax, r.ebx, r.ecx, r.edx);
  return r;
#endif
}

unsigned xgetbv() {
#if defined(_MSC_VER)
  return static_cast<unsigned>(_xgetbv(0));
#else
  unsigned eax, edx;
  __asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
  return eax;
#endif
}

}  // namespace

Levels available_levels() {
  Levels levels{{&baseline::table}, 1};
  const ProcessorWords words = ask_processor(cpuid, xgetbv);
  if (runs_v3(words)) levels.tables[levels.count++] = &v3::table;
  if (runs_v4(words)) levels.tables[levels.count++] = &v4::table;
  return levels;
}

#else

Levels available_levels() { return {{&baseline::table}, 1}; }

#endif

}  // namespace gradstep
