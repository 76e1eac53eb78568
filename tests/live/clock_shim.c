// Goes below a program (LD_PRELOAD): the wall clock it sees is moved by the nanoseconds, an int64_t of this machine,
// that the file named by VIRP_CLOCK_SHIFT holds.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

typedef int (*clock_function)(clockid_t, struct timespec*);

static const volatile int64_t* shift;
static clock_function real;

__attribute__((constructor)) static void begin(void) {
  const char* const path = getenv("VIRP_CLOCK_SHIFT");
  const int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  void* const memory = file < 0 ? MAP_FAILED : mmap(NULL, sizeof(*shift), PROT_READ, MAP_SHARED, file, 0);
  if (memory != MAP_FAILED) shift = memory;
  if (file >= 0) close(file);
}

int clock_gettime(clockid_t id, struct timespec* out) {
  if (real == NULL) real = (clock_function)dlsym(RTLD_NEXT, "clock_gettime");
  const int result = real(id, out);
  if (result != 0 || id != CLOCK_REALTIME || shift == NULL) return result;
  int64_t nanoseconds = out->tv_nsec + *shift % 1000000000;
  out->tv_sec += *shift / 1000000000 + (nanoseconds < 0 ? -1 : nanoseconds / 1000000000);
  out->tv_nsec = (nanoseconds + 1000000000) % 1000000000;
  return 0;
}
