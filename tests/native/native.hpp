// What the programs of tests/native share: saying what failed, and bytes that must stay as they
// are. C facilities alone, so that the programs over kernels link with any C library and no C++
// one.
#pragma once

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <initializer_list>  // for loops over lists; nothing to link

namespace native {

inline long failures = 0;

// Says what failed, and goes on: the first few failures together say more than one.
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
inline void fail(const char* file, int line, const char* format, ...) {
  constexpr long most = 20;
  if (failures++ >= most) return;
  printf("%s:%d: ", file, line);
  va_list values;
  va_start(values, format);
  vprintf(format, values);
  va_end(values);
  printf("\n");
}

// What `main` returns.
inline int verdict(const char* program) {
  if (failures) {
    printf("%s: %ld failed\n", program, failures);
    return 1;
  }
  printf("%s: all is well\n", program);
  return 0;
}

}  // namespace native

// CHECK(holds, "what is wrong, like printf", values...)
#define CHECK(holds, ...)                                        \
  do {                                                           \
    if (!(holds)) native::fail(__FILE__, __LINE__, __VA_ARGS__); \
  } while (0)
