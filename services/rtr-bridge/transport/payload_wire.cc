#include "services/rtr-bridge/transport/payload_wire.h"

#include <algorithm>

#include "lib/base/ip.h"
#include "lib/base/status.h"

namespace virp::rtr_bridge {
namespace {

namespace pb = ::virp::rtr::v1;

template <typename V>
void VrpToMessage(const V& vrp, pb::Vrp& message) {
  message.set_prefix(vrp::PrefixOf(vrp).ToString());
  message.set_max_length(vrp.max_length);
  message.set_asn(vrp.as);
  message.set_expires(vrp.expires);
}

}  // namespace

void ToMessage(const vrp::Vrp4& vrp, pb::Vrp& message) {
  VrpToMessage(vrp, message);
}
void ToMessage(const vrp::Vrp6& vrp, pb::Vrp& message) {
  VrpToMessage(vrp, message);
}
void ToMessage(const vrp::RouterKey& key, pb::RouterKey& message) {
  message.set_ski(key.ski.data(), key.ski.size());
  message.set_asn(key.as);
  message.set_spki(key.spki);
  message.set_expires(key.expires);
}
void ToMessage(const vrp::Aspa& aspa, pb::Aspa& message) {
  message.set_customer(aspa.customer);
  message.mutable_providers()->Add(aspa.providers.begin(), aspa.providers.end());
  message.set_expires(aspa.expires);
}

namespace {

absl::Status AddVrpsAndKeys(const pb::PayloadSet& set, vrp::Builder& builder) {
  for (const pb::Vrp& vrp : set.vrps()) {
    const auto prefix = Prefix::Parse(vrp.prefix());
    if (!prefix.ok()) return prefix.status();
    RETURN_IF_ERROR(builder.Add(*prefix, vrp.max_length(), vrp.asn(), vrp.expires()));
  }
  for (const pb::RouterKey& message : set.router_keys()) {
    vrp::RouterKey key;
    if (message.ski().size() != key.ski.size()) return InvalidArgument("an SKI has {} bytes", key.ski.size());
    std::copy(message.ski().begin(), message.ski().end(), key.ski.begin());
    key.as = message.asn();
    key.expires = message.expires();
    key.spki = message.spki();
    RETURN_IF_ERROR(builder.Add(std::move(key)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status AddMessage(const pb::PayloadSet& set, vrp::Builder& builder) {
  RETURN_IF_ERROR(AddVrpsAndKeys(set, builder));
  for (const pb::Aspa& message : set.aspas()) {
    RETURN_IF_ERROR(builder.Add(vrp::Aspa{.customer = message.customer(),
                                          .expires = message.expires(),
                                          .providers = {message.providers().begin(), message.providers().end()}}));
  }
  return absl::OkStatus();
}

absl::Status AddWithdrawn(const pb::PayloadSet& set, vrp::Builder& builder) {
  RETURN_IF_ERROR(AddVrpsAndKeys(set, builder));
  for (const pb::Aspa& message : set.aspas())
    RETURN_IF_ERROR(builder.Add(vrp::Aspa{.customer = message.customer(), .providers = {0}}));
  return absl::OkStatus();
}

}  // namespace virp::rtr_bridge
