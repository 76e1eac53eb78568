// CheckRegistration: what a registration must hold on its own, whatever else the chain says.
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/hash_map.h"
#include "lib/base/ip.h"
#include "lib/base/names.h"
#include "lib/base/status.h"
#include "lib/chain/control.h"

namespace virp::chain {
namespace {

constexpr std::size_t kMaxRouters = 64;
constexpr std::size_t kMaxBgpIds = 16;
constexpr std::size_t kMaxAddresses = 64;
constexpr std::size_t kMaxVrfs = 256;
constexpr std::size_t kMaxVrfName = 64;
constexpr std::size_t kMaxCarriers = 64;
constexpr std::size_t kMaxPrefixes = 64;
constexpr std::size_t kMaxPrefix = 256;
constexpr std::size_t kMaxSpiffeId = 2048;

bool IsLowerOrDigit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}
bool IsWord(char c) {
  return IsLowerOrDigit(c) || (c >= 'A' && c <= 'Z') || c == '.' || c == '_' || c == '-';
}

absl::Status CheckSize(std::string_view field, std::size_t size, std::size_t limit) {
  if (size <= limit) return absl::OkStatus();
  return InvalidArgument("{}: {} of them; at most {}", field, size, limit);
}

template <typename Check>
absl::Status CheckEach(std::string_view field, const std::vector<std::string>& values, std::size_t limit,
                       Check&& check) {
  RETURN_IF_ERROR(CheckSize(field, values.size(), limit));
  StringSet seen;
  for (const std::string& value : values) {
    RETURN_IF_ERROR(Annotate(check(std::string_view(value)), field));
    if (!seen.insert(value).second) return InvalidArgument("{}: \"{}\" is there twice", field, value);
  }
  return absl::OkStatus();
}

absl::Status CheckBgpId(std::string_view text) {
  const auto address = IpAddress::ParseCanonical(text);
  if (!address.ok() || !address->is_v4()) return InvalidArgument("\"{}\" is not a dotted quad", text);
  return absl::OkStatus();
}

// No slash: it would blur the parts of a subject.
absl::Status CheckVrf(std::string_view vrf) {
  const bool fits = !vrf.empty() && vrf.size() <= kMaxVrfName &&
                    std::all_of(vrf.begin(), vrf.end(), [](char c) { return IsWord(c) || c == ':' || c == '@'; });
  if (!fits) return InvalidArgument("a VRF name is 1 to {} characters of [A-Za-z0-9._:@-]", kMaxVrfName);
  return absl::OkStatus();
}

// The form of SPIFFE-ID section 2: scheme, trust domain, path of non-empty segments.
absl::Status CheckCarrier(std::string_view id) {
  constexpr std::string_view kScheme = "spiffe://";
  if (!id.starts_with(kScheme) || id.size() > kMaxSpiffeId) return InvalidArgument("\"{}\" is not a SPIFFE id", id);
  std::string_view rest = id.substr(kScheme.size());
  const std::size_t slash = rest.find('/');
  const std::string_view domain = rest.substr(0, slash);
  const bool domain_fits = !domain.empty() && domain.size() <= 255 &&
                           std::all_of(domain.begin(), domain.end(),
                                       [](char c) { return IsLowerOrDigit(c) || c == '.' || c == '-' || c == '_'; });
  if (!domain_fits || slash == std::string_view::npos)
    return InvalidArgument("\"{}\" has no trust domain or no path", id);
  rest.remove_prefix(slash);
  while (!rest.empty()) {
    rest.remove_prefix(1);  // the slash
    const std::string_view segment = rest.substr(0, rest.find('/'));
    const bool fits =
        !segment.empty() && segment != "." && segment != ".." && std::all_of(segment.begin(), segment.end(), IsWord);
    if (!fits) return InvalidArgument("\"{}\" has an empty or odd path segment", id);
    rest.remove_prefix(segment.size());
  }
  return absl::OkStatus();
}

// "<domain>/<prefix of subject>"; the domains of subjects that are computed otherwise cannot be covered this way.
absl::Status CheckSubjectPrefix(std::string_view prefix) {
  const std::size_t slash = prefix.find('/');
  if (slash == std::string_view::npos || prefix.size() > kMaxPrefix) {
    return InvalidArgument("\"{}\" is not DOMAIN/PREFIX of at most {} bytes", prefix, kMaxPrefix);
  }
  const std::string_view domain = prefix.substr(0, slash);
  RETURN_IF_ERROR(CheckSourceName(domain));
  if (domain == "bgp" || domain == "source") {
    return InvalidArgument("\"{}\": the domain {} is covered by routers and carriers, not by prefixes", prefix, domain);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckKeyStatement(const KeyStatement& key) {
  if (key.version == 0) return InvalidArgument("key version: they start at 1");
  const bool ed25519 = key.suite == frame::Suite::kEd25519;
  if (!ed25519 && key.suite != frame::Suite::kHmacSha256) return InvalidArgument("suite: 1 is HMAC-SHA256, 2 Ed25519");
  if (key.public_key.size() != (ed25519 ? 32U : 0U))
    return InvalidArgument("public key: 32 bytes for Ed25519, none for HMAC");
  if (key.commitment.size() != (ed25519 ? 0U : 32U))
    return InvalidArgument("key commitment: 32 bytes for HMAC, none for Ed25519");
  if (key.accept_until && *key.accept_until <= key.accept_from)
    return InvalidArgument("accept until: not after accept from");
  return absl::OkStatus();
}

namespace {

absl::Status CheckRouter(const RouterScope& router) {
  RETURN_IF_ERROR(Annotate(CheckSourceName(router.name), "name"));
  if (router.bgp_ids.empty()) return InvalidArgument("{}: no BGP identifier", router.name);
  RETURN_IF_ERROR(CheckEach("BGP identifiers", router.bgp_ids, kMaxBgpIds, CheckBgpId));
  RETURN_IF_ERROR(CheckEach("addresses", router.addresses, kMaxAddresses,
                            [](std::string_view text) { return IpAddress::ParseCanonical(text).status(); }));
  return CheckEach("VRFs", router.vrfs, kMaxVrfs, CheckVrf);
}

}  // namespace

absl::Status CheckRegistration(const Registration& registration) {
  const Registration& r = registration;
  RETURN_IF_ERROR(Annotate(CheckOrigin(r.source), "source"));
  RETURN_IF_ERROR(CheckKeyStatement(r.key));
  if (r.min_frame_version < 1 || r.min_frame_version > 2) return InvalidArgument("minimum frame version: 1 or 2");
  if (r.min_frame_version == 1 && r.key.suite != frame::Suite::kHmacSha256) {
    return InvalidArgument("minimum frame version: version 1 has no other suite than HMAC-SHA256");
  }
  if (VantageName(r.vantage) == "?") return InvalidArgument("vantage: daemon, bmp, device or service");

  if (r.types.empty()) return InvalidArgument("types: a source that may send nothing");
  std::vector<std::uint8_t> types = r.types;
  std::sort(types.begin(), types.end());
  if (types.front() == 0) return InvalidArgument("types: 0 is none");
  if (std::adjacent_find(types.begin(), types.end()) != types.end())
    return InvalidArgument("types: one is there twice");

  RETURN_IF_ERROR(CheckSize("routers", r.routers.size(), kMaxRouters));
  StringSet names, ids;
  for (const RouterScope& router : r.routers) {
    RETURN_IF_ERROR(Annotate(CheckRouter(router), "routers"));
    if (!names.insert(router.name).second) return InvalidArgument("routers: {} is there twice", router.name);
    for (const std::string& id : router.bgp_ids) {
      if (!ids.insert(id).second) return InvalidArgument("routers: BGP identifier {} belongs to two of them", id);
    }
  }
  RETURN_IF_ERROR(CheckEach("subject prefixes", r.subject_prefixes, kMaxPrefixes, CheckSubjectPrefix));
  return CheckEach("carried by", r.carried_by, kMaxCarriers, CheckCarrier);
}

}  // namespace virp::chain
