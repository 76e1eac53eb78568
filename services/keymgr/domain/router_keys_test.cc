// Routers, their requests, certificates and keys that are made here.
#include "services/keymgr/domain/router_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/base/error_info.h"
#include "lib/crypto/cms.h"
#include "lib/rpki/import.h"
#include "lib/rpki/key_package.h"
#include "services/keymgr/domain/router_enrolment.h"
#include "services/keymgr/domain/router_fixture.h"
#include "tests/testutil/status_matchers.h"

namespace virp::keymgr {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testutil::ReasonIs;
using testutil::StatusIs;

constexpr char kSlot[] = "edge-a/64496";

class RouterKeysTest : public testing::Test {
 protected:
  RouterKeys& keys() { return *fixture_.keys; }
  absl::StatusOr<RouterKeys::RouterPtr> Register(const RouterSpec& spec) {
    return keys().Register(fixture_.NewCall(), spec);
  }
  absl::StatusOr<RouterKeys::RequestPtr> Submit(std::string_view csr, std::string_view agent = "edge-a",
                                                std::uint32_t asn = 0) {
    const RouterCaller caller = RouterFixture::Agent(agent);
    return keys().SubmitRequest(fixture_.NewCall(caller.identity), caller, {.asn = asn, .request = csr});
  }
  std::vector<AuditRow> Audit() { return fixture_.ledger.store.audit(); }

