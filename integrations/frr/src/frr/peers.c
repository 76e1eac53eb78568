// SPDX-License-Identifier: GPL-2.0-or-later
// Types 1 and 2. While a session is set up two `struct peer` fire, the configured one and its doppelganger: only the
// configured one counts, against the state that was last reported of it. Whether Established was lost is concluded from
// that, not from peer_backward_transition, which on 8.4 fires at every step down.
#include "virp_module.h"

enum { kBuckets = 1024, kReasonMax = 256, kPatienceForEnd = 60 };

struct known {
  struct known* next;
  const struct peer* peer;
  int state;
  time_t up_since;       // monotonic seconds
  uint64_t up_sequence;  // of the event that said so
  bool stated[2];        // its table of that family was said to be complete
};

static struct known* buckets[kBuckets];

static size_t bucket_of(const struct peer* peer) {
  return ((uintptr_t)peer >> 6) % kBuckets;
}
static struct known* find(const struct peer* peer) {
  struct known* at = buckets[bucket_of(peer)];
  while (at != NULL && at->peer != peer) at = at->next;
  return at;
}
static struct known* add(const struct peer* peer, int state) {
  struct known* const at = calloc(1, sizeof(*at));
  if (at == NULL) return NULL;
  at->peer = peer;
  at->state = state;
  at->next = buckets[bucket_of(peer)];
  buckets[bucket_of(peer)] = at;
  return at;
}
static void forget(const struct peer* peer) {
  struct known** at = &buckets[bucket_of(peer)];
  while (*at != NULL && (*at)->peer != peer) at = &(*at)->next;
  struct known* const gone = *at;
  if (gone == NULL) return;
  *at = gone->next;
  free(gone);
}

bool virp_peer_is_configured(const struct peer* peer) {
  return CHECK_FLAG(peer->flags, PEER_FLAG_CONFIG_NODE) || CHECK_FLAG(peer->flags, PEER_FLAG_DYNAMIC_NEIGHBOR);
}

static struct virp_address address_of(const union sockunion* su) {
  struct virp_address out = {0};
  if (su->sa.sa_family == AF_INET) {
    out.family = 4;
    memcpy(out.bytes, &su->sin.sin_addr, 4);
  } else if (su->sa.sa_family == AF_INET6) {
    out.family = 6;
    memcpy(out.bytes, &su->sin6.sin6_addr, 16);
  }
  return out;
}

// What every event about a peer says of it. pieces[0] is the VRF, pieces[1] the peer's name.
void virp_fill_peer(struct virp_event* event, const struct peer* peer, struct virp_piece pieces[2]) {
  const struct bgp* const bgp = peer->bgp;
  const char* const vrf = bgp->name != NULL ? bgp->name : "default";
  const char* const name = peer->hostname != NULL ? peer->hostname : (peer->host != NULL ? peer->host : "");
  pieces[0] = (struct virp_piece){vrf, strnlen(vrf, 64)};
  pieces[1] = (struct virp_piece){name, strnlen(name, 128)};
  event->vrf_size = (uint16_t)pieces[0].size;
  event->peer_size = (uint16_t)pieces[1].size;
  event->peer_addr = address_of(virp_peer_address(peer));
  event->peer_as = peer->as;
  event->local_as = peer->change_local_as != 0 ? peer->change_local_as : bgp->as;
  memcpy(event->router_id, &bgp->router_id, 4);
}

static size_t reason_of(const struct peer* peer, char reason[kReasonMax]) {
  const bool sent = peer->last_reset == PEER_DOWN_NOTIFY_SEND;
  if ((sent || peer->last_reset == PEER_DOWN_NOTIFY_RECEIVED) && peer->notify.code != 0) {
    snprintf(reason, kReasonMax, "%s notification: %s%s", sent ? "local" : "remote",
             bgp_notify_code_str((char)peer->notify.code),
             bgp_notify_subcode_str((char)peer->notify.code, (char)peer->notify.subcode));
  } else {
    snprintf(reason, kReasonMax, "%s", peer_down_str[(int)peer->last_reset]);
  }
  return strlen(reason);
}

static void say_state(const struct peer* peer, int old, int new, uint8_t tier, uint8_t rule, bool restated) {
  struct virp_event event = {.kind = VIRP_SAW_STATE, .tier = tier, .red_rule = rule, .restated = restated};
  struct virp_piece pieces[2];
  if (!virp.config.type[VIRP_PEER_STATUS]) return;
  virp_fill_peer(&event, peer, pieces);
  event.old_state = (uint8_t)old;
  event.new_state = (uint8_t)new;
  if (new == Established) memcpy(event.peer_bgp_id, &peer->remote_id, 4);
  const uint64_t sequence = virp_emit(&event, NULL, pieces, 2);
  if (virp.debug)
    zlog_debug("VIRP[%" PRIu64 "]: type=1 tier=%u peer=%s AS=%u state=%s", sequence, tier, peer->host, peer->as,
               virp_state_name((uint8_t)new));
}

static void say_down(const struct peer* peer, const struct known* known, int new, uint8_t tier, uint8_t rule) {
  struct virp_event event = {.kind = VIRP_SAW_DOWN, .tier = tier, .red_rule = rule};
  struct virp_piece pieces[3];
  char reason[kReasonMax];
  if (!virp.config.type[VIRP_PEER_DOWN]) return;
  virp_fill_peer(&event, peer, pieces);
  pieces[2] = (struct virp_piece){reason, reason_of(peer, reason)};
  event.reason_size = (uint16_t)pieces[2].size;
  event.old_state = Established;
  event.last_event = peer->cur_event;
  event.uptime = (uint32_t)(monotime(NULL) - known->up_since);
  const uint64_t sequence = virp_emit(&event, NULL, pieces, 3);
  if (virp.debug)
    zlog_debug("VIRP[%" PRIu64 "]: type=2 tier=%u peer=%s AS=%u state=%s BACKWARD_TRANSITION", sequence, tier,
               peer->host, peer->as, virp_state_name((uint8_t)new));
}

