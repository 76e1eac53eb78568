#include "services/keymgr/domain/observation_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "lib/crypto/ed25519.h"
#include "lib/frame/key.h"
#include "lib/frame/key_statements.h"
#include "services/keymgr/domain/observation_test_util.h"

namespace virp::keymgr {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;
using namespace std::chrono_literals;

const std::string kEdge = "edge-a.bgpd";

class ObservationKeysTest : public ::testing::Test {
 protected:
  HeldKeys Fetch(const std::string& identity, const std::string& source = kEdge, std::uint32_t version = 0) {
    const auto keys = lab_.keys.Fetch(lab_.AsHolder(identity), {identity, identity == kOnodeId}, source, version);
    EXPECT_TRUE(keys.ok()) << keys.status();
    return keys.value_or(HeldKeys{});
  }
  std::vector<std::string> Events() {
    std::vector<std::string> out;
    for (const AuditRow& row : lab_.ledger.store.audit()) out.push_back(row.event);
    return out;
  }
  std::size_t Count(std::string_view event) {
    const auto events = Events();
    return static_cast<std::size_t>(std::count(events.begin(), events.end(), event));
  }

  ObservationLab lab_;
};

TEST_F(ObservationKeysTest, EachStepIsOneAuditRecordAndTheSourcesHistoryIsInThem) {
  lab_.Sign(kEdge);
  EXPECT_THAT(Events(), ElementsAre("observation_key_created", "observation_key_prepared", "observation_key_approved",
                                    "observation_keys_in_chain", "observation_key_activated"));
  const auto audit = lab_.ledger.store.audit();
  EXPECT_EQ(audit[1].source, kEdge);
  EXPECT_EQ(audit[1].actor, kOperator1);
  EXPECT_EQ(audit[2].actor, kOperator2);
  ASSERT_THAT(audit[4].keys, SizeIs(1));
  EXPECT_EQ(audit[4].keys[0].version, 1U);
  const std::string commitment = HexEncode(lab_.Get(kEdge)->versions[0].commitment);
  EXPECT_THAT(audit[1].frame, HasSubstr(commitment));
}

TEST_F(ObservationKeysTest, ACommitmentIsTheOneThatTheChainKnows) {
  lab_.Sign(kEdge);
  const HeldKeys keys = Fetch(kSignerId);
  ASSERT_THAT(keys.versions, SizeIs(1));
  const auto key = frame::OKey::Hmac(keys.versions[0].secret->view());
  EXPECT_EQ((*key)->Commitment(kEdge, 1), lab_.Get(kEdge)->versions[0].commitment);
}

TEST_F(ObservationKeysTest, TheVersionThatSignsVouchesForTheNextAndWhoHasItCanCheck) {
  lab_.Sign(kEdge);
  const auto before = frame::OKey::Hmac(Fetch(kSignerId).versions[0].secret->view());
  const Done done = ObservationLab::Must(lab_.keys.Prepare(lab_.By(kOperator1), kEdge, 0));
  const ObservationVersion& next = *done.key->Find(2);
  EXPECT_EQ(next.state, ObservationState::kPrepared);
  EXPECT_TRUE((*before)->Verify(frame::SuccessionStatement(kEdge, 2, frame::Suite::kHmacSha256, next.commitment),
                                next.succession));
}

TEST_F(ObservationKeysTest, EverybodyGetsWhatTheirPlaceIsAndNothingElse) {
  lab_.Sign(kEdge);
  ASSERT_TRUE(lab_.keys.Prepare(lab_.By(kOperator1), kEdge, 0).ok());
  const HeldKeys signer = Fetch(kSignerId), carrier = Fetch(kCarrierId), onode = Fetch(kOnodeId);
  ASSERT_THAT(signer.versions, SizeIs(2));
  EXPECT_TRUE(signer.versions[0].may_sign);
  EXPECT_FALSE(signer.versions[1].may_sign) << "prepared";
  for (const HeldKeys& verifier : {carrier, onode}) {
    ASSERT_THAT(verifier.versions, SizeIs(2));
    EXPECT_FALSE(verifier.versions[0].may_sign || verifier.versions[1].may_sign);
    EXPECT_EQ(verifier.versions[0].secret->view(), signer.versions[0].secret->view());
    EXPECT_EQ(verifier.first_version, 1U);
  }
  const HeldKeys stranger = Fetch(kStrangerId), operator1 = Fetch(kOperator1);
  EXPECT_THAT(stranger.versions, IsEmpty());
  EXPECT_EQ(stranger.first_version, 0U);
  EXPECT_THAT(operator1.versions, IsEmpty());
  EXPECT_THAT(Fetch(kSignerId, "nobody").versions, IsEmpty());
  ASSERT_THAT(Fetch(kSignerId, kEdge, 2).versions, SizeIs(1));
  EXPECT_EQ(Fetch(kSignerId, kEdge, 2).versions[0].version, 2U);
}

TEST_F(ObservationKeysTest, AVersionThatWaitsForApprovalGoesToNobody) {
  lab_.Create(kEdge);
  ASSERT_TRUE(lab_.keys.Prepare(lab_.By(kOperator1), kEdge, 4).ok());
  EXPECT_THAT(Fetch(kSignerId).versions, IsEmpty());
  EXPECT_EQ(Fetch(kSignerId).first_version, 4U) << "but a file of it is none";
  EXPECT_THAT(Fetch(kOnodeId).versions, IsEmpty());
  EXPECT_EQ(lab_.custody.exported, 0);
  ASSERT_TRUE(lab_.keys.Approve(lab_.By(kOperator2), kEdge, 4, "").ok());
  EXPECT_THAT(Fetch(kOnodeId).versions, SizeIs(1));
}

TEST_F(ObservationKeysTest, ASecretsFirstWayToSomebodyIsRecordedBeforeItGoesAndOnce) {
  lab_.Sign(kEdge);
  for (int i = 0; i < 3; ++i) Fetch(kSignerId);
  EXPECT_EQ(Count("observation_key_released"), 1U);
  Fetch(kOnodeId);
  EXPECT_EQ(Count("observation_key_released"), 2U);
  EXPECT_THAT(lab_.Get(kEdge)->versions[0].released_to, ElementsAre(kSignerId, kOnodeId));
  Fetch(kStrangerId);
  EXPECT_EQ(Count("observation_key_released"), 2U) << "nothing went there";
  lab_.Roll(kEdge);
  lab_.ledger.store.FailNextCommit(Unavailable("the disk is gone"));
  const auto refused = lab_.keys.Fetch(lab_.AsHolder(kSignerId), {kSignerId, false}, kEdge);
  EXPECT_FALSE(refused.ok()) << "no record, no secret";
  EXPECT_THAT(lab_.Get(kEdge)->versions[1].released_to, IsEmpty());
  EXPECT_THAT(Fetch(kSignerId).versions, SizeIs(2));
}

TEST_F(ObservationKeysTest, ASealedManagerGivesOutNothingThoughItHadIt) {
  lab_.Sign(kEdge);
  Fetch(kSignerId);
  lab_.custody.sealed = true;
  const auto refused = lab_.keys.Fetch(lab_.AsHolder(kSignerId), {kSignerId, false}, kEdge);
  EXPECT_EQ(GetReason(refused.status()), "SEALED");
  EXPECT_EQ(GetReason(lab_.keys.Prepare(lab_.By(kOperator1), kEdge, 0).status()), "SEALED");
  lab_.custody.sealed = false;
  EXPECT_THAT(Fetch(kSignerId).versions, SizeIs(1));
}

TEST_F(ObservationKeysTest, NoSecretIsKeptWhenItIsSealedOrFenced) {
  lab_.Sign(kEdge);
  Fetch(kSignerId);
  EXPECT_EQ(lab_.keys.kept_secrets(), 1U);
  lab_.keys.ForgetSecrets();
  EXPECT_EQ(lab_.keys.kept_secrets(), 0U);
  EXPECT_THAT(Fetch(kSignerId).versions, SizeIs(1));
  EXPECT_EQ(lab_.keys.kept_secrets(), 1U);
  // Sealed while a fetch has the envelope open.
  lab_.keys.ForgetSecrets();
  lab_.custody.while_exporting = [this] { lab_.keys.ForgetSecrets(); };
  EXPECT_THAT(Fetch(kSignerId).versions, SizeIs(1));
  EXPECT_EQ(lab_.keys.kept_secrets(), 0U);
  lab_.custody.while_exporting = nullptr;
  Fetch(kSignerId);
  lab_.ledger.store.TakeOver("another.example.net:1");
  EXPECT_FALSE(lab_.keys.Prepare(lab_.By(kOperator1), kEdge, 0).ok());
  ASSERT_TRUE(lab_.ledger->WaitActive(false, std::chrono::steady_clock::now() + std::chrono::seconds(30)));
  lab_.ledger->Stop();  // until its listeners have been told
  EXPECT_EQ(lab_.keys.kept_secrets(), 0U);
}

TEST_F(ObservationKeysTest, ProducersRegisterPublicHalvesThatTheyProveToHold) {
  lab_.Sign(kEdge);
  const auto old = frame::OKey::Hmac(Fetch(kSignerId).versions[0].secret->view());
  const auto next = *crypto::Ed25519PrivateKey::FromSeed(std::string(32, 's'));
  const std::string half = next.public_key().bytes();
  const std::string possession = next.Sign(frame::PossessionStatement(kEdge, 2, half));
  const std::string succession = *(*old)->Sign(frame::SuccessionStatement(kEdge, 2, frame::Suite::kEd25519, half));
  const auto attempt = [&](std::string_view public_half, std::string_view proof, std::string_view vouched,
                           std::uint32_t version = 2) {
    return lab_.keys.Register(lab_.By(kSignerId), kEdge, version, public_half, proof, vouched).status();
  };
  EXPECT_THAT(std::string(attempt("short", possession, "").message()), HasSubstr("public_key"));
  EXPECT_THAT(std::string(attempt(half, next.Sign("something"), "").message()), HasSubstr("possession"));
  EXPECT_THAT(std::string(attempt(half, next.Sign(frame::PossessionStatement("another", 2, half)), "").message()),
              HasSubstr("possession"));
  EXPECT_THAT(std::string(attempt(half, possession, "", 3).message()), HasSubstr("possession")) << "of version 2";
  EXPECT_THAT(std::string(attempt(half, possession, next.Sign("x")).message()), HasSubstr("succession"));
  EXPECT_THAT(lab_.Get(kEdge)->versions, SizeIs(1));
  ASSERT_TRUE(attempt(half, possession, succession).ok());
  EXPECT_EQ(lab_.Get(kEdge)->Find(2)->state, ObservationState::kPrepared);
  lab_.Know(kEdge, 2);
  ASSERT_TRUE(lab_.keys.Activate(lab_.By(kOperator1), kEdge, 2, {}).ok());
  const HeldKeys onode = Fetch(kOnodeId);
  EXPECT_EQ(onode.versions[1].public_half, half);
  EXPECT_EQ(onode.versions[1].secret, nullptr) << "there is none here";
  EXPECT_EQ(GetReason(lab_.keys.Prepare(lab_.By(kOperator1), kEdge, 0, Algorithm::kHmacSha256).status()), "DOWNGRADE");

  const auto third = *crypto::Ed25519PrivateKey::FromSeed(std::string(32, 't'));
  const std::string third_half = third.public_key().bytes();
  const std::string third_proof = third.Sign(frame::PossessionStatement(kEdge, 3, third_half));
  ASSERT_TRUE(attempt(third_half, third_proof, "", 3).ok());
  EXPECT_EQ(lab_.Get(kEdge)->Find(3)->state, ObservationState::kPending) << "nobody vouched";
  EXPECT_EQ(GetReason(lab_.keys.Approve(lab_.By(kSignerId), kEdge, 3, "").status()), "SAME_PERSON");
  EXPECT_EQ(GetReason(lab_.keys.Approve(lab_.By(kOperator1), kEdge, 3, half).status()), "ANOTHER_KEY");
  EXPECT_TRUE(lab_.keys.Approve(lab_.By(kOperator1), kEdge, 3, third_half).ok());
}

TEST_F(ObservationKeysTest, WhoSignsHearsThatAVersionIsWantedAndNobodyElseDoes) {
  lab_.Create(kEdge);
  const Done asked = ObservationLab::Must(lab_.keys.Prepare(lab_.By(kOperator1), kEdge, 0, Algorithm::kEd25519));
  EXPECT_EQ(asked.version, 1U);
  EXPECT_THAT(asked.key->versions, IsEmpty());
  EXPECT_EQ(lab_.custody.made, 0) << "nothing is made here";
  EXPECT_EQ(Fetch(kSignerId).wanted, 1U);
  EXPECT_EQ(Fetch(kCarrierId).wanted, 0U);
  EXPECT_EQ(Fetch(kOnodeId).wanted, 0U);
  const auto key = *crypto::Ed25519PrivateKey::FromSeed(std::string(32, 's'));
  const std::string half = key.public_key().bytes();
  ObservationLab::Must(
      lab_.keys.Register(lab_.By(kSignerId), kEdge, 1, half, key.Sign(frame::PossessionStatement(kEdge, 1, half)), ""));
  EXPECT_EQ(Fetch(kSignerId).wanted, 0U);
  EXPECT_EQ(GetReason(lab_.keys.Approve(lab_.By(kOperator1), kEdge, 1, "").status()), "SAME_PERSON");
  ObservationLab::Must(lab_.keys.Approve(lab_.By(kOperator2), kEdge, 1, ""));
  lab_.Know(kEdge, 1);
  ObservationLab::Must(lab_.keys.Activate(lab_.By(kOperator1), kEdge, 1, {}));
  // Without a word about it the next one is of the same suite.
  EXPECT_EQ(ObservationLab::Must(lab_.keys.Prepare(lab_.By(kOperator1), kEdge, 0)).key->wanted, 2U);
  EXPECT_EQ(GetReason(lab_.keys.Prepare(lab_.By(kOperator1), kEdge, 0, Algorithm::kHmacSha256).status()), "DOWNGRADE");
}

TEST_F(ObservationKeysTest, TheManagersOwnSourceIsNotTakenIn) {
  ObservationLab idle(/*start=*/false);
  ObservationKeys keys(*idle.ledger, idle.custodies, [] { return absl::OkStatus(); }, {"keymgr-1", "example.net/main"});
  for (const char* source : {"keymgr-1", "example.net/main"}) {
    ObservationKey key;
    key.source = source;
    key.signers = {kSignerId};
    EXPECT_EQ(keys.Create(lab_.By(kOperator1), key).status().code(), absl::StatusCode::kInvalidArgument) << source;
  }
}

TEST_F(ObservationKeysTest, ARepeatedRequestAnswersAsTheFirstTimeAndMakesNoKey) {
  lab_.Sign(kEdge);
  const Call call = lab_.By(kOperator1);
  const Done first = ObservationLab::Must(lab_.keys.Prepare(call, kEdge, 0));
  const Done again = ObservationLab::Must(lab_.keys.Prepare(call, kEdge, 0));
  EXPECT_EQ(first.version, 2U);
  EXPECT_EQ(again.version, 2U);
  EXPECT_EQ(again.record, first.record);
  EXPECT_THAT(lab_.Get(kEdge)->versions, SizeIs(2));
  EXPECT_EQ(lab_.custody.made - lab_.custody.destroyed, 2) << "what was made for the repeat is gone";
  Call other = call;
  other.digest = crypto::Sha256("another request");
  EXPECT_EQ(GetReason(lab_.keys.Prepare(other, kEdge, 0).status()), "REQUEST_ID_REUSED");
}

TEST_F(ObservationKeysTest, WhatARevokedVersionWasIsGone) {
  lab_.Sign(kEdge);
  lab_.Roll(kEdge);
  Fetch(kSignerId);
  ASSERT_TRUE(lab_.keys.Taint(lab_.By(kOperator1), kEdge, 1, std::nullopt, false).ok());
  EXPECT_TRUE(Fetch(kOnodeId).versions[0].compromised_since.has_value());
  EXPECT_EQ(GetReason(lab_.keys.Revoke(lab_.By(kOperator1), kEdge, 1, false).status()), "NOT_IN_CHAIN");
  lab_.Know(kEdge, 1, true);
  const int destroyed = lab_.custody.destroyed;
  ASSERT_TRUE(lab_.keys.Revoke(lab_.By(kOperator1), kEdge, 1, false).ok());
  EXPECT_EQ(lab_.custody.destroyed, destroyed + 1);
  EXPECT_EQ((*lab_.ledger).snapshot()->FindKey(KeyKind::kObservation, kEdge, 1), nullptr);
  const HeldKeys keys = Fetch(kSignerId);
  ASSERT_THAT(keys.versions, SizeIs(1));
  EXPECT_EQ(keys.versions[0].version, 2U);
}

TEST_F(ObservationKeysTest, AnONodesWordCountsForTheKeyThatItsChainHas) {
  lab_.Create(kEdge);
  ObservationLab::Must(lab_.keys.Prepare(lab_.By(kOperator1), kEdge, 0));
  ObservationLab::Must(lab_.keys.Approve(lab_.By(kOperator2), kEdge, 1, ""));
  const std::string commitment = lab_.Get(kEdge)->versions[0].commitment;
  const auto report = [&](std::vector<KnownInChain> known) {
    return *lab_.keys.Report(lab_.AsHolder(kOnodeId), known);
  };
  EXPECT_EQ(report({{kEdge, 1, 5, false, std::string(32, 'x')}}), 0U) << "another key under that number";
  EXPECT_EQ(report({{kEdge, 9, 5, false, commitment}, {"nobody", 1, 5, false, commitment}}), 0U);
  EXPECT_EQ(GetReason(lab_.keys.Activate(lab_.By(kOperator1), kEdge, 1, {}).status()), "NOT_IN_CHAIN");
  EXPECT_EQ(report({{kEdge, 1, 5, false, commitment}, {kEdge, 1, 5, false, commitment}}), 1U);
  EXPECT_EQ(report({{kEdge, 1, 6, false, commitment}}), 0U) << "said already";
  EXPECT_TRUE(lab_.keys.Activate(lab_.By(kOperator1), kEdge, 1, {}).ok());
  // One that cannot make up its mind fills no ledger.
  const std::size_t records = lab_.ledger.store.audit().size();
  for (int i = 0; i < 10; ++i) report({{kEdge, 1, 7, i % 2 == 0, commitment}});
  EXPECT_EQ(lab_.ledger.store.audit().size(), records + 1);
}

TEST_F(ObservationKeysTest, ManyReportsShareRecords) {
  std::vector<KnownInChain> known;
  for (int i = 0; i < 100; ++i) {
    const std::string source = "edge-" + std::to_string(i);
    lab_.Create(source);
    ObservationLab::Must(lab_.keys.Prepare(lab_.By(kOperator1), source, 0));
    ObservationLab::Must(lab_.keys.Approve(lab_.By(kOperator2), source, 1, ""));
    known.push_back({source, 1, 5, false, lab_.Get(source)->versions[0].commitment});
  }
  EXPECT_EQ(*lab_.keys.Report(lab_.AsHolder(kOnodeId), known), 100U);
  EXPECT_EQ(Count("observation_keys_in_chain"), 4U);
}

TEST_F(ObservationKeysTest, ForeignProducersGetAFileInTheirForm) {
  lab_.Create("hex.bgpd", ConsumerForm::kHexText);
  lab_.Create("raw.bgpd", ConsumerForm::kRaw);
  lab_.Create(kEdge);
  for (const std::string& source : {std::string("hex.bgpd"), std::string("raw.bgpd"), kEdge})
    ObservationLab::Must(lab_.keys.Prepare(lab_.By(kOperator1), source, 0));
  const auto file = [&](const std::string& source) { return lab_.keys.Export(lab_.By(kOperator1), source, 1); };
  EXPECT_EQ(GetReason(file("hex.bgpd").status()), "KEY_ORDER") << "not approved";
  for (const std::string& source : {std::string("hex.bgpd"), std::string("raw.bgpd"), kEdge})
    ObservationLab::Must(lab_.keys.Approve(lab_.By(kOperator2), source, 1, ""));
  EXPECT_EQ(GetReason(file(kEdge).status()), "NOT_FOREIGN");
  const auto text = file("hex.bgpd"), raw = file("raw.bgpd");
  ASSERT_TRUE(text.ok() && raw.ok());
  EXPECT_EQ(text->file.size(), 65U);
  EXPECT_EQ(text->file.view().find_first_not_of("0123456789abcdef"), 64U);
  EXPECT_EQ(raw->file.size(), 32U);
  // What the file's reader makes of it is the key that verifiers have.
  for (const auto& [source, exported] : {std::pair("hex.bgpd", &*text), std::pair("raw.bgpd", &*raw)}) {
    const auto secret = frame::HmacSecretFromFile(exported->file.view());
    ASSERT_TRUE(secret.ok());
    EXPECT_EQ((*frame::OKey::Hmac(*secret))->Commitment(source, 1), lab_.Get(source)->versions[0].commitment);
  }
  EXPECT_EQ(Count("observation_key_exported"), 2U);
  EXPECT_THAT(lab_.Get("hex.bgpd")->versions[0].released_to, ElementsAre(kOperator1));
}

TEST_F(ObservationKeysTest, RawKeysOfForeignProducersNeverEndALine) {
  lab_.Create("raw.bgpd", ConsumerForm::kRaw);
  for (std::uint32_t version = 1; version <= 1'500; ++version) {  // an unlucky one would come 11 times
    ObservationLab::Must(lab_.keys.Prepare(lab_.By(kOperator1), "raw.bgpd", version));
    const auto sealed = (*lab_.ledger).snapshot()->FindKey(KeyKind::kObservation, "raw.bgpd", version);
    ASSERT_THAT("\r\n", Not(HasSubstr(std::string(1, sealed->blob.back()))));
    ObservationLab::Must(lab_.keys.Revoke(lab_.By(kOperator1), "raw.bgpd", version, false));
  }
}

TEST_F(ObservationKeysTest, HoldersAreChangedAndAStaleChangeIsRefused) {
  lab_.Sign(kEdge);
  Fetch(kSignerId);
  const std::uint64_t revision = lab_.Get(kEdge)->revision;
  ASSERT_TRUE(lab_.keys.Update(lab_.By(kOperator1), kEdge, {kStrangerId}, {}, revision).ok());
  EXPECT_THAT(Fetch(kSignerId).versions, IsEmpty());
  EXPECT_THAT(Fetch(kStrangerId).versions, SizeIs(1));
  EXPECT_EQ(GetReason(lab_.keys.Update(lab_.By(kOperator1), kEdge, {kSignerId}, {}, revision).status()), "ETAG");
  EXPECT_FALSE(lab_.keys.Update(lab_.By(kOperator1), kEdge, {}, {}, 0).ok()) << "nobody would sign";
}

TEST_F(ObservationKeysTest, WatchersHearOfWhatChangesForHolders) {
  lab_.Sign(kEdge);
  lab_.Sign("edge-b.bgpd");
  auto news = lab_.keys.Wait(0, 0ms);
  EXPECT_TRUE(news.restart);
  EXPECT_THAT(news.sources, UnorderedElementsAre(kEdge, "edge-b.bgpd"));
  Fetch(kSignerId);
  const std::uint64_t serial = news.serial;
  news = lab_.keys.Wait(serial, 0ms);
  EXPECT_FALSE(news.restart);
  EXPECT_THAT(news.sources, IsEmpty()) << "a release changes nothing for others";
  std::thread waiting([&] { news = lab_.keys.Wait(serial, 30s); });
  ObservationLab::Must(lab_.keys.Prepare(lab_.By(kOperator1), "edge-b.bgpd", 0));
  waiting.join();
  EXPECT_THAT(news.sources, ElementsAre("edge-b.bgpd"));
  lab_.Know("edge-b.bgpd", 2);
  EXPECT_THAT(lab_.keys.Wait(news.serial, 0ms).sources, IsEmpty());
  ObservationLab::Must(lab_.keys.Activate(lab_.By(kOperator1), "edge-b.bgpd", 2, {}));
  lab_.Create("edge-c.bgpd");
  EXPECT_THAT(lab_.keys.Wait(news.serial, 0ms).sources, ElementsAre("edge-b.bgpd", "edge-c.bgpd"));
  std::thread sleeping([&] { news = lab_.keys.Wait(1'000'000, 60s); });
  // It may not sleep yet: wake it until it has ended.
  std::atomic<bool> over = false;
  std::thread waking([&] {
    while (!over) lab_.keys.WakeAll(), std::this_thread::yield();
  });
  sleeping.join();
  over = true;
  waking.join();
}

TEST_F(ObservationKeysTest, AFleetsFirstFetchSharesCommits) {
  std::vector<std::string> sources;
  for (int i = 0; i < 200; ++i) {
    sources.push_back("edge-" + std::to_string(i));
    lab_.Sign(sources.back());
  }
  const std::size_t before = lab_.ledger.store.commits();
  const auto keys = lab_.keys.FetchAll(lab_.AsHolder(kOnodeId), {kOnodeId, true}, sources);
  ASSERT_TRUE(keys.ok()) << keys.status();
  ASSERT_THAT(*keys, SizeIs(200));
  for (const HeldKeys& one : *keys) EXPECT_THAT(one.versions, SizeIs(1));
  EXPECT_EQ(Count("observation_key_released"), 200U);
  EXPECT_LT(lab_.ledger.store.commits() - before, 100U);
}

TEST_F(ObservationKeysTest, ASecretThatDoesNotOpenIsNotGivenAndAllOthersAre) {
  lab_.Sign(kEdge);
  lab_.Sign("edge-b.bgpd");
  lab_.custody.damaged = kEdge;
  const auto all = lab_.keys.FetchAll(lab_.AsHolder(kOnodeId), {kOnodeId, true}, {kEdge, "edge-b.bgpd"});
  ASSERT_TRUE(all.ok()) << all.status();
  ASSERT_THAT((*all)[0].versions, SizeIs(1)) << "it is there: who has it keeps it";
  EXPECT_EQ((*all)[0].versions[0].secret, nullptr);
  EXPECT_NE((*all)[1].versions[0].secret, nullptr);
  EXPECT_EQ(lab_.keys.counters().damaged, 1U);
  EXPECT_EQ(Fetch(kSignerId).versions.at(0).secret, nullptr);
  EXPECT_EQ(lab_.keys.counters().damaged, 1U);
  const std::uint64_t serial = lab_.keys.Wait(0, 0ms).serial;
  ASSERT_TRUE(lab_.keys.RetryDamaged().ok());
  EXPECT_THAT(lab_.keys.Wait(serial, 0ms).sources, IsEmpty()) << "it is damaged still";
  lab_.custody.damaged.clear();  // a backup was brought
  ASSERT_TRUE(lab_.keys.RetryDamaged().ok());
  EXPECT_EQ(lab_.keys.counters().damaged, 0U);
  EXPECT_THAT(lab_.keys.Wait(serial, 0ms).sources, ElementsAre(kEdge)) << "who watches is told";
  ASSERT_TRUE(lab_.keys.RetryDamaged().ok());
  EXPECT_THAT(lab_.keys.Wait(serial + 1, 0ms).sources, IsEmpty()) << "once";
  EXPECT_NE(Fetch(kSignerId).versions.at(0).secret, nullptr);
  EXPECT_EQ(lab_.keys.counters().damaged, 0U);
}

TEST_F(ObservationKeysTest, ASecretThatWentToTooManyGoesToNoFurtherOneAndEndsNoWatch) {
  lab_.Sign(kEdge);
  lab_.Sign("edge-b.bgpd");
  ASSERT_TRUE(lab_.ledger
                  ->Commit(lab_.By(kOperator1),
                           [](const Snapshot& now, Changes& changes) {
                             auto key = std::make_shared<ObservationKey>(*now.Find<ObservationKey>(kEdge));
                             for (std::size_t i = 0; i < kMaxReleases; ++i)
                               key->versions[0].released_to.push_back("spiffe://example.net/onode/" +
                                                                      std::to_string(i));
                             changes.Put(std::move(key));
                             changes.Audit({.event = "test", .source = {}, .keys = {}, .fields = {}});
                             return absl::OkStatus();
                           })
                  .ok());
  const auto all = lab_.keys.FetchAll(lab_.AsHolder(kOnodeId), {kOnodeId, true}, {kEdge, "edge-b.bgpd"});
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ((*all)[0].versions.at(0).secret, nullptr) << "no record, no secret";
  EXPECT_NE((*all)[1].versions.at(0).secret, nullptr);
  EXPECT_EQ(Fetch(kSignerId).versions.at(0).secret, nullptr);
}

TEST_F(ObservationKeysTest, TimesOfARollAndWhoHasWhatSurviveARestart) {
  lab_.Sign(kEdge);
  Fetch(kSignerId);
  lab_.Roll(kEdge, {.sign_for = 60s, .accept_for = 3600s});
  const ObservationKey before = *lab_.Get(kEdge);
  for (const Row& row : lab_.ledger.store.rows()) {
    const auto read = ObservationKey::FromRow(row);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(static_cast<const ObservationKey&>(**read).versions, before.versions);
    EXPECT_EQ(row.due, before.Find(1)->accept_until);
    EXPECT_THAT(row.body, Not(HasSubstr("secret")));
  }
}

TEST_F(ObservationKeysTest, SourcesThatAreNotKnownAreNamed) {
  const absl::Status status = lab_.keys.Prepare(lab_.By(kOperator1), "nobody", 0).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("nobody"));
  EXPECT_EQ(lab_.keys.Activate(lab_.By(kOperator1), "nobody", 1, {}).status().code(), absl::StatusCode::kNotFound);
  lab_.Create(kEdge);
  ObservationKey again;
  again.source = kEdge;
  again.signers = {kSignerId};
  EXPECT_EQ(lab_.keys.Create(lab_.By(kOperator1), again).status().code(), absl::StatusCode::kAlreadyExists);
}

}  // namespace
}  // namespace virp::keymgr
