#include "lib/rtr/pdu.h"

#include <algorithm>

#include "lib/base/bytes.h"
#include "lib/rtr/wire.h"

namespace virp::rtr {
namespace {

constexpr std::uint8_t kAnnounce = 1;

std::uint8_t Octet(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint8_t>(bytes[at]);
}

Fault Corrupt(std::string_view text) {
  return {ErrorCode::kCorruptData, text};
}

void AppendHeader(std::string& out, std::uint8_t version, PduType type, std::uint16_t field, std::uint32_t length) {
  AppendBe(out, version);
  AppendBe(out, static_cast<std::uint8_t>(type));
  AppendBe(out, field);
  AppendBe(out, length);
}

template <typename T>
void AppendRecord(std::string& out, std::uint8_t version, bool announce, const T& record) {
  const std::size_t start = out.size();
  out.resize(start + wire::SizeOf(record, announce));
  wire::Put(out.data() + start, version, announce, record);
}

std::optional<Fault> DecodeIpv4(std::string_view bytes, Body& body) {
  Ipv4Prefix out;
  out.announce = (Octet(bytes, 8) & kAnnounce) != 0;
  out.vrp.length = Octet(bytes, 9);
  out.vrp.max_length = Octet(bytes, 10);
  out.vrp.address = LoadBe<std::uint32_t>(bytes.data() + 12);
  out.vrp.as = LoadBe<std::uint32_t>(bytes.data() + 16);
  if (out.vrp.length > 32 || out.vrp.max_length > 32) return Corrupt("a length of an IPv4 prefix above 32");
  if (out.vrp.max_length < out.vrp.length) return Corrupt("maxLength below the prefix length");
  const bool host_bits = out.vrp.length < 32 && (out.vrp.address << out.vrp.length) != 0;
  if (host_bits) return Corrupt("bits behind the prefix length");
  body = out;
  return std::nullopt;
}

// Whether bits behind the first `length` (at most 128) are set.
bool HasHostBits(std::uint64_t high, std::uint64_t low, unsigned length) {
  if (length == 0) return (high | low) != 0;
  if (length < 64) return (high << length) != 0 || low != 0;
  return length < 128 && (low << (length - 64)) != 0;
}

std::optional<Fault> DecodeIpv6(std::string_view bytes, Body& body) {
  Ipv6Prefix out;
  out.announce = (Octet(bytes, 8) & kAnnounce) != 0;
  out.vrp.length = Octet(bytes, 9);
  out.vrp.max_length = Octet(bytes, 10);
  out.vrp.high = LoadBe<std::uint64_t>(bytes.data() + 12);
  out.vrp.low = LoadBe<std::uint64_t>(bytes.data() + 20);
  out.vrp.as = LoadBe<std::uint32_t>(bytes.data() + 28);
  if (out.vrp.length > 128 || out.vrp.max_length > 128) return Corrupt("a length of an IPv6 prefix above 128");
  if (out.vrp.max_length < out.vrp.length) return Corrupt("maxLength below the prefix length");
  if (HasHostBits(out.vrp.high, out.vrp.low, out.vrp.length)) return Corrupt("bits behind the prefix length");
  body = out;
  return std::nullopt;
}

EndOfData DecodeEndOfData(std::string_view bytes, std::uint16_t session) {
  EndOfData out{.session = session, .serial = LoadBe<std::uint32_t>(bytes.data() + 8), .timers = std::nullopt};
  if (bytes.size() == 24) {
    out.timers = Timers{.refresh = LoadBe<std::uint32_t>(bytes.data() + 12),
                        .retry = LoadBe<std::uint32_t>(bytes.data() + 16),
                        .expire = LoadBe<std::uint32_t>(bytes.data() + 20)};
  }
  return out;
}

std::optional<Fault> DecodeErrorReport(std::string_view bytes, std::uint16_t code, Body& body) {
  const std::size_t room = bytes.size() - 16;  // for the PDU and the text, behind their lengths
  const std::size_t pdu = LoadBe<std::uint32_t>(bytes.data() + 8);
  if (pdu > room) return Corrupt("the erroneous PDU in an Error Report is longer than the report");
  const std::size_t text = LoadBe<std::uint32_t>(bytes.data() + 12 + pdu);
  if (text != room - pdu) return Corrupt("the text of an Error Report does not end where the report ends");
  body = ErrorReport{.code = code, .pdu = bytes.substr(12, pdu), .text = bytes.substr(16 + pdu)};
  return std::nullopt;
}

std::optional<Fault> DecodeAspa(std::string_view bytes, Body& body) {
  const Aspa out{.announce = (Octet(bytes, 2) & kAnnounce) != 0,
                 .customer = LoadBe<std::uint32_t>(bytes.data() + 8),
                 .providers = bytes.substr(kAspaFixedSize)};
  const auto wrong = [](std::string_view text) { return Fault{ErrorCode::kAspaProviderList, text}; };
  if (!out.announce && !out.providers.empty()) return wrong("the withdrawal of an ASPA names providers");
  if (out.announce && out.providers.empty()) return wrong("an ASPA without providers");
  std::uint32_t before = 0;
  for (std::size_t at = 0; at < out.providers.size(); at += 4) {
    const auto provider = LoadBe<std::uint32_t>(out.providers.data() + at);
    if (provider == 0 && out.providers.size() > 4) return wrong("AS 0 beside other providers");
    if (at != 0 && provider <= before) return wrong("providers are not ascending and unique");
    before = provider;
  }
  body = out;
  return std::nullopt;
}

// The octets that a PDU of this type has; 0 where that depends.
std::size_t FixedSize(PduType type, const VersionRules& rules) {
  switch (type) {
    case PduType::kSerialNotify:
    case PduType::kSerialQuery:
      return 12;
    case PduType::kResetQuery:
    case PduType::kCacheResponse:
    case PduType::kCacheReset:
      return kHeaderSize;
    case PduType::kIpv4Prefix:
      return kIpv4PrefixSize;
    case PduType::kIpv6Prefix:
      return kIpv6PrefixSize;
    case PduType::kEndOfData:
      return rules.end_of_data_timers ? 24 : 12;
    case PduType::kRouterKey:
    case PduType::kErrorReport:
    case PduType::kAspa:
      break;
  }
  return 0;
}

}  // namespace

Header ReadHeader(std::string_view eight_bytes) {
  return {.version = Octet(eight_bytes, 0),
          .type = Octet(eight_bytes, 1),
          .field = LoadBe<std::uint16_t>(eight_bytes.data() + 2),
          .length = LoadBe<std::uint32_t>(eight_bytes.data() + 4)};
}

std::optional<Fault> CheckLength(const Header& header) {
  if (header.length < kHeaderSize) return Corrupt("a PDU is at least 8 octets long");
  // The same in each version, and needed before the version is known to be one of ours.
  if (header.length > RulesOf(kMaxVersion).max_pdu) return Corrupt("a PDU of more than 65535 octets");
  return std::nullopt;
}

std::optional<Fault> CheckShape(const Header& header, const VersionRules& rules) {
  const auto type = static_cast<PduType>(header.type);
  if (header.type >= kPduTypes || !rules.Carries(type)) {
    return Fault{ErrorCode::kUnsupportedPduType, "this version has no PDU of that type"};
  }
  const std::size_t fixed = FixedSize(type, rules);
  bool fits = header.length == fixed;
  if (type == PduType::kRouterKey) fits = header.length > kRouterKeyFixedSize;
  if (type == PduType::kErrorReport) fits = header.length >= 16;
  if (type == PduType::kAspa) fits = header.length >= kAspaFixedSize && header.length % 4 == 0;
  if (!fits) return Corrupt("no PDU of that type has that length");
  return std::nullopt;
}

std::optional<Fault> Decode(std::string_view bytes, Body& body) {
  const Header header = ReadHeader(bytes);
  switch (static_cast<PduType>(header.type)) {
    case PduType::kSerialNotify:
      body = SerialNotify{.session = header.field, .serial = LoadBe<std::uint32_t>(bytes.data() + 8)};
      break;
    case PduType::kSerialQuery:
      body = SerialQuery{.session = header.field, .serial = LoadBe<std::uint32_t>(bytes.data() + 8)};
      break;
    case PduType::kResetQuery:
      body = ResetQuery{};
      break;
    case PduType::kCacheResponse:
      body = CacheResponse{.session = header.field};
      break;
    case PduType::kIpv4Prefix:
      return DecodeIpv4(bytes, body);
    case PduType::kIpv6Prefix:
      return DecodeIpv6(bytes, body);
    case PduType::kEndOfData:
      body = DecodeEndOfData(bytes, header.field);
      break;
    case PduType::kCacheReset:
      body = CacheReset{};
      break;
    case PduType::kRouterKey:
      body = RouterKey{.announce = (Octet(bytes, 2) & kAnnounce) != 0,
                       .as = LoadBe<std::uint32_t>(bytes.data() + 28),
                       .ski = bytes.substr(8, 20),
                       .spki = bytes.substr(kRouterKeyFixedSize)};
      break;
    case PduType::kErrorReport:
      return DecodeErrorReport(bytes, header.field, body);
    case PduType::kAspa:
      return DecodeAspa(bytes, body);
  }
  return std::nullopt;
}

vrp::RouterKey RouterKey::Value() const {
  vrp::RouterKey out;
  std::copy_n(ski.begin(), out.ski.size(), out.ski.begin());
  out.as = as;
  out.spki = spki;
  return out;
}

vrp::Aspa Aspa::Value() const {
  vrp::Aspa out;
  out.customer = customer;
  out.providers.reserve(providers.size() / 4);
  for (std::size_t at = 0; at < providers.size(); at += 4) {
    out.providers.push_back(LoadBe<std::uint32_t>(providers.data() + at));
  }
  return out;
}

void AppendSerialNotify(std::string& out, std::uint8_t version, std::uint16_t session, std::uint32_t serial) {
  AppendHeader(out, version, PduType::kSerialNotify, session, 12);
  AppendBe(out, serial);
}

void AppendSerialQuery(std::string& out, std::uint8_t version, std::uint16_t session, std::uint32_t serial) {
  AppendHeader(out, version, PduType::kSerialQuery, session, 12);
  AppendBe(out, serial);
}

void AppendResetQuery(std::string& out, std::uint8_t version) {
  AppendHeader(out, version, PduType::kResetQuery, 0, kHeaderSize);
}

void AppendCacheResponse(std::string& out, std::uint8_t version, std::uint16_t session) {
  AppendHeader(out, version, PduType::kCacheResponse, session, kHeaderSize);
}

void AppendCacheReset(std::string& out, std::uint8_t version) {
  AppendHeader(out, version, PduType::kCacheReset, 0, kHeaderSize);
}

void AppendEndOfData(std::string& out, std::uint8_t version, std::uint16_t session, std::uint32_t serial,
                     const Timers& timers) {
  const bool with_timers = RulesOf(version).end_of_data_timers;
  AppendHeader(out, version, PduType::kEndOfData, session, with_timers ? 24 : 12);
  AppendBe(out, serial);
  if (!with_timers) return;
  AppendBe(out, timers.refresh);
  AppendBe(out, timers.retry);
  AppendBe(out, timers.expire);
}

void AppendPrefix(std::string& out, std::uint8_t version, bool announce, const vrp::Vrp4& vrp) {
  AppendRecord(out, version, announce, vrp);
}
void AppendPrefix(std::string& out, std::uint8_t version, bool announce, const vrp::Vrp6& vrp) {
  AppendRecord(out, version, announce, vrp);
}
void AppendRouterKey(std::string& out, std::uint8_t version, bool announce, const vrp::RouterKey& key) {
  AppendRecord(out, version, announce, key);
}
void AppendAspa(std::string& out, std::uint8_t version, bool announce, const vrp::Aspa& aspa) {
  AppendRecord(out, version, announce, aspa);
}

void AppendErrorReport(std::string& out, std::uint8_t version, ErrorCode code, std::string_view erroneous_pdu,
                       std::string_view text) {
  erroneous_pdu = erroneous_pdu.substr(0, kErrorCopy);
  text = text.substr(0, kErrorText);
  AppendHeader(out, version, PduType::kErrorReport, static_cast<std::uint16_t>(code),
               static_cast<std::uint32_t>(16 + erroneous_pdu.size() + text.size()));
  AppendBe(out, static_cast<std::uint32_t>(erroneous_pdu.size()));
  out.append(erroneous_pdu);
  AppendBe(out, static_cast<std::uint32_t>(text.size()));
  out.append(text);
}

std::string Printable(std::string_view text) {
  while (!text.empty() && text.back() == '\0') text.remove_suffix(1);
  std::string out(text.substr(0, 256));
  for (char& c : out) {
    if (c < ' ' || c > '~') c = '?';
  }
  return out;
}

}  // namespace virp::rtr
