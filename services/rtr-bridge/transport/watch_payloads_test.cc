#include <gmock/gmock.h>

#include <deque>

#include "services/rtr-bridge/transport/handler_fixture.h"
#include "tests/testutil/wait.h"

namespace virp::rtr_bridge {
namespace {

namespace pb = ::virp::rtr::v1;
using testing::ManyRoas;
using testing::RtrHandlerTest;
using Stub = pb::RtrService::Stub;

// One caller of WatchPayloads.
struct Watcher {
  Watcher(Stub& stub, const pb::WatchPayloadsRequest& request) : reader(stub.WatchPayloads(&context, request)) {}
  ~Watcher() { End(); }
  // Up to the end of a set or change.
  std::vector<pb::WatchPayloadsResponse> Next() {
    std::vector<pb::WatchPayloadsResponse> messages;
    do {
      if (!reader->Read(&messages.emplace_back())) {
        messages.pop_back();
        break;
      }
    } while (!messages.back().complete());
    return messages;
  }
  grpc::StatusCode End() {
    if (ended) return grpc::StatusCode::OK;
    ended = true;
    context.TryCancel();
    return reader->Finish().error_code();
  }
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReader<pb::WatchPayloadsResponse>> reader;
  bool ended = false;
};

// Each has a thread of the server: stuck ones must not take them all.
TEST_F(RtrHandlerTest, SoManyWatchAtOnce) {
  Serve(ManyRoas(3));
  Stub stub(channel_);
  std::deque<std::unique_ptr<Watcher>> watchers;
  for (int i = 0; i < RtrHandler::kMostWatchers; ++i) {
    watchers.push_back(std::make_unique<Watcher>(stub, pb::WatchPayloadsRequest{}));
    ASSERT_FALSE(watchers.back()->Next().empty());
  }
  Watcher more(stub, {});
  EXPECT_TRUE(more.Next().empty());
  more.ended = true;
  EXPECT_EQ(more.reader->Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  ASSERT_OK(Call(&Stub::GetStatus, pb::GetStatusRequest{}));
  watchers.pop_front();
  EXPECT_TRUE(testutil::Eventually([&] { return !Watcher(stub, {}).Next().empty(); }));
}

TEST_F(RtrHandlerTest, AWatchThatIsTakenUpAgainIsAnsweredAtOnce) {
  Serve(ManyRoas(3));
  Stub stub(channel_);
  const auto all = Watcher(stub, {}).Next();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_TRUE(all.front().restart());
  EXPECT_EQ(all.front().announced().vrps_size(), 3);
  pb::WatchPayloadsRequest request;
  request.set_session(all.front().session());
  request.set_generation(all.front().generation());
  Watcher again(stub, request);
  const auto state = again.Next();
  ASSERT_EQ(state.size(), 1U);
  EXPECT_FALSE(state.front().restart());
  EXPECT_EQ(state.front().announced().vrps_size(), 0);
  EXPECT_EQ(state.front().sha256(), all.front().sha256());
}

// A set that stands still grows old with its sources: who has it from here must see that.
TEST_F(RtrHandlerTest, AWatchSaysOfWhenTheDataAre) {
  Reading reading = testing::ReadingOf(testing::SetOf(ManyRoas(3)));
  const UnixNanos made = clock_.NowNanos() - 7'200'000'000'000;
  reading.built = made;
  cache_->TakeGood(0, std::move(reading));
  const auto seconds = static_cast<std::int64_t>(made / 1'000'000'000);
  Stub stub(channel_);
  const auto all = Watcher(stub, {}).Next();
  ASSERT_EQ(all.size(), 1U);
  ASSERT_TRUE(all.front().has_true_at());
  EXPECT_EQ(all.front().true_at().seconds(), seconds);
  pb::WatchPayloadsRequest request;
  request.set_session(all.front().session());
  request.set_generation(all.front().generation());
  const auto again = Watcher(stub, request).Next();
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again.front().true_at().seconds(), seconds);
}

// A message of gRPC has four megabytes.
TEST_F(RtrHandlerTest, AspasOfManyProvidersComeInPieces) {
  vrp::Builder builder;
  for (std::uint32_t customer = 1; customer <= 80; ++customer) {
    vrp::Aspa aspa{.customer = customer, .expires = vrp::kNeverExpires, .providers = {}};
    for (std::uint32_t i = 0; i < 16'000; ++i) aspa.providers.push_back(0xF000'0000U + i);
    ASSERT_OK(builder.Add(std::move(aspa)));
  }
  cache_->TakeGood(0, testing::ReadingOf(std::move(builder).Build().payloads));
  pb::ListAspasRequest request;
  request.set_page_size(1'000);
  std::uint32_t seen = 0;
  do {
    const auto page = Call(&Stub::ListAspas, request);
    ASSERT_OK(page);
    for (const pb::Aspa& aspa : page->aspas()) EXPECT_EQ(aspa.customer(), ++seen);
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  EXPECT_EQ(seen, 80U);
  Stub stub(channel_);
  int watched = 0;
  for (const auto& message : Watcher(stub, {}).Next()) watched += message.announced().aspas_size();
  EXPECT_EQ(watched, 80);
}

}  // namespace
}  // namespace virp::rtr_bridge
