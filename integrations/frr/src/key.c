// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include "key.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { kFileMax = 1024, kTextMin = 16, kTextMax = 256 };

struct virp_key {
  enum virp_suite suite;
  uint32_t version;
  EVP_MAC_CTX* mac;  // HMAC, keyed
  EVP_PKEY* pair;
};

static void* fail(char why[VIRP_WHY], const char* what, const char* detail) {
  snprintf(why, VIRP_WHY, "%s%s%s", what, detail[0] == '\0' ? "" : ": ", detail);
  return NULL;
}

void virp_sha256(const void* bytes, size_t size, uint8_t digest[32]) {
  if (EVP_Digest(bytes, size, digest, NULL, EVP_sha256(), NULL) != 1) memset(digest, 0, 32);
}

static bool set_hmac(struct virp_key* key, const uint8_t* bytes, size_t size) {
  char digest[] = "SHA256";
  const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                   OSSL_PARAM_construct_end()};
  EVP_MAC* const hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
  key->mac = hmac == NULL ? NULL : EVP_MAC_CTX_new(hmac);
  EVP_MAC_free(hmac);
  return key->mac != NULL && EVP_MAC_init(key->mac, bytes, size, parameters) == 1;
}

static int nibble(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool set_seed(struct virp_key* key, const uint8_t* bytes, size_t size) {
  uint8_t seed[32];
  bool good = size == sizeof(seed);
  if (good) memcpy(seed, bytes, size);
  if (size == 2 * sizeof(seed)) {
    good = true;
    for (size_t i = 0; i < sizeof(seed); ++i) {
      const int high = nibble((char)bytes[2 * i]), low = nibble((char)bytes[2 * i + 1]);
      if (high < 0 || low < 0) good = false;
      seed[i] = (uint8_t)((high << 4 | low) & 0xff);
    }
  }
  if (good) key->pair = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof(seed));
  OPENSSL_cleanse(seed, sizeof(seed));
  return key->pair != NULL;
}

struct virp_key* virp_key_copy(const struct virp_key* key, uint32_t version, char why[VIRP_WHY]) {
  struct virp_key* const copy = calloc(1, sizeof(*copy));
  if (copy == NULL) return fail(why, "no memory for a key", "");
  copy->suite = key->suite;
  copy->version = version;
  if (key->mac != NULL) copy->mac = EVP_MAC_CTX_dup(key->mac);
  if (key->pair != NULL && EVP_PKEY_up_ref(key->pair) == 1) copy->pair = key->pair;
  if (copy->mac != NULL || copy->pair != NULL) return copy;
  virp_key_free(copy);
  return fail(why, "no memory for a key", "");
}

struct virp_key* virp_key_make(enum virp_suite suite, const void* bytes, size_t size, uint32_t version,
                               char why[VIRP_WHY]) {
  const uint8_t* const at = bytes;
  // In bgpd nothing of libcrypto is taken down at exit: a thread that could not be awaited may still sign.
  OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT | OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
  if (size != 32) {
    while (size > 0 && (at[size - 1] == '\n' || at[size - 1] == '\r')) --size;
  }
  if (suite == VIRP_HMAC_SHA256 && (size < kTextMin || size > kTextMax))
    return fail(why, "an HMAC key has 16 to 256 bytes", "");
  struct virp_key* const key = calloc(1, sizeof(*key));
  if (key == NULL) return fail(why, "no memory for a key", "");
  key->suite = suite;
  key->version = version;
  if (suite == VIRP_HMAC_SHA256 ? set_hmac(key, at, size) : set_seed(key, at, size)) return key;
  virp_key_free(key);
  return fail(
      why,
      suite == VIRP_HMAC_SHA256 ? "libcrypto has no HMAC-SHA256" : "an Ed25519 seed has 32 bytes or 64 hex characters",
      "");
}

static bool private_enough(int file, char why[VIRP_WHY]) {
  struct stat status;
  if (fstat(file, &status) != 0) return fail(why, "cannot look at the key file", strerror(errno)) != NULL;
  if (!S_ISREG(status.st_mode)) return fail(why, "the key is no regular file", "") != NULL;
  if (status.st_uid != 0 && status.st_uid != geteuid())
    return fail(why, "the key file belongs to another user", "") != NULL;
  if ((status.st_mode & 0027) != 0)
    return fail(why, "the key file is open to others, or its group may change it; chmod 0640 or less", "") != NULL;
  return true;
}

