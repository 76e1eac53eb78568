#include "lib/bmp/session.h"

#include <utility>

#include "lib/base/status.h"

namespace virp::bmp {
namespace {

using RibSet = std::array<bool, 5>;  // by Rib

// Senders known to write NLRI without path identifiers although they were negotiated. FRR's bgpd_bmp never writes them,
// and bgpd offers to receive them by default; gobgp writes them before policy only. Where a later version does better,
// its first field read without them shows it.
RibSet WritesNoPathIds(const Initiation& message) {
  if (message.sys_descr.starts_with("FRRouting")) return {true, true, true, true, true};
  if (message.sys_name == "GoBGP") return {false, true, true, false, true};
  return {};
}

std::size_t Index(Rib rib) {
  return static_cast<std::size_t>(rib);
}

// Whether `mine` sends with path identifiers what `theirs` receives (RFC 7911 section 4).
bool Sends(const Open& mine, const Open& theirs, AfiSafi family) {
  const AddPath* send = mine.FindAddPath(family);
  const AddPath* receive = theirs.FindAddPath(family);
  return send != nullptr && receive != nullptr && send->send && receive->receive;
}

// The OPENs of a Loc-RIB are made up to say how it is encoded (RFC 9069 section 5.2), so the direction says nothing.
bool LocRibUses(const PeerUp& message, AfiSafi family) {
  return message.sent.FindAddPath(family) != nullptr || message.received.FindAddPath(family) != nullptr;
}

bool IsRead(AfiSafi family) {
  return family == kIpv4Unicast || family == kIpv6Unicast;
}

}  // namespace

std::string_view SkippedName(Skipped::Reason reason) {
  switch (reason) {
    case Skipped::Reason::kUnknownMessageType:
      return "unknown_message_type";
    case Skipped::Reason::kUnknownPeerType:
      return "unknown_peer_type";
    case Skipped::Reason::kOtherFamily:
      return "other_family";
    case Skipped::Reason::kNoRoutes:
      return "no_routes";
    case Skipped::Reason::kMalformedMessage:
      return "malformed_message";
    case Skipped::Reason::kMalformedUpdate:
      return "malformed_update";
    case Skipped::Reason::kTooManyPeers:
      return "too_many_peers";
  }
  return "";
}

SessionDecoder::SessionDecoder(SessionVisitor& visitor, SessionOptions options)
    : visitor_(visitor), options_(options), splitter_(options.max_message) {}

absl::Status SessionDecoder::Feed(std::string_view bytes) {
  splitter_.Push(bytes);
  for (;;) {
    const auto message = splitter_.Next();
    if (!message.ok()) return message.status();
    if (!*message) return absl::OkStatus();
    ++messages_;
    Handle(**message);
  }
}

void SessionDecoder::Skip(Skipped::Reason reason, const PeerHeader* peer, std::string_view detail,
                          std::optional<AfiSafi> family) {
  visitor_.OnSkipped({reason, message_type_, peer, family, detail});
}

struct MessageHandler {
  SessionDecoder& session;

