#include "lib/service/identity.h"

#include <algorithm>
#include <utility>

#include "lib/base/names.h"
#include "lib/base/status.h"
#include "lib/service/strict_json.h"

namespace virp::service {
namespace {

constexpr std::string_view kScheme = "spiffe://";
constexpr std::array<std::string_view, kAllRoles.size()> kRoleNames = {
    "collector", "onode", "rtr-bridge", "keymgr", "producer", "operator", "approver", "reader", "router"};

bool IsLowerOrDigit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}
bool IsPunctuation(char c) {
  return c == '.' || c == '-' || c == '_';
}
bool IsSegmentChar(char c) {
  return IsLowerOrDigit(c) || (c >= 'A' && c <= 'Z') || IsPunctuation(c);
}

absl::Status CheckSegment(std::string_view segment) {
  if (segment.empty()) return InvalidArgument("SPIFFE id: an empty path segment");
  if (segment == "." || segment == "..") return InvalidArgument("SPIFFE id: a path segment '.' or '..'");
  if (!std::all_of(segment.begin(), segment.end(), IsSegmentChar)) {
    return InvalidArgument("SPIFFE id: a path segment holds a byte outside [a-zA-Z0-9._-]");
  }
  return absl::OkStatus();
}

// The segments of a path that begins with '/', or InvalidArgument for too many.
absl::StatusOr<std::vector<std::string_view>> SplitPath(std::string_view path) {
  if (path.empty() || path[0] != '/') return InvalidArgument("a path must begin with '/'");
  std::vector<std::string_view> out;
  std::size_t start = 1;
  while (true) {
    if (out.size() == kMaxIdSegments) return InvalidArgument("a path of more than {} segments", kMaxIdSegments);
    const std::size_t slash = path.find('/', start);
    out.push_back(path.substr(start, slash == std::string_view::npos ? slash : slash - start));
    if (slash == std::string_view::npos) return out;
    start = slash + 1;
  }
}

// The name between the braces of "{name}", or nothing when `text` is not exactly that.
std::optional<std::string_view> PartName(std::string_view text) {
  if (text.size() < 3 || text.front() != '{' || text.back() != '}') return std::nullopt;
  const std::string_view name = text.substr(1, text.size() - 2);
  const bool good = std::all_of(name.begin(), name.end(), [](char c) { return IsLowerOrDigit(c) || c == '_'; });
  return good ? std::optional(name) : std::nullopt;
}

}  // namespace

absl::Status CheckTrustDomain(std::string_view text) {
  if (text.empty() || text.size() > kMaxTrustDomain) {
    return InvalidArgument("SPIFFE id: a trust domain of {} bytes; 1 to {}", text.size(), kMaxTrustDomain);
  }
  if (!std::all_of(text.begin(), text.end(), [](char c) { return IsLowerOrDigit(c) || IsPunctuation(c); })) {
    return InvalidArgument("SPIFFE id: the trust domain holds a byte outside [a-z0-9._-]");
  }
  return absl::OkStatus();
}

absl::StatusOr<SpiffeId> SpiffeId::Parse(std::string_view text) {
  if (text.size() > kMaxSpiffeId) return InvalidArgument("SPIFFE id: {} bytes; at most {}", text.size(), kMaxSpiffeId);
  if (!text.starts_with(kScheme)) return InvalidArgument("SPIFFE id: must begin with spiffe://");
  const std::size_t path_at = text.find('/', kScheme.size());
  RETURN_IF_ERROR(CheckTrustDomain(
      text.substr(kScheme.size(), path_at == std::string_view::npos ? path_at : path_at - kScheme.size())));
  if (path_at == std::string_view::npos)
    return InvalidArgument("SPIFFE id: a trust domain without a path is no workload");
  ASSIGN_OR_RETURN(const std::vector<std::string_view> segments, SplitPath(text.substr(path_at)));
  for (const std::string_view segment : segments) RETURN_IF_ERROR(CheckSegment(segment));
  return SpiffeId(std::string(text), path_at);
}

std::vector<std::string_view> SpiffeId::Segments() const {
  return *SplitPath(path());
}

std::string_view RoleName(Role role) {
  return kRoleNames[static_cast<std::size_t>(role)];
}

std::optional<Role> ParseRole(std::string_view text) {
  const auto found = std::find(kRoleNames.begin(), kRoleNames.end(), text);
  if (found == kRoleNames.end()) return std::nullopt;
  return kAllRoles[static_cast<std::size_t>(found - kRoleNames.begin())];
}

std::string Describe(const Identity& identity) {
  return fmt::format("{}/{}", RoleName(identity.role), identity.name);
}

absl::StatusOr<IdentityMap> IdentityMap::Default(std::string_view trust_domain) {
  RETURN_IF_ERROR(CheckTrustDomain(trust_domain));
  IdentityMap map;
  map.trust_domain_ = trust_domain;
  Rule rule;
  ASSIGN_OR_RETURN(rule.path, ParsePath("/{role}/{name}"));
  RETURN_IF_ERROR(ParseRoleField("{role}", rule));
  RETURN_IF_ERROR(ParseNameField("{name}", rule));
  RETURN_IF_ERROR(map.AddRule(std::move(rule)));
  return map;
}

