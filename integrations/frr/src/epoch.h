// SPDX-License-Identifier: GPL-2.0-or-later
// What a run leaves to the next one: the boot epoch of version 2, strictly greater in every later run as far as the
// state file goes back, and which numbers never reached the collector.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "key.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { VIRP_LEFT_MAX = 8 };

// Numbers that a run used and that never went into the collector's socket.
struct virp_left {
  uint64_t epoch, from, to;
};
// Without a file it is empty. The oldest of more than VIRP_LEFT_MAX is dropped.
struct virp_state {
  uint64_t epoch;  // the last one that was used
  uint32_t left_count;
  struct virp_left left[VIRP_LEFT_MAX];
};

// False with a reason when there is a file and it cannot be read; `state` is empty then.
bool virp_state_read(const char* path, struct virp_state* state, char why[VIRP_WHY]);
// On the disk when it returns true.
bool virp_state_write(const char* path, const struct virp_state* state, char why[VIRP_WHY]);
void virp_state_leave(struct virp_state* state, const struct virp_left* left);

// The mark beside the state file (PATH.now): what of one epoch was not sent, as of a moment ago. It is not on the disk
// when it is written, so it counts only while the machine has not started anew.
int virp_mark_open(const char* path);  // of the state file; -1: cannot be
void virp_mark_close(int file);
void virp_mark_write(int file, const struct virp_left* left);
bool virp_mark_read(const char* path, struct virp_left* left);  // false: there is none that counts

// max(now, the last one in the file + 1), written to the file and to the disk before it is used. Without a path, or
// where the file cannot be read or written, now alone; `why` then says so, and is empty otherwise. `state` is what the
// file holds now.
uint64_t virp_epoch_next(const char* path, uint64_t now_ns, struct virp_state* state, char why[VIRP_WHY]);

#ifdef __cplusplus
}
#endif
