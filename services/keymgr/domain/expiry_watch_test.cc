#include "services/keymgr/domain/expiry_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "lib/base/bytes.h"
#include "services/keymgr/domain/expiry_calendar.h"
#include "services/keymgr/domain/rpki_fixture.h"
#include "tests/testutil/status_matchers.h"

namespace virp::keymgr {
namespace {

using std::chrono::hours;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testutil::IsOkAndHolds;
using testutil::StatusIs;

constexpr UnixNanos kDay = 86'400'000'000'000ULL;

class Listener final : public NoticeRecipient {
 public:
  explicit Listener(std::string name) : name_(std::move(name)) {}
  std::string_view name() const override { return name_; }
  absl::Status Tell(const ExpiryNotice& notice) override {
    RETURN_IF_ERROR(fails);
    heard.push_back(notice);
    return absl::OkStatus();
  }
  std::vector<int> Days() {
    std::vector<int> out;
    for (const ExpiryNotice& notice : heard) out.push_back(notice.days);
    heard.clear();
    return out;
  }
  absl::Status fails;
  std::vector<ExpiryNotice> heard;

 private:
  const std::string name_;
};

class ExpiryWatchTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_OK(rpki_.authority->SetUp(TestCall("setup"))); }
  ExpiryWatch Watch() { return ExpiryWatch(*rpki_.ledger, rpki_.ledger.clock, {&log_, &hook_}, "keymgr-1"); }
  RpkiAuthority::CertificatePtr Issue(const crypto::P256PrivateKey& key) {
    const auto certificate = rpki_.Issue(key, 64496, "edge-a", true);
    EXPECT_OK(certificate);
    EXPECT_OK(rpki_.authority->Publish());
    return *certificate;
  }
  void Advance(int days) { rpki_.ledger.clock.Advance(hours(24 * days)); }

  RpkiFixture rpki_;
  Listener log_{"log"}, hook_{"webhook"};
  const crypto::P256PrivateKey key_ = crypto::P256PrivateKey::Generate(), next_ = crypto::P256PrivateKey::Generate();
};

TEST(WarningAt, TheLastThresholdThatWasPassed) {
  const UnixNanos end = 1000 * kDay;
  EXPECT_EQ(WarningAt(end, end - 60 * kDay - 1), std::nullopt);
  EXPECT_EQ(WarningAt(end, end - 60 * kDay), 60);
  EXPECT_EQ(WarningAt(end, end - 31 * kDay), 60);
  EXPECT_EQ(WarningAt(end, end - 2 * kDay), 3);
  EXPECT_EQ(WarningAt(end, end - 1), 1);
  EXPECT_EQ(WarningAt(end, end), 0);
  EXPECT_EQ(WarningAt(end, end + 9 * kDay), 0);
}

TEST_F(ExpiryWatchTest, EverybodyIsToldOnceForEachThreshold) {
  Issue(key_);
  Advance(300);
  std::vector<int> days;
  for (int i = 0; i < 70 * 4; ++i) {
    ExpiryWatch watch = Watch();  // each time after a restart
    EXPECT_OK(watch.Round().status());
    for (const ExpiryNotice& notice : log_.heard) {
      EXPECT_EQ(notice.certificate.router, "edge-a");
      EXPECT_EQ(notice.certificate.asn, 64496u);
      days.push_back(notice.days);
    }
    EXPECT_EQ(log_.heard.size(), hook_.heard.size());
    log_.heard.clear();
    hook_.heard.clear();
    rpki_.ledger.clock.Advance(hours(6));
  }
  EXPECT_THAT(days, ElementsAre(60, 30, 14, 7, 3, 1, 0));
  const auto audit = rpki_.ledger.store.audit();
  EXPECT_EQ(std::count_if(audit.begin(), audit.end(), [](const AuditRow& row) { return row.event == "expiry_told"; }),
            7);
}