struct virp_key* virp_key_load(const char* path, uint32_t version, char why[VIRP_WHY]) {
  const int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (file < 0) return fail(why, "cannot open the key file", strerror(errno));
  struct virp_key* key = NULL;
  if (private_enough(file, why)) {
    uint8_t bytes[kFileMax];
    const ssize_t size = read(file, bytes, sizeof(bytes));
    const char* const dot = strrchr(path, '.');
    const bool seed = dot != NULL && strcmp(dot, ".seed") == 0;
    if (size < 0)
      fail(why, "cannot read the key file", strerror(errno));
    else if (size == (ssize_t)sizeof(bytes))
      fail(why, "the key file is too large", "");
    else
      key = virp_key_make(seed ? VIRP_ED25519 : VIRP_HMAC_SHA256, bytes, (size_t)size, version, why);
    OPENSSL_cleanse(bytes, sizeof(bytes));
  }
  close(file);
  return key;
}

void virp_key_free(struct virp_key* key) {
  if (key == NULL) return;
  EVP_MAC_CTX_free(key->mac);  // both wipe what they hold
  EVP_PKEY_free(key->pair);
  free(key);
}

enum virp_suite virp_key_suite(const struct virp_key* key) {
  return key->suite;
}
uint32_t virp_key_version(const struct virp_key* key) {
  return key->version;
}

static bool hmac(const struct virp_key* key, const void* bytes, size_t size, uint8_t tag[32]) {
  size_t length = 0;
  return EVP_MAC_init(key->mac, NULL, 0, NULL) == 1 && EVP_MAC_update(key->mac, bytes, size) == 1 &&
         EVP_MAC_final(key->mac, tag, &length, 32) == 1 && length == 32;
}

size_t virp_key_sign(const struct virp_key* key, const void* bytes, size_t size, uint8_t tag[VIRP_TAG_MAX]) {
  if (key->suite == VIRP_HMAC_SHA256) return hmac(key, bytes, size, tag) ? 32 : 0;
  size_t length = VIRP_TAG_MAX;
  EVP_MD_CTX* const context = EVP_MD_CTX_new();
  const bool good = context != NULL && EVP_DigestSignInit(context, NULL, NULL, NULL, key->pair) == 1 &&
                    EVP_DigestSign(context, tag, &length, bytes, size) == 1;
  EVP_MD_CTX_free(context);
  return good ? length : 0;
}

bool virp_key_verify(const struct virp_key* key, const void* bytes, size_t size, const uint8_t* tag) {
  if (key->suite == VIRP_HMAC_SHA256) {
    uint8_t wanted[32];
    return hmac(key, bytes, size, wanted) && CRYPTO_memcmp(wanted, tag, sizeof(wanted)) == 0;
  }
  EVP_MD_CTX* const context = EVP_MD_CTX_new();
  const bool good = context != NULL && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key->pair) == 1 &&
                    EVP_DigestVerify(context, tag, 64, bytes, size) == 1;
  EVP_MD_CTX_free(context);
  return good;
}

bool virp_crypto_works(char why[VIRP_WHY]) {
  static const uint8_t hmac_key[20] = {11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11};
  static const uint8_t hmac_begin[] = {0xb0, 0x34, 0x4c, 0x61, 0xd8, 0xdb, 0x38, 0x53};  // RFC 4231, section 4.2
  static const uint8_t seed[32] = {0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a,
                                   0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32,
                                   0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60};
  static const uint8_t pair_begin[] = {0xe5, 0x56, 0x43, 0x00, 0xc3, 0x60, 0xac, 0x72};  // RFC 8032, section 7.1
  struct virp_key* const mac = virp_key_make(VIRP_HMAC_SHA256, hmac_key, sizeof(hmac_key), 1, why);
  struct virp_key* const pair = virp_key_make(VIRP_ED25519, seed, sizeof(seed), 1, why);
  uint8_t tag[VIRP_TAG_MAX];
  bool good = mac != NULL && pair != NULL;
  // More than once: a hash that is another's fails at random.
  for (int i = 0; i < 3 && good; ++i) {
    good = virp_key_sign(mac, "Hi There", 8, tag) == 32 && memcmp(tag, hmac_begin, sizeof(hmac_begin)) == 0 &&
           virp_key_sign(pair, "", 0, tag) == 64 && memcmp(tag, pair_begin, sizeof(pair_begin)) == 0;
  }
  virp_key_free(mac);
  virp_key_free(pair);
  if (!good)
    snprintf(why, VIRP_WHY, "libcrypto (%s) does not compute what it should in this process", virp_crypto_version());
  return good;
}

const char* virp_crypto_version(void) {
  return OpenSSL_version(OPENSSL_VERSION);
}
