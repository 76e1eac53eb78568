// Rolling the checkpoint key with replicas: which keys sign is told by the chain, so every replica signs with the same
// ones, verifies what the others sign, and does not lead without the keys that the chain promised. On SQLite, and on
// PostgreSQL with two replicas. Each replica has a key folder and a state folder of its own, as two machines have.
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "lib/base/clock.h"
#include "lib/chain/note.h"
#include "lib/frame/payload.h"
#include "services/onode/domain/chain_audit.h"
#include "tests/testutil/busy.h"
#include "tests/testutil/must.h"
#include "tests/testutil/onode_lab.h"
#include "tests/testutil/postgres.h"
#include "tests/testutil/process.h"
#include "virp/chain/v1/chain_admin_service.grpc.pb.h"
#include "virp/chain/v1/chain_service.grpc.pb.h"

namespace virp::e2e {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using service::Role;
using testutil::Must;
using testutil::OnodeLab;
using Versions = std::vector<std::uint32_t>;

class CheckpointRoll : public ::testing::TestWithParam<std::string> {
 protected:
  CheckpointRoll() {
    url_ = GetParam() == "sqlite" ? "sqlite:" + site_.File("chain.db")
                                  : Must(testutil::PostgresCluster::Shared().CreateDatabase());
    for (const char* name : {"one", "two"}) {
      fs::copy(site_.File("checkpoint"), Folder(name), fs::copy_options::recursive);
    }
    keys_.emplace(1, KeyOf("one", 1));
  }

  std::string Folder(const std::string& replica) const { return site_.File("checkpoint-" + replica); }
  std::string SeedFile(const std::string& replica, std::uint32_t version) const {
    return Folder(replica) + "/" + site_.origin() + "/" + std::to_string(version) + ".seed";
  }
  chain::VerifierKey KeyOf(const std::string& replica, std::uint32_t version) const {
    const auto keys = Must(frame::KeyDirectory::Open(Folder(replica)));
    return Must(chain::VerifierKey::Make(site_.origin(), keys->Find(site_.origin(), version)->public_key()));
  }

  // The operator makes the next key on one replica and copies the file to others.
  void NewKey(std::uint32_t version, const std::vector<std::string>& also) {
    Must(frame::CreateKeyFile(Folder("one"), site_.origin(), version, frame::Suite::kEd25519, clock_.NowNanos()));
    keys_.emplace(version, KeyOf("one", version));
    for (const std::string& replica : also) CopyKey(version, replica);
  }
  void CopyKey(std::uint32_t version, const std::string& to) const {
    fs::copy_file(SeedFile("one", version), SeedFile(to, version));
  }

  std::unique_ptr<OnodeLab> Start(const std::string& name) {
    testutil::OnodeLabOptions options{.store_url = url_, .state = "state-" + name};
    options.checkpoint_keys = "checkpoint-" + name;
    options.chain.instance = name + std::to_string(++starts_);
    options.chain.lease = 2s;
    options.chain.follow_interval = 10ms;
    options.chain.checkpoint_interval = 20ms;
    options.chain.checkpoint_entries = 1;
    return std::make_unique<OnodeLab>(site_, std::move(options));
  }
  std::unique_ptr<OnodeLab> Lead(const std::string& name) {
    auto onode = Start(name);
    EXPECT_TRUE(onode->AwaitLeading()) << onode->chain().frozen() << onode->chain().cannot_lead();
    return onode;
  }

  chain::v1::RollCheckpointKeyRequest Change() {
    chain::v1::RollCheckpointKeyRequest request;
    request.set_reason("yearly");
    request.set_request_id("00000000-0000-4000-a000-00000000000" + std::to_string(++requests_));
    return request;
  }
  grpc::Status Roll(OnodeLab& at, const chain::v1::RollCheckpointKeyRequest& request,
                    chain::v1::RollCheckpointKeyResponse& response) const {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 20s);
    return chain::v1::ChainAdminService::NewStub(at.Channel(Role::kOperator))
        ->RollCheckpointKey(&context, request, &response);
  }
  void RollTo(std::uint32_t version, OnodeLab& at) {
    chain::v1::RollCheckpointKeyResponse response;
    const grpc::Status status = Roll(at, Change(), response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.verifier_key(), keys_.at(version).ToString());
  }

