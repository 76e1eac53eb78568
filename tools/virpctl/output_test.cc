#include "tools/virpctl/output.h"

#include <gtest/gtest.h>

namespace virp::virpctl {
namespace {

TEST(PrintableTest, NothingThatWasObservedSteersATerminal) {
  EXPECT_EQ(Printable("a\x1b[2Jb\n\x7f\t"), "a?[2Jb???");
  EXPECT_EQ(Printable("\xc2\x9b"
                      "31m \xc3\xa9"),
            "??31m \xc3\xa9");
  EXPECT_EQ(Printable("abcdef", 3), "abc...");
}

TEST(TableTest, ColumnsAreAsWideAsTheirWidestCell) {
  Table table({"A", "LONG NAME", "Z"});
  table.Add({"long cell", "b", "last one"});
  table.Add({"x", "\x1b", ""});
  EXPECT_EQ(table.ToString(),
            "A          LONG NAME  Z\n"
            "long cell  b          last one\n"
            "x          ?          \n");
}

TEST(TimeTextTest, Rfc3339InUtc) {
  EXPECT_EQ(TimeText(UnixNanos{0}), "-");
  EXPECT_EQ(TimeText(UnixNanos{1'750'000'000'123'456'789}), "2025-06-15T15:06:40.123Z");
  google::protobuf::Timestamp time;
  time.set_seconds(-1);
  EXPECT_EQ(TimeText(time), "out of range");
}

TEST(ShortTest, CutsOnlyThatPrefix) {
  EXPECT_EQ(Short("VERDICT_STALE", "VERDICT_"), "STALE");
  EXPECT_EQ(Short("OTHER", "VERDICT_"), "OTHER");
}

}  // namespace
}  // namespace virp::virpctl