TEST_F(ExpiryWatchTest, WhatWasSaidWhileTheClockWasAheadSilencesNoWarning) {
  Issue(key_);
  Advance(366);
  EXPECT_OK(Watch().Round());
  EXPECT_THAT(log_.Days(), ElementsAre(0));
  rpki_.ledger.clock.SetWall(rpki_.ledger.clock.NowNanos() - 20 * kDay);
  EXPECT_OK(Watch().Round());
  EXPECT_THAT(log_.Days(), ElementsAre(30));
}

TEST_F(ExpiryWatchTest, AManagerThatWasDownSaysTheLastOneOnly) {
  Issue(key_);
  Advance(362);
  ExpiryWatch watch = Watch();
  EXPECT_THAT(watch.Round(), IsOkAndHolds(2u));
  EXPECT_THAT(log_.Days(), ElementsAre(3));
  EXPECT_THAT(watch.Round(), IsOkAndHolds(0u));
}

TEST_F(ExpiryWatchTest, WhoCouldNotBeToldIsToldLater) {
  Issue(key_);
  Advance(340);
  ExpiryWatch watch = Watch();
  hook_.fails = Unavailable("no answer");
  EXPECT_THAT(watch.Round(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("webhook: no answer")));
  EXPECT_FALSE(watch.Round().ok());
  EXPECT_THAT(log_.Days(), ElementsAre(30)) << "the others hear it once all the same";
  EXPECT_EQ(watch.failed(), 2u);
  hook_.fails = absl::OkStatus();
  EXPECT_THAT(watch.Round(), IsOkAndHolds(1u));
  EXPECT_THAT(hook_.Days(), ElementsAre(30));
  EXPECT_THAT(log_.Days(), IsEmpty());
  EXPECT_EQ(watch.told(), 2u);
}

TEST_F(ExpiryWatchTest, ACertificateThatWasReplacedOrRevokedTroublesNobody) {
  Issue(key_);
  Advance(310);
  ExpiryWatch watch = Watch();
  EXPECT_THAT(watch.Round(), IsOkAndHolds(2u));
  EXPECT_FALSE(log_.heard[0].certificate.has_other);
  EXPECT_THAT(Advice(log_.heard[0].certificate), HasSubstr("renew it"));
  log_.Days();
  Issue(key_);  // renewed
  Advance(30);
  EXPECT_THAT(watch.Round(), IsOkAndHolds(0u));
  EXPECT_THAT(log_.Days(), IsEmpty());
  EXPECT_EQ(rpki_.ledger->snapshot()->Count(ExpiryNoticeRecord::kKind), 0u) << "nothing is kept for it";
  // A next key's certificate ends sooner: less urgent, since the router has another.
  const auto next = Issue(next_);
  Advance(330);
  EXPECT_THAT(watch.Round(), IsOkAndHolds(4u));
  ASSERT_EQ(log_.heard.size(), 2u);
  EXPECT_TRUE(log_.heard[1].certificate.has_other || log_.heard[0].certificate.has_other);
  log_.Days();
  ASSERT_OK(RevokeCertificate(*rpki_.ledger, next->id));
  Advance(10);
  EXPECT_OK(watch.Round());
  for (const ExpiryNotice& notice : log_.heard) EXPECT_NE(notice.certificate.id, next->id);
}

