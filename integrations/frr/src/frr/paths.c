// SPDX-License-Identifier: GPL-2.0-or-later
// Types 3 and 4. The hook bgp_process fires before attributes change, with `withdraw` also for replacements, refreshes
// and what policy refused; and 8.4 has none for best paths. So the first hook of a prefix keeps what was there (its
// paths and the selected one, with references), and what is there later is compared with it: paths at the prefix's next
// hook or when bgpd is done with it, whichever comes first, the best path when bgpd is done. Attributes are interned,
// so the same pointer is the same attributes, as long as we hold it.
#include <sys/mman.h>

#include "virp_module.h"

enum {
  kInline = 2,     // paths of a prefix that need no memory of their own
  kWaitMs = 60,    // bgpd holds its own queue for 50
  kPerTurn = 500,  // prefixes that are finished before bgpd gets its turn
};

struct seen {
  struct peer* peer;
  struct attr* attr;
  uint32_t path_id;
  uint32_t again;  // with gone: the neighbour's UPDATE, counted by bgpd, that announced it once more; 0: none
  bool gone;       // said to be withdrawn; bgpd has it still, marked as removed
  bool changed;    // with gone: bgpd had marked it as changed by then
};

struct pending {
  struct pending *chain, *next;
  struct bgp* bgp;
  struct bgp_table* table;
  struct bgp_dest* dest;
  struct peer* best_peer;  // NULL: there was none
  struct attr* best_attr;
  struct seen* paths;  // `few`, or memory of its own
  struct seen few[kInline];
  uint16_t count, room;
  uint8_t afi;
  bool best_local, blind;  // blind: what was there could not be kept
};

static struct {
  struct pending *memory, *free;
  struct pending** buckets;
  size_t size, used, mask, count;
  struct pending *first, **last;
  virp_task* timer;
} queue;

bool virp_family_wanted(afi_t afi, safi_t safi) {
  return safi == SAFI_UNICAST && (afi == AFI_IP || afi == AFI_IP6) && virp.config.family[afi == AFI_IP6];
}

// Left over from a session that was lost. While a neighbour sends all its routes once more (RFC 7313) bgpd marks those
// as stale, too, that it has not sent yet; they hold.
static bool is_left_over(const struct bgp_path_info* path) {
  const struct bgp_table* const table = bgp_dest_table(path->net);
  return CHECK_FLAG(path->flags, BGP_PATH_STALE) &&
         !CHECK_FLAG(path->peer->af_sflags[table->afi][table->safi], PEER_STATUS_ENHANCED_REFRESH);
}

// What a neighbour announced and bgpd believes to be there.
bool virp_path_counts(const struct bgp_path_info* path) {
  return path->type == ZEBRA_ROUTE_BGP && path->sub_type == BGP_ROUTE_NORMAL &&
         path->peer != path->peer->bgp->peer_self && !CHECK_FLAG(path->flags, BGP_PATH_REMOVED | BGP_PATH_HISTORY) &&
         !is_left_over(path);
}

// One that is withdrawn and waits in bgpd's queue. What it was at last can still be seen.
static bool is_going(const struct bgp_path_info* path) {
  return path->type == ZEBRA_ROUTE_BGP && path->sub_type == BGP_ROUTE_NORMAL &&
         CHECK_FLAG(path->flags, BGP_PATH_REMOVED | BGP_PATH_HISTORY) == BGP_PATH_REMOVED && !is_left_over(path);
}

static bool is_changed(const struct bgp_path_info* path) {
  return CHECK_FLAG(path->flags, BGP_PATH_ATTR_CHANGED) != 0;
}

// bgpd takes the instance down: what is left of it would never be finished.
static bool going(const struct bgp* bgp) {
  return CHECK_FLAG(bgp->flags, BGP_FLAG_DELETE_IN_PROGRESS) != 0;
}

static size_t bucket_of(const struct bgp_dest* dest) {
  return ((uintptr_t)dest >> 5) & queue.mask;
}
static struct pending* find(const struct bgp_dest* dest) {
  struct pending* at = queue.buckets[bucket_of(dest)];
  while (at != NULL && at->dest != dest) at = at->chain;
  return at;
}

