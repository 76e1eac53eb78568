// The authorities' certificates are made anew in time, and the issuing one comes to a new key, with every router key
// listed in every step, whoever leads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/rpki/point.h"
#include "services/keymgr/domain/ledger_batch.h"
#include "services/keymgr/domain/rollback_guard.h"
#include "services/keymgr/domain/rpki_fixture.h"
#include "services/keymgr/domain/rpki_names.h"
#include "services/keymgr/domain/rpki_takeover.h"
#include "tests/testutil/status_matchers.h"

namespace virp::keymgr {
namespace {

using std::chrono::hours;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;
using testutil::IsOkAndHolds;
using testutil::ReasonIs;

class RpkiRollTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_OK(rpki_.authority->SetUp(TestCall("setup"))); }

  RpkiAuthority& authority() { return *rpki_.authority; }
  Snapshot State() { return *rpki_.ledger->snapshot(); }
  // Another manager takes over, or this one is started again.
  void Restart() {
    for (const Row& row : rpki_.ledger.store.rows()) {
      const auto read =
          row.kind == AuthorityRecord::kKind ? AuthorityRecord::FromRow(row) : RouterCertificateRecord::FromRow(row);
      ASSERT_OK(read);
      EXPECT_EQ((*read)->ToRow().body, row.body);
      EXPECT_EQ((*read)->ToRow().state, row.state);
    }
    rpki_.authority = std::make_unique<RpkiAuthority>(*rpki_.ledger, rpki_.custodies, rpki_.target, rpki_.one_time_keys,
                                                      rpki_.ledger.clock, options_, "keymgr-2");
  }
  std::string Issue(const crypto::P256PrivateKey& key, std::uint32_t asn, const std::string& router) {
    const auto issued = rpki_.Issue(key, asn, router);
    EXPECT_OK(issued);
    return issued.ok() ? (*issued)->id : std::string();
  }
  // Keys that are listed by an authority that is listed and not revoked, each certificate checked up to the anchor.
  std::vector<std::pair<std::uint32_t, std::string>> Listed() {
    std::set<std::pair<std::uint32_t, std::string>> out;
    const auto& tree = rpki_.target.tree;
    const auto anchor_crl = x509::ParseRevocationList(tree.at("ta/ta.crl"));
    for (const auto& [path, bytes] : tree) {
      if (!path.starts_with("ta/") || !path.ends_with(".cer")) continue;
      const auto parsed = x509::ParseCertificate(bytes);
      for (const x509::Revoked& revoked : anchor_crl->revoked) EXPECT_NE(revoked.serial, parsed->serial) << path;
      const std::string stem = path.substr(3, path.size() - 7);
      EXPECT_TRUE(tree.contains("ca/" + stem + ".crl")) << stem;
      EXPECT_TRUE(tree.contains("ca/" + stem + ".mft")) << stem;
      const auto chain = rpki::Chain::Make(bytes, tree.at("ta.cer"));
      EXPECT_OK(chain);
      for (const auto& [file, certificate] : tree) {
        if (!file.starts_with("ca/") || !file.ends_with(".cer") || !rpki::CheckIssuedBy(certificate, bytes).empty())
          continue;
        EXPECT_TRUE((*chain)->Check(certificate, {.now = rpki_.Now()}).empty()) << file;
        const auto facts = rpki::RouterFactsOf(certificate);
        out.emplace(facts->asn, facts->spki);
      }
    }
    return {out.begin(), out.end()};
  }
  static std::pair<std::uint32_t, std::string> KeyOf(std::uint32_t asn, const crypto::P256PrivateKey& key) {
    return {asn, std::string(key.public_key().spki())};
  }
  bool Has(const std::string& path) { return rpki_.target.tree.contains(path); }

