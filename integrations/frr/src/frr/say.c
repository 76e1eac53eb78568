// SPDX-License-Identifier: GPL-2.0-or-later
// Events about routes: what bgpd's structures say, copied.
#include "virp_module.h"

enum { kTextMax = 28000 };  // of an AS path, of communities: two of them fit a payload

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
  return path == NULL || path->str == NULL ? (struct virp_piece){"", 0} : (struct virp_piece){path->str, path->str_len};
}

static struct virp_piece communities_of(const struct attr* attr) {
  struct community* const communities = bgp_attr_get_community(attr);
  const char* const text = communities != NULL ? community_str(communities, false, false) : NULL;
  return text == NULL ? (struct virp_piece){"", 0} : (struct virp_piece){text, strlen(text)};
}

// A route that no payload holds is not said in part.
static bool fits(const struct attr* attr) {
  const struct community* const communities = bgp_attr_get_community(attr);
  return as_path_of(attr).size <= kTextMax && (communities == NULL || communities->size * 12 <= kTextMax);
}

// pieces: peer, AS path, communities; the peer is left empty.
static void fill_attributes(struct virp_route* route, const struct attr* attr, struct virp_piece pieces[3]) {
  *route = (struct virp_route){0};
  pieces[0] = pieces[2] = (struct virp_piece){"", 0};
  pieces[1] = as_path_of(attr);
  route->nexthop = nexthop_of(attr);
  route->med = attr->med;
  route->has_med = CHECK_FLAG(attr->flag, ATTR_FLAG_BIT(BGP_ATTR_MULTI_EXIT_DISC)) != 0;
  route->local_pref = attr->local_pref;
  route->has_local_pref = CHECK_FLAG(attr->flag, ATTR_FLAG_BIT(BGP_ATTR_LOCAL_PREF)) != 0;
  route->origin = attr->origin;
  route->as_path_size = (uint16_t)pieces[1].size;
}

static void fill_route(struct virp_route* route, const struct peer* peer, const struct attr* attr, bool local,
                       struct virp_piece pieces[3]) {
  struct virp_event names;
  struct virp_piece of_peer[2];
  fill_attributes(route, attr, pieces);
  virp_fill_peer(&names, peer, of_peer);
  pieces[0] = local ? (struct virp_piece){"local", 5} : of_peer[1];
  if (!local) route->peer_addr = names.peer_addr;
  route->peer_as = local ? peer->bgp->as : peer->as;
  route->peer_size = (uint16_t)pieces[0].size;
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

void virp_say_path(uint8_t kind, struct bgp_dest* dest, uint8_t afi, struct peer* peer, struct attr* attr,
                   uint32_t path_id, bool local, bool restated) {
  struct virp_event event = {.kind = kind, .rib = local ? VIRP_LOC : VIRP_ADJ_IN_POST, .restated = restated};
  struct virp_piece pieces[5];
  struct virp_route route;
  if (!virp.config.type[VIRP_PROCESS]) return;
  if (kind == VIRP_SAW_ANNOUNCE && !fits(attr)) return virp_count_lost();
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
    fill_attributes(&route, attr, pieces + 2);
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

void virp_say_best(struct bgp* bgp, struct bgp_dest* dest, uint8_t afi, struct peer* old_peer, struct attr* old_attr,
                   bool old_local, struct bgp_path_info* now, bool restated) {
  struct virp_event event = {.kind = VIRP_SAW_BEST, .restated = restated};
  struct virp_route routes[2];
  struct virp_piece pieces[8];
  if (!virp.config.type[VIRP_ROUTE_UPDATE]) return;
  if ((old_peer != NULL && !fits(old_attr)) || (now != NULL && !fits(now->attr))) return virp_count_lost();
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
    fill_route(&routes[event.routes++], now->peer, now->attr, virp_path_is_local(now), pieces + count);
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
  virp_say_path(VIRP_SAW_ANNOUNCE, dest, (uint8_t)afi, path->peer, path->attr, path->addpath_rx_id, false, true);
}
