// SPDX-License-Identifier: GPL-2.0-or-later
#include "event.h"

#include "frame.h"

struct cursor {
  const char* at;  // in the event's text
};

static const char* next(struct cursor* cursor, size_t size) {
  const char* const text = cursor->at;
  cursor->at += size;
  return text;
}

const char* virp_state_name(uint8_t state) {
  static const char* const names[] = {"Unknown",     "Idle",        "Connect",  "Active", "OpenSent",
                                      "OpenConfirm", "Established", "Clearing", "Deleted"};
  return state < sizeof(names) / sizeof(names[0]) ? names[state] : "Unknown";
}

static const char* rule_name(uint8_t rule) {
  static const char* const names[] = {"", "protected_prefix_origin", "protected_prefix_gone", "sessions_lost",
                                      "maximum_prefix"};
  return names[rule];
}

static void quoted(struct virp_text* out, const char* text) {
  virp_text_string(out, text, strlen(text));
}

static void address(struct virp_text* out, const struct virp_address* address) {
  VIRP_PUT(out, "\"");
  if (address->family == 0)
    VIRP_PUT(out, "0.0.0.0");
  else
    virp_text_address(out, address->family, address->bytes);
  VIRP_PUT(out, "\"");
}

// Keys that all observations of a peer or a route begin with.
static void peer(const struct virp_event* event, const struct virp_voice* voice, struct cursor* text,
                 struct virp_text* out) {
  VIRP_PUT(out, ",\"peer\":");
  virp_text_string(out, next(text, event->peer_size), event->peer_size);
  VIRP_PUT(out, ",\"peer_addr\":");
  address(out, &event->peer_addr);
  if (voice->version == 1) {  // the article's name for it
    VIRP_PUT(out, ",\"peer_ip\":");
    address(out, &event->peer_addr);
  }
  VIRP_PUT(out, ",\"peer_as\":");
  virp_text_number(out, event->peer_as);
  VIRP_PUT(out, ",\"local_as\":");
  virp_text_number(out, event->local_as);
}

static void router(const struct virp_event* event, const struct virp_voice* voice, const char* vrf,
                   struct virp_text* out) {
  const uint8_t* const id = event->router_id;
  VIRP_PUT(out, ",\"router_id\":\"");
  virp_text_address(out, 4, id);
  VIRP_PUT(out, "\"");
  if (voice->version == 1) {
    VIRP_PUT(out, ",\"producer_id\":");
    virp_text_number(out, (uint64_t)id[0] << 24 | (uint64_t)id[1] << 16 | (uint64_t)id[2] << 8 | id[3]);
  }
  VIRP_PUT(out, ",\"vrf\":");
  virp_text_string(out, vrf, event->vrf_size);
}

static void prefix(const struct virp_event* event, struct virp_text* out) {
  VIRP_PUT(out, ",\"prefix\":\"");
  virp_text_address(out, event->prefix.family, event->prefix.bytes);
  VIRP_PUT(out, "/");
  virp_text_number(out, event->prefix.length);
  VIRP_PUT(out, "\",\"afi\":");
  virp_text_number(out, event->afi);
  VIRP_PUT(out, ",\"safi\":");
  virp_text_number(out, event->safi);
}

static void number_or_null(struct virp_text* out, bool present, uint32_t value) {
  if (present)
    virp_text_number(out, value);
  else
    VIRP_PUT(out, "null");
}

static void state(const struct virp_event* event, struct virp_text* out) {
  VIRP_PUT(out, ",\"old_state\":");
  quoted(out, virp_state_name(event->old_state));
  VIRP_PUT(out, ",\"new_state\":");
  quoted(out, virp_state_name(event->new_state));
}

static void down(const struct virp_event* event, struct virp_text* out) {
  VIRP_PUT(out, ",\"last_state\":");
  quoted(out, virp_state_name(event->old_state));
  VIRP_PUT(out, ",\"last_event\":");
  virp_text_number(out, event->last_event);
  VIRP_PUT(out, ",\"uptime\":");
  virp_text_number(out, event->uptime);
}

static void path(const struct virp_event* event, struct virp_text* out) {
  VIRP_PUT(out, ",\"rib\":");
  quoted(out, event->rib == VIRP_LOC ? "loc" : "adj-in-post");
  if (event->prefix.family == 0) return;
  VIRP_PUT(out, ",\"path_id\":");
  virp_text_number(out, event->path_id);
}

static void communities(const char* text, size_t size, struct virp_text* out) {
  VIRP_PUT(out, ",\"communities\":[");
  for (size_t at = 0; at < size;) {
    size_t end = at;
    while (end < size && text[end] != ' ') ++end;
    if (end > at) {
      if (at > 0) VIRP_PUT(out, ",");
      virp_text_string(out, text + at, end - at);
    }
    at = end + 1;
  }
  VIRP_PUT(out, "]");
}

