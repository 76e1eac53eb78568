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
using testutil::IsOkAndHolds;
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
  const auto refusals = rpki::CheckPath(certificate->certificate, authority().AuthoritiesBelow(), anchor, {},
                                        {.asn = 64496, .now = rpki_.Now(), .spki = key_.public_key().spki()});
  EXPECT_TRUE(refusals.empty()) << rpki::AsStatus(refusals, "path");
  ASSERT_OK_AND_ASSIGN(const std::string tal, authority().Tal());
  EXPECT_TRUE(tal.starts_with("rsync://rpki.example.net/repo/ta.cer\n\n"));
  EXPECT_OK(authority().SetUp(TestCall("again")));  // nothing happens
  EXPECT_EQ(*authority().TrustAnchor(), anchor);
}

TEST_F(RpkiAuthorityTest, PublishesEachCertificateAndNothingElse) {
  EXPECT_THAT(authority().PublicationDue(), IsOkAndHolds(true));
  ASSERT_OK(authority().Publish());
  EXPECT_THAT(Published(), IsEmpty());
  EXPECT_THAT(authority().RouterKeys(), IsEmpty());
  EXPECT_THAT(authority().PublicationDue(), IsOkAndHolds(false));
  ASSERT_OK_AND_ASSIGN(const auto old_one, rpki_.Issue(key_, 64496, "edge-a"));
  EXPECT_THAT(authority().PublicationDue(), IsOkAndHolds(true));
  ASSERT_OK(authority().Publish());
  EXPECT_THAT(Published(), ElementsAre(old_one->certificate));
  EXPECT_EQ((*authority().Get(old_one->id))->state, CertificateState::kPublished);
  EXPECT_THAT(authority().RouterKeys(),
              ElementsAre(rpki::RouterKey{64496, std::string(key_.public_key().spki()),
                                          rpki::RouterFactsOf(old_one->certificate)->validity.not_after}));

  const auto next = crypto::P256PrivateKey::Generate();
  ASSERT_OK_AND_ASSIGN(const auto new_one, rpki_.Issue(next, 64496, "edge-a"));
  ASSERT_OK(RevokeCertificate(*rpki_.ledger, old_one->id));
  ASSERT_OK(RevokeCertificate(*rpki_.ledger, old_one->id)) << "it stays so";
  EXPECT_THAT(RevokeCertificate(*rpki_.ledger, "nothing"), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK(authority().Publish());
  EXPECT_THAT(Published(), ElementsAre(new_one->certificate));
  EXPECT_EQ(RevokedCount(), 1u);
  EXPECT_EQ((*authority().Get(old_one->id))->state, CertificateState::kRevoked);

  // What expired is neither listed nor on the CRL.
  rpki_.ledger.clock.Advance(hours(24 * 366));
  EXPECT_THAT(authority().PublicationDue(), IsOkAndHolds(true));
  ASSERT_OK(authority().Publish());
  EXPECT_THAT(Published(), IsEmpty());
  EXPECT_EQ(RevokedCount(), 0u);
}

TEST_F(RpkiAuthorityTest, RefreshesAheadOfTime) {
  ASSERT_OK(authority().Publish());
  rpki_.ledger.clock.Advance(hours(15));
  EXPECT_THAT(authority().PublicationDue(), IsOkAndHolds(false));
  rpki_.ledger.clock.Advance(hours(1));
  EXPECT_THAT(authority().PublicationDue(), IsOkAndHolds(true));
  const std::string before = rpki_.target.tree.at("ca/ca.crl");
  ASSERT_OK(authority().Publish());
  EXPECT_NE(rpki_.target.tree.at("ca/ca.crl"), before);
  EXPECT_THAT(authority().PublicationDue(), IsOkAndHolds(false));
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
  EXPECT_THAT(authority().PublicationDue(), IsOkAndHolds(true));
  ASSERT_OK(authority().Publish());
  EXPECT_EQ(Number(), 4u);
  EXPECT_THAT(Published(), ElementsAre(certificate->certificate));
}

TEST_F(RpkiAuthorityTest, WhatIsOutIsNotPutBackByWhoDoesNotLeadAnyMore) {
  ASSERT_OK(authority().Publish());
  // Another manager published meanwhile, by numbers that this ledger has not seen.
  rpki_.target.number = 8;
  EXPECT_THAT(authority().PublicationDue(), IsOkAndHolds(true));
  ASSERT_OK(authority().Publish());
  EXPECT_EQ(Number(), 9u) << "a database from a backup goes on behind what relying parties have seen";
  // It was out, and then the manager died before it could say so.
  rpki_.target.fails_after = Unavailable("killed");
  EXPECT_FALSE(authority().Publish().ok());
  rpki_.target.fails_after = absl::OkStatus();
  EXPECT_THAT(authority().PublicationDue(), IsOkAndHolds(true));
  ASSERT_OK(authority().Publish());
  EXPECT_EQ(Number(), 11u);
  EXPECT_THAT(authority().PublicationDue(), IsOkAndHolds(false));
  // A new folder: nothing is in it yet.
  rpki_.target.number = 0;
  EXPECT_THAT(authority().PublicationDue(), IsOkAndHolds(true));
  // Publishing on request is one record of who asked; repeated, it publishes nothing.
  const Call call = TestCall("publish-1");
  ASSERT_OK(authority().Publish(&call));
  ASSERT_OK(authority().Publish(&call));
  EXPECT_EQ(rpki_.target.number, 12u);
  const PublicationState state = authority().State();
  EXPECT_TRUE(state.set_up);
  EXPECT_EQ(state.number, 12u);
  EXPECT_EQ(state.published_until, state.published_at + 86'400'000'000'000u);
}

TEST_F(RpkiAuthorityTest, CertificatesEnd) {
  ASSERT_OK_AND_ASSIGN(const auto certificate, rpki_.Issue(key_, 64496, "edge-a"));
  ASSERT_OK(authority().Publish());
  EXPECT_THAT(authority().ExpireEnded(), IsOkAndHolds(0u));
  rpki_.ledger.clock.Advance(hours(24 * 365));
  EXPECT_THAT(authority().RouterKeys(), IsEmpty());
  EXPECT_THAT(authority().ExpireEnded(), IsOkAndHolds(1u));
  EXPECT_THAT(authority().ExpireEnded(), IsOkAndHolds(0u));
  EXPECT_EQ((*authority().Get(certificate->id))->state, CertificateState::kExpired);
  EXPECT_EQ(rpki_.ledger.store.audit().back().event, "router_certificates_expired");
  EXPECT_OK(authority().CheckChain());
  rpki_.ledger.clock.Advance(hours(24 * 365 * 10));
  EXPECT_THAT(authority().CheckChain(), ReasonIs("EXPIRED"));
  EXPECT_FALSE(rpki_.Issue(key_, 64496, "edge-a").ok()) << "it fails closed when its own chain has ended";
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
  ASSERT_OK(RevokeCertificate(*rpki_.ledger, certificate->id));
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
  EXPECT_THAT(rpki.authority->CheckChain(), ReasonIs("NO_AUTHORITY"));
  EXPECT_FALSE(rpki.authority->State().set_up);
  EXPECT_THAT(rpki.authority->PublicationDue(), IsOkAndHolds(false));
}

}  // namespace
}  // namespace virp::keymgr
