// virpctl as people and scripts use it: the program itself, against an O-Node that runs in this process.
#include <gmock/gmock.h>
#include <sqlite3.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/e2e/platform_fixture.h"
#include "tests/testutil/program.h"

namespace virp::e2e {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testutil::ProgramResult;

constexpr int kYes = 0, kNo = 1, kError = 2, kCannotSay = 3;

constexpr const char* kOutOfScope =
    R"({"domain":"bgp","event":"peer_state_change","peer_addr":"192.0.2.2","peer_as":64501,"old_state":"OpenConfirm","new_state":"Established","router_id":"198.51.100.9"})";

class VirpctlTest : public PlatformTest {
 protected:
  std::vector<std::string> Environment(Role role, const std::string& onode) {
    const service::TlsFiles files = pki_.Files(role);
    return {"HOME=" + dir_,
            "VIRPCTL_ONODE=" + onode,
            "VIRPCTL_TLS_CERTIFICATE=" + files.certificate,
            "VIRPCTL_TLS_KEY=" + files.private_key,
            "VIRPCTL_TLS_ROOTS=" + files.roots,
            "VIRPCTL_TRUST_DOMAIN=test.virp.example"};
  }
  static std::vector<std::string> Command(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), VIRPCTL);
    return arguments;
  }
  ProgramResult Ctl(std::vector<std::string> arguments, Role role = Role::kReader) {
    return testutil::RunProgram(Command(std::move(arguments)), Environment(role, server_->address()));
  }
  // The same with --output json: the exit code must not depend on the form.
  nlohmann::json Json(std::vector<std::string> arguments, int exit = kYes, Role role = Role::kReader) {
    arguments.insert(arguments.end(), {"--output", "json"});
    const ProgramResult result = Ctl(std::move(arguments), role);
    EXPECT_EQ(result.exit, exit) << result.err << result.out;
    auto json = nlohmann::json::parse(result.out, nullptr, /*allow_exceptions=*/false);
    EXPECT_FALSE(json.is_discarded()) << result.out;
    return json;
  }
  std::string Trust() const { return chain_->vault().Verifiers().front().ToString(); }
  std::string Write(const std::string& name, const std::string& text) {
    std::ofstream(dir_ + "/" + name, std::ios::binary) << text;
    return dir_ + "/" + name;
  }
  // An O-Node with the peer up, confirmed, and under a checkpoint.
  void PeerIsUp() {
    StartONode();
    RegisterBoth();
    StartCollector();
    Observe(kPeerUp, frame::Type::kPeerStatusChanged);
    Beat();
    ASSERT_TRUE(Until([&] { return Ask().proofs_size() >= 2; }));
  }
  void PeerGoesDown() {
    Observe(kPeerDown, frame::Type::kPeerBackwardTransition, frame::Tier::kYellow);
    Beat();
  }
  // Changes the database behind the O-Node's back.
  void Execute(const std::string& sql) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open((dir_ + "/chain.db").c_str(), &db), SQLITE_OK);
    char* error = nullptr;
    EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, &error), SQLITE_OK) << error;
    sqlite3_free(error);
    sqlite3_close(db);
  }

  const std::vector<std::string> peer_{"claim", "peer", "--router", "edge-a", "--peer", "192.0.2.2"};
  std::vector<std::string> Peer(std::vector<std::string> more) const {
    more.insert(more.begin(), peer_.begin(), peer_.end());
    return more;
  }
};

TEST_F(VirpctlTest, StatusAndChainShowSayWhatTheChainIs) {
  StartONode();
  ASSERT_TRUE(Until([this] { return chain_->latest_checkpoint().has_value(); }));
  const ProgramResult status = Ctl({"status"});
  EXPECT_EQ(status.exit, kYes) << status.err;
  EXPECT_THAT(status.out, AllOf(HasSubstr(kOrigin), HasSubstr("leader"), HasSubstr("OK")));
  const nlohmann::json json = Json({"status"});
  EXPECT_EQ(json["origin"], kOrigin);
  EXPECT_EQ(json["size"], std::to_string(chain_->size()));
  EXPECT_EQ(json["leading"], true);
  EXPECT_EQ(json["frozen"], "");  // what is empty is there as well

  const ProgramResult show = Ctl({"chain", "show"});
  EXPECT_EQ(show.exit, kYes) << show.err;
  EXPECT_THAT(show.out, AllOf(HasSubstr(Trust()), HasSubstr(chain_->latest_checkpoint()->note)));
  EXPECT_EQ(Json({"chain", "show"})["verifierKeys"][0], Trust());
}

