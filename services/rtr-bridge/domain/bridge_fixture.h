// What the domain's tests share: small sets, a recorder and a state file that remember, and that fail when told to.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/status.h"
#include "lib/vrp/builder.h"
#include "lib/vrp/set.h"
#include "services/rtr-bridge/domain/cache.h"

namespace virp::rtr_bridge::testing {

struct Roa {
  std::string prefix;
  int max_length = 0;
  std::uint32_t as = 0;
  vrp::Expires expires = vrp::kNeverExpires;
};

inline vrp::Payloads SetOf(const std::vector<Roa>& roas) {
  vrp::Builder builder;
  for (const Roa& roa : roas) {
    const absl::Status added =
        builder.Add(*Prefix::Parse(roa.prefix), static_cast<std::uint64_t>(roa.max_length), roa.as, roa.expires);
    EXPECT_TRUE(added.ok()) << added;
  }
  return std::move(builder).Build().payloads;
}

// 10.0.0.0/24, 10.0.1.0/24 ...: `count` of them, of AS 64496.
inline std::vector<Roa> ManyRoas(int count) {
  std::vector<Roa> roas;
  for (int i = 0; i < count; ++i)
    roas.push_back({"10." + std::to_string(i / 256) + "." + std::to_string(i % 256) + ".0/24", 24, 64496});
  return roas;
}

inline Reading ReadingOf(vrp::Payloads payloads) {
  Reading reading;
  reading.sha256 = vrp::HashOf(payloads);
  reading.payloads = std::make_shared<const vrp::Payloads>(std::move(payloads));
  return reading;
}

// Thread-safe; `observations` is the test's to look at while nobody records.
class FakeRecorder final : public Recorder {
 public:
  absl::StatusOr<std::string> Record(const deliver::Observation& observation) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (full) return ResourceExhausted("the spool has no room");
    observations.push_back(observation);
    return "frame " + std::to_string(observations.size());
  }
  bool HasRoom() const override { return !full; }
  // Whose payload has the text.
  std::size_t Count(const std::string& text) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::size_t count = 0;
    for (const auto& observation : observations) count += observation.payload.find(text) != std::string::npos ? 1 : 0;
    return count;
  }
  std::atomic<bool> full = false;
  std::vector<deliver::Observation> observations;

 private:
  mutable std::mutex mutex_;
};

class FakeState final : public StateFile {
 public:
  absl::Status Write(std::string_view state) override {
    if (broken) return doubtful ? DataLoss("the disk may be gone") : Unavailable("the disk is gone");
    written = state;
    return absl::OkStatus();
  }
  bool broken = false;
  bool doubtful = false;  // whether a broken one has what was written last
  std::string written;
};

}  // namespace virp::rtr_bridge::testing
