// SPDX-License-Identifier: GPL-2.0-or-later
// What the hooks saw, as it lies in the ring: copied there on bgpd's thread, made into payloads on the speaker's.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text.h"

#ifdef __cplusplus
extern "C" {
#endif

enum virp_kind {
  VIRP_SAW_STATE = 1,       // type 1
  VIRP_SAW_DOWN,            // type 2
  VIRP_SAW_ANNOUNCE,        // type 3
  VIRP_SAW_WITHDRAW,        // type 3
  VIRP_SAW_TABLE_COMPLETE,  // type 3
  VIRP_SAW_BEST,            // type 4
  VIRP_SAW_LOSS,            // type 22
  VIRP_SAW_BEAT,            // type 24
  VIRP_SAW_EPOCH,           // no frame: a new epoch begins
  VIRP_SAW_DISABLED,        // the last one: a beat (version 2) or a gap (version 1)
  VIRP_SAW_CLOSE,           // no frame: send what there is, then close the connection
};

enum virp_rib { VIRP_RIB_NONE, VIRP_ADJ_IN_POST, VIRP_LOC };
enum virp_red_rule {
  VIRP_NO_RULE,
  VIRP_PROTECTED_ORIGIN,
  VIRP_PROTECTED_GONE,
  VIRP_SESSIONS_LOST,
  VIRP_MAXIMUM_PREFIX
};

struct virp_address {
  uint8_t family;  // 4 or 6; 0: none
  uint8_t length;  // of a prefix
  uint8_t bytes[16];
};

// A route's attributes; its strings lie in the event's text.
struct virp_route {
  struct virp_address nexthop;
  struct virp_address peer_addr;
  uint32_t peer_as;
  uint32_t med, local_pref;
  uint8_t origin;  // 0 IGP, 1 EGP, 2 INCOMPLETE
  bool has_med, has_local_pref;
  uint16_t peer_size, as_path_size, communities_size;
};

// Behind it lie `routes` routes (VIRP_SAW_BEST: first the old one when `has_old`, then the new one when `has_new`),
// then the text: vrf, peer, reason, and of each route peer, AS path and communities.
struct virp_event {
  uint8_t kind, tier, rib, red_rule;
  uint8_t routes;
  bool has_old, has_new;
  bool restated;
  uint8_t old_state, new_state;  // as BGP numbers them; 0: unknown
  uint8_t afi, safi;             // VIRP_SAW_TABLE_COMPLETE: afi 3 is both
  uint16_t vrf_size, peer_size, reason_size;
  uint64_t sequence, time_ns;
  uint8_t router_id[4];
  uint32_t peer_as, local_as;
  uint8_t peer_bgp_id[4];
  struct virp_address peer_addr, prefix;
  uint32_t path_id;
  uint32_t last_event, uptime;  // VIRP_SAW_DOWN; seconds
  uint64_t from, to;            // VIRP_SAW_LOSS; VIRP_SAW_TABLE_COMPLETE: `from` is first_sequence, 0 for none
  uint64_t left_epoch;          // VIRP_SAW_LOSS: of an earlier run, which ended before these were sent; 0: of this one
  uint64_t lost, depth, established, config;  // VIRP_SAW_BEAT, VIRP_SAW_DISABLED
};

// What a payload needs beyond the event.
struct virp_voice {
  uint8_t version;     // of the frames
  const char* source;  // name
  uint64_t epoch;
  const char* build_id;
  uint8_t source_id[16];
};

// The event's type; 0 for those that are no frame.
uint8_t virp_event_type(const struct virp_event* event, uint8_t version);
// Writes the payload. False when it does not fit, or there is none.
bool virp_event_payload(const struct virp_event* event, const struct virp_voice* voice, struct virp_text* text);

const char* virp_state_name(uint8_t state);

// Sizes of the parts of an event, for who writes one.
static inline struct virp_route* virp_event_routes(struct virp_event* event) {
  return (struct virp_route*)(void*)(event + 1);
}
static inline char* virp_event_text(struct virp_event* event) {
  return (char*)(virp_event_routes(event) + event->routes);
}

#ifdef __cplusplus
}
#endif
