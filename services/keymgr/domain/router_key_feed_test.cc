#include "services/keymgr/domain/router_key_feed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "services/keymgr/domain/rpki_fixture.h"
#include "tests/testutil/status_matchers.h"

namespace virp::keymgr {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr milliseconds kNow{0};

class RouterKeyFeedTest : public testing::Test {
 protected:
  RouterKeyFeedTest() : feed_(*rpki_.ledger, {.commits = 3, .changes = 100}) {
    rpki_.Start();
    EXPECT_OK(rpki_.authority->SetUp(TestCall("setup")));
  }
  ~RouterKeyFeedTest() override { rpki_.ledger->Stop(); }  // before the feed goes, which listens to it
  std::string Issue(const crypto::P256PrivateKey& key, std::uint32_t asn = 64496) {
    const auto certificate = rpki_.Issue(key, asn, "edge-a", true);
    EXPECT_OK(certificate);
    return (*certificate)->id;
  }
  void Publish() { ASSERT_OK(rpki_.authority->Publish()); }
  RouterKeyNews Since(const RouterKeyNews& news) { return feed_.Wait(news.session, news.serial, kNow); }
  // AS and whether it is there, for what tests look at.
  static std::vector<std::pair<std::uint32_t, bool>> Told(const RouterKeyNews& news) {
    std::vector<std::pair<std::uint32_t, bool>> out;
    for (const RouterKeyChange& change : news.changes) out.emplace_back(change.key.asn, !change.withdrawn);
    return out;
  }

