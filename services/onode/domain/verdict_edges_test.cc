// Edges of the rules of docs/claims.md that histories seldom reach: what comes late, what is exactly at a boundary, and
// what changed its key or its registration on the way.
#include "services/onode/domain/claim_test_util.h"

namespace virp::onode {
namespace {

constexpr UnixNanos kSecond = 1'000'000'000;

class Edges : public ::testing::Test {
 protected:
  Edges() {
    scene.AddDaemon("edge-a.bgpd");
    scene.AddCollector("collector-1");
  }
  // A beat about the daemon, as the collector's number `number`, with the collector's clock at `time`.
  void BeatAs(std::uint64_t number, bool connected, UnixNanos time) {
    chain::Heartbeat heartbeat;
    heartbeat.sources = {{frame::SourceIdOf("edge-a.bgpd"), scene.epoch("edge-a.bgpd"),
                          scene.last_number("edge-a.bgpd"), connected, scene.now, 0, false}};
    auto frame = scene.Numbered("collector-1", number, frame::Type::kHeartbeat, chain::BuildHeartbeat(heartbeat));
    frame.time = time;
    ASSERT_TRUE(scene.Send("collector-1", frame).entry.has_value());
  }
  void CompromiseAndClear(const std::string& source, std::uint32_t version, UnixNanos since) {
    scene.Compromise(source, version, since);
    scene.ClearAlarm(source, "KEY_COMPROMISED");
  }

  Scene scene;
};

TEST_F(Edges, ARegistrationWithoutVrfsCoversTheDefaultOnly) {
  chain::Registration r = scene.book.FindByName("edge-a.bgpd")->registration;
  r.routers[0].vrfs.clear();
  scene.Change(r);
  scene.PeerUp("edge-a.bgpd");
  scene.PeerUp("edge-a.bgpd", {.vrf = "blue"});
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kConfirmed);
  PeerClaim blue = PeerIs();
  blue.vrf = "blue";
  const Answer answer = scene.Ask(blue);
  EXPECT_EQ(answer.verdict, Verdict::kNoEvidence);
  EXPECT_TRUE(answer.opinions.empty());  // it has no say there, so it has not kept silent either
}

// ---- beats ----

TEST_F(Edges, ALateBeatIsOlderThanTheOnesAfterIt) {
  scene.PeerUp("edge-a.bgpd");
  BeatAs(1, true, scene.now);
  BeatAs(3, true, scene.now);
  BeatAs(2, false, scene.now);  // what was lost had come back before it got here
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kConfirmed);
  BeatAs(5, false, scene.now);
  BeatAs(4, true, scene.now);
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kSourceSilent);
}

// Its clock went back in between, so the late word looks newer by time and by the chain's order.
TEST_F(Edges, ASignersOwnLateWordDoesNotHealTheConnectionThatItLost) {
  scene.PeerUp("edge-a.bgpd");
  BeatAs(1, true, scene.now);
  scene.Advance(3 * kSecond);
  BeatAs(3, false, scene.now - 2 * kSecond);
  scene.Advance(kSecond);
  BeatAs(2, true, scene.now);
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kSourceSilent);
}

// ---- what an answer shows ----

TEST_F(Edges, TimesAreThoseOfTheNewestFactWhoeverSaidIt) {
  scene.AddBmp("edge-a.bmp", Scene::kCollector2);
  for (const auto& [older, newer] : {std::pair("edge-a.bgpd", "edge-a.bmp"), std::pair("edge-a.bmp", "edge-a.bgpd")}) {
    scene.PeerUp(older);
    scene.Advance(5 * kSecond);
    const UnixNanos observed = scene.now, received = scene.Receipt();
    scene.PeerUp(newer);
    scene.Advance(kSecond);
    const Answer answer = scene.Ask(PeerIs(), {.min_sources = 2});
    ASSERT_EQ(answer.verdict, Verdict::kConfirmed);
    EXPECT_EQ(answer.observed_at, observed) << newer;
    EXPECT_EQ(answer.received_at, received) << newer;
    EXPECT_EQ(answer.confirmed_at, received) << newer;
  }
}

TEST_F(Edges, AnAnswerThatRestsOnTwoKeysIsAsStrongAsTheWeaker) {
  const auto state_table = [&](const testutil::BgpPeer& peer, std::uint32_t key) {
    for (const auto& [type, payload] :
         {std::pair(frame::Type::kPeerStatusChanged, testutil::PeerStateJson(peer, "OpenConfirm", "Established")),
          std::pair(frame::Type::kBgpProcess, testutil::TableCompleteJson(peer))}) {
      auto frame = scene.Numbered("edge-a.bgpd", scene.last_number("edge-a.bgpd") + 1, type, payload);
      frame.key_version = key;
      ASSERT_TRUE(scene.Send("edge-a.bgpd", frame).entry.has_value());
    }
  };
  state_table({}, 1);
  scene.Event(chain::KeyEvent{.event = chain::KeyEvent::Event::kVersion,
                              .source = "edge-a.bgpd",
                              .key = scene.MakeKey("edge-a.bgpd", 2, frame::Suite::kEd25519)});
  state_table({.address = "192.0.2.3"}, 2);
  // No route over either peer: rests on both tables, the one under HMAC and the newer one under Ed25519.
  const Answer answer = scene.Ask(Route(false));
  EXPECT_EQ(answer.verdict, Verdict::kConfirmed) << answer.explanation;
  EXPECT_EQ(answer.origin_strength, OriginStrength::kSharedKey);
  EXPECT_EQ(scene.Ask(FromPeer(Route(false), "192.0.2.3")).origin_strength, OriginStrength::kSourceSigned);
}

