// A heap that forgets: what is freed is overwritten first, whoever frees it. Secrets lie in the arena (secret_arena.h),
// but on their way to a caller they pass through libraries that know nothing of it: protobuf's strings, gRPC's slices,
// libpq's buffers, the records of TLS. A program gets this heap by being linked with it; it is meant for those that
// hold the keys of others.
//
// Only freeing is ours, the rest stays the C library's. Blocks may be larger than was asked for: all of a block is
// overwritten. Not in builds with a sanitizer, which brings a heap of its own.
#include <malloc.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "lib/base/sanitizers.h"

#ifndef VIRP_SANITIZED_HEAP
extern "C" {

void __libc_free(void*);  // NOLINT(bugprone-reserved-identifier): glibc's own name, for programs that wrap free

void free(void* block) noexcept {
  if (block == nullptr) return;
  ::explicit_bzero(block, ::malloc_usable_size(block));
  __libc_free(block);
}

// The C library's would free the old block by its own, unwiped.
void* realloc(void* block, std::size_t size) noexcept {
  if (block == nullptr) return std::malloc(size);
  if (size == 0) {
    free(block);
    return nullptr;
  }
  const std::size_t now = ::malloc_usable_size(block);
  // Grows in place where it fits; shrinks only where much is gained.
  if (size <= now && size >= now / 2) return block;
  void* const other = std::malloc(size);
  if (other == nullptr) return nullptr;
  std::memcpy(other, block, std::min(now, size));
  free(block);
  return other;
}

void* reallocarray(void* block, std::size_t count, std::size_t each) noexcept {
  std::size_t size = 0;
  if (__builtin_mul_overflow(count, each, &size)) {
    errno = ENOMEM;
    return nullptr;
  }
  return realloc(block, size);
}
}
#endif
