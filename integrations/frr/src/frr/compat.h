// SPDX-License-Identifier: GPL-2.0-or-later
// FRR's headers, and what differs between 8.4 and 10.x in what we use of them. VIRP_FRR_MAJOR and VIRP_FRR_MINOR come
// from the build.
#pragma once

// clang-format off: FRR's headers want this order
#include <zebra.h>

#include "command.h"
#include "hook.h"
#include "lib/version.h"
#include "libfrr.h"
#include "linklist.h"
#include "log.h"
#include "module.h"
#include "monotime.h"
#include "plist.h"
#include "prefix.h"
#include "sockunion.h"
#include "stream.h"
#include "vty.h"

#include "bgpd/bgpd.h"
#include "bgpd/bgp_table.h"
#include "bgpd/bgp_route.h"
#include "bgpd/bgp_attr.h"
#include "bgpd/bgp_aspath.h"
#include "bgpd/bgp_community.h"
#include "bgpd/bgp_debug.h"
#include "bgpd/bgp_fsm.h"
#include "bgpd/bgp_packet.h"
#include "bgpd/bgp_vty.h"
// clang-format on

#define VIRP_FRR_SINCE(major, minor) \
  (VIRP_FRR_MAJOR > (major) || (VIRP_FRR_MAJOR == (major) && VIRP_FRR_MINOR >= (minor)))

// 9.0: struct thread became struct event.
#if VIRP_FRR_SINCE(9, 0)
#include "frrevent.h"
typedef struct event virp_task;
typedef struct event_loop virp_loop;
#define virp_after(loop, function, milliseconds, task) event_add_timer_msec(loop, function, NULL, milliseconds, task)
#define virp_cancel(task) event_cancel(task)
#else
#include "thread.h"
typedef struct thread virp_task;
typedef struct thread_master virp_loop;
#define virp_after(loop, function, milliseconds, task) thread_add_timer_msec(loop, function, NULL, milliseconds, task)
#define virp_cancel(task) thread_cancel(task)
#endif

// 9.1: the state of the session moved into the connection.
#if VIRP_FRR_SINCE(9, 1)
static inline int virp_peer_state(const struct peer* peer) {
  return peer->connection->status;
}
#else
static inline int virp_peer_state(const struct peer* peer) {
  return peer->status;
}
#endif

// 10.3: so did the neighbour's address.
#if VIRP_FRR_SINCE(10, 3)
static inline const union sockunion* virp_peer_address(const struct peer* peer) {
  return &peer->connection->su;
}
#else
static inline const union sockunion* virp_peer_address(const struct peer* peer) {
  return &peer->su;
}
#endif
