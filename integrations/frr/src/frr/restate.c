// SPDX-License-Identifier: GPL-2.0-or-later
// Facts said again: the peers' states at once, tables a few prefixes at a time, each ended by table_complete. One table
// after the other over all instances; changes meanwhile come between and are newer.
#include "virp_module.h"

enum { kPerStep = 200, kStepMs = 1, kBusyMs = 100 };

static struct {
  bool running;
  struct bgp* bgp;  // held
  struct bgp_table* table;
  struct bgp_dest* dest;  // held; the next one to say
  afi_t afi;
  uint64_t first_sequence;
  virp_task* timer;
} walk;

static void step(virp_task* task);

static void later(unsigned milliseconds) {
  virp_after(virp.loop, step, milliseconds, &walk.timer);
}

static void let_go(void) {
  if (walk.dest != NULL) bgp_dest_unlock_node(walk.dest);
  if (walk.table != NULL) bgp_table_unlock(walk.table);
  if (walk.bgp != NULL) bgp_unlock(walk.bgp);
  walk.dest = NULL;
  walk.table = NULL;
  walk.bgp = NULL;
}

// The instance behind the one that was walked; NULL behind the last. Instances that went meanwhile end the walk early.
static struct bgp* next_instance(const struct bgp* behind) {
  struct listnode* node;
  struct bgp* bgp;
  bool take = behind == NULL;
  for (ALL_LIST_ELEMENTS_RO(bm->bgp, node, bgp)) {
    if (take) return bgp;
    take = bgp == behind;
  }
  return NULL;
}

static bool begin_table(struct bgp* bgp, afi_t afi) {
  if (bgp != walk.bgp) walk.first_sequence = virp.sequence + 1;
  let_go();
  if (bgp == NULL) return false;
  walk.bgp = bgp_lock(bgp);
  walk.afi = afi;
  walk.table = bgp->rib[afi][SAFI_UNICAST];
  bgp_table_lock(walk.table);
  walk.dest = bgp_table_top(walk.table);
  return true;
}

static void end_instance(void) {
  struct listnode* node;
  struct peer* peer;
  for (ALL_LIST_ELEMENTS_RO(walk.bgp->peer, node, peer)) {
    if (virp_peer_is_configured(peer)) virp_peer_tables_stated(peer, walk.first_sequence, true);
  }
}

static void say(struct bgp_dest* dest) {
  for (struct bgp_path_info* path = bgp_dest_get_bgp_path_info(dest); path != NULL; path = path->next) {
    if (virp_path_counts(path) && virp_peer_state(path->peer) == Established)
      virp_state_path(walk.bgp, walk.afi, dest, path);
  }
  virp_state_best(walk.bgp, walk.afi, dest);
}

static bool next_table(void) {
  if (walk.afi == AFI_IP && virp_family_wanted(AFI_IP6, SAFI_UNICAST)) return begin_table(walk.bgp, AFI_IP6);
  end_instance();
  return begin_table(next_instance(walk.bgp), virp_family_wanted(AFI_IP, SAFI_UNICAST) ? AFI_IP : AFI_IP6);
}

static void step(virp_task* task) {
  (void)task;
  walk.timer = NULL;
  if (!virp.on || virp.stopping) return virp_restate_stop();
  // What happens now goes first: a walk may not fill the ring.
  if (virp_ring_bytes(virp.ring) > virp_ring_size(virp.ring) / 4) return later(kBusyMs);
  for (int i = 0; i < kPerStep && walk.dest != NULL; ++i) {
    say(walk.dest);
    walk.dest = bgp_route_next(walk.dest);  // lets the one before go
  }
  if (walk.dest == NULL && !next_table()) {
    walk.running = false;
    return;
  }
  later(kStepMs);
}

void virp_restate(bool tables) {
  virp_restate_peers();
  if (!tables || walk.running || (!virp.config.family[0] && !virp.config.family[1])) return;
  walk.running = begin_table(next_instance(NULL), virp.config.family[0] ? AFI_IP : AFI_IP6);
  if (walk.running) later(kStepMs);
}

void virp_restate_stop(void) {
  virp_cancel(&walk.timer);
  let_go();
  walk.running = false;
}

void virp_restate_without(const struct bgp* bgp) {
  if (walk.bgp != bgp) return;
  virp_restate_stop();
  virp.restate_tables = virp.on;  // the others' from the beginning
}
