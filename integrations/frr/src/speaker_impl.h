// SPDX-License-Identifier: GPL-2.0-or-later
// What the speaker consists of: for speaker.c, which signs and sends, and leftover.c, which sees to it that what was
// not sent is known afterwards. Nobody else's.
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "event.h"
#include "speaker.h"

enum { VIRP_MARK_MS = 100 };  // how old the mark may be while something waits

struct virp_counters {
  _Atomic uint64_t made[256], made_all, delivered, failed, signing_errors, socket_errors, connects, resent, epoch,
      cpu_ns, problems;
  _Atomic bool connected;
};

struct virp_speaker {
  struct virp_ring* ring;
  struct virp_settings* settings;  // the thread's
  _Atomic(struct virp_settings*) next;
  struct virp_voice voice;
  struct virp_counters counters;
  pthread_t thread;
  int wake;
  _Atomic bool asleep, stop, abandon, all_sent;
  pthread_mutex_t mutex;
  _Atomic uint64_t noted;  // the number that was used last
  // By the mutex.
  char problem[VIRP_WHY];
  struct virp_left left[VIRP_LEFT_MAX];  // by earlier runs; `told` of them by records up to told_by
  uint32_t left_count, told;
  uint64_t told_by;
  uint64_t ends[VIRP_LEFT_MAX];  // the last numbers of epochs whose end lies in the ring, oldest first
  uint32_t ends_count;

  // The thread's own. Frames lie in [kept, end): those before `sent` went into the socket, some of them are kept.
  uint8_t* buffer;
  size_t kept, sent, sent_frames, end;  // sent_frames: the end of the last frame that was sent whole
  size_t kept_frames;                   // of those sent whole
  size_t counted;                       // frames before it were counted as delivered
  int socket;
  uint64_t retry_at, connected_at, backoff;  // ms of the monotonic clock
  bool busy;                                 // took something since it last rested
  bool closing;                              // after VIRP_SAW_CLOSE: no new connection until something is to be said
  uint64_t made;                             // number of the last frame
  size_t epoch_at;                           // where this epoch's frames begin
  uint64_t past_epoch;                       // version 1: of the frames before epoch_at
  uint64_t save_at, mark_at;                 // ms
  struct virp_state state;                   // as the file holds it
  bool keeps;                                // there is a file that could be read
  int mark;                                  // file; -1: none
  struct virp_left marked;                   // as it holds it
};

uint64_t virp_now_ms(void);  // of the monotonic clock
uint64_t virp_clock_ns(clockid_t id);
void virp_set_problem(struct virp_speaker* at, const char* why);

// A run begins: its epoch, and what those before it left.
void virp_begin_run(struct virp_speaker* at);
// The epoch ends within a run; the next one begins.
void virp_end_epoch(struct virp_speaker* at);
// Which numbers never went into a socket whole, epoch by epoch. Returns how many ranges.
uint32_t virp_unsaid(struct virp_speaker* at, struct virp_left out[VIRP_LEFT_MAX]);
// The state file is to hold what earlier runs left and is not told yet, and what this one would leave if it ended now.
void virp_save(struct virp_speaker* at);
// The same of this epoch alone, in the file that is written often; `now`, or when it is time.
void virp_save_mark(struct virp_speaker* at, bool now);
// How long until it is time, in ms; -1: there is nothing new.
int virp_mark_due(struct virp_speaker* at);
