// SPDX-License-Identifier: GPL-2.0-or-later
// A module for bgpd that measures another module's hook bgp_process: one of its own runs in front of it, one behind it.
// What it shows is the hook's time with one reading of the clock in it, of all calls and of those that took less than
// 20 us: in the others the thread was not running for a while, on a busy machine. frr_cost.py builds and loads it.
#include "compat.h"

enum { kInterrupted = 20000 };  // ns

static struct {
  uint64_t calls, ns, whole_calls, whole_ns, empty_ns, empty_calls;
  uint64_t began;
} times;

static uint64_t now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static int before(struct bgp* bgp, afi_t afi, safi_t safi, struct bgp_dest* dest, struct peer* peer, bool withdraw) {
  (void)bgp, (void)afi, (void)safi, (void)dest, (void)peer, (void)withdraw;
  const uint64_t first = now();
  times.began = now();
  const uint64_t empty = times.began - first;  // what a reading takes
  if (empty >= kInterrupted) return 0;
  times.empty_ns += empty;
  ++times.empty_calls;
  return 0;
}

static int behind(struct bgp* bgp, afi_t afi, safi_t safi, struct bgp_dest* dest, struct peer* peer, bool withdraw) {
  (void)bgp, (void)afi, (void)safi, (void)dest, (void)peer, (void)withdraw;
  const uint64_t took = now() - times.began;
  times.ns += took;
  ++times.calls;
  if (took >= kInterrupted) return 0;
  times.whole_ns += took;
  ++times.whole_calls;
  return 0;
}

// clang-format off
DEFUN(show_hook_time, show_hook_time_cmd, "show bgp hook-time", SHOW_STR BGP_STR "Time of bgp_process\n")
{
  vty_out(vty,
          "{\"calls\":%" PRIu64 ",\"ns\":%" PRIu64 ",\"wholeCalls\":%" PRIu64 ",\"wholeNs\":%" PRIu64
          ",\"emptyCalls\":%" PRIu64 ",\"emptyNs\":%" PRIu64 "}\n",
          times.calls, times.ns, times.whole_calls, times.whole_ns, times.empty_calls, times.empty_ns);
  return CMD_SUCCESS;
}
// clang-format on

static int on_late_init(virp_loop* loop) {
  (void)loop;
  install_element(VIEW_NODE, &show_hook_time_cmd);
  return 0;
}

static int on_load(void) {
  hook_register_prio(bgp_process, 1, before);
  hook_register_prio(bgp_process, 2000, behind);
  hook_register(frr_late_init, on_late_init);
  return 0;
}

FRR_MODULE_SETUP(.name = "bgpd_hook_time", .version = FRR_VERSION, .description = "measures a hook", .init = on_load, );
