#include "lib/service/authorization.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "lib/base/error_info.h"
#include "lib/base/names.h"
#include "lib/base/status.h"
#include "lib/service/strict_json.h"

namespace virp::service {
namespace {

constexpr std::size_t kMaxScopeRules = 16384;
constexpr std::size_t kMaxPatternsPerRule = 1024;
constexpr std::size_t kMaxPattern = 255;
constexpr std::size_t kMaxStars = 8;
constexpr std::string_view kHealth = "/grpc.health.v1.Health/";
// gRPC 1.51 serves v1alpha. Newer clients (grpcurl) ask for v1 first and go back to v1alpha only when that is
// UNIMPLEMENTED, so v1 has a row as well: gRPC itself is to answer.
constexpr std::string_view kReflection = "/grpc.reflection.";
constexpr const char* kReflectionMethods[] = {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                                              "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"};

// "/package.Service/Method"
bool IsMethodName(std::string_view text) {
  if (text.size() < 4 || text[0] != '/') return false;
  const std::size_t slash = text.find('/', 1);
  if (slash == std::string_view::npos || slash == 1 || slash + 1 == text.size()) return false;
  return std::all_of(text.begin() + 1, text.end(), [&](const char& c) {
    const bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    const auto at = static_cast<std::size_t>(&c - text.data());
    return word || (c == '.' && at < slash) || at == slash;
  });
}

// One segment against one pattern with '*'. On a mismatch the last star takes one character more: never more than
// |pattern| * |text| steps.
bool MatchesSegment(std::string_view pattern, std::string_view text) {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;
  std::size_t star_text = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_text = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

// A pattern must be a name once its stars are replaced by a letter, so that a rule that can never match is refused.
absl::Status CheckPattern(std::string_view pattern, bool is_origin) {
  if (pattern.empty() || pattern.size() > kMaxPattern)
    return InvalidArgument("a pattern of {} bytes; 1 to {}", pattern.size(), kMaxPattern);
  if (std::count(pattern.begin(), pattern.end(), '*') > static_cast<std::ptrdiff_t>(kMaxStars)) {
    return InvalidArgument("a pattern with more than {} stars", kMaxStars);
  }
  const std::size_t twice = pattern.find("**");
  const bool whole_last =
      pattern.ends_with("**") && twice == pattern.size() - 2 && (twice == 0 || pattern[twice - 1] == '/');
  if (twice != std::string_view::npos && !whole_last)
    return InvalidArgument("'**' stands for the whole end only: '**' or 'a/**'");
  std::string name(pattern);
  std::replace(name.begin(), name.end(), '*', 'x');
  // A source may be an O-Node's own, which is named as its origin.
  return Annotate(is_origin || name.find('/') != std::string::npos ? CheckOrigin(name) : CheckSourceName(name),
                  pattern);
}

absl::StatusOr<std::vector<std::string>> Patterns(const nlohmann::json& item, const char* key,
                                                  const std::string& where) {
  ASSIGN_OR_RETURN(std::vector<std::string> out, StringsMember(item, key, kMaxPatternsPerRule, where));
  for (const std::string& pattern : out)
    RETURN_IF_ERROR(Annotate(CheckPattern(pattern, true), fmt::format("{}: {}", where, key)));
  return out;
}

bool AnyMatches(const std::vector<std::string>& patterns, std::string_view name) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return MatchesPattern(pattern, name); });
}

}  // namespace

absl::StatusOr<AuthorizationTable> AuthorizationTable::Create(std::vector<MethodRule> rows, bool reflection) {
  for (const char* method : {"Check", "Watch"}) rows.push_back({fmt::format("{}{}", kHealth, method), RoleSet::All()});
  for (const char* method : kReflectionMethods) {
    if (reflection) rows.push_back({method, RoleSet::All()});
  }
  AuthorizationTable table;
  for (MethodRule& row : rows) {
    if (!IsMethodName(row.method))
      return InvalidArgument("authorization: '{}' is no /package.Service/Method", row.method);
    if (row.roles.empty())
      return InvalidArgument("authorization: {} has a row that lets nobody in; leave it out", row.method);
    const std::string method = row.method;
    if (!table.rows_.emplace(method, std::move(row)).second)
      return InvalidArgument("authorization: {} has two rows", method);
  }
  return table;
}

absl::Status AuthorizationTable::Check(const Identity& identity, std::string_view method) const {
  const MethodRule* row = Find(method);
  // One answer for both: who may not call a method need not learn whether it exists.
  if (row == nullptr || !row->roles.Has(identity.role)) {
    return PermissionDenied("{} may not call {}", Describe(identity), IsMethodName(method) ? method : "this method");
  }
  return absl::OkStatus();
}

const MethodRule* AuthorizationTable::Find(std::string_view method) const {
  const auto found = rows_.find(method);
  return found == rows_.end() ? nullptr : &found->second;
}

std::vector<std::string> AuthorizationTable::Problems(
    std::span<const google::protobuf::ServiceDescriptor* const> services) const {
  std::vector<std::string> problems;
  StringSet existing;
  for (const google::protobuf::ServiceDescriptor* service : services) {
    for (int i = 0; i < service->method_count(); ++i) {
      std::string method = fmt::format("/{}/{}", service->full_name(), service->method(i)->name());
      if (Find(method) == nullptr) problems.push_back(fmt::format("{} has no row", method));
      existing.insert(std::move(method));
    }
  }
  for (const auto& [method, row] : rows_) {
    if (method.starts_with(kHealth) || method.starts_with(kReflection) || existing.contains(method)) continue;
    problems.push_back(fmt::format("{} has a row but does not exist", method));
  }
  std::sort(problems.begin(), problems.end());
  return problems;
}

