// The key manager's RPKI, killed at every write, every fsync and every step of its publication folder: what was
// acknowledged is out in the end, what is out is whole, and no number is out twice.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <set>
#include <string>

#include "lib/base/file.h"
#include "lib/crypto/x509.h"
#include "services/keymgr/domain/publication_keeper.h"
#include "services/keymgr/domain/rpki_fixture.h"
#include "services/keymgr/outlets/folder_target.h"
#include "services/keymgr/storage/sqlite/sqlite_ledger.h"
#include "tests/fault/kill_steps.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"

namespace virp::keymgr {
namespace {

using testutil::ReasonIs;

// A manager on SQLite, with a folder to publish to, as main makes it. Its RSA keys are the test's: they cost too much.
class Manager {
 public:
  explicit Manager(const std::string& folder)
      : target_(folder + "/pub", {.before_step = [](std::string_view) { testutil::Step(); }}) {
    custodies_.Add(custody_);
    LedgerStoreOptions options;
    options.clock = &clock_;
    store_ = *SqliteLedgerStore::Open(folder + "/keymgr.db", options);
    ledger_ = *LedgerEngine::Make(*store_, {TypeOf<AuthorityRecord>(), TypeOf<RouterCertificateRecord>()},
                                  TestLedgerOptions(), clock_);
    RpkiOptions rpki;
    rpki.base_uri = "rsync://rpki.example.net/repo/";
    rpki.as_numbers = rpki::AsResources::Of({{64496, 64511}});
    rpki.addresses = rpki::IpResources::Of({*Prefix::Parse("192.0.2.0/24")});
    authority_ = std::make_unique<RpkiAuthority>(*ledger_, custodies_, target_, one_time_keys_, clock_, rpki, "keymgr");
    keeper_ = std::make_unique<PublicationKeeper>(*authority_, one_time_keys_, clock_, [] { return true; });
    ledger_->Start();
    if (!ledger_->WaitActive(true, std::chrono::steady_clock::now() + std::chrono::seconds(60))) std::abort();
    ledger_->Unseal(SealReason::kStarting);
  }
  ~Manager() { ledger_->Stop(); }

  absl::StatusOr<RpkiAuthority::CertificatePtr> Issue(const crypto::P256PrivateKey& key, std::uint32_t asn) {
    const std::string request = *rpki::MakeRouterRequest(key.public_key().spki(), asn, testutil::SignerOf(key));
    return authority_->Issue(TestCall("issue-" + std::to_string(asn)),
                             {.router = "edge-a", .asn = asn, .bgp_id = 1, .request = request});
  }
  RpkiAuthority& authority() { return *authority_; }
  PublicationKeeper& keeper() { return *keeper_; }
  LedgerEngine& ledger() { return *ledger_; }