static struct bgp_path_info* selected(struct bgp_dest* dest) {
  struct bgp_path_info* path = bgp_dest_get_bgp_path_info(dest);
  while (path != NULL && !CHECK_FLAG(path->flags, BGP_PATH_SELECTED)) path = path->next;
  return path;
}

// ---- what is kept of a prefix

static bool keep_path(struct pending* at, const struct bgp_path_info* path, bool gone) {
  if (at->count == at->room) {
    const uint16_t room = (uint16_t)(at->room * 2);
    struct seen* const more = calloc(room, sizeof(*more));
    if (more == NULL || room < at->room) {
      free(more);
      return false;
    }
    memcpy(more, at->paths, at->count * sizeof(*more));
    if (at->paths != at->few) free(at->paths);
    at->paths = more;
    at->room = room;
  }
  at->paths[at->count++] =
      (struct seen){peer_lock(path->peer), virp_hold(path->attr), path->addpath_rx_id, 0, gone, is_changed(path)};
  return true;
}

static void drop_path(struct pending* at, uint16_t index) {
  const struct seen gone = at->paths[index];
  at->paths[index] = at->paths[--at->count];
  virp_let_go(gone.attr);
  peer_unlock(gone.peer);
}

static struct bgp_path_info* path_of(struct pending* at, const struct seen* seen) {
  struct bgp_path_info* path = bgp_dest_get_bgp_path_info(at->dest);
  while (path != NULL && !(path->peer == seen->peer && path->addpath_rx_id == seen->path_id &&
                           (virp_path_counts(path) || is_going(path))))
    path = path->next;
  return path;
}

static struct seen* kept(struct pending* at, const struct bgp_path_info* path) {
  for (uint16_t i = 0; i < at->count; ++i) {
    if (at->paths[i].peer == path->peer && at->paths[i].path_id == path->addpath_rx_id) return &at->paths[i];
  }
  return NULL;
}

static void release(struct pending* at) {
  struct pending** place = &queue.buckets[bucket_of(at->dest)];
  while (*place != at) place = &(*place)->chain;
  *place = at->chain;
  while (at->count > 0) drop_path(at, (uint16_t)(at->count - 1));
  if (at->paths != at->few) free(at->paths);
  if (at->best_peer != NULL) {
    virp_let_go(at->best_attr);
    peer_unlock(at->best_peer);
  }
  bgp_dest_unlock_node(at->dest);
  bgp_table_unlock(at->table);
  bgp_unlock(at->bgp);
  at->next = queue.free;
  queue.free = at;
  --queue.count;
}

static void set_best(struct pending* at, struct peer* peer, struct attr* attr, bool local) {
  if (at->best_peer != NULL) {
    virp_let_go(at->best_attr);
    peer_unlock(at->best_peer);
  }
  at->best_peer = peer_lock(peer);
  at->best_attr = virp_hold(attr);
  at->best_local = local;
}

static void turn(virp_task* task);

static struct pending* make(struct bgp* bgp, afi_t afi, struct bgp_dest* dest) {
  struct pending* at = queue.free;
  if (at != NULL)
    queue.free = at->next;
  else if (queue.used < queue.size)
    at = &queue.memory[queue.used++];
  else
    return NULL;
  *at = (struct pending){.bgp = bgp_lock(bgp), .dest = bgp_dest_lock_node(dest), .afi = (uint8_t)afi};
  at->table = bgp_dest_table(dest);
  bgp_table_lock(at->table);
  at->paths = at->few;
  at->room = kInline;
  at->chain = queue.buckets[bucket_of(dest)];
  queue.buckets[bucket_of(dest)] = at;
  *queue.last = at;
  queue.last = &at->next;
  ++queue.count;
  if (queue.timer == NULL) virp_after(virp.loop, turn, kWaitMs, &queue.timer);
  return at;
}

