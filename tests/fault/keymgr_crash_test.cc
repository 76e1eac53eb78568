// The key manager is killed at every write and every fsync of a key's life, and what it leaves on the disk is searched
// for private bytes.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/base/file.h"
#include "services/keymgr/custody/software/kek_ring.h"
#include "services/keymgr/custody/software/software_custody.h"
#include "services/keymgr/domain/kek_keeper.h"
#include "services/keymgr/domain/test_ledger.h"
#include "services/keymgr/storage/sqlite/sqlite_ledger.h"
#include "tests/fault/kill_steps.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"

namespace virp::keymgr {
namespace {

// A manager on SQLite, with software custody, as main makes it.
class Manager {
 public:
  explicit Manager(const std::string& folder) : ring_(folder + "/kek"), custody_(ring_) {
    custodies_.Add(custody_);
    LedgerStoreOptions options;
    options.clock = &clock_;
    store_ = *SqliteLedgerStore::Open(folder + "/keymgr.db", options);
    ledger_ = *LedgerEngine::Make(*store_, KekKeeper::Types(), TestLedgerOptions(), clock_);
    keeper_ = std::make_unique<KekKeeper>(*ledger_, ring_, custody_, custodies_, "spiffe://example.net/keymgr/one");
    ledger_->Start();
    if (!ledger_->WaitActive(true, std::chrono::steady_clock::now() + std::chrono::seconds(60))) std::abort();
    ledger_->Unseal(SealReason::kStarting);  // the comparison with the chain comes before anything is recorded
    EXPECT_OK(keeper_->Open());
  }

  absl::StatusOr<Receipt> Change(const std::string& event, const std::string& request, const KeyIdentity& identity,
                                 const std::function<void(Changes&)>& what) {
    return ledger_->Commit(TestCall(request), [&](const Snapshot&, Changes& changes) {
      what(changes);
      changes.Audit({.event = event, .source = {}, .keys = {identity}, .fields = {}});
      return absl::OkStatus();
    });
  }

  LedgerEngine& ledger() { return *ledger_; }
  KekKeeper& keeper() { return *keeper_; }
  SoftwareCustody& custody() { return custody_; }

