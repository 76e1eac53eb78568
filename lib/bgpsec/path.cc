#include "lib/bgpsec/path.h"

#include <algorithm>
#include <limits>

#include "lib/base/bytes.h"
#include "lib/base/status.h"

namespace virp::bgpsec {
namespace {

constexpr std::size_t kLengthSize = 2;
constexpr std::size_t kSegmentSize = 6;
constexpr std::size_t kSignatureHeadSize = kSkiSize + kLengthSize;

void Append(std::string& out, const PathSegment& segment) {
  AppendBe(out, segment.pcount);
  AppendBe(out, segment.flags);
  AppendBe(out, segment.asn);
}

void Append(std::string& out, const Signature& signature) {
  out.append(signature.ski.data(), signature.ski.size());
  AppendBe(out, static_cast<std::uint16_t>(signature.value.size()));
  out.append(signature.value);
}

// What `rest` begins with and says the length of; both lengths count their own two bytes (RFC 8205 sections 3.1
// and 3.2).
absl::StatusOr<std::string_view> TakePart(std::string_view whole, std::string_view& rest, std::string_view what) {
  const std::size_t at = whole.size() - rest.size();
  if (rest.size() < kLengthSize) return InvalidArgument("BGPsec_Path: {} is cut off at byte {}", what, at);
  const std::size_t length = LoadBe<std::uint16_t>(rest.data());
  if (length < kLengthSize || length > rest.size()) {
    return InvalidArgument("BGPsec_Path: {} at byte {} says it has {} bytes, and {} are left", what, at, length,
                           rest.size());
  }
  const std::string_view part = rest.substr(kLengthSize, length - kLengthSize);
  rest.remove_prefix(length);
  return part;
}

absl::StatusOr<std::vector<PathSegment>> DecodeSegments(std::string_view bytes) {
  if (bytes.empty() || bytes.size() % kSegmentSize != 0) {
    return InvalidArgument("BGPsec_Path: Secure_Path has {} bytes of segments, which is no multiple of {}",
                           bytes.size(), kSegmentSize);
  }
  std::vector<PathSegment> segments;
  segments.reserve(bytes.size() / kSegmentSize);
  for (; !bytes.empty(); bytes.remove_prefix(kSegmentSize)) {
    segments.push_back({LoadBe<std::uint8_t>(bytes.data()), LoadBe<std::uint8_t>(bytes.data() + 1),
                        LoadBe<std::uint32_t>(bytes.data() + 2)});
  }
  return segments;
}

absl::StatusOr<SignatureBlock> DecodeBlock(std::string_view bytes, std::size_t segments) {
  if (bytes.empty()) return InvalidArgument("BGPsec_Path: a Signature_Block without an algorithm suite");
  SignatureBlock block{LoadBe<std::uint8_t>(bytes.data()), {}};
  bytes.remove_prefix(1);
  while (!bytes.empty()) {
    if (block.signatures.size() == segments)
      return InvalidArgument("BGPsec_Path: more signatures than its {} path segments", segments);
    if (bytes.size() < kSignatureHeadSize) return InvalidArgument("BGPsec_Path: a Signature Segment is cut off");
    const std::size_t size = LoadBe<std::uint16_t>(bytes.data() + kSkiSize);
    if (size == 0 || size > bytes.size() - kSignatureHeadSize) {
      return InvalidArgument("BGPsec_Path: a signature of {} bytes, and {} are left", size,
                             bytes.size() - kSignatureHeadSize);
    }
    Signature& signature = block.signatures.emplace_back();
    bytes.copy(signature.ski.data(), kSkiSize);
    signature.value = bytes.substr(kSignatureHeadSize, size);
    bytes.remove_prefix(kSignatureHeadSize + size);
  }
  if (block.signatures.size() != segments) {
    return InvalidArgument("BGPsec_Path: {} signatures for {} path segments", block.signatures.size(), segments);
  }
  return block;
}

absl::Status CheckShape(const Path& path) {
  if (path.segments.empty()) return InvalidArgument("BGPsec_Path: no path segment");
  if (path.blocks.empty() || path.blocks.size() > kMaxBlocks) {
    return InvalidArgument("BGPsec_Path: {} Signature_Blocks; one or two may be there", path.blocks.size());
  }
  if (path.blocks.size() == 2 && path.blocks[0].suite == path.blocks[1].suite) {
    return InvalidArgument("BGPsec_Path: two Signature_Blocks of suite {}", path.blocks[0].suite);
  }
  for (const SignatureBlock& block : path.blocks) {
    if (block.signatures.size() != path.segments.size()) {
      return InvalidArgument("BGPsec_Path: {} signatures for {} path segments", block.signatures.size(),
                             path.segments.size());
    }
    if (std::ranges::any_of(block.signatures, [](const Signature& s) { return s.value.empty(); })) {
      return InvalidArgument("BGPsec_Path: an empty signature");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Path> Decode(std::string_view attribute) {
  Path path;
  std::string_view rest = attribute;
  ASSIGN_OR_RETURN(const std::string_view secure_path, TakePart(attribute, rest, "Secure_Path"));
  ASSIGN_OR_RETURN(path.segments, DecodeSegments(secure_path));
  while (!rest.empty()) {
    if (path.blocks.size() == kMaxBlocks)
      return InvalidArgument("BGPsec_Path: more than {} Signature_Blocks", kMaxBlocks);
    ASSIGN_OR_RETURN(const std::string_view block, TakePart(attribute, rest, "Signature_Block"));
    ASSIGN_OR_RETURN(path.blocks.emplace_back(), DecodeBlock(block, path.segments.size()));
  }
  RETURN_IF_ERROR(CheckShape(path));
  return path;
}

absl::StatusOr<std::string> Encode(const Path& path) {
  RETURN_IF_ERROR(CheckShape(path));
  constexpr std::size_t kMax = std::numeric_limits<std::uint16_t>::max();
  if (path.segments.size() > kMaxSegments)
    return InvalidArgument("BGPsec_Path: {} path segments are too many", path.segments.size());
  std::string out;
  AppendBe(out, static_cast<std::uint16_t>(kLengthSize + path.segments.size() * kSegmentSize));
  for (const PathSegment& segment : path.segments) Append(out, segment);
  for (const SignatureBlock& block : path.blocks) {
    const std::size_t begin = out.size();
    AppendBe(out, std::uint16_t{0});
    AppendBe(out, block.suite);
    for (const Signature& signature : block.signatures) {
      if (signature.value.size() > kMax)
        return InvalidArgument("BGPsec_Path: a signature of {} bytes", signature.value.size());
      Append(out, signature);
    }
    if (out.size() > kMax) return InvalidArgument("BGPsec_Path: more than {} bytes", kMax);
    StoreBe(out.data() + begin, static_cast<std::uint16_t>(out.size() - begin));
  }
  return out;
}

absl::Status Check(const Nlri& nlri) {
  if ((nlri.afi != 1 && nlri.afi != 2) || nlri.safi != 1) {
    return InvalidArgument("BGPsec signs IPv4 and IPv6 unicast only, not AFI {} SAFI {}", nlri.afi, nlri.safi);
  }
  if (nlri.prefix.empty()) return InvalidArgument("BGPsec: an empty prefix");
  const unsigned bits = LoadBe<std::uint8_t>(nlri.prefix.data());
  if (bits > (nlri.afi == 1 ? 32U : 128U) || nlri.prefix.size() != 1 + (bits + 7) / 8) {
    return InvalidArgument("BGPsec: a prefix of {} bits in {} bytes", bits, nlri.prefix.size() - 1);
  }
  if (bits % 8 != 0 && (static_cast<unsigned char>(nlri.prefix.back()) & (0xffU >> (bits % 8))) != 0) {
    return InvalidArgument("BGPsec: bits behind the prefix length are not zero");
  }
  return absl::OkStatus();
}

SignedData::SignedData(const Path& path, const SignatureBlock& block, std::uint32_t target_asn, const Nlri& nlri,
                       std::size_t unsigned_segments) {
  starts_.reserve(path.segments.size());
  AppendBe(bytes_, target_asn);
  for (std::size_t i = 0; i < path.segments.size(); ++i) {
    starts_.push_back(bytes_.size() - sizeof(std::uint32_t));  // the target, or the AS of the segment before
    if (i + 1 < path.segments.size()) Append(bytes_, block.signatures[i + 1 - unsigned_segments]);
    Append(bytes_, path.segments[i]);
  }
  AppendBe(bytes_, block.suite);
  AppendBe(bytes_, nlri.afi);
  AppendBe(bytes_, nlri.safi);
  bytes_.append(nlri.prefix);
}

}  // namespace virp::bgpsec
