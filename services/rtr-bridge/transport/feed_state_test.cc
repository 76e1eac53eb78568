// Another bridge and the key manager as sources: sets, changes, interruptions, and what no such service would say.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/server_builder.h>

#include <thread>

#include "lib/base/mutex.h"
#include "lib/vrp/set.h"
#include "lib/vrp/test_payloads.h"
#include "services/rtr-bridge/domain/bridge_fixture.h"
#include "services/rtr-bridge/transport/feed.h"
#include "services/rtr-bridge/transport/payload_wire.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/wait.h"
#include "virp/keymgr/v1/rpki.grpc.pb.h"
#include "virp/rtr/v1/rtr_service.grpc.pb.h"

namespace virp::rtr_bridge {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::ManyRoas;
using testing::SetOf;
using ::testing::SizeIs;
using testutil::Eventually;
namespace pb = ::virp::rtr::v1;
namespace kb = ::virp::keymgr::v1;

// Says what it is told to, to one caller after the other, and then waits until the caller or the test ends.
template <typename Base, typename Request, typename Response>
class Scripted : public Base {
 public:
  void Then(std::vector<Response> messages) {
    const MutexLock lock(mutex_);
    scripts_.push_back(std::move(messages));
  }
  std::vector<Request> requests() const {
    const MutexLock lock(mutex_);
    return requests_;
  }
  void Stop() { stop_ = true; }

 protected:
  // A caller without a script is refused; one whose script is followed by another is cut off.
  grpc::Status Run(grpc::ServerContext* context, const Request& request, grpc::ServerWriter<Response>* writer) {
    std::vector<Response> script;
    {
      const MutexLock lock(mutex_);
      requests_.push_back(request);
      if (scripts_.empty()) return {grpc::StatusCode::UNAVAILABLE, "later"};
      script = std::move(scripts_.front());
      scripts_.erase(scripts_.begin());
    }
    for (const Response& message : script) writer->Write(message);
    static_cast<void>(testutil::WaitUntil(std::chrono::seconds(60), [&] {
      const MutexLock lock(mutex_);
      return stop_ || context->IsCancelled() || !scripts_.empty();
    }));
    return grpc::Status::OK;
  }

 private:
  std::atomic<bool> stop_{false};
  mutable Mutex mutex_;
  std::vector<std::vector<Response>> scripts_ ABSL_GUARDED_BY(mutex_);
  std::vector<Request> requests_ ABSL_GUARDED_BY(mutex_);
};

class FakeBridge final : public Scripted<pb::RtrService::Service, pb::WatchPayloadsRequest, pb::WatchPayloadsResponse> {
 public:
  grpc::Status WatchPayloads(grpc::ServerContext* context, const pb::WatchPayloadsRequest* request,
                             grpc::ServerWriter<pb::WatchPayloadsResponse>* writer) override {
    return Run(context, *request, writer);
  }
};
class FakeManager final
    : public Scripted<kb::RpkiService::Service, kb::WatchRouterKeysRequest, kb::WatchRouterKeysResponse> {
 public:
  grpc::Status WatchRouterKeys(grpc::ServerContext* context, const kb::WatchRouterKeysRequest* request,
                               grpc::ServerWriter<kb::WatchRouterKeysResponse>* writer) override {
    return Run(context, *request, writer);
  }
};

class FeedTest : public ::testing::Test {
 protected:
  FeedTest() {
    grpc::ServerBuilder builder;
    builder.RegisterService(&bridge_);
    builder.RegisterService(&manager_);
    // Not InProcessChannel: there a message's bytes change threads inside gRPC, which ThreadSanitizer takes for a race.
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    server_ = builder.BuildAndStart();
  }
  ~FeedTest() override {
    bridge_.Stop();
    manager_.Stop();
    if (feed_ != nullptr) feed_->Stop();
    if (thread_.joinable()) thread_.join();
    server_->Shutdown();
  }
  void Start(absl::StatusOr<std::unique_ptr<Feed>> (*make)(const std::string&, service::ChannelFactory)) {
    const auto channels = [this](const std::string&) -> absl::StatusOr<std::shared_ptr<grpc::Channel>> {
      return grpc::CreateChannel(fmt::format("127.0.0.1:{}", port_), grpc::InsecureChannelCredentials());
    };
    ASSERT_OK_AND_ASSIGN(feed_, make("bridge:1", channels));
    thread_ = std::thread([this] {
      feed_->Run(
          [this](const Reading& reading) {
            const MutexLock lock(mutex_);
            readings_.push_back(reading);
            return absl::OkStatus();
          },
          [this](const absl::Status& why) {
            const MutexLock lock(mutex_);
            failures_.emplace_back(Message(why));
          });
    });
  }
  std::vector<Reading> readings() const {
    const MutexLock lock(mutex_);
    return readings_;
  }
  std::vector<std::string> failures() const {
    const MutexLock lock(mutex_);
    return failures_;
  }
  // The newest state, once there are as many readings.
  vrp::Payloads After(std::size_t count) {
    EXPECT_TRUE(Eventually([&] { return readings().size() >= count; }));
    return readings().empty() ? vrp::Payloads() : *readings().back().payloads;
  }

