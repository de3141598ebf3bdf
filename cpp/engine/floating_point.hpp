// The processor's floating-point mode: a step runs in IEEE 754's default one, whatever the caller
// had set, and gives the caller's back untouched, exception flags included.
#pragma once

#include <cstdint>

#if defined(__x86_64__) || defined(_M_X64)
#include <xmmintrin.h>
#endif

namespace gradstep {

class DefaultFloatingPointMode {
 public:
  DefaultFloatingPointMode() : saved_(read()) { write({default_control, saved_.status}); }
  ~DefaultFloatingPointMode() { write(saved_); }
  DefaultFloatingPointMode(const DefaultFloatingPointMode&) = delete;
  DefaultFloatingPointMode& operator=(const DefaultFloatingPointMode&) = delete;

 private:
  struct Registers {
    std::uint64_t control, status;
  };
#if defined(__x86_64__) || defined(_M_X64)
  // MXCSR holds both: round to nearest, all exceptions masked, denormals honoured.
  static constexpr std::uint64_t default_control = 0x1F80;
  static Registers read() { return {_mm_getcsr(), 0}; }
  static void write(Registers r) { _mm_setcsr(static_cast<unsigned>(r.control)); }
#elif defined(__aarch64__)
  static constexpr std::uint64_t default_control = 0;
  static Registers read() {
    Registers r;
    __asm__ volatile("mrs %0, fpcr\n\tmrs %1, fpsr" : "=r"(r.control), "=r"(r.status));
    return r;
  }
  static void write(Registers r) {
    __asm__ volatile("msr fpcr, %0\n\tmsr fpsr, %1" : : "r"(r.control), "r"(r.status));
  }
#else
  static constexpr std::uint64_t default_control = 0;
  static Registers read() { return {0, 0}; }
  static void write(Registers) {}
#endif
  Registers saved_;
};

}  // namespace gradstep
