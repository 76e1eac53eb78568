// The life of router keys: staging, orders, reports, compromise, revocation, renewal, and 10,000 routers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "lib/base/error_info.h"
#include "lib/rpki/key_package.h"
#include "services/keymgr/domain/router_fixture.h"
#include "services/keymgr/domain/router_use.h"
#include "tests/testutil/status_matchers.h"

namespace virp::keymgr {
namespace {

using absl::StatusCode;
using std::chrono::hours;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testutil::ReasonIs;
using testutil::StatusIs;
using State = RouterKeyState;

constexpr char kSlot[] = "edge-a/64496";
constexpr hours kDay{24};

class RouterRollTest : public testing::Test {
 protected:
  RouterKeys& keys() { return *fixture_.keys; }
  RouterKeys::SlotPtr Slot() { return *keys().GetSlot(kSlot); }
  RouterPlan Plan() { return keys().Plan(RouterFixture::Agent(), "edge-a")->at(0); }
  absl::Status Say(std::uint32_t version, RouterEvent event, const crypto::P256PrivateKey& signer,
                   const crypto::P256PrivateKey& about) {
    return fixture_.Report(kSlot, version, event, signer, about.public_key().spki()).status();
  }
  bool InUse(std::uint32_t version) {
    const std::string id = Slot()->Find(version)->certificates.back();
    return IsInUse(*fixture_.ledger->snapshot(), **fixture_.authority->Get(id));
  }
  // From a request to a key that signs.
  void Bring(std::uint32_t version, const crypto::P256PrivateKey& key) {
    ASSERT_OK(fixture_.Enrol(key));
    ASSERT_OK(fixture_.PublishAndAdvance());
    ASSERT_OK(Say(version, RouterEvent::kInstalled, key, key));
    ASSERT_OK(fixture_.Wait(hours(25)));
    ASSERT_EQ(fixture_.StateOf(kSlot, version), State::kReady);
    ASSERT_OK(keys().Activate(fixture_.NewCall(), kSlot, version, false, false));
    ASSERT_EQ(Plan().sign_with, version);
    ASSERT_OK(Say(version, RouterEvent::kSigning, key, key));
    ASSERT_EQ(fixture_.StateOf(kSlot, version), State::kActive);
  }

