// One state of the data, as it is served: what evidence, API and state file tell of it. A value.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/base/clock.h"
#include "lib/rtr/version.h"
#include "lib/vrp/payload.h"

namespace virp::rtr_bridge {

struct Counts {
  std::size_t vrps4 = 0, vrps6 = 0, router_keys = 0, aspas = 0;

  static Counts Of(const vrp::Payloads& payloads) {
    return {payloads.vrps4.size(), payloads.vrps6.size(), payloads.router_keys.size(), payloads.aspas.size()};
  }
  friend bool operator==(const Counts&, const Counts&) = default;
};

struct NamedHash {
  std::string name;
  Hash sha256{};
  friend bool operator==(const NamedHash&, const NamedHash&) = default;
};

struct Serial {
  std::uint16_t session = 0;
  std::uint32_t serial = 0;
  friend bool operator==(const Serial&, const Serial&) = default;
};

struct Generation {
  std::uint64_t number = 0;  // 1, 2, 3 ... over all starts
  UnixNanos activated = 0;
  Counts counts;
  Hash sha256{};  // of the canonical set
  std::array<Serial, rtr::kVersions> serials{};
  std::size_t announced = 0, withdrawn = 0;
  std::vector<NamedHash> sources, slurm;
  std::string frame;  // its record, signed and spooled; empty while there is none

  friend bool operator==(const Generation&, const Generation&) = default;
};

struct HeldGeneration {
  std::uint64_t number = 0;  // that it gets when it is served now
  UnixNanos since = 0;
  std::optional<UnixNanos> until;  // nothing: until someone accepts it
  std::vector<std::string> reasons;
  Counts counts;
  Hash sha256{};
};

// What stands behind the set that routers get.
enum class ServingState : std::uint8_t {
  kNothing,  // nothing was loaded since the start: routers get error 2
  kCurrent,  // the sources' data, as far as a guard does not hold what is newer
  kStale,    // the last set, without what is expired by itself: too few sources have data that still count
  kStopped,  // error 2 again: nothing of the last set counts any more
};

}  // namespace virp::rtr_bridge