// Keeps what was there before the change that a hook tells of. `fresh` is the path that is new with it, `gone` the peer
// whose paths that are marked as removed are removed by it.
static struct pending* remember(struct bgp* bgp, afi_t afi, struct bgp_dest* dest, const struct bgp_path_info* fresh,
                                const struct peer* gone) {
  struct pending* const at = make(bgp, afi, dest);
  if (at == NULL) return NULL;
  for (struct bgp_path_info* path = bgp_dest_get_bgp_path_info(dest); path != NULL; path = path->next) {
    if (path == fresh) continue;
    const bool going = is_going(path);
    if ((virp_path_counts(path) || going) && !keep_path(at, path, going && gone != path->peer)) at->blind = true;
    if (!CHECK_FLAG(path->flags, BGP_PATH_SELECTED)) continue;
    // Of an own one what was said: it may have changed since, and no hook tells.
    struct attr* const known = virp_path_is_local(path) ? virp_local_attr(dest) : NULL;
    set_best(at, path->peer, known != NULL ? known : path->attr, virp_path_is_local(path));
  }
  return at;
}

// An own route whose attributes are not those that were said: that is a change, which is said when bgpd is done with
// it.
bool virp_local_look(struct bgp* bgp, struct bgp_dest* dest) {
  const struct attr* const known = virp_local_attr(dest);
  const struct bgp_path_info* const now = selected(dest);
  if (known == NULL || now == NULL || !virp_path_is_local(now) || now->attr == known) return false;
  return find(dest) != NULL || remember(bgp, bgp_dest_table(dest)->afi, dest, NULL, NULL) != NULL;
}

void virp_state_best(struct bgp* bgp, afi_t afi, struct bgp_dest* dest) {
  struct bgp_path_info* const best = selected(dest);
  // bgpd is about to choose, for a change that nobody was told of: it came before the module was on.
  if (CHECK_FLAG(dest->flags, BGP_NODE_PROCESS_SCHEDULED) && find(dest) == NULL) remember(bgp, afi, dest, NULL, NULL);
  if (best == NULL || virp_local_look(bgp, dest)) return;
  if (virp_path_is_local(best)) virp_say_local(bgp, dest, (uint8_t)afi, best, true);
  virp_say_best(bgp, dest, (uint8_t)afi, NULL, NULL, false, best, true);
}

// ---- comparing

static bool is_up(const struct peer* peer) {
  return virp_peer_state(peer) == Established;
}

static void say_change(struct pending* at, uint8_t kind, struct bgp_path_info* path) {
  virp_say_path(kind, at->dest, at->afi, path->peer, path->attr, path->addpath_rx_id, false, false);
}

static void note(struct seen* seen, const struct bgp_path_info* path, bool gone) {
  virp_let_go(seen->attr);
  seen->attr = virp_hold(path->attr);
  seen->again = 0;
  seen->gone = gone;
  seen->changed = is_changed(path);
}

// The number of the UPDATE that bgpd is at when that announces this path; 0: it does not, or there is none.
static uint32_t announcing(const struct pending* at, const struct bgp_path_info* path) {
  struct peer* const peer = path->peer;
  const struct prefix* const prefix = bgp_dest_get_prefix(at->dest);
  struct virp_nlri nlri = {.afi = at->afi, .length = (uint8_t)prefix->prefixlen, .path_id = path->addpath_rx_id};
  if (peer->curr == NULL) return 0;
  nlri.add_path = bgp_addpath_encode_rx(peer, at->afi, SAFI_UNICAST);
  memcpy(nlri.bytes, &prefix->u, at->afi == AFI_IP ? 4 : 16);
  if (!virp_update_announces(STREAM_DATA(peer->curr), stream_get_endp(peer->curr), &nlri)) return 0;
  return atomic_load_explicit(&peer->update_in, memory_order_relaxed);
}

// Of a path that was gone and is, with the attributes and marks that it had: whether it was there again for a moment.
// It was when an UPDATE announced it before the one that withdraws it. Of an announcement that bgpd takes the hook
// tells once, before it counts; of one that policy refuses twice.
static bool came_back(struct pending* at, struct seen* seen, const struct bgp_path_info* path) {
  const uint32_t now = announcing(at, path), before = seen->again;
  if (now == 0) return before != 0;
  seen->again = now == before ? 0 : now;
  return false;
}

