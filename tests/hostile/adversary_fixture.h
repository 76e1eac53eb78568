// The platform of tests/e2e in one process, with frame listeners, a producer of each version, and the wires between the
// parts in the hands of the test: it says which frames pass.
#pragma once

#include <gmock/gmock.h>
#include <sys/socket.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/chain/control.h"
#include "lib/frame/key.h"
#include "lib/frame/payload.h"
#include "services/collector/domain/forgery_alarms.h"
#include "services/collector/domain/frame_intake.h"
#include "services/collector/transport/frame_listener.h"
#include "tests/e2e/platform_fixture.h"
#include "tests/testutil/tls_client.h"

namespace virp::hostile {

using namespace std::chrono_literals;
using service::Role;

// A producer of signed frames. Nothing is sent: the test carries what it makes.
class Producer {
 public:
  Producer(std::string source, frame::Spelling spelling, std::shared_ptr<const frame::OKey> key, const Clock& clock)
      : source_(std::move(source)),
        spelling_(spelling),
        key_(std::move(key)),
        clock_(clock),
        epoch_(clock.NowNanos()) {}

  std::string Next(std::string_view payload, frame::Type type, frame::Tier tier = frame::Tier::kGreen) {
    return Make(++last_, payload, type, tier);
  }
  std::string Beat() { return Next(chain::BuildHeartbeat({}), frame::Type::kHeartbeat); }
  std::string Make(std::uint64_t sequence, std::string_view payload, frame::Type type,
                   frame::Tier tier = frame::Tier::kGreen) const {
    frame::Header header;
    header.spelling = spelling_;
    header.type = type;
    header.tier = tier;
    header.timestamp = clock_.NowNanos();
    header.sequence = sequence;
    if (spelling_ == frame::Spelling::kV2) {
      header.suite = key_->suite();
      header.key_version = 1;
      header.boot_epoch = epoch_;
      header.source_id = frame::SourceIdOf(source_);
    }
    return frame::EncodeSigned(header, payload, *key_).value();
  }
  std::uint64_t epoch() const { return epoch_; }
  void Restart() { epoch_ = clock_.NowNanos(), last_ = 0; }

 private:
  const std::string source_;
  const frame::Spelling spelling_;
  const std::shared_ptr<const frame::OKey> key_;
  const Clock& clock_;
  std::uint64_t epoch_, last_ = 0;
};

class AdversaryTest : public e2e::PlatformTest {
 protected:
  static constexpr const char* kNative = "edge-a.native";  // version 2, beats for itself
  static constexpr const char* kDaemon = "edge-a.bgpd";    // version 1

  AdversaryTest() {
    for (const char* source : {kNative, kDaemon}) site_.AddKey(source, frame::Suite::kHmacSha256);
    pki_.Files(Role::kCollector);  // issued here, for threads of the collector and the test both ask for it
  }
  ~AdversaryTest() override {
    listeners_.clear();
    intakes_.clear();
  }

