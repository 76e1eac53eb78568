#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <thread>

#include "lib/base/error_info.h"
#include "lib/base/mutex.h"
#include "lib/base/status.h"
#include "services/rtr-bridge/domain/bridge_fixture.h"
#include "services/rtr-bridge/transport/feed.h"
#include "services/rtr-bridge/transport/payload_wire.h"
#include "services/rtr-bridge/transport/source_runner.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/wait.h"
#include "virp/rtr/v1/rtr_service.grpc.pb.h"

namespace virp::rtr_bridge {
namespace {

namespace pb = ::virp::rtr::v1;

using ::testing::HasSubstr;

// What a bridge does with one call after the other; the last again and again.
class FakeBridge final : public pb::RtrService::Service {
 public:
  using Writer = grpc::ServerWriter<pb::WatchPayloadsResponse>;
  using Act = std::function<grpc::Status(const pb::WatchPayloadsRequest&, grpc::ServerContext&, Writer&)>;

  FakeBridge() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~FakeBridge() override { server_->Shutdown(std::chrono::system_clock::now()); }

  grpc::Status WatchPayloads(grpc::ServerContext* context, const pb::WatchPayloadsRequest* request,
                             Writer* writer) override {
    Act act;
    {
      const MutexLock lock(mutex_);
      requests_.push_back(*request);
      act = acts_.front();
      if (acts_.size() > 1) acts_.pop_front();
    }
    return act(*request, *context, *writer);
  }
  void Then(Act act) {
    const MutexLock lock(mutex_);
    acts_.push_back(std::move(act));
  }
  std::vector<pb::WatchPayloadsRequest> requests() const {
    const MutexLock lock(mutex_);
    return requests_;
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  mutable Mutex mutex_;
  std::deque<Act> acts_ ABSL_GUARDED_BY(mutex_);
  std::vector<pb::WatchPayloadsRequest> requests_ ABSL_GUARDED_BY(mutex_);
};

grpc::Status WaitForEnd(grpc::ServerContext& context) {
  testutil::Eventually([&] { return context.IsCancelled(); });
  return grpc::Status::OK;
}

vrp::Payloads WithAspas(std::vector<vrp::Aspa> aspas) {
  vrp::Payloads payloads = testing::SetOf(testing::ManyRoas(2));
  payloads.aspas = std::move(aspas);
  return payloads;
}

// The last message of a set or change that leads to `state`.
pb::WatchPayloadsResponse MessageTo(const vrp::Payloads& state, std::uint64_t generation) {
  pb::WatchPayloadsResponse message;
  message.set_session("one");
  message.set_generation(generation);
  message.set_complete(true);
  message.set_sha256(std::string(View(vrp::HashOf(state))));
  message.mutable_silence()->set_seconds(600);
  return message;
}

pb::WatchPayloadsResponse Whole(const vrp::Payloads& state, std::uint64_t generation) {
  pb::WatchPayloadsResponse message = MessageTo(state, generation);
  message.set_restart(true);
  for (const auto& vrp : state.vrps4) ToMessage(vrp, *message.mutable_announced()->add_vrps());
  for (const auto& aspa : state.aspas) ToMessage(aspa, *message.mutable_announced()->add_aspas());
  return message;
}

class BridgeFeedTest : public ::testing::Test {
 protected:
  void Start() {
    auto feed = MakeBridgeFeed(bridge_.address(), [](const std::string& address) {
      return grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
    });
    ASSERT_OK(feed.status());
    feed_ = *std::move(feed);
    thread_ = std::jthread([this] {
      feed_->Run(
          [this](Reading reading) -> absl::Status {
            const MutexLock lock(mutex_);
            if (!wanted_.ok()) return wanted_;
            readings_.push_back(std::move(reading));
            return absl::OkStatus();
          },
          [this](const absl::Status& why) {
            const MutexLock lock(mutex_);
            failures_.push_back(why);
          });
    });
  }
  void TearDown() override {
    if (feed_ != nullptr) feed_->Stop();
  }
  std::vector<Reading> readings() const {
    const MutexLock lock(mutex_);
    return readings_;
  }
  std::vector<absl::Status> failures() const {
    const MutexLock lock(mutex_);
    return failures_;
  }

