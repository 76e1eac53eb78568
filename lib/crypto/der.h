// Reading and writing DER (X.690): what certificates, CRLs and signed objects are made of. Reading is strict, since
// what is signed has one encoding only: definite lengths in their shortest form, one-byte tags, nothing behind the end.
// It allocates nothing and does not recurse; what is returned borrows from the input. Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace virp::der {

using Time = std::chrono::sys_seconds;  // UTC

inline constexpr std::uint8_t kBoolean = 0x01;
inline constexpr std::uint8_t kInteger = 0x02;
inline constexpr std::uint8_t kBitString = 0x03;
inline constexpr std::uint8_t kOctetString = 0x04;
inline constexpr std::uint8_t kNull = 0x05;
inline constexpr std::uint8_t kOid = 0x06;
inline constexpr std::uint8_t kUtf8String = 0x0c;
inline constexpr std::uint8_t kPrintableString = 0x13;
inline constexpr std::uint8_t kIa5String = 0x16;
inline constexpr std::uint8_t kUtcTime = 0x17;
inline constexpr std::uint8_t kGeneralizedTime = 0x18;
inline constexpr std::uint8_t kSequence = 0x30;
inline constexpr std::uint8_t kSet = 0x31;
// [number], in place of the type's own tag (IMPLICIT) or around it.
constexpr std::uint8_t Context(std::uint8_t number) {
  return static_cast<std::uint8_t>(0x80 | number);
}
constexpr std::uint8_t ContextConstructed(std::uint8_t number) {
  return static_cast<std::uint8_t>(0xa0 | number);
}

struct Element {
  std::uint8_t tag = 0;
  std::string_view content;
  std::string_view whole;  // tag, length and content
};

// Walks the elements of a content. Each error is InvalidArgument and names `what`, which stays with the caller.
class Reader {
 public:
  Reader(std::string_view content, std::string_view what) : rest_(content), what_(what) {}

  bool AtEnd() const { return rest_.empty(); }
  bool At(std::uint8_t tag) const { return !rest_.empty() && static_cast<std::uint8_t>(rest_.front()) == tag; }
  absl::StatusOr<Element> Any();
  absl::StatusOr<Element> Take(std::uint8_t tag);
  absl::StatusOr<Reader> Enter(std::uint8_t tag);  // the content of a constructed element
  absl::Status End() const;                        // unless everything was read

  absl::StatusOr<bool> Boolean();
  // Big-endian and without leading zeros; empty for zero. Negative numbers are refused.
  absl::StatusOr<std::string_view> Unsigned();
  absl::StatusOr<std::uint64_t> Number();             // one that fits
  absl::StatusOr<std::string_view> Oid();             // its content
  absl::StatusOr<std::string_view> BitStringBytes();  // a bit string of whole bytes
  absl::StatusOr<Time> TimeValue();                   // UTCTime or GeneralizedTime, in seconds, Z

 private:
  absl::Status Wrong(std::string_view why) const;

  std::string_view rest_;
  std::string_view what_;
};

// The content of the one element that `bytes` is.
absl::StatusOr<Reader> Open(std::string_view bytes, std::uint8_t tag, std::string_view what);

// Writing. What is given are whole elements, or raw content where it says so.
std::string Header(std::uint8_t tag, std::size_t content_size);
std::string Tlv(std::uint8_t tag, std::initializer_list<std::string_view> content);
inline std::string Tlv(std::uint8_t tag, std::string_view content) {
  return Tlv(tag, {content});
}
inline std::string Sequence(std::initializer_list<std::string_view> elements) {
  return Tlv(kSequence, elements);
}
std::string UnsignedInteger(std::string_view big_endian);  // raw; leading zeros are dropped
std::string Integer(std::uint64_t value);
std::string Bits(std::string_view bytes, unsigned unused_bits = 0);
// The named bits that are set, without trailing zeros: bit 0 is the top bit of the first byte.
std::string NamedBits(std::initializer_list<unsigned> bits);
// UTCTime to 2049, then GeneralizedTime (RFC 5280 section 4.1.2.5).
std::string CertificateTime(Time time);
std::string GeneralizedTime(Time time);

// "1.3.6.1.5.5.7.3.30" from an OID's content; "?" for one that is malformed.
std::string OidText(std::string_view content);
std::string TimeText(Time time);  // 2026-11-22T04:05:06Z

}  // namespace virp::der