  void StartAll() {
    StartONode();
    Register("collector-1", source::v1::SUITE_HMAC_SHA256, source::v1::VANTAGE_SERVICE, {22, 23, 24}, false);
    testutil::LabSource source{.name = kNative, .vantage = source::v1::VANTAGE_DAEMON, .types = {1, 2, 3, 4, 22, 24}};
    source.router = "edge-a";
    source.bgp_id = "192.0.2.1";
    onode_->Register(source);
    source.name = kDaemon;
    source.types = {1, 2, 3, 4, 22};
    source.min_frame_version = 1;
    onode_->Register(source);
    StartCollector();
    Listen(kNative, frame::Spelling::kV2);
    Listen(kDaemon, frame::Spelling::kV1Le);
  }
  void Listen(const std::string& source, frame::Spelling spelling) {
    liveness_->Add(source, collector::Path::kFrames, false);
    collector::FrameListenerOptions& options = listening_[source];
    options.listen = "127.0.0.1:0";
    options.source = source;
    options.spelling = spelling;
    const auto on_forgery = [this](std::string_view about, std::string_view bytes) { forgeries_.Note(about, bytes); };
    intakes_.push_back(
        std::make_unique<collector::FrameIntake>(options, *outbox_, runs_, *liveness_, *keys_, clock_, on_forgery));
    listeners_[source] = collector::FrameListener::Start(*intakes_.back(), *outbox_, *liveness_, clock_).value();
  }
  Producer Make(const char* source, frame::Spelling spelling) {
    return {source, spelling, keys_->Find(source, 1), clock_};
  }
  FileDescriptor Connect(const char* source) { return testutil::ConnectTo(listeners_.at(source)->port()); }
  static void Send(const FileDescriptor& socket, std::string_view bytes) {
    ASSERT_EQ(::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  // So many frames of this source are spooled, and everything that is has been delivered.
  void Delivered(const char* source, std::uint64_t frames) {
    ASSERT_TRUE(Until([&] { return outbox_->position(source).frames >= frames; })) << outbox_->position(source).frames;
    ASSERT_TRUE(outbox_->Sync(outbox_->spool().stats().last).ok());
    ASSERT_TRUE(deliverer_->Flush(std::chrono::steady_clock::now() + 10s)) << deliverer_->status().problem;
  }

  // Everything runs, and a producer's first frame is at the O-Node, with a beat behind it.
  std::pair<Producer, FileDescriptor> StartWith(std::string_view payload) {
    StartAll();
    std::pair<Producer, FileDescriptor> out(Make(kNative, frame::Spelling::kV2), Connect(kNative));
    Send(out.second, out.first.Next(payload, frame::Type::kPeerStatusChanged));
    Delivered(kNative, 1);
    Beat();
    return out;
  }

  // What the collector would deliver, for the test to deliver instead of it.
  std::vector<deliver::Spool::SpooledFrame> Spooled() {
    EXPECT_TRUE(outbox_->Sync(outbox_->spool().stats().last).ok());
    return outbox_->spool().Read(0, 100'000, 1 << 30).value();
  }
  // A delivery that only the test's hand guides.
  std::unique_ptr<deliver::Connection> OpenDelivery() {
    auto connection = connector_->Connect("test").value();
    const auto welcome = connection->Open({pki_.Id(Role::kCollector), e2e::kOrigin, ""}, 10s);
    EXPECT_TRUE(welcome.ok()) << welcome.status();
    return connection;
  }
  static std::vector<deliver::FrameResult> Deliver(deliver::Connection& connection,
                                                   const std::vector<deliver::Spool::SpooledFrame>& frames) {
    EXPECT_TRUE(connection.Send(frames).ok());
    std::vector<deliver::FrameResult> results;
    while (results.size() < frames.size()) {
      const auto message = connection.Receive();
      if (!message.ok()) {
        ADD_FAILURE() << message.status();
        break;
      }
      if (const auto* ack = std::get_if<deliver::Ack>(&*message))
        results.insert(results.end(), ack->begin(), ack->end());
    }
    return results;
  }

  verify::v1::ClaimAnswer AskAbout(const std::string& router, const std::string& peer = "192.0.2.2") {
    const auto stub = verify::v1::VerifyService::NewStub(onode_->Channel(Role::kReader));
    verify::v1::VerifyClaimRequest request;
    request.mutable_claim()->mutable_peer()->set_router(router);
    request.mutable_claim()->mutable_peer()->set_peer_address(peer);
    verify::v1::VerifyClaimResponse response;
    grpc::ClientContext context;
    const grpc::Status status = stub->VerifyClaim(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.answer();
  }
  static const verify::v1::SourceOpinion* OpinionOf(const verify::v1::ClaimAnswer& answer, std::string_view source) {
    for (const auto& opinion : answer.opinions()) {
      if (opinion.source() == source) return &opinion;
    }
    return nullptr;
  }
  // All that the quarantine keeps, oldest first.
  std::vector<source::v1::QuarantinedFrame> Quarantined() {
    const auto stub = source::v1::SourceService::NewStub(onode_->Channel(Role::kOperator));
    source::v1::ListQuarantineRequest request;
    source::v1::ListQuarantineResponse page;
    std::vector<source::v1::QuarantinedFrame> frames;
    do {
      grpc::ClientContext context;
      request.set_page_token(page.next_page_token());
      const grpc::Status status = stub->ListQuarantine(&context, request, &page);
      EXPECT_TRUE(status.ok()) << status.error_message();
      frames.insert(frames.end(), page.frames().begin(), page.frames().end());
    } while (!page.next_page_token().empty());
    return frames;
  }
  // All alarms in the chain.
  std::vector<chain::Alarm> Alarms() {
    const auto stub = chain::v1::ChainService::NewStub(onode_->Channel(Role::kReader));
    grpc::ClientContext context;
    const auto stream = stub->StreamEntries(&context, {});
    chain::v1::StreamEntriesResponse response;
    std::vector<chain::Alarm> alarms;
    frame::PayloadReader reader;
    while (stream->Read(&response)) {
      for (const std::string& bytes : response.entries()) {
        const chain::Entry entry = chain::DecodeEntry(bytes).value();
        const frame::Frame frame = frame::Decode(entry.frame, entry.header.spelling).value();
        if (frame.header.type == frame::Type::kChannelAlarm)
          alarms.push_back(chain::ParseAlarm(reader.Read(frame.payload).value()).value());
      }
    }
    EXPECT_TRUE(stream->Finish().ok());
    return alarms;
  }

  collector::RunBook runs_;
  std::map<std::string, collector::FrameListenerOptions> listening_;
  std::vector<std::unique_ptr<collector::FrameIntake>> intakes_;
  std::map<std::string, std::unique_ptr<collector::FrameListener>> listeners_;
  collector::ForgeryAlarms forgeries_{"collector-1"};
};

}  // namespace virp::hostile