  RouterFixture fixture_;
  const crypto::P256PrivateKey key_ = crypto::P256PrivateKey::Generate();
};

TEST_F(RouterKeysTest, RegistersWhatFitsAndNothingElse) {
  const RouterSpec good = RouterFixture::Spec();
  const auto refused = [&](auto change) {
    RouterSpec spec = good;
    change(spec);
    const auto made = Register(spec);
    const auto fields = GetFields(made.status());
    return made.ok() ? "taken" : fields.empty() ? std::string(Message(made.status())) : fields[0].field;
  };
  EXPECT_EQ(refused([](RouterSpec& s) { s.id = "Edge"; }), "router.id");
  EXPECT_EQ(refused([](RouterSpec& s) { s.id = std::string(201, 'a'); }), "router.id");
  EXPECT_EQ(refused([](RouterSpec& s) { s.asns = {}; }), "router.asns");
  EXPECT_EQ(refused([](RouterSpec& s) { s.asns = {64497, 64496}; }), "router.asns");
  EXPECT_EQ(refused([](RouterSpec& s) { s.asns = {23456}; }), "router.asns");
  EXPECT_EQ(refused([](RouterSpec& s) { s.bgp_id = 0; }), "router.bgp_id");
  EXPECT_EQ(refused([](RouterSpec& s) { s.shared_key = true; }), "router.bgp_id");
  EXPECT_EQ(refused([](RouterSpec& s) { s.policy = ExportPolicy::kShared; }), "router.policy");
  EXPECT_EQ(refused([](RouterSpec& s) { s.agent = "edge-a"; }), "router.agent");
  EXPECT_EQ(refused([](RouterSpec& s) { s.material = {{MaterialKind::kTlsKey, "short"}}; }), "router.material.sha256");
  EXPECT_EQ(refused([](RouterSpec& s) { s.contacts = {{64511, "NOC", "no uri"}}; }), "router.contacts.address");
  for (const std::string_view bad : {std::string_view("\xff"), std::string_view("a\0b", 3), std::string_view("a\nb")}) {
    EXPECT_EQ(refused([&](RouterSpec& s) { s.contacts = {{64511, std::string(bad), "mailto:a@b"}}; }),
              "router.contacts.name");
  }
  ASSERT_OK(Register(good));
  EXPECT_THAT(Register(good), StatusIs(StatusCode::kAlreadyExists));
  RouterSpec other = RouterFixture::Spec("edge-b");
  other.agent = good.agent;
  EXPECT_THAT(Register(other), StatusIs(StatusCode::kAlreadyExists)) << "of an agent, one router";
  EXPECT_EQ((*keys().RouterOf(good.agent))->spec.id, "edge-a");
  EXPECT_THAT(keys().ListRouters("", 10), SizeIs(1));
}

TEST_F(RouterKeysTest, UpdatesAndDecommissions) {
  RouterSpec spec = RouterFixture::Spec();
  spec.asns = {64496, 64497};
  ASSERT_OK(Register(spec));
  ASSERT_OK(fixture_.Enrol(key_, "edge-a", 64497));
  spec.asns = {64496};
  EXPECT_THAT(keys().Update(fixture_.NewCall(), spec, 0), ReasonIs("ROUTER_KEYS"));
  spec.asns = {64496, 64497, 64498};
  EXPECT_THAT(keys().Update(fixture_.NewCall(), spec, 99), ReasonIs("ETAG"));
  ASSERT_OK_AND_ASSIGN(const auto updated, keys().Update(fixture_.NewCall(), spec, 1));
  EXPECT_EQ(updated->revision, 2U);
  EXPECT_THAT(keys().Decommission(fixture_.NewCall(), "edge-a"), ReasonIs("ROUTER_KEYS"));
  ASSERT_OK(fixture_.PublishAndAdvance());
  ASSERT_OK(keys().Revoke(fixture_.NewCall(), "edge-a/64497", 1, std::nullopt));
  const std::string waiting = RouterFixture::Csr(crypto::P256PrivateKey::Generate());
  ASSERT_OK_AND_ASSIGN(const auto request, Submit(waiting, "edge-a", 64496));
  ASSERT_OK(keys().Decommission(fixture_.NewCall(), "edge-a"));
  EXPECT_THAT(Submit(waiting, "edge-a", 64496), ReasonIs("NOT_YOUR_ROUTER")) << "its agent is nobody's any more";
  EXPECT_THAT(keys().ListPending("", 10), IsEmpty());
  EXPECT_THAT(keys().Approve(fixture_.NewCall(kTestApprover), request->id), ReasonIs("DECOMMISSIONED"));
  EXPECT_THAT(Register(RouterFixture::Spec()), StatusIs(StatusCode::kAlreadyExists)) << "ids are not used twice";
}

TEST_F(RouterKeysTest, SomebodyElseApproves) {
  ASSERT_OK(Register(RouterFixture::Spec()));
  const std::string csr = RouterFixture::Csr(key_);
  const RouterCaller agent = RouterFixture::Agent();
  ASSERT_OK_AND_ASSIGN(const auto sent, Submit(csr));
  EXPECT_EQ(sent->state, RequestState::kPending);
  EXPECT_EQ(sent->submitted_by, agent.identity);
  EXPECT_EQ((*Submit(csr))->state, RequestState::kPending) << "asked again";
  EXPECT_EQ((*Submit(x509::PemBlock("CERTIFICATE REQUEST", csr)))->id, sent->id) << "PEM or DER, the same";
  EXPECT_THAT(keys().ListPending("", 10), SizeIs(1));
  EXPECT_THAT(keys().Approve(fixture_.NewCall(agent.identity), sent->id), ReasonIs("SAME_PERSON"));
  EXPECT_THAT(keys().CertsOnly(agent, kSlot, 1), ReasonIs("NOT_YOUR_ROUTER")) << "there is no such slot yet";

  const Call approve = fixture_.NewCall(kTestApprover);
  ASSERT_OK_AND_ASSIGN(const auto approved, keys().Approve(approve, sent->id));
  EXPECT_EQ(approved->state, RequestState::kApproved);
  EXPECT_EQ(approved->version, 1U);
  EXPECT_EQ(approved->decided_by, kTestApprover);
  EXPECT_OK(keys().Approve(approve, sent->id)) << "the same call again";
  EXPECT_THAT(keys().Approve(fixture_.NewCall(kTestApprover), sent->id), ReasonIs("DECIDED"));
  EXPECT_THAT(keys().Reject(fixture_.NewCall(kTestApprover), sent->id), ReasonIs("DECIDED"));
  EXPECT_EQ((*Submit(csr))->version, 1U);
  EXPECT_THAT(keys().ListPending("", 10), IsEmpty());

  ASSERT_OK_AND_ASSIGN(const std::string p7, keys().CertsOnly(agent, kSlot, 1));
  ASSERT_OK_AND_ASSIGN(const rpki::Imported imported, rpki::ImportCertificates(p7));
  ASSERT_OK_AND_ASSIGN(const auto chain, keys().TrustChain());
  ASSERT_THAT(chain, SizeIs(2));
  const auto refusals = rpki::CheckPath(imported.router, imported.authorities, chain[0], {},
                                        {.asn = 64496, .spki = key_.public_key().spki()});
  EXPECT_TRUE(refusals.empty()) << rpki::AsStatus(refusals, "path");
  EXPECT_EQ(Audit().back().event, "router_certificate_issued");
  EXPECT_THAT(Audit().back().keys, ElementsAre(KeyIdentity{KeyKind::kRouter, kSlot, 1, Algorithm::kEcdsaP256}));
}

TEST_F(RouterKeysTest, AnOperatorWhoSubmitsDoesNotApprove) {
  ASSERT_OK(Register(RouterFixture::Spec()));
  const RouterCaller caller = RouterFixture::Operator();
  const std::string csr = RouterFixture::Csr(key_);
  ASSERT_OK_AND_ASSIGN(const auto sent,
                       keys().SubmitRequest(fixture_.NewCall(), caller, {.router = "edge-a", .request = csr}));
  EXPECT_THAT(keys().Approve(fixture_.NewCall(), sent->id), ReasonIs("SAME_PERSON"));
  ASSERT_OK_AND_ASSIGN(const auto refused, keys().Reject(fixture_.NewCall(kTestApprover), sent->id));
  EXPECT_EQ(refused->state, RequestState::kRejected);
  EXPECT_THAT(keys().Approve(fixture_.NewCall(kTestApprover), sent->id), ReasonIs("DECIDED"));
  EXPECT_EQ((*Submit(csr))->state, RequestState::kRejected) << "refused for good";
}

TEST_F(RouterKeysTest, WhatIsKnownNeedsNoApproval) {
  RouterSpec spec = RouterFixture::Spec();
  const testutil::RpkiLab lab;  // any certificate will do for the one that the router connects with
  RouterCaller agent = RouterFixture::Agent();
  agent.certificate = lab.ca;
  const auto submit = [&](std::string_view csr) {
    return keys().SubmitRequest(fixture_.NewCall(agent.identity), agent, {.bgp_id = 0xc0000201, .request = csr});
  };
  spec.material = {{MaterialKind::kTlsKey, std::string(View(crypto::Sha256(x509::ParseCertificate(lab.ta)->spki)))}};
  ASSERT_OK(Register(spec));
  const std::string first = RouterFixture::Csr(key_);
  EXPECT_EQ((*submit(first))->state, RequestState::kPending) << "another certificate";
  spec.material.push_back(
      {MaterialKind::kTlsKey, std::string(View(crypto::Sha256(x509::ParseCertificate(lab.ca)->spki)))});
  spec.needs_custody_log = true;
  ASSERT_OK(keys().Update(fixture_.NewCall(), spec, 0));
  const auto other_key = crypto::P256PrivateKey::Generate();
  EXPECT_EQ((*submit(RouterFixture::Csr(other_key)))->state, RequestState::kPending) << "no custody log";
  EXPECT_THAT(keys().Approve(fixture_.NewCall(kTestApprover), (*submit(first))->id), ReasonIs("CUSTODY_LOG"));

  // The log: signed, and kept as it came.
  const auto& signer = testutil::RsaKeyForTests(1);
  const std::string identifier = *rpki::KeyIdentifier(signer.public_key().spki());
  const std::string log = *cms::Sign("\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01", "nobody had access",
                                     {.certificates = {lab.ca},
                                      .key_identifier = identifier,
                                      .algorithm = cms::kRsaEncryption,
                                      .time = lab.now,
                                      .signer = testutil::SignerOf(signer)});
  std::string changed = log;
  changed[changed.find("nobody")] = 'N';
  EXPECT_FALSE(keys().AttachCustodyLog(fixture_.NewCall(), "edge-a", changed).ok());
  EXPECT_FALSE(keys().AttachCustodyLog(fixture_.NewCall(), "edge-a", "junk").ok());
  ASSERT_OK_AND_ASSIGN(const auto router, keys().AttachCustodyLog(fixture_.NewCall(), "edge-a", log));
  ASSERT_THAT(router->logs, SizeIs(1));
  EXPECT_EQ(router->logs[0].signer, identifier);
  EXPECT_EQ(*keys().CustodyLogOf("edge-a", router->logs[0].sha256), log);
  EXPECT_THAT(keys().AttachCustodyLog(fixture_.NewCall(), "edge-a", log), StatusIs(StatusCode::kAlreadyExists));

  const auto third = crypto::P256PrivateKey::Generate();
  const std::string csr = RouterFixture::Csr(third);
  EXPECT_THAT(keys().SubmitRequest(fixture_.NewCall(agent.identity), agent, {.bgp_id = 7, .request = csr}),
              ReasonIs("BGP_ID_DIFFERS"));
  ASSERT_OK_AND_ASSIGN(const auto known, submit(csr));
  EXPECT_EQ(known->state, RequestState::kApproved);
  EXPECT_EQ((*keys().GetSlot(kSlot))->versions[0].approved_by, "");

  // That was the first one. What was known of the router before it came does not speak for more.
  const std::string more = RouterFixture::Csr(crypto::P256PrivateKey::Generate());
  const auto sent =
      keys().SubmitRequest(fixture_.NewCall(agent.identity), agent, {.usage = "transit", .request = more});
  ASSERT_OK(sent);
  EXPECT_EQ((*sent)->state, RequestState::kPending);
  EXPECT_THAT(keys().SubmitRequest(fixture_.NewCall(agent.identity), agent, {.request = more}),
              ReasonIs("ANOTHER_SLOT"));
  ASSERT_OK(fixture_.PublishAndAdvance());
  ASSERT_OK(keys().Revoke(fixture_.NewCall(), kSlot, 1, std::nullopt));
  EXPECT_EQ((*submit(RouterFixture::Csr(crypto::P256PrivateKey::Generate())))->state, RequestState::kPending)
      << "nor for what follows a key that was revoked";
}

TEST_F(RouterKeysTest, ARouterHasSoManyKindsOfKeys) {
  ASSERT_OK(Register(RouterFixture::Spec("edge-a", KeyMethod::kEither)));
  for (std::size_t i = 0; i < kMaxUsages; ++i)
    ASSERT_OK(keys().Create(fixture_.NewCall(), "edge-a", 64496, i == 0 ? "" : fmt::format("u{}", i)));
  EXPECT_THAT(keys().Create(fixture_.NewCall(), "edge-a", 64496, "one-more"), StatusIs(StatusCode::kResourceExhausted));
  EXPECT_EQ(fixture_.custody.count(), kMaxUsages);
}

TEST_F(RouterKeysTest, HostileRequestsChangeNothing) {
  RouterSpec spec = RouterFixture::Spec();
  spec.asns = {64496, 64512};
  ASSERT_OK(Register(spec));
  ASSERT_OK(Register(RouterFixture::Spec("edge-b")));
  const std::size_t records = Audit().size();
  const std::string good = RouterFixture::Csr(key_);
  EXPECT_FALSE(Submit("", "edge-a", 64496).ok());
  EXPECT_FALSE(Submit(std::string(x509::kMaxRequest + 1, '\x30'), "edge-a", 64496).ok());
  EXPECT_FALSE(Submit("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n", "edge-a", 64496).ok());
  EXPECT_THAT(Submit("junk", "edge-a", 64496), ReasonIs("MALFORMED"));
  EXPECT_THAT(Submit(good.substr(0, good.size() - 1), "edge-a", 64496), ReasonIs("MALFORMED"));
  const auto other = crypto::P256PrivateKey::Generate();
  EXPECT_THAT(
      Submit(*rpki::MakeRouterRequest(key_.public_key().spki(), 64496, testutil::SignerOf(other)), "edge-a", 64496),
      ReasonIs("SIGNATURE"));
  EXPECT_THAT(Submit(RouterFixture::Csr(key_, 64497), "edge-a", 64496), ReasonIs("SUBJECT_OF_ANOTHER_AS"));
  EXPECT_THAT(Submit(good, "edge-a", 64499), ReasonIs("AS_NOT_HELD"));
  EXPECT_THAT(Submit(good, "edge-a", 0), StatusIs(StatusCode::kInvalidArgument)) << "which of two ASes?";
  EXPECT_THAT(Submit(good, "edge-c"), ReasonIs("NOT_YOUR_ROUTER"));
  const RouterCaller b = RouterFixture::Agent("edge-b");
  EXPECT_THAT(
      keys().SubmitRequest(fixture_.NewCall(b.identity), b, {.router = "edge-a", .asn = 64496, .request = good}),
      ReasonIs("NOT_YOUR_ROUTER"));
  EXPECT_THAT(keys().SubmitRequest(fixture_.NewCall(), RouterFixture::Agent(),
                                   {.asn = 64496, .usage = "../x", .request = good}),
              StatusIs(StatusCode::kInvalidArgument));
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::string changed = good;
    changed[at] = static_cast<char>(changed[at] ^ 0x20);
    EXPECT_FALSE(Submit(changed, "edge-a", 64496).ok()) << at;
  }
  EXPECT_EQ(Audit().size(), records);

