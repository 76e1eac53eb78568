// SPDX-License-Identifier: GPL-2.0-or-later
// Types 3 and 4. The hook bgp_process fires before attributes change, with `withdraw` also for replacements, refreshes
// and what policy refused; and 8.4 has none for best paths. So the first hook of a prefix keeps what was there (its
// paths and the selected one, with references), and what is there later is compared with it: paths at the prefix's next
// hook or when bgpd is done with it, whichever comes first, the best path when bgpd is done. Attributes are interned,
// so the same pointer is the same attributes, as long as we hold it.
#include <sys/mman.h>

#include "module.h"

enum {
  kInline = 3,       // paths of a prefix that need no memory of their own
  kWaitMs = 60,      // bgpd holds its own queue for 50
  kPerTurn = 500,    // prefixes that are finished before bgpd gets its turn
  kTextMax = 32768,  // of an AS path
};

struct seen {
  struct peer* peer;
  struct attr* attr;
  uint32_t path_id;
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

// What a neighbour announced and bgpd believes to be there. Stale paths are those of a session that was lost.
bool virp_path_counts(const struct bgp_path_info* path) {
  return path->type == ZEBRA_ROUTE_BGP && path->sub_type == BGP_ROUTE_NORMAL &&
         path->peer != path->peer->bgp->peer_self &&
         !CHECK_FLAG(path->flags, BGP_PATH_REMOVED | BGP_PATH_HISTORY | BGP_PATH_STALE);
}

static bool is_local(const struct bgp_path_info* path) {
  return path->peer == path->peer->bgp->peer_self;
}

static size_t bucket_of(const struct bgp_dest* dest) {
  return ((uintptr_t)dest >> 5) & queue.mask;
}
static struct pending* find(const struct bgp_dest* dest) {
  struct pending* at = queue.buckets[bucket_of(dest)];
  while (at != NULL && at->dest != dest) at = at->chain;
  return at;
}

// ---- events

static struct virp_address prefix_of(const struct bgp_dest* dest) {
  const struct prefix* const prefix = bgp_dest_get_prefix((struct bgp_dest*)dest);
  struct virp_address out = {.family = prefix->family == AF_INET ? 4 : 6, .length = (uint8_t)prefix->prefixlen};
  memcpy(out.bytes, &prefix->u, prefix->family == AF_INET ? 4 : 16);
  return out;
}

static struct virp_address nexthop_of(const struct attr* attr) {
  struct virp_address out = {0};
  if (attr->mp_nexthop_len == 16 || attr->mp_nexthop_len == 32) {
    const bool v6 = !IN6_IS_ADDR_UNSPECIFIED(&attr->mp_nexthop_global);
    if (v6 || attr->nexthop.s_addr == INADDR_ANY) {
      out.family = 6;
      memcpy(out.bytes, &attr->mp_nexthop_global, 16);
      return out;
    }
  }
  out.family = 4;
  memcpy(out.bytes, &attr->nexthop, 4);
  return out;
}

static struct virp_piece as_path_of(const struct attr* attr) {
  const struct aspath* const path = attr->aspath;
  if (path == NULL || path->str == NULL || path->str_len > kTextMax) return (struct virp_piece){"", 0};
  return (struct virp_piece){path->str, path->str_len};
}

static struct virp_piece communities_of(struct attr* attr) {
  struct community* const communities = bgp_attr_get_community(attr);
  const char* const text = communities != NULL ? community_str(communities, false, false) : NULL;
  const size_t size = text != NULL ? strlen(text) : 0;
  return size > kTextMax ? (struct virp_piece){"", 0} : (struct virp_piece){text, size};
}

// pieces: peer, AS path, communities.
static void fill_route(struct virp_route* route, struct peer* peer, struct attr* attr, bool local,
                       struct virp_piece pieces[3]) {
  struct virp_event names;
  struct virp_piece of_peer[2];
  *route = (struct virp_route){0};
  virp_fill_peer(&names, peer, of_peer);
  pieces[0] = local ? (struct virp_piece){"local", 5} : of_peer[1];
  pieces[1] = as_path_of(attr);
  pieces[2] = (struct virp_piece){"", 0};
  if (!local) route->peer_addr = names.peer_addr;
  route->peer_as = local ? peer->bgp->as : peer->as;
  route->nexthop = nexthop_of(attr);
  route->med = attr->med;
  route->has_med = CHECK_FLAG(attr->flag, ATTR_FLAG_BIT(BGP_ATTR_MULTI_EXIT_DISC)) != 0;
  route->local_pref = attr->local_pref;
  route->has_local_pref = CHECK_FLAG(attr->flag, ATTR_FLAG_BIT(BGP_ATTR_LOCAL_PREF)) != 0;
  route->origin = attr->origin;
  route->peer_size = (uint16_t)pieces[0].size;
  route->as_path_size = (uint16_t)pieces[1].size;
}

// The rule of a protected prefix that holds; `origin` 0: there is none that is known.
static uint8_t protection(const struct bgp_dest* dest, bool present, uint32_t origin) {
  const struct prefix* const prefix = bgp_dest_get_prefix((struct bgp_dest*)dest);
  for (uint32_t i = 0; i < virp.rules->list_count; ++i) {
    const struct virp_protected* const list = &virp.rules->lists[i];
    struct prefix_list* const plist = prefix_list_lookup(prefix->family == AF_INET ? AFI_IP : AFI_IP6, list->list);
    if (plist == NULL || prefix_list_apply(plist, prefix) != PREFIX_PERMIT) continue;
    if (!present) return VIRP_PROTECTED_GONE;
    if (!virp_rules_origin_known(list, origin)) return VIRP_PROTECTED_ORIGIN;
  }
  return VIRP_NO_RULE;
}

static uint32_t origin_of(const struct attr* attr, const struct bgp* bgp) {
  const struct virp_piece path = as_path_of(attr);
  return path.size == 0 ? bgp->as : virp_rules_origin_of(path.text, path.size);
}

// Does another path of this prefix remain?
static bool remains(struct bgp_dest* dest) {
  for (struct bgp_path_info* path = bgp_dest_get_bgp_path_info(dest); path != NULL; path = path->next) {
    if (!CHECK_FLAG(path->flags, BGP_PATH_REMOVED | BGP_PATH_HISTORY)) return true;
  }
  return false;
}

static void say_path(uint8_t kind, struct bgp_dest* dest, uint8_t afi, struct peer* peer, struct attr* attr,
                     uint32_t path_id, bool local, bool restated) {
  struct virp_event event = {.kind = kind, .rib = local ? VIRP_LOC : VIRP_ADJ_IN_POST, .restated = restated};
  struct virp_piece pieces[5];
  struct virp_route route;
  if (!virp.config.type[VIRP_PROCESS]) return;
  virp_fill_peer(&event, peer, pieces);
  if (local) {
    event.peer_addr = (struct virp_address){0};
    event.peer_as = peer->bgp->as;
    pieces[1] = (struct virp_piece){"local", 5};
    event.peer_size = 5;
  }
  event.prefix = prefix_of(dest);
  event.afi = afi;
  event.safi = 1;
  event.path_id = path_id;
  int count = 2;
  if (kind == VIRP_SAW_ANNOUNCE) {
    event.routes = 1;
    fill_route(&route, peer, attr, local, pieces + 2);
    pieces[4] = communities_of(attr);
    route.communities_size = (uint16_t)pieces[4].size;
    count = 5;
  }
  if (virp.rules->list_count > 0) {
    if (kind == VIRP_SAW_ANNOUNCE)
      event.red_rule = protection(dest, true, origin_of(attr, peer->bgp));
    else if (!remains(dest))
      event.red_rule = protection(dest, false, 0);
    if (event.red_rule != VIRP_NO_RULE) event.tier = VIRP_RED;
  }
  const uint64_t sequence = virp_emit(&event, &route, pieces, count);
  if (virp.debug)
    zlog_debug("VIRP[%" PRIu64 "]: type=3 tier=%u peer=%s AS=%u prefix=%pBD %s", sequence, event.tier, peer->host,
               peer->as, dest, kind == VIRP_SAW_ANNOUNCE ? "announce" : "withdraw");
}

static void say_best(struct bgp* bgp, struct bgp_dest* dest, uint8_t afi, struct peer* old_peer, struct attr* old_attr,
                     bool old_local, struct bgp_path_info* now, bool restated) {
  struct virp_event event = {.kind = VIRP_SAW_BEST, .restated = restated};
  struct virp_route routes[2];
  struct virp_piece pieces[8];
  if (!virp.config.type[VIRP_ROUTE_UPDATE]) return;
  virp_fill_peer(&event, now != NULL ? now->peer : (old_peer != NULL ? old_peer : bgp->peer_self), pieces);
  event.prefix = prefix_of(dest);
  event.afi = afi;
  event.safi = 1;
  int count = 2;
  if (old_peer != NULL) {
    event.has_old = true;
    fill_route(&routes[event.routes++], old_peer, old_attr, old_local, pieces + count);
    count += 3;
  }
  if (now != NULL) {
    event.has_new = true;
    fill_route(&routes[event.routes++], now->peer, now->attr, is_local(now), pieces + count);
    count += 3;
  }
  if (virp.rules->list_count > 0) {
    event.red_rule = protection(dest, now != NULL, now != NULL ? origin_of(now->attr, bgp) : 0);
    if (event.red_rule != VIRP_NO_RULE) event.tier = VIRP_RED;
  }
  const uint64_t sequence = virp_emit(&event, routes, pieces, count);
  if (virp.debug)
    zlog_debug("VIRP[%" PRIu64 "]: type=4 tier=%u prefix=%pBD bestpath_changed=yes", sequence, event.tier, dest);
}

void virp_state_path(struct bgp* bgp, afi_t afi, struct bgp_dest* dest, struct bgp_path_info* path) {
  (void)bgp;
  say_path(VIRP_SAW_ANNOUNCE, dest, (uint8_t)afi, path->peer, path->attr, path->addpath_rx_id, false, true);
}

static struct bgp_path_info* selected(struct bgp_dest* dest) {
  struct bgp_path_info* path = bgp_dest_get_bgp_path_info(dest);
  while (path != NULL && !CHECK_FLAG(path->flags, BGP_PATH_SELECTED)) path = path->next;
  return path;
}

// ---- what is kept of a prefix

static struct attr* hold(struct attr* attr) {
  return bgp_attr_intern(attr);
}

static bool keep_path(struct pending* at, struct peer* peer, struct attr* attr, uint32_t path_id) {
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
  at->paths[at->count++] = (struct seen){peer_lock(peer), hold(attr), path_id};
  return true;
}

static void drop_path(struct pending* at, uint16_t index) {
  struct seen gone = at->paths[index];
  at->paths[index] = at->paths[--at->count];
  bgp_attr_unintern(&gone.attr);
  peer_unlock(gone.peer);
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
    bgp_attr_unintern(&at->best_attr);
    peer_unlock(at->best_peer);
  }
  bgp_dest_unlock_node(at->dest);
  bgp_table_unlock(at->table);
  bgp_unlock(at->bgp);
  at->next = queue.free;
  queue.free = at;
  --queue.count;
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
  virp_after(virp.loop, turn, kWaitMs, &queue.timer);
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
    const bool just_removed =
        gone == path->peer && CHECK_FLAG(path->flags, BGP_PATH_REMOVED) && path->sub_type == BGP_ROUTE_NORMAL;
    if ((virp_path_counts(path) || just_removed) && !keep_path(at, path->peer, path->attr, path->addpath_rx_id))
      at->blind = true;
    if (!CHECK_FLAG(path->flags, BGP_PATH_SELECTED)) continue;
    at->best_peer = peer_lock(path->peer);
    at->best_attr = hold(path->attr);
    at->best_local = is_local(path);
  }
  return at;
}

