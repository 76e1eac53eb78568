#include "services/rtr-bridge/transport/listeners_file.h"

#include <map>

#include "lib/base/status.h"
#include "lib/service/json_fields.h"
#include "lib/service/strict_json.h"

namespace virp::rtr_bridge {
namespace {

using nlohmann::json;
using service::MemberAt;
using service::ReadMember;

absl::Status ReadVersion(const json& object, const char* key, const std::string& where, std::uint8_t& value) {
  RETURN_IF_ERROR(ReadMember(object, key, where, value));
  if (value > rtr::kMaxVersion) return InvalidArgument("{}: must be 0, 1 or 2", MemberAt(where, key));
  return absl::OkStatus();
}

absl::Status ReadKey(const json& item, const std::string& where, const IpAddress& peer, ListenerOptions& listener) {
  PeerKey key;
  key.peer = peer;
  std::string md5, ao;
  RETURN_IF_ERROR(ReadMember(item, "md5_key_file", where, md5));
  RETURN_IF_ERROR(ReadMember(item, "ao_key_file", where, ao));
  if (md5.empty() && ao.empty()) return absl::OkStatus();
  if (!md5.empty() && !ao.empty()) return InvalidArgument("{}: either md5_key_file or ao_key_file", where);
  if (listener.kind != ListenerKind::kTcp) return InvalidArgument("{}: keys are of transport tcp", where);
  key.key_file = md5.empty() ? ao : md5;
  if (!ao.empty()) {
    key.algorithm = "hmac-sha-1-96";
    RETURN_IF_ERROR(ReadMember(item, "ao_algorithm", where, key.algorithm));
    RETURN_IF_ERROR(ReadMember(item, "ao_send_id", where, key.send_id));
    RETURN_IF_ERROR(ReadMember(item, "ao_recv_id", where, key.recv_id));
    if (!KernelHasTcpAo())
      return InvalidArgument("{}: this kernel has no TCP-AO (Linux 6.7 with CONFIG_TCP_AO): use MD5, TLS or SSH",
                             where);
  }
  for (const PeerKey& other : listener.keys) {
    if (other.peer != peer) continue;
    const bool other_ids = other.send_id != key.send_id && other.recv_id != key.recv_id;
    if (other.algorithm.empty() || key.algorithm.empty() || !other_ids) {
      return InvalidArgument("{}: {} has a key already; only keys of TCP-AO with other ids stand beside each other",
                             where, peer.ToString());
    }
  }
  listener.keys.push_back(std::move(key));
  return absl::OkStatus();
}

absl::Status ParsePeer(const json& item, const std::string& where, ListenerOptions& listener) {
  RETURN_IF_ERROR(service::CheckObject(item,
                                       {"peers", "min_version", "max_version", "md5_key_file", "ao_key_file",
                                        "ao_algorithm", "ao_send_id", "ao_recv_id"},
                                       where));
  std::vector<Prefix> peers;
  // One router may be named by its address alone.
  std::string text;
  RETURN_IF_ERROR(ReadMember(item, "peers", where, text));
  const auto address = IpAddress::Parse(text);
  if (address.ok()) {
    peers.push_back(Prefix::Host(*address));
  } else {
    const auto prefix = Prefix::Parse(text);
    if (!prefix.ok()) return Annotate(prefix.status(), MemberAt(where, "peers"));
    peers.push_back(*prefix);
  }
  PeerRule rule;
  rule.peers = peers.front();
  for (const auto& [key, value] : {std::pair{"min_version", &rule.min_version}, {"max_version", &rule.max_version}}) {
    if (!item.contains(key)) continue;
    RETURN_IF_ERROR(ReadVersion(item, key, where, value->emplace(0)));
  }
  if (rule.min_version.value_or(listener.min_version) > rule.max_version.value_or(listener.max_version))
    return InvalidArgument("{}: min_version is above max_version", where);
  listener.rules.push_back(rule);
  if (!item.contains("md5_key_file") && !item.contains("ao_key_file")) return absl::OkStatus();
  if (!address.ok()) return InvalidArgument("{}: a key is of one address, not of a prefix", where);
  return ReadKey(item, where, *address, listener);
}

absl::Status ParseTls(const json& item, const std::string& where, ListenerOptions& listener) {
  RETURN_IF_ERROR(ReadMember(item, "certificate", where, listener.tls.certificate));
  RETURN_IF_ERROR(ReadMember(item, "key", where, listener.tls.private_key));
  RETURN_IF_ERROR(ReadMember(item, "roots", where, listener.tls.roots));
  RETURN_IF_ERROR(ReadMember(item, "address_in_certificate", where, listener.address_in_certificate));
  if (item.contains("router_certificates")) {
    std::string certificates;
    RETURN_IF_ERROR(ReadMember(item, "router_certificates", where, certificates));
    const auto policy = ParseRouterCertificates(certificates);
    if (!policy.ok()) return Annotate(policy.status(), MemberAt(where, "router_certificates"));
    listener.certificates = *policy;
  }
  if (listener.tls.certificate.empty() || listener.tls.private_key.empty())
    return InvalidArgument("{}: transport tls needs certificate and key", where);
  return absl::OkStatus();
}

absl::Status ParseSsh(const json& item, const std::string& where, ListenerOptions& listener) {
  RETURN_IF_ERROR(ReadMember(item, "host_keys", where, listener.ssh.host_keys));
  RETURN_IF_ERROR(ReadMember(item, "authorized_keys", where, listener.ssh.users.keys));
  RETURN_IF_ERROR(ReadMember(item, "passwords", where, listener.ssh.users.passwords));
  if (listener.ssh.host_keys.empty()) return InvalidArgument("{}: transport ssh needs host_keys", where);
  return absl::OkStatus();
}

// Whoever writes a member that does nothing believes to be protected.
absl::Status CheckTransport(const json& item, const std::string& transport, const std::string& where) {
  static const std::map<const char*, std::string_view> kOf{
      {"keys_required", "tcp"}, {"certificate", "tls"},         {"key", "tls"},
      {"roots", "tls"},         {"router_certificates", "tls"}, {"address_in_certificate", "tls"},
      {"host_keys", "ssh"},     {"authorized_keys", "ssh"},     {"passwords", "ssh"}};
  for (const auto& [member, of] : kOf) {
    if (item.contains(member) && of != transport)
      return InvalidArgument("{}: is of transport {}, not of {}", MemberAt(where, member), of, transport);
  }
  return absl::OkStatus();
}

absl::StatusOr<ListenerOptions> ParseListener(const json& item, const std::string& where,
                                              const ListenerOptions& usual) {
  RETURN_IF_ERROR(service::CheckObject(
      item,
      {"transport", "address", "allow", "min_version", "max_version", "peers", "keys_required", "certificate", "key",
       "roots", "router_certificates", "address_in_certificate", "host_keys", "authorized_keys", "passwords"},
      where));
  ListenerOptions listener = usual;
  ASSIGN_OR_RETURN(const std::string transport, service::StringMember(item, "transport", where));
  if (transport == "tls") {
    listener.kind = ListenerKind::kTls;
    RETURN_IF_ERROR(ParseTls(item, where, listener));
  } else if (transport == "ssh") {
    listener.kind = ListenerKind::kSsh;
    RETURN_IF_ERROR(ParseSsh(item, where, listener));
  } else if (transport != "tcp") {
    return InvalidArgument("{}: must be tcp, tls or ssh", MemberAt(where, "transport"));
  }
  RETURN_IF_ERROR(CheckTransport(item, transport, where));
  ASSIGN_OR_RETURN(const std::string address, service::StringMember(item, "address", where));
  const auto listen = ParseHostPort(address);
  if (!listen.ok()) return Annotate(listen.status(), MemberAt(where, "address"));
  listener.listen = *listen;
  RETURN_IF_ERROR(ReadMember(item, "allow", where, listener.allow));
  RETURN_IF_ERROR(ReadVersion(item, "min_version", where, listener.min_version));
  RETURN_IF_ERROR(ReadVersion(item, "max_version", where, listener.max_version));
  if (listener.min_version > listener.max_version)
    return InvalidArgument("{}: min_version is above max_version", where);
  RETURN_IF_ERROR(ReadMember(item, "keys_required", where, listener.keys_required));
  if (!item.contains("peers")) return listener;
  if (!item["peers"].is_array() || item["peers"].size() > service::kMaxConfigList)
    return InvalidArgument("{}: must be a list", MemberAt(where, "peers"));
  for (std::size_t i = 0; i < item["peers"].size(); ++i)
    RETURN_IF_ERROR(ParsePeer(item["peers"][i], fmt::format("{}.peers[{}]", where, i), listener));
  return listener;
}

}  // namespace

absl::StatusOr<service::TlsAcceptor::ClientCertificate> ParseRouterCertificates(std::string_view text) {
  using Client = service::TlsAcceptor::ClientCertificate;
  if (text == "none") return Client::kNone;
  if (text == "optional") return Client::kOptional;
  if (text == "required") return Client::kRequired;
  return InvalidArgument("must be none, optional or required");
}

absl::StatusOr<std::vector<ListenerOptions>> ParseListeners(std::string_view text, const ListenerOptions& usual) {
  ASSIGN_OR_RETURN(const json file, service::ParseStrictJson(text, service::JsonComments::kAllowed));
  RETURN_IF_ERROR(service::CheckObject(file, {"listeners"}, "listeners file"));
  if (!file.contains("listeners") || !file["listeners"].is_array() ||
      file["listeners"].size() > service::kMaxConfigList)
    return InvalidArgument("listeners file: \"listeners\" must be a list");
  std::vector<ListenerOptions> listeners;
  for (std::size_t i = 0; i < file["listeners"].size(); ++i) {
    ASSIGN_OR_RETURN(ListenerOptions listener,
                     ParseListener(file["listeners"][i], fmt::format("listeners[{}]", i), usual));
    listeners.push_back(std::move(listener));
  }
  return listeners;
}

}  // namespace virp::rtr_bridge
