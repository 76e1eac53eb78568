#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "lib/base/file.h"
#include "services/keymgr/outlets/folder_target.h"
#include "services/keymgr/outlets/notices.h"
#include "tests/testutil/rpki_lab.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"

namespace virp::keymgr {
namespace {

using testing::HasSubstr;
using testutil::IsOkAndHolds;
using testutil::ReasonIs;

TEST(FolderTarget, OneFolderForManagersThatShareALedger) {
  const testutil::TempDir dir;
  const testutil::RpkiLab lab;
  const PublicationTarget::Tree old_tree{{"ta.cer", lab.ta}, {"ca/ca.crl", "old"}},
      new_tree{{"ta.cer", lab.ta}, {"ca/ca.crl", "new"}};
  FolderTarget one(dir.File("pub")), other(dir.File("pub"));
  EXPECT_THAT(one.Number(), IsOkAndHolds(0u));
  ASSERT_OK(one.Publish(old_tree, 3));
  ASSERT_OK(other.Publish(new_tree, 5));
  EXPECT_THAT(one.Number(), IsOkAndHolds(5u));
  EXPECT_THAT(one.Publish(old_tree, 4), ReasonIs("NEWER_PUBLICATION"));
  EXPECT_THAT(ReadFile(dir.File("pub/current/ca/ca.crl")), IsOkAndHolds(std::string("new")));
}

TEST(FolderTarget, NotTheFolderOfAnotherTrustAnchor) {
  const testutil::TempDir dir;
  const testutil::RpkiLab lab;
  FolderTarget target(dir.File("pub"));
  ASSERT_OK(target.Publish({{"ta.cer", lab.ta}}, 1));
  EXPECT_THAT(target.Publish({{"ta.cer", lab.ca}}, 2), ReasonIs("ANOTHER_AUTHORITY"));
  EXPECT_FALSE(target.Publish({{"x", "y"}}, 2).ok());
  EXPECT_THAT(target.Number(), IsOkAndHolds(1u));
}

TEST(FolderTarget, AFolderThatComesLater) {
  const testutil::TempDir dir;
  ASSERT_OK(ReplaceFile(dir.File("pub"), "a file is in its place"));
  FolderTarget target(dir.File("pub"));
  EXPECT_FALSE(target.Number().ok());
  std::filesystem::remove(dir.File("pub"));
  EXPECT_THAT(target.Number(), IsOkAndHolds(0u));
  FolderTarget none("");
  EXPECT_THAT(none.Number(), ReasonIs("NOT_CONFIGURED"));
  EXPECT_THAT(none.Publish({}, 1), ReasonIs("NOT_CONFIGURED"));
}

ExpiryNotice Notice() {
  return {{"router_certificate", "00ff/64496/01", "edge-a", 64496, 1'770'000'000'000'000'000, true}, 7};
}

TEST(Notices, Json) {
  const auto parsed = nlohmann::json::parse(NoticeJson(Notice()));
  EXPECT_EQ(parsed["event"], "certificate_ends");
  EXPECT_EQ(parsed["router"], "edge-a");
  EXPECT_EQ(parsed["asn"], 64496);
  EXPECT_EQ(parsed["days"], 7);
  EXPECT_EQ(parsed["not_after"], "2026-02-02T02:40:00Z");
  EXPECT_EQ(parsed["has_other"], true);
  EXPECT_THAT(parsed["subject"], HasSubstr("AS 64496 ends at 2026-02-02T02:40:00Z, in less than 7 days"));
  ExpiryNotice authority{{"rpki_authority", "ca", "", 0, 1'770'000'000'000'000'000, false}, 0};
  const auto other = nlohmann::json::parse(NoticeJson(authority));
  EXPECT_FALSE(other.contains("router"));
  EXPECT_THAT(other["subject"], HasSubstr("has ended"));
  LogRecipient log;
  EXPECT_OK(log.Tell(authority));
}

TEST(Notices, TheCalendarIsReplacedWhenItChanges) {
  const testutil::TempDir dir;
  CalendarFile file(dir.File("expiry.ics"));
  std::vector<ExpiringCertificate> all{Notice().certificate};
  ASSERT_OK(file.Write(all, 1'700'000'000'000'000'000));
  const auto first = ReadFile(dir.File("expiry.ics"));
  EXPECT_THAT(*first, HasSubstr("DTSTAMP:20231114T221320Z"));
  ASSERT_OK(file.Write(all, 1'760'000'000'000'000'000));
  EXPECT_EQ(*ReadFile(dir.File("expiry.ics")), *first);
  all[0].has_other = false;
  ASSERT_OK(file.Write(all, 1'760'000'000'000'000'000));
  EXPECT_NE(*ReadFile(dir.File("expiry.ics")), *first);
  EXPECT_OK(CalendarFile("").Write(all, 1));
  EXPECT_FALSE(CalendarFile(dir.File("no/such/folder")).Write(all, 1).ok());
}

}  // namespace
}  // namespace virp::keymgr
