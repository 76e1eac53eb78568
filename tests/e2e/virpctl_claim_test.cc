// virpctl: claims and observations.
#include "tests/e2e/virpctl_fixture.h"

namespace virp::e2e {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST_F(VirpctlTest, AClaimExitsAsItsVerdictSays) {
  StartONode();
  EXPECT_EQ(Ctl(peer_).exit, kCannotSay);
  EXPECT_EQ(Json(peer_, kCannotSay)["answer"]["verdict"], "VERDICT_NO_EVIDENCE");
  EXPECT_EQ(
      Json({"claim", "route", "--router", "edge-a", "--prefix", "203.0.113.0/24"}, kCannotSay)["answer"]["verdict"],
      "VERDICT_NO_EVIDENCE");
  EXPECT_EQ(Ctl(Peer({"--answer"})).exit, kYes) << "any answer will do";
  RegisterBoth();
  StartCollector();
  Observe(kPeerUp, frame::Type::kPeerStatusChanged);
  Beat();
  const ProgramResult up = Ctl(peer_);
  EXPECT_EQ(up.exit, kYes) << up.err;
  EXPECT_THAT(up.out, AllOf(HasSubstr("CONFIRMED"), HasSubstr("edge-a.bmp"), HasSubstr("AGREES")));
  EXPECT_EQ(Json(peer_)["answer"]["verdict"], "VERDICT_CONFIRMED");
  EXPECT_EQ(Ctl(Peer({"--not"})).exit, kNo);
  EXPECT_EQ(Ctl(Peer({"--peer-state", "Idle"})).exit, kNo);
  EXPECT_EQ(Ctl(Peer({"--peer-state", "established"})).exit, kYes);
  EXPECT_EQ(Ctl(Peer({"--min-sources", "2"})).exit, kCannotSay);
  EXPECT_EQ(Ctl(Peer({"--level", "checkpointed"})).exit, kYes);

  PeerGoesDown();
  const ProgramResult down = Ctl(peer_);
  EXPECT_EQ(down.exit, kNo) << down.err;
  EXPECT_THAT(down.out, AllOf(HasSubstr("REFUTED"), HasSubstr("DISSENTS")));
  EXPECT_EQ(Json(peer_, kNo)["answer"]["opinions"][0]["says"], "SAYS_DISSENTS");
}

TEST_F(VirpctlTest, ASavedAnswerIsVerifiedOnlyAgainstATrustedKey) {
  PeerIsUp();
  const std::string file = dir_ + "/claim.tar";
  const ProgramResult saved = Ctl(Peer({"--level", "checkpointed", "--save", file}));
  ASSERT_EQ(saved.exit, kYes) << saved.err;
  EXPECT_THAT(saved.out, HasSubstr("saved in " + file));

  const ProgramResult verified = Ctl({"verify", "--offline", file, "--trust", Trust()});
  EXPECT_EQ(verified.exit, kYes) << verified.err;
  EXPECT_THAT(verified.out, AllOf(HasSubstr("VERIFIED"), HasSubstr("Established")));
  const std::string key_file = Write("trust", "# the chain's key\n\n" + Trust() + "\n");
  EXPECT_EQ(Json({"verify", "--offline", file, "--trust", key_file})["result"], "VERIFIED");

  const ProgramResult without_key = Ctl({"verify", "--offline", file});
  EXPECT_EQ(without_key.exit, kCannotSay);
  EXPECT_THAT(without_key.out, HasSubstr("CONSISTENT_BUT_UNAUTHENTICATED"));
  EXPECT_EQ(Json({"verify", "--offline", file}, kCannotSay)["result"], "CONSISTENT_BUT_UNAUTHENTICATED");
  const auto other = chain::VerifierKey::Make(kOrigin, std::string(32, '\x01'));
  EXPECT_EQ(Json({"verify", "--offline", file, "--trust", other->ToString()}, kCannotSay)["result"], "NOT_TRUSTED");

  PeerGoesDown();
  ASSERT_EQ(Ctl(Peer({"--level", "checkpointed", "--save", file})).exit, kNo);
  EXPECT_EQ(Ctl({"verify", "--offline", file, "--trust", Trust()}).exit, kNo) << "a refuted claim is never a success";
}

TEST_F(VirpctlTest, ObservationsAndSubjectsAreFiltered) {
  PeerIsUp();
  PeerGoesDown();
  ProgramResult result = Ctl({"observations", "list"});
  EXPECT_EQ(result.exit, kYes) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("edge-a.bmp"), HasSubstr("collector-1"), HasSubstr("peer_down")));
  EXPECT_EQ(Json({"observations", "list", "--source", "edge-a.bmp"})["observations"].size(), 2U);
  EXPECT_EQ(Json({"observations", "list", "--source", "edge-a.bmp", "--limit", "1"})["observations"].size(), 1U);
  EXPECT_EQ(Json({"observations", "list", "--source", "edge-a.bmp", "--tier", "yellow"})["observations"].size(), 1U);
  const nlohmann::json up = Json({"observations", "list", "--source", "edge-a.bmp", "--type", "1"})["observations"];
  ASSERT_EQ(up.size(), 1U);
  EXPECT_EQ(up[0]["subject"], "bgp/edge-a/default/peer/192.0.2.2");
  EXPECT_EQ(Ctl({"observations", "list", "--tier", "pink"}).exit, kError);

  result = Ctl({"subjects", "--prefix", "bgp/"});
  EXPECT_EQ(result.exit, kYes);
  EXPECT_THAT(result.out, HasSubstr("bgp/edge-a/default/peer/192.0.2.2"));
  EXPECT_EQ(Json({"subjects", "--prefix", "bgp/"})["subjects"].size(), 1U);
  EXPECT_EQ(Json({"subjects", "--prefix", "nothing/"})["subjects"].size(), 0U);
}

