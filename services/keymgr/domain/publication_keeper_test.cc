#include "services/keymgr/domain/publication_keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/keymgr/domain/rpki_fixture.h"
#include "tests/testutil/status_matchers.h"

namespace virp::keymgr {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testutil::StatusIs;

class PublicationKeeperTest : public testing::Test {
 protected:
  PublicationKeeper Keeper() {
    return PublicationKeeper(*rpki_.authority, rpki_.one_time_keys, rpki_.ledger.clock, [this] { return open_; });
  }
  // Rounds until there is nothing to do.
  static absl::Status Work(PublicationKeeper& keeper) {
    while (true) {
      ASSIGN_OR_RETURN(const bool more, keeper.Round());
      if (!more) return absl::OkStatus();
    }
  }
  void SetUpAuthority() { ASSERT_OK(rpki_.authority->SetUp(TestCall("setup"))); }
  void Advance(std::chrono::nanoseconds by) { rpki_.ledger.clock.Advance(by); }
  std::uint64_t out() const { return rpki_.target.number; }

  RpkiFixture rpki_;
  bool open_ = true;
  const crypto::P256PrivateKey key_ = crypto::P256PrivateKey::Generate();
};

// A clock that was years ahead for a while takes nothing away for good.
TEST_F(PublicationKeeperTest, AClockThatWasWrongIsMadeGood) {
  PublicationKeeper keeper = Keeper();
  SetUpAuthority();
  ASSERT_OK(rpki_.Issue(key_, 64496, "edge-a"));
  ASSERT_OK(Work(keeper));
  ASSERT_EQ(rpki_.authority->RouterKeys().size(), 1U);
  const UnixNanos right = rpki_.ledger.clock.NowNanos();
  Advance(hours(24 * 500));
  ASSERT_OK(Work(keeper));
  EXPECT_TRUE(rpki_.authority->RouterKeys().empty());
  EXPECT_EQ(rpki_.target.tree.size(), 6U) << "without the certificate";
  const std::uint64_t wrong = out();

  rpki_.ledger.clock.SetWall(right);
  Advance(seconds(60));
  ASSERT_OK(Work(keeper));
  EXPECT_GT(out(), wrong);
  EXPECT_EQ(rpki_.authority->RouterKeys().size(), 1U);
  EXPECT_EQ(rpki_.target.tree.size(), 7U);
  EXPECT_EQ(rpki_.authority->PublicationDue().value_or(true), false);
}

TEST_F(PublicationKeeperTest, DoesNothingBeforeThereIsAnAuthority) {
  PublicationKeeper keeper = Keeper();
  ASSERT_OK(Work(keeper));
  EXPECT_EQ(out(), 0u);
  EXPECT_EQ(rpki_.one_time_keys.size(), 0u);
  SetUpAuthority();
  open_ = false;
  ASSERT_OK(Work(keeper));
  EXPECT_EQ(out(), 0u) << "who stands by, or is sealed, publishes nothing";
  open_ = true;
  ASSERT_OK(Work(keeper));
  EXPECT_EQ(out(), 1u);
  EXPECT_EQ(rpki_.one_time_keys.size(), 4u) << "the stock is filled";
}

TEST_F(PublicationKeeperTest, PublishesWhatCameTogether) {
  SetUpAuthority();
  PublicationKeeper keeper = Keeper();
  ASSERT_OK(Work(keeper));
  const std::size_t commits = rpki_.ledger.store.commits();
  ASSERT_OK(Work(keeper));
  EXPECT_EQ(rpki_.ledger.store.commits(), commits) << "nothing is due";
  for (std::uint32_t asn = 64496; asn < 64500; ++asn) {
    ASSERT_OK(rpki_.Issue(key_, asn, "edge-a"));
    ASSERT_OK(Work(keeper));
  }
  EXPECT_EQ(out(), 1u) << "too soon";
  Advance(seconds(5));
  ASSERT_OK(Work(keeper));
  EXPECT_EQ(out(), 2u);
  EXPECT_EQ(rpki_.authority->State().certificates, 4u);
  // Ahead of the end of CRL and manifest.
  Advance(hours(15));
  ASSERT_OK(Work(keeper));
  EXPECT_EQ(out(), 2u);
  Advance(hours(2));
  ASSERT_OK(Work(keeper));
  EXPECT_EQ(out(), 3u);
  EXPECT_EQ(keeper.health().published, 3u);
  EXPECT_EQ(keeper.health().problem, "");
}

TEST_F(PublicationKeeperTest, TriesAgainEverLater) {
  SetUpAuthority();
  PublicationKeeper keeper = Keeper();
  ASSERT_OK(Work(keeper));
  rpki_.target.fails = Unavailable("disk is full");
  Advance(hours(17));
  EXPECT_THAT(Work(keeper), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(keeper.health().problem, "disk is full");
  EXPECT_EQ(keeper.health().failed, 1u);
  ASSERT_OK(Work(keeper)) << "it waits";
  EXPECT_EQ(keeper.health().problem, "disk is full") << "and does not forget why";
  for (const int wait : {1, 2, 4, 8, 16, 32, 60, 60}) {
    Advance(seconds(wait) - milliseconds(1));
    ASSERT_OK(Work(keeper));
    Advance(milliseconds(1));
    EXPECT_FALSE(Work(keeper).ok()) << wait;
  }
  EXPECT_OK(keeper.Ready());
  Advance(hours(7));
  EXPECT_THAT(keeper.Ready(), StatusIs(absl::StatusCode::kUnavailable)) << "stale";
  rpki_.target.fails = absl::OkStatus();
  ASSERT_OK(Work(keeper));
  EXPECT_OK(keeper.Ready());
  EXPECT_EQ(keeper.health().problem, "");
  EXPECT_EQ(keeper.health().failed, 9u);
}

TEST_F(PublicationKeeperTest, WhatEndedLeavesThePublication) {
  SetUpAuthority();
  PublicationKeeper keeper = Keeper();
  ASSERT_OK(rpki_.Issue(key_, 64496, "edge-a"));
  ASSERT_OK(Work(keeper));
  EXPECT_EQ(rpki_.authority->State().certificates, 1u);
  Advance(hours(24 * 365));
  ASSERT_OK(Work(keeper));
  EXPECT_EQ(rpki_.authority->State().certificates, 0u);
  EXPECT_EQ(out(), 2u);
  // Our own chain ends: it is said, each time, until something is done.
  Advance(hours(24 * 365 * 9 + 24 * 30));
  EXPECT_FALSE(Work(keeper).ok());
  EXPECT_NE(keeper.health().problem, "");
}

TEST_F(PublicationKeeperTest, AnotherProcessGoesOnWhereThisOneDied) {
  SetUpAuthority();
  ASSERT_OK_AND_ASSIGN(const auto certificate, rpki_.Issue(key_, 64496, "edge-a"));
  // Each step fails once, as if the process ended there; the next process finishes.
  const auto finish = [&] {
    PublicationKeeper next = Keeper();
    EXPECT_OK(Work(next));
    EXPECT_EQ((*rpki_.authority->Get(certificate->id))->state, CertificateState::kPublished);
    EXPECT_EQ(rpki_.authority->State().number, out());
  };
  PublicationKeeper first = Keeper();
  rpki_.ledger.store.FailNextCommit(Unavailable("killed"));
  EXPECT_FALSE(first.Round().ok());
  EXPECT_EQ(out(), 0u);
  finish();
  rpki_.target.fails = Unavailable("killed");
  Advance(hours(17));
  EXPECT_FALSE(first.Round().ok());
  rpki_.target.fails = absl::OkStatus();
  finish();
  rpki_.target.fails_after = Unavailable("killed");
  Advance(hours(17));
  EXPECT_FALSE(Keeper().Round().ok());
  rpki_.target.fails_after = absl::OkStatus();
  finish();
}

}  // namespace
}  // namespace virp::keymgr