void virp_state_best(struct bgp* bgp, afi_t afi, struct bgp_dest* dest) {
  struct bgp_path_info* const best = selected(dest);
  // bgpd is about to choose, for a change that nobody was told of: it came before the module was on.
  if (CHECK_FLAG(dest->flags, BGP_NODE_PROCESS_SCHEDULED) && find(dest) == NULL) remember(bgp, afi, dest, NULL, NULL);
  if (best == NULL) return;
  if (is_local(best)) say_path(VIRP_SAW_ANNOUNCE, dest, (uint8_t)afi, best->peer, best->attr, 0, true, true);
  say_best(bgp, dest, (uint8_t)afi, NULL, NULL, false, best, true);
}

// ---- comparing

static bool is_up(const struct peer* peer) {
  return virp_peer_state(peer) == Established;
}

// Says how the paths differ from those that are kept, and keeps these.
static void compare_paths(struct pending* at) {
  for (uint16_t i = 0; i < at->count;) {
    const struct seen* const seen = &at->paths[i];
    struct bgp_path_info* path = bgp_dest_get_bgp_path_info(at->dest);
    while (path != NULL &&
           !(path->peer == seen->peer && path->addpath_rx_id == seen->path_id && virp_path_counts(path)))
      path = path->next;
    if (path != NULL) {
      ++i;
      continue;
    }
    // A peer that left Established took all its paths along; types 1 and 2 have said so.
    if (is_up(seen->peer))
      say_path(VIRP_SAW_WITHDRAW, at->dest, at->afi, seen->peer, NULL, seen->path_id, false, false);
    drop_path(at, i);
  }
  for (struct bgp_path_info* path = bgp_dest_get_bgp_path_info(at->dest); path != NULL; path = path->next) {
    if (!virp_path_counts(path) || !is_up(path->peer)) continue;
    struct seen* const seen = kept(at, path);
    if (seen != NULL && seen->attr == path->attr) continue;
    say_path(VIRP_SAW_ANNOUNCE, at->dest, at->afi, path->peer, path->attr, path->addpath_rx_id, false, false);
    if (seen == NULL) {
      if (!keep_path(at, path->peer, path->attr, path->addpath_rx_id)) at->blind = true;
    } else {
      bgp_attr_unintern(&seen->attr);
      seen->attr = hold(path->attr);
    }
  }
}