// ---- compromised keys ----

TEST_F(Edges, AKeyIsCompromisedFromThatInstantOn) {
  scene.PeerUp("edge-a.bgpd");
  const UnixNanos received = scene.Receipt();
  scene.Advance(kSecond);
  CompromiseAndClear("edge-a.bgpd", 1, received + 1);
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kConfirmed);
  CompromiseAndClear("edge-a.bgpd", 1, received);
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kChannelCompromised);
}

// Marking a key makes its source's entries be folded anew. Each is read as it was read the first time.
TEST_F(Edges, ARefoldReadsAnEntryUnderTheRegistrationOfItsTime) {
  scene.PeerUp("edge-a.bgpd");
  chain::Registration r = scene.book.FindByName("edge-a.bgpd")->registration;
  r.routers[0].name = "edge-b";
  scene.Change(r);
  scene.PeerUp("edge-a.bgpd");  // the very next entry
  PeerClaim claim = PeerIs();
  claim.router = "edge-b";
  EXPECT_EQ(scene.VerdictOn(claim), Verdict::kConfirmed);
  CompromiseAndClear("edge-a.bgpd", 1, scene.now + 100 * kSecond);
  EXPECT_EQ(scene.VerdictOn(claim), Verdict::kConfirmed);
  r.routers[0].name = "edge-a";
  scene.Change(r);
  EXPECT_EQ(OpinionOf(scene.Ask(PeerIs()), "edge-a.bgpd").entry, 3U);  // the one before the change, and no other
}

TEST_F(Edges, ARefoldGivesNoMeaningToABeatAboutAStranger) {
  chain::Heartbeat heartbeat;
  heartbeat.sources = {{frame::SourceIdOf("edge-a.new"), Scene::kStart + 1, 7, false, scene.now, 0, false}};
  ASSERT_NE(scene.Say("collector-1", frame::Type::kHeartbeat, chain::BuildHeartbeat(heartbeat)), chain::kNone);
  scene.AddDaemon("edge-a.new");
  scene.PeerUp("edge-a.new");
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kConfirmed);
  CompromiseAndClear("collector-1", 1, scene.now + 100 * kSecond);
  EXPECT_EQ(scene.VerdictOn(PeerIs()), Verdict::kConfirmed);  // not "connection lost", not "seven frames missing"
}

// ---- entries that are not what they were ----

// The entry with one field of its header changed.
template <typename Change>
std::string Forged(const std::string& bytes, Change&& change) {
  const chain::Entry entry = chain::DecodeEntry(bytes).value();
  chain::EntryHeader header = entry.header;
  change(header);
  return chain::EncodeEntry(header, entry.frame);
}

TEST_F(Edges, AFieldClaimReadsTheEntryThatWasFoldedAndNoOther) {
  const std::uint64_t up = scene.PeerUp("edge-a.bgpd");
  const FieldClaim claim{.subject = "bgp/edge-a/default/peer/192.0.2.2", .event = {}, .conditions = {}};
  const PastState& state = scene.Now();
  const auto ask = [&](const auto& change) {
    const std::string bytes = Forged(scene.entries[up], change);
    const auto read = [&](std::uint64_t) -> absl::StatusOr<std::string> { return bytes; };
    return state.facts().Evaluate(claim, {}, state.sources(), scene.now, false, 0, read).status().code();
  };
  EXPECT_EQ(ask([](chain::EntryHeader&) {}), absl::StatusCode::kOk);
  EXPECT_EQ(ask([](chain::EntryHeader& h) { ++h.sequence; }), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ask([](chain::EntryHeader& h) { ++h.source; }), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ask([](chain::EntryHeader& h) { ++h.source_sequence; }), absl::StatusCode::kDataLoss);
}

TEST_F(Edges, AReplayTakesNoEntryThatDoesNotLinkToTheOneBefore) {
  PastState state(scene.origin());
  ASSERT_TRUE(state.Add(scene.entries[0]).ok());
  const std::string forged = Forged(scene.entries[1], [](chain::EntryHeader& h) { h.previous[0] ^= 1; });
  EXPECT_EQ(state.Add(forged).code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace virp::onode
