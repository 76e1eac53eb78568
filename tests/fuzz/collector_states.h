// The states that a collector keeps in its spool, and bytes taken apart.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/base/clock.h"
#include "services/collector/domain/bmp_table.h"
#include "services/collector/domain/edge_limits.h"
#include "services/collector/domain/frame_intake.h"
#include "services/collector/domain/route_fold.h"
#include "services/collector/domain/submissions.h"

namespace virp::fuzz {

inline const std::string kSources[] = {"edge-a.bgpd", "edge-b.bgpd", "collector-1", "old.bgpd"};

// Takes from the front; what is not there is empty or zero.
struct Input {
  std::string_view left;

  std::string_view Take(std::size_t size) {
    const std::string_view part = left.substr(0, size);
    left.remove_prefix(part.size());
    return part;
  }
  template <typename T>
  T Number() {
    const std::string_view part = Take(sizeof(T));
    return part.size() == sizeof(T) ? LoadBe<T>(part.data()) : T{0};
  }
  std::string_view Text() { return Take(Number<std::uint16_t>()); }
};

// A frame in the spelling that the number picks: 0 to 2 version 1, else version 2. Behind that come type, tier, time
// and number of the frame, then its payload. Its tag is not by any key. Empty when there is no such frame.
struct SpooledBytes {
  frame::Spelling spelling = frame::Spelling::kV2;
  std::string bytes;
};
inline SpooledBytes TakeFrame(Input& in, const std::string& source, std::uint64_t epoch) {
  frame::Header header;
  header.spelling = static_cast<frame::Spelling>(1 + in.Number<std::uint8_t>() % 4);
  header.type = static_cast<frame::Type>(in.Number<std::uint8_t>());
  header.tier = static_cast<frame::Tier>(in.Number<std::uint8_t>() % 4);
  header.timestamp = in.Number<std::uint64_t>();
  header.sequence = in.Number<std::uint32_t>();
  if (header.spelling == frame::Spelling::kV2) {
    header.key_version = 1;
    header.boot_epoch = epoch;
    header.source_id = frame::SourceIdOf(source);
  }
  auto encoded = frame::EncodeUnsigned(header, in.Text());
  if (!encoded.ok()) return {};
  return {header.spelling, *encoded + std::string(frame::TagSize(header.suite), 't')};
}

struct CollectorStates {
  CollectorStates() : tables(Options()), fold(limits, clock) {}

  static collector::BmpOptions Options() {
    collector::BmpOptions options;
    options.collector_source = kSources[2];
    for (int i = 0; i < 2; ++i) options.routers.emplace_back().source = kSources[i];
    return options;
  }
  std::vector<deliver::OutboxState*> all() { return {&tables, &fold, &submissions, &runs}; }

  FakeClock clock;
  collector::EdgeLimits limits{RateLimitTable{}, clock};
  collector::BmpTables tables;
  collector::RouteFold fold;
  collector::Submissions submissions;
  collector::RunBook runs;
};

}  // namespace virp::fuzz