 private:
  SystemClock clock_;
  KekRing ring_;
  SoftwareCustody custody_;
  Custodies custodies_;
  std::unique_ptr<SqliteLedgerStore> store_;
  std::unique_ptr<LedgerEngine> ledger_;
  std::unique_ptr<KekKeeper> keeper_;
};

const KeyIdentity kRouter{KeyKind::kRouter, "edge-a/64496", 1, Algorithm::kEcdsaP256};

void PutKek(const std::string& folder, int version) {
  ASSERT_OK(MakeDirectory(folder + "/kek"));
  const std::string path = folder + "/kek/" + std::to_string(version) + ".kek";
  ::unlink(path.c_str());
  ASSERT_OK(ReplaceFile(path, std::string(32, static_cast<char>(version)), 0400));
}

// Issue, export once, turn over, re-wrap, destroy. Says after each step that it was acknowledged.
[[noreturn]] void LiveAndDie(const std::string& folder, int steps, int report) {
  const auto say = [&](std::string_view what) {
    if (::write(report, (std::string(what) + "\n").c_str(), what.size() + 1) < 0) std::_Exit(3);
  };
  testutil::KillAfter(steps);
  Manager manager(folder);
  const SealedKey key = *manager.custody().Generate(kRouter, ExportPolicy::kOnce);
  if (manager.Change("key_created", "create", kRouter, [&](Changes& changes) { changes.PutKey(key); }).ok())
    say("key_created");
  if (manager.Change("key_exported", "export", kRouter, [](Changes& changes) { changes.LockKey(kRouter); }).ok())
    say("key_exported");
  PutKek(folder, 2);  // now, so that the first start adopted version 1
  if (manager.keeper().Rotate(TestCall("rotate"), 2).ok()) say("kek_rotated");
  if (manager.keeper().RewrapSome(10).ok()) say("keys_rewrapped");
  if (manager.Change("key_destroyed", "destroy", kRouter, [](Changes& changes) { changes.DropKey(kRouter); }).ok())
    say("key_destroyed");
  testutil::KillAfter(-1);
  say("end");
  std::_Exit(0);
}

struct Found {
  std::set<std::string> events;
  std::map<std::uint32_t, std::string> keks;
  std::vector<SealedKey> keys;
};

// What is in the database, with everything that must hold of it whatever happened.
Found Check(const std::string& folder) {
  Found found;
  LedgerStoreOptions options;
  const auto store = SqliteLedgerStore::Open(folder + "/keymgr.db", options);
  EXPECT_OK(store);
  if (!store.ok()) return found;
  LedgerStore::Loader loader;
  loader.row = [&](const Row& row) {
    found.keks[static_cast<std::uint32_t>(std::stoul(row.id))] = row.state;
    return absl::OkStatus();
  };
  loader.key = [&](SealedKey key) { return found.keys.push_back(std::move(key)), absl::OkStatus(); };
  loader.request = [](const AuditRow&) { return absl::OkStatus(); };
  const auto head = (*store)->Load(loader);
  EXPECT_OK(head);
  const auto audit = (*store)->ReadAudit({}, 1'000);
  EXPECT_OK(audit);
  if (!head.ok() || !audit.ok()) return found;
  EXPECT_EQ(audit->size(), head->record);
  std::uint64_t number = 0;
  for (const AuditRow& row : *audit) {
    EXPECT_EQ(row.record, ++number);
    EXPECT_EQ(row.sequence, number) << "one epoch, no number left out";
    const auto frame = frame::Decode(row.frame, frame::Spelling::kV2);
    EXPECT_TRUE(frame.ok() && frame::VerifyTag(*frame, *TestLedgerOptions().signer()->key));
    EXPECT_TRUE(found.events.insert(row.event).second) << row.event << " twice";
  }
  return found;
}

TEST(KeymgrCrash, KilledAtEveryStepAChangeIsThereWithItsRecordOrNotAtAll) {
  int steps = 0;
  bool ended = false;
  std::set<std::string> last_events;
  while (!ended && steps < 1'000) {
    ++steps;
    SCOPED_TRACE("killed at step " + std::to_string(steps));
    const testutil::TempDir folder;
    PutKek(folder.path(), 1);
    int report[2];
    ASSERT_EQ(::pipe(report), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::close(report[0]);
      LiveAndDie(folder.path(), steps, report[1]);
    }
    ::close(report[1]);
    std::string said;
    char buffer[256];
    for (ssize_t got = 0; (got = ::read(report[0], buffer, sizeof(buffer))) > 0;)
      said.append(buffer, static_cast<std::size_t>(got));
    ::close(report[0]);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ended = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    ASSERT_TRUE(ended || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)) << status;

    const Found found = Check(folder.path());
    for (const std::string event : {"key_created", "key_exported", "key_destroyed"}) {
      if (said.find(event) != std::string::npos) EXPECT_TRUE(found.events.contains(event)) << "acknowledged and lost";
    }
    const bool there = found.events.contains("key_created") && !found.events.contains("key_destroyed");
    ASSERT_EQ(found.keys.size(), there ? 1U : 0U) << "no record, no effect; no effect, no record";
    if (there) EXPECT_EQ(found.keys[0].locked, found.events.contains("key_exported"));
    // The manager starts again, and an exported key cannot be exported again.
    if (there && found.events.contains("key_exported")) {
      Manager again(folder.path());
      const auto key = again.ledger().snapshot()->FindKey(kRouter);
      ASSERT_NE(key, nullptr);
      EXPECT_EQ(GetReason(again.custody().Export(*key).status()), "NOT_EXPORTABLE");
      EXPECT_OK(again.custody().Sign(*key, "x"));
      again.ledger().Stop();
    }
    last_events = found.events;
  }
  EXPECT_TRUE(ended) << "it never got to its end";
  EXPECT_GT(steps, 30) << "the writes were not counted";
  EXPECT_TRUE(last_events.contains("key_destroyed"));
}

// ---- no private byte outside of an envelope ----

std::vector<std::string> Spellings(std::string_view secret) {
  std::vector<std::string> out{std::string(secret), HexEncode(secret)};
  std::string upper = out[1];
  for (char& c : upper) c = static_cast<char>(std::toupper(c));
  out.push_back(upper);
  // Inside of other bytes (DER in a PEM file) the secret may begin at each of three places of a group.
  for (std::size_t skip = 0; skip < 3; ++skip) {
    const std::string encoded = Base64Encode(std::string(skip, 'x') + std::string(secret));
    out.push_back(encoded.substr(skip == 0 ? 0 : 4, encoded.size() - (skip == 0 ? 4 : 8)));
  }
  return out;
}

// Files below `folder` that hold the secret, and how.
std::vector<std::string> Leaks(const std::string& folder, const std::vector<crypto::Secret>& secrets) {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file() || entry.path().extension() == ".kek") continue;
    const auto bytes = ReadFile(entry.path().string());
    EXPECT_OK(bytes);
    for (const crypto::Secret& secret : secrets) {
      for (const std::string& spelling : Spellings(secret.view())) {
        if (bytes.value_or("").find(spelling) != std::string::npos) out.push_back(entry.path().filename());
      }
    }
  }
  return out;
}

