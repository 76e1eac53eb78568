// Functions over sets of payloads. Inputs are sets: sorted, unique (lib/vrp/builder.h). Pure and thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>

#include "lib/base/bytes.h"
#include "lib/vrp/builder.h"
#include "lib/vrp/payload.h"

namespace virp::vrp {

// What at least `quorum` of the sets have (0 is taken as 1): as long as that many of them have it, so the expiry is the
// quorum-th latest. Of an ASPA each provider is counted for itself, and a customer is in when one of its providers is;
// AS 0 stays only if no other provider does. `duplicates` of the answer counts what more than one set had.
// None of the sets is changed; drop what is expired from each first (WithoutExpired), or it counts.
Built AtLeast(std::size_t quorum, std::span<const Payloads* const> sets);

// What any of the sets has: AtLeast(1), so with the later expiry and, of ASPAs, with all providers.
Built Union(std::span<const Payloads* const> sets);

// Whether a payload with this expiry counts no more at `now`, seconds since 1970: from its second on.
constexpr bool IsExpired(Expires expires, std::int64_t now) {
  return expires != kNeverExpires && expires <= now;
}
Payloads WithoutExpired(const Payloads& set, std::int64_t now);
// The second behind `now` in which the first of them expires; kNeverExpires when none does.
Expires NextExpiry(const Payloads& set, std::int64_t now = 0);

// NextExpiry of sets that are asked for again and again: of the last few it is remembered, and none of them kept. Not
// thread-safe.
class FirstExpiry {
 public:
  // `set` is never null.
  Expires Of(const std::shared_ptr<const Payloads>& set);
  Expires Behind(const std::shared_ptr<const Payloads>& set, std::int64_t now) {
    const Expires first = Of(set);
    return IsExpired(first, now) ? NextExpiry(*set, now) : first;
  }
  // `after` is `before` without `left`, which it had, and with `came` (lib/vrp/replace.h). Where `before` is remembered
  // it is seldom necessary to look at all of `after`.
  void Follow(const std::shared_ptr<const Payloads>& before, const Payloads& left, const Payloads& came,
              const std::shared_ptr<const Payloads>& after);

 private:
  struct First {
    Expires expires = kNeverExpires;
    std::size_t count = 0;  // payloads that expire then; of kNeverExpires, 0
  };
  struct Known {
    std::weak_ptr<const Payloads> set;
    First first;
  };
  static void Add(Expires expires, First& first);
  static First FirstOf(const Payloads& set);
  const Known* Find(const std::shared_ptr<const Payloads>& set) const;
  void Remember(const std::shared_ptr<const Payloads>& set, const First& first);

  std::array<Known, 8> known_;
  std::size_t next_ = 0;
};

// SHA-256 over the canonical encoding (docs/formats/vrp-set.md), which outsiders can compute from a JSON export. Equal
// sets have equal hashes whatever their expiries.
Hash HashOf(const Payloads& set);

}  // namespace virp::vrp
