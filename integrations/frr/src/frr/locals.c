// SPDX-License-Identifier: GPL-2.0-or-later
// Best paths of this router's own, as long as they are selected: when one goes, bgpd calls after it has let go of it,
// and what was there can be learnt from nobody else.
#include "virp_module.h"

enum { kLocalBuckets = 4096, kLocalMax = 65536, kPerTick = 2000 };

struct local {
  struct local* chain;
  struct bgp* bgp;
  struct bgp_table* table;
  struct bgp_dest* dest;
  struct attr* attr;
};

static struct local* locals[kLocalBuckets];
static size_t local_count, next_bucket;

static struct local** place_of(const struct bgp_dest* dest) {
  struct local** at = &locals[((uintptr_t)dest >> 5) % kLocalBuckets];
  while (*at != NULL && (*at)->dest != dest) at = &(*at)->chain;
  return at;
}

static void drop_local(struct local** place) {
  struct local* const gone = *place;
  *place = gone->chain;
  virp_let_go(gone->attr);
  bgp_dest_unlock_node(gone->dest);
  bgp_table_unlock(gone->table);
  bgp_unlock(gone->bgp);
  free(gone);
  --local_count;
}

static void keep_local(struct bgp* bgp, struct bgp_dest* dest, struct attr* attr) {
  struct local** const place = place_of(dest);
  if (*place != NULL) {
    virp_let_go((*place)->attr);
    (*place)->attr = virp_hold(attr);
    return;
  }
  struct local* const at = local_count < kLocalMax ? malloc(sizeof(*at)) : NULL;
  if (at == NULL) return;  // that it goes will be seen with the next restatement
  *at = (struct local){NULL, bgp_lock(bgp), bgp_dest_table(dest), bgp_dest_lock_node(dest), virp_hold(attr)};
  bgp_table_lock(at->table);
  *place = at;
  ++local_count;
}

// NULL: of all instances.
void virp_locals_forget(const struct bgp* bgp) {
  for (size_t i = 0; i < kLocalBuckets; ++i) {
    for (struct local** at = &locals[i]; *at != NULL;) {
      if (bgp == NULL || (*at)->bgp == bgp)
        drop_local(at);
      else
        at = &(*at)->chain;
    }
  }
}

void virp_say_local(struct bgp* bgp, struct bgp_dest* dest, uint8_t afi, struct bgp_path_info* path, bool restated) {
  virp_say_path(VIRP_SAW_ANNOUNCE, dest, afi, path->peer, path->attr, 0, true, restated);
  keep_local(bgp, dest, path->attr);
}

struct attr* virp_local_attr(const struct bgp_dest* dest) {
  const struct local* const at = *place_of(dest);
  return at == NULL ? NULL : at->attr;
}

void virp_local_gone(const struct bgp_dest* dest) {
  struct local** const at = place_of(dest);
  if (*at != NULL) drop_local(at);
}

void virp_locals_tick(void) {
  size_t looked = 0;
  for (size_t i = 0; i < kLocalBuckets && looked < kPerTick; ++i) {
    for (const struct local* at = locals[next_bucket]; at != NULL; at = at->chain, ++looked)
      virp_local_look(at->bgp, at->dest);
    next_bucket = (next_bucket + 1) % kLocalBuckets;
  }
}
