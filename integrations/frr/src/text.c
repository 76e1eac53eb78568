// SPDX-License-Identifier: GPL-2.0-or-later
#include "text.h"

#include <arpa/inet.h>
#include <sys/socket.h>

void virp_text_number(struct virp_text* text, uint64_t value) {
  char digits[20];
  size_t at = sizeof(digits);
  do {
    digits[--at] = (char)('0' + value % 10);
    value /= 10;
  } while (value != 0);
  virp_text_put(text, digits + at, sizeof(digits) - at);
}

// The length of the UTF-8 sequence of a character that I-JSON allows; 0 when there is none.
static size_t character(const uint8_t* at, size_t left) {
  uint32_t code;
  size_t size;
  if (at[0] < 0x80) return 1;
  if (at[0] >= 0xc2 && at[0] <= 0xdf) {
    size = 2;
    code = at[0] & 0x1fu;
  } else if ((at[0] & 0xf0) == 0xe0) {
    size = 3;
    code = at[0] & 0x0fu;
  } else if (at[0] >= 0xf0 && at[0] <= 0xf4) {
    size = 4;
    code = at[0] & 0x07u;
  } else {
    return 0;
  }
  if (size > left) return 0;
  for (size_t i = 1; i < size; ++i) {
    if ((at[i] & 0xc0) != 0x80) return 0;
    code = code << 6 | (at[i] & 0x3fu);
  }
  static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < smallest[size] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return 0;
  if ((code >= 0xfdd0 && code <= 0xfdef) || (code & 0xfffe) == 0xfffe) return 0;
  return size;
}

static void escape(struct virp_text* text, uint8_t byte) {
  static const char hex[] = "0123456789abcdef";
  const char control[6] = {'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]};
  switch (byte) {
    case '"':
      VIRP_PUT(text, "\\\"");
      break;
    case '\\':
      VIRP_PUT(text, "\\\\");
      break;
    case '\n':
      VIRP_PUT(text, "\\n");
      break;
    case '\r':
      VIRP_PUT(text, "\\r");
      break;
    case '\t':
      VIRP_PUT(text, "\\t");
      break;
    default:
      virp_text_put(text, control, sizeof(control));
  }
}

void virp_text_string(struct virp_text* text, const char* bytes, size_t size) {
  const uint8_t* const in = (const uint8_t*)bytes;
  VIRP_PUT(text, "\"");
  size_t plain = 0;  // where the run of bytes that need nothing begins
  size_t at = 0;
  while (at < size) {
    const size_t length = character(in + at, size - at);
    if (length > 0 && in[at] >= 0x20 && in[at] != '"' && in[at] != '\\') {
      at += length;
      continue;
    }
    virp_text_put(text, in + plain, at - plain);
    if (length == 0)
      VIRP_PUT(text, "\xef\xbf\xbd");
    else
      escape(text, in[at]);
    plain = ++at;
  }
  virp_text_put(text, in + plain, size - plain);
  VIRP_PUT(text, "\"");
}

void virp_text_hex(struct virp_text* text, const uint8_t* bytes, size_t size) {
  static const char hex[] = "0123456789abcdef";
  for (size_t i = 0; i < size; ++i) {
    const char pair[2] = {hex[bytes[i] >> 4], hex[bytes[i] & 15]};
    virp_text_put(text, pair, 2);
  }
}

void virp_text_address(struct virp_text* text, uint8_t family, const uint8_t* bytes) {
  if (family == 6) {
    char out[INET6_ADDRSTRLEN];
    inet_ntop(AF_INET6, bytes, out, sizeof(out));
    virp_text_put(text, out, strlen(out));
    return;
  }
  for (int i = 0; i < 4; ++i) {
    if (i > 0) VIRP_PUT(text, ".");
    virp_text_number(text, bytes[i]);
  }
}
