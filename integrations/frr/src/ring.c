// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include "ring.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
  kAlign = 8,
  kSkip = 1,           // the rest of the memory's end is not used
  kWarm = 4 << 20,     // how far ahead of the writer memory is made ready,
  kWarmStep = 1 << 20  // and in what pieces
};

struct record {
  uint32_t size;  // of the payload behind it
  uint32_t flags;
};

// Head and tail count bytes since the start and never wrap, so that they differ by what is in the ring.
struct virp_ring {
  uint8_t* memory;
  size_t size;
  // The writer's own: where its record ends, in the memory and as head counts, where head is in the memory, and tail as
  // it was when last looked at.
  size_t reserved, reserved_to, head_at, tail_seen;
  _Alignas(64) _Atomic size_t head;
  _Atomic size_t written;  // records
  _Alignas(64) _Atomic size_t tail;
  _Atomic size_t read;
  size_t warm;  // the reader's own: so much of the memory has been made ready
};

static size_t whole(size_t size) {
  return (sizeof(struct record) + size + kAlign - 1) & ~(size_t)(kAlign - 1);
}
static struct record* at(const struct virp_ring* ring, size_t position) {
  return (struct record*)(void*)(ring->memory + position % ring->size);
}

struct virp_ring* virp_ring_new(size_t size) {
  struct virp_ring* const ring = aligned_alloc(64, sizeof(struct virp_ring));
  if (ring == NULL) return NULL;
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  ring->size = size < page ? page : (size + page - 1) / page * page;
  ring->memory = mmap(NULL, ring->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (ring->memory == MAP_FAILED) {
    free(ring);
    return NULL;
  }
  ring->reserved = ring->reserved_to = ring->head_at = ring->tail_seen = ring->warm = 0;
  atomic_init(&ring->head, 0);
  atomic_init(&ring->written, 0);
  atomic_init(&ring->tail, 0);
  atomic_init(&ring->read, 0);
  return ring;
}

void virp_ring_free(struct virp_ring* ring) {
  if (ring == NULL) return;
  munmap(ring->memory, ring->size);
  free(ring);
}

// How many bytes at the memory's end a record of that size leaves unused when everything before `at` is taken: records
// do not wrap.
static size_t skipped(const struct virp_ring* ring, size_t place, size_t need) {
  const size_t left = ring->size - place;
  return left < need ? left : 0;
}

// Whether there is room up to `end`. The reader's tail is looked at only when it did not go far enough before: it lies
// where the reader writes.
static bool is_free(struct virp_ring* ring, size_t end) {
  if (end - ring->tail_seen <= ring->size) return true;
  ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
  return end - ring->tail_seen <= ring->size;
}

void* virp_ring_reserve(struct virp_ring* ring, size_t size) {
  const size_t need = whole(size);
  const size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
  if (need > ring->size) return NULL;
  const size_t skip = skipped(ring, ring->head_at, need), begin = head + skip;
  if (!is_free(ring, begin + need)) return NULL;
  struct record* record = (struct record*)(void*)(ring->memory + ring->head_at);
  if (skip > 0) {
    *record = (struct record){0, kSkip};
    record = (struct record*)(void*)ring->memory;
  }
  *record = (struct record){(uint32_t)size, 0};
  ring->reserved = (size_t)((uint8_t*)record - ring->memory) + need;
  ring->reserved_to = begin + need;
  return record + 1;
}

void virp_ring_commit(struct virp_ring* ring) {
  const size_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);
  ring->head_at = ring->reserved == ring->size ? 0 : ring->reserved;
  atomic_store_explicit(&ring->written, written + 1, memory_order_relaxed);
  atomic_store_explicit(&ring->head, ring->reserved_to, memory_order_release);
}

bool virp_ring_fits(struct virp_ring* ring, size_t first, size_t second) {
  size_t end = atomic_load_explicit(&ring->head, memory_order_relaxed), place = ring->head_at;
  for (int i = 0; i < 2; ++i) {
    const size_t need = whole(i == 0 ? first : second), skip = skipped(ring, place, need);
    end += skip + need;
    place = (skip > 0 ? 0 : place) + need;
    if (place == ring->size) place = 0;
  }
  return is_free(ring, end);
}

void virp_ring_warm(struct virp_ring* ring) {
  if (ring->warm == ring->size) return;
  const size_t wanted = atomic_load_explicit(&ring->head, memory_order_relaxed) + kWarm;
  const size_t to = wanted < ring->size ? wanted / kWarmStep * kWarmStep : ring->size;
  if (to <= ring->warm) return;
#ifdef MADV_POPULATE_WRITE  // Linux 5.14; where it fails the writer finds its memory as it did before
  madvise(ring->memory + ring->warm, to - ring->warm, MADV_POPULATE_WRITE);
#endif
  ring->warm = to;
}

const void* virp_ring_peek(struct virp_ring* ring, size_t* size) {
  size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
  if (tail == atomic_load_explicit(&ring->head, memory_order_acquire)) return NULL;
  if (at(ring, tail)->flags == kSkip) {
    tail += ring->size - tail % ring->size;
    atomic_store_explicit(&ring->tail, tail, memory_order_release);
  }
  *size = at(ring, tail)->size;
  return at(ring, tail) + 1;
}

void virp_ring_release(struct virp_ring* ring) {
  const size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
  const size_t read = atomic_load_explicit(&ring->read, memory_order_relaxed);
  atomic_store_explicit(&ring->read, read + 1, memory_order_relaxed);
  atomic_store_explicit(&ring->tail, tail + whole(at(ring, tail)->size), memory_order_release);
}

size_t virp_ring_size(const struct virp_ring* ring) {
  return ring->size;
}
size_t virp_ring_bytes(const struct virp_ring* ring) {
  const size_t tail = atomic_load(&((struct virp_ring*)ring)->tail);
  return atomic_load(&((struct virp_ring*)ring)->head) - tail;
}
size_t virp_ring_depth(const struct virp_ring* ring) {
  const size_t read = atomic_load(&((struct virp_ring*)ring)->read);
  return atomic_load(&((struct virp_ring*)ring)->written) - read;
}
