// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
// SHA256_* instead of EVP for the reasons of docs/adr/0003: the way through EVP costs as much as the hash itself.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "key.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { kBlock = 64, kFileMax = 1024, kTextMin = 16, kTextMax = 256 };

struct virp_key {
  enum virp_suite suite;
  uint32_t version;
  SHA256_CTX inner, outer;  // HMAC: the states behind the key's block (RFC 2104, section 4)
  EVP_PKEY* pair;
};

static void* fail(char why[VIRP_WHY], const char* what, const char* detail) {
  snprintf(why, VIRP_WHY, "%s%s%s", what, detail[0] == '\0' ? "" : ": ", detail);
  return NULL;
}

void virp_sha256(const void* bytes, size_t size, uint8_t digest[32]) {
  SHA256_CTX context;
  SHA256_Init(&context);
  SHA256_Update(&context, bytes, size);
  SHA256_Final(digest, &context);
}

static void set_hmac(struct virp_key* key, const uint8_t* bytes, size_t size) {
  uint8_t block[kBlock] = {0};
  if (size > kBlock)
    virp_sha256(bytes, size, block);
  else
    memcpy(block, bytes, size);
  for (int i = 0; i < kBlock; ++i) block[i] ^= 0x36;
  SHA256_Init(&key->inner);
  SHA256_Update(&key->inner, block, kBlock);
  for (int i = 0; i < kBlock; ++i) block[i] ^= 0x36 ^ 0x5c;
  SHA256_Init(&key->outer);
  SHA256_Update(&key->outer, block, kBlock);
  OPENSSL_cleanse(block, sizeof(block));
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

// Pages of its own: they stay out of core dumps and of swap, where the system lets us.
static struct virp_key* make_room(char why[VIRP_WHY]) {
  struct virp_key* const key = mmap(NULL, sizeof(*key), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (key == MAP_FAILED) return fail(why, "no memory for a key", strerror(errno));
  madvise(key, sizeof(*key), MADV_DONTDUMP);
  if (mlock(key, sizeof(*key)) != 0) errno = 0;
  return key;
}

struct virp_key* virp_key_copy(const struct virp_key* key, uint32_t version, char why[VIRP_WHY]) {
  struct virp_key* const copy = make_room(why);
  if (copy == NULL) return NULL;
  *copy = *key;
  copy->version = version;
  if (copy->pair != NULL) EVP_PKEY_up_ref(copy->pair);
  return copy;
}

struct virp_key* virp_key_make(enum virp_suite suite, const void* bytes, size_t size, uint32_t version,
                               char why[VIRP_WHY]) {
  const uint8_t* const at = bytes;
  if (size != 32) {
    while (size > 0 && (at[size - 1] == '\n' || at[size - 1] == '\r')) --size;
  }
  if (suite == VIRP_HMAC_SHA256 && (size < kTextMin || size > kTextMax))
    return fail(why, "an HMAC key has 16 to 256 bytes", "");
  struct virp_key* const key = make_room(why);
  if (key == NULL) return NULL;
  key->suite = suite;
  key->version = version;
  if (suite == VIRP_HMAC_SHA256) {
    set_hmac(key, at, size);
  } else if (!set_seed(key, at, size)) {
    virp_key_free(key);
    return fail(why, "an Ed25519 seed has 32 bytes or 64 hex characters", "");
  }
  return key;
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
  EVP_PKEY_free(key->pair);
  OPENSSL_cleanse(key, sizeof(*key));
  munmap(key, sizeof(*key));
}

enum virp_suite virp_key_suite(const struct virp_key* key) {
  return key->suite;
}
uint32_t virp_key_version(const struct virp_key* key) {
  return key->version;
}

static void hmac(const struct virp_key* key, const void* bytes, size_t size, uint8_t tag[32]) {
  SHA256_CTX context = key->inner;
  uint8_t digest[32];
  SHA256_Update(&context, bytes, size);
  SHA256_Final(digest, &context);
  context = key->outer;
  SHA256_Update(&context, digest, sizeof(digest));
  SHA256_Final(tag, &context);
  OPENSSL_cleanse(&context, sizeof(context));
}

size_t virp_key_sign(const struct virp_key* key, const void* bytes, size_t size, uint8_t tag[VIRP_TAG_MAX]) {
  if (key->suite == VIRP_HMAC_SHA256) {
    hmac(key, bytes, size, tag);
    return 32;
  }
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
    hmac(key, bytes, size, wanted);
    return CRYPTO_memcmp(wanted, tag, sizeof(wanted)) == 0;
  }
  EVP_MD_CTX* const context = EVP_MD_CTX_new();
  const bool good = context != NULL && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key->pair) == 1 &&
                    EVP_DigestVerify(context, tag, 64, bytes, size) == 1;
  EVP_MD_CTX_free(context);
  return good;
}
