// SPDX-License-Identifier: GPL-2.0-or-later
// References to bgpd's attributes. To take one of bgpd's own costs a hash over all of them, and routes that come
// together share them: so bgpd is asked once, and the others are counted here. Where another one's place is taken
// already bgpd is asked each time; it is the sum that counts.
#include "virp_module.h"

enum { kHeld = 4096 };

static struct {
  struct attr* attr;
  uint32_t users;  // for all of them together we have one reference of bgpd's
} held[kHeld];

static size_t place_of(const struct attr* attr) {
  return ((uintptr_t)attr >> 4) * 0x9e3779b97f4a7c15u >> 52;
}

struct attr* virp_hold(struct attr* attr) {
  const size_t at = place_of(attr);
  if (held[at].users > 0 && held[at].attr == attr) {
    ++held[at].users;
    return attr;
  }
  struct attr* const own = bgp_attr_intern(attr);
  if (own == attr && held[at].users == 0) {
    held[at].attr = attr;
    held[at].users = 1;
  }
  return own;
}

void virp_let_go(struct attr* attr) {
  const size_t at = place_of(attr);
  if (held[at].users > 0 && held[at].attr == attr && --held[at].users > 0) return;
  bgp_attr_unintern(&attr);
}
