#include "lib/frame/reason.h"

#include <gtest/gtest.h>

#include "lib/base/error_info.h"
#include "lib/base/status.h"

namespace virp::frame {
namespace {

TEST(Reason, NamesGoThereAndBack) {
  for (int i = 0; i < static_cast<int>(kReasons); ++i) {
    const auto reason = static_cast<Reason>(i);
    EXPECT_EQ(ReasonFromName(ReasonName(reason)), reason);
  }
  EXPECT_EQ(ReasonName(Reason::kNone), "NONE");
  EXPECT_EQ(ReasonName(Reason::kSourceUnknown), "SOURCE_UNKNOWN");
  EXPECT_EQ(ReasonName(Reason::kKeyVersionUnknown), "KEY_VERSION_UNKNOWN");
  EXPECT_EQ(ReasonName(Reason::kEpochAhead), "EPOCH_AHEAD");
  EXPECT_EQ(ReasonName(Reason::kEquivocation), "EQUIVOCATION");
  EXPECT_EQ(ReasonName(static_cast<Reason>(200)), "UNKNOWN_REASON");
  EXPECT_EQ(ReasonFromName("nonsense"), std::nullopt);
}

TEST(Reason, PassingOnesAreThoseOfTheFormat) {
  int passing = 0;
  for (int i = 0; i < static_cast<int>(kReasons); ++i) passing += IsPassing(static_cast<Reason>(i)) ? 1 : 0;
  EXPECT_EQ(passing, 7);
  EXPECT_TRUE(IsPassing(Reason::kLateKey));
  EXPECT_FALSE(IsPassing(Reason::kBadTag));
  EXPECT_FALSE(IsPassing(Reason::kNone));
}

TEST(Reason, OfAStatus) {
  EXPECT_EQ(ReasonOf(absl::OkStatus()), Reason::kNone);
  EXPECT_EQ(ReasonOf(Internal("x")), Reason::kMalformed);
  EXPECT_EQ(ReasonOf(WithReason(Internal("x"), "EPOCH_OLD")), Reason::kEpochOld);
}

}  // namespace
}  // namespace virp::frame
