// What real routers said, over a limit: folded, stated once there was room, and cut off by a crash on the way. The
// spool alone has to tell the tables in the end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/deliver/outbox_fixture.h"
#include "services/collector/domain/bmp_test_util.h"
#include "services/collector/domain/route_fold.h"

namespace virp::collector {
namespace {

using namespace std::chrono_literals;
using bmp::testing::ReadTestFile;
using testing::Contents;
using testing::kSource;
using testing::RouterBench;

constexpr std::size_t kPiece = 700;  // of the stream, in one batch

class FoldedRecordings : public deliver::testing::OutboxTest, public ::testing::WithParamInterface<const char*> {
 protected:
  FoldedRecordings() {
    keys_.Put(kSource, {1, deliver::testing::KeyOf(kSource), 0, std::nullopt});
    Up();
  }

  static BmpRouterOptions Routes() {
    BmpRouterOptions router;
    router.mode = BmpMode::kRoutes;
    return router;
  }

  // A collector that starts, with what the spool tells of tables and of what is folded.
  void Up() {
    outbox_.reset();
    fold_ = std::make_unique<RouteFold>(limits_, clock_, RouteFoldOptions{.hold = 2s, .batch = 8});
    tables_ = std::make_unique<BmpTables>(bench_.options);
    ASSERT_OK(Open({tables_.get(), fold_.get()}, 64ULL << 20, fold_.get()));
  }
  void Feed(std::string_view stream) {
    for (std::size_t at = 0; at < stream.size(); at += kPiece) {
      bench_.output.epoch = outbox_->signing(kSource).epoch;  // to which statements of tables are bound
      bench_.Feed(stream.substr(at, kPiece));
      Emit();
    }
  }
  void Emit() {
    std::vector<deliver::Outbox::Item> items;
    for (const auto& item : bench_.output.items) items.push_back({item.source, &item.observation});
    said_ += items.size();
    ASSERT_OK(outbox_->Emit(items));
    bench_.output.items.clear();
    clock_.Advance(100ms);
    ASSERT_OK(outbox_->EmitDue());
  }
  void Drain() {
    for (int i = 0; i < 10'000 && fold_->counters().tables > 0; ++i) {
      clock_.Advance(500ms);
      ASSERT_OK(outbox_->EmitDue());
    }
    EXPECT_EQ(fold_->counters().waiting, 0);
    EXPECT_EQ(fold_->counters().tables, 0);
    ASSERT_OK(outbox_->Sync(outbox_->spool().stats().last));
  }

  EdgeLimits limits_{{{}, {{std::string(kSource), {.entries_per_second = 10, .burst = 10}}}}, clock_};
  RouterBench bench_{Routes()};
  std::unique_ptr<RouteFold> fold_;
  std::unique_ptr<BmpTables> tables_;  // as replayed
  std::size_t said_ = 0;               // observations that the router's side made
};

TEST_P(FoldedRecordings, EndInTheSameTables) {
  bench_.Connect();
  Feed(ReadTestFile(GetParam()));
  EXPECT_GT(fold_->counters().folded, 10);
  Drain();
  const auto contents = Contents(*bench_.tables->Find(kSource));
  ASSERT_FALSE(contents.empty());
  Up();
  EXPECT_EQ(Contents(*tables_->Find(kSource)), contents);
}

TEST_P(FoldedRecordings, ACrashOnTheWayIsMadeGoodByTheDumpThatFollows) {
  const std::string stream = ReadTestFile(GetParam());
  bench_.Connect();
  Feed(std::string_view(stream).substr(0, stream.size() / 2));
  ASSERT_OK(outbox_->Sync(outbox_->spool().stats().last));
  Up();  // whatever waited is lost
  bench_.session.reset();
  ASSERT_OK(bench_.tables->Load(tables_->Save()));
  bench_.MakeRouter();
  bench_.Connect();
  Feed(stream);
  Emit();
  fold_->Compared(kSource);
  Drain();
  const auto contents = Contents(*bench_.tables->Find(kSource));
  ASSERT_FALSE(contents.empty());
  Up();
  EXPECT_EQ(Contents(*tables_->Find(kSource)), contents);
}

INSTANTIATE_TEST_SUITE_P(All, FoldedRecordings,
                         ::testing::Values("frr-8.4.4-adjribin.bin", "frr-10.3-adjribin-locrib.bin",
                                           "gobgp-3.10.0-all.bin"),
                         [](const auto& recording) {
                           std::string name = recording.param;
                           std::erase_if(name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; });
                           return name;
                         });

}  // namespace
}  // namespace virp::collector
