// What the key manager tells an O-Node becomes entries of the chain, and these change verdicts: versions, their ends,
// and the time since when one is compromised. On both stores.
#include <gmock/gmock.h>

#include "tests/e2e/verdicts_fixture.h"
#include "virp/keymgr/v1/observation_key.pb.h"

namespace virp::e2e {
namespace {

namespace pb = ::virp::keymgr::v1;
using ::testing::Contains;
using ::testing::Not;

constexpr const char* kEdge = "edge-a.bgpd";

class VerdictKeys : public VerdictsFixture {
 protected:
  static std::string Secret(std::uint32_t version) { return std::string(32, static_cast<char>('a' + version)); }
  // A version as the manager tells it, to be changed and told.
  pb::KeyMaterial& Version(std::uint32_t version) {
    pb::KeyMaterial& material = told_[version];
    material.set_version(version);
    material.set_suite(pb::KEY_SUITE_HMAC_SHA256);
    material.set_secret(Secret(version));
    return material;
  }
  void Tell() {
    pb::WatchObservationKeysResponse news;
    news.set_complete(true);
    pb::SourceKeys& source = *news.add_sources();
    source.set_source(kEdge);
    source.set_first_version(2);
    for (const auto& [version, material] : told_) *source.add_versions() = material;
    ASSERT_TRUE(managed_->Take(news).ok());
  }
  // The manager prepares a version; returns when the leader's chain has it.
  void Introduce(std::uint32_t version) {
    Version(version);
    Tell();
    ASSERT_TRUE(InChain([&](const auto& keys) { return keys.contains(version); }));
  }
  using Keys = std::map<std::uint32_t, chain::KeyState>;
  Keys KeysOf() {
    return replicas_.front()->chain().Read(
        [](const onode::ChainState& state) { return state.book.FindByName(kEdge)->keys; });
  }
  bool InChain(const std::function<bool(const Keys&)>& condition) {
    return testutil::WaitUntil(20s, [&] { return condition(KeysOf()); });
  }
  std::shared_ptr<const frame::OKey> Key(std::uint32_t version) {
    return testutil::Must(frame::OKey::Hmac(Secret(version)));
  }
  // Events of the chain about the source's keys, in order.
  std::vector<std::string> Events() {
    std::vector<std::string> out;
    for (const std::string& bytes : leader().Entries()) {
      const auto entry = testutil::Must(chain::DecodeEntry(bytes));
      const auto frame = testutil::Must(frame::Decode(entry.frame, entry.header.spelling));
      if (frame.header.type != Type::kKeyEvent) continue;
      frame::PayloadReader reader;
      const frame::Value payload = testutil::Must(reader.Read(frame.payload));
      if (payload["source"].AsString() == kEdge)
        out.push_back(fmt::format("{} {}", payload["event"].AsString().value_or("?"),
                                  payload["key_version"].AsUnsigned().value_or(0)));
    }
    return out;
  }
  ClaimAnswer Ask(const verify::v1::Claim& claim, const Acceptance& acceptance = {}) {
    verify::v1::VerifyClaimRequest request;
    *request.mutable_claim() = claim;
    *request.mutable_acceptance() = acceptance;
    request.set_at_least_size(size_);
    return leader().Ask(request);
  }

