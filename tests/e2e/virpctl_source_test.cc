// virpctl: sources, alarms and quarantine.
#include "lib/chain/build_id.h"
#include "lib/chain/control.h"
#include "tests/e2e/virpctl_fixture.h"

namespace virp::e2e {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST_F(VirpctlTest, SourcesAreRegisteredListedAndShown) {
  StartONode();
  const std::string file = Write("source.json", R"({"name": "edge-b.bgpd", "suite": "SUITE_ED25519", "keyVersion": 1,
      "vantage": "VANTAGE_DAEMON", "types": [1, 2], "routers": [{"name": "edge-b", "bgpIds": ["192.0.2.9"]}],
      "carriedBy": ["spiffe://test.virp.example/collector/test"]})");
  ProgramResult result = Ctl({"sources", "register", "--file", file, "--reason", "new"}, Role::kOperator);
  EXPECT_EQ(result.exit, kError);
  EXPECT_THAT(result.err, HasSubstr("KEY_MISSING"));
  ASSERT_TRUE(frame::CreateKeyFile(dir_ + "/keys", "edge-b.bgpd", 1, frame::Suite::kEd25519, 1).ok());
  ASSERT_TRUE(keys_->Refresh().ok());
  result = Ctl({"sources", "register", "--file", file, "--validate-only", "--reason", "new"}, Role::kOperator);
  EXPECT_EQ(result.exit, kYes) << result.err;
  EXPECT_THAT(result.out, HasSubstr("can be registered"));
  EXPECT_EQ(Ctl({"sources", "get", "edge-b.bgpd"}).exit, kError);
  EXPECT_EQ(Json({"sources", "register", "--file", file, "--reason", "new"}, kYes, Role::kOperator)["source"]["name"],
            "edge-b.bgpd");
  EXPECT_EQ(Ctl({"sources", "register", "--file", file, "--reason", "new"}, Role::kOperator).exit, kError);

  result = Ctl({"sources", "list"});
  EXPECT_EQ(result.exit, kYes);
  EXPECT_THAT(result.out, AllOf(HasSubstr("edge-b.bgpd"), HasSubstr("DAEMON"), HasSubstr(kOrigin)));
  EXPECT_EQ(Json({"sources", "list"})["sources"].size(), 2U);
  result = Ctl({"sources", "get", "edge-b.bgpd"});
  EXPECT_THAT(result.out, AllOf(HasSubstr("192.0.2.9"), HasSubstr("ED25519"), HasSubstr("carried by")));
  const nlohmann::json source = Json({"sources", "get", "edge-b.bgpd"});
  EXPECT_EQ(source["name"], "edge-b.bgpd");
  EXPECT_EQ(source["routers"][0]["bgpIds"][0], "192.0.2.9");

  EXPECT_EQ(
      Ctl({"sources", "register", "--file", Write("bad.json", "{\"name\": 7"), "--reason", "x"}, Role::kOperator).exit,
      kError);
  result = Ctl({"sources", "register", "--file", file, "--reason", "x"}, Role::kReader);
  EXPECT_EQ(result.exit, kError);
  EXPECT_THAT(result.err, HasSubstr("METHOD_DENIED"));
}

TEST_F(VirpctlTest, AProgramThatWasReplacedShowsInItsBeats) {
  StartONode();
  RegisterBoth();
  StartCollector();
  EXPECT_EQ(Ctl({"sources", "builds"}).exit, kError) << "nobody has said anything";
  Beat();  // this program's own build
  ProgramResult result = Ctl({"sources", "builds", "collector-1"});
  EXPECT_EQ(result.exit, kYes) << result.err;
  const std::string own = chain::OwnBuildId();
  ASSERT_EQ(own.size(), 40U) << "programs are linked with their build id";
  EXPECT_THAT(result.out, HasSubstr(own));
  EXPECT_EQ(Ctl({"sources", "builds", "--expect", own}).exit, kYes);
  const std::string other(40, 'e');
  std::string payload = chain::BuildHeartbeat({});
  payload.replace(payload.rfind('}'), 1, R"(,"build_id":")" + other + "\"}");
  const auto beat = outbox_->Emit("collector-1", {{frame::Type::kHeartbeat, frame::Tier::kGreen, payload}});
  ASSERT_TRUE(beat.ok()) << beat.status();
  ASSERT_TRUE(outbox_->Sync(beat->back().number).ok());
  ASSERT_TRUE(deliverer_->Flush(std::chrono::steady_clock::now() + 10s)) << deliverer_->status().problem;
  EXPECT_THAT(Ctl({"sources", "builds"}).out, AllOf(HasSubstr(own), HasSubstr(other)));
  EXPECT_EQ(Ctl({"sources", "builds", "collector-1", "--expect", own}).exit, kNo);
}

