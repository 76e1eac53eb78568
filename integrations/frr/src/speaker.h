// SPDX-License-Identifier: GPL-2.0-or-later
// The thread that signs and sends. It takes events out of the ring, makes frames, and writes them to the collector's
// socket without ever waiting in a write; what a collector that dies may not have kept is sent again to the next one,
// which knows frames that it has (docs/formats/frame.md). Nothing here knows of FRR.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "epoch.h"
#include "frame.h"
#include "key.h"
#include "ring.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { VIRP_PATH_MAX = 256, VIRP_BUILD_ID_MAX = 41 };

struct virp_settings {
  uint8_t version;
  char source[VIRP_SOURCE_MAX + 1];
  char socket[VIRP_PATH_MAX];
  char state_file[VIRP_PATH_MAX];
  char build_id[VIRP_BUILD_ID_MAX];
  long uid;              // VIRP_NO_UID, or whose socket it has to be
  struct virp_key* key;  // owned
};

// How it does: a look at counters that the thread writes.
struct virp_figures {
  uint64_t made[256];  // frames that were signed, by type
  uint64_t made_all;
  uint64_t delivered;  // went into the collector's socket whole, once each
  uint64_t failed, signing_errors, socket_errors, connects;
  uint64_t resent;  // frames that go to the next connection once more
  uint64_t epoch, cpu_ns;
  bool connected;
  uint64_t problems;       // how often `problem` changed
  char problem[VIRP_WHY];  // why there is no connection, or no good state file; empty when there is none
};

struct virp_speaker;

// Starts the thread; takes the settings over. NULL with a reason. The ring outlives it.
struct virp_speaker* virp_speaker_start(struct virp_ring* ring, struct virp_settings* settings, char why[VIRP_WHY]);
// New settings count from the next frame on; takes them over. The connection is made anew where the socket changed.
void virp_speaker_configure(struct virp_speaker* speaker, struct virp_settings* settings);
// There is something in the ring. Costs a load while the thread is awake.
void virp_speaker_wake(struct virp_speaker* speaker);
// The number that was used last. What was not sent by then is in files within a tenth of a second, in case that nobody
// is there any more to say so.
void virp_speaker_note(struct virp_speaker* speaker, uint64_t sequence);
// An epoch is about to end with this number: to be called before VIRP_SAW_EPOCH is put into the ring, and taken back by
// the second one where that has no room. False: too many ends lie in the ring already.
bool virp_speaker_end_epoch(struct virp_speaker* speaker, uint64_t last);
void virp_speaker_no_end(struct virp_speaker* speaker);
// What earlier runs left that no record tells of yet. Returns how many.
uint32_t virp_speaker_left(struct virp_speaker* speaker, struct virp_left left[VIRP_LEFT_MAX]);
// So many of them, from the first on, are told by records up to this number.
void virp_speaker_told(struct virp_speaker* speaker, uint32_t count, uint64_t sequence);
// Sends what there is for at most that long, then ends the thread; one that does not end in time is left to the
// process's end. True when all up to number `last` was sent; else what was not is in the state file and in `left`.
bool virp_speaker_stop(struct virp_speaker* speaker, unsigned milliseconds, uint64_t last, struct virp_left* left);

void virp_speaker_look(struct virp_speaker* speaker, struct virp_figures* out);

struct virp_settings* virp_settings_new(void);
void virp_settings_free(struct virp_settings* settings);

#ifdef __cplusplus
}
#endif