  RpkiOptions options_ = [] {
    RpkiOptions options;
    options.base_uri = "rsync://rpki.example.net/repo/";
    options.as_numbers = rpki::AsResources::Of({{1, 2}});  // changed since: of no effect
    options.addresses = rpki::IpResources::Of({*Prefix::Parse("198.51.100.0/24")});
    return options;
  }();
  RpkiFixture rpki_;
  const crypto::P256PrivateKey first_ = crypto::P256PrivateKey::Generate(),
                               second_ = crypto::P256PrivateKey::Generate(),
                               third_ = crypto::P256PrivateKey::Generate();
};

TEST_F(RpkiRollTest, EveryKeyIsListedInEveryStep) {
  std::vector<std::pair<RpkiAuthority::CertificatePtr, std::string>> told;
  const auto listen = [&] {
    authority().OnReissue(
        [&](const Snapshot&, const RouterCertificateRecord& old_one, const RouterCertificateRecord& new_one, Changes&) {
          told.emplace_back(std::make_shared<RouterCertificateRecord>(new_one), old_one.id);
        });
  };
  const std::string old_first = Issue(first_, 64496, "edge-a"), old_second = Issue(second_, 64497, "edge-b");
  ASSERT_OK(authority().Publish());
  EXPECT_THAT(authority().Advance(), IsOkAndHolds(false)) << "there is no roll, and nothing ends";
  const auto both = UnorderedElementsAre(KeyOf(64496, first_), KeyOf(64497, second_));
  EXPECT_THAT(Listed(), both);

  // The new key, and relying parties get to know it.
  ASSERT_OK(authority().StartRoll(TestCall("roll")));
  ASSERT_OK(authority().StartRoll(TestCall("roll"))) << "a repeat";
  EXPECT_THAT(authority().StartRoll(TestCall("roll-2")), ReasonIs("ROLLING"));
  EXPECT_EQ(State().key_count(), 3U) << "keys of the refused ones are nobody's";
  EXPECT_EQ(authority().Roll().state, AuthorityState::kStaging);
  EXPECT_EQ(authority().Roll().since, 0U);
  rpki_.ledger.clock.Advance(hours(48));
  EXPECT_THAT(authority().Advance(), IsOkAndHolds(false)) << "nobody can know what is not out";
  EXPECT_THAT(authority().PublicationDue(), IsOkAndHolds(true));
  ASSERT_OK(authority().Publish());
  EXPECT_TRUE(Has("ta/ca.cer") && Has("ta/ca-2.cer") && Has("ca/ca-2.crl") && Has("ca/ca-2.mft"));
  EXPECT_THAT(Listed(), both);
  EXPECT_OK(authority().CheckChain());
  rpki_.ledger.clock.Advance(hours(23));
  Restart();
  EXPECT_THAT(authority().Advance(), IsOkAndHolds(false));
  const std::string by_old = Issue(third_, 64498, "edge-c");
  EXPECT_EQ((*authority().Get(by_old))->issuer_version, 1U);
  rpki_.ledger.clock.Advance(hours(1));
  EXPECT_THAT(authority().Advance(), IsOkAndHolds(true));
  EXPECT_EQ(authority().Roll().state, AuthorityState::kReissuing);

  // It issues, and what the old one issued is issued again.
  const auto fourth = crypto::P256PrivateKey::Generate();
  const std::string by_new = Issue(fourth, 64499, "edge-d");
  EXPECT_EQ((*authority().Get(by_new))->issuer_version, 2U);
  EXPECT_EQ(authority().Roll().left, 3U);
  listen();
  EXPECT_THAT(authority().Advance(), IsOkAndHolds(true));
  EXPECT_THAT(told, SizeIs(3));
  EXPECT_EQ(authority().Roll().left, 0U);
  EXPECT_EQ(authority().Roll().reissued, 4U);
  EXPECT_THAT(authority().Advance(), IsOkAndHolds(false)) << "they are not out yet";
  ASSERT_OK(authority().Publish());
  const auto all =
      UnorderedElementsAre(KeyOf(64496, first_), KeyOf(64497, second_), KeyOf(64498, third_), KeyOf(64499, fourth));
  EXPECT_THAT(Listed(), all);
  for (const auto& [made, old_id] : told) {
    const auto old_one = *authority().Get(old_id);
    EXPECT_EQ(made->not_after, old_one->not_after) << "no life is added";
    EXPECT_EQ(made->router, old_one->router);
  }
  Restart();
  EXPECT_THAT(authority().Advance(), IsOkAndHolds(true));
  EXPECT_EQ(authority().Roll().state, AuthorityState::kRetiring);
  EXPECT_EQ(authority().Roll().version, 2U);
  EXPECT_THAT(Listed(), all);

  // The old one is revoked, and ends.
  EXPECT_THAT(authority().StartRoll(TestCall("roll-3")), ReasonIs("ROLLING"));
  ASSERT_OK(authority().Publish());
  EXPECT_THAT(Listed(), all);
  EXPECT_FALSE(Has("ta/ca.cer") || Has("ca/ca.crl") || Has("ca/ca.mft"));
  EXPECT_THAT(x509::ParseRevocationList(rpki_.target.tree.at("ta/ta.crl"))->revoked, SizeIs(1));
  EXPECT_THAT(rpki_.target.tree, SizeIs(1 + 3 + 2 + 4)) << "anchor, its point, CRL and manifest, certificates";
  EXPECT_THAT(authority().Advance(), IsOkAndHolds(true));
  EXPECT_EQ((*authority().Get(old_first))->state, CertificateState::kReplaced);
  Restart();
  const int destroyed = rpki_.custody.destroyed;
  EXPECT_THAT(authority().Advance(), IsOkAndHolds(true));
  EXPECT_EQ(rpki_.custody.destroyed, destroyed + 1);
  EXPECT_EQ(State().key_count(), 2U);
  EXPECT_THAT(authority().Advance(), IsOkAndHolds(false));
  EXPECT_THAT(authority().PublicationDue(), IsOkAndHolds(false));
  EXPECT_EQ(authority().Roll().state, AuthorityState::kCurrent);
  EXPECT_THAT(authority().RouterKeys(), SizeIs(4));
  EXPECT_OK(authority().CheckChain());
  // The next roll begins.
  ASSERT_OK(authority().StartRoll(TestCall("roll-4")));
  EXPECT_EQ(authority().Roll().next, 3U);
}

