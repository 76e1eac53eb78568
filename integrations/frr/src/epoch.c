// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include "epoch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { kFileMax = 1024 };

static bool no(char why[VIRP_WHY], const char* what) {
  snprintf(why, VIRP_WHY, "%s: %s", what, strerror(errno));
  return false;
}

// A line "EPOCH", then one "EPOCH FROM TO" for each range that was left.
static bool parse(char* text, struct virp_state* state) {
  char *end = text, *save = NULL;
  errno = 0;
  state->epoch = strtoull(text, &end, 10);
  if (end == text || *end != '\n' || errno != 0) return false;
  for (char* line = strtok_r(end, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
    struct virp_left left;
    if (sscanf(line, "%" SCNu64 " %" SCNu64 " %" SCNu64, &left.epoch, &left.from, &left.to) != 3) return false;
    virp_state_leave(state, &left);
  }
  return true;
}

bool virp_state_read(const char* path, struct virp_state* state, char why[VIRP_WHY]) {
  const int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  *state = (struct virp_state){0};
  if (file < 0) return errno == ENOENT || no(why, "cannot read the state file");
  char text[kFileMax + 1] = {0};
  const ssize_t size = read(file, text, kFileMax);
  const int error = errno;
  close(file);
  errno = error;
  if (size < 0) return no(why, "cannot read the state file");
  if (parse(text, state)) return true;
  *state = (struct virp_state){0};
  snprintf(why, VIRP_WHY, "the state file does not hold a number");
  return false;
}

bool virp_state_write(const char* path, const struct virp_state* state, char why[VIRP_WHY]) {
  char part[PATH_MAX];
  if (snprintf(part, sizeof(part), "%s.new", path) >= (int)sizeof(part)) {
    errno = ENAMETOOLONG;
    return no(why, "the state file");
  }
  const int file = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file < 0) return no(why, "cannot write the state file");
  bool good = dprintf(file, "%" PRIu64 "\n", state->epoch) > 0;
  for (uint32_t i = 0; i < state->left_count; ++i) {
    const struct virp_left* const left = &state->left[i];
    good = good && dprintf(file, "%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", left->epoch, left->from, left->to) > 0;
  }
  good = good && fsync(file) == 0;
  const int error = errno;
  close(file);
  errno = error;
  if (!good || rename(part, path) != 0) return no(why, "cannot write the state file");
  return true;
}

void virp_state_leave(struct virp_state* state, const struct virp_left* left) {
  if (state->left_count == VIRP_LEFT_MAX)
    memmove(state->left, state->left + 1, --state->left_count * sizeof(state->left[0]));
  state->left[state->left_count++] = *left;
}

// ---- the mark: one line of always the same size, with the machine's boot in front

enum { kBootId = 36, kMarkSize = kBootId + 3 * 21 + 1 };

static bool boot_id(char out[kBootId + 1]) {
  const int file = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  const ssize_t size = file < 0 ? -1 : read(file, out, kBootId);
  if (file >= 0) close(file);
  out[size == kBootId ? kBootId : 0] = '\0';
  return size == kBootId;
}

static bool mark_path(const char* path, char out[PATH_MAX]) {
  return path[0] != '\0' && snprintf(out, PATH_MAX, "%s.now", path) < PATH_MAX;
}

int virp_mark_open(const char* path) {
  char own[PATH_MAX];
  if (!mark_path(path, own)) return -1;
  return open(own, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
}

void virp_mark_close(int file) {
  if (file >= 0) close(file);
}

void virp_mark_write(int file, const struct virp_left* left) {
  char line[kMarkSize + 1], boot[kBootId + 1];
  if (!boot_id(boot)) return;
  const int size = snprintf(line, sizeof(line), "%s %020" PRIu64 " %020" PRIu64 " %020" PRIu64 "\n", boot, left->epoch,
                            left->from, left->to);
  if (size != kMarkSize || pwrite(file, line, kMarkSize, 0) != kMarkSize) return;  // the state file says it later
}

bool virp_mark_read(const char* path, struct virp_left* left) {
  char own[PATH_MAX], line[kMarkSize + 1] = {0}, boot[kBootId + 1];
  *left = (struct virp_left){0};
  if (!mark_path(path, own) || !boot_id(boot)) return false;
  const int file = open(own, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (file < 0) return false;
  const ssize_t size = read(file, line, kMarkSize);
  close(file);
  return size == kMarkSize && memcmp(line, boot, kBootId) == 0 &&
         sscanf(line + kBootId, "%" SCNu64 " %" SCNu64 " %" SCNu64, &left->epoch, &left->from, &left->to) == 3 &&
         left->epoch != 0;
}

uint64_t virp_epoch_next(const char* path, uint64_t now_ns, struct virp_state* state, char why[VIRP_WHY]) {
  why[0] = '\0';
  *state = (struct virp_state){0};
  if (path[0] == '\0') {
    snprintf(why, VIRP_WHY, "no state file is configured");
    return now_ns;
  }
  const bool read = virp_state_read(path, state, why);
  state->epoch = read && state->epoch >= now_ns ? state->epoch + 1 : now_ns;
  if (read) virp_state_write(path, state, why);
  return state->epoch;
}