static void compare_best(struct pending* at) {
  struct bgp_path_info* const now = selected(at->dest);
  const bool was = at->best_peer != NULL;
  if (now == NULL && !was) return;
  if (now != NULL && was && now->peer == at->best_peer && now->attr == at->best_attr) return;
  if (was && at->best_local && (now == NULL || !is_local(now)))
    say_path(VIRP_SAW_WITHDRAW, at->dest, at->afi, at->best_peer, NULL, 0, true, false);
  if (now != NULL && is_local(now))
    say_path(VIRP_SAW_ANNOUNCE, at->dest, at->afi, now->peer, now->attr, 0, true, false);
  say_best(at->bgp, at->dest, at->afi, at->best_peer, at->best_attr, at->best_local, now, false);
}

static void finish(struct pending* at) {
  compare_paths(at);
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

// There was no room to remember what was there: what becomes of this prefix is lost until the tables are restated.
static void overlook(struct bgp* bgp, afi_t afi, struct bgp_dest* dest, struct bgp_path_info* fresh) {
  if (fresh != NULL) {
    say_path(VIRP_SAW_ANNOUNCE, dest, (uint8_t)afi, fresh->peer, fresh->attr, fresh->addpath_rx_id, false, false);
  }
  (void)bgp;
  virp_count_lost();
}

int virp_on_process(struct bgp* bgp, afi_t afi, safi_t safi, struct bgp_dest* dest, struct peer* peer, bool withdraw) {
  if (!virp.on || virp.stopping || !virp_family_wanted(afi, safi)) return 0;
  struct pending* at = find(dest);
  if (at == NULL) {
    struct bgp_path_info* const top = bgp_dest_get_bgp_path_info(dest);
    struct bgp_path_info* path = top;
    while (path != NULL && path->peer != peer) path = path->next;
    if (path == NULL) return 0;  // refused by policy, never in the table
    struct bgp_path_info* const fresh = withdraw ? NULL : top;
    at = remember(bgp, afi, dest, fresh, withdraw ? peer : NULL);
    if (at == NULL) {
      overlook(bgp, afi, dest, fresh);
      return 0;
    }
  }
  compare_paths(at);
  return 0;
}

// Paths of this router's own: created, or taken out of the table for good.
int virp_on_local_path(struct bgp_dest* dest, struct bgp_path_info* path, bool added) {
  if (!virp.on || virp.stopping || !is_local(path)) return 0;
  struct bgp_table* const table = bgp_dest_table(dest);
  if (table == NULL || !virp_family_wanted(table->afi, table->safi) || find(dest) != NULL) return 0;
  struct bgp* const bgp = path->peer->bgp;
  if (table != bgp->rib[table->afi][table->safi]) return 0;
  struct pending* const at = remember(bgp, table->afi, dest, added ? path : NULL, NULL);
  if (at == NULL) {
    virp_count_lost();
    return 0;
  }
  if (added) return 0;
  // bgpd has chosen anew by now. A path of its own goes before all others unless a weight was configured.
  struct bgp_path_info* const now = selected(dest);
  if (now != NULL && now->attr->weight >= path->attr->weight) return 0;
  if (at->best_peer != NULL) {
    bgp_attr_unintern(&at->best_attr);
    peer_unlock(at->best_peer);
  }
  at->best_peer = peer_lock(path->peer);
  at->best_attr = hold(path->attr);
  at->best_local = true;
  return 0;
}

int virp_on_instance_deleted(struct bgp* bgp) {
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
  if (queue.memory == MAP_FAILED || queue.buckets == NULL) return false;
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
  if (queue.memory == NULL) return;
  while (queue.count > 0) release(pop());
  virp_cancel(&queue.timer);
  munmap(queue.memory, queue.size * sizeof(struct pending));
  free(queue.buckets);
  queue.memory = NULL;
  queue.buckets = NULL;
}

size_t virp_paths_pending(void) {
  return queue.count;
}