TEST_F(RpkiRollTest, WhatIsRevokedMeanwhileStaysRevoked) {
  const std::string first = Issue(first_, 64496, "edge-a");
  Issue(second_, 64497, "edge-b");
  ASSERT_OK(authority().StartRoll(TestCall("roll")));
  ASSERT_OK(authority().Publish());
  rpki_.ledger.clock.Advance(hours(24));
  EXPECT_THAT(authority().Advance(), IsOkAndHolds(true));
  ASSERT_OK(RevokeCertificate(*rpki_.ledger, first));
  EXPECT_THAT(authority().Advance(), IsOkAndHolds(true));
  for (int i = 0; i < 6; ++i) {
    ASSERT_OK(authority().Publish());
    EXPECT_THAT(Listed(), UnorderedElementsAre(KeyOf(64497, second_)));
    ASSERT_OK(authority().Advance().status());
  }
  EXPECT_EQ(authority().Roll().state, AuthorityState::kCurrent);
  EXPECT_EQ(authority().Roll().version, 2U);
  EXPECT_EQ((*authority().Get(first))->state, CertificateState::kRevoked);
}

TEST_F(RpkiRollTest, CertificatesOfAuthoritiesAreMadeAnewBeforeTheyEnd) {
  ASSERT_OK(authority().Publish());
  const auto tree = rpki_.target.tree;
  Restart();
  rpki_.ledger.clock.Advance(hours(24 * (3650 - 366)));
  EXPECT_THAT(authority().Advance(), IsOkAndHolds(false));
  rpki_.ledger.clock.Advance(hours(24 * 2));
  EXPECT_THAT(authority().Advance(), IsOkAndHolds(true)) << "the trust anchor's";
  EXPECT_THAT(authority().Advance(), IsOkAndHolds(true)) << "the issuing authority's";
  EXPECT_THAT(authority().Advance(), IsOkAndHolds(false));
  Issue(first_, 64496, "edge-a");
  ASSERT_OK(authority().Publish());
  EXPECT_THAT(Listed(), UnorderedElementsAre(KeyOf(64496, first_)));
  for (const char* path : {"ta.cer", "ta/ca.cer"}) {
    const auto before = x509::ParseCertificate(tree.at(path)),
               after = x509::ParseCertificate(rpki_.target.tree.at(path));
    EXPECT_GT(after->not_after, before->not_after + hours(24 * 3000));
    EXPECT_EQ(after->spki, before->spki);
    EXPECT_EQ(after->subject, before->subject);
    EXPECT_NE(after->serial, before->serial);
  }
  EXPECT_EQ(*authority().Tal(),
            rpki::EncodeTal({"rsync://rpki.example.net/repo/ta.cer"}, x509::ParseCertificate(tree.at("ta.cer"))->spki)
                .value());
  EXPECT_OK(authority().CheckChain());
}

