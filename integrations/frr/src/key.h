// SPDX-License-Identifier: GPL-2.0-or-later
// The O-Key of this router's bgpd, from a file, by libcrypto: HMAC-SHA256 or Ed25519. docs/formats/frame.md, "Keys".
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { VIRP_TAG_MAX = 64, VIRP_WHY = 256 };
enum virp_suite { VIRP_HMAC_SHA256 = 1, VIRP_ED25519 = 2 };

struct virp_key;

// Reads a key file. `.seed` is Ed25519 (32 bytes or 64 hex characters); anything else HMAC: exactly 32 bytes are a raw
// key, anything else is text of 16 to 256 bytes, its trailing CR and LF not counted. The file has to be owned by root
// or by this process's user, must not be accessible to others, nor writable by its group. NULL with a reason in `why`.
struct virp_key* virp_key_load(const char* path, uint32_t version, char why[VIRP_WHY]);
// From bytes as they are in a file.
struct virp_key* virp_key_make(enum virp_suite suite, const void* bytes, size_t size, uint32_t version,
                               char why[VIRP_WHY]);
// Another one with the same secret.
struct virp_key* virp_key_copy(const struct virp_key* key, uint32_t version, char why[VIRP_WHY]);
// Wipes it. NULL is fine.
void virp_key_free(struct virp_key* key);

enum virp_suite virp_key_suite(const struct virp_key* key);
uint32_t virp_key_version(const struct virp_key* key);

// Returns the size of the tag: 32 or 64; 0 when libcrypto fails. One thread at a time for a key; it may have copies.
size_t virp_key_sign(const struct virp_key* key, const void* bytes, size_t size, uint8_t tag[VIRP_TAG_MAX]);
bool virp_key_verify(const struct virp_key* key, const void* bytes, size_t size, const uint8_t* tag);

// Does libcrypto compute what RFC 4231 and RFC 8032 say? Inside another program it may be led astray (README.md). False
// with a reason.
bool virp_crypto_works(char why[VIRP_WHY]);
const char* virp_crypto_version(void);  // "OpenSSL 3.0.17 ..."

void virp_sha256(const void* bytes, size_t size, uint8_t digest[32]);

#ifdef __cplusplus
}
#endif
