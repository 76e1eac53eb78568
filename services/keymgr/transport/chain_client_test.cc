#include "services/keymgr/transport/chain_client.h"

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <map>

#include "lib/base/error_info.h"
#include "lib/base/status.h"
#include "lib/chain/entry.h"
#include "lib/service/errors.h"
#include "tests/testutil/status_matchers.h"
#include "virp/chain/v1/chain_service.grpc.pb.h"
#include "virp/source/v1/source_service.grpc.pb.h"

namespace virp::keymgr {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testutil::StatusIs;

constexpr char kOrigin[] = "virp.example.net/test";
constexpr char kSource[] = "keymgr-1";

// An O-Node with entries of one source, each linked to the one before.
class FakeONode final : public source::v1::SourceService::Service, public chain::v1::ChainService::Service {
 public:
  FakeONode() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(static_cast<source::v1::SourceService::Service*>(this));
    builder.RegisterService(static_cast<chain::v1::ChainService::Service*>(this));
    server_ = builder.BuildAndStart();
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  // Before it is asked.
  void Hold(std::uint64_t sequence, std::uint64_t previous, std::string_view frame) {
    chain::EntryHeader header;
    header.origin_id = chain::OriginIdOf(kOrigin);
    header.sequence = sequence;
    header.source_previous = previous;
    entries[sequence] = chain::EncodeEntry(header, frame);
  }

  std::map<std::uint64_t, std::string> entries;
  std::int64_t newest_at = 0;  // seconds
  grpc::Status refuse;
  int read = 0;

 private:
  grpc::Status GetSource(grpc::ServerContext*, const source::v1::GetSourceRequest* request,
                         source::v1::GetSourceResponse* response) override {
    EXPECT_EQ(request->origin(), kOrigin);
    EXPECT_EQ(request->name(), kSource);
    if (!refuse.ok()) return refuse;
    if (!entries.empty()) response->mutable_source()->set_newest_entry(entries.rbegin()->first);
    return grpc::Status::OK;
  }
  grpc::Status GetChain(grpc::ServerContext*, const chain::v1::GetChainRequest* request,
                        chain::v1::GetChainResponse* response) override {
    EXPECT_EQ(request->origin(), kOrigin);
    if (!refuse.ok()) return refuse;
    if (entries.empty()) return grpc::Status::OK;
    response->set_size(entries.rbegin()->first + 1);
    response->mutable_newest_entry_at()->set_seconds(newest_at);
    return grpc::Status::OK;
  }
  grpc::Status GetEntry(grpc::ServerContext*, const chain::v1::GetEntryRequest* request,
                        chain::v1::GetEntryResponse* response) override {
    EXPECT_EQ(request->origin(), kOrigin);
    ++read;
    const auto found = entries.find(request->sequence());
    if (found == entries.end()) return grpc::Status(grpc::StatusCode::NOT_FOUND, "no such entry");
    response->mutable_entry()->set_entry(found->second);
    return grpc::Status::OK;
  }

  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

class ChainClientTest : public ::testing::Test {
 protected:
  ChainClient Client(std::vector<std::string> onodes) {
    return {kOrigin,
            kSource,
            std::move(onodes),
            [](const std::string& address) -> absl::StatusOr<std::shared_ptr<grpc::Channel>> {
              if (address == "nobody") return Unavailable("nobody is there");
              return grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
            },
            false,
            [this] { return audited_; }};
  }
  // Frames, newest first, until there were `most`.
  absl::Status Walk(ChainClient client, std::size_t most = 100) {
    seen_.clear();
    return client.Walk([&](const std::string& frame) -> absl::StatusOr<bool> {
      seen_.push_back(frame);
      return seen_.size() < most;
    });
  }

