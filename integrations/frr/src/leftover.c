// SPDX-License-Identifier: GPL-2.0-or-later
// What would be left if the run ended now, in two files. The state file is on the disk when it is written, every 10 s
// while something waits: it says what is left of all epochs. Beside it lies a mark about this epoch alone, written ten
// times a second and left to the kernel to put on the disk: it outlives bgpd, though not the machine, and says so.
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "speaker_impl.h"

enum { kSave = 10000 };  // ms

static void new_epoch(struct virp_speaker* at) {
  char why[VIRP_WHY];
  const uint64_t last = at->voice.epoch;
  uint64_t epoch = virp_epoch_next(at->settings->state_file, virp_clock_ns(CLOCK_REALTIME), &at->state, why);
  at->keeps = why[0] == '\0';
  if (epoch <= last) epoch = last + 1;
  at->voice.epoch = epoch;
  atomic_store(&at->counters.epoch, epoch);
  if (why[0] != '\0') virp_set_problem(at, why);
}

// What the mark of a bgpd says that ended without a word takes the place of what the state file says of that epoch.
static void take_mark(struct virp_speaker* at, const struct virp_left* mark) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < at->left_count; ++i) {
    if (at->left[i].epoch != mark->epoch) at->left[kept++] = at->left[i];
  }
  at->left_count = kept;
  if (mark->from > mark->to) return;
  if (kept == VIRP_LEFT_MAX) memmove(at->left, at->left + 1, --at->left_count * sizeof(at->left[0]));
  at->left[at->left_count++] = *mark;
}

void virp_begin_run(struct virp_speaker* at) {
  char why[VIRP_WHY] = "";
  const char* const file = at->settings->state_file;
  struct virp_left mark;
  const bool marked = virp_mark_read(file, &mark);
  at->made = 0;
  at->epoch_at = at->end;
  if (at->settings->version == 2) {
    new_epoch(at);
  } else {
    at->voice.epoch = 0;  // the first time stamp's
    at->keeps = file[0] != '\0' && virp_state_read(file, &at->state, why);
    if (why[0] != '\0') virp_set_problem(at, why);
  }
  virp_mark_close(at->mark);
  at->mark = -1;
  if (!at->keeps) return;
  pthread_mutex_lock(&at->mutex);
  memcpy(at->left, at->state.left, sizeof(at->left));
  at->left_count = at->state.left_count;
  if (marked) take_mark(at, &mark);
  at->told = at->ends_count = 0;
  pthread_mutex_unlock(&at->mutex);
  virp_save(at);  // before the mark is about another epoch
  at->mark = virp_mark_open(file);
  at->marked = (struct virp_left){0};
  virp_save_mark(at, true);
}

void virp_end_epoch(struct virp_speaker* at) {
  virp_save(at);  // what is left of it: the mark will be about the next one
  pthread_mutex_lock(&at->mutex);
  if (at->ends_count > 0) memmove(at->ends, at->ends + 1, --at->ends_count * sizeof(at->ends[0]));
  pthread_mutex_unlock(&at->mutex);
  at->past_epoch = at->voice.epoch;
  at->epoch_at = at->end;
  at->made = 0;
  if (at->voice.version == 2)
    new_epoch(at);
  else
    at->voice.epoch = 0;  // the next frame's time
  virp_save_mark(at, true);
}

// Of this epoch.
static struct virp_left unsaid_now(struct virp_speaker* at) {
  const size_t first = at->sent_frames > at->epoch_at ? at->sent_frames : at->epoch_at;
  struct virp_left out = {at->voice.epoch, at->made + 1, atomic_load_explicit(&at->noted, memory_order_acquire)};
  if (first < at->end) out.from = virp_frame_sequence(at->buffer + first);
  pthread_mutex_lock(&at->mutex);
  if (at->ends_count > 0) out.to = at->ends[0];
  pthread_mutex_unlock(&at->mutex);
  if (out.to < at->made) out.to = at->made;
  return out;
}

uint32_t virp_unsaid(struct virp_speaker* at, struct virp_left out[VIRP_LEFT_MAX]) {
  uint32_t count = 0;
  for (size_t place = at->sent_frames; place < at->epoch_at; place += virp_frame_size(at->buffer + place)) {
    const uint8_t* const frame = at->buffer + place;
    const uint64_t epoch = frame[4] == 1 ? at->past_epoch : virp_frame_epoch(frame);
    const uint64_t sequence = virp_frame_sequence(frame);
    if (count > 0 && out[count - 1].epoch == epoch && sequence > out[count - 1].to) {
      out[count - 1].to = sequence;
    } else {
      if (count == VIRP_LEFT_MAX - 1) memmove(out, out + 1, --count * sizeof(out[0]));
      out[count++] = (struct virp_left){epoch, sequence, sequence};
    }
  }
  const struct virp_left now = unsaid_now(at);
  if (now.epoch != 0 && now.from <= now.to) out[count++] = now;
  return count;
}

void virp_save(struct virp_speaker* at) {
  struct virp_state wanted = {.epoch = at->state.epoch};
  struct virp_left now[VIRP_LEFT_MAX];
  char why[VIRP_WHY] = "";
  at->save_at = virp_now_ms() + kSave;
  if (!at->keeps) return;
  const uint32_t count = virp_unsaid(at, now);
  pthread_mutex_lock(&at->mutex);
  const bool said = count == 0 || (at->ends_count == 0 && at->told_by < now[0].from && now[0].epoch == at->voice.epoch);
  if (at->told > 0 && said) {
    at->left_count -= at->told;
    memmove(at->left, at->left + at->told, at->left_count * sizeof(at->left[0]));
    at->told = 0;
  }
  wanted.left_count = at->left_count;
  memcpy(wanted.left, at->left, at->left_count * sizeof(at->left[0]));
  pthread_mutex_unlock(&at->mutex);
  for (uint32_t i = 0; i < count; ++i) virp_state_leave(&wanted, &now[i]);
  if (at->voice.epoch > wanted.epoch) wanted.epoch = at->voice.epoch;  // of version 1
  if (memcmp(&wanted, &at->state, sizeof(wanted)) == 0) return;
  if (virp_state_write(at->settings->state_file, &wanted, why))
    at->state = wanted;
  else
    virp_set_problem(at, why);
}

static bool mark_is_old(struct virp_speaker* at) {
  const struct virp_left now = unsaid_now(at);
  return at->mark >= 0 && memcmp(&now, &at->marked, sizeof(now)) != 0;
}

void virp_save_mark(struct virp_speaker* at, bool now) {
  const uint64_t ms = virp_now_ms();
  if ((!now && ms < at->mark_at) || !mark_is_old(at)) return;
  at->mark_at = ms + VIRP_MARK_MS;
  at->marked = unsaid_now(at);
  virp_mark_write(at->mark, &at->marked);
}

int virp_mark_due(struct virp_speaker* at) {
  if (!mark_is_old(at)) return -1;
  const uint64_t ms = virp_now_ms();
  return ms < at->mark_at ? (int)(at->mark_at - ms) : 0;
}
