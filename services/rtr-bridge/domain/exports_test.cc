#include "services/rtr-bridge/domain/exports.h"

#include <gmock/gmock.h>

#include "lib/base/error_info.h"
#include "lib/vrp/json.h"
#include "services/rtr-bridge/domain/bridge_fixture.h"
#include "tests/testutil/status_matchers.h"

namespace virp::rtr_bridge {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;
using testing::ManyRoas;
using ::testing::Not;
using ::testing::Optional;
using testing::ReadingOf;
using testing::SetOf;
using testutil::ReasonIs;
using testutil::StatusIs;

class ExportsTest : public ::testing::Test {
 protected:
  ExportsTest() {
    options_.guards.max_drop = 1;
    options_.when_stale = WhenStale::kStop;
    std::vector<SourceState> states(1);
    states[0].name = "source";
    states[0].expire = std::chrono::hours(1);
    cache_ = std::make_unique<Cache>(
        options_, SourceTable(std::move(states), {}), false, [this] { return ++session_; }, witness_, recorder_, state_,
        clock_,
        [this](const std::shared_ptr<const rtr::Snapshot>& snapshot, const Generation& generation) {
          snapshot == nullptr ? board_.Clear() : board_.Publish(snapshot, generation);
        },
        [this](const std::shared_ptr<const rtr::Snapshot>& snapshot, const Generation& generation,
               const std::shared_ptr<const vrp::Payloads>& payloads) { board_.Renew(snapshot, generation, payloads); });
    exports_ = std::make_unique<Exports>(
        "bridge-1", board_, *cache_,
        [this](std::string_view document) -> absl::StatusOr<std::string> {
          ++signed_;
          return "signed " + std::to_string(document.size());
        },
        clock_);
  }
  void Serve(vrp::Payloads payloads) { cache_->TakeGood(0, ReadingOf(std::move(payloads))); }
  std::int64_t now() const { return static_cast<std::int64_t>(clock_.NowNanos() / 1'000'000'000); }

  FakeClock clock_;
  CacheOptions options_;
  Witness witness_{"bridge-1"};
  testing::FakeRecorder recorder_;
  testing::FakeState state_;
  std::uint16_t session_ = 100;
  int signed_ = 0;
  Board board_;
  std::unique_ptr<Cache> cache_;
  std::unique_ptr<Exports> exports_;
};

TEST_F(ExportsTest, NothingIsThereBeforeAnythingIsLoaded) {
  EXPECT_THAT(exports_->Json(), ReasonIs("NO_DATA"));
  EXPECT_THAT(exports_->Signature(), ReasonIs("NO_DATA"));
  EXPECT_THAT(exports_->Delta(std::nullopt, 0), ReasonIs("NO_DATA"));
  exports_->Trim();
}

TEST_F(ExportsTest, TheDocumentIsMadeOnceForEachGeneration) {
  Serve(SetOf(ManyRoas(3)));
  ASSERT_OK_AND_ASSIGN(const DatedDocument first, exports_->Json());
  EXPECT_EQ(exports_->Json()->body, first.body);
  EXPECT_EQ(vrp::DecodeJson(*first.body)->payloads.vrps4.size(), 3U);
  EXPECT_EQ(first.modified, now());
  Serve(SetOf(ManyRoas(4)));
  ASSERT_OK_AND_ASSIGN(const DatedDocument second, exports_->Json());
  EXPECT_EQ(vrp::DecodeJson(*second.body)->payloads.vrps4.size(), 4U);
  EXPECT_NE(second.etag, first.etag);
  // Within one second there were two: who has the first must not be told that it is the newest.
  EXPECT_GT(second.modified, first.modified);
  EXPECT_EQ(vrp::DecodeJson(*first.body)->payloads.vrps4.size(), 3U);
}

TEST_F(ExportsTest, ASignatureIsMadeOnceAndIsThatOfTheNewestDocument) {
  Serve(SetOf(ManyRoas(3)));
  EXPECT_EQ(signed_, 0);
  ASSERT_OK_AND_ASSIGN(const Document signature, exports_->Signature());
  EXPECT_EQ(*signature, "signed " + std::to_string(exports_->Json()->body->size()));
  EXPECT_EQ(*exports_->Signature(), signature);
  EXPECT_EQ(signed_, 1);
  Serve(SetOf(ManyRoas(40)));
  EXPECT_EQ(**exports_->Signature(), "signed " + std::to_string(exports_->Json()->body->size()));
}

TEST_F(ExportsTest, WithoutAKeyThereIsNoSignature) {
  Serve(SetOf(ManyRoas(3)));
  EXPECT_THAT(Exports("", board_, *cache_, nullptr, clock_).Signature(), StatusIs(absl::StatusCode::kNotFound));
}

// A table that nobody changes for days is as good as its last reading: whoever has it from us must see that.
TEST_F(ExportsTest, ADocumentSaysOfWhenTheDataAre) {
  Serve(SetOf(ManyRoas(3)));
  const auto generated = [&] { return vrp::DecodeJson(*exports_->Json()->body)->generated; };
  EXPECT_THAT(generated(), Optional(now()));
  const std::int64_t read = now();
  clock_.Advance(minutes(9));
  cache_->TakeUnchanged(0);
  EXPECT_THAT(generated(), Optional(read));  // not made anew for that yet
  clock_.Advance(minutes(2));
  cache_->TakeUnchanged(0);
  EXPECT_THAT(generated(), Optional(now()));
  const std::int64_t last = now();
  clock_.Advance(minutes(30));
  cache_->TakeFailure(0, Unavailable("HTTP status 500"));
  EXPECT_THAT(generated(), Optional(last));
}

TEST_F(ExportsTest, TheOldestSourceCountsByItsOwnWord) {
  Reading reading = ReadingOf(SetOf(ManyRoas(3)));
  const std::int64_t built = now() - 7200;
  reading.built = static_cast<UnixNanos>(built) * 1'000'000'000;
  cache_->TakeGood(0, std::move(reading));
  EXPECT_THAT(vrp::DecodeJson(*exports_->Json()->body)->generated, Optional(built));
}

// The same set from a validator's next run: for routers there is nothing new, and for who has it from us all of it.
TEST_F(ExportsTest, ExpiriesThatAreRenewedAreToldWithoutANewGeneration) {
  const auto soon = static_cast<vrp::Expires>(now() + 3600);
  Serve(SetOf({{"10.0.0.0/8", 8, 1, soon}, {"11.0.0.0/8", 8, 1}}));
  EXPECT_THAT(*exports_->Json()->body, HasSubstr(std::to_string(soon)));
  Serve(SetOf({{"10.0.0.0/8", 8, 1, soon + 900}, {"11.0.0.0/8", 8, 1}}));
  EXPECT_THAT(*exports_->Json()->body, HasSubstr(std::to_string(soon + 900)));
  EXPECT_EQ(board_.view()->generation().number, 1U);
  EXPECT_EQ(board_.view()->renewals(), 1U);
  Serve(SetOf({{"10.0.0.0/8", 8, 1, soon + 900}, {"11.0.0.0/8", 8, 1}}));
  EXPECT_EQ(board_.view()->renewals(), 1U);
}

TEST_F(ExportsTest, WhatIsServedAgainExpiresAsItWasSaidLast) {
  const auto soon = static_cast<vrp::Expires>(now() + 7'200);
  Serve(SetOf({{"10.0.0.0/8", 8, 1, soon}}));
  Serve(SetOf({{"10.0.0.0/8", 8, 1, soon + 900}}));
  clock_.Advance(std::chrono::minutes(90));
  cache_->Tick();
  ASSERT_EQ(board_.view(), nullptr);
  cache_->TakeUnchanged(0);
  ASSERT_NE(board_.view(), nullptr);
  EXPECT_THAT(*exports_->Json()->body, HasSubstr(std::to_string(soon + 900)));
}

TEST_F(ExportsTest, DeltasAreThoseOfTheWindow) {
  Serve(SetOf({{"10.0.0.0/8", 8, 1}}));
  ASSERT_OK_AND_ASSIGN(const Document reset, exports_->Delta(std::nullopt, 0));
  EXPECT_THAT(*reset, HasSubstr("\"reset\": true"));
  EXPECT_THAT(*reset, HasSubstr("10.0.0.0/8"));
  const std::string session = exports_->SessionName(board_.view()->snapshot().session(2));
  const std::uint32_t serial = board_.view()->snapshot().serial(2);
  EXPECT_THAT(*reset, HasSubstr("\"session\": \"" + session + "\""));
  Serve(SetOf({{"11.0.0.0/8", 8, 1}}));
  Serve(SetOf({{"12.0.0.0/8", 8, 1}}));
  ASSERT_OK_AND_ASSIGN(const Document delta, exports_->Delta(session, serial));
  EXPECT_THAT(*delta, HasSubstr("\"reset\": false"));
  EXPECT_THAT(*delta, HasSubstr("\"fromSerial\": " + std::to_string(serial)));
  EXPECT_THAT(*delta, HasSubstr("\"serial\": " + std::to_string(serial + 2)));
  EXPECT_LT(delta->find("12.0.0.0/8"), delta->find("withdrawn"));
  EXPECT_GT(delta->find("10.0.0.0/8"), delta->find("withdrawn"));
  EXPECT_THAT(*delta, Not(HasSubstr("11.0.0.0/8")));
  EXPECT_EQ(exports_->Delta(session, serial).value(), delta);
  EXPECT_THAT(**exports_->Delta(session, serial + 2), HasSubstr("\"announced\": []"));
  for (const auto& [of, from] : {std::pair(std::string("other"), serial), {session, serial + 3}, {session, serial - 1}})
    EXPECT_THAT(**exports_->Delta(of, from), HasSubstr("\"reset\": true")) << of << " " << from;
}

TEST_F(ExportsTest, DeltasThatHaveNoRoomAreTheWholeSet) {
  Serve(SetOf({{"10.0.0.0/8", 8, 1}}));
  const std::string session = exports_->SessionName(board_.view()->snapshot().session(2));
  const std::uint32_t serial = board_.view()->snapshot().serial(2);
  for (std::uint32_t as = 2; as < 5; ++as) Serve(SetOf({{"10.0.0.0/8", 8, as}}));
  const std::size_t two = (*exports_->Delta(session, serial + 1))->size();
  Exports little("bridge-1", board_, *cache_, nullptr, clock_, two);
  EXPECT_THAT(**little.Delta(session, serial + 1), HasSubstr("\"reset\": false"));
  for (int i = 0; i < 2; ++i) EXPECT_THAT(**little.Delta(session, serial), HasSubstr("\"reset\": true"));
  EXPECT_THAT(**little.Delta(session, serial + 2), HasSubstr("\"reset\": false")) << "the last change";
  EXPECT_THAT(**little.Delta(session, serial + 3), HasSubstr("\"reset\": false")) << "nothing";
}

TEST_F(ExportsTest, ADeltaHasEveryKind) {
  Serve({});
  const std::string session = exports_->SessionName(board_.view()->snapshot().session(2));
  const std::uint32_t serial = board_.view()->snapshot().serial(2);
  vrp::Payloads aspa;
  aspa.aspas.push_back({.customer = 64496, .providers = {1, 2}});
  Serve(aspa);
  EXPECT_THAT(**exports_->Delta(session, serial), HasSubstr("\"providerAsns\": [\"AS1\", \"AS2\"]"));
  Serve({});
  const Document gone = *exports_->Delta(session, serial + 1);
  EXPECT_GT(gone->find("AS64496"), gone->find("withdrawn"));
}

TEST_F(ExportsTest, SessionsOfTwoBridgesDiffer) {
  const Exports other("bridge-2", board_, *cache_, nullptr, clock_);
  EXPECT_NE(exports_->SessionName(7), other.SessionName(7));
  EXPECT_NE(exports_->SessionName(7), exports_->SessionName(8));
}

TEST_F(ExportsTest, WhatIsOfTheLastGenerationIsFreed) {
  Serve(SetOf(ManyRoas(3)));
  std::weak_ptr<const std::string> json = exports_->Json()->body;
  std::weak_ptr<const std::string> reset = *exports_->Delta(std::nullopt, 0);
  exports_->Trim();
  EXPECT_FALSE(json.expired() || reset.expired());
  Serve(SetOf(ManyRoas(4)));
  exports_->Trim();
  EXPECT_TRUE(json.expired() && reset.expired());
}

}  // namespace
}  // namespace virp::rtr_bridge
