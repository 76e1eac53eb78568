// SPDX-License-Identifier: GPL-2.0-or-later
// What a BGP UPDATE announces (RFC 4271, section 4.3; RFC 4760; RFC 7911). bgpd has parsed it before: here it is only
// asked of one prefix.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct virp_nlri {
  uint8_t afi;     // 1 or 2; unicast
  uint8_t length;  // bits
  uint8_t bytes[16];
  bool add_path;     // prefixes have path ids in front of them
  uint32_t path_id;  // with add_path
};

// `message` from its marker on. False for what is no UPDATE or ends too early.
bool virp_update_announces(const uint8_t* message, size_t size, const struct virp_nlri* nlri);

#ifdef __cplusplus
}
#endif
