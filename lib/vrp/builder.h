// From payloads in any order to a set: sorted, unique, within the limits of the protocol. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/ip.h"
#include "lib/vrp/payload.h"

namespace virp::vrp {

// A set, and what had to be done to get one.
struct Built {
  Payloads payloads;
  std::size_t duplicates = 0;  // payloads that were merged into another
  std::vector<std::string>
      refused;  // customers whose providers do not fit a PDU, with the reason; they are not in the set
};

// Every Add is InvalidArgument, with the reason, for a payload that no set may have, which is then left out. Host bits
// are set to zero.
class Builder {
 public:
  // Room for that many of each.
  void Reserve(std::size_t vrps4, std::size_t vrps6);

  // A length beyond that of an address, or maxLength outside of [length, that of an address].
  absl::Status Add(const Vrp4& vrp) {
    if (vrp.length > vrp.max_length || vrp.max_length > 32) return BadLengths(vrp.length, vrp.max_length, 32);
    vrps4_.push_back(vrp);
    // A shift by 32 is undefined.
    vrps4_.back().address &= vrp.length == 0 ? 0 : ~std::uint32_t{0} << (32 - vrp.length);
    return absl::OkStatus();
  }
  absl::Status Add(const Vrp6& vrp) {
    if (vrp.length > vrp.max_length || vrp.max_length > 128) return BadLengths(vrp.length, vrp.max_length, 128);
    vrps6_.push_back(vrp);
    Vrp6& added = vrps6_.back();
    added.high &= vrp.length == 0 ? 0 : vrp.length >= 64 ? ~std::uint64_t{0} : ~std::uint64_t{0} << (64 - vrp.length);
    added.low &= vrp.length <= 64 ? 0 : ~std::uint64_t{0} << (128 - vrp.length);
    return absl::OkStatus();
  }
  // As people and documents say it; also for an AS number beyond 32 bits.
  absl::Status Add(const Prefix& prefix, std::uint64_t max_length, std::uint64_t as, Expires expires = kNeverExpires);
  // Unless the key is a P-256 SubjectPublicKeyInfo of 91 octets (RFC 8608 section 3) and the SKI its own (RFC 6487
  // section 4.8.2): routers take any SKI that a cache tells them, and then find no key for a signature.
  absl::Status Add(RouterKey key);
  // Without providers. They may come in any order, more than once, and in several ASPAs of one customer.
  absl::Status Add(Aspa aspa);

  std::size_t size() const { return vrps4_.size() + vrps6_.size() + router_keys_.size() + aspas_.size(); }

  // Equal payloads become one, which has the later expiry. The ASPAs of a customer become one with all providers; AS 0,
  // which says that there are none, is dropped when there are others. A customer with more than kMaxProviders is
  // refused.
  Built Build() &&;

 private:
  static absl::Status BadLengths(unsigned length, unsigned max_length, unsigned bits);

  std::vector<Vrp4> vrps4_;
  std::vector<Vrp6> vrps6_;
  std::vector<RouterKey> router_keys_;
  std::vector<Aspa> aspas_;
};

// Whether a key is one that Builder takes; the reason when it is not.
absl::Status CheckRouterKey(const RouterKey& key);
// The SKI of a P-256 SubjectPublicKeyInfo; `spki` has 91 octets.
std::array<std::uint8_t, 20> SkiOf(std::string_view spki);

// A VRP's prefix as people read it.
Prefix PrefixOf(const Vrp4& vrp);
Prefix PrefixOf(const Vrp6& vrp);

}  // namespace virp::vrp