// A path that is withdrawn. What it became before that, no hook told in between: it had other attributes, or it was
// there again for a moment, which is seen by these, by bgpd's own mark, or by what the neighbour (whose hook this is,
// or NULL) is saying.
static void compare_going(struct pending* at, struct seen* seen, struct bgp_path_info* path, const struct peer* from) {
  const bool other = path->attr != seen->attr;
  bool again = seen->gone && (other || (is_changed(path) && !seen->changed));
  if (seen->gone && !again) {
    if (from != seen->peer || !came_back(at, seen, path)) return;
    again = true;
  }
  // A peer that left Established took all its paths along; types 1 and 2 have said so.
  if (is_up(seen->peer)) {
    if (again || other) say_change(at, VIRP_SAW_ANNOUNCE, path);
    if (again || !seen->gone) say_change(at, VIRP_SAW_WITHDRAW, path);
  }
  note(seen, path, true);
}

static void compare_kept(struct pending* at, const struct peer* from) {
  for (uint16_t i = 0; i < at->count;) {
    struct seen* const seen = &at->paths[i];
    struct bgp_path_info* const path = path_of(at, seen);
    if (path == NULL) {
      if (!seen->gone && is_up(seen->peer))
        virp_say_path(VIRP_SAW_WITHDRAW, at->dest, at->afi, seen->peer, NULL, seen->path_id, false, false);
      drop_path(at, i);
      continue;
    }
    if (is_going(path)) compare_going(at, seen, path, from);
    ++i;
  }
}

// Says how the paths differ from those that are kept, and keeps these. `from`: the peer whose hook this is, or NULL.
static void compare_paths(struct pending* at, const struct peer* from) {
  compare_kept(at, from);
  for (struct bgp_path_info* path = bgp_dest_get_bgp_path_info(at->dest); path != NULL; path = path->next) {
    if (!virp_path_counts(path) || !is_up(path->peer)) continue;
    struct seen* const seen = kept(at, path);
    if (seen != NULL && !seen->gone && seen->attr == path->attr) continue;
    say_change(at, VIRP_SAW_ANNOUNCE, path);
    if (seen == NULL) {
      if (!keep_path(at, path, false)) at->blind = true;
    } else {
      note(seen, path, false);
    }
  }
}

static void compare_best(struct pending* at) {
  struct bgp_path_info* const now = selected(at->dest);
  const bool was = at->best_peer != NULL;
  if (now == NULL && !was) return;
  if (now != NULL && was && now->peer == at->best_peer && now->attr == at->best_attr) return;
  if (was && at->best_local && (now == NULL || !virp_path_is_local(now))) {
    virp_say_path(VIRP_SAW_WITHDRAW, at->dest, at->afi, at->best_peer, NULL, 0, true, false);
    virp_local_gone(at->dest);
  }
  if (now != NULL && virp_path_is_local(now)) virp_say_local(at->bgp, at->dest, at->afi, now, false);
  virp_say_best(at->bgp, at->dest, at->afi, at->best_peer, at->best_attr, at->best_local, now, false);
}

static void finish(struct pending* at) {
  compare_paths(at, NULL);
  compare_best(at);
  if (at->blind) virp.restate_tables = true;
  release(at);
}

static struct pending* pop(void) {
  struct pending* const at = queue.first;
  queue.first = at->next;
  if (queue.first == NULL) queue.last = &queue.first;
  at->next = NULL;
  return at;
}

// Finishes the prefixes that bgpd is done with; the others wait for the next turn.
static void turn(virp_task* task) {
  (void)task;
  size_t left = queue.count, done = 0;
  queue.timer = NULL;
  for (; left > 0 && done < kPerTurn; --left) {
    struct pending* const at = pop();
    if (CHECK_FLAG(at->dest->flags, BGP_NODE_PROCESS_SCHEDULED)) {
      *queue.last = at;
      queue.last = &at->next;
      continue;
    }
    finish(at);
    ++done;
  }
  if (queue.count > 0) virp_after(virp.loop, turn, left > 0 ? 0 : kWaitMs, &queue.timer);
}

// ---- hooks

