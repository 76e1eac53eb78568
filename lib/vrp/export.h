// Sets as JSON for others: the dialect of rpki-client, which StayRTR and a second bridge read, and Routinator's
// json-delta. Both are valid UTF-8 and end with LF. Pure and thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lib/vrp/payload.h"

namespace virp::vrp {

struct ExportMetadata {
  std::int64_t generated = 0;                 // seconds since 1970; also written as buildtime
  std::optional<std::uint32_t> serial;        // of RTR, where the set is one that was served
  std::optional<std::uint16_t> session{};     // likewise; `sessionid`
  std::optional<std::uint8_t> rtr_version{};  // likewise
};

// `metadata`, `roas` by address, IPv4 first, `bgpsec_keys`, `aspas`. A payload without expiry has no `expires`.
// DecodeJson makes the same set of it. `metadata.set_sha256` is HashOf(set).
std::string WriteJson(const Payloads& set, const ExportMetadata& metadata);

// What changed from `from_serial` to `serial`. An announced ASPA replaces that of its customer; of a withdrawn one only
// the customer counts. `session` is printable ASCII without quotes and backslashes.
std::string WriteJsonDelta(std::string_view session, std::uint32_t from_serial, std::uint32_t serial,
                           const Payloads& announced, const Payloads& withdrawn);

// The same with "reset": true and the whole set as announced.
std::string WriteJsonReset(std::string_view session, std::uint32_t serial, const Payloads& set);

}  // namespace virp::vrp