absl::StatusOr<IdentityMap> IdentityMap::FromJson(std::string_view json) {
  ASSIGN_OR_RETURN(const nlohmann::json root, ParseStrictJson(json));
  RETURN_IF_ERROR(CheckObject(root, {"trust_domain", "rules"}, "identity map"));
  IdentityMap map;
  ASSIGN_OR_RETURN(map.trust_domain_, StringMember(root, "trust_domain", "identity map"));
  RETURN_IF_ERROR(Annotate(CheckTrustDomain(map.trust_domain_), "identity map"));
  const auto rules = root.find("rules");
  if (rules == root.end() || !rules->is_array() || rules->empty() || rules->size() > kMaxIdentityRules) {
    return InvalidArgument("identity map: 'rules' must be an array of 1 to {} rules", kMaxIdentityRules);
  }
  for (const nlohmann::json& item : *rules) {
    const std::string where = fmt::format("identity map: rule {}", map.rules_.size() + 1);
    RETURN_IF_ERROR(CheckObject(item, {"id", "path", "role", "name"}, where));
    if (item.contains("id") == item.contains("path")) return InvalidArgument("{}: needs either 'id' or 'path'", where);
    Rule rule;
    if (item.contains("id")) {
      ASSIGN_OR_RETURN(const std::string text, StringMember(item, "id", where));
      const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(text);
      if (!id.ok()) return Annotate(id.status(), where);
      if (id->trust_domain() != map.trust_domain_)
        return InvalidArgument("{}: '{}' is not in {}", where, text, map.trust_domain_);
      for (const std::string_view segment : id->Segments())
        rule.path.push_back({.part = false, .text = std::string(segment)});
    } else {
      ASSIGN_OR_RETURN(const std::string text, StringMember(item, "path", where));
      absl::StatusOr<std::vector<Segment>> path = ParsePath(text);
      if (!path.ok()) return Annotate(path.status(), where);
      rule.path = *std::move(path);
    }
    ASSIGN_OR_RETURN(const std::string role, StringMember(item, "role", where));
    RETURN_IF_ERROR(Annotate(ParseRoleField(role, rule), where));
    ASSIGN_OR_RETURN(const std::string name, StringMember(item, "name", where));
    RETURN_IF_ERROR(Annotate(ParseNameField(name, rule), where));
    RETURN_IF_ERROR(Annotate(CheckPartsUsed(rule), where));
    RETURN_IF_ERROR(Annotate(map.AddRule(std::move(rule)), where));
  }
  return map;
}

absl::StatusOr<std::vector<IdentityMap::Segment>> IdentityMap::ParsePath(std::string_view path) {
  if (path.size() > kMaxSpiffeId) return InvalidArgument("a path of {} bytes; at most {}", path.size(), kMaxSpiffeId);
  ASSIGN_OR_RETURN(const std::vector<std::string_view> texts, SplitPath(path));
  std::vector<Segment> out;
  for (const std::string_view text : texts) {
    const std::optional<std::string_view> part = PartName(text);
    if (!part) RETURN_IF_ERROR(CheckSegment(text));
    const std::string name(part.value_or(text));
    const bool again =
        part && std::any_of(out.begin(), out.end(), [&](const Segment& s) { return s.part && s.text == name; });
    if (again) return InvalidArgument("part {{{}}} is there twice", name);
    out.push_back({.part = part.has_value(), .text = name});
  }
  return out;
}

absl::Status IdentityMap::ParseRoleField(std::string_view text, Rule& rule) {
  if (const std::optional<std::string_view> part = PartName(text)) {
    const auto found =
        std::find_if(rule.path.begin(), rule.path.end(), [&](const Segment& s) { return s.part && s.text == *part; });
    if (found == rule.path.end()) return InvalidArgument("role {} is no part of the path", text);
    rule.role_segment = static_cast<std::size_t>(found - rule.path.begin());
    return absl::OkStatus();
  }
  rule.role = ParseRole(text);
  if (!rule.role) return InvalidArgument("'{}' is no role; roles are {}", text, fmt::join(kRoleNames, ", "));
  return absl::OkStatus();
}

