// What changed between two sets of payloads, as values and as PDUs. Thread-safe as values are.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/rtr/encoded.h"
#include "lib/vrp/payload.h"

namespace virp::rtr {

// Both sorted by vrp::Order, unique, and without a record in common.
template <typename T>
struct Changes {
  std::vector<T> announced = {};
  std::vector<T> withdrawn = {};

  std::size_t size() const { return announced.size() + withdrawn.size(); }
};

// The providers of a customer before and after, which differ; empty where there was or is no ASPA.
struct AspaChange {
  std::uint32_t customer = 0;
  std::vector<std::uint32_t> before;
  std::vector<std::uint32_t> after;
  vrp::Expires expires = vrp::kNeverExpires;  // of what is there after

  friend bool operator==(const AspaChange&, const AspaChange&) = default;
};

// Expiry is no part of what a record is: records that differ only there are no change.
struct Delta {
  Changes<vrp::Vrp4> vrps4 = {};
  Changes<vrp::Vrp6> vrps6 = {};
  Changes<vrp::RouterKey> router_keys = {};
  std::vector<AspaChange> aspas = {};  // by customer, unique

  std::size_t size() const { return vrps4.size() + vrps6.size() + router_keys.size() + aspas.size(); }
  bool empty() const { return size() == 0; }
  // How many of its records `version` carries.
  std::size_t SizeIn(std::uint8_t version) const;
};

// One pass over both.
Delta Diff(const vrp::Payloads& from, const vrp::Payloads& to);

// From where `first` starts to where `second` ends, where `second` starts at the end of `first`. Minimal: a record that
// is withdrawn and announced again, or the other way round, and an ASPA that is changed back, are not mentioned.
Delta Compose(const Delta& first, const Delta& second);

// The payloads behind the delta; what it does not name is copied in runs, and from an rvalue moved. FailedPrecondition
// when the delta does not fit: it withdraws what is not there, announces what is, or changes an ASPA from other
// providers. What was moved from is then lost.
absl::StatusOr<vrp::Payloads> Apply(const Delta& delta, const vrp::Payloads& payloads);
absl::StatusOr<vrp::Payloads> Apply(const Delta& delta, vrp::Payloads&& payloads);

// The body of an incremental answer in `version` (at most kMaxVersion), in the order that its rules say. An ASPA's
// change is one announcement, which replaces the list. One allocation of the exact size.
Encoded EncodeDelta(const Delta& delta, std::uint8_t version);

}  // namespace virp::rtr
