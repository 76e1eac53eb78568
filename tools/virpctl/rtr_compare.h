// Two sets of payloads over time: what one has and the other has not, and for how long. Pure; for one thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "lib/vrp/payload.h"

namespace virp::virpctl {

using Seconds = std::int64_t;  // since 1970, and between such times

// Records of one kind as one side showed them, sorted. One that is gone is remembered for the grace period.
template <typename T>
class SeenRecords {
 public:
  struct Seen {
    T record;
    Seconds first = 0, last = 0;  // of the time without a break longer than the grace period
    bool visible = true;          // in the newest set
  };
  void Update(const std::vector<T>& set, Seconds now, Seconds grace);
  const std::vector<Seen>& all() const { return seen_; }
  std::size_t visible() const { return visible_; }
  // What is visible here and not remembered there, neither visible nor within its grace period.
  std::vector<const Seen*> NotIn(const SeenRecords& other) const;

 private:
  std::vector<Seen> seen_;
  std::size_t visible_ = 0;
};

// What one side showed.
struct SeenSet {
  SeenRecords<vrp::Vrp4> vrps4;
  SeenRecords<vrp::Vrp6> vrps6;
  SeenRecords<vrp::RouterKey> router_keys;
  SeenRecords<vrp::Aspa> aspas;  // with other providers it is another record

  void Update(const vrp::Payloads& set, Seconds now, Seconds grace);
  std::size_t vrps() const { return vrps4.visible() + vrps6.visible(); }
  std::size_t vrps_in_grace() const { return vrps4.all().size() + vrps6.all().size() - vrps(); }
};

// What one side has and the other has not.
struct SetDifference {
  std::vector<const SeenRecords<vrp::Vrp4>::Seen*> vrps4;
  std::vector<const SeenRecords<vrp::Vrp6>::Seen*> vrps6;
  std::vector<const SeenRecords<vrp::RouterKey>::Seen*> router_keys;
  std::vector<const SeenRecords<vrp::Aspa>::Seen*> aspas;

  std::size_t vrps() const { return vrps4.size() + vrps6.size(); }
  bool empty() const { return vrps() + router_keys.size() + aspas.size() == 0; }
  // VRPs that are seen since at least so long.
  std::size_t VrpsSince(Seconds now, Seconds at_least) const;
};
// Borrows from `one`; valid until it is updated.
SetDifference OnlyIn(const SeenSet& one, const SeenSet& other);

// How a side was reached, for the two documents.
struct RtrSideState {
  std::string name;  // "primary", "secondary"
  std::string url;
  bool up = false;         // its last reading was good
  Seconds last_fetch = 0;  // that was good
  bool cache = false;      // then the next ones count
  std::uint16_t session = 0;
  std::uint32_t serial = 0;
  std::array<std::uint32_t, 3> timers{};  // refresh, retry, expire
};

struct RtrSide {
  RtrSideState state;
  SeenSet seen;
};

// The differences as rtrmon's diff.json has them, with router keys and ASPAs beside the VRPs.
std::string DifferenceJson(const std::array<RtrSide, 2>& sides);
// Prometheus' text format, with the names that rtrmon uses.
std::string DifferenceMetrics(const std::array<RtrSide, 2>& sides, const std::vector<std::uint32_t>& thresholds,
                              Seconds now);

}  // namespace virp::virpctl