  // One more entry; the versions that signed the first checkpoint over it.
  Versions SignersOfNext(OnodeLab& at) { return SignersOf(Must(Grow(at))); }
  absl::StatusOr<std::string> Grow(OnodeLab& at) const {
    frame::JsonWriter json;
    json.BeginObject().Field("domain", "virp").Field("event", "break_glass").EndObject();
    const auto decide = [payload = json.Take()](const chain::SourceBook&) {
      return absl::StatusOr<std::vector<onode::Chain::OwnEntry>>(
          {{frame::Type::kDecision, frame::Tier::kGreen, payload}});
    };
    const auto done = at.chain().Mutate("", decide, 20s);
    if (!done.ok()) return done.status();
    const auto found = at.chain().WaitForCheckpoint(done->entries.front() + 1, std::chrono::steady_clock::now() + 20s);
    if (!found.ok()) return found.status();
    return found->note;
  }
  Versions SignersOf(const std::string& note) const {
    Versions out;
    for (const auto& [version, key] : keys_) {
      if (chain::OpenCheckpoint(note, {key}).ok()) out.push_back(version);
    }
    return out;
  }

  // It has seen and verified the newest checkpoint of the other one.
  static bool Follows(OnodeLab& follower, OnodeLab& leader) {
    return testutil::WaitUntil(
               10s,
               [&] {
                 const auto seen = follower.chain().latest_checkpoint(), made = leader.chain().latest_checkpoint();
                 return !follower.chain().frozen().empty() || (seen && made && seen->note == made->note);
               }) &&
           follower.chain().frozen().empty();
  }
  static chain::v1::GetChainResponse StatusOf(OnodeLab& onode) {
    chain::v1::GetChainResponse response;
    grpc::ClientContext context;
    const auto status =
        chain::v1::ChainService::NewStub(onode.Channel(Role::kReader))->GetChain(&context, {}, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  static void ExpectCannotLead(OnodeLab& onode, const chain::VerifierKey& missing) {
    EXPECT_TRUE(testutil::WaitUntil(
        10s, [&] { return onode.chain().cannot_lead().find(missing.ToString()) != std::string::npos; }));
    const auto status = StatusOf(onode);
    EXPECT_FALSE(status.leading());
    EXPECT_EQ(status.frozen(), "");
    EXPECT_NE(status.cannot_lead().find(missing.ToString()), std::string::npos) << status.cannot_lead();
  }
  static void ExpectSound(OnodeLab& onode) {
    const auto report = Must(onode::AuditChain(onode.chain(), {}, [](auto, auto) { return true; }));
    EXPECT_FALSE(report.broken.has_value()) << report.broken->detail;
  }

  const SystemClock clock_;
  testutil::OnodeSite site_{"virp.example.net/site1", clock_};
  std::string url_;
  std::map<std::uint32_t, chain::VerifierKey> keys_;  // by version
  int starts_ = 0, requests_ = 0;
};

TEST_P(CheckpointRoll, BothSignUntilTheNextRollAndOverRestarts) {
  auto onode = Lead("one");
  EXPECT_EQ(SignersOfNext(*onode), (Versions{1}));
  NewKey(2, {});
  EXPECT_EQ(SignersOfNext(*onode), (Versions{1})) << "a file alone rolls nothing";
  RollTo(2, *onode);
  EXPECT_EQ(SignersOf(onode->chain().latest_checkpoint()->note), (Versions{1})) << "the old key signs the new one in";
  EXPECT_EQ(SignersOfNext(*onode), (Versions{1, 2}));
  onode.reset();
  onode = Lead("one");
  EXPECT_EQ(SignersOfNext(*onode), (Versions{1, 2}));
  NewKey(3, {});
  RollTo(3, *onode);
  EXPECT_EQ(SignersOfNext(*onode), (Versions{2, 3}));
  onode.reset();
  onode = Lead("one");
  EXPECT_EQ(SignersOfNext(*onode), (Versions{2, 3}));
  ExpectSound(*onode);
}

TEST_P(CheckpointRoll, TheStateFolderIsNotWhatKnows) {
  auto onode = Lead("one");
  NewKey(2, {});
  RollTo(2, *onode);
  EXPECT_EQ(SignersOfNext(*onode), (Versions{1, 2}));
  onode.reset();
  fs::remove_all(site_.File("state-one"));
  onode = Lead("one");
  EXPECT_EQ(SignersOfNext(*onode), (Versions{1, 2}));
}

TEST_P(CheckpointRoll, ARequestThatComesAgainRollsOnce) {
  auto onode = Lead("one");
  NewKey(2, {});
  NewKey(3, {});
  const auto request = Change();
  chain::v1::RollCheckpointKeyResponse first, again;
  ASSERT_TRUE(Roll(*onode, request, first).ok());
  EXPECT_EQ(SignersOfNext(*onode), (Versions{1, 2}));
  ASSERT_TRUE(Roll(*onode, request, again).ok());
  EXPECT_EQ(again.verifier_key(), keys_.at(2).ToString());
  EXPECT_EQ(again.entry(), first.entry());
  EXPECT_EQ(SignersOfNext(*onode), (Versions{1, 2}));
}

TEST_P(CheckpointRoll, NothingToRollTo) {
  auto onode = Lead("one");
  chain::v1::RollCheckpointKeyResponse response;
  EXPECT_EQ(Roll(*onode, Change(), response).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(SignersOfNext(*onode), (Versions{1}));
}

TEST_P(CheckpointRoll, WithoutTheFileItDoesNotLeadUntilTheFileIsBack) {
  auto onode = Lead("one");
  NewKey(2, {"two"});
  RollTo(2, *onode);
  EXPECT_EQ(SignersOfNext(*onode), (Versions{1, 2}));
  onode.reset();
  for (const std::uint32_t version : {1U, 2U}) {
    fs::remove(SeedFile("one", version));
    onode = Start("one");
    ExpectCannotLead(*onode, keys_.at(version));
    EXPECT_FALSE(onode->chain().leading());
    fs::copy_file(SeedFile("two", version), SeedFile("one", version));
    EXPECT_TRUE(onode->AwaitLeading());
    EXPECT_EQ(StatusOf(*onode).cannot_lead(), "");
    EXPECT_EQ(SignersOfNext(*onode), (Versions{1, 2}));
    onode.reset();
  }
}

// The leader enters the roll, cannot keep the note that would cover it, and is gone.
TEST_P(CheckpointRoll, TheNextLeaderFinishesARoll) {
  auto onode = Lead("one");
  NewKey(2, {"two"});
  ASSERT_TRUE(Grow(*onode).ok());
  fs::rename(site_.File("state-one"), site_.File("state-gone"));
  std::ofstream(site_.File("state-one")) << "no folder";
  const auto request = Change();
  const auto decide = [&](const chain::SourceBook&) {
    return absl::StatusOr<std::vector<onode::Chain::OwnEntry>>(
        {{frame::Type::kForeignCheckpoint, frame::Tier::kGreen,
          onode::BuildRoll(keys_.at(2), "", "", request.request_id())}});
  };
  const std::uint64_t entry = Must(onode->chain().Mutate("", decide, 20s)).entries.front();
  onode.reset();
  onode = Lead("two");
  const auto covering = Must(onode->chain().WaitForCheckpoint(entry + 1, std::chrono::steady_clock::now() + 20s));
  EXPECT_EQ(SignersOf(covering.note), (Versions{1}));
  EXPECT_EQ(SignersOfNext(*onode), (Versions{1, 2}));
  chain::v1::RollCheckpointKeyResponse response;
  ASSERT_TRUE(Roll(*onode, request, response).ok()) << "the operator asks again";
  EXPECT_EQ(response.verifier_key(), keys_.at(2).ToString());
  EXPECT_EQ(response.entry(), entry);
  EXPECT_EQ(SignersOfNext(*onode), (Versions{1, 2}));
}

TEST_P(CheckpointRoll, KeysAreListedAsTheChainKnowsThem) {
  auto onode = Lead("one");
  NewKey(2, {});
  NewKey(3, {});
  RollTo(2, *onode);
  chain::v1::ListCheckpointKeysResponse keys;
  grpc::ClientContext context;
  const auto stub = chain::v1::ChainAdminService::NewStub(onode->Channel(Role::kOperator));
  ASSERT_TRUE(stub->ListCheckpointKeys(&context, {}, &keys).ok());
  ASSERT_EQ(keys.keys_size(), 2) << "version 3 is a file and not the chain's";
  EXPECT_EQ(keys.keys(0).verifier_key(), keys_.at(1).ToString());
  EXPECT_EQ(keys.keys(1).verifier_key(), keys_.at(2).ToString());
  EXPECT_TRUE(keys.keys(0).signing() && keys.keys(1).signing());
}

INSTANTIATE_TEST_SUITE_P(Stores, CheckpointRoll, ::testing::Values("sqlite", "postgresql"),
                         [](const auto& of) { return of.param; });

// ---- two replicas at work ----

using CheckpointRollReplicas = CheckpointRoll;

TEST_P(CheckpointRollReplicas, TheOneThatTakesOverSignsWithBoth) {
  auto one = Lead("one"), two = Start("two");
  NewKey(2, {"two"});
  RollTo(2, *one);
  EXPECT_TRUE(Follows(*two, *one)) << two->chain().frozen();
  one.reset();
  EXPECT_TRUE(two->AwaitLeading());
  EXPECT_EQ(SignersOfNext(*two), (Versions{1, 2}));
  // And back.
  one = Start("one");
  two.reset();
  EXPECT_TRUE(one->AwaitLeading());
  EXPECT_EQ(SignersOfNext(*one), (Versions{1, 2}));
  ExpectSound(*one);
}

TEST_P(CheckpointRollReplicas, TheFollowerGoesAlongWithTwoRolls) {
  auto one = Lead("one"), two = Start("two");
  for (const std::uint32_t version : {2U, 3U}) {
    NewKey(version, {"two"});
    RollTo(version, *one);
    EXPECT_EQ(SignersOfNext(*one), (Versions{version - 1, version}));
    EXPECT_TRUE(Follows(*two, *one)) << two->chain().frozen();
  }
  one.reset();
  EXPECT_TRUE(two->AwaitLeading());
  EXPECT_EQ(SignersOfNext(*two), (Versions{2, 3}));
  ExpectSound(*two);
}

TEST_P(CheckpointRollReplicas, WithoutTheFilesItFollowsAndDoesNotLead) {
  auto one = Lead("one"), two = Start("two");
  EXPECT_TRUE(Follows(*two, *one));
  for (const std::uint32_t version : {2U, 3U, 4U}) {
    NewKey(version, {});
    RollTo(version, *one);
    EXPECT_EQ(SignersOfNext(*one), (Versions{version - 1, version}));
    EXPECT_TRUE(Follows(*two, *one)) << version << two->chain().frozen();
  }
  ExpectCannotLead(*two, keys_.at(3));
  two.reset();
  two = Start("two");
  EXPECT_TRUE(Follows(*two, *one)) << two->chain().frozen();
  // Also where nothing is remembered: the checkpoints in the store lead from the first key to the last.
  two.reset();
  fs::remove_all(site_.File("state-two"));
  two = Start("two");
  EXPECT_TRUE(Follows(*two, *one)) << two->chain().frozen();
  one.reset();
  ExpectCannotLead(*two, keys_.at(3));
  EXPECT_FALSE(Grow(*two).ok());
  ExpectSound(*two);
  CopyKey(3, "two");
  ExpectCannotLead(*two, keys_.at(4));
  CopyKey(4, "two");
  EXPECT_TRUE(two->AwaitLeading());
  EXPECT_EQ(SignersOfNext(*two), (Versions{3, 4}));
}

// With more entries than a checkpoint may wait for, a follower that its leader covers has nothing to hurry for, and
// neither has one that took over and found all covered.
TEST_P(CheckpointRollReplicas, WhoHasNothingToSignRests) {
  auto one = Lead("one"), two = Start("two");
  ASSERT_TRUE(Grow(*one).ok());
  EXPECT_TRUE(Follows(*two, *one));
  EXPECT_LT(testutil::BusyShare(), 0.12);
  one.reset();
  EXPECT_TRUE(two->AwaitLeading());
  EXPECT_LT(testutil::BusyShare(), 0.12);
}

// It was away while the key was rolled twice, and its files came meanwhile.
TEST_P(CheckpointRollReplicas, TheOneThatWasAwayComesBack) {
  auto one = Lead("one"), two = Start("two");
  EXPECT_TRUE(Follows(*two, *one));
  two.reset();
  for (const std::uint32_t version : {2U, 3U}) {
    NewKey(version, {"two"});
    RollTo(version, *one);
    ASSERT_TRUE(Grow(*one).ok());
  }
  two = Start("two");
  EXPECT_TRUE(Follows(*two, *one)) << two->chain().frozen();
  one.reset();
  EXPECT_TRUE(two->AwaitLeading());
  EXPECT_EQ(SignersOfNext(*two), (Versions{2, 3}));
}

INSTANTIATE_TEST_SUITE_P(Stores, CheckpointRollReplicas, ::testing::Values("postgresql"),
                         [](const auto& of) { return of.param; });

}  // namespace
}  // namespace virp::e2e