TEST_F(VirpctlTest, AClaimExitsAsItsVerdictSays) {
  StartONode();
  EXPECT_EQ(Ctl(peer_).exit, kCannotSay);
  EXPECT_EQ(Json(peer_, kCannotSay)["answer"]["verdict"], "VERDICT_NO_EVIDENCE");
  EXPECT_EQ(
      Json({"claim", "route", "--router", "edge-a", "--prefix", "203.0.113.0/24"}, kCannotSay)["answer"]["verdict"],
      "VERDICT_NO_EVIDENCE");
  RegisterBoth();
  StartCollector();
  Observe(kPeerUp, frame::Type::kPeerStatusChanged);
  Beat();
  const ProgramResult up = Ctl(peer_);
  EXPECT_EQ(up.exit, kYes) << up.err;
  EXPECT_THAT(up.out, AllOf(HasSubstr("CONFIRMED"), HasSubstr("edge-a.bmp"), HasSubstr("AGREES")));
  EXPECT_EQ(Json(peer_)["answer"]["verdict"], "VERDICT_CONFIRMED");
  EXPECT_EQ(Ctl(Peer({"--not"})).exit, kNo);
  EXPECT_EQ(Ctl(Peer({"--state", "Idle"})).exit, kNo);
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

  const ProgramResult unsigned_ = Ctl({"verify", "--offline", file});
  EXPECT_EQ(unsigned_.exit, kCannotSay);
  EXPECT_THAT(unsigned_.out, HasSubstr("CONSISTENT_BUT_UNAUTHENTICATED"));
  EXPECT_EQ(Json({"verify", "--offline", file}, kCannotSay)["result"], "CONSISTENT_BUT_UNAUTHENTICATED");
  const auto other = chain::VerifierKey::Make(kOrigin, std::string(32, '\x01'));
  EXPECT_EQ(Json({"verify", "--offline", file, "--trust", other->ToString()}, kCannotSay)["result"], "NOT_TRUSTED");

  PeerGoesDown();
  ASSERT_EQ(Ctl(Peer({"--level", "checkpointed", "--save", file})).exit, kNo);
  EXPECT_EQ(Ctl({"verify", "--offline", file, "--trust", Trust()}).exit, kNo) << "a refuted claim is never a success";
}

TEST_F(VirpctlTest, AProofVerifiesOfflineAndNotWithAByteChanged) {
  PeerIsUp();
  const std::string file = dir_ + "/entry.proof";
  ASSERT_EQ(Ctl({"chain", "prove", "1", "--save", file}).exit, kYes);
  EXPECT_EQ(Ctl({"verify", "--offline", file, "--trust", Trust()}).exit, kYes);
  EXPECT_EQ(Ctl({"verify", "--offline", file}).exit, kCannotSay);
  EXPECT_THAT(Ctl({"chain", "prove", "1"}).out, HasSubstr("c2sp.org/tlog-proof"));
  EXPECT_THAT(Json({"chain", "prove", "1"})["proof"].get<std::string>(), HasSubstr(kOrigin));

  std::string proof = testutil::FileText(file);
  const std::size_t extra = proof.find("extra ") + 200;
  proof[extra] = proof[extra] == 'A' ? 'B' : 'A';
  const std::string changed = Write("changed.proof", proof);
  const ProgramResult broken = Ctl({"verify", "--offline", changed, "--trust", Trust()});
  EXPECT_EQ(broken.exit, kNo) << broken.err;
  EXPECT_THAT(broken.out, HasSubstr("BROKEN"));
  EXPECT_EQ(Ctl({"verify", "--offline", changed}).exit, kNo);
  EXPECT_EQ(Ctl({"verify", "--offline", Write("junk", "junk")}).exit, kError);
  EXPECT_EQ(Ctl({"verify", "--offline", dir_ + "/nowhere"}).exit, kError);

  const ProgramResult beyond = Ctl({"chain", "prove", "1000"});
  EXPECT_EQ(beyond.exit, kError);
  EXPECT_THAT(beyond.err, HasSubstr("OUT_OF_RANGE"));
}

