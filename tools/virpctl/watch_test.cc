#include "tools/virpctl/watch.h"

#include <gmock/gmock.h>

#include "lib/base/status.h"

namespace virp::virpctl {
namespace {

using std::chrono::seconds;

class WatchTest : public ::testing::Test {
 protected:
  // Streams that end as listed, one after the other.
  absl::Status Watch(const std::vector<std::function<absl::StatusOr<bool>()>>& streams) {
    std::size_t at = 0;
    const WatchHooks hooks{[&](bool again) -> absl::StatusOr<bool> {
                             EXPECT_EQ(again, at > 0);
                             return streams.at(at++)();
                           },
                           [this](const std::string& text) { said_.push_back(text); }, clock_, sleeper_,
                           [] { return 0.999999; }};
    const absl::Status status = KeepWatching(hooks, position_, stop_.get_token());
    EXPECT_EQ(at, streams.size());
    return status;
  }
  static absl::StatusOr<bool> Lost() { return Unavailable("cut"); }

  FakeClock clock_;
  FakeSleeper sleeper_{clock_};
  std::stop_source stop_;
  WatchPosition position_{7};
  std::vector<std::string> said_;
};

TEST_F(WatchTest, APositionTakesEveryEntryOnce) {
  EXPECT_FALSE(position_.Take(6));
  EXPECT_TRUE(position_.Take(7));
  EXPECT_FALSE(position_.Take(7));
  EXPECT_TRUE(position_.Take(12)) << "the filter left others out";
  EXPECT_FALSE(position_.Take(9));
  EXPECT_EQ(position_.next(), 13U);
}

TEST_F(WatchTest, GoesOnAfterWhatPassesAndSaysSoOnce) {
  EXPECT_TRUE(
      Watch({Lost, Lost, [] { return absl::StatusOr<bool>(false); }, [] { return absl::StatusOr<bool>(true); }}).ok());
  ASSERT_EQ(said_.size(), 1U);
  EXPECT_THAT(said_[0], ::testing::AllOf(::testing::HasSubstr("cut"), ::testing::HasSubstr("entry 7")));
}

TEST_F(WatchTest, PausesGrowUntilSomethingComes) {
  const auto something = [this]() -> absl::StatusOr<bool> {
    position_.Take(position_.next());
    return Unavailable("cut again");
  };
  const auto long_lasting = [this]() -> absl::StatusOr<bool> {
    clock_.Advance(seconds(10));
    return Lost();
  };
  std::vector<std::function<absl::StatusOr<bool>()>> streams(10, Lost);
  streams.insert(streams.end(), {something, Lost, long_lasting, [] { return absl::StatusOr<bool>(true); }});
  EXPECT_TRUE(Watch(streams).ok());
  const auto slept = sleeper_.slept();
  ASSERT_EQ(slept.size(), 13U);
  EXPECT_LT(slept[0], slept[1]);
  EXPECT_GT(slept[9], seconds(4));
  EXPECT_LE(slept[9], seconds(5));
  EXPECT_LT(slept[10], seconds(1)) << "an entry came";
  EXPECT_LT(slept[12], slept[11]) << "it lasted";
  EXPECT_EQ(said_.size(), 3U);
}

TEST_F(WatchTest, EndsForWhatDoesNotPass) {
  for (const absl::Status& status : {NotFound("x"), PermissionDenied("x"), DataLoss("x"), InvalidArgument("x")}) {
    EXPECT_EQ(Watch({Lost, [&] { return absl::StatusOr<bool>(status); }}), status);
  }
}

TEST_F(WatchTest, EndsWellWhenItIsStopped) {
  EXPECT_TRUE(Watch({[this]() -> absl::StatusOr<bool> {
                stop_.request_stop();
                return absl::CancelledError("by us");
              }}).ok());
  EXPECT_TRUE(said_.empty());
}

TEST_F(WatchTest, EndsWellWhenItIsStoppedInAPause) {
  const WatchHooks hooks{[](bool) { return Lost(); }, [this](const std::string&) { stop_.request_stop(); }, clock_,
                         sleeper_};
  EXPECT_TRUE(KeepWatching(hooks, position_, stop_.get_token()).ok());
}

}  // namespace
}  // namespace virp::virpctl
