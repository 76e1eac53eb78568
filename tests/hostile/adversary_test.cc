// Who lies, hides and replays, and what the platform answers: each adversary of docs/threat-model.md that needs no more
// than a wire, a certificate of its own, or its own key.
#include <fmt/format.h>

#include <algorithm>

#include "tests/hostile/adversary_fixture.h"

namespace virp::hostile {
namespace {

using e2e::kPeerDown;
using e2e::kPeerUp;
using frame::Spelling;
using frame::Type;
using verify::v1::VERDICT_CONFIRMED;
using verify::v1::VERDICT_INCOMPLETE;
using verify::v1::VERDICT_NO_EVIDENCE;

constexpr const char* kOtherPeerUp =
    R"({"domain":"bgp","event":"peer_state_change","peer_addr":"192.0.2.3","peer_as":64502,"old_state":"OpenConfirm","new_state":"Established","router_id":"192.0.2.1"})";
constexpr const char* kOtherRouter =
    R"({"domain":"bgp","event":"peer_state_change","peer_addr":"192.0.2.2","peer_as":64501,"old_state":"OpenConfirm","new_state":"Established","router_id":"192.0.2.9"})";

// ---- forged frames from whoever may deliver: a collector that was taken over, or a relay before it ----

TEST_F(AdversaryTest, TenThousandForgedFramesInADeliveryChangeNoAnswer) {
  auto [producer, wire] = StartWith(kPeerUp);
  ASSERT_EQ(Ask().verdict(), VERDICT_CONFIRMED);

  const Producer forger(kNative, Spelling::kV2, frame::OKey::Hmac(std::string(32, 'f')).value(), clock_);
  const auto delivery = OpenDelivery();
  constexpr std::uint64_t kForged = 10'000, kAtOnce = 500;
  const std::string large(18'000, 'x');
  const UnixNanos begin = clock_.NowNanos();
  std::uint64_t number = 0, frames = 1;
  std::string forged;
  while (number < kForged) {
    std::vector<deliver::Spool::SpooledFrame> batch;
    for (std::uint64_t i = 0; i < kAtOnce; ++i) {
      // High numbers, low ones, later runs; at the end so large that the quarantine's bytes count.
      const std::string payload = number < kForged - 1'000 ? kPeerDown : fmt::format(R"({{"x":"{}"}})", large);
      const std::uint64_t claimed = ++number % 3 == 0 ? number * 1'000 : number;
      forged = forger.Make(claimed, payload, Type::kPeerBackwardTransition);
      batch.push_back({number, kNative, forger.epoch(), Spelling::kV2, forged});
      if (batch.size() * large.size() > (2U << 20) && payload.size() > large.size()) break;
    }
    for (const auto& result : Deliver(*delivery, batch)) {
      ASSERT_EQ(result.outcome, deliver::FrameResult::Outcome::kRefused);
      ASSERT_EQ(result.reason, frame::Reason::kBadTag);
    }
    clock_.Skip(7s);
    Send(wire, producer.Beat());
    Delivered(kNative, ++frames);
    ASSERT_EQ(Ask().verdict(), VERDICT_CONFIRMED) << Ask().ShortDebugString();
  }
  const auto answer = Ask();
  ASSERT_NE(OpinionOf(answer, kNative), nullptr);
  EXPECT_EQ(OpinionOf(answer, kNative)->channel_state(), "ALARMED");
  EXPECT_EQ(OpinionOf(answer, kNative)->missing_size(), 0);

  const auto alarms = Alarms();
  const auto minutes = (clock_.NowNanos() - begin) / 60'000'000'000 + 1;
  EXPECT_LE(alarms.size(), minutes);
  ASSERT_FALSE(alarms.empty());
  std::uint64_t told = 0;
  for (const chain::Alarm& alarm : alarms) {
    EXPECT_EQ(alarm.source, kNative);
    EXPECT_EQ(alarm.cause, chain::kCauseBadTag);
    told += alarm.count;
  }
  EXPECT_GT(told, kForged / 2);
  EXPECT_LE(told, number);

  // Once the newest is there nothing is on its way any more.
  ASSERT_TRUE(Until([&] {
    const auto frames = Quarantined();
    return !frames.empty() && frames.back().frame() == forged;
  }));
  std::size_t kept = 0, bytes = 0;
  for (const auto& frame : Quarantined()) {
    ++kept;
    bytes += frame.frame().size();
    EXPECT_EQ(frame.reason(), "BAD_TAG");
    EXPECT_EQ(frame.path(), pki_.Id(Role::kCollector));
  }
  EXPECT_GT(kept, 0U);
  EXPECT_LE(kept, 1'000U);
  EXPECT_LE(bytes, std::size_t{16} << 20);
  EXPECT_EQ(VerifyChain(true).result(), chain::v1::VerifyReport::RESULT_VERIFIED);
}

TEST_F(AdversaryTest, ForgedFramesAtTheDoorAreNotStatedByBeatsAndToldOnceAMinute) {
  StartAll();
  Producer producer = Make(kNative, Spelling::kV2);
  Producer daemon = Make(kDaemon, Spelling::kV1Le);
  {
    const FileDescriptor wire = Connect(kNative);
    const FileDescriptor old_wire = Connect(kDaemon);
    Send(wire, producer.Next(kPeerUp, Type::kPeerStatusChanged));
    Send(old_wire, daemon.Next(kOtherPeerUp, Type::kPeerStatusChanged));
    Delivered(kNative, 1);
    Delivered(kDaemon, 1);
  }
  ASSERT_TRUE(Until([&] { return listeners_[kNative]->connections() + listeners_[kDaemon]->connections() == 0; }));
  for (const char* source : {kNative, kDaemon}) {
    const Spelling spelling = source == kNative ? Spelling::kV2 : Spelling::kV1Le;
    const Producer forger(source, spelling, frame::OKey::Hmac(std::string(32, 'f')).value(), clock_);
    for (const std::uint64_t claimed : {2U, 1'000'000U}) {
      const FileDescriptor socket = Connect(source);
      Send(socket, forger.Make(claimed, kPeerDown, Type::kPeerBackwardTransition));
      EXPECT_TRUE(testutil::ClosedByPeer(socket.get()));
    }
    EXPECT_EQ(outbox_->position(source).last_sequence, 1U);
  }
  for (const auto& source : liveness_->Sources()) {
    if (source.path == collector::Path::kFrames)
      EXPECT_FALSE(source.connected) << source.source << ": the dead do not look alive";
  }
  ASSERT_TRUE(forgeries_.Emit(*outbox_, clock_.NowNanos()).ok());
  clock_.Skip(30s);
  forgeries_.Note(kNative, "again");
  ASSERT_TRUE(forgeries_.Emit(*outbox_, clock_.NowNanos()).ok());
  Beat();
  const auto alarms = Alarms();
  ASSERT_EQ(alarms.size(), 2U) << "one for each source";
  for (const chain::Alarm& alarm : alarms) EXPECT_EQ(alarm.count, 2U);
  EXPECT_EQ(Ask().verdict(), verify::v1::VERDICT_SOURCE_SILENT);

  // The producers are back, and nothing that the forger said stands in their way.
  const FileDescriptor wire = Connect(kNative);
  const FileDescriptor old_wire = Connect(kDaemon);
  Send(wire, producer.Beat());
  Send(old_wire, daemon.Next(kOtherPeerUp, Type::kPeerStatusChanged));
  Delivered(kNative, 2);
  Delivered(kDaemon, 2);
  Beat();
  for (const char* peer : {"192.0.2.2", "192.0.2.3"}) {
    const auto answer = AskAbout("edge-a", peer);
    EXPECT_EQ(answer.verdict(), VERDICT_CONFIRMED) << answer.ShortDebugString();
  }
  EXPECT_EQ(OpinionOf(Ask(), kNative)->channel_state(), "ALARMED");
}

TEST_F(AdversaryTest, FramesAsLargeAsTheyMayBeDoNotMakeListsFail) {
  StartAll();
  constexpr std::uint64_t kFrames = 150;
  const std::string large = fmt::format(R"({{"x":"{}"}})", std::string(frame::kMaxPayload - 8, 'x'));
  Producer producer = Make(kNative, Spelling::kV2);
  const Producer forger(kNative, Spelling::kV2, frame::OKey::Hmac(std::string(32, 'f')).value(), clock_);
  const FileDescriptor wire = Connect(kNative);
  const auto delivery = OpenDelivery();
  std::string forged;
  for (std::uint64_t i = 1; i <= kFrames; ++i) {
    Send(wire, producer.Next(large, Type::kBgpProcess));
    forged = forger.Make(i, large, Type::kBgpProcess);
    Deliver(*delivery, {{i, kNative, forger.epoch(), Spelling::kV2, forged}});
  }
  Delivered(kNative, kFrames);
  ASSERT_TRUE(Until([&] {
    const auto frames = Quarantined();
    return !frames.empty() && frames.back().frame() == forged;
  }));
  EXPECT_EQ(Quarantined().size(), kFrames);

  const auto stub = verify::v1::VerifyService::NewStub(onode_->Channel(Role::kReader));
  verify::v1::ListObservationsRequest request;
  verify::v1::ListObservationsResponse page;
  request.mutable_filter()->set_source(kNative);
  std::uint64_t listed = 0;
  do {
    grpc::ClientContext context;
    request.set_page_token(page.next_page_token());
    const grpc::Status status = stub->ListObservations(&context, request, &page);
    ASSERT_TRUE(status.ok()) << status.error_message();
    listed += static_cast<std::uint64_t>(page.observations_size());
  } while (!page.next_page_token().empty());
  EXPECT_EQ(listed, kFrames);
}

// ---- a relay that swallows what says that the peer went down ----

TEST_F(AdversaryTest, ASwallowedPeerDownLeavesTheClaimIncomplete) {
  auto [producer, wire] = StartWith(kPeerUp);
  ASSERT_EQ(Ask().verdict(), VERDICT_CONFIRMED);
  producer.Next(kPeerDown, Type::kPeerBackwardTransition, frame::Tier::kYellow);  // the relay keeps it
  Send(wire, producer.Next(kOtherPeerUp, Type::kPeerStatusChanged));
  Delivered(kNative, 2);
  Beat();
  const auto answer = Ask();
  EXPECT_EQ(answer.verdict(), VERDICT_INCOMPLETE) << answer.ShortDebugString();
  EXPECT_EQ(OpinionOf(answer, kNative)->doubt(), "GAP");
  EXPECT_EQ(AskAbout("edge-a", "192.0.2.3").verdict(), VERDICT_CONFIRMED) << "it was said after what is missing";
}

TEST_F(AdversaryTest, ASwallowedLastFrameShowsAtTheNextBeatOfItsSource) {
  auto [producer, wire] = StartWith(kPeerUp);
  ASSERT_EQ(Ask().verdict(), VERDICT_CONFIRMED);
  producer.Next(kPeerDown, Type::kPeerBackwardTransition, frame::Tier::kYellow);  // the relay keeps it
  clock_.Skip(collector::kBeatInterval);
  Send(wire, producer.Beat());
  Delivered(kNative, 2);
  EXPECT_EQ(Ask().verdict(), VERDICT_INCOMPLETE) << Ask().ShortDebugString();
}

TEST_F(AdversaryTest, ALastFrameSwallowedBehindTheCollectorShowsAtItsNextBeat) {
  StartAll();
  deliverer_.reset();  // the test is the relay
  const auto delivery = OpenDelivery();
  Producer daemon = Make(kDaemon, Spelling::kV1Le);
  const FileDescriptor wire = Connect(kDaemon);
  Send(wire, daemon.Next(kPeerUp, Type::kPeerStatusChanged));
  ASSERT_TRUE(Until([&] { return outbox_->position(kDaemon).frames == 1; }));
  collector::Heart heart("collector-1", *outbox_, *liveness_, clock_);
  ASSERT_TRUE(heart.Tick().ok());
  auto spooled = Spooled();
  Deliver(*delivery, spooled);
  ASSERT_EQ(Ask().verdict(), VERDICT_CONFIRMED) << Ask().ShortDebugString();
  const std::uint64_t passed = spooled.back().number;

  Send(wire, daemon.Next(kPeerDown, Type::kPeerBackwardTransition, frame::Tier::kYellow));
  ASSERT_TRUE(Until([&] { return outbox_->position(kDaemon).frames == 2; }));
  clock_.Skip(collector::kBeatInterval);
  ASSERT_TRUE(heart.Tick().ok());
  spooled = Spooled();
  std::erase_if(spooled, [&](const auto& frame) { return frame.number <= passed || frame.source == kDaemon; });
  ASSERT_FALSE(spooled.empty());
  Deliver(*delivery, spooled);
  const auto answer = Ask();
  EXPECT_EQ(answer.verdict(), VERDICT_INCOMPLETE) << answer.ShortDebugString();
  EXPECT_EQ(OpinionOf(answer, kDaemon)->doubt(), "TAIL_NOT_ARRIVED");
}

TEST_F(AdversaryTest, WhoSwallowsEverythingIsSilenceAfterThreeIntervals) {
  const auto connected = StartWith(kPeerUp);
  ASSERT_EQ(Ask().verdict(), VERDICT_CONFIRMED);
  // From here on nothing passes, neither frames nor the collector's beats.
  clock_.Skip(3 * collector::kBeatInterval + 1s);
  EXPECT_EQ(Ask().verdict(), verify::v1::VERDICT_SOURCE_SILENT) << Ask().ShortDebugString();
}

// ---- a valid source that speaks about what is not its own ----

TEST_F(AdversaryTest, AValidSourceAboutAnotherRouterSupportsNothing) {
  StartAll();
  site_.AddKey("edge-b.bmp", frame::Suite::kEd25519);
  testutil::LabSource source{.name = "edge-b.bmp", .suite = source::v1::SUITE_ED25519, .types = {1, 2, 3, 4, 22}};
  source.router = "edge-b";
  source.bgp_id = "192.0.2.9";
  onode_->Register(source);
  Producer producer = Make(kNative, Spelling::kV2);
  const FileDescriptor wire = Connect(kNative);
  Send(wire, producer.Next(kPeerUp, Type::kPeerStatusChanged));
  Send(wire, producer.Next(kOtherRouter, Type::kPeerStatusChanged));
  Delivered(kNative, 2);
  Beat();
  EXPECT_EQ(AskAbout("edge-b").verdict(), VERDICT_NO_EVIDENCE) << AskAbout("edge-b").ShortDebugString();
  EXPECT_EQ(AskAbout("edge-a").verdict(), VERDICT_CONFIRMED) << AskAbout("edge-a").ShortDebugString();
  ASSERT_TRUE(Until([this] { return Alarms().size() == 1; }));
  const chain::Alarm alarm = Alarms().front();
  EXPECT_EQ(alarm.source, kNative);
  EXPECT_EQ(alarm.cause, chain::kCauseScopeViolation);
}

TEST_F(AdversaryTest, AValidSourceDoesNotBeatForAnother) {
  StartAll();
  Producer daemon = Make(kDaemon, Spelling::kV1Le);
  FileDescriptor wire = Connect(kDaemon);
  Send(wire, daemon.Next(kPeerUp, Type::kPeerStatusChanged));
  Delivered(kDaemon, 1);
  Beat();
  ASSERT_EQ(Ask().verdict(), VERDICT_CONFIRMED);
  // Of another machine, with a carrier of its own.
  testutil::LabSource source{.name = "stranger", .types = {24}, .carrier = "elsewhere"};
  site_.AddKey(source.name, frame::Suite::kHmacSha256);
  onode_->Register(source);
  clock_.Skip(3 * collector::kBeatInterval + 1s);
  ASSERT_EQ(Ask().verdict(), verify::v1::VERDICT_SOURCE_SILENT);
  Producer stranger("stranger", Spelling::kV2, keys_->Find("stranger", 1), clock_);
  chain::Heartbeat beat;
  beat.sources.push_back({.source_id = frame::SourceIdOf(kDaemon),
                          .epoch = outbox_->position(kDaemon).epoch,
                          .last_sequence = 1,
                          .connected = true});
  deliver::GrpcConnector elsewhere([this](const std::string&) -> absl::StatusOr<std::shared_ptr<grpc::Channel>> {
    return onode_->Channel(Role::kCollector, "elsewhere");
  });
  auto delivery = elsewhere.Connect("test").value();
  ASSERT_TRUE(delivery->Open({pki_.Id(Role::kCollector, "elsewhere"), e2e::kOrigin, ""}, 10s).ok());
  const auto results = Deliver(*delivery, {{1, "stranger", stranger.epoch(), Spelling::kV2,
                                            stranger.Next(chain::BuildHeartbeat(beat), Type::kHeartbeat)}});
  ASSERT_EQ(results.size(), 1U);
  EXPECT_EQ(results[0].outcome, deliver::FrameResult::Outcome::kAppended);
  EXPECT_EQ(Ask().verdict(), verify::v1::VERDICT_SOURCE_SILENT) << Ask().ShortDebugString();
  ASSERT_TRUE(Until([this] { return Alarms().size() == 1; }));
  EXPECT_EQ(Alarms().front().source, "stranger");
}

// ---- recordings ----

TEST_F(AdversaryTest, ARecordedVersion1StreamIsReplayed) {
  StartAll();
  Producer daemon = Make(kDaemon, Spelling::kV1Le);
  std::string recording;
  constexpr std::uint64_t kFrames = 1'200;  // more than are remembered to tell duplicates
  for (std::uint64_t i = 0; i < kFrames; ++i)
    recording += daemon.Next(i + 1 < kFrames ? kOtherPeerUp : kPeerUp, Type::kPeerStatusChanged);
  {
    const FileDescriptor wire = Connect(kDaemon);
    Send(wire, recording);
    Delivered(kDaemon, kFrames);
    Send(wire, daemon.Next(kPeerDown, Type::kPeerBackwardTransition, frame::Tier::kYellow));
    Delivered(kDaemon, kFrames + 1);
  }
  ASSERT_TRUE(Until([&] { return listeners_[kDaemon]->connections() == 0; }));
  Beat();
  const auto replay = [&](std::uint64_t times) {
    const FileDescriptor wire = Connect(kDaemon);
    Send(wire, recording);
    EXPECT_TRUE(testutil::ClosedByPeer(wire.get()));
    EXPECT_TRUE(Until([&] { return listeners_[kDaemon]->counters().ended_by.count("REPLAYED") == times; }));
  };
  replay(1);
  EXPECT_EQ(outbox_->position(kDaemon).frames, kFrames + 1);
  clock_.Skip(5s);
  daemon.Restart();
  {
    const FileDescriptor wire = Connect(kDaemon);
    Send(wire, daemon.Next(kPeerDown, Type::kPeerBackwardTransition, frame::Tier::kYellow));
    Delivered(kDaemon, kFrames + 2);
  }
  replay(2);  // nor is it a run of its own after the producer's next one
  EXPECT_EQ(outbox_->position(kDaemon).frames, kFrames + 2);
  const FileDescriptor wire = Connect(kDaemon);
  Send(wire, daemon.Next(kPeerDown, Type::kPeerBackwardTransition, frame::Tier::kYellow));
  Delivered(kDaemon, kFrames + 3);
  Beat();
  EXPECT_EQ(Ask().verdict(), verify::v1::VERDICT_REFUTED) << Ask().ShortDebugString();
}

TEST_F(AdversaryTest, TheONodeTooSaysReplayedWhateverEpochIsClaimed) {
  StartAll();
  deliverer_.reset();
  const auto delivery = OpenDelivery();
  Producer daemon = Make(kDaemon, Spelling::kV1Le);
  const std::string first = daemon.Next(kPeerUp, Type::kPeerStatusChanged);
  const std::string kept_back = daemon.Next(kPeerUp, Type::kPeerStatusChanged);
  const std::string last = daemon.Next(kPeerDown, Type::kPeerBackwardTransition, frame::Tier::kYellow);
  const std::uint64_t epoch = frame::Decode(first, Spelling::kV1Le)->header.timestamp;
  const auto send = [&](std::uint64_t number, const std::string& bytes, std::uint64_t claimed) {
    return Deliver(*delivery, {{number, kDaemon, claimed, Spelling::kV1Le, bytes}}).at(0);
  };
  using Outcome = deliver::FrameResult::Outcome;
  EXPECT_EQ(send(1, first, epoch).outcome, Outcome::kAppended);
  EXPECT_EQ(send(2, last, epoch).outcome, Outcome::kAppended);
  const std::uint64_t stamp = frame::Decode(kept_back, Spelling::kV1Le)->header.timestamp;
  std::uint64_t number = 2;
  for (const std::uint64_t claimed : {epoch, stamp, epoch - 1, epoch + 1, clock_.NowNanos()}) {
    const auto result = send(++number, kept_back, claimed);
    EXPECT_EQ(result.outcome, Outcome::kRefused) << claimed;
    EXPECT_EQ(result.reason, frame::Reason::kReplayed) << claimed << " " << frame::ReasonName(result.reason);
  }
  EXPECT_EQ(send(++number, first, epoch).outcome, Outcome::kDuplicate);
}

}  // namespace
}  // namespace virp::hostile