TEST_F(VirpctlTest, ChainVerifyNamesTheFirstBrokenEntry) {
  PeerIsUp();
  const ProgramResult good = Ctl({"chain", "verify", "--subjects"});
  EXPECT_EQ(good.exit, kYes) << good.err << good.out;
  EXPECT_THAT(good.out, HasSubstr("VERIFIED"));
  EXPECT_THAT(good.err, Not(HasSubstr("\r"))) << "progress is for terminals";
  EXPECT_EQ(Json({"chain", "verify"})["result"], "RESULT_VERIFIED");
  EXPECT_EQ(Json({"chain", "verify", "--begin", "1", "--end", "3"})["checked"], "2");

  Execute("DROP TRIGGER entry_no_update");
  Execute("UPDATE entry SET bytes = CAST(substr(bytes, 1, 220) || x'00' || substr(bytes, 222) AS BLOB) WHERE seq = 2");
  const ProgramResult broken = Ctl({"chain", "verify"});
  EXPECT_EQ(broken.exit, kNo) << broken.err;
  EXPECT_THAT(broken.out, AllOf(HasSubstr("BROKEN"), HasSubstr("first broken entry: 2")));
  const nlohmann::json json = Json({"chain", "verify"}, kNo);
  EXPECT_EQ(json["result"], "RESULT_BROKEN");
  EXPECT_EQ(json["brokenAt"], "2");
}

TEST_F(VirpctlTest, AnExportVerifiesOfflineAndNamesWhatWasChanged) {
  PeerIsUp();
  const std::string file = dir_ + "/chain.tar";
  const ProgramResult saved = Ctl({"chain", "export", file});
  ASSERT_EQ(saved.exit, kYes) << saved.err;
  EXPECT_THAT(saved.out, HasSubstr(file));
  EXPECT_FALSE(std::filesystem::exists(file + ".part"));

  const std::vector<std::string> verify{"verify", "--offline", file, "--trust", Trust()};
  const auto with = [&verify](std::vector<std::string> more) {
    more.insert(more.begin(), verify.begin(), verify.end());
    return more;
  };
  EXPECT_EQ(Json(with({"--keys", dir_ + "/keys", "--subjects"}))["result"], "VERIFIED");
  EXPECT_EQ(Json(with({"--no-tags"}))["result"], "VERIFIED");
  const ProgramResult partly = Ctl(verify);
  EXPECT_EQ(partly.exit, kCannotSay) << "HMAC tags of collector-1 without its key";
  EXPECT_THAT(partly.out, AllOf(HasSubstr("COULD_NOT_CHECK"), HasSubstr("collector-1")));
  EXPECT_EQ(Json({"verify", "--offline", file, "--no-tags"}, kCannotSay)["result"], "CONSISTENT_BUT_UNAUTHENTICATED");

  std::string bytes = testutil::FileText(file);
  bytes[bytes.find("OpenConfirm")] = 'o';
  const std::string changed = Write("changed.tar", bytes);
  const ProgramResult broken = Ctl({"verify", "--offline", changed, "--trust", Trust(), "--keys", dir_ + "/keys"});
  EXPECT_EQ(broken.exit, kNo) << broken.err;
  EXPECT_THAT(broken.out, AllOf(HasSubstr("BROKEN"), HasSubstr("LEAF_HASH")));
  EXPECT_EQ(Ctl({"chain", "export", dir_ + "/nowhere/chain.tar"}).exit, kError);
}

// The O-Node's database and checkpoint files of an earlier time, put back together.
class RestoredTest : public VirpctlTest {
 protected:
  void CopyAway() {
    StopCollector();
    StopONode();
    CopyDatabase("/chain.db", "/yesterday.db");
    StartONode();
    StartCollector();
  }
  void PutBack() {
    StopCollector();
    StopONode();
    CopyDatabase("/yesterday.db", "/chain.db");
    for (const char* folder : {"/state", "/spool", "/audit"}) std::filesystem::remove_all(dir_ + folder);
    StartONode();
    ASSERT_TRUE(Until([this] { return chain_->latest_checkpoint().has_value(); }));
  }

 private:
  void CopyDatabase(const std::string& from, const std::string& to) {
    for (const char* suffix : {"", "-wal", "-shm"}) {
      std::filesystem::remove(dir_ + to + suffix);
      if (std::filesystem::exists(dir_ + from + suffix)) {
        std::filesystem::copy_file(dir_ + from + suffix, dir_ + to + suffix);
      }
    }
  }
};