  std::uint64_t audited_ = 0;
  FakeONode one_, other_;
  std::vector<std::string> seen_;
};

// A key that left after the restored, or lagging, chain's end would leave again.
TEST_F(ChainClientTest, AChainThatIsShorterThanWhatWasAuditedIsNoAnswer) {
  one_.Hold(3, chain::kNone, "first");
  other_.Hold(3, chain::kNone, "first");
  other_.Hold(9, 3, "second");
  audited_ = 10;
  EXPECT_THAT(Client({one_.address()}).NewestFrame(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("holds 4 entries")));
  EXPECT_FALSE(Walk(Client({one_.address()})).ok());
  EXPECT_EQ(*Client({one_.address(), other_.address()}).NewestFrame(), "second");
  audited_ = 4;
  EXPECT_EQ(*Client({one_.address()}).NewestFrame(), "first");
}

TEST_F(ChainClientTest, TheTimeIsThatOfTheNewestEntryOfAll) {
  EXPECT_EQ(*Client({one_.address()}).NewestTime(), std::nullopt);
  EXPECT_FALSE(Client({"nobody"}).NewestTime().ok());
  one_.Hold(3, chain::kNone, "first");
  one_.newest_at = 100;
  other_.Hold(3, chain::kNone, "first");
  other_.newest_at = 160;
  EXPECT_EQ(*Client({one_.address(), "nobody", other_.address()}).NewestTime(), UnixNanos{160'000'000'000});
}

TEST_F(ChainClientTest, WalksFromTheNewestFrameToTheFirst) {
  one_.Hold(3, chain::kNone, "first");
  one_.Hold(4, 2, "of another source");
  one_.Hold(8, 3, "second");
  one_.Hold(20, 8, "third");
  EXPECT_EQ(*Client({one_.address()}).NewestFrame(), "third");
  ASSERT_OK(Walk(Client({one_.address()})));
  EXPECT_THAT(seen_, ElementsAre("third", "second", "first"));
}

TEST_F(ChainClientTest, ReadsNoFurtherThanItIsAsked) {
  for (std::uint64_t at = 0; at < 10; ++at) one_.Hold(at, at == 0 ? chain::kNone : at - 1, std::to_string(at));
  ASSERT_OK(Walk(Client({one_.address()}), 2));
  EXPECT_THAT(seen_, ElementsAre("9", "8"));
  EXPECT_EQ(one_.read, 2);
  const absl::Status failed =
      Client({one_.address()}).Walk([](const std::string&) -> absl::StatusOr<bool> { return DataLoss("not ours"); });
  EXPECT_THAT(failed, StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_EQ(one_.read, 3);
}

TEST_F(ChainClientTest, TakesTheNewestAnswerOfAll) {
  one_.Hold(3, chain::kNone, "first");
  other_.entries = one_.entries;
  other_.Hold(8, 3, "second");
  for (const auto& onodes : {std::vector{one_.address(), other_.address()},
                             {other_.address(), one_.address()},
                             {"nobody", one_.address(), other_.address()}}) {
    EXPECT_EQ(*Client(onodes).NewestFrame(), "second");
    ASSERT_OK(Walk(Client(onodes)));
    EXPECT_THAT(seen_, ElementsAre("second", "first"));
  }
}

TEST_F(ChainClientTest, ASourceWithoutFramesIsNoError) {
  EXPECT_EQ(*Client({one_.address()}).NewestFrame(), "");
  ASSERT_OK(Walk(Client({one_.address()})));
  EXPECT_THAT(seen_, IsEmpty());
  one_.refuse = service::ToGrpcStatus(WithReason(NotFound("no such source"), "NO_SOURCE"), "onode");
  EXPECT_EQ(*Client({one_.address()}).NewestFrame(), "");
}

TEST_F(ChainClientTest, AnONodeWithoutTheChainIsNoAnswer) {
  one_.refuse = service::ToGrpcStatus(WithReason(NotFound("no such chain"), "NO_CHAIN"), "onode");
  EXPECT_THAT(Client({one_.address()}).NewestFrame(), StatusIs(absl::StatusCode::kUnavailable));
  other_.Hold(3, chain::kNone, "first");
  EXPECT_EQ(*Client({one_.address(), other_.address()}).NewestFrame(), "first");
  one_.refuse = grpc::Status(grpc::StatusCode::NOT_FOUND, "of whatever");
  EXPECT_THAT(Client({one_.address()}).NewestFrame(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ChainClientTest, WhenNobodyAnswersNothingIsKnown) {
  EXPECT_THAT(Walk(Client({})), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(Walk(Client({"nobody"})), StatusIs(absl::StatusCode::kUnavailable));
  one_.refuse = grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "METHOD_DENIED: not you");
  const absl::Status refused = Walk(Client({one_.address()}));
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(std::string(Message(refused)), HasSubstr(one_.address()));
}

TEST_F(ChainClientTest, ALinkThatLeadsInACircleIsNotFollowed) {
  one_.Hold(3, 8, "first");
  one_.Hold(8, 3, "second");
  EXPECT_THAT(Walk(Client({one_.address()})), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(seen_, ElementsAre("second", "first"));
  one_.entries.clear();
  one_.Hold(5, 5, "itself");
  EXPECT_THAT(Walk(Client({one_.address()})), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(ChainClientTest, WhatIsNoEntryOrIsNotThereEndsIt) {
  one_.Hold(3, chain::kNone, "first");
  one_.Hold(8, 2, "second");
  EXPECT_FALSE(Walk(Client({one_.address()})).ok()) << "the link leads to nothing";
  EXPECT_THAT(seen_, ElementsAre("second"));
  one_.entries[9] = "no entry";
  EXPECT_FALSE(Walk(Client({one_.address()})).ok());
  EXPECT_THAT(seen_, IsEmpty());
}

// An answer that is an entry, only of another place: without the check a chain of one entry would have no end.
TEST_F(ChainClientTest, AnEntryOfAnotherPlaceIsNotTaken) {
  one_.Hold(8, 3, "second");
  one_.entries[3] = one_.entries[8];
  EXPECT_THAT(Walk(Client({one_.address()})), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(seen_, ElementsAre("second"));
}

}  // namespace
}  // namespace virp::keymgr
