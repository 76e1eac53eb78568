// SPDX-License-Identifier: GPL-2.0-or-later
#include "update.h"

#include <string.h>

enum { kHeader = 19, kUpdate = 2, kExtended = 0x10, kReach = 14, kUnicast = 1 };

struct bytes {
  const uint8_t* at;
  size_t left;
};

// The next `count` of them; false when there are fewer.
static bool take(struct bytes* from, size_t count, struct bytes* out) {
  if (from->left < count) return false;
  *out = (struct bytes){from->at, count};
  from->at += count;
  from->left -= count;
  return true;
}

static bool number(struct bytes* from, size_t size, uint32_t* out) {
  struct bytes digits;
  if (!take(from, size, &digits)) return false;
  *out = 0;
  for (size_t i = 0; i < size; ++i) *out = *out << 8 | digits.at[i];
  return true;
}

static bool same(const uint8_t* prefix, const struct virp_nlri* nlri) {
  const size_t whole = nlri->length / 8;
  const unsigned rest = nlri->length % 8;
  if (memcmp(prefix, nlri->bytes, whole) != 0) return false;
  return rest == 0 || ((prefix[whole] ^ nlri->bytes[whole]) & (0xff00u >> rest) & 0xff) == 0;
}

static bool lists(struct bytes list, const struct virp_nlri* nlri) {
  while (list.left > 0) {
    uint32_t path_id = 0, length;
    struct bytes prefix;
    if (nlri->add_path && !number(&list, 4, &path_id)) return false;
    if (!number(&list, 1, &length) || !take(&list, (length + 7) / 8, &prefix)) return false;
    if (length == nlri->length && (!nlri->add_path || path_id == nlri->path_id) && same(prefix.at, nlri)) return true;
  }
  return false;
}

// MP_REACH_NLRI: AFI, SAFI, next hop with its length, an octet that is not used, prefixes.
static bool reaches(struct bytes value, const struct virp_nlri* nlri) {
  uint32_t afi, safi, hop;
  struct bytes skipped;
  return number(&value, 2, &afi) && number(&value, 1, &safi) && number(&value, 1, &hop) &&
         take(&value, hop + 1, &skipped) && afi == nlri->afi && safi == kUnicast && lists(value, nlri);
}

bool virp_update_announces(const uint8_t* message, size_t size, const struct virp_nlri* nlri) {
  struct bytes left = {message, size}, header, part, attributes;
  uint32_t length;
  if (nlri->length > (nlri->afi == 1 ? 32 : 128) || !take(&left, kHeader, &header) || header.at[18] != kUpdate)
    return false;
  if (!number(&left, 2, &length) || !take(&left, length, &part)) return false;  // withdrawn
  if (!number(&left, 2, &length) || !take(&left, length, &attributes)) return false;
  if (nlri->afi == 1 && lists(left, nlri)) return true;
  while (attributes.left > 0) {
    uint32_t flags, type;
    if (!number(&attributes, 1, &flags) || !number(&attributes, 1, &type) ||
        !number(&attributes, (flags & kExtended) != 0 ? 2 : 1, &length) || !take(&attributes, length, &part))
      return false;
    if (type == kReach && reaches(part, nlri)) return true;
  }
  return false;
}