TEST_F(RestoredTest, ARollbackIsNamedWithBothNotesByEveryCommandThatSeesACheckpoint) {
  PeerIsUp();
  CopyAway();
  PeerGoesDown();
  ASSERT_TRUE(Until([this] { return chain_->latest_checkpoint()->size == chain_->size(); }));
  const std::string before = chain_->latest_checkpoint()->note;
  EXPECT_EQ(Ctl({"status"}).exit, kYes);
  PutBack();
  ASSERT_LT(chain_->size(), chain::ParseCheckpointUnverified(before)->size);
  const ProgramResult status = Ctl({"status"});
  EXPECT_EQ(status.exit, kNo) << status.out;
  EXPECT_THAT(status.err, HasSubstr("CHAIN_ROLLED_BACK"));
  EXPECT_THAT(status.out, AllOf(HasSubstr(before), HasSubstr(chain_->latest_checkpoint()->note)));
  const nlohmann::json json = Json({"chain", "show"}, kNo);
  EXPECT_EQ(json["result"], "CHAIN_ROLLED_BACK");
  EXPECT_EQ(json["kept"], before);
  EXPECT_EQ(Ctl({"chain", "verify"}).exit, kNo);
  EXPECT_EQ(Ctl({"chain", "export", dir_ + "/chain.tar"}).exit, kNo);
  EXPECT_EQ(Ctl({"chain", "prove", "1"}).exit, kNo);
  EXPECT_EQ(Ctl(peer_).exit, kNo) << "its proofs are of the chain that was rolled back";
  // Who asks for the first time cannot know.
  EXPECT_EQ(Ctl({"status", "--state", dir_ + "/other"}).exit, kYes);
}

TEST_F(RestoredTest, AForkIsNamedWithBothNotes) {
  PeerIsUp();
  CopyAway();
  PeerGoesDown();
  ASSERT_TRUE(Until([this] { return chain_->latest_checkpoint()->size == chain_->size(); }));
  const std::string before = chain_->latest_checkpoint()->note;
  const std::string file = dir_ + "/claim.tar";
  ASSERT_EQ(Ctl(Peer({"--level", "checkpointed", "--save", file})).exit, kNo);
  PutBack();
  StartCollector();
  for (int i = 0; i < 5; ++i) Observe(kPeerUp, frame::Type::kPeerStatusChanged);
  Beat();
  const std::uint64_t known = chain::ParseCheckpointUnverified(before)->size;
  ASSERT_TRUE(Until([&] { return chain_->latest_checkpoint()->size > known; }));
  const ProgramResult claim = Ctl(Peer({"--level", "checkpointed"}));
  EXPECT_EQ(claim.exit, kNo) << claim.err;
  EXPECT_THAT(claim.err, HasSubstr("CHAIN_FORKED"));
  EXPECT_THAT(claim.out, AllOf(HasSubstr(before), Not(HasSubstr("CONFIRMED"))));
  EXPECT_EQ(Json({"status"}, kNo)["result"], "CHAIN_FORKED");
  EXPECT_EQ(Ctl({"chain", "verify"}).exit, kNo) << "whole by itself, and not the chain that was seen";
}

TEST_F(VirpctlTest, ACheckpointByAnotherKeyIsNotTrusted) {
  StartONode();
  ASSERT_TRUE(Until([this] { return chain_->latest_checkpoint().has_value(); }));
  const ProgramResult first = Ctl({"status"});
  EXPECT_EQ(first.exit, kYes);
  EXPECT_THAT(first.err, AllOf(HasSubstr("first contact"), HasSubstr(Trust())));
  EXPECT_EQ(Ctl({"status"}).err, "") << "the second contact is none to talk about";
  const auto other = chain::VerifierKey::Make(kOrigin, std::string(32, '\x01'));
  const ProgramResult distrusted = Ctl({"status", "--state", dir_ + "/other", "--trust", other->ToString()});
  EXPECT_EQ(distrusted.exit, kCannotSay) << distrusted.err;
  EXPECT_THAT(distrusted.err, HasSubstr("CHECKPOINT_NOT_TRUSTED"));
  EXPECT_EQ(Ctl({"status", "--trust", Trust()}).exit, kYes);
  EXPECT_EQ(Ctl({"status", "--trust", "nonsense"}).exit, kError);
  auto homeless = Environment(Role::kReader, server_->address());
  homeless.erase(homeless.begin());
  EXPECT_EQ(testutil::RunProgram(Command({"status"}), homeless).exit, kError);
}

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

TEST_F(VirpctlTest, WhatCannotBeCarriedOutExitsWithTwoAndSaysWhy) {
  StartONode();
  EXPECT_EQ(Ctl({}).exit, kError);
  EXPECT_EQ(Ctl({"frobnicate"}).exit, kError);
  EXPECT_EQ(Ctl({"claim", "peer"}).exit, kError);
  EXPECT_EQ(Ctl({"status", "--output", "xml"}).exit, kError);
  EXPECT_THAT(Ctl({"status", "--origin", "virp.example.net/other"}).err, HasSubstr("NOT_FOUND"));
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

}  // namespace
}  // namespace virp::e2e