bool MatchesPattern(std::string_view pattern, std::string_view name) {
  while (true) {
    if (pattern == "**") return !name.empty();
    const std::size_t pattern_slash = pattern.find('/');
    const std::size_t name_slash = name.find('/');
    if (!MatchesSegment(pattern.substr(0, pattern_slash), name.substr(0, name_slash))) return false;
    const bool pattern_ends = pattern_slash == std::string_view::npos;
    const bool name_ends = name_slash == std::string_view::npos;
    if (pattern_ends || name_ends) return pattern_ends && name_ends;
    pattern.remove_prefix(pattern_slash + 1);
    name.remove_prefix(name_slash + 1);
  }
}

absl::StatusOr<ScopeRules::Rule> ScopeRules::ParseRule(const nlohmann::json& item, const std::string& where) {
  RETURN_IF_ERROR(CheckObject(item, {"role", "name", "origins", "sources", "types"}, where));
  Rule rule;
  ASSIGN_OR_RETURN(const std::string role, StringMember(item, "role", where));
  const std::optional<Role> parsed = ParseRole(role);
  if (!parsed) return InvalidArgument("{}: '{}' is no role", where, role);
  rule.role = *parsed;
  ASSIGN_OR_RETURN(rule.name, StringMember(item, "name", where));
  RETURN_IF_ERROR(Annotate(CheckPattern(rule.name, false), fmt::format("{}: name", where)));
  ASSIGN_OR_RETURN(rule.origins, Patterns(item, "origins", where));
  ASSIGN_OR_RETURN(rule.sources, Patterns(item, "sources", where));
  if (const auto types = item.find("types"); types != item.end()) {
    rule.types.emplace();
    if (!types->is_array() || types->size() > kMaxPatternsPerRule)
      return InvalidArgument("{}: 'types' must be an array", where);
    for (const nlohmann::json& type : *types) {
      if (!type.is_number_unsigned() || type.get<std::uint64_t>() > std::numeric_limits<std::uint32_t>::max()) {
        return InvalidArgument("{}: 'types' must hold observation type numbers", where);
      }
      rule.types->push_back(type.get<std::uint32_t>());
    }
  }
  return rule;
}

absl::StatusOr<ScopeRules> ScopeRules::FromJson(std::string_view json) {
  ASSIGN_OR_RETURN(const nlohmann::json root, ParseStrictJson(json));
  RETURN_IF_ERROR(CheckObject(root, {"scopes"}, "scopes"));
  const auto list = root.find("scopes");
  if (list == root.end() || !list->is_array() || list->size() > kMaxScopeRules) {
    return InvalidArgument("scopes: 'scopes' must be an array of at most {} rules", kMaxScopeRules);
  }
  ScopeRules out;
  for (const nlohmann::json& item : *list) {
    const std::size_t index = out.rules_.size();
    ASSIGN_OR_RETURN(Rule rule, ParseRule(item, fmt::format("scopes: rule {}", index + 1)));
    if (rule.name.find('*') == std::string::npos) {
      out.exact_[fmt::format("{}/{}", RoleName(rule.role), rule.name)].push_back(index);
    } else {
      out.patterns_.push_back(index);
    }
    out.rules_.push_back(std::move(rule));
  }
  return out;
}

template <typename Predicate>
bool ScopeRules::AnyRuleOf(const Identity& identity, Predicate predicate) const {
  if (const auto found = exact_.find(Describe(identity)); found != exact_.end()) {
    for (const std::size_t index : found->second) {
      if (predicate(rules_[index])) return true;
    }
  }
  return std::any_of(patterns_.begin(), patterns_.end(), [&](std::size_t index) {
    const Rule& rule = rules_[index];
    return rule.role == identity.role && MatchesPattern(rule.name, identity.name) && predicate(rule);
  });
}

bool ScopeRules::Covers(const Rule& rule, const Resource& resource) {
  if (!resource.origin.empty() && !AnyMatches(rule.origins, resource.origin)) return false;
  if (!resource.source.empty() && !AnyMatches(rule.sources, resource.source)) return false;
  if (resource.type && rule.types &&
      std::find(rule.types->begin(), rule.types->end(), *resource.type) == rule.types->end())
    return false;
  return !resource.origin.empty() || !resource.source.empty();
}

absl::Status ScopeRules::Check(const Identity& identity, const Resource& resource) const {
  if (identity.break_glass) return absl::OkStatus();
  if (AnyRuleOf(identity, [&](const Rule& rule) { return Covers(rule, resource); })) return absl::OkStatus();
  return WithReason(PermissionDenied("{} is not bound to chain '{}', source '{}'{}; its scope does not cover them",
                                     Describe(identity), resource.origin, resource.source,
                                     resource.type ? fmt::format(", type {}", *resource.type) : ""),
                    "SCOPE_DENIED");
}

bool ScopeRules::HasAny(const Identity& identity) const {
  return identity.break_glass || AnyRuleOf(identity, [](const Rule&) { return true; });
}

}  // namespace virp::service
