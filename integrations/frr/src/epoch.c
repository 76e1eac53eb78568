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

static bool no(char why[VIRP_WHY], const char* what) {
  snprintf(why, VIRP_WHY, "%s: %s", what, strerror(errno));
  return false;
}

static bool last_of(const char* path, uint64_t* last, char why[VIRP_WHY]) {
  const int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  *last = 0;
  if (file < 0) return errno == ENOENT || no(why, "cannot read the epoch's state file");
  char text[32] = {0};
  const ssize_t size = read(file, text, sizeof(text) - 1);
  close(file);
  if (size < 0) return no(why, "cannot read the epoch's state file");
  char* end = text;
  errno = 0;
  *last = strtoull(text, &end, 10);
  if (end == text || *end != '\n' || errno != 0) {
    snprintf(why, VIRP_WHY, "the epoch's state file does not hold a number");
    return false;
  }
  return true;
}

static bool keep(const char* path, uint64_t epoch, char why[VIRP_WHY]) {
  char part[PATH_MAX];
  if (snprintf(part, sizeof(part), "%s.new", path) >= (int)sizeof(part)) {
    errno = ENAMETOOLONG;
    return no(why, "the epoch's state file");
  }
  const int file = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file < 0) return no(why, "cannot write the epoch's state file");
  const bool good = dprintf(file, "%" PRIu64 "\n", epoch) > 0 && fsync(file) == 0;
  const int error = errno;
  close(file);
  errno = error;
  if (!good || rename(part, path) != 0) return no(why, "cannot write the epoch's state file");
  return true;
}

uint64_t virp_epoch_next(const char* path, uint64_t now_ns, char why[VIRP_WHY]) {
  uint64_t last = 0;
  why[0] = '\0';
  if (path[0] == '\0') {
    snprintf(why, VIRP_WHY, "no state file is configured");
    return now_ns;
  }
  const bool read = last_of(path, &last, why);
  const uint64_t epoch = read && last >= now_ns ? last + 1 : now_ns;
  if (read) keep(path, epoch, why);
  return epoch;
}
