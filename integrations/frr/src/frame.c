// SPDX-License-Identifier: GPL-2.0-or-later
#include "frame.h"

#include <string.h>

static void big(uint8_t* to, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) to[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
}
static void little(uint8_t* to, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) to[i] = (uint8_t)(value >> (8 * i));
}

void virp_source_id(const char* source, uint8_t id[16]) {
  uint8_t digest[32];
  virp_sha256(source, strlen(source), digest);
  memcpy(id, digest, 16);
}

size_t virp_frame_header_size(uint8_t version) {
  return version == 1 ? VIRP_HEADER_V1 : VIRP_HEADER_V2;
}

size_t virp_frame_seal(const struct virp_frame_header* header, const struct virp_key* key, uint8_t* frame,
                       size_t payload_size) {
  const enum virp_suite suite = virp_key_suite(key);
  if (payload_size > VIRP_PAYLOAD_MAX || (header->version == 1 && suite != VIRP_HMAC_SHA256)) return 0;
  memcpy(frame, "VIRP", 4);
  frame[4] = header->version;
  frame[5] = header->type;
  frame[6] = header->tier;
  if (header->version == 1) {
    frame[7] = 0;
    little(frame + 8, header->time_ns, 8);
    little(frame + 16, header->sequence, 4);
    little(frame + 20, payload_size, 4);
  } else {
    frame[7] = (uint8_t)suite;
    big(frame + 8, header->time_ns, 8);
    big(frame + 16, header->sequence, 8);
    big(frame + 24, payload_size, 4);
    big(frame + 28, virp_key_version(key), 4);
    big(frame + 32, header->epoch, 8);
    memcpy(frame + 40, header->source_id, 16);
    memset(frame + 56, 0, 8);
  }
  const size_t signed_size = virp_frame_header_size(header->version) + payload_size;
  const size_t tag = virp_key_sign(key, frame, signed_size, frame + signed_size);
  return tag == 0 ? 0 : signed_size + tag;
}

size_t virp_frame_size(const uint8_t* frame) {
  if (frame[4] == 1) {
    const size_t payload = frame[20] | (size_t)frame[21] << 8 | (size_t)frame[22] << 16 | (size_t)frame[23] << 24;
    return VIRP_HEADER_V1 + payload + 32;
  }
  const size_t payload = (size_t)frame[24] << 24 | (size_t)frame[25] << 16 | (size_t)frame[26] << 8 | frame[27];
  return VIRP_HEADER_V2 + payload + (frame[7] == VIRP_ED25519 ? 64 : 32);
}

uint64_t virp_frame_sequence(const uint8_t* frame) {
  uint64_t out = 0;
  if (frame[4] == 1) {
    for (int i = 3; i >= 0; --i) out = out << 8 | frame[16 + i];
  } else {
    for (int i = 0; i < 8; ++i) out = out << 8 | frame[16 + i];
  }
  return out;
}

uint64_t virp_frame_epoch(const uint8_t* frame) {
  uint64_t out = 0;
  for (int i = 0; frame[4] != 1 && i < 8; ++i) out = out << 8 | frame[32 + i];
  return out;
}