  void operator()(const Initiation& message) const {
    session.writes_no_path_ids_ = WritesNoPathIds(message);
    session.visitor_.OnInitiation(message);
  }
  void operator()(const Termination& message) const { session.visitor_.OnTermination(message); }
  void operator()(const PeerUp& message) const { session.HandlePeerUp(message); }
  void operator()(const PeerDown& message) const {
    session.peers_.erase(message.peer.key());
    session.visitor_.OnPeerDown(message);
  }
  void operator()(const RouteMonitoring& message) const { session.Deliver(message); }
  void operator()(const StatisticsReport& message) const { session.visitor_.OnStatistics(message); }
  void operator()(const RouteMirroring& message) const { session.visitor_.OnMirroring(message); }
  void operator()(const UnknownType& message) const {
    session.Skip(message.peer_type ? Skipped::Reason::kUnknownPeerType : Skipped::Reason::kUnknownMessageType, nullptr);
  }
};

void SessionDecoder::Handle(std::string_view message) {
  message_type_ = TypeOf(message);
  if (MessageType{message_type_} == MessageType::kRouteMonitoring) return HandleRoutes(message);
  const auto decoded = Decode(message);
  if (!decoded.ok()) return Skip(Skipped::Reason::kMalformedMessage, nullptr, Message(decoded.status()));
  std::visit(MessageHandler{*this}, *decoded);
}

void SessionDecoder::HandleRoutes(std::string_view message) {
  const auto decoded = DecodeRouteMonitoring(message);
  if (decoded.ok()) return Deliver(*decoded);
  const bool unknown_peer = absl::IsNotFound(decoded.status());
  Skip(unknown_peer ? Skipped::Reason::kUnknownPeerType : Skipped::Reason::kMalformedMessage, nullptr,
       Message(decoded.status()));
}

SessionDecoder::PeerState SessionDecoder::Negotiated(const PeerUp& message) const {
  PeerState out;
  if (options_.path_ids == PathIdPolicy::kNever) return out;
  const Open& router = message.sent;
  const Open& peer = message.received;
  const TableForm in = {Sends(peer, router, kIpv4Unicast), Sends(peer, router, kIpv6Unicast)};
  const TableForm to_peer = {Sends(router, peer, kIpv4Unicast), Sends(router, peer, kIpv6Unicast)};
  if (message.peer.type == PeerType::kLocRib) {
    out[Index(Rib::kLoc)] = {LocRibUses(message, kIpv4Unicast), LocRibUses(message, kIpv6Unicast)};
  } else {
    out[Index(Rib::kAdjInPre)] = out[Index(Rib::kAdjInPost)] = in;
    out[Index(Rib::kAdjOutPre)] = out[Index(Rib::kAdjOutPost)] = to_peer;
  }
  for (std::size_t rib = 0; rib < out.size(); ++rib) {
    if (options_.path_ids == PathIdPolicy::kAuto && writes_no_path_ids_[rib]) out[rib] = {};
  }
  return out;
}

// What is remembered about a peer, made where there is none yet; null when there is no room.
SessionDecoder::PeerState* SessionDecoder::StateFor(const PeerKey& key) {
  const auto found = peers_.find(key);
  if (found != peers_.end()) return &found->second;
  if (peers_.size() >= options_.max_peers) return nullptr;
  return &peers_[key];
}

void SessionDecoder::HandlePeerUp(const PeerUp& message) {
  if (PeerState* state = StateFor(message.peer.key())) {
    *state = Negotiated(message);
  } else {
    Skip(Skipped::Reason::kTooManyPeers, &message.peer);
  }
  visitor_.OnPeerUp(message);
}

SessionDecoder::TableForm SessionDecoder::FormOf(const RouteMonitoring& message) const {
  const auto found = peers_.find(message.peer.key());
  return found == peers_.end() ? TableForm() : found->second[Index(message.rib)];
}

void SessionDecoder::Remember(const RouteMonitoring& message, TableForm form) {
  if (PeerState* state = StateFor(message.peer.key())) (*state)[Index(message.rib)] = form;
}

void SessionDecoder::Deliver(const RouteMonitoring& message) {
  const TableForm form = FormOf(message);
  const bool adaptive = options_.path_ids == PathIdPolicy::kAuto;
  UpdateContext context{message.peer.is_two_octet_as(), {form.ipv4, adaptive}, {form.ipv6, adaptive}};
  if (const absl::Status status = DecodeUpdate(message.update, context, update_); !status.ok()) {
    return Skip(Skipped::Reason::kMalformedUpdate, &message.peer, Message(status));
  }
  if (update_.path_ids_changed) Remember(message, {context.ipv4.path_ids, context.ipv6.path_ids});
  for (const AfiSafi family : update_.skipped) Skip(Skipped::Reason::kOtherFamily, &message.peer, {}, family);
  if (!update_.withdrawn.empty() || !update_.announced.empty()) {
    visitor_.OnRoutes(message.peer, message.rib, update_);
  } else if (update_.end_of_rib && IsRead(*update_.end_of_rib)) {
    visitor_.OnEndOfRib(message.peer, message.rib, *update_.end_of_rib);
  } else if (update_.end_of_rib) {
    Skip(Skipped::Reason::kOtherFamily, &message.peer, {}, update_.end_of_rib);
  } else if (update_.skipped.empty()) {
    Skip(Skipped::Reason::kNoRoutes, &message.peer);
  }
}

}  // namespace virp::bmp
