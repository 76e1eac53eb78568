// The BGPsec_Path attribute (RFC 8205 section 3) and the bytes that its signatures cover (sections 4.2 and 5.2).
//
// Shapes: everything stands newest first, as in the attribute: index 0 is the AS that sent the UPDATE, the last one
// originated the route. A path has at least one segment; its blocks, one or two, each hold a signature per segment.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace virp::bgpsec {

inline constexpr std::size_t kSkiSize = 20;
inline constexpr std::uint8_t kSuiteP256Sha256 = 1;  // RFC 8608 section 2.2
inline constexpr std::uint8_t kConfedSegment = 0x80;
// What one attribute of 65,535 bytes can hold at most.
inline constexpr std::size_t kMaxSegments = 65'535 / 6;
inline constexpr std::size_t kMaxBlocks = 2;

using Ski = std::array<char, kSkiSize>;

struct PathSegment {
  std::uint8_t pcount = 1;  // 0: a transparent AS, such as a route server
  std::uint8_t flags = 0;   // kConfedSegment; the others are sent as zero and signed as they came
  std::uint32_t asn = 0;
  bool operator==(const PathSegment&) const = default;
};

struct Signature {
  Ski ski{};
  std::string value;
  bool operator==(const Signature&) const = default;
};

struct SignatureBlock {
  std::uint8_t suite = kSuiteP256Sha256;
  std::vector<Signature> signatures;
  bool operator==(const SignatureBlock&) const = default;
};

struct Path {
  std::vector<PathSegment> segments;
  std::vector<SignatureBlock> blocks;
  bool operator==(const Path&) const = default;
};

// What is announced, as the hash input wants it.
struct Nlri {
  std::uint16_t afi = 1;  // 1 IPv4, 2 IPv6
  std::uint8_t safi = 1;  // unicast
  std::string
      prefix;  // length octet and as many octets as it needs, bits behind the length zero (RFC 4271 section 4.3)
};

// The value of the attribute, without flags, type and length. InvalidArgument with the offset for what section 5.2
// calls a syntactic error: lengths that do not add up, no segment, no block or three of them, two of one suite, a count
// of signatures that is not the count of segments, an empty signature. An UPDATE with such an attribute is treated as a
// withdrawal (RFC 7606).
absl::StatusOr<Path> Decode(std::string_view attribute);

// The inverse. InvalidArgument for a path that Decode would refuse, or one too large for an attribute.
absl::StatusOr<std::string> Encode(const Path& path);

// InvalidArgument unless afi and safi are IPv4 or IPv6 unicast and the prefix is whole, within its family, and zero
// behind its length.
absl::Status Check(const Nlri& nlri);

// The bytes that the signatures of one block cover. Each signer's input begins with the AS that it sent to, which is
// also the last field of the next signer's own path segment: so all inputs are tails of one buffer, which is built
// once.
class SignedData {
 public:
  // `unsigned_segments`: how many at the front have no signature yet: 0 to verify, 1 to sign. The caller has checked
  // path and Nlri.
  SignedData(const Path& path, const SignatureBlock& block, std::uint32_t target_asn, const Nlri& nlri,
             std::size_t unsigned_segments = 0);

  // What the AS of segments[index] signs or signed. Valid as long as this object.
  std::string_view For(std::size_t index) const { return std::string_view(bytes_).substr(starts_[index]); }

 private:
  std::string bytes_;
  std::vector<std::size_t> starts_;
};

}  // namespace virp::bgpsec
