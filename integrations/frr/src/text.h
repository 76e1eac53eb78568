// SPDX-License-Identifier: GPL-2.0-or-later
// JSON written into a buffer that does not grow. Whatever does not fit sets `full` and leaves what was there; strings
// come out as valid UTF-8 whatever went in, so that a payload stays I-JSON (RFC 7493).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

struct virp_text {
  char *begin, *at, *end;
  bool full;
};

static inline void virp_text_init(struct virp_text* text, char* buffer, size_t size) {
  text->begin = text->at = buffer;
  text->end = buffer + size;
  text->full = false;
}
static inline size_t virp_text_size(const struct virp_text* text) {
  return (size_t)(text->at - text->begin);
}
static inline void virp_text_put(struct virp_text* text, const void* bytes, size_t size) {
  if ((size_t)(text->end - text->at) < size) {
    text->full = true;
    return;
  }
  memcpy(text->at, bytes, size);
  text->at += size;
}
#define VIRP_PUT(text, literal) virp_text_put(text, literal, sizeof(literal) - 1)

void virp_text_number(struct virp_text* text, uint64_t value);
// A JSON string with its quotes. Bytes that are not UTF-8, and noncharacters, become U+FFFD.
void virp_text_string(struct virp_text* text, const char* bytes, size_t size);
void virp_text_hex(struct virp_text* text, const uint8_t* bytes, size_t size);  // lower case, no quotes
// Addresses as RFC 5952 writes them, without quotes. `family` 4 or 6, `bytes` in network order.
void virp_text_address(struct virp_text* text, uint8_t family, const uint8_t* bytes);

#ifdef __cplusplus
}
#endif
