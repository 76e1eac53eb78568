#include "lib/store/migration.h"

#include <gtest/gtest.h>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "sql/store_test_schema.h"

namespace virp::store {
namespace {

constexpr Migration kKnown[] = {{1, "initial", "aa", ""}, {2, "more", "bb", ""}};

TEST(MigrationTest, WhatIsMissingIsPending) {
  EXPECT_EQ(PendingMigrations(kKnown, {})->size(), 2U);
  const AppliedMigration first[] = {{1, "initial", "aa"}};
  const auto pending = PendingMigrations(kKnown, first);
  ASSERT_TRUE(pending.ok());
  ASSERT_EQ(pending->size(), 1U);
  EXPECT_EQ((*pending)[0].number, 2);
  EXPECT_EQ(GetReason(CheckComplete(kKnown, first)), "SCHEMA_TOO_OLD");
  const AppliedMigration all[] = {{1, "initial", "aa"}, {2, "more", "bb"}};
  EXPECT_TRUE(CheckComplete(kKnown, all).ok());
}

TEST(MigrationTest, ANewerOrOtherSchemaIsRefused) {
  const AppliedMigration newer[] = {{1, "initial", "aa"}, {2, "more", "bb"}, {3, "future", "cc"}};
  EXPECT_EQ(GetReason(PendingMigrations(kKnown, newer).status()), "SCHEMA_TOO_NEW");
  const AppliedMigration edited[] = {{1, "initial", "a0"}};
  EXPECT_EQ(GetReason(PendingMigrations(kKnown, edited).status()), "SCHEMA_CHANGED");
  const AppliedMigration hole[] = {{2, "more", "bb"}};
  EXPECT_EQ(GetReason(PendingMigrations(kKnown, hole).status()), "SCHEMA_CHANGED");
}

TEST(MigrationTest, OurOwnListHasNoHoles) {
  const Migration holes[] = {{1, "initial", "aa", ""}, {3, "more", "bb", ""}};
  EXPECT_EQ(PendingMigrations(holes, {}).status().code(), absl::StatusCode::kInternal);
}

TEST(MigrationTest, FilesAreEmbeddedAsTheyAre) {
  const auto files = schema::StoreTestSchema();
  ASSERT_EQ(files.size(), 2U);
  EXPECT_EQ(files[0].number, 1);
  EXPECT_EQ(files[0].name, "initial");
  EXPECT_EQ(files[0].sha256.size(), 64U);
  EXPECT_NE(files[0].sql.find(R"(back\slash ; and ''quote'')"), std::string_view::npos);
  EXPECT_NE(files[0].sql.find(R"("odd;[name]")"), std::string_view::npos);
}

}  // namespace
}  // namespace virp::store