// An operator believed a clock that was ahead: what was renewed by it begins when nobody is alive.
TEST_F(RpkiRollTest, CertificatesOfAuthoritiesThatBeginInTheFutureAreMadeAnew) {
  const auto key = crypto::P256PrivateKey::Generate();
  Issue(key, 64496, "edge-a");
  ASSERT_OK(authority().Publish());
  const UnixNanos right = rpki_.ledger.clock.NowNanos();
  rpki_.ledger.clock.Advance(hours(24 * 3500));
  while (*authority().Advance()) {
  }
  rpki_.ledger.clock.SetWall(right + 60 * kNanosPerSecond);
  while (*authority().Advance()) {
  }
  ASSERT_OK(authority().Publish());
  for (const std::string path : {"ta.cer", "ta/ca.cer"}) {
    const auto parsed = x509::ParseCertificate(rpki_.target.tree.at(path));
    ASSERT_OK(parsed);
    EXPECT_LE(parsed->not_before, rpki_.Now()) << path;
  }
  EXPECT_THAT(Listed(), UnorderedElementsAre(KeyOf(64496, key)));
}

TEST_F(RpkiRollTest, RecordsOfEarlierVersionsAreRead) {
  Issue(first_, 64496, "edge-a");
  for (Row row : rpki_.ledger.store.rows()) {
    const auto cut = [&](std::string_view from) {
      const std::size_t at = row.body.find(from);
      ASSERT_NE(at, std::string::npos) << row.body;
      row.body = row.body.substr(0, at) + "}";
    };
    if (row.kind == AuthorityRecord::kKind) {
      cut(",\"since_ns\"");
      row.state.clear();
      const auto read = AuthorityRecord::FromRow(row);
      ASSERT_OK(read);
      EXPECT_EQ(static_cast<const AuthorityRecord&>(**read).state, AuthorityState::kCurrent);
    } else {
      cut(",\"issuer_version\"");
      const auto read = RouterCertificateRecord::FromRow(row);
      ASSERT_OK(read);
      EXPECT_EQ(static_cast<const RouterCertificateRecord&>(**read).issuer_version, 1U);
    }
  }
}

TEST_F(RpkiRollTest, ThereIsNoRollWithoutAnAuthority) {
  RpkiFixture fresh;
  EXPECT_THAT(fresh.authority->StartRoll(TestCall("roll")), ReasonIs("NO_AUTHORITY"));
  EXPECT_THAT(fresh.authority->Advance(), IsOkAndHolds(false));
}

