// What the tests of the SourceBook share.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "lib/chain/source_book.h"
#include "lib/chain/test_chain.h"

namespace virp::chain {

inline constexpr std::uint64_t kStart = TestChain::kStart;
inline constexpr std::uint64_t kSecond = TestChain::kSecond;
inline constexpr std::uint64_t kEpoch = kStart + 1;  // TestChain's default
inline constexpr char kEdge[] = "edge-a.bgpd";
inline constexpr char kCollector[] = "collector-1";
inline constexpr char kStranger[] = "collector-2";
// A chain with a daemon, the collector that carries it, and another collector that has nothing to do with it.
class SourceBookTest : public ::testing::Test {
 protected:
  SourceBookTest() {
    chain.Register(chain.Template(kEdge));
    for (const char* name : {kCollector, kStranger}) {
      Registration r = chain.Template(name, frame::Suite::kEd25519);
      r.vantage = Vantage::kService;
      r.types = {19, 22, 23, 24};
      r.routers.clear();
      if (name == kStranger) r.carried_by = {"spiffe://example.net/collector/collector-2"};
      chain.Register(r);
    }
  }
  TestChain::Result Send(std::uint64_t number, std::uint64_t epoch = 0) {
    return chain.Send(kEdge, {.number = number, .epoch = epoch});
  }
  TestChain::Result Beat(const char* signer, const char* about, std::uint64_t epoch, std::uint64_t last) {
    Heartbeat beat;
    beat.sources.push_back({frame::SourceIdOf(about), epoch, last, true, 0, 0, false});
    return chain.Send(signer, {.type = frame::Type::kHeartbeat, .payload = BuildHeartbeat(beat)});
  }
  const EpochState& Epoch(std::uint64_t epoch = kEpoch) const { return chain.channel(kEdge).epochs.at(epoch); }
  std::vector<std::pair<std::uint64_t, std::uint64_t>> Missing(std::uint64_t epoch = kEpoch) const {
    std::vector<std::pair<std::uint64_t, std::uint64_t>> out;
    const auto& epochs = chain.channel(kEdge).epochs;
    if (!epochs.contains(epoch)) return out;
    for (const auto& range : epochs.at(epoch).missing) out.emplace_back(range.from, range.to);
    return out;
  }
  static SourceEvent Event(SourceEvent::Event event, std::uint64_t epoch = 0, std::uint64_t from = 0,
                           std::uint64_t to = 0) {
    return {.event = event, .source = kEdge, .registration = {}, .epoch = epoch, .from = from, .to = to};
  }
  KeyEvent Roll(std::uint32_t version, frame::Suite suite = frame::Suite::kHmacSha256) {
    return {.source = kEdge, .key = chain.MakeKey(kEdge, version, suite)};
  }
  using Pair = std::pair<std::uint64_t, std::uint64_t>;

  TestChain chain;
};

}  // namespace virp::chain
