#include "services/keymgr/domain/observation_key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "lib/base/error_info.h"

namespace virp::keymgr {
namespace {

using ::testing::HasSubstr;
using ::testing::IsNull;
using ::testing::SizeIs;
using State = ObservationState;
using std::chrono::hours;
using std::chrono::seconds;

constexpr UnixNanos kSecond = 1'000'000'000, kHour = 3'600 * kSecond;
constexpr UnixNanos kStart = 1'750'000'000 * kSecond;
const std::string kNoc1 = "spiffe://example.net/operator/noc-1", kNoc2 = "spiffe://example.net/operator/noc-2";

ObservationKey MakeRecord() {
  ObservationKey key;
  key.source = "edge-a.bgpd";
  key.signers = {"spiffe://example.net/collector/edge-a"};
  return key;
}

NewVersion Next(std::uint32_t version, Algorithm algorithm = Algorithm::kHmacSha256, std::string succession = "") {
  NewVersion next;
  next.version = version;
  next.algorithm = algorithm;
  next.made_by = kNoc1;
  (algorithm == Algorithm::kEd25519 ? next.public_half : next.commitment) =
      std::string(32, static_cast<char>('a' + version % 20));
  next.succession = std::move(succession);
  return next;
}

void Ok(const absl::Status& status) {
  ASSERT_TRUE(status.ok()) << status;
}

State StateOf(const ObservationKey& key, std::uint32_t version) {
  return key.Find(version)->state;
}

// A record whose version 1 signs.
ObservationKey Signing() {
  ObservationKey key = MakeRecord();
  Ok(AddVersion(key, Next(1), kStart));
  Ok(Approve(key, 1, kNoc2));
  EXPECT_TRUE(*NoteSighting(key, 1, {"onode", 7, kStart, false}));
  Ok(Activate(key, 1, {}, kStart));
  return key;
}

// ... and whose version 2 has taken over from it.
ObservationKey Rolled(UnixNanos at = kStart + kHour) {
  ObservationKey key = Signing();
  Ok(AddVersion(key, Next(2, Algorithm::kHmacSha256, "vouched"), at));
  EXPECT_TRUE(*NoteSighting(key, 2, {"onode", 9, at, false}));
  Ok(Activate(key, 2, {.sign_for = hours(1), .accept_for = hours(24)}, at));
  return key;
}

TEST(ObservationKeyTest, ARollGoesThroughItsStatesInOrder) {
  ObservationKey key = MakeRecord();
  Ok(CheckObservationKey(key));
  Ok(AddVersion(key, Next(1), kStart));
  EXPECT_EQ(StateOf(key, 1), State::kPending);
  EXPECT_EQ(GetReason(Activate(key, 1, {}, kStart)), "KEY_ORDER") << "not approved";
  EXPECT_EQ(GetReason(Approve(key, 1, kNoc1)), "SAME_PERSON");
  Ok(Approve(key, 1, kNoc2));
  EXPECT_EQ(GetReason(Activate(key, 1, {}, kStart)), "NOT_IN_CHAIN") << "the O-Node first";
  EXPECT_TRUE(*NoteSighting(key, 1, {"onode", 7, kStart, false}));
  Ok(Activate(key, 1, {}, kStart));
  Ok(AddVersion(key, Next(2, Algorithm::kHmacSha256, "vouched"), kStart + 1));
  EXPECT_EQ(StateOf(key, 2), State::kPrepared) << "the version before vouches for it";
  EXPECT_EQ(StateOf(key, 1), State::kActive) << "which signs until the next is activated";
  EXPECT_TRUE(*NoteSighting(key, 2, {"onode", 9, kStart, false}));
  Ok(Activate(key, 2, {.sign_for = seconds(60), .accept_for = hours(2)}, kStart + kHour));
  const ObservationVersion& before = *key.Find(1);
  EXPECT_EQ(before.state, State::kRetired);
  EXPECT_EQ(before.sign_until, kStart + kHour + 60 * kSecond);
  EXPECT_EQ(before.accept_until, kStart + 3 * kHour);
  EXPECT_EQ(key.Active()->version, 2U);
  Ok(Taint(key, 1, kStart + 5, false, kStart + 2 * kHour));
  EXPECT_EQ(GetReason(Revoke(key, 1, false, kStart + 2 * kHour)), "NOT_IN_CHAIN") << "verifiers hear of it first";
  EXPECT_TRUE(*NoteSighting(key, 1, {"onode", 12, kStart, true}));
  Ok(Revoke(key, 1, false, kStart + 2 * kHour));
  EXPECT_EQ(StateOf(key, 1), State::kRevoked);
  EXPECT_EQ(KeyStateOf(StateOf(key, 1)), KeyState::kDestroyed);
}

TEST(ObservationKeyTest, WhatSignsIsNeitherTaintedNorRevokedUnlessSilenceIsWanted) {
  ObservationKey key = Signing();
  EXPECT_EQ(GetReason(Taint(key, 1, kStart, false, kStart)), "KEY_ORDER");
  EXPECT_EQ(GetReason(Revoke(key, 1, true, kStart)), "KEY_ORDER");
  Ok(Taint(key, 1, kStart, true, kStart));
  EXPECT_THAT(key.Active(), IsNull());
  EXPECT_EQ(GetReason(AddVersion(key, Next(2, Algorithm::kHmacSha256, "vouched"), kStart)), "KEY_ORDER")
      << "a compromised key vouches for nothing";
  Ok(AddVersion(key, Next(2), kStart));
  EXPECT_EQ(StateOf(key, 2), State::kPending);
}

TEST(ObservationKeyTest, ARetiredVersionIsRevokedWhenNothingAcceptsItAnyMore) {
  ObservationKey key = Rolled(kStart);
  const UnixNanos until = *key.Find(1)->accept_until;
  EXPECT_EQ(GetReason(Revoke(key, 1, true, until)), "KEY_ORDER");
  Ok(Revoke(key, 1, false, until + 1));
}

TEST(ObservationKeyTest, OneVersionWaitsAtATimeAndNumbersFollowEachOther) {
  ObservationKey key = Signing();
  EXPECT_EQ(AddVersion(key, Next(1), kStart).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(AddVersion(key, Next(3), kStart).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(AddVersion(key, Next(0), kStart).code(), absl::StatusCode::kInvalidArgument);
  Ok(AddVersion(key, Next(2), kStart));
  EXPECT_EQ(GetReason(AddVersion(key, Next(3), kStart)), "KEY_ORDER");
  Ok(Revoke(key, 2, false, kStart));
  Ok(AddVersion(key, Next(3), kStart));
}

TEST(ObservationKeyTest, ThereIsNoWayBackFromASignatureToAMac) {
  ObservationKey key = Signing();
  Ok(AddVersion(key, Next(2, Algorithm::kEd25519), kStart));
  Ok(Revoke(key, 2, false, kStart));
  EXPECT_EQ(GetReason(AddVersion(key, Next(3), kStart)), "DOWNGRADE") << "for ever";
  Ok(AddVersion(key, Next(3, Algorithm::kEd25519), kStart));
}

TEST(ObservationKeyTest, WhoSignsIsAskedForAVersionOnce) {
  ObservationKey key;
  key.source = "edge-a";
  EXPECT_EQ(GetReason(AskFor(key, 1, "one")), "NO_SIGNER") << "a foreign producer's";
  key.signers = {"spiffe://example.net/collector/edge-a"};
  EXPECT_FALSE(AskFor(key, 0, "one").ok());
  ASSERT_TRUE(AskFor(key, 1, "one").ok());
  ASSERT_TRUE(AskFor(key, 1, "two").ok()) << "said again";
  EXPECT_EQ(key.wanted, 1U);
  const auto back = ObservationKey::FromRow(key.ToRow());
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(static_cast<const ObservationKey&>(**back).wanted, 1U);
  EXPECT_EQ(static_cast<const ObservationKey&>(**back).wanted_by, "two");
  NewVersion made;
  made.version = 1;
  made.public_half = std::string(32, 'p');
  made.made_by = key.signers[0];
  ASSERT_TRUE(AddVersion(key, made, 5).ok());
  EXPECT_EQ(key.wanted, 0U);
  EXPECT_EQ(key.versions[0].made_by, key.signers[0]);
  EXPECT_EQ(key.versions[0].wanted_by, "two");
  EXPECT_EQ(GetReason(Approve(key, 1, "two")), "SAME_PERSON") << "who asked";
  EXPECT_EQ(GetReason(Approve(key, 1, key.signers[0])), "SAME_PERSON") << "who registered it, though another asked";
  const auto stored = ObservationKey::FromRow(key.ToRow());
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_EQ(static_cast<const ObservationKey&>(**stored).versions, key.versions);
  EXPECT_EQ(GetReason(AskFor(key, 2, "one")), "KEY_ORDER") << "one waits";
  ASSERT_TRUE(Approve(key, 1, "one").ok());
}

TEST(ObservationKeyTest, KeysOfTheWrongShapeAreNamed) {
  ObservationKey key = MakeRecord();
  NewVersion next = Next(1, Algorithm::kEd25519);
  next.public_half.pop_back();
  EXPECT_THAT(std::string(AddVersion(key, next, kStart).message()), HasSubstr("public_key"));
  next = Next(1);
  next.commitment += "x";
  EXPECT_THAT(std::string(AddVersion(key, next, kStart).message()), HasSubstr("commitment"));
  EXPECT_THAT(std::string(AddVersion(key, Next(1, Algorithm::kEcdsaP256), kStart).message()), HasSubstr("suite"));
  EXPECT_THAT(key.versions, SizeIs(0));
}

TEST(ObservationKeyTest, TimesOfARollAreBounded) {
  ObservationKey key = Signing();
  Ok(AddVersion(key, Next(2, Algorithm::kHmacSha256, "vouched"), kStart));
  const auto activate = [&](std::chrono::nanoseconds sign, std::chrono::nanoseconds accept) {
    return Activate(key, 2, {.sign_for = sign, .accept_for = accept, .unconfirmed = true}, kStart).code();
  };
  EXPECT_EQ(activate(seconds(-1), seconds(5)), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(activate(seconds(5), seconds(4)), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(activate(seconds(5), kMostOverlap + seconds(1)), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(StateOf(key, 1), State::kActive) << "an error changes nothing";
  EXPECT_EQ(activate(seconds(0), seconds(0)), absl::StatusCode::kOk);
}

TEST(ObservationKeyTest, TheEarlierTimeOfACompromiseHolds) {
  ObservationKey key = Rolled();
  Ok(Taint(key, 1, kStart + 10, false, kStart + kHour));
  Ok(Taint(key, 1, kStart + 20, false, kStart + kHour));
  EXPECT_EQ(key.Find(1)->compromised_since, kStart + 10);
  Ok(Taint(key, 1, kStart + 3, false, kStart + kHour));
  EXPECT_EQ(key.Find(1)->compromised_since, kStart + 3);
  EXPECT_EQ(Taint(key, 1, kStart + 2, false, kStart + 1).code(), absl::StatusCode::kInvalidArgument) << "the future";
  Ok(Revoke(key, 1, true, kStart + kHour));
  Ok(Taint(key, 1, kStart + 1, false, kStart + kHour));
  EXPECT_EQ(StateOf(key, 1), State::kRevoked) << "a destroyed key may still become known as compromised";
}

TEST(ObservationKeyTest, AnONodeIsCountedOnceAndItsNewWordReplacesTheOld) {
  ObservationKey key = Rolled();
  EXPECT_FALSE(*NoteSighting(key, 1, {"onode", 8, kStart, false}));
  EXPECT_TRUE(*NoteSighting(key, 1, {"onode", 8, kStart, true}));
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(*NoteSighting(key, 1, {"onode-" + std::to_string(i), 8, kStart, false}), i + 1 < int{kMaxSightings}) << i;
  }
  EXPECT_FALSE(*NoteSighting(key, 1, {"onode", 9, kStart, false})) << "what is marked stays so, whatever it says then";
  EXPECT_TRUE(key.Find(1)->known_by[0].compromised);
  int marked = 0;
  for (int i = 0; i < 1000; ++i) {
    if (*NoteSighting(key, 1, {"late-" + std::to_string(i % 40), 9, kStart, i % 2 == 0})) ++marked;
  }
  EXPECT_EQ(marked, int{kMaxSightings} - 1) << "the mark of any, and then there is an end";
  EXPECT_THAT(key.Find(1)->known_by, SizeIs(kMaxSightings));
  EXPECT_EQ(NoteSighting(key, 9, {"onode", 8, kStart, false}).status().code(), absl::StatusCode::kNotFound);
}

TEST(ObservationKeyTest, OldRevokedVersionsAreDroppedAndStandingOnesAreBounded) {
  ObservationKey key = MakeRecord();
  for (std::uint32_t version = 1; version <= 3 * kMaxVersions; ++version) {
    Ok(AddVersion(key, Next(version), kStart));
    Ok(Revoke(key, version, false, kStart));
  }
  EXPECT_THAT(key.versions, SizeIs(kMaxVersions));
  EXPECT_EQ(key.versions.back().version, 3 * kMaxVersions);
  EXPECT_EQ(key.first_version, 1U) << "what came before is remembered";
  EXPECT_LE(key.ToRow().body.size(), kMaxBody);

  ObservationKey standing = MakeRecord();
  for (std::uint32_t version = 1; version <= kMaxStanding; ++version) {
    Ok(AddVersion(standing, Next(version), kStart));
    Ok(Approve(standing, version, kNoc2));
    Ok(Activate(standing, version, {.unconfirmed = true}, kStart));
  }
  EXPECT_EQ(AddVersion(standing, Next(kMaxStanding + 1), kStart).code(), absl::StatusCode::kResourceExhausted);
}

TEST(ObservationKeyTest, HoldersAndFormsAreChecked) {
  const auto broken = [](const std::function<void(ObservationKey&)>& change) {
    ObservationKey key = MakeRecord();
    change(key);
    return CheckObservationKey(key).code() == absl::StatusCode::kInvalidArgument;
  };
  EXPECT_TRUE(broken([](auto& key) { key.source = "Edge A"; }));
  EXPECT_TRUE(broken([](auto& key) { key.signers.clear(); }));
  EXPECT_TRUE(broken([](auto& key) { key.signers = {"collector-1"}; }));
  EXPECT_TRUE(broken([](auto& key) { key.signers.push_back(key.signers[0]); }));
  EXPECT_TRUE(broken([](auto& key) { key.carriers.assign(kMaxHolders + 1, "spiffe://example.net/collector/a"); }));
  EXPECT_FALSE(broken([](auto& key) { key.signers.clear(), key.form = ConsumerForm::kHexText; }));
}

TEST(ObservationKeyTest, ARowGivesBackWhatWasPut) {
  ObservationKey key = Rolled();
  key.form = ConsumerForm::kRaw;
  key.carriers = {"spiffe://example.net/collector/b"};
  key.versions[0].released_to = key.signers;
  key.versions[1].succession = std::string("\0\xff", 2);
  Ok(Taint(key, 1, kStart, false, kStart + 2 * kHour));
  const Row row = key.ToRow();
  EXPECT_EQ(row.id, "edge-a.bgpd");
  EXPECT_EQ(row.state, "ACTIVE");
  const auto back = ObservationKey::FromRow(row);
  ASSERT_TRUE(back.ok()) << back.status();
  const auto& same = static_cast<const ObservationKey&>(**back);
  EXPECT_EQ(same.versions, key.versions);
  EXPECT_EQ(same.signers, key.signers);
  EXPECT_EQ(same.carriers, key.carriers);
  EXPECT_EQ(same.first_version, 1U);
  EXPECT_TRUE(same.activated);
  EXPECT_EQ(same.form, key.form);
  EXPECT_EQ(same.ToRow().body, row.body);
}

TEST(ObservationKeyTest, ARowThatIsNoneOfOursIsRefused) {
  Row row = Rolled().ToRow();
  const std::string good = row.body;
  const auto refused = [&](std::string_view from, std::string_view to) {
    row.body = good;
    const std::size_t at = row.body.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    row.body.replace(at, from.size(), to);
    return !ObservationKey::FromRow(row).ok();
  };
  EXPECT_TRUE(refused("\"format\":1", "\"format\":2"));
  EXPECT_TRUE(refused("\"RETIRED\"", "\"SLEEPING\""));
  EXPECT_TRUE(refused("\"HMAC-SHA256\"", "\"OCTETS\""));
  EXPECT_TRUE(refused("\"version\":2", "\"version\":1"));
  EXPECT_TRUE(refused("\"version\":1", "\"version\":0"));
  EXPECT_TRUE(refused("\"commitment\":\"", "\"commitment\":\"x"));
  EXPECT_TRUE(refused("{", "["));
}

// ---- Every order of steps: what must hold in each state that can be reached.

std::string Fingerprint(const ObservationKey& key) {
  std::string out;
  for (const ObservationVersion& v : key.versions) {
    out += std::string(ObservationStateName(v.state)) + (v.known_by.empty() ? "-" : "k") +
           (!v.known_by.empty() && v.known_by[0].compromised ? "c" : "-") + (v.accept_until ? "u" : "-") +
           (v.compromised_since ? "t" : "-") + (v.algorithm == Algorithm::kEd25519 ? "e " : "h ");
  }
  return out;
}

void CheckInvariants(const ObservationKey& before, const ObservationKey& key) {
  int active = 0, waiting = 0;
  bool asymmetric = false;
  for (const ObservationVersion& v : key.versions) {
    active += v.state == State::kActive;
    waiting += v.state == State::kPending || v.state == State::kPrepared;
    EXPECT_FALSE(asymmetric && v.algorithm == Algorithm::kHmacSha256) << "a downgrade";
    asymmetric |= v.algorithm == Algorithm::kEd25519;
    EXPECT_EQ(v.activated.has_value(), v.state == State::kActive || v.state == State::kRetired ||
                                           v.state == State::kTainted || (v.state == State::kRevoked && v.activated));
    if (v.state == State::kTainted) EXPECT_TRUE(v.compromised_since);
    if (v.state == State::kRetired) EXPECT_TRUE(v.accept_until && v.sign_until);
    EXPECT_TRUE(v.state == State::kPending || v.state == State::kRevoked || !v.approved_by.empty() ||
                !v.succession.empty())
        << "nothing is used that nobody vouched for";
    EXPECT_EQ(IsServed(v), v.state != State::kPending && v.state != State::kRevoked);
    const ObservationVersion* was = before.Find(v.version);
    if (was == nullptr || was->state == v.state) continue;
    // Each step is an arrow of SP 800-57, or none between two states of ours that are one of its.
    const KeyState from = KeyStateOf(was->state), to = KeyStateOf(v.state);
    EXPECT_TRUE(from == to || CanMove(from, to))
        << ObservationStateName(was->state) << " to " << ObservationStateName(v.state);
  }
  EXPECT_LE(active, 1);
  EXPECT_LE(waiting, 1);
}

TEST(ObservationKeyTest, WhateverTheOrderOfStepsOneVersionSignsAndNothingIsSkipped) {
  using Step = std::function<absl::Status(ObservationKey&, UnixNanos)>;
  std::vector<Step> steps;
  for (const Algorithm algorithm : {Algorithm::kHmacSha256, Algorithm::kEd25519}) {
    for (const char* succession : {"", "vouched"}) {
      steps.emplace_back([=](ObservationKey& key, UnixNanos now) {
        const auto next = static_cast<std::uint32_t>(key.versions.size() + 1);
        if (next > 3) return absl::ResourceExhaustedError("enough for a test");
        return AddVersion(key, Next(next, algorithm, succession), now);
      });
    }
  }
  for (std::uint32_t version = 1; version <= 3; ++version) {
    steps.emplace_back([=](ObservationKey& key, UnixNanos) { return Approve(key, version, kNoc2); });
    for (const bool compromised : {false, true}) {
      steps.emplace_back([=](ObservationKey& key, UnixNanos now) {
        return NoteSighting(key, version, {"onode", 1, now, compromised}).status();
      });
    }
    steps.emplace_back([=](ObservationKey& key, UnixNanos now) { return Activate(key, version, {}, now); });
    for (const bool flag : {false, true}) {
      steps.emplace_back([=](ObservationKey& key, UnixNanos now) { return Taint(key, version, now, flag, now); });
      steps.emplace_back([=](ObservationKey& key, UnixNanos now) { return Revoke(key, version, flag, now); });
    }
    steps.emplace_back(
        [=](ObservationKey& key, UnixNanos now) { return Revoke(key, version, false, now + 100 * kHour); });
  }
  std::set<std::string> seen;
  std::vector<ObservationKey> open{MakeRecord()};
  std::size_t taken = 0, refused = 0;
  for (UnixNanos now = kStart; !open.empty(); now += kSecond) {
    const ObservationKey key = open.back();
    open.pop_back();
    for (const Step& step : steps) {
      ObservationKey after = key;
      const absl::Status status = step(after, now);
      if (!status.ok()) {
        ++refused;
        EXPECT_EQ(after.versions, key.versions) << "an error leaves the record as it was: " << status;
        continue;
      }
      ++taken;
      CheckInvariants(key, after);
      if (seen.insert(Fingerprint(after)).second) open.push_back(std::move(after));
    }
    ASSERT_FALSE(HasFailure()) << Fingerprint(key);
  }
  EXPECT_GT(seen.size(), 1'000U);
  EXPECT_GT(taken, 1'000U);
  EXPECT_GT(refused, 10'000U);
}

}  // namespace
}  // namespace virp::keymgr