TEST_F(ExpiryWatchTest, AnAcknowledgedWarningIsQuietUntilTheNextThreshold) {
  const std::string id = "router_certificate/" + Issue(key_)->id;
  ExpiryWatch watch = Watch();
  EXPECT_THAT(watch.Acknowledge(TestCall("a-1"), id), testutil::ReasonIs("NOT_DUE"));
  EXPECT_THAT(watch.Acknowledge(TestCall("a-2"), id + "x"), StatusIs(absl::StatusCode::kNotFound));
  Advance(340);
  hook_.fails = Unavailable("no answer");
  EXPECT_FALSE(watch.Round().ok());
  EXPECT_THAT(log_.Days(), ElementsAre(30));
  Call call = TestCall("a-3", "spiffe://example.net/operator/noc-2");
  call.reason = "ticket 4711";
  ASSERT_OK_AND_ASSIGN(const auto taken, watch.Acknowledge(call, id));
  ASSERT_TRUE(taken.acknowledged.has_value());
  EXPECT_EQ(taken.acknowledged->by, call.actor);
  EXPECT_EQ(taken.acknowledged->why, "ticket 4711");
  EXPECT_EQ(taken.acknowledged->at, rpki_.ledger.clock.NowNanos());
  hook_.fails = absl::OkStatus();
  EXPECT_THAT(watch.Round(), IsOkAndHolds(0u)) << "somebody has it in hand: the other recipient need not be told";
  ASSERT_OK_AND_ASSIGN(const auto again, watch.Acknowledge(call, id));
  EXPECT_EQ(again.acknowledged, taken.acknowledged) << "a repeat";
  const auto soon = watch.Expiring(~UnixNanos{0}, 1);
  ASSERT_EQ(soon.size(), 1u);
  EXPECT_EQ(soon[0].acknowledged, taken.acknowledged);
  // A restart knows it, too.
  for (const Row& row : rpki_.ledger.store.rows()) {
    if (row.kind != ExpiryNoticeRecord::kKind) continue;
    const auto read = ExpiryNoticeRecord::FromRow(row);
    ASSERT_OK(read);
    EXPECT_EQ((*read)->ToRow().body, row.body);
  }
  Advance(12);
  EXPECT_THAT(watch.Round(), IsOkAndHolds(2u));
  EXPECT_THAT(log_.Days(), ElementsAre(14));
  EXPECT_FALSE(watch.Expiring(~UnixNanos{0}, 1)[0].acknowledged.has_value()) << "the next warning is nobody's yet";
  const auto audit = rpki_.ledger.store.audit();
  EXPECT_EQ(
      std::count_if(audit.begin(), audit.end(), [](const AuditRow& row) { return row.event == "expiry_acknowledged"; }),
      1);
}

TEST_F(ExpiryWatchTest, CertificatesOfOutsideAuthoritiesAreWatchedAlike) {
  const UnixNanos end = rpki_.ledger.clock.NowNanos() + 10 * kDay;
  std::vector<ExpiringCertificate> outside;
  ExpiryWatch watch(
      *rpki_.ledger, rpki_.ledger.clock, {&log_}, "keymgr-1",
      [](const Snapshot&, const RouterCertificateRecord&) { return true; },
      [&](const Snapshot&, UnixNanos now) {
        for (ExpiringCertificate& one : outside) one.is_valid = one.not_after > now;
        return outside;
      });
  outside = {{.kind = std::string(kImportedCertificate),
              .id = "edge-b/64497/1",
              .router = "edge-b",
              .asn = 64497,
              .not_after = end}};
  EXPECT_THAT(watch.Round(), IsOkAndHolds(1u));
  ASSERT_EQ(log_.heard.size(), 1u);
  EXPECT_EQ(log_.heard[0].days, 14);
  EXPECT_THAT(Subject(log_.heard[0]), HasSubstr("router edge-b for AS 64497"));
  EXPECT_THAT(Advice(log_.heard[0].certificate), HasSubstr("outside authority"));
  EXPECT_EQ(watch.coverage().covered, 1u);
  EXPECT_EQ(watch.coverage().soonest, end);
  Advance(11);
  EXPECT_EQ(watch.coverage().uncovered, 1u);
  // It was replaced.
  outside.clear();
  EXPECT_THAT(watch.Round(), IsOkAndHolds(0u));
  EXPECT_EQ(rpki_.ledger->snapshot()->Count(ExpiryNoticeRecord::kKind), 0u);
}

