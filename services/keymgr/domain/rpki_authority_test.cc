#include "services/keymgr/domain/rpki_authority.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "lib/crypto/cms.h"
#include "lib/rpki/import.h"
#include "services/keymgr/domain/rpki_fixture.h"
#include "tests/testutil/status_matchers.h"

namespace virp::keymgr {
namespace {

using std::chrono::hours;
using testing::ElementsAre;
using testing::IsEmpty;
using testutil::ReasonIs;
using testutil::StatusIs;

class RpkiAuthorityTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_OK(rpki_.authority->SetUp(TestCall("setup"))); }
  RpkiAuthority& authority() { return *rpki_.authority; }

  // What a relying party would find: the router certificates on the point, and the serials on its CRL.
  std::vector<std::string> Published() const {
    std::vector<std::string> out;
    for (const auto& [path, bytes] : rpki_.target.tree) {
      if (path.starts_with("ca/") && path.ends_with(".cer")) out.push_back(bytes);
    }
    return out;
  }
  std::size_t RevokedCount() const {
    const auto crl = x509::ParseRevocationList(rpki_.target.tree.at("ca/ca.crl"));
    return crl.ok() ? crl->revoked.size() : 999;
  }
  std::uint64_t Number() { return (*rpki_.ledger).snapshot()->Find<AuthorityRecord>("ca")->number; }

  RpkiFixture rpki_;
  const crypto::P256PrivateKey key_ = crypto::P256PrivateKey::Generate();
};

TEST_F(RpkiAuthorityTest, IssuesWhatItsChainProves) {
  ASSERT_OK_AND_ASSIGN(const auto certificate, rpki_.Issue(key_, 64496, "edge-a"));
  EXPECT_EQ(certificate->state, CertificateState::kIssued);
  ASSERT_OK_AND_ASSIGN(const std::string anchor, authority().TrustAnchor());
  ASSERT_OK_AND_ASSIGN(const std::string p7, authority().CertsOnly(certificate->id));
  ASSERT_OK_AND_ASSIGN(const rpki::Imported imported, rpki::ImportCertificates(p7));
  EXPECT_EQ(imported.router, certificate->certificate);
  const auto refusals = rpki::CheckPath(imported.router, imported.authorities, anchor, {},
                                        {.asn = 64496, .now = rpki_.Now(), .spki = key_.public_key().spki()});
  EXPECT_TRUE(refusals.empty()) << rpki::AsStatus(refusals, "path");
  ASSERT_OK_AND_ASSIGN(const std::string tal, authority().Tal());
  EXPECT_TRUE(tal.starts_with("rsync://rpki.example.net/repo/ta.cer\n\n"));
  EXPECT_OK(authority().SetUp(TestCall("again")));  // nothing happens
  EXPECT_EQ(*authority().TrustAnchor(), anchor);
}