// A database that was restored from a backup made before, or in the middle of, a roll of the authority.
class RpkiTakeOverTest : public RpkiRollTest {
 protected:
  void SetUp() override {
    RpkiRollTest::SetUp();
    first_id_ = Issue(first_, 64496, "edge-a");
    Issue(second_, 64497, "edge-b");
    ASSERT_OK(authority().Publish());
  }
  void BackUp() {
    backup_ = rpki_.ledger->snapshot();
    records_ = rpki_.ledger.store.audit().size();
  }
  // Goes on with the state of the backup, after the loss was accepted. Key material that was destroyed stays so.
  void Restore() {
    std::vector<ChainRecord> missing;
    const auto audit = rpki_.ledger.store.audit();
    const auto own = [](const frame::Frame& frame) {
      return frame::VerifyTag(frame, *TestLedgerOptions().signer()->key);
    };
    for (std::size_t i = records_; i < audit.size(); ++i) {
      auto record = ReadChainRecord(audit[i].frame, own);
      ASSERT_OK(record);
      missing.push_back(*std::move(record));
    }
    BatchRun run(*backup_);
    const auto take_over = [&](const Snapshot& now, Changes& changes) -> absl::Status {
      RETURN_IF_ERROR(TakeOverKeys(missing, now, changes));
      RETURN_IF_ERROR(TakeOverRpki(missing, now, changes));
      changes.Audit({.event = "rollback_accepted", .source = {}, .keys = {}, .fields = {}});
      return absl::OkStatus();
    };
    ASSERT_OK(run.Run(take_over, rpki_.ledger.clock.NowNanos(), [](const AuditRecord&) { return absl::OkStatus(); }));
    ASSERT_OK(rpki_.ledger->Commit(TestCall("restore"), [&](const Snapshot& now, Changes& changes) {
      Replace<AuthorityRecord>(now, run.state(), changes);
      Replace<RouterCertificateRecord>(now, run.state(), changes);
      now.ForEachKey([&](const std::shared_ptr<const SealedKey>& key) {
        changes.DropKey(key->identity);
        return true;
      });
      run.state().ForEachKey([&](const std::shared_ptr<const SealedKey>& key) {
        changes.PutKey(*key);
        return true;
      });
      changes.Audit({.event = "restored", .source = {}, .keys = {}, .fields = {}});
      return absl::OkStatus();
    }));
  }
  template <typename T>
  static void Replace(const Snapshot& now, const Snapshot& by, Changes& changes) {
    now.ForEach<T>([&](const std::shared_ptr<const T>& record) {
      changes.Erase<T>(record->id);
      return true;
    });
    by.ForEach<T>([&](const std::shared_ptr<const T>& record) {
      changes.Put(std::make_shared<T>(*record));
      return true;
    });
  }
  // One round of the keeper, as often as something is to be done.
  void Run() {
    for (bool more = true; more;) {
      const auto advanced = authority().Advance();
      ASSERT_OK(advanced);
      const auto due = authority().PublicationDue();
      ASSERT_OK(due);
      if (*due) {
        ASSERT_OK(authority().Publish());
        EXPECT_THAT(Listed(), both_) << "whatever is out lists every key";
      }
      more = *advanced || *due;
    }
  }
  void Roll() {
    ASSERT_OK(authority().StartRoll(TestCall("roll-" + std::to_string(++rolls_))));
    Run();
    rpki_.ledger.clock.Advance(hours(24));
    Run();
    ASSERT_EQ(authority().Roll().state, AuthorityState::kCurrent);
  }
  std::set<std::string> RevokedAuthorities() {
    std::set<std::string> out;
    const auto crl = x509::ParseRevocationList(rpki_.target.tree.at("ta/ta.crl"));
    for (const auto& one : crl->revoked) out.emplace(one.serial);
    return out;
  }
  std::string SerialOf(std::string_view id) {
    return std::string(x509::ParseCertificate(State().Find<AuthorityRecord>(id)->certificate)->serial);
  }
  // All that must hold once the loss was accepted and time has done its work.
  void IsWhole(std::uint32_t version) {
    EXPECT_THAT(Listed(), both_);
    EXPECT_EQ(authority().Roll().state, AuthorityState::kCurrent);
    EXPECT_EQ(authority().Roll().version, version);
    EXPECT_OK(authority().CheckChain());
    EXPECT_THAT(authority().RouterKeys(), SizeIs(2));
    EXPECT_EQ(State().key_count(), 2U);
    const std::string id = Issue(third_, 64498, "edge-c");
    ASSERT_OK(RevokeCertificate(*rpki_.ledger, id));
    Run();
    Roll();
    EXPECT_EQ(authority().Roll().version, version + 1) << "and it can be rolled";
  }

