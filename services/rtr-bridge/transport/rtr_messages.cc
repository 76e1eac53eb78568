#include "services/rtr-bridge/transport/rtr_messages.h"

#include "lib/base/status.h"
#include "lib/base/units.h"
#include "lib/base/utf8.h"
#include "lib/service/wire.h"

namespace virp::rtr_bridge {
namespace {

namespace pb = ::virp::rtr::v1;
using service::TimestampOf;

pb::Transport TransportOf(Transport transport) {
  switch (transport) {
    case Transport::kTcp:
      return pb::TRANSPORT_TCP;
    case Transport::kTcpMd5:
      return pb::TRANSPORT_TCP_MD5;
    case Transport::kTcpAo:
      return pb::TRANSPORT_TCP_AO;
    case Transport::kTls:
      return pb::TRANSPORT_TLS;
    case Transport::kSsh:
      return pb::TRANSPORT_SSH;
  }
  return pb::TRANSPORT_UNSPECIFIED;
}

void AddHashes(const std::vector<NamedHash>& from, google::protobuf::RepeatedPtrField<pb::SourceHash>& to) {
  for (const NamedHash& one : from) {
    pb::SourceHash& hash = *to.Add();
    hash.set_name(ToUtf8(one.name));
    hash.set_sha256(std::string(View(one.sha256)));
  }
}

void AddVrps(const std::vector<vrp::CoveringVrp>& from, google::protobuf::RepeatedPtrField<pb::Vrp>& to) {
  for (const vrp::CoveringVrp& one : from) {
    pb::Vrp& vrp = *to.Add();
    vrp.set_prefix(one.prefix.ToString());
    vrp.set_max_length(static_cast<std::uint32_t>(one.max_length));
    vrp.set_asn(one.as);
  }
}

std::string LastError(const RouterView& view) {
  const auto& error = view.state.error_received ? view.state.error_received : view.state.error_sent;
  if (!error) return view.close_reason;
  return std::string(rtr::ErrorCodeName(error->code)) + ": " + error->text;
}

}  // namespace

void ToMessage(const Counts& counts, pb::Counts& message) {
  message.set_vrps_ipv4(static_cast<std::int64_t>(counts.vrps4));
  message.set_vrps_ipv6(static_cast<std::int64_t>(counts.vrps6));
  message.set_router_keys(static_cast<std::int64_t>(counts.router_keys));
  message.set_aspas(static_cast<std::int64_t>(counts.aspas));
}

void ToMessage(const Generation& generation, pb::Generation& message) {
  message.set_generation(generation.number);
  *message.mutable_activated() = TimestampOf(generation.activated);
  ToMessage(generation.counts, *message.mutable_counts());
  message.set_sha256(std::string(View(generation.sha256)));
  for (std::uint32_t version = 0; version < generation.serials.size(); ++version) {
    pb::VersionSerial& serial = *message.add_serials();
    serial.set_version(version);
    serial.set_session_id(generation.serials[version].session);
    serial.set_serial(generation.serials[version].serial);
  }
  message.set_announced(static_cast<std::int64_t>(generation.announced));
  message.set_withdrawn(static_cast<std::int64_t>(generation.withdrawn));
  AddHashes(generation.sources, *message.mutable_sources());
  AddHashes(generation.slurm, *message.mutable_slurm());
}

void ToMessage(const HeldGeneration& held, pb::HeldGeneration& message) {
  message.set_generation(held.number);
  *message.mutable_since() = TimestampOf(held.since);
  if (held.until) *message.mutable_until() = TimestampOf(*held.until);
  for (const std::string& reason : held.reasons) message.add_reasons(ToUtf8(reason));
  ToMessage(held.counts, *message.mutable_counts());
  message.set_sha256(std::string(View(held.sha256)));
}

void ToMessage(const SourceState& source, UnixNanos now, pb::SourceStatus& message) {
  message.set_name(ToUtf8(source.name));
  message.set_location(ToUtf8(source.location));
  if (!source.problem.ok()) message.set_problem(ToUtf8(Message(source.problem)));
  if (source.last_good) *message.mutable_last_good() = TimestampOf(*source.last_good);
  if (source.last_attempt) *message.mutable_last_attempt() = TimestampOf(*source.last_attempt);
  message.set_expired(source.expired_at(now));
  if (!source.reading) return;
  if (source.reading->built) *message.mutable_built() = TimestampOf(*source.reading->built);
  message.set_sha256(std::string(View(source.reading->sha256)));
  message.set_left_out(static_cast<std::int64_t>(source.reading->left_out));
  for (const std::string& problem : source.reading->problems) message.add_left_out_problems(ToUtf8(problem));
  message.set_signature_verified(source.reading->signature_verified);
  ToMessage(Counts::Of(*source.reading->payloads), *message.mutable_counts());
}

void ToMessage(const RouterView& view, pb::RouterSession& message) {
  message.set_connection(view.name.connection);
  message.set_peer(FormatHostPort({view.name.peer, view.name.port}));
  message.set_listener(view.listener);
  message.set_transport(TransportOf(view.name.transport));
  message.set_identity(ToUtf8(view.name.identity));
  const rtr::ServerSessionState& state = view.state;
  if (state.version) message.set_version(*state.version);
  if (state.sent) {
    message.set_session_id(state.sent->session);
    message.set_sent_serial(state.sent->serial);
    message.set_sent_sha256(std::string(View(state.sent->hash)));
  }
  if (state.confirmed) message.set_confirmed_serial(state.confirmed->serial);
  if (view.lag) message.set_lag(*view.lag);
  *message.mutable_connected() = TimestampOf(view.connected);
  *message.mutable_last_heard() = TimestampOf(view.last_heard);
  if (view.closed) *message.mutable_closed() = TimestampOf(*view.closed);
  message.set_bytes_received(state.bytes_in);
  message.set_bytes_sent(state.bytes_out);
  message.set_bytes_queued(view.queued);
  message.set_reset_queries(state.pdus_in[static_cast<std::size_t>(rtr::PduType::kResetQuery)]);
  message.set_serial_queries(state.pdus_in[static_cast<std::size_t>(rtr::PduType::kSerialQuery)]);
  message.set_cache_resets(state.cache_resets);
  message.set_last_error(ToUtf8(LastError(view)));
}

void ToMessage(const Prefix& route, std::uint32_t origin, const vrp::RouteValidity& validity,
               pb::RouteValidity& message) {
  message.mutable_route()->set_prefix(route.ToString());
  message.mutable_route()->set_origin_asn(origin);
  using State = vrp::RouteState;
  message.set_state(validity.answer.state == State::kValid     ? pb::VALIDITY_STATE_VALID
                    : validity.answer.state == State::kInvalid ? pb::VALIDITY_STATE_INVALID
                                                               : pb::VALIDITY_STATE_NOT_FOUND);
  using Reason = vrp::InvalidReason;
  message.set_reason(validity.answer.reason == Reason::kAs       ? pb::INVALID_REASON_AS
                     : validity.answer.reason == Reason::kLength ? pb::INVALID_REASON_LENGTH
                                                                 : pb::INVALID_REASON_UNSPECIFIED);
  AddVrps(validity.matched, *message.mutable_matched());
  AddVrps(validity.unmatched_as, *message.mutable_unmatched_as());
  AddVrps(validity.unmatched_length, *message.mutable_unmatched_length());
  message.set_left_out(validity.left_out);
}

pb::ServingState ToMessage(ServingState state) {
  switch (state) {
    case ServingState::kNothing:
      return pb::SERVING_STATE_NOTHING;
    case ServingState::kCurrent:
      return pb::SERVING_STATE_CURRENT;
    case ServingState::kStale:
      return pb::SERVING_STATE_STALE;
    case ServingState::kStopped:
      return pb::SERVING_STATE_STOPPED;
  }
  return pb::SERVING_STATE_UNSPECIFIED;
}

pb::MergePolicy ToMessage(MergePolicy policy) {
  switch (policy) {
    case MergePolicy::kUnion:
      return pb::MERGE_POLICY_UNION;
    case MergePolicy::kFirstGood:
      return pb::MERGE_POLICY_FIRST_GOOD;
    case MergePolicy::kQuorum:
      return pb::MERGE_POLICY_QUORUM;
  }
  return pb::MERGE_POLICY_UNSPECIFIED;
}

}  // namespace virp::rtr_bridge
