#include "lib/bmp/bgp.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "lib/base/status.h"
#include "lib/base/utf8.h"

namespace virp::bmp {
namespace {

constexpr std::string_view kMarker = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff";
constexpr std::uint8_t kParameterCapabilities = 2;

enum Capability : std::uint8_t {
  kMultiprotocol = 1,
  kRouteRefresh = 2,
  kExtendedMessage = 6,
  kFourOctetAs = 65,
  kAddPath = 69,
};

constexpr std::uint8_t kCease = 6;
constexpr std::uint8_t kAdministrativeShutdown = 2;
constexpr std::uint8_t kAdministrativeReset = 4;

absl::Status WrongLength(std::uint8_t code, std::size_t size) {
  return InvalidArgument("OPEN: capability {} cannot have {} bytes", code, size);
}

absl::Status ReadAddPath(std::string_view value, Open& open) {
  if (value.size() % 4 != 0) return WrongLength(kAddPath, value.size());
  Reader reader(value);
  AddPath item;
  std::uint8_t direction = 0;
  while (reader.Read(item.family.afi, item.family.safi, direction)) {
    if (direction < 1 || direction > 3) continue;  // RFC 7911 section 4: to be ignored
    item.receive = (direction & 1) != 0;
    item.send = (direction & 2) != 0;
    open.add_path.push_back(item);
  }
  return absl::OkStatus();
}

absl::Status ReadCapability(std::uint8_t code, std::string_view value, Open& open) {
  open.capabilities.push_back(code);
  Reader reader(value);
  switch (code) {
    case kMultiprotocol: {
      AfiSafi family;
      std::uint8_t reserved = 0;
      if (value.size() != 4 || !reader.Read(family.afi, reserved, family.safi)) return WrongLength(code, value.size());
      open.multiprotocol.push_back(family);
      return absl::OkStatus();
    }
    case kFourOctetAs:
      if (value.size() != 4 || !reader.Read(open.as)) return WrongLength(code, value.size());
      open.four_octet_as = true;
      return absl::OkStatus();
    case kAddPath:
      return ReadAddPath(value, open);
    case kExtendedMessage:
      open.extended_message = true;
      return absl::OkStatus();
    case kRouteRefresh:
      open.route_refresh = true;
      return absl::OkStatus();
    default:
      return absl::OkStatus();
  }
}

absl::Status ReadCapabilities(std::string_view value, Open& open) {
  Reader reader(value);
  while (!reader.empty()) {
    std::uint8_t code = 0;
    std::uint8_t length = 0;
    std::string_view content;
    if (!reader.Read(code, length) || !reader.Take(length, content)) {
      return InvalidArgument("OPEN: a capability runs over the end of its parameter");
    }
    RETURN_IF_ERROR(ReadCapability(code, content, open));
  }
  return absl::OkStatus();
}

// The optional parameters, whose length octet was `length`.
absl::Status ReadParameters(Reader reader, std::uint8_t length, Open& open) {
  std::size_t total = length;
  // RFC 9072 section 2: a first parameter type of 255 says that 16-bit lengths follow.
  const bool extended = length != 0 && reader.rest().substr(0, 1) == "\xff";
  if (extended) {
    std::uint8_t type = 0;
    std::uint16_t long_length = 0;
    if (!reader.Read(type, long_length)) return InvalidArgument("OPEN: the extended parameter length is cut short");
    total = long_length;
  }
  if (reader.size() != total) {
    return InvalidArgument("OPEN: {} bytes of optional parameters are stated and {} are there", total, reader.size());
  }
  while (!reader.empty()) {
    std::uint8_t type = 0;
    std::uint8_t short_size = 0;
    std::uint16_t long_size = 0;
    std::string_view value;
    const bool sized = extended ? reader.Read(type, long_size) : reader.Read(type, short_size);
    if (!sized || !reader.Take(extended ? long_size : short_size, value)) {
      return InvalidArgument("OPEN: an optional parameter runs over the end of the message");
    }
    if (type == kParameterCapabilities) RETURN_IF_ERROR(ReadCapabilities(value, open));
  }
  return absl::OkStatus();
}

struct CodeName {
  std::uint8_t code;
  std::uint8_t subcode;
  std::string_view name;
};

// IANA "BGP Error (Notification) Codes" and their subcodes; subcode 0 stands for the code itself.
constexpr CodeName kNames[] = {
    {1, 0, "Message Header Error"},
    {1, 1, "Connection Not Synchronized"},
    {1, 2, "Bad Message Length"},
    {1, 3, "Bad Message Type"},
    {2, 0, "OPEN Message Error"},
    {2, 1, "Unsupported Version Number"},
    {2, 2, "Bad Peer AS"},
    {2, 3, "Bad BGP Identifier"},
    {2, 4, "Unsupported Optional Parameter"},
    {2, 6, "Unacceptable Hold Time"},
    {2, 7, "Unsupported Capability"},
    {2, 11, "Role Mismatch"},
    {3, 0, "UPDATE Message Error"},
    {3, 1, "Malformed Attribute List"},
    {3, 2, "Unrecognized Well-known Attribute"},
    {3, 3, "Missing Well-known Attribute"},
    {3, 4, "Attribute Flags Error"},
    {3, 5, "Attribute Length Error"},
    {3, 6, "Invalid ORIGIN Attribute"},
    {3, 8, "Invalid NEXT_HOP Attribute"},
    {3, 9, "Optional Attribute Error"},
    {3, 10, "Invalid Network Field"},
    {3, 11, "Malformed AS_PATH"},
    {4, 0, "Hold Timer Expired"},
    {5, 0, "Finite State Machine Error"},
    {5, 1, "Receive Unexpected Message in OpenSent State"},
    {5, 2, "Receive Unexpected Message in OpenConfirm State"},
    {5, 3, "Receive Unexpected Message in Established State"},
    {6, 0, "Cease"},
    {6, 1, "Maximum Number of Prefixes Reached"},
    {6, 2, "Administrative Shutdown"},
    {6, 3, "Peer De-configured"},
    {6, 4, "Administrative Reset"},
    {6, 5, "Connection Rejected"},
    {6, 6, "Other Configuration Change"},
    {6, 7, "Connection Collision Resolution"},
    {6, 8, "Out of Resources"},
    {6, 9, "Hard Reset"},
    {6, 10, "BFD Down"},
    {7, 0, "ROUTE-REFRESH Message Error"},
    {7, 1, "Invalid Message Length"},
    {8, 0, "Send Hold Timer Expired"},
};

std::string NameOrNumber(std::uint8_t code, std::uint8_t subcode, std::uint8_t number) {
  const auto* found = std::find_if(std::begin(kNames), std::end(kNames),
                                   [&](const CodeName& n) { return n.code == code && n.subcode == subcode; });
  return found == std::end(kNames) ? fmt::to_string(number) : std::string(found->name);
}

}  // namespace

std::string FamilyName(AfiSafi family) {
  if (family == kIpv4Unicast) return "ipv4-unicast";
  if (family == kIpv6Unicast) return "ipv6-unicast";
  return fmt::format("{}/{}", family.afi, family.safi);
}

absl::StatusOr<BgpMessage> TakeBgpMessage(Reader& reader) {
  const Reader start = reader;
  std::string_view marker;
  std::uint16_t length = 0;
  std::uint8_t type = 0;
  if (!reader.Take(kMarker.size(), marker) || !reader.Read(length, type)) {
    return InvalidArgument("a BGP message header has {} bytes and {} are left", kBgpHeaderSize, start.size());
  }
  if (marker != kMarker) return InvalidArgument("the marker of a BGP message is not all ones");
  BgpMessage out;
  if (length < kBgpHeaderSize || !reader.Take(length - kBgpHeaderSize, out.body)) {
    return InvalidArgument("a BGP message of type {} states {} bytes and {} are left", type, length, start.size());
  }
  out.type = BgpType{type};
  return out;
}

const AddPath* Open::FindAddPath(AfiSafi family) const {
  const auto found =
      std::find_if(add_path.rbegin(), add_path.rend(), [&](const AddPath& a) { return a.family == family; });
  return found == add_path.rend() ? nullptr : &*found;
}

absl::StatusOr<Open> DecodeOpen(std::string_view body) {
  Reader reader(body);
  Open open;
  std::uint8_t version = 0;
  std::uint16_t my_as = 0;
  std::string_view bgp_id;
  std::uint8_t parameters_length = 0;
  if (!reader.Read(version, my_as, open.hold_time) || !reader.Take(4, bgp_id) || !reader.Read(parameters_length)) {
    return InvalidArgument("OPEN: {} bytes are too few", body.size());
  }
  if (version != 4) return InvalidArgument("OPEN: BGP version {} is not supported, only 4 is", version);
  open.as = my_as;
  open.bgp_id = IpAddress::V4(bgp_id.data());
  RETURN_IF_ERROR(ReadParameters(reader, parameters_length, open));
  return open;
}

absl::StatusOr<Notification> DecodeNotification(std::string_view body) {
  Reader reader(body);
  Notification out;
  if (!reader.Read(out.code, out.subcode)) return InvalidArgument("NOTIFICATION: {} bytes are too few", body.size());
  out.data = reader.rest();
  const bool speaks =
      out.code == kCease && (out.subcode == kAdministrativeShutdown || out.subcode == kAdministrativeReset);
  std::uint8_t length = 0;
  std::string_view text;
  if (speaks && reader.Read(length) && reader.Take(length, text)) out.shutdown_message = ToUtf8(text);
  return out;
}

std::string NotificationName(std::uint8_t code, std::uint8_t subcode) {
  std::string out = NameOrNumber(code, 0, code);
  if (subcode != 0) {
    out.push_back('/');
    out.append(NameOrNumber(code, subcode, subcode));
  }
  return out;
}

}  // namespace virp::bmp