  // An AS that the authority does not hold: told when it is to be certified.
  ASSERT_OK_AND_ASSIGN(const auto sent, Submit(RouterFixture::Csr(key_, 64512), "edge-a", 64512));
  EXPECT_THAT(keys().Approve(fixture_.NewCall(kTestApprover), sent->id), ReasonIs("AS_NOT_HELD"));
  EXPECT_EQ((*keys().GetRequest(RouterFixture::Operator(), sent->id))->state, RequestState::kPending);
}

TEST_F(RouterKeysTest, OneRouterDoesNotFillTheList) {
  ASSERT_OK(Register(RouterFixture::Spec()));
  for (int i = 0; i < 16; ++i) ASSERT_OK(Submit(RouterFixture::Csr(crypto::P256PrivateKey::Generate())));
  EXPECT_THAT(Submit(RouterFixture::Csr(crypto::P256PrivateKey::Generate())), StatusIs(StatusCode::kResourceExhausted));
  // In pages, oldest first.
  std::vector<std::string> seen;
  std::string after;
  for (auto page = keys().ListPending(after, 5); !page.empty(); page = keys().ListPending(after, 5)) {
    for (const auto& request : page) seen.push_back(request->id);
    after = seen.back();
  }
  EXPECT_THAT(seen, SizeIs(16));
}

