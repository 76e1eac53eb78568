// The one route of a BGP UPDATE that carries a BGPsec_Path (RFC 8205 section 4.1): enough to prove a key, a capture or
// another implementation by. Thread-safe: no state.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/base/ip.h"
#include "lib/bgpsec/path.h"

namespace virp::bgpsec {

inline constexpr std::uint8_t kAttributeType = 33;
// What the examples of RFC 8608 appendix A carry, which were printed before a number was assigned. Signatures do not
// cover the type.
inline constexpr std::uint8_t kAttributeTypeOfExamples = 30;

struct SignedRoute {
  std::string_view attribute;  // value of the BGPsec_Path: a view into the UPDATE
  Nlri nlri;
};

// One whole BGP message, marker included, of at most 65,535 bytes (RFC 8654). InvalidArgument for what is no UPDATE or
// does not add up, and for one without BGPsec_Path, with two, with an AS_PATH beside it, or with anything but one
// prefix in one MP_REACH_NLRI of IPv4 or IPv6 unicast.
absl::StatusOr<SignedRoute> ReadUpdate(std::string_view message);

Nlri NlriOf(const Prefix& prefix);
// For one that Check accepts.
Prefix PrefixOf(const Nlri& nlri);

}  // namespace virp::bgpsec