TEST_F(ExpiryWatchTest, TheInvariant) {
  ExpiryWatch watch = Watch();
  EXPECT_EQ(watch.coverage().uncovered, 0u);
  ASSERT_OK(rpki_.Issue(key_, 64496, "edge-a"));
  EXPECT_THAT(watch.coverage().missing, ElementsAre("edge-a AS64496")) << "issued is not published";
  ASSERT_OK(rpki_.authority->Publish());
  EXPECT_EQ(watch.coverage().covered, 1u);
  EXPECT_EQ(watch.coverage().uncovered, 0u);
  EXPECT_EQ(watch.coverage().soonest, rpki_.ledger.clock.NowNanos() / 1'000'000'000 * 1'000'000'000 + 365 * kDay);
  Advance(366);
  EXPECT_EQ(watch.coverage().uncovered, 1u);
  EXPECT_EQ(watch.coverage().soonest, 0u);
  Issue(next_);
  EXPECT_EQ(watch.coverage().uncovered, 0u);
  // Keys that nobody needs do not count.
  ExpiryWatch idle(*rpki_.ledger, rpki_.ledger.clock, {}, "keymgr-1",
                   [](const Snapshot&, const RouterCertificateRecord&) { return false; });
  EXPECT_EQ(idle.coverage().covered, 0u);
}

TEST_F(ExpiryWatchTest, AuthoritiesAreWatchedToo) {
  ExpiryWatch watch = Watch();
  Advance(3650 - 59);
  EXPECT_THAT(watch.Round(), IsOkAndHolds(4u));
  EXPECT_THAT(log_.Days(), ElementsAre(60, 60));
  EXPECT_THAT(Subject(hook_.heard[0]), HasSubstr("RPKI authority ca ends at"));
  EXPECT_NE(hook_.heard[0].key(), hook_.heard[1].key());
}

TEST_F(ExpiryWatchTest, Records) {
  ExpiryNoticeRecord record;
  record.id = "router_certificate/00ff/64496/01";
  record.not_after = 12;
  record.told = {{"log", 60}, {"webhook", 0}};
  const Row row = record.ToRow();
  const auto back = ExpiryNoticeRecord::FromRow(row);
  ASSERT_OK(back.status());
  EXPECT_EQ((*back)->ToRow().body, row.body);
  for (const char* const wrong : {"", "{}", R"({"format":2,"not_after_ns":1,"told":{}})", R"({"format":1,"told":{}})",
                                  R"({"format":1,"not_after_ns":1,"told":{"log":-1}})"}) {
    Row broken = row;
    broken.body = wrong;
    EXPECT_FALSE(ExpiryNoticeRecord::FromRow(broken).ok()) << wrong;
  }
}

TEST_F(ExpiryWatchTest, ACalendar) {
  Issue(key_);
  ExpiryWatch watch = Watch();
  const auto all = watch.Expiring(~UnixNanos{0}, 100);
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].router, "edge-a");
  EXPECT_EQ(watch.Expiring(rpki_.ledger.clock.NowNanos() + 400 * kDay, 100).size(), 1u);
  EXPECT_EQ(watch.Expiring(~UnixNanos{0}, 2).size(), 2u);
  const std::string text = ExpiryCalendar(all, 1'770'000'000'000'000'000);
  EXPECT_TRUE(text.starts_with("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n"));
  EXPECT_TRUE(text.ends_with("END:VEVENT\r\nEND:VCALENDAR\r\n"));
  EXPECT_THAT(text, HasSubstr("DTSTAMP:20260202T024000Z\r\n"));
  EXPECT_THAT(text, HasSubstr("SUMMARY:BGPsec certificate of edge-a for AS 64496 ends\r\n"));
  EXPECT_THAT(text, HasSubstr("TRIGGER:-P60D\r\n"));
  EXPECT_THAT(text, HasSubstr("\\, or make")) << "commas are escaped";
  std::size_t events = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find("\r\n", at);
    ASSERT_NE(end, std::string::npos);
    EXPECT_LE(end - at, 75u);
    events += text.compare(at, 12, "BEGIN:VEVENT") == 0 ? 1 : 0;
    at = end + 2;
  }
  EXPECT_EQ(events, 3u);
}

}  // namespace
}  // namespace virp::keymgr
