// SPDX-License-Identifier: GPL-2.0-or-later
// The module inside bgpd. Everything here runs on bgpd's main thread, and nothing of it waits.
#pragma once

#include "compat.h"
#include "event.h"
#include "ring.h"
#include "rules.h"
#include "speaker.h"
#include "update.h"

#ifndef VIRP_RESTATE_SECONDS  // a test's build says otherwise
#define VIRP_RESTATE_SECONDS (15 * 60)
#endif
enum { VIRP_BEAT_SECONDS = 10 };

// What is configured.
struct virp_config {
  bool enabled;
  uint8_t version;  // of frames
  char source[VIRP_SOURCE_MAX + 1];
  char socket[VIRP_PATH_MAX];
  char key[VIRP_PATH_MAX];
  char state[VIRP_PATH_MAX];
  long uid;
  uint32_t key_version;
  uint32_t ring_mib;
  bool family[2];  // IPv4, IPv6 unicast
  bool type[5];    // 1 to 4
};

struct virp_module {
  struct virp_config config;
  bool fits;               // the running bgpd is the one that this was built for
  char refusal[VIRP_WHY];  // why it is off although it is configured; empty: none
  bool stopping;
  virp_loop* loop;

  struct virp_ring* ring;
  struct virp_speaker* speaker;
  bool on;                 // observes
  uint64_t sequence;       // of the last event
  uint64_t last_ns;        // its time
  uint64_t lost;           // events that found no room
  uint64_t lost_from;      // of those that no record tells of yet; 0: none
  uint64_t loss_sequence;  // the newest record's
  bool restate_tables;     // a loss was told, or it was asked for
  uint64_t established;
  struct virp_rules* rules;

  char argument_path[VIRP_PATH_MAX];
  struct virp_key* argument_key;  // read as root, before bgpd gave its privileges up
  char build_id[VIRP_BUILD_ID_MAX];
  bool debug;
};

extern struct virp_module virp;

// module.c
const char* virp_start(void);  // as configured; NULL, or why not
void virp_pause(void);         // says that it is off, and is
void virp_reconfigure(void);   // what changed counts from now on
uint64_t virp_config_hash(void);
struct virp_key* virp_read_key(char why[VIRP_WHY]);

// guard.c
bool virp_guard(char why[VIRP_WHY]);
bool virp_guard_instance(struct bgp* bgp, char why[VIRP_WHY]);
void virp_find_build_id(char id[VIRP_BUILD_ID_MAX]);

// emit.c: copies an event and its text into the ring, numbered and timed, or counts it as lost. `event` has its sizes
// set; `routes` are event->routes many; the text's parts follow in the order of event.h. Returns the number it got.
struct virp_piece {
  const char* text;
  size_t size;
};
uint64_t virp_emit(struct virp_event* event, const struct virp_route* routes, const struct virp_piece* pieces,
                   int count);
void virp_count_lost(void);     // one that was never made: it takes a number, too
bool virp_tell_loss(bool now);  // when there is room for the record; unless `now`, when there is much
void virp_tell_left(void);      // what earlier runs could not send
bool virp_new_epoch(void);      // what was said before is of the past; false: no room to say so
void virp_mark(uint8_t kind);
void virp_beat(uint8_t kind);

// peers.c
bool virp_peer_is_configured(const struct peer* peer);
int virp_on_peer_status(struct peer* peer);
void virp_peers_start(void);
void virp_peers_forget(void);
void virp_restate_peers(void);
void virp_peers_tick(void);  // tables that are complete since the last tick are said to be
void virp_fill_peer(struct virp_event* event, const struct peer* peer, struct virp_piece pieces[2]);
bool virp_peer_table_ready(const struct peer* peer, afi_t afi);
// One statement for both families: a later one about the same peer takes the place of an earlier one.
void virp_peer_tables_stated(const struct peer* peer, uint64_t first_sequence, bool restated);

// paths.c
int virp_on_process(struct bgp* bgp, afi_t afi, safi_t safi, struct bgp_dest* dest, struct peer* peer, bool withdraw);
int virp_on_local_path(struct bgp_dest* dest, struct bgp_path_info* path, bool added);
int virp_on_instance_deleted(struct bgp* bgp);
bool virp_paths_start(size_t bytes);
void virp_paths_forget(void);  // what is pending is let go, unsaid
void virp_paths_flush(void);   // what is pending is said as it stands
size_t virp_paths_pending(void);
bool virp_paths_have_room(void);
void virp_state_path(struct bgp* bgp, afi_t afi, struct bgp_dest* dest, struct bgp_path_info* path);
void virp_state_best(struct bgp* bgp, afi_t afi, struct bgp_dest* dest);
bool virp_local_look(struct bgp* bgp, struct bgp_dest* dest);  // true: it has changed, and is about to be said
bool virp_path_counts(const struct bgp_path_info* path);
bool virp_family_wanted(afi_t afi, safi_t safi);

// say.c: events about routes. `local`: a path of this router's own, table loc.
void virp_say_path(uint8_t kind, struct bgp_dest* dest, uint8_t afi, struct peer* peer, struct attr* attr,
                   uint32_t path_id, bool local, bool restated);
void virp_say_best(struct bgp* bgp, struct bgp_dest* dest, uint8_t afi, struct peer* old_peer, struct attr* old_attr,
                   bool old_local, struct bgp_path_info* now, bool restated);

// attrs.c: a reference to attributes that bgpd has; while we have it the pointer means these.
struct attr* virp_hold(struct attr* attr);
void virp_let_go(struct attr* attr);

// locals.c
void virp_say_local(struct bgp* bgp, struct bgp_dest* dest, uint8_t afi, struct bgp_path_info* path, bool restated);
struct attr* virp_local_attr(const struct bgp_dest* dest);  // of the one that was said; NULL: none was
void virp_local_gone(const struct bgp_dest* dest);
void virp_locals_tick(void);                     // looks at some: bgpd calls no hook when their attributes change
void virp_locals_forget(const struct bgp* bgp);  // NULL: of all instances

static inline bool virp_path_is_local(const struct bgp_path_info* path) {
  return path->peer == path->peer->bgp->peer_self;
}

// restate.c
void virp_restate(bool tables);
void virp_restate_stop(void);
void virp_restate_without(const struct bgp* bgp);  // that instance goes

// vty.c
void virp_vty_init(void);
int virp_write_config(struct bgp* bgp, struct vty* vty);
