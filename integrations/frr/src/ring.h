// SPDX-License-Identifier: GPL-2.0-or-later
// A bounded ring of records between two threads: bgpd's own writes, the speaker's reads. Neither ever waits for the
// other, nothing is allocated after the start.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct virp_ring;

// `size` in bytes, rounded up to whole pages. NULL when there is no memory. The memory costs nothing until it is used.
struct virp_ring* virp_ring_new(size_t size);
void virp_ring_free(struct virp_ring* ring);

// The writer's: room for a record of that many bytes, aligned to 8; NULL when there is none now. It is the reader's
// from virp_ring_commit on. One at a time.
void* virp_ring_reserve(struct virp_ring* ring, size_t size);
void virp_ring_commit(struct virp_ring* ring);
// Whether records of these sizes would fit, one behind the other.
bool virp_ring_fits(struct virp_ring* ring, size_t first, size_t second);

// The reader's: the oldest record, NULL when there is none. It stays valid until virp_ring_release.
const void* virp_ring_peek(struct virp_ring* ring, size_t* size);
void virp_ring_release(struct virp_ring* ring);
// Makes memory ready that the writer is about to come to for the first time, so that it does not wait for the kernel.
// Costs two loads when there is nothing to do.
void virp_ring_warm(struct virp_ring* ring);

// Anybody's.
size_t virp_ring_size(const struct virp_ring* ring);   // what it can hold
size_t virp_ring_bytes(const struct virp_ring* ring);  // what is in it
size_t virp_ring_depth(const struct virp_ring* ring);  // records in it

#ifdef __cplusplus
}
#endif