TEST_F(RouterKeysTest, AKeyIsOneRoutersButMayBeOfSeveralAses) {
  RouterSpec spec = RouterFixture::Spec();
  spec.asns = {64496, 64497};
  ASSERT_OK(Register(spec));
  ASSERT_OK(Register(RouterFixture::Spec("edge-b")));
  ASSERT_OK(fixture_.Enrol(key_));
  ASSERT_OK(fixture_.Enrol(key_, "edge-a", 64497));
  EXPECT_THAT(Submit(RouterFixture::Csr(key_), "edge-b"), ReasonIs("KEY_IN_USE"));
  ASSERT_OK(fixture_.PublishAndAdvance());
  EXPECT_THAT(fixture_.authority->RouterKeys(), SizeIs(2));
  EXPECT_THAT(keys().ListSlots("edge-a", "", 10), SizeIs(2));
  EXPECT_THAT(keys().ListSlots("edge-b", "", 10), IsEmpty());
  EXPECT_THAT(keys().ListSlots("", kSlot, 10), SizeIs(1));
}

// RFC 8635 appendix B.1: who loses one of them has not lost both.
TEST_F(RouterKeysTest, TheKeyOfATlsCertificateIsNoRouterKey) {
  const testutil::RpkiLab lab(rpki::Time(std::chrono::seconds(fixture_.ledger.clock.NowNanos() / 1'000'000'000)));
  RouterSpec spec = RouterFixture::Spec();
  ASSERT_OK(Register(spec));
  RouterCaller agent = RouterFixture::Agent();
  agent.certificate = lab.Router(64496, key_.public_key());  // as if TLS were made with it
  const std::string csr = RouterFixture::Csr(key_);
  const std::size_t records = Audit().size();
  const auto submit = [&](const RouterCaller& caller, bool renew) {
    return keys().SubmitRequest(fixture_.NewCall(caller.identity), caller,
                                {.router = "edge-a", .renew = renew, .request = csr});
  };
  EXPECT_THAT(submit(agent, false), ReasonIs("TLS_KEY"));
  EXPECT_THAT(submit(agent, true), ReasonIs("TLS_KEY"));
  RouterEnrolment enrolment(keys());
  EXPECT_THAT(enrolment.Enrol({.enrolee = {agent.identity, agent.certificate}, .asn = 64496, .csr = csr}),
              ReasonIs("TLS_KEY"));
  EXPECT_EQ(Audit().size(), records) << "nothing was changed";
  spec.material = {{MaterialKind::kTlsKey, std::string(View(crypto::Sha256(key_.public_key().spki())))}};
  ASSERT_OK(keys().Update(fixture_.NewCall(), spec, 0));
  EXPECT_THAT(submit(RouterFixture::Operator(), false), ReasonIs("TLS_KEY")) << "nor by an operator's hand";
  EXPECT_OK(Submit(RouterFixture::Csr(crypto::P256PrivateKey::Generate())));
}

TEST_F(RouterKeysTest, ARenewalIsIssuedAtOnceAndNotTwiceAnHour) {
  ASSERT_OK(Register(RouterFixture::Spec()));
  ASSERT_OK_AND_ASSIGN(const auto first, fixture_.Enrol(key_));
  const RouterCaller agent = RouterFixture::Agent();
  const auto renew = [&](std::string_view csr) {
    return keys().SubmitRequest(fixture_.NewCall(agent.identity), agent, {.renew = true, .request = csr});
  };
  const std::string again = RouterFixture::Csr(key_);
  ASSERT_OK_AND_ASSIGN(const auto soon, renew(again));
  EXPECT_EQ(soon->state, RequestState::kApproved);
  EXPECT_THAT((*keys().GetSlot(kSlot))->versions[0].certificates, SizeIs(1));
  fixture_.ledger.clock.Advance(std::chrono::hours(2));
  ASSERT_OK_AND_ASSIGN(const auto renewed, renew(again));
  EXPECT_EQ(renewed->version, 1U);
  EXPECT_THAT((*keys().GetSlot(kSlot))->versions[0].certificates, SizeIs(2));
  fixture_.ledger.clock.Advance(std::chrono::hours(2));
  ASSERT_OK_AND_ASSIGN(const auto same, renew(first->request));
  EXPECT_EQ(same->submitted_by, agent.identity);
  EXPECT_EQ(same->decided_by, kTestApprover) << "who approved it stands, however often it is renewed";
  EXPECT_EQ((*keys().GetRequest(agent, first->id))->decided_by, kTestApprover);
  EXPECT_EQ((*keys().GetRequest(agent, first->id))->decided, first->decided);
  EXPECT_THAT((*keys().GetSlot(kSlot))->versions[0].certificates, SizeIs(3));
  EXPECT_EQ((*Submit(first->request))->id, first->id) << "without `renew` it is a question";
  EXPECT_THAT((*keys().GetSlot(kSlot))->versions[0].certificates, SizeIs(3));
  ASSERT_OK(fixture_.PublishAndAdvance());
  ASSERT_OK(keys().Taint(fixture_.NewCall(), kSlot, 1, std::nullopt));
  fixture_.ledger.clock.Advance(std::chrono::hours(2));
  EXPECT_THAT(renew(again), ReasonIs("COMPROMISED")) << "never certified again";
}

TEST_F(RouterKeysTest, AKeyThatIsMadeHereLeavesOnce) {
  ASSERT_OK(Register(RouterFixture::Spec("edge-a", KeyMethod::kOperatorDriven)));
  const RouterCaller operators = RouterFixture::Operator();
  const Call create = fixture_.NewCall();
  ASSERT_OK_AND_ASSIGN(const auto created, keys().Create(create, "edge-a", 64496, ""));
  EXPECT_EQ(created.version, 1U);
  const RouterKeys::SlotPtr slot = created.slot;
  ASSERT_THAT(slot->versions, SizeIs(1));
  EXPECT_OK(keys().Create(create, "edge-a", 64496, "")) << "the same call again";
  EXPECT_EQ(fixture_.custody.count(), 1U) << "and the key that it made for nothing is gone";
  EXPECT_THAT(keys().Create(fixture_.NewCall(), "edge-a", 64496, ""), ReasonIs("ROUTER_KEY_STATE"));
  EXPECT_EQ(fixture_.custody.count(), 1U);
  EXPECT_THAT(keys().Create(fixture_.NewCall(), "edge-a", 64499, ""), ReasonIs("AS_NOT_HELD"));
  EXPECT_THAT(keys().CertsOnly(operators, kSlot, 1), ReasonIs("NOT_ISSUED"));
  ASSERT_OK(keys().Issue(fixture_.NewCall(), kSlot, 1));
  EXPECT_THAT(keys().Issue(fixture_.NewCall(), kSlot, 9), StatusIs(StatusCode::kNotFound));

  EXPECT_THAT(keys().Package(fixture_.NewCall(), operators, kSlot, 1, "no certificate"),
              StatusIs(StatusCode::kInvalidArgument));
  EXPECT_FALSE((*keys().GetSlot(kSlot))->versions[0].released) << "nothing left with an error";
  const Call call = fixture_.NewCall();
  ASSERT_OK_AND_ASSIGN(const crypto::Secret package, keys().Package(call, operators, kSlot, 1, ""));
  ASSERT_OK_AND_ASSIGN(const std::string anchor, keys().TrustAnchor());
  ASSERT_OK_AND_ASSIGN(const rpki::KeyPackage opened, rpki::OpenKeyPackage(package.view(), anchor, std::nullopt));
  EXPECT_TRUE(opened.path.empty()) << rpki::AsStatus(opened.path, "path");
  ASSERT_OK_AND_ASSIGN(const crypto::Secret scalar, rpki::DecodePkcs8(opened.pkcs8.view()));
  EXPECT_EQ(crypto::P256PrivateKey::FromScalar(scalar.view())->public_key().spki(), slot->versions[0].spki);
  EXPECT_TRUE((*keys().GetSlot(kSlot))->versions[0].released);
  EXPECT_EQ(Audit().back().event, "router_key_released");
  EXPECT_THAT(keys().Package(call, operators, kSlot, 1, ""), ReasonIs("NOT_EXPORTABLE"));
  EXPECT_THAT(keys().Package(fixture_.NewCall(), operators, kSlot, 1, ""), ReasonIs("NOT_EXPORTABLE"));
  for (const Row& row : fixture_.ledger.store.rows())
    EXPECT_EQ(row.body.find(Base64Encode(scalar.view())), std::string::npos);
}

TEST_F(RouterKeysTest, WhoseKeysAreWhoseToMake) {
  ASSERT_OK(Register(RouterFixture::Spec("edge-a", KeyMethod::kRouterDriven)));
  EXPECT_THAT(keys().Create(fixture_.NewCall(), "edge-a", 64496, ""), ReasonIs("METHOD"));
  EXPECT_EQ(fixture_.custody.count(), 0U);
  RouterSpec spec = RouterFixture::Spec("edge-b", KeyMethod::kOperatorDriven);
  spec.agent = RouterFixture::Agent("edge-b").identity;
  spec.policy = ExportPolicy::kNever;
  ASSERT_OK(Register(spec));
  EXPECT_THAT(Submit(RouterFixture::Csr(key_), "edge-b"), ReasonIs("METHOD"));
  ASSERT_OK(keys().Create(fixture_.NewCall(), "edge-b", 64496, ""));
  EXPECT_THAT(keys().Package(fixture_.NewCall(), RouterFixture::Agent("edge-b"), "edge-b/64496", 1, ""),
              ReasonIs("NOT_EXPORTABLE"));
  EXPECT_THAT(keys().Package(fixture_.NewCall(), RouterFixture::Agent("edge-a"), "edge-b/64496", 1, ""),
              ReasonIs("NOT_YOUR_ROUTER"));
}

TEST_F(RouterKeysTest, OneCallProvisionsARouterAndGoesOnAfterACrash) {
  RouterSpec spec = RouterFixture::Spec("edge-a", KeyMethod::kOperatorDriven);
  spec.asns = {64496, 65536};
  const Call call = fixture_.NewCall();
  // The database goes at every step in turn; the same call goes on from there.
  for (int i = 0; i < 4; ++i) {
    fixture_.ledger.store.FailNextCommit(InvalidArgument("a crash"));
    EXPECT_FALSE(keys().ProvisionRouter(call, spec, "").ok()) << i;
    if (i == 0) ASSERT_OK(Register(spec));
    if (i == 1) ASSERT_OK(keys().Create(fixture_.NewCall(), "edge-a", 64496, ""));
    if (i == 2) ASSERT_OK(keys().Issue(fixture_.NewCall(), kSlot, 1));
  }
  ASSERT_OK_AND_ASSIGN(const auto made, keys().ProvisionRouter(call, spec, ""));
  ASSERT_THAT(made.keys, SizeIs(2));
  EXPECT_EQ(made.router->spec, spec);
  EXPECT_TRUE(made.tal.starts_with("rsync://"));
  for (const auto& key : made.keys) {
    EXPECT_TRUE(rpki::OpenKeyPackage(key.package.view(), made.trust_anchor, std::nullopt)->path.empty());
    EXPECT_TRUE(rpki::ImportCertificates(key.certs_only).ok());
    EXPECT_TRUE(key.slot->versions[0].released);
  }
  ASSERT_OK_AND_ASSIGN(const auto again, keys().ProvisionRouter(call, spec, ""));
  EXPECT_TRUE(again.keys[0].package.empty()) << "once is once";
  EXPECT_EQ(again.keys[0].version, 1U);
  EXPECT_EQ(fixture_.custody.count(), 2U);
  spec.bgp_id = 9;
  EXPECT_THAT(keys().ProvisionRouter(fixture_.NewCall(), spec, ""), StatusIs(StatusCode::kAlreadyExists));
}

TEST_F(RouterKeysTest, RecordsComeBackFromTheirRows) {
  RouterSpec spec = RouterFixture::Spec();
  spec.material = {{MaterialKind::kRouterKey, std::string(32, 'x')}};
  spec.contacts = {{64511, "NOC", "mailto:noc@example.net"}};
  ASSERT_OK(Register(spec));
  ASSERT_OK(fixture_.Enrol(key_));
  ASSERT_OK(fixture_.PublishAndAdvance());
  ASSERT_OK(fixture_.Report(kSlot, 1, RouterEvent::kInstalled, key_, key_.public_key().spki()));
  ASSERT_OK(keys().Activate(fixture_.NewCall(), kSlot, 1, true, false));
  std::size_t seen = 0;
  const auto types = RouterKeys::Types();
  for (const Row& row : fixture_.ledger.store.rows()) {
    const auto type = std::ranges::find(types, row.kind, &RecordType::kind);
    if (type == types.end()) continue;
    ++seen;
    const auto back = type->parse(row);
    ASSERT_OK(back);
    EXPECT_EQ((*back)->ToRow().body, row.body);
    EXPECT_EQ((*back)->ToRow().state, row.state);
    EXPECT_EQ((*back)->ToRow().parent, row.parent);
    EXPECT_EQ((*back)->ToRow().due, row.due);
    for (const std::string_view wrong : {"{}", "[]", "", R"({"format":2})"}) {
      Row broken = row;
      broken.body = wrong;
      EXPECT_FALSE(type->parse(broken).ok()) << row.kind << wrong;
    }
  }
  EXPECT_EQ(seen, 3U);
}

TEST(RouterKeysWithout, AnAuthorityNothingIsLost) {
  RouterFixture fixture(false);
  ASSERT_OK(fixture.keys->Register(fixture.NewCall(), RouterFixture::Spec()));
  const auto key = crypto::P256PrivateKey::Generate();
  EXPECT_THAT(fixture.Enrol(key), ReasonIs("NO_AUTHORITY"));
  EXPECT_THAT(fixture.keys->ListPending("", 10), SizeIs(1));
  EXPECT_THAT(fixture.keys->TrustChain(), ReasonIs("NO_AUTHORITY"));
  EXPECT_OK(fixture.keys->Advance());
}

}  // namespace
}  // namespace virp::keymgr