absl::Status IdentityMap::ParseNameField(std::string_view text, Rule& rule) {
  if (text.empty() || text.size() > kMaxSpiffeId) return InvalidArgument("a name of {} bytes", text.size());
  while (!text.empty()) {
    const std::size_t brace = text.find('{');
    if (brace != 0) {
      const std::string_view literal = text.substr(0, brace);
      if (!std::all_of(literal.begin(), literal.end(), [](char c) { return IsLowerOrDigit(c) || IsPunctuation(c); })) {
        return InvalidArgument("a name holds a byte outside [a-z0-9._-]");
      }
      rule.name.push_back({.segment = std::nullopt, .text = std::string(literal)});
      if (brace == std::string_view::npos) break;
      text.remove_prefix(brace);
    }
    const std::size_t end = text.find('}');
    const std::optional<std::string_view> part =
        PartName(text.substr(0, end == std::string_view::npos ? end : end + 1));
    const auto found = std::find_if(rule.path.begin(), rule.path.end(),
                                    [&](const Segment& s) { return part && s.part && s.text == *part; });
    if (found == rule.path.end()) return InvalidArgument("a {{part}} of the name is not in the path");
    rule.name.push_back({.segment = static_cast<std::size_t>(found - rule.path.begin()), .text = ""});
    text.remove_prefix(end + 1);
  }
  return absl::OkStatus();
}

absl::Status IdentityMap::CheckPartsUsed(const Rule& rule) {
  for (std::size_t i = 0; i < rule.path.size(); ++i) {
    if (!rule.path[i].part) continue;
    const bool in_name =
        std::any_of(rule.name.begin(), rule.name.end(), [&](const NamePiece& piece) { return piece.segment == i; });
    const bool used = in_name || (!rule.role && rule.role_segment == i);
    const bool ignored = rule.path[i].text[0] == '_';
    if (!used && !ignored) {
      return InvalidArgument(
          "part {{{0}}} is used in neither role nor name; if ids that differ there are the same caller, call it "
          "{{_{0}}}",
          rule.path[i].text);
    }
    if (used && ignored)
      return InvalidArgument("part {{{}}} is used; a name that begins with '_' says that it is not", rule.path[i].text);
  }
  return absl::OkStatus();
}

// The roles that `rule` can give to an id that `other` matches too; both have paths of one length that can meet.
RoleSet IdentityMap::RolesWithin(const Rule& rule, const Rule& other) {
  if (rule.role) return {*rule.role};
  const Segment& segment = other.path[rule.role_segment];
  if (segment.part) return RoleSet::All();
  const std::optional<Role> role = ParseRole(segment.text);
  return role ? RoleSet{*role} : RoleSet{};
}

absl::Status IdentityMap::CheckSeparation(const Rule& a, const Rule& b) {
  if (a.path.size() != b.path.size()) return absl::OkStatus();
  for (std::size_t i = 0; i < a.path.size(); ++i) {
    if (!a.path[i].part && !b.path[i].part && a.path[i].text != b.path[i].text) return absl::OkStatus();
  }
  const bool same_segment = !a.role && !b.role && a.role_segment == b.role_segment;
  if (same_segment) return absl::OkStatus();  // both read the role from the same place
  const RoleSet from_a = RolesWithin(a, b);
  const RoleSet from_b = RolesWithin(b, a);
  for (const Role x : kAllRoles) {
    for (const Role y : kAllRoles) {
      if (x == y || !from_a.Has(x) || !from_b.Has(y) || !kSeparatedRoles.Has(x) || !kSeparatedRoles.Has(y)) continue;
      return InvalidArgument(
          "an id could be both {} (here) and {} (an earlier rule); no id may hold two of producer, approver, operator",
          RoleName(y), RoleName(x));
    }
  }
  return absl::OkStatus();
}

absl::Status IdentityMap::AddRule(Rule rule) {
  const bool exact = std::none_of(rule.path.begin(), rule.path.end(), [](const Segment& s) { return s.part; });
  if (exact) {
    std::string path;
    for (const Segment& segment : rule.path) path += "/" + segment.text;
    if (!exact_.insert(path).second) return InvalidArgument("{} has a rule already", path);
  }
  for (const Rule& earlier : rules_) RETURN_IF_ERROR(CheckSeparation(earlier, rule));
  rules_.push_back(std::move(rule));
  return absl::OkStatus();
}

absl::StatusOr<IdentityMap::Entry> IdentityMap::Find(const SpiffeId& id) const {
  if (id.trust_domain() != trust_domain_)
    return PermissionDenied("{} is not of the trust domain {}", id.text(), trust_domain_);
  const std::vector<std::string_view> segments = id.Segments();
  for (const Rule& rule : rules_) {
    if (rule.path.size() != segments.size()) continue;
    bool match = true;
    for (std::size_t i = 0; match && i < segments.size(); ++i)
      match = rule.path[i].part || rule.path[i].text == segments[i];
    if (!match) continue;
    const std::optional<Role> role = rule.role ? rule.role : ParseRole(segments[rule.role_segment]);
    if (!role) continue;
    std::string name;
    for (const NamePiece& piece : rule.name)
      name += piece.segment ? segments[*piece.segment] : std::string_view(piece.text);
    if (const absl::Status status = CheckSourceName(name); !status.ok()) {
      return PermissionDenied("{}: its name by the identity map does not do: {}", id.text(), Message(status));
    }
    return Entry{*role, std::move(name)};
  }
  return PermissionDenied("{} has no role in the identity map", id.text());
}

}  // namespace virp::service