TEST_F(VirpctlTest, AlarmsAreListedAndClearedWithAReason) {
  StartONode();
  RegisterBoth();
  StartCollector();
  EXPECT_EQ(Json({"alarms", "list"})["sources"].size(), 0U);
  Observe(kOutOfScope, frame::Type::kPeerStatusChanged);
  Beat();
  ASSERT_TRUE(Until([this] { return Ctl({"alarms", "list"}).out.find("SCOPE_VIOLATION") != std::string::npos; }));
  EXPECT_THAT(Ctl({"alarms", "list"}).out, HasSubstr("edge-a.bmp"));
  EXPECT_EQ(Json({"alarms", "list"})["sources"][0]["alarms"][0]["cause"], "SCOPE_VIOLATION");

  EXPECT_EQ(Ctl({"alarms", "clear", "edge-a.bmp"}, Role::kOperator).exit, kError) << "without a reason";
  ProgramResult result =
      Ctl({"alarms", "clear", "edge-a.bmp", "--reason", "moved", "--validate-only"}, Role::kOperator);
  EXPECT_EQ(result.exit, kYes) << result.err;
  EXPECT_THAT(result.out, HasSubstr("WOULD BE CLEARED"));
  EXPECT_EQ(Json({"alarms", "list"})["sources"].size(), 1U);
  result = Ctl({"alarms", "clear", "edge-a.bmp", "--cause", "SCOPE_VIOLATION", "--reason", "moved"}, Role::kOperator);
  EXPECT_EQ(result.exit, kYes) << result.err;
  EXPECT_EQ(Json({"alarms", "list"})["sources"].size(), 0U);
}

TEST_F(VirpctlTest, ASourceIsTakenOutAndLetBackInWithAReason) {
  PeerIsUp();
  for (const char* const change : {"suspend", "resume", "black", "reset-epoch"}) {
    EXPECT_EQ(Ctl({"sources", change, "edge-a.bmp"}, Role::kOperator).exit, kError) << change << " without a reason";
    EXPECT_EQ(Ctl({"sources", change, "nobody", "--reason", "x"}, Role::kOperator).exit, kError) << change;
    EXPECT_EQ(Ctl({"sources", change, "edge-a.bmp", "--reason", "x"}, Role::kReader).exit, kError) << change;
  }
  const std::string id = "11111111-2222-4333-8444-555555555555";
  const std::vector<std::string> suspend{"sources", "suspend", "edge-a.bmp", "--reason", "swap", "--request-id", id};
  const nlohmann::json suspended = Json(suspend, kYes, Role::kOperator);
  EXPECT_EQ(suspended["source"]["suspended"], true);
  EXPECT_EQ(Json(suspend, kYes, Role::kOperator)["entry"], suspended["entry"]) << "a repeat is the same change";
  EXPECT_EQ(Ctl(peer_).exit, kCannotSay);
  EXPECT_THAT(Ctl({"sources", "list"}).out, HasSubstr("SUSPENDED"));
  const ProgramResult resumed = Ctl({"sources", "resume", "edge-a.bmp", "--reason", "swapped"}, Role::kOperator);
  EXPECT_EQ(resumed.exit, kYes) << resumed.err;
  EXPECT_THAT(resumed.out, HasSubstr("edge-a.bmp is resumed by entry"));
  Beat();
  EXPECT_EQ(Ctl(peer_).exit, kYes);
  EXPECT_THAT(Json({"observations", "list", "--source", kOrigin, "--limit", "1"})["observations"][0]["payload"].dump(),
              HasSubstr("swapped"))
      << "the reason is in the chain";

  const nlohmann::json black = Json({"sources", "black", "edge-a.bmp", "--reason", "opened"}, kYes, Role::kOperator);
  EXPECT_EQ(black["source"]["channelState"], "BLACK");
  EXPECT_EQ(Json(peer_, kCannotSay)["answer"]["verdict"], "VERDICT_CHANNEL_COMPROMISED");
  EXPECT_EQ(Json({"alarms", "list", "collector-1"})["sources"].size(), 0U);
  EXPECT_EQ(Json({"alarms", "list", "edge-a.bmp"})["sources"].size(), 1U);
  EXPECT_EQ(Ctl({"alarms", "clear", "--reason", "x"}, Role::kOperator).exit, kError) << "neither source nor cause";
  EXPECT_EQ(Ctl({"alarms", "clear", "--cause", "OPERATOR", "--reason", "x"}, Role::kOperator).exit, kYes);
  EXPECT_EQ(Ctl({"alarms", "clear", "--cause", "OPERATOR", "--reason", "x"}, Role::kOperator).exit, kError) << "none";
}

TEST_F(VirpctlTest, AKeyIsMarkedCompromised) {
  PeerIsUp();
  const std::vector<std::string> black{"sources", "black", "edge-a.bmp", "--reason", "leaked"};
  const auto with = [&black](std::vector<std::string> more) {
    more.insert(more.begin(), black.begin(), black.end());
    return more;
  };
  EXPECT_EQ(Ctl(with({"--since", "2020-01-01T00:00:00Z"}), Role::kOperator).exit, kError) << "of which key?";
  EXPECT_EQ(Ctl(with({"--key-version", "1", "--since", "yesterday"}), Role::kOperator).exit, kError);
  EXPECT_EQ(Ctl(with({"--key-version", "9"}), Role::kOperator).exit, kError);
  const ProgramResult marked = Ctl(with({"--key-version", "1", "--since", "2020-01-01T00:00:00Z"}), Role::kOperator);
  EXPECT_EQ(marked.exit, kYes) << marked.err;
  EXPECT_THAT(marked.out, HasSubstr("key version 1 compromised"));
  EXPECT_THAT(Ctl({"sources", "show", "edge-a.bmp"}).out, HasSubstr("COMPROMISED since 2020-01-01"));
  EXPECT_EQ(Ctl(peer_).exit, kCannotSay);
}

