// Who may call what: a table from full method names to roles, and rules that bind an identity to the chains and sources
// it may act on. What has no row or rule is denied. No gRPC in here; caller.h applies the table to calls. Everything is
// immutable after construction and so thread-safe.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/hash_map.h"
#include "lib/service/identity.h"

namespace google::protobuf {
class ServiceDescriptor;
}

namespace virp::service {

// One row: who may call "/package.Service/Method".
struct MethodRule {
  std::string method;
  RoleSet roles;
  // The method acts on a chain or source named in the request. An identity without any scope rule is denied before the
  // handler; the handler checks the named resource with ScopeRules::Check.
  bool scoped = false;
};

class AuthorizationTable {
 public:
  // Adds rows for gRPC health (every role), and, when `reflection`, for reflection (every role). InvalidArgument for a
  // malformed or repeated method name, or a row without a role.
  static absl::StatusOr<AuthorizationTable> Create(std::vector<MethodRule> rows, bool reflection = false);

  // PermissionDenied unless the method has a row with the identity's role.
  absl::Status Check(const Identity& identity, std::string_view method) const;

  const MethodRule* Find(std::string_view method) const;  // nullptr when there is no row

  // What each service's own test asserts to be empty: methods of `services` without a row, and rows for methods that
  // none of them has. One line each.
  std::vector<std::string> Problems(std::span<const google::protobuf::ServiceDescriptor* const> services) const;

 private:
  StringMap<MethodRule> rows_;
};

// A name or a pattern of names: '*' stands for any run of characters without '/', and a last segment '**' for one or
// more whole segments. Otherwise bytes stand for themselves.
bool MatchesPattern(std::string_view pattern, std::string_view name);

// What a scoped call is about. An empty member is not asked for; at least one must be set.
struct Resource {
  std::string_view origin;            // of the chain
  std::string_view source;            // name of the source
  std::optional<std::uint32_t> type;  // observation type
};

// {"scopes": [{"role": "collector", "name": "edge-*", "origins": ["site1/*"], "sources": ["r*", "edge-*"]},
//             {"role": "producer", "name": "nornir", "origins": ["site1/main"], "sources": ["nornir"], "types": [16]}]}
// `name` may be a pattern. Without `types` any type is allowed.
class ScopeRules {
 public:
  ScopeRules() = default;  // nobody may act on anything

  // InvalidArgument names the rule and what is wrong.
  static absl::StatusOr<ScopeRules> FromJson(std::string_view json);

  // PermissionDenied (SCOPE_DENIED) unless one rule of this identity covers all members that are set. The break-glass
  // identity passes: its methods are listed one by one.
  absl::Status Check(const Identity& identity, const Resource& resource) const;

  // True when the identity has a rule at all.
  bool HasAny(const Identity& identity) const;

 private:
  struct Rule {
    Role role;
    std::string name;
    std::vector<std::string> origins;
    std::vector<std::string> sources;
    std::optional<std::vector<std::uint32_t>> types;
  };
  static absl::StatusOr<Rule> ParseRule(const nlohmann::json& item, const std::string& where);
  static bool Covers(const Rule& rule, const Resource& resource);
  template <typename Predicate>
  bool AnyRuleOf(const Identity& identity, Predicate predicate) const;

  std::vector<Rule> rules_;
  StringMap<std::vector<std::size_t>> exact_;  // by "role/name"
  std::vector<std::size_t> patterns_;          // rules whose name is a pattern
};

}  // namespace virp::service