  std::map<std::uint32_t, pb::KeyMaterial> told_;
};

TEST_P(VerdictKeys, VersionsAndTheirEndsEnterOnceAndNarrowOnly) {
  RegisterAll();
  Introduce(2);
  Introduce(3);
  const UnixNanos now = clock_.NowNanos();
  Version(2).set_sign_until_ns(now + 60'000'000'000);
  Version(2).set_accept_until_ns(now + 120'000'000'000);
  Tell();
  ASSERT_TRUE(InChain([&](const Keys& keys) { return keys.at(2).sign_until.has_value(); }));
  EXPECT_EQ(KeysOf().at(2).sign_until, now + 60'000'000'000);
  EXPECT_EQ(KeysOf().at(2).statement.accept_until, now + 120'000'000'000);
  EXPECT_FALSE(KeysOf().at(3).sign_until.has_value()) << "the other version's";
  EXPECT_FALSE(KeysOf().at(1).sign_until.has_value()) << "nor a key file's";

  // Wider is nothing; the next version shows that it was looked at.
  Version(2).set_sign_until_ns(now + 70'000'000'000);
  Version(2).set_accept_until_ns(now + 130'000'000'000);
  Introduce(4);
  EXPECT_EQ(KeysOf().at(2).sign_until, now + 60'000'000'000);
  Version(2).set_sign_until_ns(now + 50'000'000'000);
  Tell();
  ASSERT_TRUE(InChain([&](const Keys& keys) { return keys.at(2).sign_until == now + 50'000'000'000; }));
  // A second earlier would be a second entry; the same again is none.
  Introduce(5);
  EXPECT_EQ(Events(), (std::vector<std::string>{"key_version 2", "key_version 3", "key_window 2", "key_version 4",
                                                "key_window 2", "key_version 5"}));
}

TEST_P(VerdictKeys, AKeyThatTheChainStatesOtherwiseChangesNothing) {
  RegisterAll();
  Introduce(2);
  Introduce(3);
  pb::KeyMaterial& other = Version(2);
  other.set_secret(Secret(9));
  other.set_sign_until_ns(clock_.NowNanos());
  other.set_compromised_since_ns(clock_.NowNanos());
  Introduce(4);
  EXPECT_FALSE(KeysOf().at(2).sign_until.has_value());
  EXPECT_FALSE(KeysOf().at(2).compromised_since.has_value());
  EXPECT_THAT(Events(), Not(Contains("key_compromised 2")));
}

TEST_P(VerdictKeys, FramesAreRefusedAfterTheEndThatTheManagerSet) {
  RegisterAll();
  Introduce(2);
  bgpd().UseKey(2, Key(2));
  Up(bgpd());
  Introduce(3);
  const UnixNanos now = clock_.NowNanos();
  Version(2).set_sign_until_ns(now);
  Version(2).set_accept_until_ns(now + 30'000'000'000);
  Tell();
  ASSERT_TRUE(InChain([&](const Keys& keys) { return keys.at(2).sign_until.has_value(); }));
  EXPECT_EQ(Deliver(bgpd(),
                    bgpd().Sign(bgpd().last() + 1, Type::kPeerStatusChanged, PeerStateJson({}, "Established", "Idle")))
                .reason(),
            "LATE_KEY");
  bgpd().UseKey(3, Key(3));
  Up(bgpd(), true);
}

TEST_P(VerdictKeys, WhatACompromisedVersionVerifiedSinceCountsNowhereAndWhatItDidBeforeDoes) {
  RegisterAll();
  Introduce(2);
  bgpd().UseKey(2, Key(2));
  Up(bgpd());
  Up(bmp());
  Beat("collector-1", bgpd());
  Beat("collector-2", bmp());
  EXPECT_EQ(Ask(PeerIs(), AtLeast(2)).verdict(), verify::v1::VERDICT_CONFIRMED);
  clock_.Advance(5s);
  const UnixNanos since = clock_.NowNanos();
  clock_.Advance(5s);
  // Who stole the key says that the peer is down, and the two sources disagree.
  Down(bgpd());
  clock_.Advance(3s);
  Beat("collector-1", bgpd());
  Beat("collector-2", bmp());
  EXPECT_EQ(Ask(PeerIs()).verdict(), verify::v1::VERDICT_CONFLICT);
  const std::uint64_t before = size_;

  Introduce(3);
  Version(2).set_compromised_since_ns(since);
  Tell();
  ASSERT_TRUE(InChain([&](const Keys& keys) { return keys.at(2).compromised_since.has_value(); }));
  EXPECT_EQ(KeysOf().at(2).compromised_since, since);
  EXPECT_THAT(Events(), Contains("key_compromised 2"));
  size_ = replicas_.front()->chain().size();
  EXPECT_EQ(Ask(PeerIs()).verdict(), verify::v1::VERDICT_CONFIRMED) << "by the other source";
  EXPECT_EQ(Ask(PeerIs(), Without("edge-a.bmp")).verdict(), verify::v1::VERDICT_CHANNEL_COMPROMISED);
  EXPECT_EQ(Deliver(bgpd(),
                    bgpd().Sign(bgpd().last() + 1, Type::kPeerStatusChanged, PeerStateJson({}, "Established", "Idle")))
                .reason(),
            "KEY_COMPROMISED");
  // The next version speaks, and once an operator has cleared the source it counts again.
  bgpd().UseKey(3, Key(3));
  bgpd().Restart();
  Up(bgpd(), true);
  Beat("collector-1", bgpd());
  EXPECT_EQ(Ask(PeerIs(), AtLeast(2)).verdict(), verify::v1::VERDICT_CHANNEL_COMPROMISED);
  EXPECT_GE(leader().ClearAlarms(kEdge), 1);
  size_ = replicas_.front()->chain().size();
  Beat("collector-1", bgpd());
  Beat("collector-2", bmp());
  EXPECT_EQ(Ask(PeerIs(), AtLeast(2)).verdict(), verify::v1::VERDICT_CONFIRMED) << Ask(PeerIs()).DebugString();
  // What was answered as of before is still answered so: a verdict is a function of the chain, its size and the time.
  verify::v1::VerifyClaimRequest past;
  *past.mutable_claim() = PeerIs();
  past.set_chain_size(before);
  EXPECT_EQ(leader().Ask(past).verdict(), verify::v1::VERDICT_CONFLICT);
  ExpectNaiveAgreement({PeerIs(), PeerIs("", true)}, {{{}, 0}, {Without("edge-a.bmp"), 0}, {AtLeast(2), 1}});
}

INSTANTIATE_TEST_SUITE_P(Stores, VerdictKeys,
                         ::testing::Values(VerdictsSetting{"sqlite"}, VerdictsSetting{"postgresql"}), NameOf);

}  // namespace
}  // namespace virp::e2e