TEST(KeymgrLeak, NoPrivateByteIsOnDiskOutsideOfAnEnvelope) {
  const testutil::TempDir folder;
  PutKek(folder.path(), 1);
  Manager manager(folder.path());
  const KeyIdentity identities[] = {kRouter,
                                    {KeyKind::kObservation, "edge-a", 1, Algorithm::kHmacSha256},
                                    {KeyKind::kObservation, "edge-a", 2, Algorithm::kEd25519},
                                    {KeyKind::kTcpAo, "a/b", 1, Algorithm::kOctets}};
  std::vector<crypto::Secret> secrets;
  std::string messages;  // of errors, which go to callers and logs
  for (const KeyIdentity& identity : identities) {
    crypto::Secret& secret = secrets.emplace_back(crypto::Secret::Random(32));
    const ExportPolicy policy = IsSymmetric(identity.algorithm) ? ExportPolicy::kShared : ExportPolicy::kOnce;
    const auto key = manager.custody().Import(identity, policy, secret);
    ASSERT_OK(key);
    ASSERT_OK(manager.Change("key_created", "", identity, [&](Changes& changes) { changes.PutKey(*key); }));
    ASSERT_OK(manager.custody().Export(*key));
    SealedKey broken = *key;
    broken.identity.version = 9;
    messages += std::string(Message(manager.custody().Export(broken).status()));
    messages += std::string(
        Message(manager.custody().Import(identity, policy, crypto::Secret(secret.view().substr(1))).status()));
  }
  PutKek(folder.path(), 2);
  ASSERT_OK(manager.keeper().Rotate(TestCall("rotate"), 2));
  ASSERT_EQ(*manager.keeper().RewrapSome(10), 0U);
  ASSERT_OK(manager.Change("key_destroyed", "", kRouter, [](Changes& changes) { changes.DropKey(kRouter); }));
  EXPECT_THAT(Leaks(folder.path(), secrets), testing::IsEmpty());
  for (const crypto::Secret& secret : secrets) {
    for (const std::string& spelling : Spellings(secret.view())) EXPECT_EQ(messages.find(spelling), std::string::npos);
  }
  // A leak that somebody planted is found, however it is spelled.
  for (const std::string& spelling : Spellings(secrets[0].view())) {
    const std::string path = folder.File("planted");
    ASSERT_OK(ReplaceFile(path, "in the middle of " + spelling + " something"));
    EXPECT_THAT(Leaks(folder.path(), secrets), testing::Contains("planted"));
    ::unlink(path.c_str());
  }
  // And one in the database: an answer, which is kept with its record.
  ASSERT_OK(manager.ledger().Commit(TestCall("leak"), [&](const Snapshot&, Changes& changes) {
    changes.Answer(HexEncode(secrets[1].view()));
    changes.Audit({.event = "leaked", .source = {}, .keys = {}, .fields = {}});
    return absl::OkStatus();
  }));
  EXPECT_FALSE(Leaks(folder.path(), secrets).empty());
  manager.ledger().Stop();
}

}  // namespace
}  // namespace virp::keymgr