  FakeBridge bridge_;
  std::unique_ptr<Feed> feed_;
  mutable Mutex mutex_;
  absl::Status wanted_ ABSL_GUARDED_BY(mutex_);  // what is said to a reading
  std::vector<Reading> readings_ ABSL_GUARDED_BY(mutex_);
  std::vector<absl::Status> failures_ ABSL_GUARDED_BY(mutex_);
  std::jthread thread_;
};

TEST_F(BridgeFeedTest, AnAspaThatGoesComesWithoutProviders) {
  bridge_.Then([](const auto&, grpc::ServerContext& context, FakeBridge::Writer& writer) {
    const vrp::Aspa stays{.customer = 64500, .expires = vrp::kNeverExpires, .providers = {64501}};
    writer.Write(Whole(WithAspas({{.customer = 64496, .expires = 7, .providers = {64497}}, stays}), 1));
    pb::WatchPayloadsResponse change = MessageTo(WithAspas({stays}), 2);
    change.mutable_withdrawn()->add_aspas()->set_customer(64496);
    writer.Write(change);
    return WaitForEnd(context);
  });
  Start();
  ASSERT_TRUE(testutil::Eventually([&] { return readings().size() == 2 || !failures().empty(); }));
  ASSERT_THAT(failures(), ::testing::IsEmpty());
  EXPECT_EQ(readings()[0].payloads->aspas.size(), 2U);
  ASSERT_EQ(readings()[1].payloads->aspas.size(), 1U);
  EXPECT_EQ(readings()[1].payloads->aspas.front().customer, 64500U);
  EXPECT_EQ(readings()[1].payloads->vrps4.size(), 2U);
}

TEST_F(BridgeFeedTest, ASetThatIsNotTheOneThatIsNamedBeginsAnew) {
  bridge_.Then([](const auto&, grpc::ServerContext& context, FakeBridge::Writer& writer) {
    writer.Write(Whole(WithAspas({}), 1));
    pb::WatchPayloadsResponse change = MessageTo(WithAspas({}), 2);  // says what is there, without what is new
    vrp::Payloads more = testing::SetOf({{"192.0.2.0/24", 24, 64496}});
    ToMessage(more.vrps4.front(), *change.mutable_announced()->add_vrps());
    writer.Write(change);
    return WaitForEnd(context);
  });
  bridge_.Then([](const auto&, grpc::ServerContext& context, FakeBridge::Writer& writer) {
    writer.Write(Whole(WithAspas({}), 2));
    return WaitForEnd(context);
  });
  Start();
  ASSERT_TRUE(testutil::Eventually([&] { return readings().size() == 2; }));
  ASSERT_EQ(failures().size(), 1U);
  EXPECT_THAT(failures().front(), testutil::StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_EQ(bridge_.requests().back().session(), "");
  EXPECT_EQ(readings().back().payloads->vrps4.size(), 2U);
}

// A server ends each stream after half an hour.
TEST_F(BridgeFeedTest, AStreamThatEndsAndIsTakenUpAgainIsNoFailure) {
  bridge_.Then([](const auto&, grpc::ServerContext&, FakeBridge::Writer& writer) {
    writer.Write(Whole(WithAspas({}), 1));
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "the connection is old");
  });
  bridge_.Then([](const auto&, grpc::ServerContext& context, FakeBridge::Writer& writer) {
    writer.Write(MessageTo(WithAspas({}), 1));
    return WaitForEnd(context);
  });
  Start();
  ASSERT_TRUE(testutil::Eventually([&] { return readings().size() == 2; }));
  EXPECT_THAT(failures(), ::testing::IsEmpty());
  EXPECT_EQ(bridge_.requests().back().session(), "one");
  EXPECT_EQ(bridge_.requests().back().generation(), 1U);
}

TEST_F(BridgeFeedTest, AReadingIsOfWhenTheBridgeSaysThatItIs) {
  bridge_.Then([](const auto&, grpc::ServerContext& context, FakeBridge::Writer& writer) {
    writer.Write(Whole(WithAspas({}), 1));
    pb::WatchPayloadsResponse same = MessageTo(WithAspas({}), 1);
    for (const std::int64_t seconds : {std::int64_t{1'700'000'000}, std::int64_t{-5}, std::int64_t{0}, INT64_MAX}) {
      same.mutable_true_at()->set_seconds(seconds);
      same.mutable_true_at()->set_nanos(250'000'000);
      writer.Write(same);
    }
    return WaitForEnd(context);
  });
  Start();
  ASSERT_TRUE(testutil::Eventually([&] { return readings().size() == 5; }));
  EXPECT_EQ(readings()[0].built, std::nullopt) << "it does not say";
  EXPECT_EQ(readings()[1].built, 1'700'000'000'250'000'000U);
  EXPECT_EQ(readings()[2].built, 0U) << "before 1970";
  EXPECT_EQ(readings()[3].built, 250'000'000U);
  EXPECT_GT(readings()[4].built.value_or(0), 9'000'000'000'000'000'000U);
  EXPECT_TRUE(readings()[4].live);
}

// What is refused was understood all the same: it need not be sent again.
TEST_F(BridgeFeedTest, AReadingThatIsRefusedIsAFailureAndKeepsItsPlace) {
  {
    const MutexLock lock(mutex_);
    wanted_ = FailedPrecondition("too old");
  }
  bridge_.Then([](const auto&, grpc::ServerContext& context, FakeBridge::Writer& writer) {
    writer.Write(Whole(WithAspas({}), 1));
    return WaitForEnd(context);
  });
  bridge_.Then([this](const auto&, grpc::ServerContext& context, FakeBridge::Writer& writer) {
    testutil::Eventually([&] { return !failures().empty(); });
    {
      const MutexLock lock(mutex_);
      wanted_ = absl::OkStatus();
    }
    writer.Write(MessageTo(WithAspas({}), 1));
    return WaitForEnd(context);
  });
  Start();
  ASSERT_TRUE(testutil::Eventually([&] { return readings().size() == 1; }));
  ASSERT_EQ(failures().size(), 1U);
  EXPECT_THAT(failures().front(), testutil::StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_EQ(bridge_.requests().size(), 2U);
  EXPECT_EQ(bridge_.requests().back().session(), "one");
  EXPECT_EQ(bridge_.requests().back().generation(), 1U);
  EXPECT_EQ(readings().front().payloads->vrps4.size(), 2U);
}

TEST_F(BridgeFeedTest, DataThatAreTooOldByItsWordAreNotTaken) {
  constexpr std::int64_t kHour = 3'600;
  FakeClock clock;
  const auto at = [&](std::int64_t seconds) {
    return [&clock, seconds](const auto&, grpc::ServerContext& context, FakeBridge::Writer& writer) {
      pb::WatchPayloadsResponse message = Whole(WithAspas({}), 1);
      message.mutable_true_at()->set_seconds(static_cast<std::int64_t>(clock.NowNanos() / 1'000'000'000) + seconds);
      writer.Write(message);
      return WaitForEnd(context);
    };
  };
  bridge_.Then(at(-25 * kHour));
  bridge_.Then(at(2 * kHour));
  bridge_.Then(at(-23 * kHour));
  SourceState state;
  state.name = "upstream";
  const Witness witness("bridge-2");
  testing::FakeRecorder recorder;
  testing::FakeState file;
  Cache cache(
      {}, SourceTable({state}, {}), false, [] { return std::uint16_t{7}; }, witness, recorder, file, clock,
      [](const std::shared_ptr<const rtr::Snapshot>&, const Generation&) {});
  SourceOptions options;
  options.name = state.name;
  options.kind = SourceKind::kBridge;
  options.location = bridge_.address();
  const service::ChannelFactory channels = [](const std::string& address) {
    return grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  };
  ASSERT_OK_AND_ASSIGN(const auto runner, SourceRunner::Make({options}, {}, {nullptr, channels}, cache, clock));
  runner->Start();
  ASSERT_TRUE(testutil::Eventually([&] { return runner->counters(0).good == 1; }));
  EXPECT_EQ(bridge_.requests().size(), 3U);
  EXPECT_EQ(runner->counters(0).failures.at(FailureIndexOf(WithReason(Internal("x"), "TOO_OLD"))), 1U)
      << "of those behind each other the first is told";
  ASSERT_NE(cache.snapshot(), nullptr);
  EXPECT_EQ(cache.TrueAt(), clock.NowNanos() - 23 * kHour * 1'000'000'000);
  runner->Stop();
}

TEST_F(BridgeFeedTest, OneThatNobodyTakesUpIsToldOnce) {
  bridge_.Then([](const auto&, grpc::ServerContext&, FakeBridge::Writer& writer) {
    writer.Write(Whole(WithAspas({}), 1));
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "the bridge goes");
  });
  bridge_.Then([](const auto&, grpc::ServerContext&, FakeBridge::Writer&) {
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "still away");
  });
  Start();
  ASSERT_TRUE(testutil::Eventually([&] { return bridge_.requests().size() >= 4; }));
  ASSERT_EQ(failures().size(), 1U);
  EXPECT_THAT(std::string(failures().front().message()), HasSubstr("still away"));
}

TEST_F(BridgeFeedTest, AServerThatIsSilentForLongerThanItSaidIsLeft) {
  const auto hang = [](const auto&, grpc::ServerContext& context, FakeBridge::Writer& writer) {
    pb::WatchPayloadsResponse message = Whole(WithAspas({}), 1);
    message.mutable_silence()->set_seconds(0);
    message.mutable_silence()->set_nanos(50'000'000);
    writer.Write(message);
    return WaitForEnd(context);
  };
  bridge_.Then(hang);
  Start();
  ASSERT_TRUE(testutil::Eventually([&] { return bridge_.requests().size() >= 2; }));
  ASSERT_FALSE(failures().empty());
  EXPECT_THAT(failures().front(), testutil::StatusIs(absl::StatusCode::kDeadlineExceeded));
}

}  // namespace
}  // namespace virp::rtr_bridge
