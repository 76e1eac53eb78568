// What one caller may take of what is there for all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "services/keymgr/transport/self_service.h"
#include "services/keymgr/transport/stream_places.h"
#include "tests/testutil/status_matchers.h"

namespace virp::keymgr {
namespace {

using testutil::ReasonIs;

TEST(StreamPlacesTest, NobodyTakesAllAndWhatIsLeftIsFreeAgain) {
  StreamPlaces places(5, 2);
  std::vector<StreamPlaces::Place> held;
  const auto take = [&](const std::string& who) {
    auto place = places.Take(who);
    const absl::Status status = place.status();
    if (place.ok()) held.push_back(*std::move(place));
    return status;
  };
  EXPECT_OK(take("a"));
  EXPECT_OK(take("a"));
  EXPECT_THAT(take("a"), ReasonIs("STREAMS"));
  EXPECT_OK(take("b"));
  EXPECT_OK(take("c"));
  EXPECT_OK(take("d"));
  EXPECT_THAT(take("e"), ReasonIs("STREAMS"));
  EXPECT_EQ(places.taken(), 5U);
  held.pop_back();
  EXPECT_OK(take("e"));
  held.clear();
  EXPECT_EQ(places.taken(), 0U);
  EXPECT_OK(take("a"));
}

TEST(SelfServiceTest, AFewAtOnceAndThenNowAndAgain) {
  FakeClock clock;
  SelfService limit(clock, 3, std::chrono::seconds(30));
  for (int i = 0; i < 3; ++i) EXPECT_OK(limit.Take("a", "pair"));
  EXPECT_THAT(limit.Take("a", "pair"), ReasonIs("TOO_OFTEN"));
  EXPECT_OK(limit.Take("b", "pair")) << "another caller";
  EXPECT_OK(limit.Take("a", "another"));
  clock.Advance(std::chrono::seconds(29));
  EXPECT_THAT(limit.Take("a", "pair"), ReasonIs("TOO_OFTEN"));
  clock.Advance(std::chrono::seconds(1));
  EXPECT_OK(limit.Take("a", "pair"));
  EXPECT_THAT(limit.Take("a", "pair"), ReasonIs("TOO_OFTEN"));
  clock.Advance(std::chrono::hours(24));
  for (int i = 0; i < 3; ++i) EXPECT_OK(limit.Take("a", "pair"));
  EXPECT_THAT(limit.Take("a", "pair"), ReasonIs("TOO_OFTEN")) << "no more than the burst is saved up";
}

}  // namespace
}  // namespace virp::keymgr