  RouterFixture fixture_;
  const crypto::P256PrivateKey old_ = crypto::P256PrivateKey::Generate(), next_ = crypto::P256PrivateKey::Generate();
};

TEST_F(RouterRollTest, OneKeyFollowsAnotherWithoutAGap) {
  ASSERT_OK(keys().Register(fixture_.NewCall(), RouterFixture::Spec()));
  EXPECT_TRUE(Plan().submit_next) << "an AS without a key";
  Bring(1, old_);
  EXPECT_TRUE(Plan().submit_next) << "the next key is to be known long before (RFC 8207)";
  ASSERT_OK(fixture_.Enrol(next_));
  EXPECT_EQ(fixture_.StateOf(kSlot, 2), State::kCreated);
  EXPECT_TRUE(InUse(1));
  EXPECT_TRUE(InUse(2));
  EXPECT_THAT(keys().Activate(fixture_.NewCall(), kSlot, 2, true, true), ReasonIs("ROUTER_KEY_STATE"))
      << "nobody could check what it signs";
  ASSERT_OK(fixture_.PublishAndAdvance());
  EXPECT_EQ(fixture_.StateOf(kSlot, 2), State::kStaging);
  EXPECT_THAT(Plan().install, ElementsAre(2));
  EXPECT_FALSE(Plan().submit_next);
  EXPECT_THAT(keys().Activate(fixture_.NewCall(), kSlot, 2, false, false), ReasonIs("NOT_CONFIRMED"));
  ASSERT_OK(Say(2, RouterEvent::kInstalled, next_, next_));
  EXPECT_THAT(Say(2, RouterEvent::kSigning, next_, next_), ReasonIs("NOT_ORDERED"));
  ASSERT_OK(keys().Activate(fixture_.NewCall(), kSlot, 2, false, false));
  EXPECT_EQ(Plan().sign_with, 1U) << "the order waits for relying parties";
  EXPECT_THAT(Say(2, RouterEvent::kSigning, next_, next_), ReasonIs("ROUTER_KEY_STATE"));
  ASSERT_OK(fixture_.Wait(hours(25)));
  EXPECT_EQ(Plan().sign_with, 2U);
  ASSERT_OK(Say(2, RouterEvent::kSigning, next_, next_));
  EXPECT_EQ(fixture_.StateOf(kSlot, 1), State::kTwilight);
  EXPECT_FALSE(Slot()->order.has_value());
  EXPECT_FALSE(InUse(1)) << "nobody is warned of the end of a certificate that is on its way out";
  EXPECT_TRUE(InUse(2));

  // The old one goes only when nothing under it is left, then with the CRL.
  EXPECT_THAT(Plan().replace, ElementsAre(1));
  EXPECT_THAT(keys().Revoke(fixture_.NewCall(), kSlot, 1, std::nullopt), ReasonIs("ROUTER_KEY_STATE"));
  EXPECT_THAT(Say(1, RouterEvent::kReplaced, old_, old_), ReasonIs("KEY_DIFFERS")) << "said by the one that signs now";
  ASSERT_OK(Say(1, RouterEvent::kReplaced, next_, old_));
  ASSERT_OK(keys().Revoke(fixture_.NewCall(), kSlot, 1, std::nullopt));
  EXPECT_FALSE(Slot()->Find(1)->crl_out);
  fixture_.ledger.clock.Advance(7 * kDay);
  ASSERT_OK(keys().Advance());
  EXPECT_EQ(fixture_.StateOf(kSlot, 1), State::kRevoked) << "however long it takes to publish";
  EXPECT_THAT(fixture_.authority->RouterKeys(), SizeIs(1));
  ASSERT_OK(fixture_.PublishAndAdvance());
  EXPECT_TRUE(Slot()->Find(1)->crl_out);
  EXPECT_EQ(fixture_.StateOf(kSlot, 1), State::kRevoked) << "and then to spread";
  ASSERT_OK(fixture_.Wait(hours(25)));
  EXPECT_EQ(fixture_.StateOf(kSlot, 1), State::kWithdrawn);
  ASSERT_OK(fixture_.Wait(8 * kDay));
  EXPECT_EQ(fixture_.StateOf(kSlot, 1), State::kDestroyed);
  EXPECT_EQ(fixture_.StateOf(kSlot, 2), State::kActive);
}

TEST_F(RouterRollTest, ACompromisedKeyIsReplacedInTheRightOrder) {
  ASSERT_OK(keys().Register(fixture_.NewCall(), RouterFixture::Spec()));
  Bring(1, old_);
  EXPECT_THAT(keys().Revoke(fixture_.NewCall(), kSlot, 1, std::nullopt), ReasonIs("ROUTER_KEY_STATE"));
  EXPECT_THAT(keys().Revoke(fixture_.NewCall(), kSlot, 1, Continuity::kKeepSigning), ReasonIs("ROUTER_KEY_STATE"))
      << "one key only: make the new one first";
  EXPECT_THAT(keys().Taint(fixture_.NewCall(), kSlot, 1, std::nullopt), ReasonIs("CONTINUITY"));
  EXPECT_THAT(keys().Taint(fixture_.NewCall(), kSlot, 9, std::nullopt), StatusIs(StatusCode::kNotFound));
  ASSERT_OK(keys().Taint(fixture_.NewCall(), kSlot, 1, Continuity::kKeepSigning));
  EXPECT_EQ(fixture_.ledger.store.audit().back().event, "router_key_compromised");
  EXPECT_EQ(Plan().sign_with, 1U);
  EXPECT_EQ(Plan().continuity, Continuity::kKeepSigning);
  EXPECT_TRUE(Plan().submit_next);
  EXPECT_THAT(keys().Issue(fixture_.NewCall(), kSlot, 1), ReasonIs("ROUTER_KEY_STATE")) << "never certified again";
  ASSERT_OK(fixture_.Enrol(next_));
  ASSERT_OK(fixture_.PublishAndAdvance());
  ASSERT_OK(Say(2, RouterEvent::kInstalled, next_, next_));
  ASSERT_OK(keys().Activate(fixture_.NewCall(), kSlot, 2, true, false));
  EXPECT_EQ(Plan().sign_with, 2U) << "an emergency does not wait";
  ASSERT_OK(Say(2, RouterEvent::kSigning, next_, next_));
  ASSERT_OK(keys().Revoke(fixture_.NewCall(), kSlot, 1, std::nullopt));
  EXPECT_FALSE(Slot()->roll.continuity.has_value());
  ASSERT_OK(fixture_.PublishAndAdvance());
  EXPECT_THAT(fixture_.authority->RouterKeys(), SizeIs(1));
}

// RFC 6484 section 4.7.1: it MUST be revoked. Whoever may do that is told until it is done.
TEST_F(RouterRollTest, ACompromisedKeyIsNotForgottenBeforeItIsRevoked) {
  const auto told = [&](std::uint32_t version) {
    const auto all = Missing((*keys().GetRouter("edge-a"))->spec, *Slot(), fixture_.ledger.clock.NowNanos());
    const std::string start = fmt::format("version {} is compromised", version);
    return std::ranges::any_of(
        all, [&](const std::string& one) { return one.starts_with(start) && one.ends_with("revoke it"); });
  };
  ASSERT_OK(keys().Register(fixture_.NewCall(), RouterFixture::Spec()));
  Bring(1, old_);
  // One that was to be the next, and that relying parties know.
  ASSERT_OK(fixture_.Enrol(next_));
  ASSERT_OK(fixture_.PublishAndAdvance());
  ASSERT_OK(fixture_.Wait(hours(25)));
  ASSERT_EQ(fixture_.StateOf(kSlot, 2), State::kReady);
  EXPECT_EQ(keys().CompromisedKeys(), 0U);
  EXPECT_FALSE(told(2));
  ASSERT_OK(keys().Taint(fixture_.NewCall(), kSlot, 2, std::nullopt));
  EXPECT_TRUE(told(2));
  EXPECT_EQ(keys().CompromisedKeys(), 1U);
  EXPECT_THAT(Plan().remove, ElementsAre(2)) << "it never signed anything";
  ASSERT_OK(keys().Revoke(fixture_.NewCall(), kSlot, 2, std::nullopt));
  EXPECT_FALSE(told(2));
  EXPECT_EQ(keys().CompromisedKeys(), 0U);
  // One whose successor signs already.
  const auto third = crypto::P256PrivateKey::Generate();
  Bring(3, third);
  ASSERT_EQ(fixture_.StateOf(kSlot, 1), State::kTwilight);
  ASSERT_OK(keys().Taint(fixture_.NewCall(), kSlot, 1, std::nullopt));
  EXPECT_TRUE(told(1));
  EXPECT_EQ(keys().CompromisedKeys(), 1U);
  ASSERT_OK(keys().Revoke(fixture_.NewCall(), kSlot, 1, std::nullopt));
  EXPECT_FALSE(told(1));
  EXPECT_EQ(keys().CompromisedKeys(), 0U);
}

TEST_F(RouterRollTest, AKeyThatIsRevokedWithoutASuccessorLeavesTheRouterUnsigned) {
  ASSERT_OK(keys().Register(fixture_.NewCall(), RouterFixture::Spec()));
  Bring(1, old_);
  ASSERT_OK(keys().Revoke(fixture_.NewCall(), kSlot, 1, Continuity::kDisableBgpsec));
  EXPECT_EQ(Plan().sign_with, 0U);
  EXPECT_EQ(Plan().continuity, Continuity::kDisableBgpsec);
  EXPECT_THAT(Plan().remove, ElementsAre(1));
  EXPECT_FALSE(Missing((*keys().GetRouter("edge-a"))->spec, *Slot(), fixture_.ledger.clock.NowNanos()).empty());
}

// A router that renews often has more certificates of a key than its slot lists.
TEST_F(RouterRollTest, NoCertificateOfARevokedKeyStaysOut) {
  ASSERT_OK(keys().Register(fixture_.NewCall(), RouterFixture::Spec()));
  Bring(1, old_);
  const std::string first = Slot()->Find(1)->certificates.front();
  const RouterCaller agent = RouterFixture::Agent();
  for (int i = 0; i < 5; ++i) {
    fixture_.ledger.clock.Advance(hours(2));
    const std::string csr = RouterFixture::Csr(old_);
    ASSERT_OK(keys().SubmitRequest(fixture_.NewCall(agent.identity), agent, {.renew = true, .request = csr}));
    ASSERT_OK(fixture_.PublishAndAdvance());
  }
  EXPECT_THAT(fixture_.authority->PublishedCertificates(), SizeIs(kMaxSlotCertificates));
  EXPECT_EQ((*fixture_.authority->Get(first))->state, CertificateState::kRevoked) << "replaced long ago";
  // One that no slot knows, as an earlier version of the manager left them behind.
  const std::string csr = RouterFixture::Csr(old_);
  ASSERT_OK(fixture_.authority->Issue(fixture_.NewCall(),
                                      {.router = "edge-a", .asn = 64496, .bgp_id = 0xc0000201, .request = csr}, true));
  ASSERT_OK(fixture_.PublishAndAdvance());
  ASSERT_THAT(fixture_.authority->PublishedCertificates(), SizeIs(kMaxSlotCertificates + 1));

  ASSERT_OK(keys().Revoke(fixture_.NewCall(), kSlot, 1, Continuity::kDisableBgpsec));
  ASSERT_OK(keys().Advance());
  EXPECT_FALSE(Slot()->Find(1)->crl_out);
  fixture_.ledger.clock.Advance(std::chrono::minutes(1));
  ASSERT_OK(fixture_.PublishAndAdvance());
  EXPECT_TRUE(Slot()->Find(1)->crl_out);
  EXPECT_THAT(fixture_.authority->PublishedCertificates(), IsEmpty());
  EXPECT_THAT(fixture_.authority->RouterKeys(), IsEmpty());
  EXPECT_EQ(fixture_.authority->State().revoked, 7U);
}

TEST_F(RouterRollTest, ACompromisedKeyThatNobodyHasSeenIsNotPublished) {
  ASSERT_OK(keys().Register(fixture_.NewCall(), RouterFixture::Spec()));
  ASSERT_OK(fixture_.Enrol(old_));
  ASSERT_OK(keys().Taint(fixture_.NewCall(), kSlot, 1, std::nullopt));
  EXPECT_EQ(fixture_.StateOf(kSlot, 1), State::kWithdrawn);
  EXPECT_THAT(keys().Revoke(fixture_.NewCall(), kSlot, 1, std::nullopt), ReasonIs("ROUTER_KEY_STATE"));
  ASSERT_OK(fixture_.PublishAndAdvance());
  EXPECT_THAT(fixture_.authority->PublishedCertificates(), IsEmpty());
  EXPECT_EQ(fixture_.authority->State().revoked, 1U);

  // One that is out all the same can be revoked, whatever became of the key.
  const std::string csr = RouterFixture::Csr(old_);
  ASSERT_OK(fixture_.authority->Issue(fixture_.NewCall(),
                                      {.router = "edge-a", .asn = 64496, .bgp_id = 0xc0000201, .request = csr}, true));
  ASSERT_OK(keys().Revoke(fixture_.NewCall(), kSlot, 1, std::nullopt));
  ASSERT_OK(fixture_.PublishAndAdvance());
  EXPECT_THAT(fixture_.authority->PublishedCertificates(), IsEmpty());
}

TEST_F(RouterRollTest, AKeyCanBeRevokedBeforeItIsPublished) {
  ASSERT_OK(keys().Register(fixture_.NewCall(), RouterFixture::Spec()));
  ASSERT_OK(fixture_.Enrol(old_));
  ASSERT_OK(keys().Revoke(fixture_.NewCall(), kSlot, 1, std::nullopt));
  EXPECT_EQ(fixture_.StateOf(kSlot, 1), State::kRevoked);
  ASSERT_OK(keys().Advance());
  EXPECT_EQ(fixture_.StateOf(kSlot, 1), State::kRevoked) << "until the CRL is out";
  ASSERT_OK(fixture_.PublishAndAdvance());
  EXPECT_THAT(fixture_.authority->PublishedCertificates(), IsEmpty());
  EXPECT_NE(fixture_.StateOf(kSlot, 1), State::kRevoked);
}

// A renewal that was signed just before the next key took over is published all the same.
TEST_F(RouterRollTest, ACertificateThatCameOutLateKeepsItsKeyFromBeingForgotten) {
  ASSERT_OK(keys().Register(fixture_.NewCall(), RouterFixture::Spec()));
  Bring(1, old_);
  const UnixNanos end = Slot()->roll.Find(1)->not_after;
  ASSERT_OK(fixture_.Enrol(next_));
  ASSERT_OK(fixture_.PublishAndAdvance());
  fixture_.ledger.clock.Advance(hours(25));
  ASSERT_OK(keys().Advance());
  ASSERT_OK(keys().Issue(fixture_.NewCall(), kSlot, 1));
  ASSERT_OK(keys().Activate(fixture_.NewCall(), kSlot, 2, false, true));
  ASSERT_OK(Say(2, RouterEvent::kSigning, next_, next_));
  ASSERT_EQ(fixture_.StateOf(kSlot, 1), State::kTwilight);
  ASSERT_OK(fixture_.PublishAndAdvance());
  EXPECT_GT(Slot()->roll.Find(1)->not_after, end);
}

TEST_F(RouterRollTest, ReportsAreProved) {
  ASSERT_OK(keys().Register(fixture_.NewCall(), RouterFixture::Spec()));
  ASSERT_OK(fixture_.Enrol(old_));
  const RouterCaller agent = RouterFixture::Agent();
  RouterKeys::Report good;
  good.package_valid = good.chain_valid = good.key_match = true;
  const auto report = [&](const RouterCaller& caller, const RouterKeys::Report& what) {
    return keys().TakeReport(fixture_.NewCall(caller.identity), caller, kSlot, 1, what).status();
  };
  EXPECT_THAT(report(agent, good), ReasonIs("KEY_DIFFERS")) << "a router proves what it says";
  good.signature = "x";
  EXPECT_THAT(report(agent, good), ReasonIs("NONCE"));
  EXPECT_THAT(Say(1, RouterEvent::kInstalled, next_, old_), ReasonIs("KEY_DIFFERS")) << "another key is installed";
  EXPECT_THAT(Say(1, RouterEvent::kInstalled, old_, next_), ReasonIs("KEY_DIFFERS")) << "about another key";
  EXPECT_FALSE(Slot()->Find(1)->report.has_value());

  // A nonce is for one report and for ten minutes; a repeat of the call that used it is answered all the same.
  const std::string nonce = *keys().Nonce(agent, kSlot, 1);
  const std::string statement =
      ReportStatement(kSlot, 1, RouterEvent::kInstalled, *rpki::KeyIdentifier(old_.public_key().spki()), nonce);
  good.signature = old_.SignDigest(crypto::Sha256(statement));
  fixture_.ledger.clock.Advance(std::chrono::minutes(11));
  EXPECT_THAT(report(agent, good), ReasonIs("NONCE"));
  const std::string fresh = *keys().Nonce(agent, kSlot, 1);
  EXPECT_NE(fresh, nonce);
  good.signature = old_.SignDigest(crypto::Sha256(
      ReportStatement(kSlot, 1, RouterEvent::kInstalled, *rpki::KeyIdentifier(old_.public_key().spki()), fresh)));
  const Call call = fixture_.NewCall(agent.identity);
  ASSERT_OK(keys().TakeReport(call, agent, kSlot, 1, good));
  EXPECT_OK(keys().TakeReport(call, agent, kSlot, 1, good));
  EXPECT_THAT(report(agent, good), ReasonIs("NONCE"));
  EXPECT_TRUE(Slot()->Find(1)->report->proved);

  // A fault needs no proof, and is told to people; an operator's word counts, and is marked.
  RouterKeys::Report fault;
  fault.detail = "the trust anchor is another";
  ASSERT_OK(report(agent, fault));
  EXPECT_EQ(fixture_.ledger.store.audit().back().event, "router_key_install_failed");
  EXPECT_FALSE(Slot()->Find(1)->report->IsGood());
  good.signature.clear();
  ASSERT_OK(report(RouterFixture::Operator(), good));
  EXPECT_FALSE(Slot()->Find(1)->report->proved);
  for (const std::string_view bad : {std::string_view("a\0b", 3), std::string_view("a\nb"), std::string_view("\xff")}) {
    fault.detail = bad;
    EXPECT_THAT(report(agent, fault), StatusIs(StatusCode::kInvalidArgument));
  }
  fault.detail = std::string(513, 'x');
  EXPECT_THAT(report(agent, fault), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(keys().Nonce(RouterFixture::Agent("edge-b"), kSlot, 1), ReasonIs("NOT_YOUR_ROUTER"));
}

// The invariant of RFC 8635 section 10.1 is about who signs, not about which certificates are there.
TEST_F(RouterRollTest, ARouterThatSignsWithoutACertificateIsMissedForEver) {
  ExpiryWatch watch(*fixture_.ledger, fixture_.ledger.clock, {}, RouterFixture::kSelf, &IsInUse, &ImportedCertificates,
                    &SigningPlaces);
  ASSERT_OK(keys().Register(fixture_.NewCall(), RouterFixture::Spec()));
  Bring(1, old_);
  EXPECT_EQ(watch.coverage().covered, 1U);
  // Another key that is published is no help to what this one signs.
  ASSERT_OK(fixture_.Enrol(next_));
  ASSERT_OK(fixture_.PublishAndAdvance());
  EXPECT_EQ(watch.coverage().covered, 1U);
  fixture_.ledger.clock.Advance(hours(24 * 365) - hours(12));
  EXPECT_EQ(watch.coverage().uncovered, 1U);
  EXPECT_THAT(watch.coverage().missing, ElementsAre("edge-a AS64496"));
  fixture_.ledger.clock.Advance(hours(24 * 100));
  EXPECT_EQ(watch.coverage().uncovered, 1U) << "long ago is no better";
  ASSERT_OK(keys().Revoke(fixture_.NewCall(), kSlot, 1, Continuity::kDisableBgpsec));
  ASSERT_OK(keys().Revoke(fixture_.NewCall(), kSlot, 2, std::nullopt));
  EXPECT_EQ(watch.coverage().uncovered, 0U) << "it does not sign any more";
}

// A certificate that its slot does not list is the key's all the same.
TEST_F(RouterRollTest, ACertificateIsInUseAsItsKeyIs) {
  ASSERT_OK(keys().Register(fixture_.NewCall(), RouterFixture::Spec()));
  Bring(1, old_);
  const std::string csr = RouterFixture::Csr(old_);
  ASSERT_OK_AND_ASSIGN(
      const auto unlisted,
      fixture_.authority->Issue(fixture_.NewCall(),
                                {.router = "edge-a", .asn = 64496, .bgp_id = 0xc0000201, .request = csr}, true));
  EXPECT_TRUE(IsInUse(*fixture_.ledger->snapshot(), *unlisted));
  ASSERT_OK(keys().Taint(fixture_.NewCall(), kSlot, 1, Continuity::kKeepSigning));
  EXPECT_FALSE(IsInUse(*fixture_.ledger->snapshot(), *unlisted));
}

TEST_F(RouterRollTest, ARouterThatDoesNotReportIsToldOfOnce) {
  ASSERT_OK(keys().Register(fixture_.NewCall(), RouterFixture::Spec()));
  ASSERT_OK(fixture_.Enrol(old_));
  ASSERT_OK(fixture_.PublishAndAdvance());
  ASSERT_OK(keys().TellOverdueReports());
  EXPECT_EQ(keys().OverdueReports(), 0U) << "it has a day";
  ASSERT_OK(fixture_.Wait(hours(25)));
  ASSERT_EQ(fixture_.StateOf(kSlot, 1), State::kReady);
  EXPECT_EQ(keys().OverdueReports(), 1U);
  ASSERT_OK(keys().TellOverdueReports());
  const AuditRow told = fixture_.ledger.store.audit().back();
  EXPECT_EQ(told.event, "router_reports_overdue");
  EXPECT_THAT(told.keys, ElementsAre(KeyIdentity{KeyKind::kRouter, kSlot, 1, Algorithm::kEcdsaP256}));
  ASSERT_OK(keys().TellOverdueReports());
  EXPECT_EQ(fixture_.ledger.store.audit().back().record, told.record) << "once";
  for (const Row& row : fixture_.ledger.store.rows()) {
    if (row.kind == RouterSlotRecord::kKind) EXPECT_EQ((*RouterSlotRecord::FromRow(row))->ToRow().body, row.body);
  }
  ASSERT_OK(Say(1, RouterEvent::kInstalled, old_, old_));
  EXPECT_EQ(keys().OverdueReports(), 0U);

  // One that is made to sign with a key that it never reported has a day, too.
  ASSERT_OK(keys().Activate(fixture_.NewCall(), kSlot, 1, false, false));
  ASSERT_OK(Say(1, RouterEvent::kSigning, old_, old_));
  ASSERT_OK(fixture_.Enrol(next_));
  ASSERT_OK(fixture_.PublishAndAdvance());
  ASSERT_OK(keys().Activate(fixture_.NewCall(), kSlot, 2, true, true));
  ASSERT_OK(Say(2, RouterEvent::kSigning, next_, next_));
  EXPECT_EQ(keys().OverdueReports(), 0U);
  fixture_.ledger.clock.Advance(hours(25));
  EXPECT_EQ(keys().OverdueReports(), 1U);
}

TEST_F(RouterRollTest, CertificatesAreRenewedWellBeforeTheirEnd) {
  ASSERT_OK(keys().Register(fixture_.NewCall(), RouterFixture::Spec()));
  Bring(1, old_);
  const UnixNanos end = Slot()->roll.Find(1)->not_after;
  const UnixNanos week = UnixNanos{7 * 86'400} * 1'000'000'000;
  EXPECT_LE(Slot()->Find(1)->renew_at + week, end);
  ASSERT_OK(fixture_.Wait(hours(24 * 325)));
  EXPECT_EQ(Slot()->roll.Find(1)->not_after, end);
  ASSERT_OK(fixture_.Wait(hours(24 * 12)));
  EXPECT_THAT(Slot()->Find(1)->certificates, SizeIs(2)) << "more than two weeks before";
  ASSERT_OK(fixture_.PublishAndAdvance());
  EXPECT_GT(Slot()->roll.Find(1)->not_after, end + 40 * week);
  EXPECT_EQ(fixture_.StateOf(kSlot, 1), State::kActive) << "the same key: no staging (RFC 8634 section 3.1)";
  EXPECT_EQ(fixture_.ledger.store.audit().back().event, "router_keys_advanced");
  EXPECT_EQ(fixture_.ledger.store.audit().back().actor, RouterFixture::kSelf);
}

TEST_F(RouterRollTest, TheNextKeyOfARouterWhoseKeysAreMadeHereIsMadeAhead) {
  RouterSpec spec = RouterFixture::Spec("edge-a", KeyMethod::kOperatorDriven);
  ASSERT_OK(keys().ProvisionRouter(fixture_.NewCall(), spec, ""));
  ASSERT_OK(fixture_.PublishAndAdvance());
  EXPECT_THAT(Slot()->versions, SizeIs(1)) << "not while the first one is on its way";
  ASSERT_OK(fixture_.Wait(hours(25)));
  RouterKeys::Report word;
  word.package_valid = word.chain_valid = word.key_match = true;
  const RouterCaller operators = RouterFixture::Operator();
  ASSERT_OK(keys().TakeReport(fixture_.NewCall(), operators, kSlot, 1, word));
  ASSERT_OK(keys().Activate(fixture_.NewCall(), kSlot, 1, false, false));
  word.event = RouterEvent::kSigning;
  ASSERT_OK(keys().TakeReport(fixture_.NewCall(), operators, kSlot, 1, word));
  ASSERT_OK(keys().Advance());
  ASSERT_THAT(Slot()->versions, SizeIs(2));
  EXPECT_EQ(Slot()->versions[1].made_by, RouterFixture::kSelf);
  EXPECT_THAT(Slot()->versions[1].certificates, SizeIs(1));
  ASSERT_OK(fixture_.PublishAndAdvance());
  EXPECT_EQ(fixture_.StateOf(kSlot, 2), State::kStaging);
  EXPECT_EQ(fixture_.custody.count(), 2U);

  // To the end: its private half is destroyed with it.
  ASSERT_OK(keys().Revoke(fixture_.NewCall(), kSlot, 2, std::nullopt));
  ASSERT_OK(fixture_.PublishAndAdvance());
  ASSERT_OK(fixture_.Wait(hours(25)));
  ASSERT_OK(fixture_.Wait(8 * kDay));
  EXPECT_EQ(fixture_.StateOf(kSlot, 2), State::kDestroyed);
  EXPECT_EQ(fixture_.ledger->snapshot()->FindKey(KeyKind::kRouter, kSlot, 2), nullptr);
}

// Whatever the database does at any step of a roll, the same step again brings it to the same end.
TEST_F(RouterRollTest, ACrashAtEveryStepIsMadeGood) {
  ASSERT_OK(keys().Register(fixture_.NewCall(), RouterFixture::Spec()));
  for (const bool committed : {false, true}) {
    SCOPED_TRACE(committed);
    const crypto::P256PrivateKey key = crypto::P256PrivateKey::Generate();
    const std::uint32_t version = committed ? 2 : 1;
    const RouterCaller agent = RouterFixture::Agent();
    const std::string csr = RouterFixture::Csr(key);
    const auto twice = [&](const std::function<absl::Status(const Call&)>& step, std::string_view actor) {
      const Call call = fixture_.NewCall(actor);
      fixture_.ledger.store.FailNextCommit(Unknown("the line broke"), committed);
      step(call).IgnoreError();
      return step(call);
    };
    std::string id;
    ASSERT_OK(twice(
        [&](const Call& call) {
          const auto sent = keys().SubmitRequest(call, agent, {.request = csr});
          if (sent.ok()) id = (*sent)->id;
          return sent.status();
        },
        agent.identity));
    ASSERT_OK(twice([&](const Call& call) { return keys().Approve(call, id).status(); }, kTestApprover));
    fixture_.ledger.store.FailNextCommit(Unknown("the line broke"), committed);
    fixture_.authority->Publish().IgnoreError();
    ASSERT_OK(fixture_.authority->Publish());
    fixture_.ledger.store.FailNextCommit(Unknown("the line broke"), committed);
    keys().Advance().IgnoreError();
    ASSERT_OK(fixture_.Wait(hours(1)));
    ASSERT_EQ(fixture_.StateOf(kSlot, version), State::kStaging);
    ASSERT_OK(fixture_.Wait(hours(25)));
    ASSERT_OK(twice([&](const Call& call) { return keys().Activate(call, kSlot, version, false, true).status(); },
                    "spiffe://example.net/operator/noc-1"));
    RouterKeys::Report word;
    word.event = RouterEvent::kSigning;
    ASSERT_OK(twice(
        [&](const Call& call) {
          return keys().TakeReport(call, RouterFixture::Operator(), kSlot, version, word).status();
        },
        "spiffe://example.net/operator/noc-1"));
    EXPECT_EQ(fixture_.StateOf(kSlot, version), State::kActive);
    EXPECT_THAT(Slot()->Find(version)->certificates, SizeIs(1)) << "issued once";
  }
  EXPECT_THAT(Slot()->versions, SizeIs(2));
}

// ---- 10,000 routers ----

TEST(RouterMany, TenThousandStayQuickToAsk) {
  RouterFixture fixture(false);
  constexpr int kRouters = 10'000;
  RouterSpec spec = RouterFixture::Spec();
  std::vector<std::future<absl::StatusOr<Receipt>>> made;
  // Accounts and slots straight into the ledger: making 10,000 keys is not what is asked here.
  for (int i = 0; i < kRouters; ++i) {
    made.push_back(
        fixture.ledger->Submit(TestCall("make-" + std::to_string(i)), [&, i](const Snapshot&, Changes& changes) {
          auto router = std::make_shared<RouterRecord>();
          router->spec = spec;
          router->spec.id = fmt::format("edge-{:05}", i);
          router->spec.agent = "spiffe://example.net/router/" + router->spec.id;
          auto slot = std::make_shared<RouterSlotRecord>();
          slot->router = router->spec.id;
          slot->asn = 64496;
          slot->last_version = 1;
          RouterVersion& version = slot->versions.emplace_back();
          version.version = 1;
          version.spki = fmt::format("key {}", i);
          slot->roll.keys.push_back(
              {.version = 1, .state = State::kStaging, .since = changes.now(), .not_after = ~UnixNanos{0} / 2});
          fixture.keys->book().Put(changes, std::move(slot));
          changes.Put(std::move(router));
          AuditRecord audit;
          audit.event = "made";
          changes.Audit(std::move(audit));
          return absl::OkStatus();
        }));
  }
  for (auto& one : made) ASSERT_OK(one.get());
  const auto begin = std::chrono::steady_clock::now();
  std::size_t seen = 0;
  std::string after;
  for (auto page = fixture.keys->ListSlots("", after, 1'000); !page.empty();
       page = fixture.keys->ListSlots("", after, 1'000)) {
    ASSERT_LE(page.size(), 1'000U);
    seen += page.size();
    after = page.back()->id();
  }
  EXPECT_EQ(seen, 10'000U);
  for (int i = 0; i < 1'000; ++i) {
    const RouterCaller agent = RouterFixture::Agent(fmt::format("edge-{:05}", i * 10));
    ASSERT_THAT(*fixture.keys->Plan(agent, ""), SizeIs(1));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5)) << "lists, and a thousand plans";

  // All of them become ready at once: in parts, and in few records.
  const auto ready = [&] {
    std::size_t count = 0;
    fixture.ledger->snapshot()->ForEach<RouterSlotRecord>([&](const RouterKeys::SlotPtr& slot) {
      count += static_cast<std::size_t>(slot->roll.keys[0].state == State::kReady);
      return true;
    });
    return count;
  };
  ASSERT_OK(fixture.keys->Advance());
  fixture.ledger.clock.Advance(hours(25));
  const std::size_t records = fixture.ledger.store.audit().size();
  int parts = 0;
  while (ready() < 10'000U && ++parts < 20) ASSERT_OK(fixture.keys->Advance());
  EXPECT_EQ(ready(), 10'000U);
  EXPECT_GE(parts, 3);
  EXPECT_LE(fixture.ledger.store.audit().size() - records, 800U);
  for (int i = 0; i < 6; ++i) ASSERT_OK(fixture.keys->Advance());
  EXPECT_THAT(fixture.keys->ListPending("", 10), IsEmpty());
}

TEST_F(RouterRollTest, TheAuthoritysNewKeyGivesEachKeyItsNewCertificate) {
  RouterSpec spec = RouterFixture::Spec("edge-b", KeyMethod::kOperatorDriven);
  spec.asns = {64497, 64498};
  ASSERT_OK_AND_ASSIGN(const auto made, keys().ProvisionRouter(fixture_.NewCall(), spec, ""));
  ASSERT_OK(keys().Register(fixture_.NewCall(), RouterFixture::Spec()));
  Bring(1, old_);
  const std::string before = Slot()->Find(1)->certificates.back();
  const UnixNanos renew_at = Slot()->Find(1)->renew_at;
  RpkiAuthority& authority = *fixture_.authority;
  ASSERT_OK(authority.StartRoll(fixture_.NewCall()));
  ASSERT_OK(fixture_.PublishAndAdvance());
  fixture_.ledger.clock.Advance(kDay);
  for (int i = 0; i < 12; ++i) {
    ASSERT_OK(authority.Advance().status());
    ASSERT_OK(fixture_.PublishAndAdvance());
    EXPECT_TRUE(InUse(1));
    EXPECT_EQ(fixture_.StateOf(kSlot, 1), State::kActive);
    EXPECT_EQ(Plan().sign_with, 1U);
    EXPECT_THAT(authority.RouterKeys(), SizeIs(3)) << i;
  }
  EXPECT_EQ(authority.Roll().version, 2U);
  EXPECT_EQ(authority.Roll().state, AuthorityState::kCurrent);
  EXPECT_THAT(Slot()->Find(1)->certificates, ElementsAre(before, testing::_));
  EXPECT_EQ(Slot()->Find(1)->renew_at, renew_at);
  // What routers and packages get leads to the trust anchor.
  const std::string anchor = *authority.TrustAnchor();
  const std::string certificate = *keys().CertificateOf(RouterFixture::Operator(), kSlot, 1);
  EXPECT_TRUE(rpki::CheckPath(certificate, authority.AuthoritiesBelow(), anchor, {}, {.asn = 64496}).empty());
  EXPECT_TRUE(authority.IsOurs(certificate));
  EXPECT_FALSE(authority.IsOurs((*authority.Get(before))->certificate));
  spec.id = "edge-c";
  ASSERT_OK_AND_ASSIGN(const auto later, keys().ProvisionRouter(fixture_.NewCall(), spec, ""));
  const auto opened = rpki::OpenKeyPackage(later.keys[0].package.view(), anchor, std::nullopt);
  ASSERT_OK(opened);
  EXPECT_TRUE(opened->path.empty()) << rpki::AsStatus(opened->path, "the package is signed by a key of the new one");
  // A revoked key is off the air for both.
  ASSERT_OK(keys().Revoke(fixture_.NewCall(), kSlot, 1, Continuity::kDisableBgpsec));
  ASSERT_OK(fixture_.PublishAndAdvance());
  EXPECT_THAT(authority.RouterKeys(), SizeIs(4));
}

}  // namespace
}  // namespace virp::keymgr
