// Claims on tables of which a collector folded changes into summaries.
#include "services/onode/domain/claim_test_util.h"

namespace virp::onode {
namespace {

using testutil::BestJson;
using testutil::BgpPeer;

const BgpPeer kOther{.address = "192.0.2.3", .as = 64503};

class Summaries : public ::testing::Test {
 protected:
  Summaries() { scene.AddDaemon("d"); }
  void Summarise(const char* open, const BgpPeer& peer = {}, const char* rib = "adj-in-pre") {
    std::string json = testutil::TableCompleteJson(peer, rib);
    json.replace(json.find("table_complete"), 14, "routes_summarised");
    json.replace(json.size() - 1, 1, open);
    scene.Say("d", frame::Type::kBgpProcess, json);
  }
  Verdict On(const Claim& claim) { return scene.VerdictOn(claim); }
  std::string_view Doubt(const Claim& claim) { return OpinionOf(scene.Ask(claim), "d").doubt; }

  static constexpr const char* kOpen = R"(,"open":true,"observations":3})";
  static constexpr const char* kClosed = R"(,"open":false,"observations":3})";
  Scene scene;
};

TEST_F(Summaries, OlderEvidenceOfTheTableIsInDoubtAndNewerIsNot) {
  scene.PeerUp("d");
  scene.Announce("d");
  scene.Announce("d", {.prefix = "198.51.100.0/24"});
  ASSERT_EQ(On(Route()), Verdict::kConfirmed);
  Summarise(kOpen);
  EXPECT_EQ(On(Route()), Verdict::kIncomplete);
  EXPECT_EQ(Doubt(Route()), kDoubtSummarised);
  EXPECT_EQ(On(Route(false)), Verdict::kIncomplete);
  EXPECT_EQ(On(PeerIs()), Verdict::kConfirmed) << "states of peers are never folded";
  scene.Announce("d");
  EXPECT_EQ(On(Route()), Verdict::kConfirmed);
  EXPECT_EQ(On(Route(true, "adj-in-pre", "198.51.100.0/24")), Verdict::kIncomplete);
}

TEST_F(Summaries, ASummaryThatDoesNotSayIsOpen) {
  scene.Announce("d");
  Summarise("}");
  EXPECT_EQ(Doubt(Route()), kDoubtSummarised);
  Summarise(R"(,"open":"no"})");
  EXPECT_EQ(Doubt(Route()), kDoubtSummarised);
}

TEST_F(Summaries, WhenAllIsStatedTheRestStandsAsItWas) {
  scene.PeerUp("d");
  scene.Announce("d");
  scene.Announce("d", {.prefix = "198.51.100.0/24"});
  scene.TableComplete("d");
  Summarise(kOpen);
  scene.Withdraw("d");
  EXPECT_EQ(On(Route()), Verdict::kIncomplete);
  Summarise(kClosed);
  EXPECT_EQ(On(Route()), Verdict::kRefuted);
  EXPECT_EQ(On(Route(true, "adj-in-pre", "198.51.100.0/24")), Verdict::kConfirmed);
  EXPECT_EQ(On(Route(false, "adj-in-pre", "192.0.2.0/24")), Verdict::kConfirmed);
  Summarise(kOpen);
  EXPECT_EQ(On(Route(false, "adj-in-pre", "192.0.2.0/24")), Verdict::kIncomplete);
}

TEST_F(Summaries, AreAboutOneTable) {
  scene.Announce("d");
  scene.Announce("d", {}, kOther);
  Summarise(kOpen, kOther);
  EXPECT_EQ(On(FromPeer(Route())), Verdict::kConfirmed);
  EXPECT_EQ(On(FromPeer(Route(), "192.0.2.3")), Verdict::kIncomplete);
  scene.Withdraw("d");
  EXPECT_EQ(On(Route()), Verdict::kIncomplete) << "the other peer may have it, or not";
  EXPECT_EQ(On(FromPeer(Route())), Verdict::kRefuted);
}

TEST_F(Summaries, APeerThatLeavesAfterwardsLeavesNoDoubt) {
  scene.PeerUp("d");
  scene.Announce("d");
  scene.TableComplete("d");
  Summarise(kOpen);
  scene.PeerLost("d");
  EXPECT_EQ(On(FromPeer(Route())), Verdict::kRefuted);
  EXPECT_EQ(On(FromPeer(Route(false))), Verdict::kConfirmed);
  scene.PeerUp("d");
  Summarise(kOpen);
  EXPECT_EQ(On(FromPeer(Route())), Verdict::kIncomplete) << "it may have been announced anew";
}

TEST_F(Summaries, ATableStatedAfterwardsProvesAbsence) {
  scene.PeerUp("d");
  Summarise(kOpen);
  scene.TableComplete("d");
  EXPECT_EQ(On(FromPeer(Route(false))), Verdict::kConfirmed);
}

TEST_F(Summaries, BestPathsStandOnTheLocRib) {
  scene.Say("d", frame::Type::kBgpRouteUpdate, BestJson({}, "203.0.113.0/24", testutil::BgpPath{}));
  ASSERT_EQ(On(Route(true, "best")), Verdict::kConfirmed);
  BgpPeer none;
  none.address = "0.0.0.0";
  Summarise(kOpen, none, "loc");
  EXPECT_EQ(Doubt(Route(true, "best")), kDoubtSummarised);
}

TEST_F(Summaries, FieldClaimsSeeThemAndTheirDoubt) {
  const std::string table = "bgp/edge-a/default/adj-in-pre/192.0.2.2";
  scene.Announce("d");
  FieldClaim path;
  path.subject = table + "/203.0.113.0/24/0";
  ASSERT_EQ(On(path), Verdict::kConfirmed);
  Summarise(kOpen);
  EXPECT_EQ(Doubt(path), kDoubtSummarised);
  FieldClaim summary;
  summary.subject = table;
  summary.event = "routes_summarised";
  summary.conditions = {{"observations", FieldCondition::Op::kGe, std::uint64_t{3}}};
  EXPECT_EQ(On(summary), Verdict::kConfirmed);
  EXPECT_EQ(scene.Now().facts().FindSubject(table)->sources.at(0).state, "routes_summarised");
}

TEST_F(Summaries, OneThatIsNotOfItsFormSaysNothing) {
  scene.Announce("d");
  for (
      const char* payload :
      {R"({"event":"routes_summarised","peer_addr":"192.0.2.2","router_id":"192.0.2.1"})",
       R"({"event":"routes_summarised","rib":"adj-in-pre","router_id":"192.0.2.1"})",
       R"({"event":"routes_summarised","rib":"adj-in-pre","peer_addr":"192.0.2.2","router_id":"192.0.2.1","prefix":"203.0.113.0/24"})"}) {
    scene.Say("d", frame::Type::kBgpProcess, payload);
    EXPECT_EQ(On(Route()), Verdict::kConfirmed) << payload;
  }
}

}  // namespace
}  // namespace virp::onode
