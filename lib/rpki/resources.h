// Number resources of RFC 3779: which AS numbers and addresses a certificate is about. Values; thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/ip.h"

namespace virp::rpki {

struct AsRange {
  std::uint32_t first = 0;
  std::uint32_t last = 0;
  friend bool operator==(const AsRange&, const AsRange&) = default;
};

class AsResources {
 public:
  AsResources() = default;  // none
  static AsResources Inherit();
  static AsResources Of(
      std::vector<AsRange> ranges);  // sorted and merged; a range whose last is below its first counts for nothing
  static AsResources Single(std::uint32_t asn) { return Of({{asn, asn}}); }
  // Ranges of text: "64496", "64496-64511".
  static absl::StatusOr<AsResources> Parse(const std::vector<std::string>& ranges);

  bool inherit() const { return inherit_; }
  bool empty() const { return !inherit_ && ranges_.empty(); }
  const std::vector<AsRange>& ranges() const { return ranges_; }  // ascending, not adjacent
  // Both false when this one inherits: what it has is its issuer's to say.
  bool Contains(std::uint32_t asn) const;
  bool Contains(const AsResources& other) const;

  std::string Encode() const;  // the extension's value
  struct Decoded;
  // InvalidArgument unless it is DER in the canonical form of RFC 3779 section 3.3; at most 100,000 ranges.
  static absl::StatusOr<Decoded> Decode(std::string_view value);

 private:
  bool inherit_ = false;
  std::vector<AsRange> ranges_;
};

struct AsResources::Decoded {
  AsResources numbers;  // empty when there are none
  bool has_rdi = false;
};

// Address blocks of both families, as prefixes. Empty means none.
class IpResources {
 public:
  IpResources() = default;
  static IpResources Inherit();  // both families, which manifests' certificates need
  static IpResources Of(std::vector<Prefix> prefixes);

  bool empty() const { return !inherit_ && prefixes_.empty(); }
  // The extension's value, canonical: sorted, and what is adjacent joined (RFC 3779 section 2.2.3).
  std::string Encode() const;

 private:
  bool inherit_ = false;
  std::vector<Prefix> prefixes_;
};

}  // namespace virp::rpki
