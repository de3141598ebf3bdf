// The allocator of the C library, made to fail for the calling thread: preloaded by
// test_interruption.py. All that Python (with PYTHONMALLOC=malloc), NumPy and C++ allocate passes here.
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static __thread long before, count;

// From now on `first` allocations succeed and the next `failures` fail.
void fail_after(long first, long failures) {
  before = first;
  count = failures;
}

// How many of the failures were still to come. None will.
long stop_failing(void) {
  const long left = count;
  count = 0;
  return left;
}

static int fails(void) {
  if (count == 0 || before-- > 0) return 0;
  --count;
  errno = ENOMEM;
  return 1;
}

void *malloc(size_t size) { return fails() ? NULL : __libc_malloc(size); }
void *calloc(size_t n, size_t size) { return fails() ? NULL : __libc_calloc(n, size); }
void *realloc(void *old, size_t size) { return fails() ? NULL : __libc_realloc(old, size); }
void *memalign(size_t to, size_t size) { return fails() ? NULL : __libc_memalign(to, size); }
void *aligned_alloc(size_t to, size_t size) { return memalign(to, size); }
int posix_memalign(void **found, size_t to, size_t size) {
  *found = memalign(to, size);
  return *found ? 0 : ENOMEM;
}