TEST_F(VirpctlTest, WhatCannotBeCarriedOutExitsWithTwoAndSaysWhy) {
  StartONode();
  EXPECT_EQ(Ctl({}).exit, kError);
  EXPECT_EQ(Ctl({"frobnicate"}).exit, kError);
  EXPECT_EQ(Ctl({"claim", "peer"}).exit, kError);
  EXPECT_EQ(Ctl({"status", "--output", "xml"}).exit, kError);
  EXPECT_THAT(Ctl({"status", "--origin", "virp.example.net/other"}).err, HasSubstr("NO_CHAIN"));
  ProgramResult result = testutil::RunProgram(Command({"status"}), {"HOME=" + dir_});
  EXPECT_EQ(result.exit, kError);
  EXPECT_THAT(result.err, HasSubstr("VIRPCTL_TLS_CERTIFICATE"));
  result = testutil::RunProgram(Command({"status", "--timeout", "1"}), Environment(Role::kReader, "127.0.0.1:1"));
  EXPECT_EQ(result.exit, kError);
  // Whoever answers there is no O-Node by its certificate.
  result = Ctl({"status", "--trust-domain", "other.example"});
  EXPECT_EQ(result.exit, kError);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(Ctl({"--help"}).exit, kYes);
  EXPECT_EQ(Ctl({"--version"}).exit, kYes);
}

TEST_F(VirpctlTest, FieldClaimsAndWhatIsAcceptedReachTheONode) {
  PeerIsUp();
  const std::vector<std::string> field{"claim", "field", "--subject", "bgp/edge-a/default/peer/192.0.2.2"};
  const auto with = [&field](std::vector<std::string> more) {
    more.insert(more.begin(), field.begin(), field.end());
    return more;
  };
  EXPECT_EQ(Ctl(with({"--where", "new_state = Established", "--where", "peer_as > 64500"})).exit, kYes);
  EXPECT_EQ(Ctl(with({"--where", "new_state != Established"})).exit, kNo);
  EXPECT_EQ(Ctl(with({"--where", "peer_as = \"64501\""})).exit, kNo) << "a number is no text";
  EXPECT_EQ(Ctl(with({"--where", "new_state exists", "--event", "peer_state_change"})).exit, kYes);
  EXPECT_EQ(Ctl(with({"--where", "nonsense"})).exit, kError);
  EXPECT_EQ(Ctl({"claim", "field", "--subject", "bgp/edge-a/default/peer/192.0.2.9", "--where", "a exists"}).exit,
            kCannotSay);

  EXPECT_EQ(Ctl(Peer({"--exclude-source", "edge-a.bmp"})).exit, kCannotSay);
  EXPECT_EQ(Ctl(Peer({"--require-source", "edge-b.bmp"})).exit, kCannotSay);
  EXPECT_EQ(Ctl(Peer({"--require-source", "edge-a.bmp", "--refuse-alarmed", "--max-dissent", "1"})).exit, kYes);
  EXPECT_EQ(Ctl(Peer({"--at", "2099-01-01T00:00:00Z"})).exit, kCannotSay);
  EXPECT_EQ(Ctl(Peer({"--at", "noon"})).exit, kError);
  EXPECT_EQ(Ctl(Peer({"--chain-size", "1"})).exit, kCannotSay);
  EXPECT_EQ(Ctl(Peer({"--chain-size", "100000"})).exit, kError);
  EXPECT_EQ(Ctl(Peer({"--at-least-size", "100000", "--timeout", "1"})).exit, kError);
  EXPECT_EQ(Ctl(Peer({"--max-age", "soon"})).exit, kError);
  EXPECT_EQ(Ctl(Peer({"--worst-tier", "black"})).exit, kError);
  const nlohmann::json acceptance = Json(Peer({"--max-age", "90s", "--max-event-age", "1h", "--worst-tier", "green",
                                               "--independence", "collector"}))["answer"]["acceptance"];
  EXPECT_EQ(acceptance["maxAge"], "90s");
  EXPECT_EQ(acceptance["maxEventAge"], "3600s");
  EXPECT_EQ(acceptance["worstTier"], "TIER_GREEN");
  EXPECT_EQ(acceptance["independence"], "INDEPENDENCE_COLLECTOR");
}

}  // namespace
}  // namespace virp::e2e
