#include "services/onode/transport/source_wire.h"

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/crypto/sha256.h"
#include "lib/service/wire.h"
#include "services/onode/transport/wire.h"

namespace virp::onode {
namespace {

namespace pb = ::virp::source::v1;

constexpr int kMaxMissing = 100;

void FillKeys(const chain::Source& source, pb::Source& out) {
  for (const auto& [version, state] : source.keys) {
    pb::Key& key = *out.add_keys();
    key.set_version(version);
    key.set_suite(static_cast<pb::Suite>(state.statement.suite));
    key.set_public_key(state.statement.public_key);
    key.set_commitment(state.statement.commitment);
    *key.mutable_accept_from() = service::TimestampOf(state.statement.accept_from);
    if (state.statement.accept_until) *key.mutable_accept_until() = service::TimestampOf(*state.statement.accept_until);
    if (state.sign_until) *key.mutable_sign_until() = service::TimestampOf(*state.sign_until);
    if (state.compromised_since) *key.mutable_compromised_since() = service::TimestampOf(*state.compromised_since);
  }
}

void FillChannel(const chain::Channel& channel, pb::Source& out) {
  out.set_channel_state(std::string(chain::ChannelStateName(channel.State())));
  for (const auto& [cause, alarm] : channel.alarms) {
    pb::Alarm& to = *out.add_alarms();
    to.set_cause(cause);
    to.set_state(std::string(chain::ChannelStateName(alarm.state)));
    to.set_entry(alarm.entry);
    to.set_count(alarm.count);
  }
  out.set_newest_epoch(channel.newest_epoch);
  out.set_held(channel.held);
  out.set_clock_offset_ns(channel.clock_offset_ns);
  if (channel.last_entry != chain::kNone) out.set_newest_entry(channel.last_entry);
  for (const auto& [epoch, state] : channel.epochs) {
    if (epoch == channel.newest_epoch) out.set_next_sequence(state.next);
    for (const chain::MissingRange& range : state.missing) {
      if (out.missing_size() < kMaxMissing) out.add_missing(fmt::format("{}:{}-{}", epoch, range.from, range.to));
    }
  }
}

}  // namespace

absl::StatusOr<chain::Registration> RegistrationOf(const pb::Source& message) {
  chain::Registration registration;
  registration.source = message.name();
  if (message.suite() != pb::SUITE_HMAC_SHA256 && message.suite() != pb::SUITE_ED25519)
    return InvalidField("source.suite", "is not given");
  registration.key.suite = static_cast<frame::Suite>(message.suite());
  registration.key.version = message.key_version() == 0 ? 1 : message.key_version();
  if (message.min_frame_version() > 2) return InvalidField("source.min_frame_version", "is neither 1 nor 2");
  registration.min_frame_version =
      static_cast<std::uint8_t>(message.min_frame_version() == 0 ? 2 : message.min_frame_version());
  if (message.vantage() < pb::VANTAGE_DAEMON || message.vantage() > pb::VANTAGE_SERVICE)
    return InvalidField("source.vantage", "is not given");
  registration.vantage = static_cast<chain::Vantage>(message.vantage() - pb::VANTAGE_DAEMON);
  for (const std::uint32_t type : message.types()) {
    if (type < 1 || type > 255) return InvalidField("source.types", fmt::format("{} is no observation type", type));
    registration.types.push_back(static_cast<std::uint8_t>(type));
  }
  for (const pb::Router& from : message.routers()) {
    chain::RouterScope& to = registration.routers.emplace_back();
    to.name = from.name();
    to.bgp_ids.assign(from.bgp_ids().begin(), from.bgp_ids().end());
    to.addresses.assign(from.addresses().begin(), from.addresses().end());
    to.vrfs.assign(from.vrfs().begin(), from.vrfs().end());
    if (to.vrfs.empty()) to.vrfs.emplace_back("default");
  }
  registration.subject_prefixes.assign(message.subject_prefixes().begin(), message.subject_prefixes().end());
  registration.carried_by.assign(message.carried_by().begin(), message.carried_by().end());
  return registration;
}

std::string EtagOf(const chain::Source& source) {
  chain::SourceEvent event;
  event.source = source.registration.source;
  event.registration = source.registration;
  const Hash hash =
      crypto::Sha256(fmt::format("{} {} {}", chain::BuildSourceEvent(event), source.suspended, source.keys.size()));
  return HexEncode(View(hash).substr(0, 8));
}

pb::Source MessageOf(const chain::Source& source, const chain::Channel* channel) {
  pb::Source out;
  const chain::Registration& registration = source.registration;
  out.set_name(registration.source);
  out.set_suite(static_cast<pb::Suite>(registration.key.suite));
  out.set_key_version(registration.key.version);
  out.set_min_frame_version(registration.min_frame_version);
  out.set_vantage(static_cast<pb::Vantage>(static_cast<int>(registration.vantage) + pb::VANTAGE_DAEMON));
  for (const std::uint8_t type : registration.types) out.add_types(type);
  for (const chain::RouterScope& from : registration.routers) {
    pb::Router& to = *out.add_routers();
    to.set_name(from.name);
    for (const std::string& id : from.bgp_ids) to.add_bgp_ids(id);
    for (const std::string& address : from.addresses) to.add_addresses(address);
    for (const std::string& vrf : from.vrfs) to.add_vrfs(vrf);
  }
  for (const std::string& prefix : registration.subject_prefixes) out.add_subject_prefixes(prefix);
  for (const std::string& carrier : registration.carried_by) out.add_carried_by(carrier);
  out.set_etag(EtagOf(source));
  out.set_suspended(source.suspended);
  out.set_channel_state("OK");
  FillKeys(source, out);
  if (channel != nullptr) FillChannel(*channel, out);
  return out;
}

}  // namespace virp::onode
