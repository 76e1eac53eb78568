#include "services/onode/domain/delivery_order.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace virp::onode {
namespace {

using frame::Reason;

TEST(HeldSources, WhatLiesBehindWaitsUntilTheRefusedOneCameAgain) {
  HeldSources held;
  EXPECT_EQ(held.Behind("a", 7, 3), Reason::kNone);
  held.Note("a", 7, 3, Reason::kSourceUnknown);
  EXPECT_EQ(held.Behind("a", 7, 4), Reason::kSourceUnknown);
  EXPECT_EQ(held.Behind("a", 8, 1), Reason::kSourceUnknown) << "a later epoch would close the earlier one";
  EXPECT_EQ(held.Behind("b", 7, 4), Reason::kNone);
  EXPECT_EQ(held.Behind("a", 7, 3), Reason::kNone) << "itself may be looked at again";
  EXPECT_EQ(held.Behind("a", 7, 2), Reason::kNone);
  held.Note("a", 7, 2, Reason::kNone);  // was in front all the time
  EXPECT_EQ(held.Behind("a", 7, 4), Reason::kSourceUnknown);
  held.Note("a", 7, 3, Reason::kNotBound);  // looked at again, and refused for something else
  EXPECT_EQ(held.Behind("a", 7, 4), Reason::kNotBound);
  held.Note("a", 7, 3, Reason::kNone);
  EXPECT_EQ(held.Behind("a", 7, 4), Reason::kNone);
}

TEST(HeldSources, WhatIsRefusedForGoodHoldsNothing) {
  HeldSources held;
  held.Note("a", 7, 3, Reason::kBadTag);
  EXPECT_EQ(held.Behind("a", 7, 4), Reason::kNone);
  held.Note("a", 7, 4, Reason::kKeyVersionUnknown);
  held.Note("a", 7, 4, Reason::kBadTag);  // the key is there now: the frame is dropped, its number will show as a gap
  EXPECT_EQ(held.Behind("a", 7, 5), Reason::kNone);
}

TEST(HeldSources, TheFirstInTheOrderOfTheSourceCounts) {
  HeldSources held;
  held.Note("a", 9, 1, Reason::kEpochAhead);
  held.Note("a", 5, 2, Reason::kSourceSuspended);
  EXPECT_EQ(held.Behind("a", 5, 3), Reason::kSourceSuspended);
  held.Note("a", 6, 1, Reason::kSourceSuspended);
  held.Note("a", 6, 1, Reason::kNone);
  EXPECT_EQ(held.Behind("a", 5, 3), Reason::kSourceSuspended);
}

TEST(HeldSources, NamesAreNotRememberedWithoutEnd) {
  HeldSources held;
  for (std::size_t i = 0; i <= HeldSources::kMost; ++i) held.Note(fmt::format("s{}", i), 1, 1, Reason::kSourceUnknown);
  EXPECT_EQ(held.Behind("s0", 1, 2), Reason::kSourceUnknown);
  EXPECT_EQ(held.Behind(fmt::format("s{}", HeldSources::kMost), 1, 2), Reason::kNone);
  held.Note("s0", 1, 1, Reason::kNone);  // makes room
  held.Note("late", 1, 1, Reason::kSourceUnknown);
  EXPECT_EQ(held.Behind("late", 1, 2), Reason::kSourceUnknown);
}

}  // namespace
}  // namespace virp::onode
