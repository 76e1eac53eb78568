// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "door.h"
#include "speaker_impl.h"

enum {
  kBuffer = 2 << 20,
  kAhead = 256 << 10,    // signed and not sent: beyond it the ring waits
  kBehind = 256 << 10,   // sent and kept: two socket buffers of 64 KiB, one read of the collector's, one frame
  kBehindFrames = 1000,  // the collector knows the last 1,024 frames of a version 1 source again
  kChunk = 64 << 10,
  kBackoffMin = 100,  // ms
  kBackoffMax = 5000,
  kSteady = 10000,  // ms of connection after which the next failure starts from kBackoffMin
  kBatch = 64,
  kStopping = 10,  // ms
  kSaving = 500,   // ms: for the last word to the state file
  kLinger = 2,     // ms: while events keep coming, nobody wakes the thread for each of them
};

uint64_t virp_clock_ns(clockid_t id) {
  struct timespec now;
  clock_gettime(id, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
uint64_t virp_now_ms(void) {
  return virp_clock_ns(CLOCK_MONOTONIC) / 1000000u;
}

struct virp_settings* virp_settings_new(void) {
  return calloc(1, sizeof(struct virp_settings));
}
void virp_settings_free(struct virp_settings* settings) {
  if (settings == NULL) return;
  virp_key_free(settings->key);
  free(settings);
}

void virp_set_problem(struct virp_speaker* at, const char* why) {
  pthread_mutex_lock(&at->mutex);
  if (strcmp(at->problem, why) != 0) {
    snprintf(at->problem, sizeof(at->problem), "%s", why);
    atomic_fetch_add(&at->counters.problems, 1);
  }
  pthread_mutex_unlock(&at->mutex);
}

static void disconnect(struct virp_speaker* at, const char* why) {
  const bool was_connected = at->socket >= 0;
  if (was_connected) close(at->socket);
  at->socket = -1;
  atomic_store(&at->counters.connected, false);
  atomic_fetch_add(&at->counters.resent, at->kept_frames);
  at->sent = at->sent_frames = at->kept;  // all that is kept goes out again
  at->kept_frames = 0;
  if (why == NULL) return;
  virp_set_problem(at, why);
  atomic_fetch_add(&at->counters.socket_errors, 1);
  const uint64_t now = virp_now_ms();
  if (was_connected && now - at->connected_at >= kSteady) at->backoff = kBackoffMin;
  at->retry_at = now + at->backoff + (now % 64);  // not all routers of a site at once
  at->backoff = at->backoff * 2 > kBackoffMax ? kBackoffMax : at->backoff * 2;
}

static void take_settings(struct virp_speaker* at, struct virp_settings* settings) {
  struct virp_settings* const old = at->settings;
  const bool moved = old == NULL || strcmp(old->socket, settings->socket) != 0 || old->uid != settings->uid;
  const bool renamed = old == NULL || strcmp(old->source, settings->source) != 0 || old->version != settings->version;
  at->settings = settings;
  at->voice.version = settings->version;
  at->voice.source = settings->source;
  at->voice.build_id = settings->build_id;
  virp_source_id(settings->source, at->voice.source_id);
  if (old != NULL && (moved || renamed)) {
    if (renamed)
      at->kept = at->sent = at->sent_frames = at->end = at->kept_frames = at->counted = at->epoch_at =
          0;  // another's by now
    disconnect(at, NULL);
    at->retry_at = 0;
  }
  if (renamed) virp_begin_run(at);
  virp_settings_free(old);
}

static bool unsent(const struct virp_speaker* at) {
  return at->sent < at->end;
}

// Frames that were sent whole stay until as much was sent after them as a dying collector may lose.
static void forget(struct virp_speaker* at) {
  while (at->sent_frames < at->end) {
    const size_t next = at->sent_frames + virp_frame_size(at->buffer + at->sent_frames);
    if (next > at->sent) break;
    at->sent_frames = next;
    ++at->kept_frames;
    if (next <= at->counted) continue;
    at->counted = next;
    atomic_fetch_add_explicit(&at->counters.delivered, 1, memory_order_relaxed);
  }
  while (at->kept_frames > 0 && (at->sent_frames - at->kept > kBehind || at->kept_frames > kBehindFrames)) {
    at->kept += virp_frame_size(at->buffer + at->kept);
    --at->kept_frames;
  }
  if (at->kept < kBuffer / 2) return;
  memmove(at->buffer, at->buffer + at->kept, at->end - at->kept);
  at->sent -= at->kept;
  at->sent_frames -= at->kept;
  at->end -= at->kept;
  at->counted -= at->counted < at->kept ? at->counted : at->kept;
  at->epoch_at -= at->epoch_at < at->kept ? at->epoch_at : at->kept;
  at->kept = 0;
}

static void connect_again(struct virp_speaker* at) {
  char why[VIRP_WHY] = "";
  at->socket = virp_door_open(at->settings->socket, at->settings->uid, why);
  if (at->socket < 0) {
    disconnect(at, why);
    return;
  }
  at->connected_at = virp_now_ms();
  atomic_fetch_add(&at->counters.connects, 1);
  atomic_store(&at->counters.connected, true);
  virp_set_problem(at, "");
}

static void send_some(struct virp_speaker* at) {
  while (at->socket >= 0 && unsent(at)) {
    const size_t left = at->end - at->sent;
    const ssize_t gone =
        send(at->socket, at->buffer + at->sent, left < kChunk ? left : kChunk, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (gone < 0) {
      if (errno == EAGAIN || errno == EINTR) return;
      char why[VIRP_WHY];
      snprintf(why, sizeof(why), "the collector's connection: %s", strerror(errno));
      disconnect(at, why);
      return;
    }
    at->sent += (size_t)gone;
    forget(at);
  }
}

static void say(struct virp_speaker* at, const struct virp_event* event) {
  const uint8_t type = virp_event_type(event, at->voice.version);
  if (type == 0) return;
  if (at->voice.version == 1 && at->voice.epoch == 0) {  // of version 1 the first time stamp of the run is the epoch
    at->voice.epoch = event->time_ns;
    atomic_store(&at->counters.epoch, event->time_ns);
  }
  struct virp_frame_header header = {at->voice.version, type, event->tier, event->time_ns, event->sequence,
                                     at->voice.epoch,   {0}};
  memcpy(header.source_id, at->voice.source_id, sizeof(header.source_id));
  uint8_t* const frame = at->buffer + at->end;
  struct virp_text payload;
  virp_text_init(&payload, (char*)frame + virp_frame_header_size(header.version), VIRP_PAYLOAD_MAX);
  const size_t size = virp_event_payload(event, &at->voice, &payload)
                          ? virp_frame_seal(&header, at->settings->key, frame, virp_text_size(&payload))
                          : 0;
  if (size == 0) {
    atomic_fetch_add(&at->counters.signing_errors, 1);
    atomic_fetch_add(&at->counters.failed, 1);
    return;
  }
  at->end += size;
  at->made = event->sequence;
  atomic_fetch_add_explicit(&at->counters.made[type], 1, memory_order_relaxed);
  atomic_fetch_add_explicit(&at->counters.made_all, 1, memory_order_relaxed);
}

// Up to kBatch events. True when something was taken.
static bool take_some(struct virp_speaker* at) {
  bool taken = false;
  for (int i = 0; i < kBatch && at->end - at->sent < kAhead && kBuffer - at->end > VIRP_FRAME_MAX; ++i) {
    size_t size;
    const struct virp_event* const event = virp_ring_peek(at->ring, &size);
    if (event == NULL) break;
    taken = at->busy = true;
    if (event->kind == VIRP_SAW_CLOSE) {
      at->closing = true;
    } else if (event->kind == VIRP_SAW_EPOCH) {
      virp_end_epoch(at);
    } else {
      at->closing = false;
      say(at, event);
    }
    virp_ring_release(at->ring);
  }
  return taken;
}

// How long to wait for something to happen, in ms; -1: until it does.
static int patience(struct virp_speaker* at) {
  int out = -1;
  if (at->busy) out = kLinger;
  if (virp_ring_depth(at->ring) > 0 && at->end - at->sent < kAhead) out = 0;
  if (atomic_load(&at->next) != NULL) out = 0;
  if (at->socket < 0 && (!at->closing || unsent(at))) {
    const uint64_t now = virp_now_ms(), left = at->retry_at > now ? at->retry_at - now : 0;
    if (out < 0 || left < (uint64_t)out) out = (int)left;
  }
  const int due = virp_mark_due(at);
  if (due >= 0 && (out < 0 || out > due)) out = due;
  if (unsent(at) && (out < 0 || out > VIRP_MARK_MS)) out = VIRP_MARK_MS;
  if (atomic_load(&at->stop) && (out < 0 || out > kStopping)) out = kStopping;
  return out;
}

static void rest(struct virp_speaker* at) {
  atomic_store(&at->asleep, !at->busy);
  const int timeout = patience(at);
  at->busy = false;
  struct pollfd files[2] = {{at->wake, POLLIN, 0},
                            {at->socket, (short)(POLLIN | POLLRDHUP | (unsent(at) ? POLLOUT : 0)), 0}};
  const int ready = poll(files, at->socket >= 0 ? 2 : 1, timeout);
  atomic_store(&at->asleep, false);
  if (ready <= 0) return;
  uint64_t count;
  if ((files[0].revents & POLLIN) != 0 && read(at->wake, &count, sizeof(count)) < 0) return;
  // The collector never answers: what can be read is its end.
  if (at->socket >= 0 && (files[1].revents & (POLLIN | POLLRDHUP | POLLHUP | POLLERR)) != 0)
    disconnect(at, "the collector closed the connection");
}

static bool finished(const struct virp_speaker* at) {
  return virp_ring_depth(at->ring) == 0 && !unsent(at);
}

// What is kept was said. A collector that dies over it misses it: nobody waits for an answer here.
static void hang_up(struct virp_speaker* at) {
  close(at->socket);
  at->socket = -1;
  atomic_store(&at->counters.connected, false);
  at->kept = at->sent_frames = at->sent;
  at->kept_frames = 0;
}

static void* run(void* argument) {
  struct virp_speaker* const at = argument;
  pthread_setname_np(pthread_self(), "virp");
  while (!atomic_load(&at->abandon)) {
    struct virp_settings* const settings = atomic_exchange(&at->next, NULL);
    if (settings != NULL) take_settings(at, settings);
    virp_ring_warm(at->ring);
    const bool taken = take_some(at);
    if (at->socket < 0 && (!at->closing || unsent(at)) && virp_now_ms() >= at->retry_at) connect_again(at);
    send_some(at);
    if (at->closing && finished(at) && at->socket >= 0) hang_up(at);
    if (virp_now_ms() >= at->save_at) virp_save(at);
    virp_save_mark(at, false);
    atomic_store_explicit(&at->counters.cpu_ns, virp_clock_ns(CLOCK_THREAD_CPUTIME_ID), memory_order_relaxed);
    if (atomic_load(&at->stop) && finished(at)) {
      atomic_store(&at->all_sent, true);
      break;
    }
    if (!taken) rest(at);
  }
  if (at->settings != NULL) virp_save(at);
  if (atomic_load(&at->stop)) virp_save_mark(at, true);
  return NULL;
}

static void release(struct virp_speaker* at) {
  if (at->socket >= 0) close(at->socket);
  if (at->wake >= 0) close(at->wake);
  if (at->mark >= 0) close(at->mark);
  virp_settings_free(at->settings);
  virp_settings_free(atomic_exchange(&at->next, NULL));
  pthread_mutex_destroy(&at->mutex);
  free(at->buffer);
  free(at);
}

static struct virp_speaker* refuse(struct virp_speaker* at, char why[VIRP_WHY], const char* what, int error) {
  snprintf(why, VIRP_WHY, "%s: %s", what, strerror(error));
  if (at != NULL) release(at);
  return NULL;
}

struct virp_speaker* virp_speaker_start(struct virp_ring* ring, struct virp_settings* settings, char why[VIRP_WHY]) {
  struct virp_speaker* const at = calloc(1, sizeof(*at));
  if (at == NULL) {
    virp_settings_free(settings);
    return refuse(NULL, why, "no memory", ENOMEM);
  }
  at->ring = ring;
  at->socket = at->mark = -1;
  at->backoff = kBackoffMin;
  atomic_init(&at->next, settings);
  pthread_mutex_init(&at->mutex, NULL);
  at->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  at->buffer = malloc(kBuffer);
  if (at->wake < 0 || at->buffer == NULL) return refuse(at, why, "no memory for the speaker", errno);
  sigset_t all, before;  // bgpd's signals are its main thread's
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int error = pthread_create(&at->thread, NULL, run, at);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return error == 0 ? at : refuse(at, why, "no thread", error);
}

static void ring_bell(struct virp_speaker* at) {
  const uint64_t one = 1;
  if (write(at->wake, &one, sizeof(one)) < 0) return;  // it is full: the thread is being woken already
}

void virp_speaker_configure(struct virp_speaker* at, struct virp_settings* settings) {
  virp_settings_free(atomic_exchange(&at->next, settings));
  ring_bell(at);
}

void virp_speaker_wake(struct virp_speaker* at) {
  atomic_thread_fence(memory_order_seq_cst);
  if (atomic_load_explicit(&at->asleep, memory_order_relaxed) && atomic_exchange(&at->asleep, false)) ring_bell(at);
}

static bool join(struct virp_speaker* at, unsigned milliseconds) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += milliseconds / 1000;
  until.tv_nsec += (long)(milliseconds % 1000) * 1000000;
  if (until.tv_nsec >= 1000000000) {
    until.tv_nsec -= 1000000000;
    ++until.tv_sec;
  }
  return pthread_timedjoin_np(at->thread, NULL, &until) == 0;
}

bool virp_speaker_stop(struct virp_speaker* at, unsigned milliseconds, uint64_t last, struct virp_left* left) {
  virp_speaker_note(at, last);
  atomic_store(&at->stop, true);
  ring_bell(at);
  bool joined = join(at, milliseconds);
  if (!joined) {
    atomic_store(&at->abandon, true);
    ring_bell(at);
    joined = join(at, kSaving);
  }
  *left = (struct virp_left){0, 1, last};
  if (!joined) return false;
  *left = (struct virp_left){0};
  struct virp_left ranges[VIRP_LEFT_MAX];
  const uint32_t count = virp_unsaid(at, ranges);
  if (count > 0) *left = ranges[count - 1];
  const bool all = atomic_load(&at->all_sent) && count == 0;
  release(at);
  return all;
}

void virp_speaker_note(struct virp_speaker* at, uint64_t sequence) {
  atomic_store_explicit(&at->noted, sequence, memory_order_release);
}

bool virp_speaker_end_epoch(struct virp_speaker* at, uint64_t last) {
  pthread_mutex_lock(&at->mutex);
  const bool room = at->ends_count < VIRP_LEFT_MAX;
  if (room) at->ends[at->ends_count++] = last;
  pthread_mutex_unlock(&at->mutex);
  return room;
}

void virp_speaker_no_end(struct virp_speaker* at) {
  pthread_mutex_lock(&at->mutex);
  --at->ends_count;
  pthread_mutex_unlock(&at->mutex);
}

uint32_t virp_speaker_left(struct virp_speaker* at, struct virp_left left[VIRP_LEFT_MAX]) {
  pthread_mutex_lock(&at->mutex);
  const uint32_t count = at->told > 0 ? 0 : at->left_count;
  memcpy(left, at->left, count * sizeof(*left));
  pthread_mutex_unlock(&at->mutex);
  return count;
}

void virp_speaker_told(struct virp_speaker* at, uint32_t count, uint64_t sequence) {
  pthread_mutex_lock(&at->mutex);
  at->told = count;
  at->told_by = sequence;
  pthread_mutex_unlock(&at->mutex);
}

void virp_speaker_look(struct virp_speaker* at, struct virp_figures* out) {
  const struct virp_counters* const now = &at->counters;
  for (int i = 0; i < 256; ++i) out->made[i] = atomic_load(&now->made[i]);
  out->made_all = atomic_load(&now->made_all);
  out->delivered = atomic_load(&now->delivered);
  out->failed = atomic_load(&now->failed);
  out->signing_errors = atomic_load(&now->signing_errors);
  out->socket_errors = atomic_load(&now->socket_errors);
  out->connects = atomic_load(&now->connects);
  out->resent = atomic_load(&now->resent);
  out->epoch = atomic_load(&now->epoch);
  out->cpu_ns = atomic_load(&now->cpu_ns);
  out->connected = atomic_load(&now->connected);
  pthread_mutex_lock(&at->mutex);
  out->problems = atomic_load(&now->problems);
  snprintf(out->problem, sizeof(out->problem), "%s", at->problem);
  pthread_mutex_unlock(&at->mutex);
}