static void announced(const struct virp_event* event, struct cursor* text, struct virp_text* out) {
  static const char* const origins[] = {"IGP", "EGP", "INCOMPLETE"};
  const struct virp_route* const route = virp_event_routes((struct virp_event*)event);
  next(text, route->peer_size);
  VIRP_PUT(out, ",\"nexthop\":");
  address(out, &route->nexthop);
  VIRP_PUT(out, ",\"as_path\":");
  virp_text_string(out, next(text, route->as_path_size), route->as_path_size);
  VIRP_PUT(out, ",\"origin\":");
  quoted(out, origins[route->origin > 2 ? 2 : route->origin]);
  VIRP_PUT(out, ",\"med\":");
  number_or_null(out, route->has_med, route->med);
  VIRP_PUT(out, ",\"local_pref\":");
  number_or_null(out, route->has_local_pref, route->local_pref);
  communities(next(text, route->communities_size), route->communities_size, out);
}

static void route(const struct virp_route* route, struct cursor* text, struct virp_text* out) {
  VIRP_PUT(out, "{\"peer\":");
  virp_text_string(out, next(text, route->peer_size), route->peer_size);
  VIRP_PUT(out, ",\"peer_addr\":");
  address(out, &route->peer_addr);
  VIRP_PUT(out, ",\"peer_as\":");
  virp_text_number(out, route->peer_as);
  VIRP_PUT(out, ",\"nexthop\":");
  address(out, &route->nexthop);
  VIRP_PUT(out, ",\"as_path\":");
  virp_text_string(out, next(text, route->as_path_size), route->as_path_size);
  VIRP_PUT(out, ",\"med\":");
  number_or_null(out, route->has_med, route->med);
  VIRP_PUT(out, ",\"local_pref\":");
  number_or_null(out, route->has_local_pref, route->local_pref);
  VIRP_PUT(out, ",\"origin\":");
  virp_text_number(out, route->origin);
  VIRP_PUT(out, "}");
  next(text, route->communities_size);
}

static void best(const struct virp_event* event, struct cursor* text, struct virp_text* out) {
  const struct virp_route* at = virp_event_routes((struct virp_event*)event);
  VIRP_PUT(out, ",\"old\":");
  if (event->has_old)
    route(at++, text, out);
  else
    VIRP_PUT(out, "null");
  VIRP_PUT(out, ",\"new\":");
  if (event->has_new)
    route(at, text, out);
  else
    VIRP_PUT(out, "null");
}

static void gap(const struct virp_voice* voice, uint64_t epoch, uint64_t from, uint64_t to, const char* reason,
                struct virp_text* out) {
  VIRP_PUT(out, "{\"domain\":\"virp\",\"event\":\"gap\",\"source\":");
  quoted(out, voice->source);
  VIRP_PUT(out, ",\"epoch\":");
  virp_text_number(out, epoch);
  VIRP_PUT(out, ",\"from\":");
  virp_text_number(out, from);
  VIRP_PUT(out, ",\"to\":");
  virp_text_number(out, to);
  VIRP_PUT(out, ",\"reason\":");
  quoted(out, reason);
  VIRP_PUT(out, "}");
}

// Beside what readers know (lib/chain/control.h) it says how the module does.
static void beat(const struct virp_event* event, const struct virp_voice* voice, struct virp_text* out) {
  VIRP_PUT(out, "{\"domain\":\"virp\",\"event\":\"heartbeat\"");
  if (event->kind == VIRP_SAW_DISABLED) {
    VIRP_PUT(out, ",\"sources\":[{\"source_id\":\"");
    virp_text_hex(out, voice->source_id, sizeof(voice->source_id));
    VIRP_PUT(out, "\",\"epoch\":");
    virp_text_number(out, voice->epoch);
    VIRP_PUT(out, ",\"last_sequence\":");
    virp_text_number(out, event->sequence);
    VIRP_PUT(out, ",\"connected\":false}],\"state\":\"disabled\"");
  }
  VIRP_PUT(out, ",\"highest_sequence\":");
  virp_text_number(out, event->sequence);
  VIRP_PUT(out, ",\"lost\":");
  virp_text_number(out, event->lost);
  VIRP_PUT(out, ",\"queued\":");
  virp_text_number(out, event->depth);
  VIRP_PUT(out, ",\"established\":");
  virp_text_number(out, event->established);
  VIRP_PUT(out, ",\"build_id\":");
  quoted(out, voice->build_id);
  uint8_t hash[8];
  for (int i = 0; i < 8; ++i) hash[i] = (uint8_t)(event->config >> (8 * (7 - i)));
  VIRP_PUT(out, ",\"config_hash\":\"");
  virp_text_hex(out, hash, sizeof(hash));
  VIRP_PUT(out, "\"}");
}

