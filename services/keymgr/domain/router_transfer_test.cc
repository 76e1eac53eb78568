// Outside authorities and escrow.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/base/error_info.h"
#include "lib/crypto/cms.h"
#include "lib/rpki/import.h"
#include "lib/rpki/key_package.h"
#include "services/keymgr/domain/router_fixture.h"
#include "tests/testutil/status_matchers.h"

namespace virp::keymgr {
namespace {

using absl::StatusCode;
using testing::AllOf;
using testing::HasSubstr;
using testing::SizeIs;
using testutil::ReasonIs;
using testutil::StatusIs;
using State = RouterKeyState;

constexpr char kSlot[] = "edge-a/64496";

class RouterTransferTest : public testing::Test {
 protected:
  RouterKeys& keys() { return *fixture_.keys; }
  RouterFixture fixture_;
  const crypto::P256PrivateKey key_ = crypto::P256PrivateKey::Generate();
};

TEST_F(RouterTransferTest, ATransferKeyThatIsGoneIsReplaced) {
  ASSERT_OK(keys().Register(fixture_.NewCall(), RouterFixture::Spec("edge-a", KeyMethod::kOperatorDriven)));
  ASSERT_OK(keys().Register(fixture_.NewCall(), RouterFixture::Spec("edge-b", KeyMethod::kOperatorDriven)));
  for (const char* router : {"edge-a", "edge-b"}) {
    ASSERT_OK(keys().Create(fixture_.NewCall(), router, 64496, ""));
    ASSERT_OK(keys().Issue(fixture_.NewCall(), std::string(router) + "/64496", 1));
  }
  const RouterCaller operators = RouterFixture::Operator();
  ASSERT_OK(keys().Package(fixture_.NewCall(), operators, kSlot, 1, ""));
  const auto transfer = [&] { return fixture_.ledger->snapshot()->Find<TransferKeyRecord>("transfer"); };
  const auto key = fixture_.ledger->snapshot()->FindKey(transfer()->identity());
  ASSERT_NE(key, nullptr);
  fixture_.custody.rsa.fails = absl::UnavailableError("the token does not answer");
  EXPECT_THAT(keys().Package(fixture_.NewCall(), operators, "edge-b/64496", 1, ""), StatusIs(StatusCode::kUnavailable));
  fixture_.custody.rsa.fails = absl::OkStatus();
  EXPECT_EQ(transfer()->key_version, 1U) << "what passes replaces nothing";
  ASSERT_OK(fixture_.custody.Destroy(*key));
  ASSERT_OK_AND_ASSIGN(const auto package, keys().Package(fixture_.NewCall(), operators, "edge-b/64496", 1, ""));
  EXPECT_EQ(transfer()->key_version, 2U);
  EXPECT_EQ(fixture_.ledger->snapshot()->FindKey(key->identity), nullptr);
}

TEST_F(RouterTransferTest, AnOutsideAuthorityCertifies) {
  const rpki::Time now = rpki::Time(std::chrono::seconds(fixture_.ledger.clock.NowNanos() / 1'000'000'000));
  const testutil::RpkiLab outside(now);
  RouterSpec spec = RouterFixture::Spec();
  spec.outside_authority = true;
  ASSERT_OK(keys().Register(fixture_.NewCall(), spec));
  ASSERT_OK_AND_ASSIGN(const auto approved, fixture_.Enrol(key_));
  EXPECT_EQ(approved->version, 1U);
  const RouterCaller operators = RouterFixture::Operator();
  EXPECT_THAT(keys().CertsOnly(operators, kSlot, 1), ReasonIs("NOT_ISSUED"));
  EXPECT_THAT(keys().Issue(fixture_.NewCall(), kSlot, 1), ReasonIs("OUTSIDE_AUTHORITY"));
  using Form = RouterKeys::RequestForm;
  EXPECT_EQ(*keys().ExportRequest(operators, kSlot, 1, Form::kDer), approved->request);
  EXPECT_THAT(*keys().ExportRequest(operators, kSlot, 1, Form::kPem), HasSubstr("BEGIN CERTIFICATE REQUEST"));
  EXPECT_EQ(*keys().ExportRequest(operators, kSlot, 1, Form::kKrill),
            R"({"add":[{"asn":64496,"csr":")" + Base64Encode(approved->request) + R"("}],"remove":[]})");

  // What does not fit changes nothing.
  const auto import = [&](std::string_view certificates, std::string_view anchor) {
    return keys().ImportCertificate(fixture_.NewCall(), kSlot, 1, certificates, anchor);
  };
  const std::string good = outside.Router(64496, key_.public_key());
  const std::size_t records = fixture_.ledger.store.audit().size();
  EXPECT_THAT(import("junk", outside.ta), ReasonIs("MALFORMED"));
  EXPECT_THAT(import(outside.ca, outside.ta), ReasonIs("MALFORMED"));
  EXPECT_THAT(import(std::string(rpki::kMaxImport + 1, '\x30'), outside.ta), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_FALSE(import(good, outside.ta).ok()) << "the chain is missing";
  EXPECT_FALSE(import(cms::CertsOnly({good, outside.ca}), outside.ca).ok()) << "another trust anchor";
  const auto other = crypto::P256PrivateKey::Generate();
  EXPECT_FALSE(import(cms::CertsOnly({outside.Router(64496, other.public_key()), outside.ca}), outside.ta).ok());
  EXPECT_THAT(import(cms::CertsOnly({outside.Router(64497, key_.public_key()), outside.ca}), outside.ta),
              ReasonIs("ANOTHER_AS_NUMBER"));
  std::string changed = cms::CertsOnly({good, outside.ca});
  for (std::size_t at = 5; at < changed.size(); at += 97) {
    std::string broken = changed;
    broken[at] = static_cast<char>(broken[at] ^ 0x11);
    EXPECT_FALSE(import(broken, outside.ta).ok()) << at;
  }
  EXPECT_EQ(fixture_.ledger.store.audit().size(), records);

  ASSERT_OK(import(cms::CertsOnly({good, outside.ca}), outside.ta));
  ASSERT_OK(keys().Advance());
  EXPECT_EQ(fixture_.StateOf(kSlot, 1), State::kStaging);
  ASSERT_OK_AND_ASSIGN(const std::string p7, keys().CertsOnly(operators, kSlot, 1));
  ASSERT_OK_AND_ASSIGN(const auto back, rpki::ImportCertificates(p7));
  EXPECT_EQ(back.router, good);
  EXPECT_THAT(back.authorities, SizeIs(1));
  EXPECT_TRUE(
      RouterChainRecord::FromRow(
          fixture_.ledger->snapshot()->FindRecord("router_chain", (*keys().GetSlot(kSlot))->Find(1)->chain)->ToRow())
          .ok());
  ASSERT_OK(keys().Revoke(fixture_.NewCall(), kSlot, 1, std::nullopt)) << "said there first";
  EXPECT_TRUE((*keys().GetSlot(kSlot))->Find(1)->crl_out);

  ASSERT_OK(keys().Register(fixture_.NewCall(), RouterFixture::Spec("edge-b")));
  ASSERT_OK(fixture_.Enrol(other, "edge-b"));
  EXPECT_THAT(keys().ImportCertificate(fixture_.NewCall(), "edge-b/64496", 1, good, outside.ta),
              ReasonIs("OWN_AUTHORITY"));
}

TEST_F(RouterTransferTest, TwoPersonsGiveTheOldKeyToNewHardware) {
  ASSERT_OK(keys().Register(fixture_.NewCall(), RouterFixture::Spec()));
  const crypto::Secret scalar = crypto::Secret(std::string_view(std::string(32, '\x42')));
  const auto key = *crypto::P256PrivateKey::FromScalar(scalar.view());
  ASSERT_OK(fixture_.Enrol(key));
  ASSERT_OK(fixture_.PublishAndAdvance());
  const RouterCaller agent = RouterFixture::Agent();
  const crypto::Secret pkcs8 = *rpki::EncodePkcs8(scalar.view(), key.public_key().point());
  const auto deposit = [&](const crypto::Secret& what) {
    return keys().Deposit(fixture_.NewCall(agent.identity), agent, kSlot, 1, what);
  };
  const crypto::Secret other_scalar = crypto::Secret(std::string_view(std::string(32, '\x43')));
  const auto other = *crypto::P256PrivateKey::FromScalar(other_scalar.view());
  EXPECT_THAT(deposit(*rpki::EncodePkcs8(other_scalar.view(), other.public_key().point())), ReasonIs("KEY_DIFFERS"));
  EXPECT_THAT(deposit(crypto::Secret(std::string_view("junk"))), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_EQ(fixture_.custody.count(), 0U);
  const std::string replacement = RouterFixture::Agent("edge-a2").identity;
  const auto request = [&] { return keys().RequestRelease(fixture_.NewCall(), kSlot, 1, replacement, "").status(); };
  EXPECT_THAT(request(), ReasonIs("NOT_EXPORTABLE"));
  ASSERT_OK(deposit(pkcs8));
  EXPECT_THAT(deposit(pkcs8), StatusIs(StatusCode::kAlreadyExists));
  EXPECT_EQ(fixture_.custody.count(), 1U);
  EXPECT_THAT(keys().Package(fixture_.NewCall(), RouterFixture::Operator(), kSlot, 1, ""), ReasonIs("NOT_EXPORTABLE"))
      << "to a replacement only, by two persons";

  const auto digest = [&] {
    const auto asked = keys().ReleaseOf(kSlot, 1);
    return asked == nullptr ? std::string("x") : asked->Digest();
  };
  const auto approve = [&](std::string_view who) {
    return keys().ApproveRelease(fixture_.NewCall(who), kSlot, 1, digest());
  };
  const auto take = [&](std::string_view who) { return keys().TakeRelease(fixture_.NewCall(who), kSlot, 1); };
  constexpr std::string_view kNoc = "spiffe://example.net/operator/noc-1";
  EXPECT_THAT(approve(kTestApprover), ReasonIs("NOT_REQUESTED"));
  EXPECT_THAT(take(kNoc), ReasonIs("NOT_REQUESTED"));
  ASSERT_OK(request());
  EXPECT_THAT(approve(kNoc), ReasonIs("SAME_PERSON"));
  EXPECT_THAT(take(kNoc), ReasonIs("NOT_APPROVED"));
  fixture_.ledger.clock.Advance(std::chrono::hours(25));
  EXPECT_THAT(approve(kTestApprover), ReasonIs("NOT_REQUESTED")) << "too long ago";
  ASSERT_OK(request());
  EXPECT_EQ(keys().ReleaseOf(kSlot, 1)->agent, replacement);
  EXPECT_THAT(keys().ApproveRelease(fixture_.NewCall(kTestApprover), kSlot, 1, ""),
              StatusIs(StatusCode::kInvalidArgument));
  ASSERT_OK(approve(kTestApprover));
  EXPECT_THAT(take(kTestApprover), ReasonIs("SAME_PERSON"));
  ASSERT_OK_AND_ASSIGN(const crypto::Secret package, take(kNoc));
  ASSERT_OK_AND_ASSIGN(const rpki::KeyPackage opened,
                       rpki::OpenKeyPackage(package.view(), *keys().TrustAnchor(), std::nullopt));
  EXPECT_EQ(opened.pkcs8.view(), pkcs8.view());
  EXPECT_TRUE(opened.path.empty());
  const AuditRow row_of_release = fixture_.ledger.store.audit().back();
  EXPECT_EQ(row_of_release.event, "router_key_released_from_escrow");
  EXPECT_THAT(row_of_release.frame, AllOf(HasSubstr(replacement), HasSubstr(R"("requested_by":"spiffe://)")));
  EXPECT_EQ(keys().ReleaseOf(kSlot, 1), nullptr);
  EXPECT_THAT(take(kNoc), ReasonIs("NOT_REQUESTED")) << "once";
  EXPECT_EQ((*keys().GetRouter("edge-a"))->spec.agent, replacement);
  EXPECT_THAT(keys().Nonce(agent, kSlot, 1), ReasonIs("NOT_YOUR_ROUTER")) << "the old hardware is out";
  EXPECT_OK(keys().Nonce(RouterFixture::Agent("edge-a2"), kSlot, 1));
  for (const Row& row : fixture_.ledger.store.rows()) {
    if (row.kind == EscrowReleaseRecord::kKind) EXPECT_EQ((*EscrowReleaseRecord::FromRow(row))->ToRow().body, row.body);
  }
}

// The second person agrees to one replacement and one recipient, not to a slot.
TEST_F(RouterTransferTest, WhatWasApprovedIsWhatLeaves) {
  ASSERT_OK(keys().Register(fixture_.NewCall(), RouterFixture::Spec("edge-a", KeyMethod::kEither)));
  RouterSpec spec = RouterFixture::Spec("edge-b");
  ASSERT_OK(keys().Register(fixture_.NewCall(), spec));
  const crypto::Secret scalar = crypto::Secret(std::string_view(std::string(32, '\x42')));
  const auto key = *crypto::P256PrivateKey::FromScalar(scalar.view());
  ASSERT_OK(fixture_.Enrol(key));
  ASSERT_OK(fixture_.PublishAndAdvance());
  const RouterCaller agent = RouterFixture::Agent();
  ASSERT_OK(keys().Deposit(fixture_.NewCall(agent.identity), agent, kSlot, 1,
                           *rpki::EncodePkcs8(scalar.view(), key.public_key().point())));
  const auto request = [&](std::string_view to, std::string_view who = "spiffe://example.net/operator/noc-1") {
    return keys().RequestRelease(fixture_.NewCall(who), kSlot, 1, RouterFixture::Agent(to).identity, "");
  };
  const auto approve = [&](std::string_view digest) {
    return keys().ApproveRelease(fixture_.NewCall(kTestApprover), kSlot, 1, digest);
  };
  const auto take = [&] { return keys().TakeRelease(fixture_.NewCall(), kSlot, 1); };
  EXPECT_THAT(request("edge-b"), StatusIs(StatusCode::kAlreadyExists)) << "the agent of another router";
  ASSERT_OK_AND_ASSIGN(const auto first, request("edge-a2"));
  const std::string looked_at = first->Digest();
  ASSERT_OK(request("edge-a3"));
  EXPECT_THAT(approve(looked_at), ReasonIs("ANOTHER_REQUEST")) << "another replacement";
  ASSERT_OK(request("edge-a2", "spiffe://example.net/operator/noc-2"));
  EXPECT_THAT(approve(looked_at), ReasonIs("ANOTHER_REQUEST")) << "another person is to take it";
  ASSERT_OK(request("edge-a2"));
  ASSERT_OK(approve(looked_at));
  EXPECT_THAT(fixture_.ledger.store.audit().back().frame, HasSubstr("edge-a2"));
  ASSERT_OK(request("edge-a3"));
  EXPECT_THAT(take(), ReasonIs("NOT_APPROVED")) << "asking anew voids the approval";

  // The agent may have become another router's meanwhile.
  ASSERT_OK_AND_ASSIGN(const auto again, request("edge-a2"));
  ASSERT_OK(approve(again->Digest()));
  spec.agent = RouterFixture::Agent("edge-a2").identity;
  ASSERT_OK(keys().Update(fixture_.NewCall(), spec, 0));
  EXPECT_THAT(take(), StatusIs(StatusCode::kAlreadyExists));
  spec.agent = RouterFixture::Agent("edge-b").identity;
  ASSERT_OK(keys().Update(fixture_.NewCall(), spec, 0));

  // Nobody is to sign with a key that somebody else may have.
  ASSERT_OK(keys().Taint(fixture_.NewCall(), kSlot, 1, std::nullopt));
  EXPECT_THAT(take(), ReasonIs("ROUTER_KEY_STATE"));
  EXPECT_THAT(request("edge-a2"), ReasonIs("ROUTER_KEY_STATE"));
  EXPECT_EQ((*keys().GetRouter("edge-a"))->spec.agent, agent.identity);
}

// Two accounts change in one commit, and their agents with them.
TEST_F(RouterTransferTest, AnAgentThatMovesToAnotherRouterIsFound) {
  RouterSpec a = RouterFixture::Spec("edge-a"), b = RouterFixture::Spec("edge-b");
  ASSERT_OK(keys().Register(fixture_.NewCall(), a));
  ASSERT_OK(keys().Register(fixture_.NewCall(), b));
  const std::string moved = b.agent;
  a.agent = moved;
  b.agent = "spiffe://example.net/router/edge-b2";
  ASSERT_OK(fixture_.ledger->Commit(TestCall("swap"), [&](const Snapshot& now, Changes& changes) -> absl::Status {
    for (const RouterSpec& spec : {a, b}) {
      auto router = std::make_shared<RouterRecord>(*now.Find<RouterRecord>(spec.id));
      router->spec = spec;
      changes.Put(std::move(router));
    }
    changes.Audit({.event = "test", .source = {}, .keys = {}, .fields = {}});
    return absl::OkStatus();
  }));
  EXPECT_EQ((*keys().RouterOf(moved))->spec.id, "edge-a");
  EXPECT_EQ((*keys().RouterOf(b.agent))->spec.id, "edge-b");
}

}  // namespace
}  // namespace virp::keymgr
