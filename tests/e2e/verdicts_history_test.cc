// Random histories through the real parts: whatever happens in whatever order, at every chain size every replica says
// what the naive evaluator says. (services/onode/domain/claim_property_test.cc does ten thousand without a network.)
#include <random>

#include "tests/e2e/verdicts_fixture.h"

namespace virp::e2e {
namespace {

constexpr int kEvents = 70;

class VerdictHistories : public VerdictsFixture {
 protected:
  std::uint64_t Below(std::uint64_t n) { return random_() % n; }
  bool OneIn(std::uint64_t n) { return Below(n) == 0; }

  // Refused or not, both are history.
  void Try(Producer& producer, Type type, const std::string& payload, Tier tier = Tier::kGreen) {
    Deliver(producer, producer.Say(type, payload, tier));
  }
  testutil::BgpPeer Peer() {
    testutil::BgpPeer peer;
    if (OneIn(4)) peer.address = "192.0.2.3";
    if (OneIn(12)) peer.router_id = "198.51.100.9";  // not its router
    return peer;
  }
  testutil::BgpPath Path() {
    testutil::BgpPath path;
    if (OneIn(4)) path.prefix = "198.51.100.0/24";
    if (OneIn(4)) path.rib = "loc";
    if (OneIn(4)) path.as_path = "64501 64520";
    path.restated = OneIn(4);
    return path;
  }

  void Speak(Producer& producer) {
    const Tier tier = OneIn(6) ? Tier::kYellow : OneIn(12) ? Tier::kRed : Tier::kGreen;
    switch (Below(7)) {
      case 0:
      case 1:
        return Try(producer, Type::kPeerStatusChanged, PeerStateJson(Peer(), "OpenConfirm", "Established", OneIn(4)),
                   tier);
      case 2:
        return Try(producer, Type::kPeerBackwardTransition, PeerDownJson(Peer()), tier);
      case 3:
        return Try(producer, Type::kBgpProcess, testutil::AnnounceJson(Peer(), Path()), tier);
      case 4:
        return Try(producer, Type::kBgpProcess, testutil::WithdrawJson(Peer(), Path()), tier);
      case 5:
        return Try(producer, Type::kBgpProcess,
                   testutil::TableCompleteJson(Peer(), Path().rib, OneIn(2) ? 0 : producer.last() / 2 + 1), tier);
      default:
        return Try(producer, Type::kBgpRouteUpdate,
                   testutil::BestJson(Peer(), Path().prefix, OneIn(3) ? std::nullopt : std::optional(Path())), tier);
    }
  }
  // A number that was skipped or is held arrives: a late frame, or the second one under its number.
  void Late(Producer& producer) {
    if (producer.last() < 2) return;
    const std::uint64_t number =
        OneIn(6) || skipped_[producer.name()] == 0 ? Below(producer.last()) + 1 : skipped_[producer.name()];
    Deliver(producer, producer.Sign(number, Type::kPeerStatusChanged,
                                    PeerStateJson({}, "Established", OneIn(2) ? "Idle" : "Established", true)));
  }
  void Operate(const std::string& name) {
    switch (Below(9)) {
      case 0:
        return leader().MarkBlack(name);
      case 1:
      case 2:
        leader().ClearAlarms(name);
        return;
      case 3:
        return leader().MarkCompromised(name, 1, clock_.NowNanos() - Below(40) * 1'000'000'000);
      default:
        leader().Suspend(name);
        if (OneIn(2)) Speak(producers_.at(name));
        return leader().Resume(name);
    }
  }
  void Step() {
    if (OneIn(2)) clock_.Advance(std::chrono::milliseconds(OneIn(8) ? 20'000 + Below(30'000) : Below(6'000)));
    Producer& producer = OneIn(2) ? bgpd() : bmp();
    const std::uint64_t kind = Below(100);
    if (kind < 50) return Speak(producer);
    if (kind < 72)
      return Try(producers_.at(OneIn(2) ? "collector-1" : "collector-2"), Type::kHeartbeat,
                 BeatOf(producer, !OneIn(6), OneIn(6) ? 1 : 0));
    if (kind < 80) {
      producer.Skip();
      skipped_[producer.name()] = producer.last();
      return;
    }
    if (kind < 88) return Late(producer);
    if (kind < 92) return producer.Restart();
    if (kind < 95) return producer.SetClockError(std::chrono::seconds(Below(10)) - std::chrono::seconds(5));
    Operate(producer.name());
  }

  std::mt19937_64 random_;
  std::map<std::string, std::uint64_t> skipped_;
};

TEST_P(VerdictHistories, EveryReplicaAgreesWithTheNaiveEvaluatorAtEverySize) {
  random_.seed(GetParam().seed);
  RegisterAll();
  for (int i = 0; i < kEvents; ++i) Step();
  ExpectNaiveAgreement(
      {PeerIs(), PeerIs("", true), PeerIs("down"), Route(), Route(true), Route(false, "", ""), Route(true, "", ""),
       Route(false, "loc", ""), Route(true, "loc", ""), Route(false, "best", ""), Route(true, "best", "192.0.2.3"),
       Field("bgp/edge-a/default/peer/192.0.2.2", "peer_state_change"),
       Field("bgp/edge-a/default/best/203.0.113.0/24", ""), Field("bgp/edge-a/default/adj-in-pre/192.0.2.2", ""),
       Field("source/collector-1", "heartbeat"), Field("source/edge-a.bgpd", "")},
      {{{}, 0},
       {AtLeast(2), 3},
       {Without("edge-a.bmp"), 1},
       {Without("edge-a.bgpd"), 35},
       {Worst(verify::v1::TIER_RED), 12},
       {MaxAge(120), 1}});
  for (const auto& [verdict, times] : seen_) RecordProperty(verify::v1::Verdict_Name(verdict), times);
  EXPECT_GE(seen_.size(), 6U);  // a history in which nothing happens proves nothing
}

INSTANTIATE_TEST_SUITE_P(Stores, VerdictHistories,
                         ::testing::Values(VerdictsSetting{"sqlite", 7}, VerdictsSetting{"sqlite", 8},
                                           VerdictsSetting{"postgresql", 7}, VerdictsSetting{"postgresql", 9}),
                         NameOf);

}  // namespace
}  // namespace virp::e2e
