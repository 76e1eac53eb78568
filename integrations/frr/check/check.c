// SPDX-License-Identifier: GPL-2.0-or-later
// Is what this machine signs what the published procedure says? Five checks, without FRR:
//   virp-frr-check --key FILE
// Exit 0 and `5/5 PASS` when all hold. The key is not used for anything else.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event.h"
#include "frame.h"
#include "vectors.h"

static const char kPayload[] = "{\"domain\":\"bgp\",\"event\":\"peer_state_change\",\"peer_addr\":\"192.0.2.2\"}";

static uint8_t frame[VIRP_FRAME_MAX];

// Signs the payload above under these numbers, into `frame`; returns the frame's size.
static size_t sign(const struct virp_key* key, uint8_t type, uint8_t tier, uint64_t sequence) {
  const struct virp_frame_header header = {1, type, tier, 1750000000000000000u + sequence, sequence, 0, {0}};
  memcpy(frame + VIRP_HEADER_V1, kPayload, sizeof(kPayload) - 1);
  return virp_frame_seal(&header, key, frame, sizeof(kPayload) - 1);
}

static bool verifies(const struct virp_key* key, size_t size) {
  return size > 32 && virp_key_verify(key, frame, size - 32, frame + size - 32);
}

static uint32_t sequence_of(const uint8_t* at) {
  return at[16] | (uint32_t)at[17] << 8 | (uint32_t)at[18] << 16 | (uint32_t)at[19] << 24;
}

static size_t bytes_of(const char* hex, uint8_t* out) {
  const size_t size = strlen(hex) / 2;
  for (size_t i = 0; i < size; ++i) {
    unsigned value = 0;
    if (sscanf(hex + 2 * i, "%2x", &value) != 1) return 0;
    out[i] = (uint8_t)value;
  }
  return size;
}

static bool vector_holds(const struct vector* vector) {
  static uint8_t wanted[VIRP_FRAME_MAX];
  uint8_t secret[256];
  char why[VIRP_WHY];
  const size_t whole = bytes_of(vector->frame, wanted), header_size = virp_frame_header_size(vector->version);
  const size_t tag = vector->suite == VIRP_ED25519 ? 64 : 32, payload = whole - header_size - tag;
  struct virp_key* const key =
      virp_key_make((enum virp_suite)vector->suite, secret, bytes_of(vector->key, secret), vector->key_version, why);
  if (key == NULL) return false;
  struct virp_frame_header header = {vector->version,  vector->type,  vector->tier, vector->time_ns,
                                     vector->sequence, vector->epoch, {0}};
  virp_source_id("edge-a.bgpd", header.source_id);
  memcpy(frame, wanted, whole - tag);
  const bool good = virp_frame_seal(&header, key, frame, payload) == whole && memcmp(frame, wanted, whole) == 0;
  virp_key_free(key);
  return good;
}

// 1: with the file's key, and with the keys of the vectors to the byte.
static bool signing(const struct virp_key* key) {
  bool good = sign(key, VIRP_PEER_STATUS, VIRP_GREEN, 1) == VIRP_HEADER_V1 + sizeof(kPayload) - 1 + 32;
  for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); ++i) good = good && vector_holds(&vectors[i]);
  return good;
}

// 2: a signed frame is found good, by a key that was read anew from the same bytes too.
static bool verification(const struct virp_key* key) {
  char why[VIRP_WHY];
  struct virp_key* const again = virp_key_copy(key, 1, why);
  const size_t size = sign(key, VIRP_PEER_DOWN, VIRP_YELLOW, 2);
  const bool good = again != NULL && verifies(key, size) && verifies(again, size);
  virp_key_free(again);
  return good;
}

// 3: every byte of a frame counts, and so does the key.
static bool tamper(const struct virp_key* key) {
  char why[VIRP_WHY];
  const size_t size = sign(key, VIRP_PROCESS, VIRP_GREEN, 3);
  for (size_t i = 0; i < size; ++i) {
    frame[i] ^= 1;
    const bool noticed = !verifies(key, size);
    frame[i] ^= 1;
    if (!noticed) return false;
  }
  struct virp_key* const other = virp_key_make(VIRP_HMAC_SHA256, "another key than the file's", 27, 1, why);
  const bool good = other != NULL && !verifies(other, size) && verifies(key, size);
  virp_key_free(other);
  return good;
}

// 4: numbers go up, are covered by the tag, and stand where the published receiver reads them.
static bool order(const struct virp_key* key) {
  uint8_t last[32] = {0};
  for (uint32_t i = 1; i <= 1000; ++i) {
    const size_t size = sign(key, VIRP_PEER_STATUS, VIRP_GREEN, i);
    if (!verifies(key, size) || sequence_of(frame) != i || memcmp(last, frame + size - 32, 32) == 0) return false;
    memcpy(last, frame + size - 32, 32);
  }
  return true;
}

// 5: every tier stands in the frame and changes its tag.
static bool tiers(const struct virp_key* key) {
  uint8_t tags[4][32];
  for (uint8_t tier = VIRP_GREEN; tier <= VIRP_BLACK; ++tier) {
    const size_t size = sign(key, VIRP_PEER_STATUS, tier, 7);
    if (!verifies(key, size) || frame[6] != tier) return false;
    memcpy(tags[tier], frame + size - 32, 32);
    for (uint8_t other = 0; other < tier; ++other) {
      if (memcmp(tags[other], tags[tier], 32) == 0) return false;
    }
  }
  return true;
}

int main(int argc, char** argv) {
  char why[VIRP_WHY];
  if (argc != 3 || strcmp(argv[1], "--key") != 0) {
    fprintf(stderr, "usage: %s --key FILE\n", argv[0]);
    return 2;
  }
  struct virp_key* const key = virp_key_load(argv[2], 1, why);
  if (key == NULL || virp_key_suite(key) != VIRP_HMAC_SHA256) {
    fprintf(stderr, "%s: %s\n", argv[2], key == NULL ? why : "an HMAC key is wanted");
    virp_key_free(key);
    return 2;
  }
  static const struct {
    const char* name;
    bool (*holds)(const struct virp_key* key);
  } checks[] = {{"signing", signing},
                {"verification", verification},
                {"tamper detection", tamper},
                {"sequence order", order},
                {"tiers", tiers}};
  int good = 0;
  for (int i = 0; i < 5; ++i) {
    const bool holds = checks[i].holds(key);
    printf("%d %s: %s\n", i + 1, checks[i].name, holds ? "PASS" : "FAIL");
    good += holds;
  }
  printf("%d/5 %s\n", good, good == 5 ? "PASS" : "FAIL");
  virp_key_free(key);
  return good == 5 ? 0 : 1;
}
