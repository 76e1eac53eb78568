// SPDX-License-Identifier: GPL-2.0-or-later
// Boot epochs of version 2: strictly greater in every later run, as far as the state file goes back.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "key.h"

#ifdef __cplusplus
extern "C" {
#endif

// max(now, the last one in the file + 1), written to the file and to the disk before it is used. Without a path, or
// where the file cannot be read or written, now alone; `why` then says so, and is empty otherwise.
uint64_t virp_epoch_next(const char* path, uint64_t now_ns, char why[VIRP_WHY]);

#ifdef __cplusplus
}
#endif