// There was no room to remember what was there: what becomes of this prefix is lost, like what finds no room in the
// ring.
static void overlook(bool with_path) {
  if (with_path) virp_count_lost();
  virp_count_lost();
}

int virp_on_process(struct bgp* bgp, afi_t afi, safi_t safi, struct bgp_dest* dest, struct peer* peer, bool withdraw) {
  if (!virp.on || virp.stopping || !virp_family_wanted(afi, safi) || going(bgp)) return 0;
  struct pending* at = find(dest);
  if (at == NULL) {
    struct bgp_path_info* const top = bgp_dest_get_bgp_path_info(dest);
    struct bgp_path_info* path = top;
    while (path != NULL && path->peer != peer) path = path->next;
    if (path == NULL) return 0;  // refused by policy, never in the table
    struct bgp_path_info* const fresh = withdraw ? NULL : top;
    at = remember(bgp, afi, dest, fresh, withdraw ? peer : NULL);
    if (at == NULL) {
      overlook(true);
      return 0;
    }
  }
  compare_paths(at, peer);
  return 0;
}

// Paths of this router's own: created, or taken out of the table for good. Of the latter `path` is not to be looked at:
// bgpd has let go of it before it calls.
int virp_on_local_path(struct bgp_dest* dest, struct bgp_path_info* path, bool added) {
  if (!virp.on || virp.stopping || (added && !virp_path_is_local(path))) return 0;
  struct bgp_table* const table = bgp_dest_table(dest);
  if (table == NULL || !virp_family_wanted(table->afi, table->safi) || find(dest) != NULL) return 0;
  if (table != table->bgp->rib[table->afi][table->safi] || going(table->bgp)) return 0;
  struct attr* const known = added ? NULL : virp_local_attr(dest);
  const struct bgp_path_info* const now = selected(dest);
  if (!added && (known == NULL || (now != NULL && now->attr == known && virp_path_is_local(now)))) return 0;
  struct pending* const at = remember(table->bgp, table->afi, dest, added ? path : NULL, NULL);
  if (at == NULL) {
    overlook(false);
  } else if (!added) {  // bgpd has chosen anew by now
    set_best(at, table->bgp->peer_self, known, true);
  }
  return 0;
}

int virp_on_instance_deleted(struct bgp* bgp) {
  virp_locals_forget(bgp);
  virp_restate_without(bgp);
  size_t left = queue.count;
  for (; left > 0; --left) {
    struct pending* const at = pop();
    if (at->bgp == bgp) {
      release(at);
      continue;
    }
    *queue.last = at;
    queue.last = &at->next;
  }
  return 0;
}

// ---- start and end

bool virp_paths_start(size_t bytes) {
  size_t buckets = 1024;
  queue.size = bytes / (sizeof(struct pending) + sizeof(void*));
  while (buckets < queue.size) buckets *= 2;
  queue.mask = buckets - 1;
  queue.memory =
      mmap(NULL, queue.size * sizeof(struct pending), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  queue.buckets = calloc(buckets, sizeof(*queue.buckets));
  if (queue.memory == MAP_FAILED || queue.buckets == NULL) {
    if (queue.memory != MAP_FAILED) munmap(queue.memory, queue.size * sizeof(struct pending));
    free(queue.buckets);
    queue.memory = NULL;
    queue.buckets = NULL;
    return false;
  }
  queue.free = NULL;
  queue.count = queue.used = 0;
  queue.first = NULL;
  queue.last = &queue.first;
  return true;
}

void virp_paths_flush(void) {
  while (queue.memory != NULL && queue.count > 0) finish(pop());
}

void virp_paths_forget(void) {
  virp_locals_forget(NULL);
  if (queue.memory == NULL) return;
  while (queue.count > 0) release(pop());
  virp_cancel(&queue.timer);
  munmap(queue.memory, queue.size * sizeof(struct pending));
  free(queue.buckets);
  queue.memory = NULL;
  queue.buckets = NULL;
}

bool virp_paths_have_room(void) {
  return queue.count <= queue.size / 4 * 3;
}

size_t virp_paths_pending(void) {
  return queue.count;
}
