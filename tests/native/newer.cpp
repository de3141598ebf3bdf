// Executes one instruction that came after SSE2. `nox -s portable` runs it on an emulated processor
// that is older: it has to die there, or the emulator would let anything pass.
//
//   newer sse3 | ssse3 | sse4.1 | popcnt | avx
#include <sys/resource.h>

#include "native.hpp"

int main(int argc, char** argv) {
  const auto given = [&](const char* name) { return argc == 2 && strcmp(argv[1], name) == 0; };
  unsigned long ones = 255;
  const rlimit no_core_file{0, 0};
  setrlimit(RLIMIT_CORE, &no_core_file);
  if (given("sse3")) {
    __asm__ volatile("haddps %%xmm0, %%xmm0" ::: "xmm0");
  } else if (given("ssse3")) {
    __asm__ volatile("pshufb %%xmm0, %%xmm0" ::: "xmm0");
  } else if (given("sse4.1")) {
    __asm__ volatile("pmulld %%xmm0, %%xmm0" ::: "xmm0");
  } else if (given("popcnt")) {
    __asm__ volatile("popcnt %0, %0" : "+r"(ones)::"cc");
  } else if (given("avx")) {
    __asm__ volatile("vaddps %%xmm0, %%xmm0, %%xmm0" ::: "xmm0");
  } else {
    printf("usage: newer sse3 | ssse3 | sse4.1 | popcnt | avx\n");
    return 2;
  }
  printf("newer: this processor runs %s\n", argv[1]);
  return 0;
}
