// SPDX-License-Identifier: GPL-2.0-or-later
// Frames of version 1 (`v1-le`, as published) and version 2: docs/formats/frame.md.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "key.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  VIRP_PAYLOAD_MAX = 65279,
  VIRP_HEADER_V1 = 24,
  VIRP_HEADER_V2 = 64,
  VIRP_FRAME_MAX = VIRP_HEADER_V2 + VIRP_PAYLOAD_MAX + VIRP_TAG_MAX,
  VIRP_SOURCE_MAX = 128,
};

enum virp_type {
  VIRP_PEER_STATUS = 1,
  VIRP_PEER_DOWN = 2,
  VIRP_PROCESS = 3,
  VIRP_ROUTE_UPDATE = 4,
  VIRP_GAP = 22,
  VIRP_HEARTBEAT = 24
};
enum virp_tier { VIRP_GREEN, VIRP_YELLOW, VIRP_RED, VIRP_BLACK };

struct virp_frame_header {
  uint8_t version;  // 1 or 2
  uint8_t type, tier;
  uint64_t time_ns;   // since the Unix epoch
  uint64_t sequence;  // version 1: its lower 32 bits are written
  uint64_t epoch;     // version 2
  uint8_t source_id[16];
};

// The first 16 bytes of SHA-256 of the source's name.
void virp_source_id(const char* source, uint8_t id[16]);

size_t virp_frame_header_size(uint8_t version);
// `frame` holds room for the header, then a payload of that size, then room for the tag: writes header and tag. Returns
// the size of the whole frame; 0 when it cannot be signed: payload too large, or version 1 with Ed25519.
size_t virp_frame_seal(const struct virp_frame_header* header, const struct virp_key* key, uint8_t* frame,
                       size_t payload_size);
// The size of the frame that begins at `frame`, which virp_frame_seal wrote.
size_t virp_frame_size(const uint8_t* frame);
uint64_t virp_frame_sequence(const uint8_t* frame);  // of the same
uint64_t virp_frame_epoch(const uint8_t* frame);     // of the same; version 1: 0

#ifdef __cplusplus
}
#endif
