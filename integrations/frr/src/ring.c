// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include "ring.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { kAlign = 8, kSkip = 1 };  // kSkip: the rest of the memory's end is not used

struct record {
  uint32_t size;  // of the payload behind it
  uint32_t flags;
};

// Head and tail count bytes since the start and never wrap, so that they differ by what is in the ring.
struct virp_ring {
  uint8_t* memory;
  size_t size;
  size_t reserved;     // of the writer: where its record begins
  size_t reserved_to;  // and ends
  _Alignas(64) _Atomic size_t head;
  _Atomic size_t written;  // records
  _Alignas(64) _Atomic size_t tail;
  _Atomic size_t read;
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
  ring->reserved = ring->reserved_to = 0;
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

// Where a record of that size would begin when everything before `head` is taken: records do not wrap.
static size_t place(const struct virp_ring* ring, size_t head, size_t need) {
  const size_t left = ring->size - head % ring->size;
  return left < need ? head + left : head;
}

void* virp_ring_reserve(struct virp_ring* ring, size_t size) {
  const size_t need = whole(size);
  const size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
  const size_t begin = place(ring, head, need);
  if (need > ring->size || begin + need - atomic_load_explicit(&ring->tail, memory_order_acquire) > ring->size)
    return NULL;
  if (begin != head) *at(ring, head) = (struct record){0, kSkip};
  *at(ring, begin) = (struct record){(uint32_t)size, 0};
  ring->reserved = begin;
  ring->reserved_to = begin + need;
  return at(ring, begin) + 1;
}

void virp_ring_commit(struct virp_ring* ring) {
  atomic_fetch_add_explicit(&ring->written, 1, memory_order_relaxed);
  atomic_store_explicit(&ring->head, ring->reserved_to, memory_order_release);
}

bool virp_ring_fits(struct virp_ring* ring, size_t first, size_t second) {
  const size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
  const size_t next = place(ring, head, whole(first)) + whole(first);
  const size_t end = place(ring, next, whole(second)) + whole(second);
  return end - atomic_load_explicit(&ring->tail, memory_order_acquire) <= ring->size;
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
  atomic_fetch_add_explicit(&ring->read, 1, memory_order_relaxed);
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
