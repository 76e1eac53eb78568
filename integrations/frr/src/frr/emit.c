// SPDX-License-Identifier: GPL-2.0-or-later
// Events on their way into the ring. Each gets its number here, also when there is no room for it: the loss record that
// follows says which numbers were dropped.
#include <time.h>

#include "virp_module.h"

enum { kStepBack = 1000000000 };  // ns; less than that is taken for the clock being slewed

static uint64_t wall_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool push_plain(struct virp_event* event) {
  void* const room = virp_ring_reserve(virp.ring, sizeof(*event));
  if (room == NULL) return false;
  memcpy(room, event, sizeof(*event));
  virp_ring_commit(virp.ring);
  return true;
}

bool virp_new_epoch(void) {
  struct virp_event mark = {.kind = VIRP_SAW_EPOCH};
  if (!virp_speaker_end_epoch(virp.speaker, virp.sequence)) return false;
  if (!push_plain(&mark)) {
    virp_speaker_no_end(virp.speaker);
    return false;
  }
  virp.sequence = 0;
  virp_speaker_note(virp.speaker, 0);
  virp.lost_from = virp.loss_sequence = 0;  // of an epoch that has ended
  return true;
}

// Times of an epoch do not fall. A clock that steps back begins a new epoch (version 2); in version 1 time stands still
// until the clock has caught up.
static uint64_t next_time(void) {
  uint64_t now = wall_ns();
  if (now < virp.last_ns && virp.last_ns - now > kStepBack && virp.config.version == 2 && virp_new_epoch()) {
    virp.last_ns = now;
    virp.restate_tables = true;
  }
  if (now < virp.last_ns) now = virp.last_ns;
  virp.last_ns = now;
  return now;
}

static void number(struct virp_event* event) {
  event->time_ns = next_time();
  event->sequence = ++virp.sequence;
  virp_speaker_note(virp.speaker, virp.sequence);
}

static void lose(void) {
  if (virp.lost_from == 0) virp.lost_from = virp.sequence;
  ++virp.lost;
}

// One record for a whole burst: with events lost, nothing is said before a quarter of all memory is free.
static bool has_recovered(size_t next) {
  return virp_paths_have_room() && virp_ring_bytes(virp.ring) <= virp_ring_size(virp.ring) / 4 * 3 &&
         virp_ring_fits(virp.ring, sizeof(struct virp_event), next);
}

bool virp_tell_loss(bool now) {
  if (virp.lost_from == 0) return true;
  if (!now && !has_recovered(0)) return false;
  if (!virp_ring_fits(virp.ring, sizeof(struct virp_event), 0)) return false;
  struct virp_event loss = {.kind = VIRP_SAW_LOSS, .tier = VIRP_YELLOW, .from = virp.lost_from, .to = virp.sequence};
  number(&loss);
  if (virp.lost_from == 0) loss.kind = VIRP_SAW_BEAT;  // a new epoch began with it: nothing of that is missing
  if (!push_plain(&loss)) return false;
  virp.lost_from = 0;
  virp.loss_sequence = loss.sequence;
  virp.restate_tables = true;
  virp_speaker_wake(virp.speaker);
  return true;
}

void virp_tell_left(void) {
  struct virp_left left[VIRP_LEFT_MAX];
  const uint32_t count = virp_speaker_left(virp.speaker, left);
  if (count == 0 || virp.lost_from != 0) return;
  uint32_t told = 0;
  for (; told < count && virp_ring_fits(virp.ring, sizeof(struct virp_event), 0); ++told) {
    struct virp_event loss = {.kind = VIRP_SAW_LOSS, .tier = VIRP_YELLOW, .left_epoch = left[told].epoch};
    loss.from = left[told].from;
    loss.to = left[told].to;
    virp_emit(&loss, NULL, NULL, 0);
    zlog_warn("VIRP: an earlier run ended before %" PRIu64 " to %" PRIu64 " were sent; said so", loss.from, loss.to);
  }
  if (told > 0) virp_speaker_told(virp.speaker, told, virp.sequence);
}

uint64_t virp_emit(struct virp_event* event, const struct virp_route* routes, const struct virp_piece* pieces,
                   int count) {
  const size_t fixed = sizeof(*event) + event->routes * sizeof(*routes);
  size_t size = fixed;
  for (int i = 0; i < count; ++i) size += pieces[i].size;
  if (virp.lost_from != 0 && has_recovered(size)) virp_tell_loss(false);
  number(event);
  char* to = virp.lost_from != 0 ? NULL : virp_ring_reserve(virp.ring, size);
  if (to == NULL) {
    lose();
    return event->sequence;
  }
  memcpy(to, event, sizeof(*event));
  if (event->routes > 0) memcpy(to + sizeof(*event), routes, event->routes * sizeof(*routes));
  to += fixed;
  for (int i = 0; i < count; ++i) {
    if (pieces[i].size > 0) memcpy(to, pieces[i].text, pieces[i].size);
    to += pieces[i].size;
  }
  virp_ring_commit(virp.ring);
  virp_speaker_wake(virp.speaker);
  return event->sequence;
}

void virp_mark(uint8_t kind) {
  struct virp_event mark = {.kind = kind};
  push_plain(&mark);
  virp_speaker_wake(virp.speaker);
}

void virp_beat(uint8_t kind) {
  if (virp.config.version == 1 && kind == VIRP_SAW_BEAT) return;  // version 1 has none; do not use a number up
  struct virp_event beat = {.kind = kind, .tier = kind == VIRP_SAW_BEAT ? VIRP_GREEN : VIRP_YELLOW};
  beat.lost = virp.lost;
  beat.depth = virp_ring_depth(virp.ring);
  beat.established = virp.established;
  beat.config = virp_config_hash();
  virp_emit(&beat, NULL, NULL, 0);
}

void virp_count_lost(void) {
  virp_speaker_note(virp.speaker, ++virp.sequence);
  lose();
}
