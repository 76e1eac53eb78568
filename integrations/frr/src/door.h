// SPDX-License-Identifier: GPL-2.0-or-later
// The way to the collector: a Unix socket, connected to only where nobody else can have put it.
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "key.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { VIRP_NO_UID = -1 };

// A connected, non-blocking socket; -1 with a reason in `why`. Never waits. Refused are: what is no socket, links, a
// socket or a folder that others may write to, and a listener that is not the socket's owner. A folder that others may
// write to is taken only when it is sticky and `uid` says whose socket it has to be (`virp onode-uid`).
int virp_door_open(const char* path, long uid, char why[VIRP_WHY]);

#ifdef __cplusplus
}
#endif
