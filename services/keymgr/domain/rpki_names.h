// Names of what is published, below the base URI. Relying parties know them from certificates, so they never change.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "lib/base/clock.h"
#include "lib/base/status.h"
#include "lib/rpki/issue.h"

namespace virp::keymgr {

inline constexpr std::string_view kAnchorId = "ta", kIssuerId = "ca", kNewIssuerId = "ca-new";
inline constexpr UnixNanos kNanosPerSecond = 1'000'000'000;

// Of a key's record once another issues.
inline std::string OldIssuerId(std::uint32_t key_version) {
  return fmt::format("ca-old-{}", key_version);
}

inline rpki::Time TimeOf(UnixNanos nanos) {
  return rpki::Time(std::chrono::seconds(nanos / kNanosPerSecond));
}
inline UnixNanos NanosOf(rpki::Time time) {
  return static_cast<UnixNanos>(time.time_since_epoch().count()) * kNanosPerSecond;
}

inline std::string PointUri(std::string_view base, std::string_view id) {
  return fmt::format("{}{}/", base, id);
}
// `stem`: of an authority's files, which changes with its key; the folder stays.
inline std::string CrlUri(std::string_view base, std::string_view id, std::string_view stem) {
  return fmt::format("{}{}/{}.crl", base, id, stem);
}
inline std::string ManifestUri(std::string_view base, std::string_view id, std::string_view stem) {
  return fmt::format("{}{}/{}.mft", base, id, stem);
}
inline std::string AnchorUri(std::string_view base) {
  return fmt::format("{}ta.cer", base);
}
inline std::string IssuerUri(std::string_view base, std::string_view stem) {
  return fmt::format("{}ta/{}.cer", base, stem);
}

}  // namespace virp::keymgr