  // `after`: the whole set behind it; null when more is to come.
  static pb::WatchPayloadsResponse Message_(std::uint64_t generation, const vrp::Payloads& announced,
                                            const vrp::Payloads& withdrawn, bool restart, const vrp::Payloads* after) {
    pb::WatchPayloadsResponse message;
    message.set_session("s");
    message.set_generation(generation);
    message.set_restart(restart);
    message.set_complete(after != nullptr);
    if (after != nullptr) message.set_sha256(std::string(View(vrp::HashOf(*after))));
    message.mutable_silence()->set_seconds(60);
    for (const auto& vrp : announced.vrps4) ToMessage(vrp, *message.mutable_announced()->add_vrps());
    for (const auto& aspa : announced.aspas) ToMessage(aspa, *message.mutable_announced()->add_aspas());
    for (const auto& vrp : withdrawn.vrps4) ToMessage(vrp, *message.mutable_withdrawn()->add_vrps());
    for (const auto& aspa : withdrawn.aspas) ToMessage(aspa, *message.mutable_withdrawn()->add_aspas());
    return message;
  }

  FakeBridge bridge_;
  FakeManager manager_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  mutable Mutex mutex_;
  std::vector<Reading> readings_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> failures_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<Feed> feed_;
  std::thread thread_;
};

TEST_F(FeedTest, ASetInPiecesThenChanges) {
  const vrp::Payloads three = SetOf(ManyRoas(3)), four = SetOf(ManyRoas(4)), none;
  vrp::Payloads first_half = three, second_half = three;
  first_half.vrps4.resize(1);
  second_half.vrps4.erase(second_half.vrps4.begin());
  vrp::Payloads last = four;
  last.vrps4.erase(last.vrps4.begin() + 1, last.vrps4.end());  // the highest address is first
  bridge_.Then({Message_(1, first_half, none, true, nullptr), Message_(1, second_half, none, false, &three),
                Message_(2, four, none, false, &four), Message_(3, none, three, false, &last)});
  Start(MakeBridgeFeed);
  After(3);
  ASSERT_THAT(readings(), SizeIs(3));
  EXPECT_EQ(*readings()[0].payloads, three);
  EXPECT_TRUE(readings()[0].live);
  EXPECT_EQ(readings()[0].sha256, vrp::HashOf(three));
  EXPECT_EQ(*readings()[1].payloads, four);
  EXPECT_EQ(*readings()[2].payloads, last);
}

TEST_F(FeedTest, AnExpiryThatIsRenewedTakesThePlaceOfTheOld) {
  const vrp::Payloads before = SetOf({{"10.0.0.0/8", 8, 1, 1000}}), after = SetOf({{"10.0.0.0/8", 8, 1, 2000}});
  bridge_.Then({Message_(1, before, {}, true, &before), Message_(1, after, {}, false, &after)});
  Start(MakeBridgeFeed);
  EXPECT_EQ(After(2), after);
}

TEST_F(FeedTest, AfterAnInterruptionItGoesOnFromWhatItHas) {
  const vrp::Payloads three = SetOf(ManyRoas(3)), four = SetOf(ManyRoas(4));
  bridge_.Then({Message_(7, three, {}, true, &three)});
  Start(MakeBridgeFeed);
  After(1);
  bridge_.Then({Message_(8, four, {}, false, &four)});
  EXPECT_EQ(After(2).size(), 4U);
  const auto requests = bridge_.requests();
  ASSERT_GE(requests.size(), 2U);
  EXPECT_EQ(requests[0].session(), "");
  EXPECT_EQ(requests.back().session(), "s");
  EXPECT_EQ(requests.back().generation(), 7U);
}

TEST_F(FeedTest, WhatDoesNotFitIsNotTakenAndAllIsAskedForAnew) {
  const vrp::Payloads three = SetOf(ManyRoas(3));
  pb::WatchPayloadsResponse bad = Message_(2, {}, {}, false, &three);
  bridge_.Then({Message_(1, three, {}, true, &three)});
  Start(MakeBridgeFeed);
  After(1);
  const auto expect_refused = [&](const pb::WatchPayloadsResponse& message, const std::string& why) {
    const std::size_t told = failures().size(), read = readings().size(), asked = bridge_.requests().size();
    bridge_.Then({message});
    ASSERT_TRUE(Eventually([&] { return failures().size() > told && bridge_.requests().size() > asked + 1; })) << why;
    EXPECT_EQ(readings().size(), read) << why;
    EXPECT_EQ(bridge_.requests().back().session(), "") << why;
    bridge_.Then({Message_(1, three, {}, true, &three)});
    EXPECT_EQ(After(read + 1), three) << why;
  };
  for (const char* prefix : {"10.0.0.0/33", "10.0.0.0", "2001:db8::/129", "x", ""}) {
    bad.clear_announced();
    pb::Vrp& vrp = *bad.mutable_announced()->add_vrps();
    vrp.set_prefix(prefix);
    vrp.set_max_length(32);
    expect_refused(bad, prefix);
  }
  bad.mutable_announced()->mutable_vrps(0)->set_prefix("10.0.0.0/8");
  bad.mutable_announced()->mutable_vrps(0)->set_max_length(33);
  expect_refused(bad, "maxLength");
  bad.clear_announced();
  bad.mutable_announced()->add_router_keys()->set_ski("short");
  expect_refused(bad, "SKI");
}

TEST_F(FeedTest, ChangesBeforeAnyWholeSetAreNoSet) {
  const vrp::Payloads three = SetOf(ManyRoas(3));
  bridge_.Then({Message_(1, three, {}, false, &three)});
  Start(MakeBridgeFeed);
  ASSERT_TRUE(Eventually([&] { return !failures().empty(); }));
  EXPECT_THAT(failures()[0], HasSubstr("changes came before a whole set"));
  EXPECT_THAT(readings(), SizeIs(0));
}

TEST_F(FeedTest, AHalfSetIsNeverTaken) {
  const vrp::Payloads one = SetOf(ManyRoas(1)), three = SetOf(ManyRoas(3)), news = SetOf({{"11.0.0.0/8", 8, 1}});
  std::vector<testing::Roa> roas = ManyRoas(3);
  roas.push_back({"11.0.0.0/8", 8, 1});
  const vrp::Payloads both = SetOf(roas);
  bridge_.Then({Message_(1, three, {}, true, &three)});
  Start(MakeBridgeFeed);
  After(1);
  bridge_.Then({Message_(2, one, one, true, nullptr)});
  ASSERT_TRUE(Eventually([&] { return bridge_.requests().size() >= 2; }));
  // From where the last whole one was: neither the half set nor what it took away counts.
  bridge_.Then({Message_(3, news, {}, false, &both)});
  EXPECT_EQ(After(2), both);
  EXPECT_THAT(readings(), SizeIs(2));
}

TEST_F(FeedTest, RouterKeysOfTheKeyManager) {
  const vrp::RouterKey key = vrp::TestKey(64496, 0, 2'000'000'000);
  kb::WatchRouterKeysResponse message;
  message.set_session("s");
  message.set_serial(4);
  message.set_restart(true);
  message.set_complete(true);
  auto& entry = *message.add_announced();
  entry.set_ski(key.ski.data(), key.ski.size());
  entry.set_asn(key.as);
  entry.set_spki(key.spki);
  entry.mutable_expires()->set_seconds(key.expires);
  kb::WatchRouterKeysResponse gone = message;
  gone.set_serial(5);
  gone.set_restart(false);
  gone.mutable_withdrawn()->Swap(gone.mutable_announced());
  manager_.Then({message, gone});
  Start(MakeKeyFeed);
  After(2);
  ASSERT_THAT(readings(), SizeIs(2));
  EXPECT_THAT(readings()[0].payloads->router_keys, ElementsAre(key));
  EXPECT_EQ(readings()[1].payloads->size(), 0U);
}

TEST(FeedOptionsTest, NeedsAddressesAndACertificate) {
  const auto channels = [](const std::string&) -> absl::StatusOr<std::shared_ptr<grpc::Channel>> {
    return Unavailable("none");
  };
  for (const char* addresses : {"", "x", "host:99999"})
    EXPECT_TRUE(absl::IsInvalidArgument(MakeBridgeFeed(addresses, channels).status())) << addresses;
  EXPECT_TRUE(absl::IsInvalidArgument(MakeKeyFeed("a:1", nullptr).status()));
}

}  // namespace
}  // namespace virp::rtr_bridge