  const testing::Matcher<std::vector<std::pair<std::uint32_t, std::string>>> both_ =
      UnorderedElementsAre(KeyOf(64496, first_), KeyOf(64497, second_));
  std::string first_id_;
  std::shared_ptr<const Snapshot> backup_;
  std::size_t records_ = 0;
  int rolls_ = 0;
};

TEST_F(RpkiTakeOverTest, AnAuthorityWhoseSuccessorIsLostGetsAnother) {
  BackUp();
  const std::string old_one = SerialOf("ca");
  Roll();
  EXPECT_THAT(RevokedAuthorities(), testing::ElementsAre(old_one));
  Restore();
  EXPECT_EQ(authority().Roll().state, AuthorityState::kReissuing);
  EXPECT_THAT(authority().StartRoll(TestCall("by-hand")), ReasonIs("ROLLING"));
  EXPECT_THAT(authority().Publish(), ReasonIs("ROLLING")) << "less than what is out now";
  EXPECT_THAT(rpki_.Issue(third_, 64498, "edge-c"), ReasonIs("ROLLING")) << "not by a revoked key";
  Restart();
  Run();
  EXPECT_THAT(RevokedAuthorities(), testing::Contains(old_one)) << "what was revoked stays so";
  EXPECT_EQ((*authority().Get(first_id_))->state, CertificateState::kReplaced);
  IsWhole(3);
}

TEST_F(RpkiTakeOverTest, ARollThatWasUnderWayIsFinished) {
  ASSERT_OK(authority().StartRoll(TestCall("roll")));
  Run();
  BackUp();
  const std::string old_one = SerialOf("ca");
  rpki_.ledger.clock.Advance(hours(24));
  Run();
  ASSERT_EQ(authority().Roll().version, 2U);
  Restore();
  Run();
  EXPECT_THAT(RevokedAuthorities(), testing::ElementsAre(old_one));
  IsWhole(2);
}

TEST_F(RpkiTakeOverTest, OfTwoRollsBothKeysStayRevoked) {
  ASSERT_OK(authority().StartRoll(TestCall("roll")));
  Run();
  BackUp();
  const std::string first = SerialOf("ca"), second = SerialOf("ca-new");
  rpki_.ledger.clock.Advance(hours(24));
  Run();
  Roll();
  ASSERT_EQ(authority().Roll().version, 3U);
  Restore();
  Run();
  EXPECT_THAT(RevokedAuthorities(), UnorderedElementsAre(first, second));
  IsWhole(4);
}

TEST_F(RpkiTakeOverTest, AKeyThatWasDestroyedLeavesNothingBehind) {
  ASSERT_OK(authority().StartRoll(TestCall("roll")));
  Run();
  rpki_.ledger.clock.Advance(hours(24));
  for (int i = 0; i < 2; ++i) {
    ASSERT_THAT(authority().Advance(), IsOkAndHolds(true));
    ASSERT_THAT(authority().Advance(), testing::_);
    ASSERT_OK(authority().Publish());
  }
  BackUp();
  ASSERT_EQ(State().key_count(), 3U);
  Run();
  ASSERT_EQ(State().key_count(), 2U);
  Restore();
  Run();
  EXPECT_EQ((*authority().Get(first_id_))->state, CertificateState::kReplaced);
  IsWhole(2);
}

TEST_F(RpkiTakeOverTest, NoVersionIsGivenTwice) {
  BackUp();
  ASSERT_OK(authority().StartRoll(TestCall("roll")));
  Restore();
  Run();
  EXPECT_EQ(authority().Roll().version, 1U);
  Roll();
  IsWhole(3);
}

}  // namespace
}  // namespace virp::keymgr
