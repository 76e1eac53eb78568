// A router that enrols by itself, from its first request to its next key.
#include "services/keymgr/domain/router_enrolment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/crypto/sha256.h"
#include "services/keymgr/domain/router_fixture.h"
#include "tests/testutil/status_matchers.h"

namespace virp::keymgr {
namespace {

using absl::StatusCode;
using testing::SizeIs;
using testutil::ReasonIs;
using testutil::StatusIs;

constexpr char kSlot[] = "edge-a/64496";

class RouterEnrolmentTest : public testing::Test {
 protected:
  RouterEnrolmentTest() : enrolment_(*fixture_.keys) {}

  void Register(const RouterSpec& spec = RouterFixture::Spec()) {
    ASSERT_OK(fixture_.keys->Register(fixture_.NewCall(), spec));
  }
  static EnrolmentRequest Of(std::string_view csr, std::optional<std::uint32_t> asn = std::nullopt) {
    return {.enrolee = {RouterFixture::Agent().identity, "a TLS certificate"}, .asn = asn, .csr = csr};
  }
  static bool Waits(const absl::StatusOr<EnrolmentAnswer>& answer) {
    return answer.ok() && std::holds_alternative<EnrolmentPending>(*answer);
  }
  static std::string CertificateIn(const absl::StatusOr<EnrolmentAnswer>& answer) {
    EXPECT_OK(answer);
    const Enrolled* const enrolled = answer.ok() ? std::get_if<Enrolled>(&*answer) : nullptr;
    return enrolled == nullptr ? "" : enrolled->certificate;
  }
  void ApproveAll() {
    for (const auto& request : fixture_.keys->ListPending("", 10))
      EXPECT_OK(fixture_.keys->Approve(fixture_.NewCall(kTestApprover), request->id));
  }

