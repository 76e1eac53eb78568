// Who a peer is: its SPIFFE id, and the role and name that a configured map gives to it. No gRPC in here; caller.h
// gets from a call to an Identity. Everything is immutable after construction and so thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/hash_map.h"

namespace virp::service {

inline constexpr std::size_t kMaxSpiffeId = 2048;    // SPIFFE-ID specification, section 2.3
inline constexpr std::size_t kMaxTrustDomain = 255;  // section 2.1
inline constexpr std::size_t kMaxIdSegments = 16;    // ours
inline constexpr std::size_t kMaxIdentityRules = 4096;

// spiffe://TRUST-DOMAIN/SEGMENT[/SEGMENT...], in the one spelling that the specification gives it: trust domain of
// [a-z0-9._-], segments of [a-zA-Z0-9._-] that are not empty, '.' or '..'; no user, port, query, fragment or
// percent-encoding. A trust domain without a path is no workload and refused.
class SpiffeId {
 public:
  // InvalidArgument says what is wrong. The text itself is not in the message: it may come from a stranger.
  static absl::StatusOr<SpiffeId> Parse(std::string_view text);

  const std::string& text() const { return text_; }
  std::string_view trust_domain() const { return std::string_view(text_).substr(kSchemeSize, path_at_ - kSchemeSize); }
  std::string_view path() const { return std::string_view(text_).substr(path_at_); }  // begins with '/'
  std::vector<std::string_view> Segments() const;                                     // valid as long as this object

  friend bool operator==(const SpiffeId& a, const SpiffeId& b) { return a.text_ == b.text_; }

 private:
  static constexpr std::size_t kSchemeSize = 9;  // "spiffe://"
  SpiffeId(std::string text, std::size_t path_at) : text_(std::move(text)), path_at_(path_at) {}
  std::string text_;
  std::size_t path_at_;
};

// InvalidArgument unless `text` is a trust domain by the rule above.
absl::Status CheckTrustDomain(std::string_view text);

enum class Role : std::uint8_t {
  kCollector,
  kOnode,
  kRtrBridge,
  kKeymgr,
  kProducer,
  kOperator,
  kApprover,
  kReader,
  kRouter,  // a router that enrols by itself (RFC 8635 section 9)
};
inline constexpr std::array<Role, 9> kAllRoles = {Role::kCollector, Role::kOnode,    Role::kRtrBridge,
                                                  Role::kKeymgr,    Role::kProducer, Role::kOperator,
                                                  Role::kApprover,  Role::kReader,   Role::kRouter};

std::string_view RoleName(Role role);                  // "collector", "onode", "rtr-bridge", ...
std::optional<Role> ParseRole(std::string_view text);  // exactly those names

// A set of roles; a value.
class RoleSet {
 public:
  constexpr RoleSet() = default;
  constexpr RoleSet(std::initializer_list<Role> roles) {
    for (const Role role : roles) bits_ |= Bit(role);
  }
  static constexpr RoleSet All() {
    RoleSet out;
    for (const Role role : kAllRoles) out.bits_ |= Bit(role);
    return out;
  }
  constexpr bool Has(Role role) const { return (bits_ & Bit(role)) != 0; }
  constexpr bool empty() const { return bits_ == 0; }
  friend constexpr bool operator==(RoleSet a, RoleSet b) { return a.bits_ == b.bits_; }

 private:
  static constexpr unsigned Bit(Role role) { return 1U << static_cast<unsigned>(role); }
  unsigned bits_ = 0;
};

// Producer, approver, operator: who may make evidence, who may approve, who may run. No id holds two of them.
inline constexpr RoleSet kSeparatedRoles = {Role::kProducer, Role::kApprover, Role::kOperator};

// An authenticated peer.
struct Identity {
  std::string spiffe_id;
  Role role = Role::kReader;
  std::string name;          // a source name (lib/base/names.h); unique within the role
  std::string serial;        // of the certificate, as crypto::CertificateInfo has it
  UnixNanos not_after = 0;   // end of the certificate
  bool break_glass = false;  // came in by the break-glass socket: no certificate, serial and id are empty
};

// "role/name", as logs and entries show an identity.
std::string Describe(const Identity& identity);

// An ordered list of rules, the first that matches decides:
//   {"trust_domain": "example.org",
//    "rules": [{"id": "spiffe://example.org/ns/virp/sa/onode", "role": "onode", "name": "onode-1"},
//              {"path": "/ns/edge/sa/{sa}/pod/{_pod}", "role": "collector", "name": "{sa}"},
//              {"path": "/{role}/{name}", "role": "{role}", "name": "{name}"}]}
// A path is matched segment by segment; {part} takes one whole segment. `role` is a role's name or one {part}; a rule
// whose {part} is no role's name does not match. `name` is text with {part}s. A part that is used in neither must be
// called {_...}: ids that differ only there become the same caller, which has to be said, not forgotten.
class IdentityMap {
 public:
  struct Entry {
    Role role;
    std::string name;
  };

  // spiffe://<trust domain>/<role>/<name>. InvalidArgument for a bad trust domain.
  static absl::StatusOr<IdentityMap> Default(std::string_view trust_domain);

  // InvalidArgument, naming the rule, for anything malformed, an id outside the trust domain, an exact id given twice,
  // or two rules that together would give one id two of kSeparatedRoles (although only the first would apply: swapping
  // two lines of a file must not be what separates a producer from an approver).
  static absl::StatusOr<IdentityMap> FromJson(std::string_view json);

  // PermissionDenied when the id is of another trust domain, no rule matches, or the name that results is no source
  // name.
  absl::StatusOr<Entry> Find(const SpiffeId& id) const;

  const std::string& trust_domain() const { return trust_domain_; }

 private:
  struct Segment {
    bool part = false;  // takes any segment; `text` is then the part's name
    std::string text;
  };
  struct NamePiece {
    std::optional<std::size_t> segment;  // index of the segment, or the literal text
    std::string text;
  };
  struct Rule {
    std::vector<Segment> path;
    std::optional<Role> role;  // absent: the segment role_segment says it
    std::size_t role_segment = 0;
    std::vector<NamePiece> name;
  };

  static absl::StatusOr<std::vector<Segment>> ParsePath(std::string_view path);
  static absl::Status ParseRoleField(std::string_view text, Rule& rule);
  static absl::Status ParseNameField(std::string_view text, Rule& rule);
  static absl::Status CheckPartsUsed(const Rule& rule);
  static RoleSet RolesWithin(const Rule& rule, const Rule& other);
  static absl::Status CheckSeparation(const Rule& a, const Rule& b);
  absl::Status AddRule(Rule rule);

  std::string trust_domain_;
  std::vector<Rule> rules_;
  StringSet exact_;  // paths without parts, to refuse a second one
};

}  // namespace virp::service
