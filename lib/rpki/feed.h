// Router keys in the forms that RTR caches and routers read. The key identifier is computed from the key each time: a
// wrong one in a feed goes through some caches unnoticed (stayrtr issue 95). Thread-safe.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/rpki/check.h"

namespace virp::rpki {

struct RouterKey {
  std::uint32_t asn = 0;
  std::string spki;  // DER
  Time expires;      // of its certificate, or of what proves it sooner

  friend bool operator==(const RouterKey&, const RouterKey&) = default;
};

// Each {AS, key} once, the one that expires last, by AS and key: what RFC 8210 section 5.10 wants of a cache.
// InvalidArgument when a key is none of P-256.
absl::StatusOr<std::vector<RouterKey>> Distinct(std::vector<RouterKey> keys);

// As rpki-client writes it and stayrtr and others read it: `bgpsec_keys` beside an empty `roas`. `anchor` is the name
// of the trust anchor, printable ASCII.
absl::StatusOr<std::string> RpkiClientJson(const std::vector<RouterKey>& keys, std::string_view anchor, Time built);

// RFC 8416: local assertions, base64url without padding. To be added to what validators found.
absl::StatusOr<std::string> Slurm(const std::vector<RouterKey>& keys);

// NIST BGP-SRx: <SKI 1-2>/<3-6>/<7-40>.cert and ski-list.txt, by path. Certificates in DER. Each {AS, key} is listed
// once; of a key with several certificates, of one AS or of several, the file has the one that ends last: a reader
// takes the public key from it, which is the same in all.
absl::StatusOr<std::map<std::string, std::string>> BgpSrxTree(const std::vector<std::string>& certificates);

}  // namespace virp::rpki
