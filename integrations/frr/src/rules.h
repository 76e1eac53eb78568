// SPDX-License-Identifier: GPL-2.0-or-later
// The RED rules' memory: which sessions were lost lately, which prefixes are protected. Pure.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { VIRP_PROTECTED_MAX = 64, VIRP_ORIGINS_MAX = 8, VIRP_LIST_NAME_MAX = 64, VIRP_LOST_MAX = 1024 };

struct virp_protected {
  char list[VIRP_LIST_NAME_MAX];  // of a prefix-list of the router
  uint32_t origins[VIRP_ORIGINS_MAX];
  uint32_t origin_count;
};

struct virp_rules {
  uint32_t lost_more_than;  // sessions; 0: no rule
  uint32_t lost_within;     // seconds
  bool maximum_prefix;
  struct virp_protected lists[VIRP_PROTECTED_MAX];
  uint32_t list_count;
  uint64_t lost_at[VIRP_LOST_MAX];  // seconds, newest at (lost_count - 1) % VIRP_LOST_MAX
  uint64_t lost_count;
};

// A session was lost at `now`: whether more than N were within T.
bool virp_rules_session_lost(struct virp_rules* rules, uint64_t now);
// Adds an origin to a list's; false when there is no room.
bool virp_rules_protect(struct virp_rules* rules, const char* list, uint32_t origin);
bool virp_rules_unprotect(struct virp_rules* rules, const char* list);  // false: it was not there
bool virp_rules_origin_known(const struct virp_protected* list, uint32_t origin);
// The last AS of a path as bgpd writes it ("64501 64510"); 0 when it ends in a set, or is empty.
uint32_t virp_rules_origin_of(const char* as_path, size_t size);

#ifdef __cplusplus
}
#endif
