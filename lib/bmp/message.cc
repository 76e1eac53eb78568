#include "lib/bmp/message.h"

#include <algorithm>

#include "lib/base/status.h"
#include "lib/base/utf8.h"
#include "lib/bmp/reader.h"
#include "lib/bmp/stream.h"

namespace virp::bmp {
namespace {

enum InfoTlv : std::uint16_t { kString = 0, kSysDescr = 1, kSysName = 2, kTableName = 3 };
constexpr std::uint16_t kTerminationReason = 1;
constexpr std::uint16_t kMirroredMessage = 0;
constexpr std::uint16_t kMirroringInformation = 1;
constexpr std::size_t kTlvHeaderSize = 4;

// An address field of 16 bytes; IPv4 stands in its last four, behind zeros (RFC 7854 section 4.2).
absl::StatusOr<IpAddress> ReadAddress(std::string_view field, bool is_ipv6) {
  if (is_ipv6) return IpAddress::V6(field.data());
  const auto pad = field.substr(0, 12);
  if (std::any_of(pad.begin(), pad.end(), [](char c) { return c != 0; })) {
    return InvalidArgument("an address is IPv4 by its flag and has other bits set in front of it");
  }
  return IpAddress::V4(field.data() + 12);
}

// Reads the per-peer header. NotFound for an unknown peer type.
absl::Status ReadPeerHeader(Reader& reader, PeerHeader& out) {
  std::uint8_t type = 0;
  std::string_view address;
  std::string_view bgp_id;
  if (!reader.Read(type, out.flags, out.distinguisher) || !reader.Take(16, address) || !reader.Read(out.as) ||
      !reader.Take(4, bgp_id) || !reader.Read(out.seconds, out.microseconds)) {
    return InvalidArgument("the per-peer header is cut short");
  }
  if (type > static_cast<std::uint8_t>(PeerType::kLocRib)) return NotFound("peer type {} is not known", type);
  out.type = PeerType{type};
  ASSIGN_OR_RETURN(out.address, ReadAddress(address, out.is_ipv6()));
  out.bgp_id = IpAddress::V4(bgp_id.data());
  return absl::OkStatus();
}

absl::Status TlvCutShort() {
  return InvalidArgument("an information TLV runs over the end of the message");
}

absl::StatusOr<Initiation> DecodeInitiation(Reader reader) {
  Initiation out;
  while (!reader.empty()) {
    Tlv tlv;
    if (!ReadTlv(reader, tlv)) return TlvCutShort();
    if (tlv.type == kString) out.strings.push_back(ToUtf8(tlv.value));
    if (tlv.type == kSysDescr) out.sys_descr = ToUtf8(tlv.value);
    if (tlv.type == kSysName) out.sys_name = ToUtf8(tlv.value);
  }
  return out;
}

absl::StatusOr<Termination> DecodeTermination(Reader reader) {
  Termination out;
  while (!reader.empty()) {
    Tlv tlv;
    if (!ReadTlv(reader, tlv)) return TlvCutShort();
    if (tlv.type == kString) out.strings.push_back(ToUtf8(tlv.value));
    if (tlv.type == kTerminationReason) {
      if (tlv.value.size() != 2) return InvalidArgument("a termination reason cannot have {} bytes", tlv.value.size());
      out.reason = Termination::Reason{LoadBe<std::uint16_t>(tlv.value.data())};
    }
  }
  return out;
}

absl::StatusOr<Open> TakeOpen(Reader& reader) {
  ASSIGN_OR_RETURN(const BgpMessage message, TakeBgpMessage(reader));
  if (message.type != BgpType::kOpen) {
    return InvalidArgument("a BGP message of type {} stands where an OPEN belongs", static_cast<int>(message.type));
  }
  return DecodeOpen(message.body);
}

absl::StatusOr<PeerUp> DecodePeerUp(Reader reader, const PeerHeader& peer) {
  PeerUp out;
  out.peer = peer;
  std::string_view local;
  if (!reader.Take(16, local) || !reader.Read(out.local_port, out.remote_port)) {
    return InvalidArgument("the local address and ports are cut short");
  }
  // Not identity, so no reason to refuse: an IPv4 peer over an IPv6 transport has an IPv6 local address.
  const auto as_v4 = ReadAddress(local, peer.is_ipv6());
  out.local_address = as_v4.ok() ? *as_v4 : IpAddress::V6(local.data());
  auto sent = TakeOpen(reader);
  if (!sent.ok()) return Annotate(sent.status(), "sent OPEN");
  out.sent = *std::move(sent);
  auto received = TakeOpen(reader);
  if (!received.ok()) return Annotate(received.status(), "received OPEN");
  out.received = *std::move(received);
  while (!reader.empty()) {
    Tlv tlv;
    if (!ReadTlv(reader, tlv)) return TlvCutShort();
    if (tlv.type == kString) out.strings.push_back(ToUtf8(tlv.value));
    if (tlv.type == kTableName) out.table_name = ToUtf8(tlv.value);
  }
  return out;
}

// What follows the reason of a Peer Down; false when it is not what the reason calls for.
bool ReadPeerDownDetail(Reader reader, PeerDown& out) {
  switch (out.reason) {
    case PeerDown::Reason::kLocalNotification:
    case PeerDown::Reason::kRemoteNotification: {
      const auto message = TakeBgpMessage(reader);
      if (!message.ok() || message->type != BgpType::kNotification || !reader.empty()) return false;
      auto notification = DecodeNotification(message->body);
      if (!notification.ok()) return false;
      out.notification = *std::move(notification);
      return true;
    }
    case PeerDown::Reason::kLocalNoNotification: {
      std::uint16_t event = 0;
      if (!reader.Read(event) || !reader.empty()) return false;
      out.fsm_event = event;
      return true;
    }
    case PeerDown::Reason::kLocalTableGone:
      while (!reader.empty()) {
        Tlv tlv;
        if (!ReadTlv(reader, tlv)) return false;
        if (tlv.type == kTableName) out.table_name = ToUtf8(tlv.value);
      }
      return true;
    case PeerDown::Reason::kRemoteNoData:
    case PeerDown::Reason::kDeconfigured:
      return reader.empty();
  }
  return true;  // an unknown reason: whatever follows it is its own affair
}

absl::StatusOr<PeerDown> DecodePeerDown(Reader reader, const PeerHeader& peer) {
  PeerDown out;
  out.peer = peer;
  std::uint8_t reason = 0;
  if (!reader.Read(reason)) return InvalidArgument("the reason is missing");
  out.reason = PeerDown::Reason{reason};
  out.detail_malformed = !ReadPeerDownDetail(reader, out);
  return out;
}

// How a statistic's value is laid out (RFC 7854 section 4.8, RFC 8671 section 4, IANA registry).
enum class StatisticForm : std::uint8_t { kUnknown, kCounter32, kGauge64, kFamilyGauge64 };

StatisticForm FormOf(std::uint16_t type) {
  switch (type) {
    case 7:
    case 8:
    case 14:
    case 15:
      return StatisticForm::kGauge64;
    case 9:
    case 10:
    case 16:
    case 17:
      return StatisticForm::kFamilyGauge64;
    default:
      return type <= 13 ? StatisticForm::kCounter32 : StatisticForm::kUnknown;
  }
}

void ReadStatistic(const Tlv& tlv, Statistic& out) {
  const auto form = FormOf(tlv.type);
  const std::size_t size = tlv.value.size();
  Reader reader(tlv.value);
  out.type = tlv.type;
  out.raw = tlv.value;
  if (form == StatisticForm::kFamilyGauge64) {
    AfiSafi family;
    std::uint64_t value = 0;
    if (size != 11 || !reader.Read(family.afi, family.safi, value)) return;
    out.family = family;
    out.value = value;
    return;
  }
  std::uint32_t small = 0;
  std::uint64_t large = 0;
  if (size == 4 && form != StatisticForm::kGauge64 && reader.Read(small)) out.value = small;
  if (size == 8 && form != StatisticForm::kCounter32 && reader.Read(large)) out.value = large;
}

absl::StatusOr<StatisticsReport> DecodeStatistics(Reader reader, const PeerHeader& peer) {
  StatisticsReport out;
  out.peer = peer;
  std::uint32_t count = 0;
  if (!reader.Read(count)) return InvalidArgument("the count of statistics is missing");
  if (count > reader.size() / kTlvHeaderSize) {
    return InvalidArgument("{} statistics are stated and {} bytes are left for them", count, reader.size());
  }
  out.statistics.resize(count);
  for (Statistic& statistic : out.statistics) {
    Tlv tlv;
    if (!ReadTlv(reader, tlv)) return InvalidArgument("a statistic runs over the end of the message");
    ReadStatistic(tlv, statistic);
  }
  if (!reader.empty()) return InvalidArgument("{} bytes follow the last of {} statistics", reader.size(), count);
  return out;
}

absl::StatusOr<RouteMirroring> DecodeMirroring(Reader reader, const PeerHeader& peer) {
  RouteMirroring out;
  out.peer = peer;
  while (!reader.empty()) {
    Tlv tlv;
    if (!ReadTlv(reader, tlv)) return TlvCutShort();
    if (tlv.type == kMirroredMessage) {
      ++out.bgp_messages;
    } else if (tlv.type == kMirroringInformation && tlv.value == std::string_view("\0\0", 2)) {
      ++out.errored_pdus;
    } else if (tlv.type == kMirroringInformation && tlv.value == std::string_view("\0\1", 2)) {
      ++out.messages_lost;
    } else {
      ++out.unknown;
    }
  }
  return out;
}

absl::StatusOr<RouteMonitoring> DecodeMonitoring(Reader reader, const PeerHeader& peer) {
  RouteMonitoring out;
  out.peer = peer;
  out.rib = peer.rib();
  ASSIGN_OR_RETURN(const BgpMessage message, TakeBgpMessage(reader));
  if (message.type != BgpType::kUpdate) {
    return InvalidArgument("a BGP message of type {} stands where an UPDATE belongs", static_cast<int>(message.type));
  }
  if (!reader.empty()) return InvalidArgument("{} bytes follow the UPDATE", reader.size());
  out.update = message.body;
  return out;
}

// The bytes behind the common header, once that was checked.
absl::StatusOr<Reader> Body(std::string_view message) {
  Reader reader(message);
  std::uint8_t version = 0;
  std::uint32_t length = 0;
  std::uint8_t type = 0;
  if (!reader.Read(version, length, type)) return InvalidArgument("the common header is cut short");
  if (version != kVersion) return InvalidArgument("BMP version {} is not supported, only {} is", version, kVersion);
  if (length != message.size()) {
    return InvalidArgument("the message states {} bytes and has {}", length, message.size());
  }
  return reader;
}

template <typename T>
absl::StatusOr<BmpMessage> AsMessage(absl::StatusOr<T> decoded, std::string_view name) {
  if (!decoded.ok()) return Annotate(decoded.status(), name);
  return BmpMessage(*std::move(decoded));
}

absl::StatusOr<BmpMessage> DecodeAboutPeer(MessageType type, Reader reader) {
  PeerHeader peer;
  const auto raw_type = static_cast<std::uint8_t>(reader.empty() ? 0 : reader.rest()[0]);
  if (absl::Status read = ReadPeerHeader(reader, peer); absl::IsNotFound(read)) {
    return BmpMessage(UnknownType{static_cast<std::uint8_t>(type), raw_type});
  } else if (!read.ok()) {
    return read;
  }
  switch (type) {
    case MessageType::kRouteMonitoring:
      return AsMessage(DecodeMonitoring(reader, peer), "Route Monitoring");
    case MessageType::kStatisticsReport:
      return AsMessage(DecodeStatistics(reader, peer), "Statistics Report");
    case MessageType::kPeerDown:
      return AsMessage(DecodePeerDown(reader, peer), "Peer Down");
    case MessageType::kPeerUp:
      return AsMessage(DecodePeerUp(reader, peer), "Peer Up");
    default:
      return AsMessage(DecodeMirroring(reader, peer), "Route Mirroring");
  }
}

}  // namespace

std::string_view RibName(Rib rib) {
  switch (rib) {
    case Rib::kAdjInPre:
      return "adj-in-pre";
    case Rib::kAdjInPost:
      return "adj-in-post";
    case Rib::kLoc:
      return "loc";
    case Rib::kAdjOutPre:
      return "adj-out-pre";
    case Rib::kAdjOutPost:
      return "adj-out-post";
  }
  return "";
}

Rib PeerHeader::rib() const {
  if (type == PeerType::kLocRib) return Rib::kLoc;
  if (is_adj_rib_out()) return is_post_policy() ? Rib::kAdjOutPost : Rib::kAdjOutPre;
  return is_post_policy() ? Rib::kAdjInPost : Rib::kAdjInPre;
}

PeerKey PeerHeader::key() const {
  return {type, distinguisher, address, type == PeerType::kLocRib ? bgp_id : IpAddress()};
}

absl::StatusOr<BmpMessage> Decode(std::string_view message) {
  ASSIGN_OR_RETURN(const Reader body, Body(message));
  const std::uint8_t type = TypeOf(message);
  switch (MessageType{type}) {
    case MessageType::kInitiation:
      return AsMessage(DecodeInitiation(body), "Initiation");
    case MessageType::kTermination:
      return AsMessage(DecodeTermination(body), "Termination");
    case MessageType::kRouteMonitoring:
    case MessageType::kStatisticsReport:
    case MessageType::kPeerDown:
    case MessageType::kPeerUp:
    case MessageType::kRouteMirroring:
      return DecodeAboutPeer(MessageType{type}, body);
  }
  return BmpMessage(UnknownType{type, std::nullopt});
}

absl::StatusOr<RouteMonitoring> DecodeRouteMonitoring(std::string_view message) {
  ASSIGN_OR_RETURN(Reader reader, Body(message));
  PeerHeader peer;
  RETURN_IF_ERROR(ReadPeerHeader(reader, peer));
  return DecodeMonitoring(reader, peer);
}

}  // namespace virp::bmp