TEST_F(VirpctlTest, ASourceIsChangedAsItWasReadAndNotOverAnothersChange) {
  StartONode();
  RegisterBoth();
  nlohmann::json source = Json({"sources", "show", "edge-a.bmp"});
  source["types"] = {1, 2};
  const std::string file = Write("edge-a.json", source.dump());
  const std::vector<std::string> update{"sources", "update", "--file", file, "--reason", "less"};
  EXPECT_EQ(Ctl(update, Role::kOperator).exit, kYes);
  EXPECT_EQ(Json({"sources", "show", "edge-a.bmp"})["types"], nlohmann::json({1, 2}));
  const ProgramResult again = Ctl(update, Role::kOperator);
  EXPECT_EQ(again.exit, kError);
  EXPECT_THAT(again.err, HasSubstr("ETAG_MISMATCH"));

  const std::vector<std::string> bind{"sources",
                                      "bind",
                                      "edge-a.bmp",
                                      "--type",
                                      "3",
                                      "--not-type",
                                      "1",
                                      "--carried-by",
                                      "spiffe://test.virp.example/collector/b",
                                      "--router",
                                      "edge-c=192.0.2.3",
                                      "--router",
                                      "edge-c=192.0.2.4",
                                      "--not-router",
                                      "edge-a"};
  EXPECT_EQ(Ctl(bind, Role::kOperator).exit, kYes);
  const nlohmann::json bound = Json({"sources", "show", "edge-a.bmp"});
  EXPECT_EQ(bound["types"], nlohmann::json({2, 3}));
  EXPECT_EQ(bound["carriedBy"].size(), 2U);
  ASSERT_EQ(bound["routers"].size(), 1U);
  EXPECT_EQ(bound["routers"][0]["name"], "edge-c");
  EXPECT_EQ(bound["routers"][0]["bgpIds"], nlohmann::json({"192.0.2.3", "192.0.2.4"}));
  for (const char* const router : {"edge-d", "=192.0.2.9", "edge-d="}) {
    EXPECT_EQ(Ctl({"sources", "bind", "edge-a.bmp", "--router", router}, Role::kOperator).exit, kError) << router;
  }
}

TEST_F(VirpctlTest, QuarantineAndGapsAreListed) {
  StartONode();
  RegisterBoth();
  EXPECT_EQ(Json({"quarantine", "list"})["frames"].size(), 0U);
  EXPECT_EQ(Json({"gaps"})["gaps"].size(), 0U);
  EXPECT_EQ(Ctl({"quarantine", "list"}, Role::kCollector).exit, kError);
  EXPECT_EQ(Ctl({"quarantine", "list", "--limit", "0"}).exit, kError);
  EXPECT_EQ(Ctl({"gaps"}, Role::kCollector).exit, kError);
  EXPECT_EQ(Ctl({"sources", "admit-late", "edge-a.bmp", "--epoch", "1", "--from", "5", "--to", "4", "--reason", "x"},
                Role::kOperator)
                .exit,
            kError);
}

TEST_F(VirpctlTest, DoctorSeesTheONodeAndItsStore) {
  PeerIsUp();
  const nlohmann::json good =
      Json({"doctor", "--store", "sqlite:" + dir_ + "/chain.db", "--listening", server_->address()})["checks"];
  const auto state = [](const nlohmann::json& checks, const std::string& name) -> std::string {
    for (const auto& check : checks) {
      if (check["name"] == name) return check["state"];
    }
    return "not looked at";
  };
  for (const char* const name : {"certificate: files", "certificate: lifetime", "certificate: chain", "O-Node",
                                 "clock: O-Node", "SQLite: journal mode"}) {
    EXPECT_EQ(state(good, name), "ok") << name;
  }
  const nlohmann::json taken = Json({"doctor", "--free", server_->address()}, kNo)["checks"];
  EXPECT_EQ(state(taken, "port: " + server_->address()), "failed");
  clock_.Skip(1h);
  EXPECT_EQ(state(Json({"doctor"}, kNo)["checks"], "clock: O-Node"), "failed");
  EXPECT_EQ(Ctl({"doctor", "--store", "mysql://x"}).exit, kError);
  EXPECT_EQ(Ctl({"doctor", "--free", "nowhere"}).exit, kError);
  StopCollector();
  StopONode();
  EXPECT_EQ(testutil::RunProgram(Command({"doctor", "--timeout", "1"}), Environment(Role::kReader, "127.0.0.1:1")).exit,
            kNo);
}

}  // namespace
}  // namespace virp::e2e