 private:
  SystemClock clock_;
  RsaCustody custody_;
  Custodies custodies_;
  FolderTarget target_;
  rpki::OneTimeKeys one_time_keys_{2, &testutil::OneTimeKeyForTests};
  std::unique_ptr<SqliteLedgerStore> store_;
  std::unique_ptr<LedgerEngine> ledger_;
  std::unique_ptr<RpkiAuthority> authority_;
  std::unique_ptr<PublicationKeeper> keeper_;
};

const crypto::P256PrivateKey& Key() {
  static const auto& key = *new crypto::P256PrivateKey(crypto::P256PrivateKey::Generate());
  return key;
}

// Two certificates out, one of them revoked, all published. Says after each step that it was acknowledged.
[[noreturn]] void LiveAndDie(const std::string& folder, int steps, int report) {
  const auto say = [&](std::string_view what) {
    if (::write(report, (std::string(what) + "\n").c_str(), what.size() + 1) < 0) std::_Exit(3);
  };
  testutil::KillAfter(steps);
  Manager manager(folder);
  if (manager.authority().SetUp(TestCall("setup")).ok()) say("set up");
  const auto first = manager.Issue(Key(), 64496);
  if (first.ok()) say("issued 1");
  if (manager.Issue(Key(), 64497).ok()) say("issued 2");
  if (manager.authority().Publish().ok()) say("published both");
  if (first.ok() && RevokeCertificate(manager.ledger(), (*first)->id, TestCall("revoke")).ok()) say("revoked");
  if (manager.authority().Publish().ok()) say("published one");
  testutil::KillAfter(-1);
  say("end");
  std::_Exit(0);
}

// What is in the folder fits together: CRL and manifest of one number, each listed file there.
void ExpectWhole(const std::string& folder) {
  const auto target = rpki::PublicationFolder::Open(folder + "/pub");
  ASSERT_OK(target.status());
  const auto tree = target->Read();
  ASSERT_OK(tree.status());
  if (tree->empty()) return;
  for (const char* const name : {"ta.cer", "ta/ca.cer", "ta/ta.crl", "ta/ta.mft", "ca/ca.crl", "ca/ca.mft"})
    EXPECT_TRUE(tree->contains(name)) << name;
  for (const auto& [path, bytes] : *tree) {
    if (path.starts_with("ca/") && path.ends_with(".cer"))
      EXPECT_NE(tree->at("ca/ca.mft").find(path.substr(3)), std::string::npos) << path << " is not on the manifest";
  }
}

std::set<std::uint32_t> OutThere(const std::string& folder) {
  std::set<std::uint32_t> out;
  const auto tree = rpki::PublicationFolder::Open(folder + "/pub")->Read();
  for (const auto& [path, bytes] : *tree) {
    if (path.starts_with("ca/") && path.ends_with(".cer")) out.insert(rpki::RouterFactsOf(bytes)->asn);
  }
  return out;
}

// Numbers that the audit records say were taken, and published.
void ExpectNumbersOnce(Manager& manager, const std::string& folder) {
  manager.ledger().Stop();
  const auto store = SqliteLedgerStore::Open(folder + "/keymgr.db", {});
  ASSERT_OK(store.status());
  std::set<std::string> begun, published;
  const auto audit = (*store)->ReadAudit({}, 1'000);
  ASSERT_OK(audit.status());
  for (const AuditRow& row : *audit) {
    if (row.event != "rpki_publication_begun" && row.event != "rpki_published") continue;
    const std::size_t at = row.frame.find("\"number\":");
    ASSERT_NE(at, std::string::npos);
    const std::string number = row.frame.substr(at, row.frame.find_first_of(",}", at) - at);
    auto& seen = row.event == "rpki_published" ? published : begun;
    EXPECT_TRUE(seen.insert(number).second) << row.event << " " << number << " twice";
  }
  for (const std::string& number : published) EXPECT_TRUE(begun.contains(number));
}

TEST(RpkiCrash, KilledAtEveryStepTheNextProcessFinishes) {
  testutil::OneTimeKeyForTests();
  testutil::RsaKeyForTests(0);
  testutil::RsaKeyForTests(1);
  Key();
  int steps = 0;
  bool ended = false;
  while (!ended && steps < 1'000) {
    ++steps;
    SCOPED_TRACE("killed at step " + std::to_string(steps));
    const testutil::TempDir folder;
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
    const auto was = [&](const char* what) { return said.find(what) != std::string::npos; };

    ExpectWhole(folder.path());
    Manager manager(folder.path());
    const std::size_t certificates = manager.ledger().snapshot()->Count(RouterCertificateRecord::kKind);
    if (was("issued 2")) EXPECT_EQ(certificates, 2u) << "acknowledged and lost";
    if (was("set up")) EXPECT_OK(manager.authority().TrustAnchor().status());
    // The same requests again: what was done is not done twice, what was not is done now.
    ASSERT_OK(manager.authority().SetUp(TestCall("setup")));
    const auto first = manager.Issue(Key(), 64496);
    ASSERT_OK(first.status());
    ASSERT_OK(manager.Issue(Key(), 64497).status());
    EXPECT_EQ(manager.ledger().snapshot()->Count(RouterCertificateRecord::kKind), 2u);
    EXPECT_TRUE((*first)->IsRevoked() || !was("revoked"));
    ASSERT_OK(RevokeCertificate(manager.ledger(), (*first)->id, TestCall("again")));
    ASSERT_OK(manager.keeper().Round().status());
    EXPECT_THAT(OutThere(folder.path()), testing::ElementsAre(64497u));
    EXPECT_EQ(manager.authority().State().waiting, 0u);
    EXPECT_FALSE(*manager.authority().PublicationDue());
    ExpectWhole(folder.path());
    ExpectNumbersOnce(manager, folder.path());
    if (HasFatalFailure()) return;
  }
  EXPECT_TRUE(ended) << "it never got to its end";
  EXPECT_GT(steps, 60) << "the steps were not counted";
}

}  // namespace
}  // namespace virp::keymgr
