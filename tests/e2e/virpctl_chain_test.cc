// virpctl: the chain, what proves it, and what was seen of it before.
#include "tests/e2e/virpctl_fixture.h"

namespace virp::e2e {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

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
  const ProgramResult stranger = Ctl({"status", "--refuses-strangers"});
  EXPECT_EQ(stranger.exit, kYes) << stranger.err;
  EXPECT_THAT(stranger.out, HasSubstr("without certificate  refused"));

  const ProgramResult show = Ctl({"chain", "show"});
  EXPECT_EQ(show.exit, kYes) << show.err;
  EXPECT_THAT(show.out, AllOf(HasSubstr(Trust()), HasSubstr(chain_->latest_checkpoint()->note)));
  EXPECT_EQ(Json({"chain", "show"})["verifierKeys"][0], Trust());
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
  EXPECT_THAT(Ctl({"chain", "verify", "--begin", "1", "--end", "3"}).out,
              HasSubstr("2 entries checked; the first 3 are in order, root "));

  Execute("DROP TRIGGER entry_no_update");
  Execute("UPDATE entry SET bytes = CAST(substr(bytes, 1, 220) || x'00' || substr(bytes, 222) AS BLOB) WHERE seq = 2");
  const ProgramResult broken = Ctl({"chain", "verify"});
  EXPECT_EQ(broken.exit, kNo) << broken.err;
  EXPECT_THAT(broken.out, AllOf(HasSubstr("BROKEN"), HasSubstr("first broken entry: 2"),
                                HasSubstr("3 entries checked; the first 2 are in order, root ")));
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

}  // namespace
}  // namespace virp::e2e
