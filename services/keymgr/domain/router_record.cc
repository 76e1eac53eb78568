#include "services/keymgr/domain/router_record.h"

#include <algorithm>
#include <array>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/base/utf8.h"
#include "lib/crypto/sha256.h"

namespace virp::keymgr {
namespace {

constexpr std::size_t kMaxRouterId = 200;  // leaves room for AS and usage
constexpr std::size_t kMaxAsns = 64;
constexpr std::size_t kMaxMaterial = 8;
constexpr std::size_t kMaxContacts = 32;
constexpr std::size_t kMaxName = 128;
constexpr std::size_t kMaxAddress = 256;
constexpr std::size_t kMaxAgent = 2'048;  // a SPIFFE id
constexpr std::size_t kMaxUsage = 32;

template <typename E, std::size_t N>
std::string_view NameAt(const std::array<std::string_view, N>& names, E value) {
  const auto at = static_cast<std::size_t>(value) - 1;
  return at < N ? names[at] : std::string_view("unknown");
}

bool IsPrintable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; });
}

absl::Status CheckAsns(const RouterSpec& spec) {
  if (spec.asns.empty() || spec.asns.size() > kMaxAsns)
    return InvalidField("router.asns", fmt::format("has {}; wanted 1 to {}", spec.asns.size(), kMaxAsns));
  for (std::size_t i = 0; i < spec.asns.size(); ++i) {
    // RFC 7607, RFC 6793 section 9, RFC 7300.
    if (spec.asns[i] == 0 || spec.asns[i] == 23'456 || spec.asns[i] == 65'535 || spec.asns[i] == 0xffffffff)
      return InvalidField("router.asns", fmt::format("AS {} is reserved", spec.asns[i]));
    if (i > 0 && spec.asns[i] <= spec.asns[i - 1])
      return InvalidField("router.asns", "not rising, or one is there twice");
  }
  return absl::OkStatus();
}

absl::Status CheckContacts(const RouterSpec& spec) {
  if (spec.contacts.size() > kMaxContacts)
    return InvalidField("router.contacts", fmt::format("has {}; at most {}", spec.contacts.size(), kMaxContacts));
  for (const PeerContact& contact : spec.contacts) {
    if (contact.asn == 0) return InvalidField("router.contacts.asn", "is 0");
    if (contact.name.empty() || contact.name.size() > kMaxName || !IsLine(contact.name))
      return InvalidField("router.contacts.name",
                          fmt::format("wanted 1 to {} bytes of UTF-8 without control characters", kMaxName));
    const std::size_t colon = contact.address.find(':');
    if (contact.address.size() > kMaxAddress || !IsPrintable(contact.address) || colon == 0 ||
        colon == std::string::npos || colon + 1 == contact.address.size()) {
      return InvalidField("router.contacts.address",
                          fmt::format("wanted a URI of at most {} bytes, as mailto:noc@example.net", kMaxAddress));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckMaterial(const RouterSpec& spec) {
  if (spec.material.size() > kMaxMaterial)
    return InvalidField("router.material", fmt::format("has {}; at most {}", spec.material.size(), kMaxMaterial));
  for (const Material& material : spec.material) {
    if (material.sha256.size() != sizeof(Hash)) return InvalidField("router.material.sha256", "has not 32 bytes");
  }
  if (!spec.material.empty() && spec.agent.empty())
    return InvalidField("router.agent", "is empty: material authenticates what the router itself sends");
  if (!spec.material.empty() && spec.outside_authority)
    return InvalidField("router.material", "is for requests that are certified here; an outside authority does that");
  return absl::OkStatus();
}

}  // namespace

std::string_view KeyMethodName(KeyMethod method) {
  return NameAt(std::array<std::string_view, 3>{"ROUTER_DRIVEN", "OPERATOR_DRIVEN", "EITHER"}, method);
}
std::string_view BootstrapName(Bootstrap bootstrap) {
  return NameAt(std::array<std::string_view, 4>{"CRAFT_PORT", "ONE_TIME_TOKEN", "DEVICE_CERTIFICATE", "SHARED_SECRET"},
                bootstrap);
}
std::string_view MaterialKindName(MaterialKind kind) {
  return NameAt(std::array<std::string_view, 3>{"TLS_CERTIFICATE", "TLS_KEY", "ROUTER_KEY"}, kind);
}
std::string_view RequestStateName(RequestState state) {
  return NameAt(std::array<std::string_view, 3>{"PENDING", "APPROVED", "REJECTED"}, state);
}

absl::Status CheckRouter(const RouterSpec& spec) {
  if (const absl::Status id = CheckKeyId(spec.id); !id.ok()) return InvalidField("router.id", Message(id));
  if (spec.id.size() > kMaxRouterId)
    return InvalidField("router.id", fmt::format("has {} bytes; at most {}", spec.id.size(), kMaxRouterId));
  RETURN_IF_ERROR(CheckAsns(spec));
  // RFC 8635 section 5, RFC 6286 section 2.1.
  if ((spec.bgp_id == 0) != spec.shared_key)
    return InvalidField("router.bgp_id", "is 0 for a key that several routers share, and only then");
  if (spec.policy == ExportPolicy::kShared) return InvalidField("router.policy", "is none of router keys");
  if (spec.agent.size() > kMaxAgent || !IsPrintable(spec.agent) ||
      (!spec.agent.empty() && !spec.agent.starts_with("spiffe://"))) {
    return InvalidField("router.agent", "is no SPIFFE id");
  }
  RETURN_IF_ERROR(CheckMaterial(spec));
  return CheckContacts(spec);
}

bool RouterRecord::Has(std::uint32_t asn) const {
  return std::ranges::binary_search(spec.asns, asn);
}

absl::StatusOr<std::string> SlotId(std::string_view router, std::uint32_t asn, std::string_view usage) {
  if (usage.empty()) return fmt::format("{}/{}", router, asn);
  // It begins with a letter, so that it is never taken for an AS number.
  const bool fits =
      usage.size() <= kMaxUsage && usage[0] >= 'a' && usage[0] <= 'z' && std::ranges::all_of(usage, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
      });
  if (!fits) return InvalidField("usage", "wanted [a-z][a-z0-9_-]{0,31}");
  return fmt::format("{}/{}/{}", router, asn, usage);
}

std::string RouterSlotRecord::id() const {
  return usage.empty() ? fmt::format("{}/{}", router, asn) : fmt::format("{}/{}/{}", router, asn, usage);
}

KeyIdentity RouterSlotRecord::identity(std::uint32_t version) const {
  return {KeyKind::kRouter, id(), version, Algorithm::kEcdsaP256};
}

const RouterVersion* RouterSlotRecord::Find(std::uint32_t version) const {
  const auto found = std::ranges::find(versions, version, &RouterVersion::version);
  return found == versions.end() ? nullptr : &*found;
}
RouterVersion* RouterSlotRecord::Find(std::uint32_t version) {
  const auto found = std::ranges::find(versions, version, &RouterVersion::version);
  return found == versions.end() ? nullptr : &*found;
}

bool RouterSlotRecord::IsOver() const {
  return std::ranges::all_of(roll.keys, [](const RollKey& key) { return key.state >= RouterKeyState::kRevoked; });
}

}  // namespace virp::keymgr
