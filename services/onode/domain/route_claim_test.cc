// Route claims: presence, absence, attributes and best paths.
#include "services/onode/domain/claim_test_util.h"

namespace virp::onode {
namespace {

using testutil::BestJson;
using testutil::BgpPath;
using testutil::BgpPeer;
using Says = SourceOpinion::Says;

constexpr UnixNanos kSecond = 1'000'000'000;
const BgpPeer kOther{.address = "192.0.2.3", .as = 64503};

class Routes : public ::testing::Test {
 protected:
  Routes() { scene.AddDaemon("d"); }
  Answer Ask(const RouteClaim& claim) { return scene.Ask(claim); }
  Verdict On(const RouteClaim& claim) { return scene.VerdictOn(claim); }
  SourceOpinion Opinion(const RouteClaim& claim) { return OpinionOf(scene.Ask(claim), "d"); }

  Scene scene;
};

TEST_F(Routes, APathThatWasAnnounced) {
  scene.PeerUp("d");
  const std::uint64_t path = scene.Announce("d");
  const Answer answer = Ask(Route());
  EXPECT_EQ(answer.verdict, Verdict::kConfirmed) << answer.explanation;
  EXPECT_EQ(OpinionOf(answer, "d").entry, path);
  EXPECT_EQ(On(Route(false)), Verdict::kRefuted);
  EXPECT_EQ(On(FromPeer(Route())), Verdict::kConfirmed);
  EXPECT_EQ(On(FromPeer(Route(), "192.0.2.3")), Verdict::kInsufficient);
}

TEST_F(Routes, AWithdrawalRefutesAndProvesNoAbsence) {
  scene.PeerUp("d");
  scene.Announce("d");
  scene.Withdraw("d");
  EXPECT_EQ(On(Route()), Verdict::kRefuted);
  EXPECT_EQ(On(Route(false)), Verdict::kIncomplete);
  EXPECT_EQ(Opinion(Route(false)).doubt, kDoubtTableNotStated);
  const std::uint64_t table = scene.TableComplete("d");
  const Answer absent = Ask(Route(false));
  EXPECT_EQ(absent.verdict, Verdict::kConfirmed);
  EXPECT_EQ(OpinionOf(absent, "d").entry, table);
  EXPECT_EQ(On(Route()), Verdict::kRefuted);
}

TEST_F(Routes, ALateWithdrawalWithALowerNumberChangesNothing) {
  scene.PeerUp("d");
  scene.Lose("d");
  scene.Announce("d");
  scene.Send("d", scene.Numbered("d", 2, frame::Type::kBgpProcess, testutil::WithdrawJson({}, {})));
  EXPECT_EQ(On(Route()), Verdict::kConfirmed);
}

TEST_F(Routes, APeerThatLeavesEstablishedTakesItsPathsAlong) {
  scene.PeerUp("d");
  scene.Announce("d");
  scene.PeerUp("d", kOther);
  scene.Announce("d", {.prefix = "198.51.100.0/24"}, kOther);
  const std::uint64_t lost = scene.PeerLost("d");
  const Answer answer = Ask(Route());
  EXPECT_EQ(answer.verdict, Verdict::kRefuted);
  EXPECT_EQ(OpinionOf(answer, "d").entry, lost);
  EXPECT_EQ(On(Route(true, "adj-in-pre", "198.51.100.0/24")), Verdict::kConfirmed);
  scene.PeerUp("d");
  EXPECT_EQ(On(Route()), Verdict::kRefuted);  // the session is back, the path is not
  scene.Announce("d");
  EXPECT_EQ(On(Route()), Verdict::kConfirmed);
}

TEST_F(Routes, AnyPeersPathSuffices) {
  scene.Announce("d");
  scene.Announce("d", {}, kOther);
  scene.Withdraw("d");
  EXPECT_EQ(On(Route()), Verdict::kConfirmed);
  EXPECT_EQ(On(FromPeer(Route())), Verdict::kRefuted);
  EXPECT_EQ(On(FromPeer(Route(), "192.0.2.3")), Verdict::kConfirmed);
}

TEST_F(Routes, AddPathKeepsPathsApart) {
  scene.Announce("d", {.path_id = 1, .as_path = "64501 64510"});
  scene.Announce("d", {.path_id = 2, .as_path = "64501 64520"});
  scene.Withdraw("d", {.path_id = 1});
  EXPECT_EQ(On(Route()), Verdict::kConfirmed);
  RouteClaim claim = Route();
  claim.origin_as = 64520;
  EXPECT_EQ(On(claim), Verdict::kConfirmed);
  claim.origin_as = 64510;
  EXPECT_EQ(On(claim), Verdict::kRefuted);
}

TEST_F(Routes, AttributesTheClaimAsksFor) {
  scene.Announce("d");
  RouteClaim claim = Route();
  claim.origin_as = 64510;
  claim.next_hop = "192.0.2.2";
  EXPECT_EQ(On(claim), Verdict::kConfirmed);
  claim.next_hop = "192.0.2.77";
  EXPECT_EQ(On(claim), Verdict::kRefuted);
  claim.next_hop.reset();
  claim.origin_as = 64501;
  EXPECT_EQ(On(claim), Verdict::kRefuted);
}

TEST_F(Routes, UnknownAttributesNeitherAgreeNorDissent) {
  RouteClaim claim = Route();
  claim.origin_as = 64510;
  for (const auto& path : {std::optional<std::string>(), std::optional<std::string>("64501 {64510,64511}"),
                           std::optional<std::string>("64501 64510a"), std::optional<std::string>("99999999999")}) {
    scene.Announce("d", {.as_path = path});
    EXPECT_EQ(On(claim), Verdict::kNoEvidence) << path.value_or("none");
    EXPECT_EQ(Opinion(claim).left_out, kLeftOutAttributeUnknown);
    claim.exists = false;
    scene.TableComplete("d");
    EXPECT_EQ(On(claim), Verdict::kNoEvidence);  // it may be the very path that is said to be absent
    claim.exists = true;
  }
  scene.Announce("d", {.as_path = ""});
  claim.origin_as = 64500;  // an empty path is the local AS's own
  EXPECT_EQ(On(claim), Verdict::kConfirmed);
  scene.Announce("d", {.next_hop = "0.0.0.0"});
  claim = Route();
  claim.next_hop = "192.0.2.2";
  EXPECT_EQ(On(claim), Verdict::kNoEvidence);
}

TEST_F(Routes, AbsenceNeedsTheTableInThisEpochWithNothingMissingAfterIt) {
  const RouteClaim absent = FromPeer(Route(false));
  scene.PeerUp("d");
  scene.Announce("d", {.prefix = "198.51.100.0/24"});
  EXPECT_EQ(On(absent), Verdict::kIncomplete);
  scene.TableComplete("d");
  EXPECT_EQ(On(absent), Verdict::kConfirmed);
  EXPECT_EQ(On(FromPeer(Route())), Verdict::kRefuted);
  scene.Lose("d");
  scene.Beat("d");
  EXPECT_EQ(On(absent), Verdict::kIncomplete);
  EXPECT_EQ(Opinion(absent).doubt, kDoubtGap);
  scene.TableComplete("d");  // the next complete one heals
  EXPECT_EQ(On(absent), Verdict::kConfirmed);
  scene.Advance(kSecond);
  scene.Restart("d");
  scene.PeerUp("d");
  EXPECT_EQ(On(absent), Verdict::kIncomplete);
  scene.TableComplete("d");
  EXPECT_EQ(On(absent), Verdict::kConfirmed);
}

// A relay that swallows the one path out of a restatement is found out when the statement says where it began.
TEST_F(Routes, ATableStatementWithAHoleInsideIsNone) {
  const RouteClaim absent = FromPeer(Route(false));
  scene.PeerUp("d");                          // 1
  scene.TableComplete("d", "adj-in-pre", 1);  // 2
  EXPECT_EQ(On(absent), Verdict::kConfirmed);
  scene.Announce("d", {.prefix = "198.51.100.0/24"});  // 3
  scene.Lose("d");                                     // 4: 203.0.113.0/24
  scene.TableComplete("d", "adj-in-pre", 3);           // 5
  EXPECT_EQ(On(absent), Verdict::kIncomplete);
  EXPECT_EQ(Opinion(absent).doubt, kDoubtTableNotStated);
  scene.Announce("d", {.prefix = "198.51.100.0/24"});  // 6
  scene.TableComplete("d", "adj-in-pre", 6);           // 7
  EXPECT_EQ(On(absent), Verdict::kConfirmed);
}

TEST_F(Routes, APathThatACompleteStatementLeavesOutIsGone) {
  scene.PeerUp("d");                                   // 1
  scene.Announce("d");                                 // 2
  scene.Lose("d");                                     // 3: its withdrawal
  scene.Announce("d", {.prefix = "198.51.100.0/24"});  // 4
  scene.TableComplete("d");                            // 5: does not say where it began, so 2 may belong to it
  EXPECT_EQ(On(FromPeer(Route())), Verdict::kIncomplete);
  EXPECT_EQ(On(FromPeer(Route(false))), Verdict::kIncomplete);
  scene.TableComplete("d", "adj-in-pre", 4);  // 6
  EXPECT_EQ(On(FromPeer(Route())), Verdict::kRefuted);
  EXPECT_EQ(On(FromPeer(Route(false))), Verdict::kConfirmed);
}

TEST_F(Routes, AnOldEpochsPathIsGoneOnceTheNewEpochStatesTheTable) {
  scene.PeerUp("d");
  scene.Announce("d");
  scene.Advance(kSecond);
  scene.Restart("d");
  scene.PeerUp("d");
  EXPECT_EQ(On(Route()), Verdict::kIncomplete);
  scene.TableComplete("d");
  EXPECT_EQ(On(Route()), Verdict::kRefuted);
  EXPECT_EQ(On(Route(false)), Verdict::kConfirmed);
}

TEST_F(Routes, AListOfPrefixesStatesNoOthers) {
  scene.PeerUp("d");
  scene.Say(
      "d", frame::Type::kBgpProcess,
      R"({"domain":"bgp","event":"table_complete","rib":"adj-in-pre","peer_addr":"192.0.2.2","router_id":"192.0.2.1",)"
      R"("prefixes":["198.51.100.0/24","203.0.113.0/25"]})");
  EXPECT_EQ(On(Route(false)), Verdict::kIncomplete);
  EXPECT_EQ(On(Route(false, "adj-in-pre", "198.51.100.0/24")), Verdict::kConfirmed);
  EXPECT_EQ(On(Route(false, "adj-in-pre", "198.51.100.128/25")), Verdict::kConfirmed);  // a more specific one
}

TEST_F(Routes, AbsenceOverAllPeersNeedsEveryTable) {
  scene.PeerUp("d");
  scene.PeerUp("d", kOther);
  scene.TableComplete("d");
  EXPECT_EQ(On(FromPeer(Route(false))), Verdict::kConfirmed);
  EXPECT_EQ(On(Route(false)), Verdict::kIncomplete);
  scene.TableComplete("d", "adj-in-pre", 0, kOther);
  EXPECT_EQ(On(Route(false)), Verdict::kConfirmed);
  EXPECT_EQ(Opinion(Route(false)).also.size(), 3U);  // two states and the other table
  // A frame that got lost may have been a third peer's: all states have to come again.
  scene.Lose("d");
  scene.TableComplete("d");
  scene.TableComplete("d", "adj-in-pre", 0, kOther);
  EXPECT_EQ(On(FromPeer(Route(false))), Verdict::kConfirmed);
  EXPECT_EQ(On(Route(false)), Verdict::kIncomplete);
  scene.PeerUp("d");
  scene.PeerUp("d", kOther);
  EXPECT_EQ(On(Route(false)), Verdict::kConfirmed);
}

TEST_F(Routes, APeerThatIsDownHasAnEmptyTable) {
  scene.PeerUp("d");
  scene.TableComplete("d");
  scene.PeerUp("d", kOther);
  EXPECT_EQ(On(Route(false)), Verdict::kIncomplete);
  scene.PeerLost("d", kOther);
  EXPECT_EQ(On(Route(false)), Verdict::kConfirmed);
  EXPECT_EQ(On(FromPeer(Route(false), "192.0.2.3")), Verdict::kConfirmed);
  EXPECT_EQ(On(FromPeer(Route(), "192.0.2.3")), Verdict::kRefuted);
}

TEST_F(Routes, ARibThatNobodyReports) {
  EXPECT_EQ(On(Route()), Verdict::kNoEvidence);
  scene.PeerUp("d");
  scene.Announce("d");
  for (const bool exists : {true, false}) {
    const Answer answer = Ask(Route(exists, "adj-in-post"));
    EXPECT_EQ(answer.verdict, Verdict::kInsufficient);
    EXPECT_EQ(answer.reason, kReasonRibNotMonitored);
    EXPECT_EQ(OpinionOf(answer, "d").left_out, kLeftOutRibNotMonitored);
    EXPECT_EQ(Ask(Route(exists, "best")).reason, kReasonRibNotMonitored);
  }
  // A peer in mode `events`: its state is known, its paths are not.
  scene.PeerUp("d", kOther);
  EXPECT_EQ(Ask(FromPeer(Route(false), "192.0.2.3")).reason, kReasonRibNotMonitored);
}

TEST_F(Routes, NothingSaidAboutAPrefixOfAnIncompleteTable) {
  scene.PeerUp("d");
  scene.Announce("d", {.prefix = "198.51.100.0/24"});
  EXPECT_EQ(On(Route()), Verdict::kNoEvidence);
}

// ---- best paths ----

class BestPaths : public Routes {
 protected:
  void Best(const std::optional<BgpPath>& best, const BgpPeer& peer = {}) {
    scene.Say("d", frame::Type::kBgpRouteUpdate, BestJson(peer, "203.0.113.0/24", best));
  }
};

TEST_F(BestPaths, ABestPathAndItsEnd) {
  Best(BgpPath{});
  RouteClaim claim = Route(true, "best");
  claim.origin_as = 64510;
  claim.next_hop = "192.0.2.2";
  claim.peer = "192.0.2.2";
  EXPECT_EQ(On(claim), Verdict::kConfirmed);
  claim.peer = "192.0.2.3";
  EXPECT_EQ(On(claim), Verdict::kRefuted);
  Best(std::nullopt);
  EXPECT_EQ(On(Route(true, "best")), Verdict::kRefuted);
  // Absence stands on a stated table, here as everywhere: that of the Loc-RIB.
  EXPECT_EQ(On(Route(false, "best")), Verdict::kIncomplete);
  scene.TableComplete("d", "loc", 0, {.address = "0.0.0.0"});
  EXPECT_EQ(On(Route(false, "best")), Verdict::kConfirmed);
}

TEST_F(BestPaths, TheNewerOfTypeFourAndLocRibCounts) {
  const BgpPeer loc{.address = "0.0.0.0"};
  Best(BgpPath{.as_path = "64501 64510"});
  scene.Announce("d", {.rib = "loc", .as_path = "64501 64520"}, loc);
  RouteClaim claim = Route(true, "best");
  claim.origin_as = 64520;
  EXPECT_EQ(On(claim), Verdict::kConfirmed);
  claim.peer = "192.0.2.2";  // a Loc-RIB does not say from whom
  EXPECT_EQ(On(claim), Verdict::kNoEvidence);
  claim.peer.reset();
  scene.Withdraw("d", {.rib = "loc"}, loc);
  EXPECT_EQ(On(Route(true, "best")), Verdict::kRefuted);
  Best(BgpPath{.as_path = "64501 64510"});
  EXPECT_EQ(On(Route(true, "best")), Verdict::kConfirmed);
  EXPECT_EQ(On(claim), Verdict::kRefuted);
}

TEST_F(BestPaths, OneOfSeveralLocPathsWithdrawn) {
  const BgpPeer loc{.address = "0.0.0.0"};
  scene.Announce("d", {.rib = "loc", .path_id = 1}, loc);
  scene.Announce("d", {.rib = "loc", .path_id = 2}, loc);
  scene.Withdraw("d", {.rib = "loc", .path_id = 2}, loc);
  EXPECT_EQ(On(Route(true, "best")), Verdict::kConfirmed);
  scene.Withdraw("d", {.rib = "loc", .path_id = 1}, loc);
  EXPECT_EQ(On(Route(true, "best")), Verdict::kRefuted);
}

TEST_F(BestPaths, ABestPathOverAPeerThatLeftIsInDoubt) {
  scene.PeerUp("d");
  Best(BgpPath{});
  scene.PeerLost("d");
  EXPECT_EQ(On(Route(true, "best")), Verdict::kIncomplete);
  EXPECT_EQ(Opinion(Route(true, "best")).doubt, kDoubtPeerLeft);
  Best(BgpPath{}, kOther);
  EXPECT_EQ(On(Route(true, "best")), Verdict::kConfirmed);
}

}  // namespace
}  // namespace virp::onode
