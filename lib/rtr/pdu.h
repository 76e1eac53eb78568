// PDUs of the RPKI-to-Router protocol as bytes (RFC 6810, RFC 8210, draft-ietf-sidrops-8210bis-27; ASPA as in its
// revisions 14 and later). Integers are big-endian. Reserved fields are written as zero and ignored when read.
// Everything here is thread-safe; what is decoded borrows from the bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "lib/rtr/version.h"
#include "lib/vrp/payload.h"

namespace virp::rtr {

inline constexpr std::size_t kHeaderSize = 8;
inline constexpr std::size_t kIpv4PrefixSize = 20;
inline constexpr std::size_t kIpv6PrefixSize = 32;
inline constexpr std::size_t kRouterKeyFixedSize = 32;  // and the SubjectPublicKeyInfo
inline constexpr std::size_t kAspaFixedSize = 12;       // and four octets for each provider
// What a router key's SubjectPublicKeyInfo may have at most; the one of RFC 8608 has 91.
inline constexpr std::size_t kMaxSpki = 65'535 - kRouterKeyFixedSize;

struct Header {
  std::uint8_t version = 0;
  std::uint8_t type = 0;
  std::uint16_t field = 0;   // session id, error code, or flags in its upper half
  std::uint32_t length = 0;  // of the whole PDU
};
Header ReadHeader(std::string_view eight_bytes);

// Why a PDU is not taken: the code of the Error Report that answers it and a text for people, which lives for ever.
struct Fault {
  ErrorCode code = ErrorCode::kCorruptData;
  std::string_view text;
};

// What holds for every version: the length is at least 8 and at most 65,535. To be asked as soon as the header is
// there.
std::optional<Fault> CheckLength(const Header& header);
// Whether the version carries that type, and whether the type can have that length.
std::optional<Fault> CheckShape(const Header& header, const VersionRules& rules);

struct SerialNotify {
  std::uint16_t session = 0;
  std::uint32_t serial = 0;
};
struct SerialQuery {
  std::uint16_t session = 0;
  std::uint32_t serial = 0;
};
struct ResetQuery {};
struct CacheResponse {
  std::uint16_t session = 0;
};
struct Ipv4Prefix {
  bool announce = false;
  vrp::Vrp4 vrp;
};
struct Ipv6Prefix {
  bool announce = false;
  vrp::Vrp6 vrp;
};
struct EndOfData {
  std::uint16_t session = 0;
  std::uint32_t serial = 0;
  std::optional<Timers> timers;  // from version 1 on; their ranges are not checked here
};
struct CacheReset {};
struct RouterKey {
  bool announce = false;
  std::uint32_t as = 0;
  std::string_view ski;   // 20 octets
  std::string_view spki;  // at least one

  vrp::RouterKey Value() const;
};
struct ErrorReport {
  std::uint16_t code = 0;
  std::string_view pdu;   // the erroneous one, perhaps cut off, perhaps empty
  std::string_view text;  // as it came: perhaps no UTF-8
};
struct Aspa {
  bool announce = false;
  std::uint32_t customer = 0;
  std::string_view providers;  // four octets each, ascending, unique, AS 0 only alone; none in a withdrawal

  vrp::Aspa Value() const;
};

using Body = std::variant<SerialNotify, SerialQuery, ResetQuery, CacheResponse, Ipv4Prefix, Ipv6Prefix, EndOfData,
                          CacheReset, RouterKey, ErrorReport, Aspa>;

// Decodes one whole PDU: bytes.size() is what its header says, CheckLength and CheckShape passed. The header's version
// is not looked at again. A fault names what RFC 8210 section 12 or the draft has for it:
//   a prefix whose length or maxLength cannot be, or with bits behind its length: 0
//   inner lengths of an Error Report that do not fit: 0
//   a provider list that is empty, out of order, or has AS 0 beside others, and a withdrawal with providers: 9
std::optional<Fault> Decode(std::string_view bytes, Body& body);

void AppendSerialNotify(std::string& out, std::uint8_t version, std::uint16_t session, std::uint32_t serial);
void AppendSerialQuery(std::string& out, std::uint8_t version, std::uint16_t session, std::uint32_t serial);
void AppendResetQuery(std::string& out, std::uint8_t version);
void AppendCacheResponse(std::string& out, std::uint8_t version, std::uint16_t session);
void AppendCacheReset(std::string& out, std::uint8_t version);
// Version 0 has no timers.
void AppendEndOfData(std::string& out, std::uint8_t version, std::uint16_t session, std::uint32_t serial,
                     const Timers& timers);
// Records, announced or withdrawn. The version carries the type; an ASPA's withdrawal has no providers whatever the
// value has; an SPKI has at most kMaxSpki octets, providers are at most vrp::kMaxProviders.
void AppendPrefix(std::string& out, std::uint8_t version, bool announce, const vrp::Vrp4& vrp);
void AppendPrefix(std::string& out, std::uint8_t version, bool announce, const vrp::Vrp6& vrp);
void AppendRouterKey(std::string& out, std::uint8_t version, bool announce, const vrp::RouterKey& key);
void AppendAspa(std::string& out, std::uint8_t version, bool announce, const vrp::Aspa& aspa);

// Of the erroneous PDU the first kErrorCopy octets are copied, of the text the first kErrorText.
inline constexpr std::size_t kErrorCopy = 512;
inline constexpr std::size_t kErrorText = 512;
void AppendErrorReport(std::string& out, std::uint8_t version, ErrorCode code, std::string_view erroneous_pdu,
                       std::string_view text);

// A text of a peer, fit for a log: without NUL at its end, at most 256 characters, what is not printable ASCII as '?'.
std::string Printable(std::string_view text);

}  // namespace virp::rtr