static void lost(const struct peer* peer, struct known* known, int new) {
  uint8_t rule = VIRP_NO_RULE;
  if (virp_rules_session_lost(virp.rules, (uint64_t)monotime(NULL))) rule = VIRP_SESSIONS_LOST;
  const uint8_t tier = rule == VIRP_NO_RULE ? VIRP_YELLOW : VIRP_RED;
  --virp.established;
  say_state(peer, Established, new, tier, rule, false);
  // last_reset says so only when bgpd has tried to start the session again.
  if (virp.rules->maximum_prefix && CHECK_FLAG(peer->sflags, PEER_STATUS_PREFIX_OVERFLOW))
    say_down(peer, known, new, VIRP_RED, VIRP_MAXIMUM_PREFIX);
  else
    say_down(peer, known, new, tier, rule);
}

int virp_on_peer_status(struct peer* peer) {
  if (!virp.on || !virp_peer_is_configured(peer)) return 0;
  const int state = virp_peer_state(peer);
  struct known* known = find(peer);
  if (known == NULL) known = add(peer, Idle);
  if (known == NULL || known->state == state) return 0;
  const int old = known->state;
  if (old == Established) {
    lost(peer, known, state);
  } else {
    if (state == Established) {
      ++virp.established;
      known->up_since = monotime(NULL);
      known->up_sequence = virp.sequence + 1;
      known->stated[0] = known->stated[1] = false;
    }
    say_state(peer, old, state, VIRP_GREEN, VIRP_NO_RULE, false);
  }
  known->state = state;
  if (state == Deleted) forget(peer);
  return 0;
}

static void each_peer(void (*visit)(struct peer* peer)) {
  struct listnode *node, *peers;
  struct bgp* bgp;
  struct peer* peer;
  for (ALL_LIST_ELEMENTS_RO(bm->bgp, node, bgp)) {
    for (ALL_LIST_ELEMENTS_RO(bgp->peer, peers, peer)) {
      if (virp_peer_is_configured(peer)) visit(peer);
    }
  }
}

static void meet(struct peer* peer) {
  const int state = virp_peer_state(peer);
  struct known* known = find(peer);
  if (known == NULL) known = add(peer, state);
  if (known == NULL) return;
  known->state = state;
  known->up_sequence = virp.sequence + 1;
  if (state != Established) return;
  ++virp.established;
  known->up_since = peer->uptime;
  known->stated[0] = known->stated[1] = true;  // by the walk that begins now
}

void virp_peers_start(void) {
  virp.established = 0;
  each_peer(meet);
}

void virp_peers_forget(void) {
  for (size_t i = 0; i < kBuckets; ++i) {
    while (buckets[i] != NULL) forget(buckets[i]->peer);
  }
  virp.established = 0;
}

static void restate(struct peer* peer) {
  const int state = virp_peer_state(peer);
  say_state(peer, 0, state, VIRP_GREEN, VIRP_NO_RULE, true);
}

void virp_restate_peers(void) {
  each_peer(restate);
}

bool virp_peer_table_ready(const struct peer* peer, afi_t afi) {
  const struct known* const known = find(peer);
  if (known == NULL || known->state != Established || !peer->afc_nego[afi][SAFI_UNICAST]) return false;
  return CHECK_FLAG(peer->af_sflags[afi][SAFI_UNICAST], PEER_STATUS_EOR_RECEIVED) ||
         monotime(NULL) - known->up_since >= kPatienceForEnd;
}

void virp_peer_tables_stated(const struct peer* peer, uint64_t first_sequence, bool restated) {
  struct virp_event event = {
      .kind = VIRP_SAW_TABLE_COMPLETE, .tier = VIRP_GREEN, .rib = VIRP_ADJ_IN_POST, .restated = restated};
  struct virp_piece pieces[2];
  struct known* const known = find(peer);
  for (afi_t afi = AFI_IP; afi <= AFI_IP6; ++afi) {
    const bool ready = virp_family_wanted(afi, SAFI_UNICAST) && virp_peer_table_ready(peer, afi);
    if (known != NULL) known->stated[afi == AFI_IP6] = ready;
    if (ready) event.afi |= (uint8_t)(afi == AFI_IP ? 1 : 2);
  }
  if (event.afi == 0 || !virp.config.type[VIRP_PROCESS]) return;
  virp_fill_peer(&event, peer, pieces);
  event.from = first_sequence;
  virp_emit(&event, NULL, pieces, 2);
}

static void state_if_complete(struct peer* peer) {
  struct known* const known = find(peer);
  bool news = false;
  for (afi_t afi = AFI_IP; afi <= AFI_IP6; ++afi) {
    if (known == NULL || known->stated[afi == AFI_IP6] || !virp_family_wanted(afi, SAFI_UNICAST)) continue;
    if (virp_peer_table_ready(peer, afi)) news = known->stated[afi == AFI_IP6] = true;
  }
  if (!news) return;
  // What was lost since the session came up may have been of it.
  if (virp.loss_sequence >= known->up_sequence || known->up_sequence > virp.sequence)
    virp.restate_tables = true;
  else
    virp_peer_tables_stated(peer, known->up_sequence, false);
}

void virp_peers_tick(void) {
  each_peer(state_if_complete);
}