uint8_t virp_event_type(const struct virp_event* event, uint8_t version) {
  switch ((enum virp_kind)event->kind) {
    case VIRP_SAW_STATE:
      return VIRP_PEER_STATUS;
    case VIRP_SAW_DOWN:
      return VIRP_PEER_DOWN;
    case VIRP_SAW_ANNOUNCE:
    case VIRP_SAW_WITHDRAW:
    case VIRP_SAW_TABLE_COMPLETE:
      return VIRP_PROCESS;
    case VIRP_SAW_BEST:
      return VIRP_ROUTE_UPDATE;
    case VIRP_SAW_LOSS:
      return VIRP_GAP;
    case VIRP_SAW_BEAT:
      return version == 1 ? 0 : VIRP_HEARTBEAT;
    case VIRP_SAW_DISABLED:
      return version == 1 ? VIRP_GAP : VIRP_HEARTBEAT;
    case VIRP_SAW_EPOCH:
    case VIRP_SAW_CLOSE:
      return 0;
  }
  return 0;
}

static const char* event_name(uint8_t kind) {
  static const char* const names[] = {
      "", "peer_state_change", "peer_down", "route_announce", "route_withdraw", "table_complete", "bestpath_change"};
  return names[kind];
}

bool virp_event_payload(const struct virp_event* event, const struct virp_voice* voice, struct virp_text* out) {
  const enum virp_kind kind = (enum virp_kind)event->kind;
  if (virp_event_type(event, voice->version) == 0) return false;
  if (kind == VIRP_SAW_LOSS) {
    const bool earlier = event->left_epoch != 0;
    gap(voice, earlier ? event->left_epoch : voice->epoch, event->from, event->to, earlier ? "SHUTDOWN" : "OVERFLOW",
        out);
    return !out->full;
  }
  if (kind == VIRP_SAW_DISABLED && voice->version == 1) {
    gap(voice, voice->epoch, event->sequence + 1, event->sequence + 1, "SHUTDOWN", out);
    return !out->full;
  }
  if (kind == VIRP_SAW_BEAT || kind == VIRP_SAW_DISABLED) {
    beat(event, voice, out);
    return !out->full;
  }
  struct cursor text = {virp_event_text((struct virp_event*)event)};
  const char* const vrf = next(&text, event->vrf_size);
  VIRP_PUT(out, "{\"domain\":\"bgp\",\"event\":");
  quoted(out, event_name(event->kind));
  if (event->prefix.family != 0) prefix(event, out);
  if (kind != VIRP_SAW_BEST)
    peer(event, voice, &text, out);
  else
    next(&text, event->peer_size);
  const char* const reason = next(&text, event->reason_size);
  if (kind == VIRP_SAW_STATE) state(event, out);
  if (kind == VIRP_SAW_DOWN) down(event, out);
  router(event, voice, vrf, out);
  if (event->rib != VIRP_RIB_NONE) path(event, out);
  if (kind == VIRP_SAW_ANNOUNCE) announced(event, &text, out);
  if (kind == VIRP_SAW_BEST) best(event, &text, out);
  if (kind == VIRP_SAW_TABLE_COMPLETE) {
    VIRP_PUT(out, ",\"prefixes\":[");
    if (event->afi != 2) quoted(out, "0.0.0.0/0");
    if (event->afi == 3) VIRP_PUT(out, ",");
    if (event->afi != 1) quoted(out, "::/0");
    VIRP_PUT(out, "]");
    if (event->from != 0) {
      VIRP_PUT(out, ",\"first_sequence\":");
      virp_text_number(out, event->from);
    }
  }
  if (kind == VIRP_SAW_STATE && event->peer_bgp_id[0] != 0) {
    VIRP_PUT(out, ",\"peer_bgp_id\":\"");
    virp_text_address(out, 4, event->peer_bgp_id);
    VIRP_PUT(out, "\"");
  }
  if (event->reason_size > 0) {
    VIRP_PUT(out, ",\"reason\":");
    virp_text_string(out, reason, event->reason_size);
  }
  if (event->red_rule != VIRP_NO_RULE) {
    VIRP_PUT(out, ",\"red_rule\":");
    quoted(out, rule_name(event->red_rule));
  }
  if (event->restated) VIRP_PUT(out, ",\"restated\":true");
  VIRP_PUT(out, "}");
  return !out->full;
}
