#include "tools/virpctl/output.h"

#include <gtest/gtest.h>

#include "tools/virpctl/router_tables.h"

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

TEST(RouterTablesTest, HeadingsSteerNoTerminal) {
  keymgr::v1::RouterKeySlot slot;
  slot.set_slot("edge-a\x1b[2J/64496");
  slot.set_usage("x\x1b");
  slot.add_missing("a\nb");
  const std::string shown = SlotTable(slot);
  EXPECT_EQ(shown.find('\x1b'), std::string::npos) << shown;
  EXPECT_NE(shown.find("a?b"), std::string::npos) << shown;
}

TEST(PrintableTest, LinesStayLines) {
  EXPECT_EQ(PrintableLines("a\x1b\nb"), "a?\nb");
  EXPECT_EQ(PrintableLines(""), "");
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