  RpkiFixture rpki_{RpkiFixture::kLater};
  RouterKeyFeed feed_;
  const crypto::P256PrivateKey one_ = crypto::P256PrivateKey::Generate(), two_ = crypto::P256PrivateKey::Generate();
};

TEST_F(RouterKeyFeedTest, TheWholeSetAndThenEachChange) {
  const RouterKeyNews none = feed_.All();
  EXPECT_TRUE(none.loaded);
  EXPECT_TRUE(none.restart);
  EXPECT_THAT(none.changes, IsEmpty());
  const std::string first = Issue(one_);
  EXPECT_EQ(Since(none).serial, none.serial) << "relying parties do not see it yet";
  Publish();
  const RouterKeyNews came = Since(none);
  EXPECT_FALSE(came.restart);
  EXPECT_GT(came.serial, none.serial);
  ASSERT_THAT(Told(came), ElementsAre(std::pair(64496u, true)));
  EXPECT_EQ(came.changes[0].key.spki, one_.public_key().spki());
  Issue(two_, 64497);
  ASSERT_OK(RevokeCertificate(*rpki_.ledger, first));
  // Revoked: withdrawn at once, not only when the CRL is out.
  EXPECT_THAT(Told(Since(came)), ElementsAre(std::pair(64496u, false)));
  Publish();
  const RouterKeyNews rolled = Since(came);
  EXPECT_THAT(Told(rolled), ElementsAre(std::pair(64496u, false), std::pair(64497u, true)));
  EXPECT_THAT(Told(feed_.All()), ElementsAre(std::pair(64497u, true))) << "who comes late";
  EXPECT_THAT(Since(rolled).changes, IsEmpty());
  EXPECT_FALSE(Since(rolled).restart);
  EXPECT_EQ(feed_.size(), 1u);
}

TEST_F(RouterKeyFeedTest, WhatCameAndWentBetweenIsNotTold) {
  const RouterKeyNews none = feed_.All();
  const std::string id = Issue(one_);
  Publish();
  ASSERT_OK(RevokeCertificate(*rpki_.ledger, id));
  const RouterKeyNews news = Since(none);
  EXPECT_GT(news.serial, none.serial);
  EXPECT_FALSE(news.restart);
  EXPECT_THAT(news.changes, IsEmpty());
}

TEST_F(RouterKeyFeedTest, ARenewedKeyIsTheSameKeyWithALaterEnd) {
  Issue(one_);
  Publish();
  const RouterKeyNews before = feed_.All();
  rpki_.ledger.clock.Advance(std::chrono::hours(24 * 340));
  Issue(one_);
  Publish();
  const RouterKeyNews renewed = Since(before);
  ASSERT_THAT(Told(renewed), ElementsAre(std::pair(64496u, true)));
  EXPECT_GT(renewed.changes[0].key.expires, before.changes[0].key.expires);
  // The old certificate's end is not the key's.
  rpki_.ledger.clock.Advance(std::chrono::hours(24 * 26));
  EXPECT_EQ(*rpki_.authority->ExpireEnded(), 1u);
  EXPECT_EQ(Since(renewed).serial, renewed.serial);
  rpki_.ledger.clock.Advance(std::chrono::hours(24 * 365));
  EXPECT_EQ(*rpki_.authority->ExpireEnded(), 1u);
  EXPECT_THAT(Told(Since(renewed)), ElementsAre(std::pair(64496u, false)));
}

TEST_F(RouterKeyFeedTest, WhoWasAwayTooLongGetsAll) {
  const RouterKeyNews none = feed_.All();
  for (std::uint32_t asn = 64496; asn < 64499; ++asn) {
    Issue(one_, asn);
    Publish();
  }
  EXPECT_FALSE(Since(none).restart) << "three are kept";
  const RouterKeyNews three = feed_.All();
  Issue(one_, 64499);
  Publish();
  EXPECT_TRUE(Since(none).restart);
  EXPECT_EQ(Since(none).changes.size(), 4u);
  EXPECT_THAT(Told(Since(three)), ElementsAre(std::pair(64499u, true)));
  // Another manager's serial, and one that is ahead.
  EXPECT_TRUE(feed_.Wait("another", three.serial, kNow).restart);
  EXPECT_TRUE(feed_.Wait(three.session, three.serial + 1'000, kNow).restart);
}

TEST_F(RouterKeyFeedTest, AManagerThatDoesNotLeadSaysNothing) {
  Issue(one_);
  Publish();
  const RouterKeyNews before = feed_.All();
  rpki_.ledger.store.TakeOver("other.example.net:1");
  ASSERT_TRUE(rpki_.ledger->WaitActive(false, std::chrono::steady_clock::now() + std::chrono::seconds(30)));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (feed_.All().loaded && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_FALSE(feed_.All().loaded);
  EXPECT_THAT(feed_.All().changes, IsEmpty());
  EXPECT_FALSE(Since(before).loaded) << "no key is withdrawn because of that";
  rpki_.ledger.store.GiveUp();
  while (!feed_.All().loaded && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  // Nothing had changed, and it is the same ledger: whoever watched before goes on.
  const RouterKeyNews after = Since(before);
  EXPECT_TRUE(after.loaded);
  EXPECT_FALSE(after.restart);
  EXPECT_EQ(after.serial, before.serial);
}

TEST_F(RouterKeyFeedTest, SerialsGrowOverRestarts) {
  Issue(one_);
  Publish();
  const RouterKeyNews before = feed_.All();
  // Another process on the same store.
  rpki_.ledger->Stop();
  auto again = *LedgerEngine::Make(rpki_.ledger.store, {TypeOf<AuthorityRecord>(), TypeOf<RouterCertificateRecord>()},
                                   TestLedgerOptions(), rpki_.ledger.clock);
  RouterKeyFeed feed(*again);
  EXPECT_FALSE(feed.All().loaded);
  again->Start();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  ASSERT_TRUE(again->WaitActive(true, deadline));
  while (!feed.All().loaded && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  const RouterKeyNews after = feed.Wait(before.session, before.serial, kNow);
  EXPECT_GE(after.serial, before.serial);
  EXPECT_TRUE(after.restart) << "what changed since is not kept over restarts";
  EXPECT_EQ(after.changes, before.changes);
  again->Stop();
}

TEST_F(RouterKeyFeedTest, WaitingEndsWithNewsOrWhenItIsWoken) {
  const RouterKeyNews none = feed_.All();
  RouterKeyNews got;
  std::thread waiter([&] { got = feed_.Wait(none.session, none.serial, milliseconds(60'000)); });
  Issue(one_);
  Publish();
  waiter.join();
  EXPECT_THAT(Told(got), ElementsAre(std::pair(64496u, true)));
  std::thread woken([&] { got = feed_.Wait(got.session, got.serial, milliseconds(60'000)); });
  // It may not wait yet when it is woken first.
  std::atomic<bool> done{false};
  std::thread waker([&] {
    while (!done) feed_.WakeAll();
  });
  woken.join();
  done = true;
  waker.join();
  EXPECT_THAT(got.changes, IsEmpty());
}

}  // namespace
}  // namespace virp::keymgr
