#include "lib/chain/subject.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/ip.h"
#include "lib/base/names.h"
#include "lib/chain/entry.h"
#include "lib/crypto/sha256.h"

namespace virp::chain {
namespace {

using frame::Type;
using frame::Value;
using What = Statement::What;

constexpr std::string_view kDefaultVrf = "default";
constexpr std::string_view kDefaultRib = "adj-in-pre";
constexpr std::string_view kRibs[] = {"adj-in-pre", "adj-in-post", "loc", "adj-out-pre", "adj-out-post"};
constexpr std::string_view kEstablished = "Established";
constexpr std::size_t kMaxState = 64;
constexpr std::size_t kMaxSubjectKey = 512;
constexpr std::uint64_t kUnicast = 1;  // SAFI; FRR's own numbering agrees for this one

// A payload key that may be left out: the default when it is absent, nothing when it is there and not a string.
std::optional<std::string_view> TextOr(const Value& payload, std::string_view key, std::string_view fallback) {
  const Value value = payload[key];
  if (!value.present()) return fallback;
  return value.AsString();
}

std::optional<std::string> CanonicalAddress(const Value& value) {
  const auto text = value.AsString();
  if (!text) return std::nullopt;
  const auto address = IpAddress::Parse(*text);
  if (!address.ok()) return std::nullopt;
  return address->ToString();
}

// ADDRESS/LENGTH in any spelling; host bits are cleared.
std::optional<std::string> CanonicalPrefix(const Value& value) {
  const auto text = value.AsString();
  if (!text) return std::nullopt;
  const std::size_t slash = text->find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const std::string_view digits = text->substr(slash + 1);
  if (digits.empty() || digits.size() > 3 || (digits.size() > 1 && digits.front() == '0')) return std::nullopt;
  int length = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  const auto address = IpAddress::Parse(text->substr(0, slash));
  if (!address.ok()) return std::nullopt;
  const auto prefix = Prefix::Make(*address, length);
  if (!prefix.ok()) return std::nullopt;
  return prefix->ToString();
}

void OutOfScope(Statement& out) {
  out.flags |= kScopeViolation;
  out.what = What::kOther;
}

// Router and VRF, which all subjects of the BGP domain begin with. False: there is no subject.
bool ReadRouter(const Registration& registration, const Value& payload, Statement& out) {
  const auto router_id = payload["router_id"].AsString();
  const auto vrf = TextOr(payload, "vrf", kDefaultVrf);
  if (!router_id || !vrf) return false;
  for (const RouterScope& router : registration.routers) {
    if (std::find(router.bgp_ids.begin(), router.bgp_ids.end(), *router_id) == router.bgp_ids.end()) continue;
    const bool covered = router.vrfs.empty()
                             ? *vrf == kDefaultVrf
                             : std::find(router.vrfs.begin(), router.vrfs.end(), *vrf) != router.vrfs.end();
    if (!covered) break;
    out.router = router.name;
    out.vrf = *vrf;
    return true;
  }
  OutOfScope(out);
  return false;
}

bool ReadPeer(const Value& payload, Statement& out) {
  auto peer = CanonicalAddress(payload["peer_addr"]);
  if (!peer) return false;
  out.peer = *std::move(peer);
  return true;
}

bool ReadPrefix(const Value& payload, Statement& out) {
  auto prefix = CanonicalPrefix(payload["prefix"]);
  if (!prefix) return false;
  out.prefix = *std::move(prefix);
  return true;
}

bool IsUnicast(const Value& payload) {
  const Value safi = payload["safi"];
  return !safi.present() || safi.AsUnsigned() == kUnicast;
}

// Types 1 and 2.
void ReadPeerStatement(Type type, const Value& payload, Statement& out) {
  if (!ReadPeer(payload, out)) return;
  out.subject = PeerSubject(out.router, out.vrf, out.peer);
  if (type == Type::kPeerBackwardTransition) {
    if (payload["last_state"].AsString() == kEstablished) out.what = What::kPeerDown;
    return;
  }
  const auto state = payload["new_state"].AsString();
  if (!state || state->empty() || state->size() > kMaxState) return;
  out.what = What::kPeerState;
  out.state = *state;
}

// Type 3: one path, or a whole table: stated complete, or summarised.
void ReadPathStatement(const Value& payload, Statement& out) {
  const auto rib = TextOr(payload, "rib", kDefaultRib);
  if (!rib || !IsRibName(*rib) || !ReadPeer(payload, out)) return;
  out.rib = *rib;
  const auto event = payload["event"].AsString();
  if (event == "table_complete" || event == "routes_summarised") {
    out.subject = TableSubject(out.router, out.vrf, out.rib, out.peer);
    if (!payload["rib"].present() || payload["prefix"].present() || !IsUnicast(payload)) return;
    out.what = event == "table_complete" ? What::kTableComplete : What::kTableSummary;
    out.open = out.what == What::kTableSummary && payload["open"].AsBool().value_or(true);
    return;
  }
  const Value path_id = payload["path_id"];
  const auto id = path_id.present() ? path_id.AsUnsigned() : std::optional<std::uint64_t>(0);
  if (!id || *id > 0xffff'ffff || !ReadPrefix(payload, out)) return;
  out.path_id = *id;
  out.subject = PathSubject(out.router, out.vrf, out.rib, out.peer, out.prefix, out.path_id);
  if (!IsUnicast(payload)) return;
  if (event == "route_announce") out.what = What::kPathPresent;
  if (event == "route_withdraw") out.what = What::kPathAbsent;
}

// Type 4.
void ReadBestPath(const Value& payload, Statement& out) {
  if (!ReadPrefix(payload, out)) return;
  out.subject = BestSubject(out.router, out.vrf, out.prefix);
  const Value::Kind best = payload["new"].kind();
  if (!IsUnicast(payload) || (best != Value::Kind::kObject && best != Value::Kind::kNull)) return;
  out.what = What::kBestPath;
  out.best_exists = best == Value::Kind::kObject;
}

void ReadBgp(const Registration& registration, Type type, const Value& payload, Statement& out) {
  if (!ReadRouter(registration, payload, out)) return;
  if (type == Type::kBgpProcess) return ReadPathStatement(payload, out);
  if (type == Type::kBgpRouteUpdate) return ReadBestPath(payload, out);
  ReadPeerStatement(type, payload, out);
}

// Types 19, 22, 23, 25 and 26: about the source that the payload names.
void ReadAboutSource(Type type, const Value& payload, Statement& out) {
  const auto source = payload["source"].AsString();
  if (!source || !CheckOrigin(*source).ok()) return;
  out.subject = SourceSubject(*source);
  switch (type) {
    case Type::kKeyEvent:
      out.what = What::kKeyEvent;
      break;
    case Type::kGap:
      out.what = What::kGap;
      break;
    case Type::kChannelAlarm:
      out.what = What::kAlarm;
      break;
    case Type::kSourceEvent:
      out.what = What::kSourceEvent;
      break;
    default:
      out.what = What::kAlarmCleared;
      break;
  }
}

bool IsPlainText(std::string_view text) {
  return !text.empty() && text.size() <= kMaxSubjectKey && std::none_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
}

// Everything else: "<domain>/<value of subject>", inside one of the registered prefixes. Subjects of routers and
// sources cannot be written this way: CheckRegistration takes no such prefix.
void ReadOther(const Registration& registration, const Value& payload, Statement& out) {
  const auto domain = payload["domain"].AsString();
  const auto key = payload["subject"].AsString();
  if (!domain || !key || !CheckSourceName(*domain).ok() || !IsPlainText(*key)) return;
  std::string subject;
  subject.reserve(domain->size() + 1 + key->size());
  subject.append(*domain).append("/").append(*key);
  const auto& prefixes = registration.subject_prefixes;
  const bool covered = std::any_of(prefixes.begin(), prefixes.end(), [&](const std::string& prefix) {
    return std::string_view(subject).starts_with(prefix);
  });
  if (!covered) return OutOfScope(out);
  out.subject = std::move(subject);
}

template <typename... Parts>
std::string Join(std::string_view first, Parts... parts) {
  std::string out;
  out.reserve(first.size() + (... + parts.size()) + sizeof...(parts));
  out.append(first);
  (out.append("/").append(parts), ...);
  return out;
}

}  // namespace

std::uint64_t SubjectIdOf(std::string_view subject) {
  const Hash hash = crypto::Sha256(subject);
  return LoadBe<std::uint64_t>(View(hash).data());
}

std::string PeerSubject(std::string_view router, std::string_view vrf, std::string_view peer) {
  return Join("bgp", router, vrf, std::string_view("peer"), peer);
}

std::string PathSubject(std::string_view router, std::string_view vrf, std::string_view rib, std::string_view peer,
                        std::string_view prefix, std::uint64_t path_id) {
  char digits[20];
  const char* end = std::to_chars(digits, digits + sizeof(digits), path_id).ptr;
  return Join("bgp", router, vrf, rib, peer, prefix, std::string_view(digits, static_cast<std::size_t>(end - digits)));
}

std::string TableSubject(std::string_view router, std::string_view vrf, std::string_view rib, std::string_view peer) {
  return Join("bgp", router, vrf, rib, peer);
}

std::string BestSubject(std::string_view router, std::string_view vrf, std::string_view prefix) {
  return Join("bgp", router, vrf, std::string_view("best"), prefix);
}

std::string SourceSubject(std::string_view source) {
  return Join("source", source);
}

bool IsRibName(std::string_view rib) {
  return std::find(std::begin(kRibs), std::end(kRibs), rib) != std::end(kRibs);
}

std::uint64_t SubjectUnder(const Statement& statement, std::uint8_t result) {
  return (result & (kScopeViolation | kOpaque)) != 0 ? 0 : statement.subject_id;
}

Statement ReadStatement(const Registration& registration, Type type, const std::optional<Value>& payload) {
  Statement out;
  if (!payload) {
    out.flags = kOpaque;
    return out;
  }
  out.restated = (*payload)["restated"].AsBool().value_or(false);
  switch (type) {
    case Type::kPeerStatusChanged:
    case Type::kPeerBackwardTransition:
    case Type::kBgpProcess:
    case Type::kBgpRouteUpdate:
      ReadBgp(registration, type, *payload, out);
      break;
    case Type::kHeartbeat:
      out.subject = SourceSubject(registration.source);
      out.what = What::kHeartbeat;
      break;
    case Type::kKeyEvent:
    case Type::kGap:
    case Type::kChannelAlarm:
    case Type::kSourceEvent:
    case Type::kAlarmCleared:
      ReadAboutSource(type, *payload, out);
      break;
    default:
      ReadOther(registration, *payload, out);
  }
  if (!out.subject.empty()) out.subject_id = SubjectIdOf(out.subject);
  return out;
}

}  // namespace virp::chain