  RouterFixture fixture_;
  RouterEnrolment enrolment_;
  const crypto::P256PrivateKey key_ = crypto::P256PrivateKey::Generate();
};

TEST_F(RouterEnrolmentTest, WaitsForApprovalAndAsksTheSameAgain) {
  Register();
  const std::string csr = RouterFixture::Csr(key_);
  EXPECT_TRUE(Waits(enrolment_.Enrol(Of(csr))));
  EXPECT_TRUE(Waits(enrolment_.Enrol(Of(csr))));
  EXPECT_THAT(fixture_.keys->ListPending("", 10), SizeIs(1));
  EXPECT_THAT(enrolment_.Reenrol(Of(csr)), ReasonIs("NOT_ISSUED"));
  ApproveAll();
  const std::string certificate = CertificateIn(enrolment_.Enrol(Of(csr)));
  const auto facts = rpki::RouterFactsOf(certificate);
  ASSERT_OK(facts);
  EXPECT_EQ(facts->spki, key_.public_key().spki());
  EXPECT_EQ(facts->asn, 64496U);
  EXPECT_EQ(CertificateIn(enrolment_.Enrol(Of(csr))), certificate) << "again, and nothing new";
  ASSERT_OK_AND_ASSIGN(const auto chain, enrolment_.CaCertificates());
  ASSERT_THAT(chain, SizeIs(2));
  EXPECT_THAT(rpki::CheckPath(certificate, {chain[1]}, chain[0], {}, {.asn = 64496}), testing::IsEmpty());
}

TEST_F(RouterEnrolmentTest, WhoIsKnownByItsTlsCertificateNeedsNobody) {
  RouterSpec spec = RouterFixture::Spec();
  const std::string mine = *fixture_.keys->TrustAnchor();  // any certificate does
  const Hash known = crypto::Sha256(mine);
  spec.material = {{MaterialKind::kTlsCertificate, std::string(View(known))}};
  Register(spec);
  const std::string csr = RouterFixture::Csr(key_);
  EXPECT_TRUE(Waits(enrolment_.Enrol(Of(csr)))) << "with another TLS certificate";
  const auto other = crypto::P256PrivateKey::Generate();
  const std::string other_csr = RouterFixture::Csr(other);
  EnrolmentRequest request = Of(other_csr);
  request.enrolee.certificate = mine;
  EXPECT_EQ(rpki::RouterFactsOf(CertificateIn(enrolment_.Enrol(request)))->spki, other.public_key().spki());
}

TEST_F(RouterEnrolmentTest, RenewsWithTheSameKeyAndGetsANextOne) {
  Register();
  const std::string csr = RouterFixture::Csr(key_);
  EXPECT_TRUE(Waits(enrolment_.Enrol(Of(csr))));
  ApproveAll();
  const std::string first = CertificateIn(enrolment_.Enrol(Of(csr)));
  ASSERT_OK(fixture_.PublishAndAdvance());
  ASSERT_OK(fixture_.Wait(std::chrono::hours(48)));
  const std::string renewed = CertificateIn(enrolment_.Reenrol(Of(RouterFixture::Csr(key_))));
  EXPECT_NE(renewed, first);
  EXPECT_EQ(rpki::RouterFactsOf(renewed)->spki, key_.public_key().spki());
  ASSERT_OK(fixture_.Report(kSlot, 1, RouterEvent::kInstalled, key_, key_.public_key().spki()));
  ASSERT_OK(fixture_.keys->Activate(fixture_.NewCall(), kSlot, 1, false, false));
  ASSERT_OK(fixture_.Report(kSlot, 1, RouterEvent::kSigning, key_, key_.public_key().spki()));

  const auto next = crypto::P256PrivateKey::Generate();
  const std::string next_csr = RouterFixture::Csr(next);
  EXPECT_TRUE(Waits(enrolment_.Reenrol(Of(next_csr, 64496))));
  ApproveAll();
  EXPECT_EQ(rpki::RouterFactsOf(CertificateIn(enrolment_.Reenrol(Of(next_csr, 64496))))->spki,
            next.public_key().spki());
}

// The AS is in the path, not in the request.
TEST_F(RouterEnrolmentTest, ARequestIsForOneAs) {
  RouterSpec spec = RouterFixture::Spec();
  spec.asns = {64496, 64497};
  Register(spec);
  const std::string csr = RouterFixture::Csr(key_);
  EXPECT_TRUE(Waits(enrolment_.Enrol(Of(csr, 64496))));
  EXPECT_THAT(enrolment_.Enrol(Of(csr, 64497)), ReasonIs("ANOTHER_SLOT"));
  ApproveAll();
  EXPECT_THAT(enrolment_.Enrol(Of(csr, 64497)), ReasonIs("ANOTHER_SLOT"));
  EXPECT_EQ(rpki::RouterFactsOf(CertificateIn(enrolment_.Enrol(Of(csr, 64496))))->asn, 64496U);
  ASSERT_OK(fixture_.Enrol(crypto::P256PrivateKey::Generate(), "edge-a", 64497));
  EXPECT_THAT(enrolment_.Reenrol(Of(csr, 64497)), ReasonIs("ANOTHER_SLOT"));
}

TEST_F(RouterEnrolmentTest, RefusalsSayWhy) {
  const std::string csr = RouterFixture::Csr(key_);
  EXPECT_THAT(enrolment_.Enrol(Of(csr)), StatusIs(StatusCode::kNotFound)) << "nobody's agent";
  EXPECT_THAT(enrolment_.Reenrol(Of(csr)), StatusIs(StatusCode::kNotFound));
  RouterSpec spec = RouterFixture::Spec();
  spec.asns = {64496, 64497};
  Register(spec);
  EXPECT_THAT(enrolment_.Enrol(Of(csr)), StatusIs(StatusCode::kInvalidArgument)) << "which AS?";
  EXPECT_THAT(enrolment_.Enrol(Of(csr, 64500)), ReasonIs("AS_NOT_HELD"));
  EXPECT_THAT(enrolment_.Enrol(Of("no request", 64496)), StatusIs(StatusCode::kInvalidArgument));
  std::string forged = csr;
  forged.back() = static_cast<char>(forged.back() ^ 1);
  EXPECT_THAT(enrolment_.Enrol(Of(forged, 64496)), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_TRUE(Waits(enrolment_.Enrol(Of(csr, 64496))));
  for (const auto& request : fixture_.keys->ListPending("", 10))
    EXPECT_OK(fixture_.keys->Reject(fixture_.NewCall(kTestApprover), request->id));
  EXPECT_THAT(enrolment_.Enrol(Of(csr, 64496)), ReasonIs("REJECTED"));
}

// 503 and not 404: the router comes again.
TEST_F(RouterEnrolmentTest, AManagerThatStandsByOrIsNotComparedKnowsNobody) {
  Register();
  const std::string csr = RouterFixture::Csr(key_);
  const auto expect = [&](const std::string& reason) {
    EXPECT_THAT(enrolment_.Enrol(Of(csr)), ReasonIs(reason));
    EXPECT_THAT(enrolment_.Reenrol(Of(csr)), ReasonIs(reason));
    EXPECT_THAT(enrolment_.CaCertificates(), ReasonIs(reason));
  };
  for (const SealReason seal : {SealReason::kStarting, SealReason::kRollback}) {
    fixture_.ledger->Seal(seal);
    expect("SEALED");
    fixture_.ledger->Unseal(seal);
  }
  fixture_.ledger.store.TakeOver("another.example.net:1");
  ASSERT_TRUE(fixture_.ledger->WaitActive(false, std::chrono::steady_clock::now() + std::chrono::seconds(30)));
  expect("NOT_ACTIVE");
}

}  // namespace
}  // namespace virp::keymgr
