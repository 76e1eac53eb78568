#include "services/keymgr/transport/tcp_ao_wire.h"

#include <google/protobuf/duration.pb.h>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/service/wire.h"

namespace virp::keymgr {
namespace {

constexpr std::int64_t kMostSeconds = 100LL * 366 * 86'400;
constexpr std::size_t kMaxAgent = 2'048;  // a SPIFFE id

absl::StatusOr<UnixNanos> NanosOf(const google::protobuf::Duration& duration, std::string_view field) {
  if (duration.seconds() < 0 || duration.seconds() > kMostSeconds || duration.nanos() < 0 ||
      duration.nanos() >= static_cast<std::int32_t>(kSecond)) {
    return InvalidField(field, "is negative, or longer than a century");
  }
  return static_cast<UnixNanos>(duration.seconds()) * kSecond + static_cast<UnixNanos>(duration.nanos());
}

void Fill(google::protobuf::Duration& to, UnixNanos nanos) {
  to.set_seconds(static_cast<std::int64_t>(nanos / kSecond));
  to.set_nanos(static_cast<std::int32_t>(nanos % kSecond));
}

absl::StatusOr<std::uint8_t> IdOf(std::uint32_t id, std::string_view field) {
  if (id > 255) return InvalidField(field, fmt::format("is {}; identifiers are 0 to 255", id));
  return static_cast<std::uint8_t>(id);
}

absl::StatusOr<TcpAoSide> SideOf(const v1::TcpAoSide& side, std::string_view field) {
  TcpAoSide out{side.device(), {}, side.agent()};
  const auto address = IpAddress::Parse(side.address());
  if (!address.ok()) return InvalidField(fmt::format("{}.address", field), Message(address.status()));
  out.address = *address;
  if (side.agent().size() > kMaxAgent || (!side.agent().empty() && !side.agent().starts_with("spiffe://")))
    return InvalidField(fmt::format("{}.agent", field), "is no SPIFFE id");
  return out;
}

void Fill(v1::TcpAoTuple& to, const TcpAoTuple& tuple) {
  to.set_version(tuple.version);
  to.set_from_a(tuple.ids.from_a);
  to.set_from_b(tuple.ids.from_b);
}

void Fill(v1::TcpAoView& to, const TcpAoView& view) {
  if (view.at == 0) return;
  *to.mutable_reported_at() = service::TimestampOf(view.at);
  to.set_serial(view.serial);
  to.set_has_old(view.has_old);
  to.set_has_new(view.has_new);
  to.set_sessions(view.sessions);
  to.set_all_ask(view.all_ask);
  to.set_all_current(view.all_current);
  to.set_good(view.good);
  to.set_bad(view.bad);
}

void Fill(v1::TcpAoRollover& to, const TcpAoRoll& roll, UnixNanos now) {
  to.set_phase(static_cast<v1::TcpAoPhase>(roll.phase));
  to.set_serial(roll.serial);
  if (roll.old_key.has_value()) Fill(*to.mutable_old_key(), *roll.old_key);
  Fill(*to.mutable_new_key(), roll.new_key);
  *to.mutable_started() = service::TimestampOf(roll.started);
  *to.mutable_use_from() = service::TimestampOf(roll.use_from);
  *to.mutable_deadline() = service::TimestampOf(roll.deadline);
  to.set_overdue(IsOverdue(roll, now));
  for (const std::string& what : Missing(roll, now)) to.add_missing(what);
  Fill(*to.mutable_a(), roll.view(TcpAoEnd::kA));
  Fill(*to.mutable_b(), roll.view(TcpAoEnd::kB));
  to.set_forced_current(roll.force_current);
  to.set_forced_removal(roll.forced_removal);
}

v1::TcpAoAlgorithm AlgorithmOf(const TcpAoPair& pair) {
  return static_cast<v1::TcpAoAlgorithm>(pair.algorithm);
}

static_assert(v1::TCP_AO_ALGORITHM_AES_128_CMAC_96 == static_cast<int>(TcpAoAlgorithm::kAes128Cmac96));
static_assert(v1::TCP_AO_PHASE_PENDING == static_cast<int>(TcpAoPhase::kPending));
static_assert(v1::TCP_AO_PHASE_OLD_REMOVED == static_cast<int>(TcpAoPhase::kOldRemoved));
static_assert(v1::TCP_AO_PHASE_ABORTED == static_cast<int>(TcpAoPhase::kAborted));
static_assert(v1::TCP_AO_FORCE_REMOVAL == static_cast<int>(TcpAoForce::kRemoval));
static_assert(v1::TCP_AO_FORMAT_BIRD == static_cast<int>(TcpAoFormat::kBird));
static_assert(v1::TCP_AO_FORMAT_RFC8177 == static_cast<int>(TcpAoFormat::kRfc8177));

}  // namespace

absl::StatusOr<TcpAoPair> PairOf(const v1::TcpAoPair& pair) {
  TcpAoPair out;
  out.id = pair.id();
  ASSIGN_OR_RETURN(out.sides[0], SideOf(pair.a(), "pair.a"));
  ASSIGN_OR_RETURN(out.sides[1], SideOf(pair.b(), "pair.b"));
  if (pair.algorithm() != v1::TCP_AO_ALGORITHM_UNSPECIFIED) {
    if (!v1::TcpAoAlgorithm_IsValid(pair.algorithm())) return InvalidField("pair.algorithm", "is not known");
    out.algorithm = static_cast<TcpAoAlgorithm>(pair.algorithm());
  }
  out.covers_options = !pair.excludes_options();
  if (pair.octets() != 0) out.octets = pair.octets();
  if (pair.has_hold()) {
    ASSIGN_OR_RETURN(out.hold, NanosOf(pair.hold(), "pair.hold"));
  }
  if (pair.has_roll_within()) {
    ASSIGN_OR_RETURN(out.deadline, NanosOf(pair.roll_within(), "pair.roll_within"));
  }
  if (pair.has_quarantine()) {
    ASSIGN_OR_RETURN(out.quarantine, NanosOf(pair.quarantine(), "pair.quarantine"));
  }
  return out;
}

absl::StatusOr<TcpAoEnd> EndOf(v1::TcpAoEnd end) {
  if (end == v1::TCP_AO_END_A) return TcpAoEnd::kA;
  if (end == v1::TCP_AO_END_B) return TcpAoEnd::kB;
  return InvalidField("end", "is neither A nor B");
}

absl::StatusOr<TcpAoForce> ForceOf(v1::TcpAoForce force) {
  if (force == v1::TCP_AO_FORCE_CURRENT) return TcpAoForce::kCurrent;
  if (force == v1::TCP_AO_FORCE_REMOVAL) return TcpAoForce::kRemoval;
  return InvalidField("force", "is neither CURRENT nor REMOVAL");
}

absl::StatusOr<TcpAoFormat> FormatOf(v1::TcpAoFormat format) {
  if (format == v1::TCP_AO_FORMAT_UNSPECIFIED || !v1::TcpAoFormat_IsValid(format))
    return InvalidField("format", "is none of BIRD, JUNOS, IOS_XE, RFC8177");
  return static_cast<TcpAoFormat>(format);
}

absl::StatusOr<TcpAoReport> ReportOf(const v1::ReportTcpAoEndRequest& request) {
  if (static_cast<std::size_t>(request.keys_size()) > kMaxReportedKeys)
    return InvalidField("keys", fmt::format("has {}; at most {}", request.keys_size(), kMaxReportedKeys));
  if (static_cast<std::size_t>(request.sessions_size()) > kMaxReportedSessions)
    return InvalidField("sessions", fmt::format("has {}; at most {}", request.sessions_size(), kMaxReportedSessions));
  TcpAoReport report;
  report.serial = request.serial();
  for (const v1::TcpAoReportedKey& key : request.keys()) {
    ASSIGN_OR_RETURN(const std::uint8_t send_id, IdOf(key.send_id(), "keys.send_id"));
    ASSIGN_OR_RETURN(const std::uint8_t recv_id, IdOf(key.recv_id(), "keys.recv_id"));
    report.keys.push_back({send_id, recv_id, key.good(), key.bad()});
  }
  for (const v1::TcpAoReportedSession& session : request.sessions()) {
    ASSIGN_OR_RETURN(const std::uint8_t current, IdOf(session.current_send_id(), "sessions.current_send_id"));
    ASSIGN_OR_RETURN(const std::uint8_t rnext, IdOf(session.rnext_recv_id(), "sessions.rnext_recv_id"));
    report.sessions.push_back({current, rnext});
  }
  ASSIGN_OR_RETURN(report.asked_for, NanosOf(request.asked_for(), "asked_for"));
  return report;
}

void Fill(v1::TcpAoPair& to, const TcpAoPairRecord& record, UnixNanos now) {
  const TcpAoPair& pair = record.pair;
  to.set_id(pair.id);
  for (const TcpAoEnd end : {TcpAoEnd::kA, TcpAoEnd::kB}) {
    v1::TcpAoSide& side = end == TcpAoEnd::kA ? *to.mutable_a() : *to.mutable_b();
    side.set_device(pair.side(end).device);
    side.set_address(pair.side(end).address.ToString());
    side.set_agent(pair.side(end).agent);
  }
  to.set_algorithm(AlgorithmOf(pair));
  to.set_excludes_options(!pair.covers_options);
  to.set_octets(pair.octets);
  Fill(*to.mutable_hold(), pair.hold);
  Fill(*to.mutable_roll_within(), pair.deadline);
  Fill(*to.mutable_quarantine(), pair.quarantine);
  Fill(*to.mutable_rollover(), record.roll, now);
  for (const TcpAoPairRecord::Key& key : record.keys) Fill(*to.add_keys(), key.tuple);
  *to.mutable_created() = service::TimestampOf(record.created);
}

void Fill(v1::GetTcpAoPlanResponse& to, const TcpAoPlan& plan, const TcpAoPair& pair, TcpAoEnd end) {
  to.set_serial(plan.serial);
  for (const TcpAoTuple& tuple : plan.keys) {
    v1::TcpAoPlannedKey& key = *to.add_keys();
    key.set_version(tuple.version);
    key.set_send_id(tuple.ids.SendId(end));
    key.set_recv_id(tuple.ids.RecvId(end));
  }
  to.set_preferred(plan.preferred);
  to.set_set_current(plan.set_current);
  to.set_algorithm(AlgorithmOf(pair));
  to.set_excludes_options(!pair.covers_options);
  to.set_local_address(pair.side(end).address.ToString());
  to.set_peer_address(pair.side(Other(end)).address.ToString());
}

}  // namespace virp::keymgr