TEST_F(RpkiAuthorityTest, PublishesEachCertificateAndNothingElse) {
  EXPECT_TRUE(authority().PublicationDue());
  ASSERT_OK(authority().Publish());
  EXPECT_THAT(Published(), IsEmpty());
  EXPECT_THAT(authority().RouterKeys(), IsEmpty());
  EXPECT_FALSE(authority().PublicationDue());
  ASSERT_OK_AND_ASSIGN(const auto old_one, rpki_.Issue(key_, 64496, "edge-a"));
  EXPECT_TRUE(authority().PublicationDue());
  ASSERT_OK(authority().Publish());
  EXPECT_THAT(Published(), ElementsAre(old_one->certificate));
  EXPECT_EQ((*authority().Get(old_one->id))->state, CertificateState::kPublished);
  EXPECT_THAT(authority().RouterKeys(),
              ElementsAre(rpki::RouterKey{64496, std::string(key_.public_key().spki()),
                                          rpki::RouterFactsOf(old_one->certificate)->validity.not_after}));

  const auto next = crypto::P256PrivateKey::Generate();
  ASSERT_OK_AND_ASSIGN(const auto new_one, rpki_.Issue(next, 64496, "edge-a"));
  ASSERT_OK(authority().Revoke(TestCall(), old_one->id));
  EXPECT_THAT(authority().Revoke(TestCall(), old_one->id), ReasonIs("REVOKED"));
  EXPECT_THAT(authority().Revoke(TestCall(), "nothing"), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK(authority().Publish());
  EXPECT_THAT(Published(), ElementsAre(new_one->certificate));
  EXPECT_EQ(RevokedCount(), 1u);
  EXPECT_EQ((*authority().Get(old_one->id))->state, CertificateState::kRevoked);

  // What expired is neither listed nor on the CRL.
  rpki_.ledger.clock.Advance(hours(24 * 366));
  EXPECT_TRUE(authority().PublicationDue());
  ASSERT_OK(authority().Publish());
  EXPECT_THAT(Published(), IsEmpty());
  EXPECT_EQ(RevokedCount(), 0u);
}

TEST_F(RpkiAuthorityTest, RefreshesAheadOfTime) {
  ASSERT_OK(authority().Publish());
  rpki_.ledger.clock.Advance(hours(15));
  EXPECT_FALSE(authority().PublicationDue());
  rpki_.ledger.clock.Advance(hours(1));
  EXPECT_TRUE(authority().PublicationDue());
  const std::string before = rpki_.target.tree.at("ca/ca.crl");
  ASSERT_OK(authority().Publish());
  EXPECT_NE(rpki_.target.tree.at("ca/ca.crl"), before);
  EXPECT_FALSE(authority().PublicationDue());
}

TEST_F(RpkiAuthorityTest, NumbersAreNeverUsedTwice) {
  ASSERT_OK(authority().Publish());
  EXPECT_EQ(Number(), 1u);
  // The target fails; the database fails behind it: both times the next one has another number.
  rpki_.target.fails = Unavailable("disk");
  EXPECT_THAT(authority().Publish(), StatusIs(absl::StatusCode::kUnavailable));
  rpki_.target.fails = absl::OkStatus();
  EXPECT_EQ(Number(), 2u);
  ASSERT_OK_AND_ASSIGN(const auto certificate, rpki_.Issue(key_, 64496, "edge-a"));
  rpki_.custody.fails = Unavailable("token");
  EXPECT_THAT(authority().Publish(), StatusIs(absl::StatusCode::kUnavailable));
  rpki_.custody.fails = absl::OkStatus();
  EXPECT_TRUE(authority().PublicationDue());
  ASSERT_OK(authority().Publish());
  EXPECT_EQ(Number(), 4u);
  EXPECT_THAT(Published(), ElementsAre(certificate->certificate));
}

TEST_F(RpkiAuthorityTest, RefusesWithAReasonAndChangesNothing) {
  const std::size_t commits = rpki_.ledger.store.commits();
  const auto order = [&](std::string_view request, std::uint32_t asn = 64496, std::string router = "edge-a") {
    return authority().Issue(TestCall(), {.router = std::move(router), .asn = asn, .bgp_id = 1, .request = request});
  };
  const auto other = crypto::P256PrivateKey::Generate();
  const std::string stolen = *rpki::MakeRouterRequest(key_.public_key().spki(), 64496, testutil::SignerOf(other));
  EXPECT_THAT(order(stolen), ReasonIs("SIGNATURE"));
  EXPECT_THAT(order("junk"), ReasonIs("MALFORMED"));
  const std::string good = *rpki::MakeRouterRequest(key_.public_key().spki(), 64496, testutil::SignerOf(key_));
  EXPECT_THAT(order(good, 64497), ReasonIs("SUBJECT_OF_ANOTHER_AS"));
  EXPECT_FALSE(order(good, 64496, "not a name").ok());
  const std::string not_held = *rpki::MakeRouterRequest(key_.public_key().spki(), 64512, testutil::SignerOf(key_));
  EXPECT_THAT(order(not_held, 64512), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(order(not_held, 64512), ReasonIs("AS_NOT_HELD"));
  EXPECT_EQ(rpki_.ledger.store.commits(), commits);
}

TEST_F(RpkiAuthorityTest, AKeyBelongsToOneRouter) {
  ASSERT_OK_AND_ASSIGN(const auto first, rpki_.Issue(key_, 64496, "edge-a", false, "r-1"));
  EXPECT_THAT(rpki_.Issue(key_, 64496, "edge-b"), ReasonIs("KEY_IN_USE"));
  EXPECT_THAT(rpki_.Issue(key_, 64496, "edge-a"), ReasonIs("KEY_IN_USE"));
  EXPECT_OK(rpki_.Issue(key_, 65536, "edge-a"));        // another AS: another certificate
  EXPECT_OK(rpki_.Issue(key_, 64496, "edge-a", true));  // renewal keeps the key
  // The same request again is answered with the certificate that it got.
  ASSERT_OK_AND_ASSIGN(const auto again, rpki_.Issue(key_, 64496, "edge-a", false, "r-1"));
  EXPECT_EQ(again->id, first->id);
  ASSERT_OK(authority().Publish());
  EXPECT_EQ(Published().size(), 3u);
}

TEST_F(RpkiAuthorityTest, RecordsComeBackFromTheirRows) {
  ASSERT_OK_AND_ASSIGN(const auto certificate, rpki_.Issue(key_, 64496, "edge-a"));
  ASSERT_OK(authority().Revoke(TestCall(), certificate->id));
  ASSERT_OK(authority().Publish());
  for (const Row& row : rpki_.ledger.store.rows()) {
    const auto back =
        row.kind == AuthorityRecord::kKind ? AuthorityRecord::FromRow(row) : RouterCertificateRecord::FromRow(row);
    ASSERT_OK(back);
    EXPECT_EQ((*back)->ToRow().body, row.body);
    EXPECT_EQ((*back)->ToRow().state, row.state);
    EXPECT_EQ((*back)->ToRow().due, row.due);
    for (const std::string& wrong :
         {std::string("{}"), std::string("[]"), std::string(), R"({"format":2})" + std::string()}) {
      Row broken = row;
      broken.body = wrong;
      EXPECT_FALSE(AuthorityRecord::FromRow(broken).ok());
      EXPECT_FALSE(RouterCertificateRecord::FromRow(broken).ok());
    }
  }
}

TEST(RpkiAuthorityWithout, ALedgerThatRefusesLeavesNoKeys) {
  RpkiFixture rpki;
  rpki.ledger->Seal(SealReason::kOperator);
  EXPECT_THAT(rpki.authority->SetUp(TestCall("setup")), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(rpki.custody.destroyed, 2);
  rpki.ledger->Unseal(SealReason::kOperator);
  EXPECT_OK(rpki.authority->SetUp(TestCall("again")));
  EXPECT_EQ(rpki.custody.destroyed, 2);
}

TEST(RpkiAuthorityWithout, SetUpNothingIsIssued) {
  RpkiFixture rpki;
  const auto key = crypto::P256PrivateKey::Generate();
  EXPECT_THAT(rpki.Issue(key, 64496, "edge-a"), ReasonIs("NO_AUTHORITY"));
  EXPECT_THAT(rpki.authority->Publish(), ReasonIs("NO_AUTHORITY"));
  EXPECT_FALSE(rpki.authority->PublicationDue());
}

TEST(ExpiryWarning, ComesOnceForEachThreshold) {
  constexpr UnixNanos kDay = 86'400'000'000'000ULL;
  const UnixNanos end = 1000 * kDay;
  UnixNanos told = 0;
  std::vector<int> days;
  for (UnixNanos now = end - 70 * kDay; now <= end + kDay; now += kDay / 4) {
    if (const auto warning = ExpiryWarning(end, told, now); warning.has_value()) {
      days.push_back(*warning);
      told = now;
    }
  }
  EXPECT_THAT(days, ElementsAre(60, 30, 14, 7, 3, 1, 0));
  // A manager that was down meanwhile says the last one only.
  EXPECT_EQ(ExpiryWarning(end, end - 40 * kDay, end - 2 * kDay), 3);
  EXPECT_EQ(ExpiryWarning(end, 0, end - 61 * kDay), std::nullopt);
}

}  // namespace
}  // namespace virp::keymgr
