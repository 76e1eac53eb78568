// What tests of the collector share: an outbox in a folder of its own that can be closed and opened again, keys, and
// frames as producers make them.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/chain/control.h"
#include "lib/deliver/outbox.h"
#include "lib/frame/key_ring.h"
#include "lib/frame/payload.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"

namespace virp::deliver::testing {

inline std::shared_ptr<const frame::OKey> KeyOf(std::string_view source) {
  std::string secret(32, '\0');
  for (std::size_t i = 0; i < secret.size(); ++i)
    secret[i] = static_cast<char>(source[i % source.size()] ^ static_cast<char>(i));
  return frame::OKey::Hmac(secret).value();
}

// A signed frame. Version 1: `epoch` is not in it. `wrong` signs with another source's key.
struct FrameSpec {
  frame::Spelling spelling = frame::Spelling::kV1Le;
  std::string_view source = "edge-a.bgpd";
  std::uint64_t sequence = 1;
  UnixNanos time = 0;
  std::uint64_t epoch = 1;
  std::uint32_t producer_id = 0;
  std::string_view payload = R"({"domain":"bgp","event":"peer_down"})";
  bool wrong_key = false;
};

inline std::string MakeFrame(const FrameSpec& spec) {
  frame::Header header;
  header.spelling = spec.spelling;
  header.type = frame::Type::kPeerBackwardTransition;
  header.tier = frame::Tier::kYellow;
  header.timestamp = spec.time;
  header.sequence = spec.sequence;
  if (spec.spelling == frame::Spelling::kV1Producer) header.producer_id = spec.producer_id;
  if (spec.spelling == frame::Spelling::kV2) {
    header.key_version = 1;
    header.boot_epoch = spec.epoch;
    header.source_id = frame::SourceIdOf(spec.source);
  }
  return frame::EncodeSigned(header, spec.payload, *KeyOf(spec.wrong_key ? "somebody-else" : spec.source)).value();
}

class OutboxTest : public ::testing::Test {
 protected:
  OutboxTest() {
    for (const char* source : {"collector-1", "edge-a.bgpd", "edge-b.bgpd"}) {
      keys_.Put(source, {1, KeyOf(source), 0, std::nullopt});
    }
  }

  absl::Status Open(std::vector<OutboxState*> states = {}, std::uint64_t max_bytes = 64ULL << 20,
                    EmitGate* gate = nullptr) {
    outbox_.reset();
    SpoolOptions options;
    options.directory = folder_.File("spool");
    options.max_bytes = max_bytes;
    options.segment_bytes = 1 << 20;
    ASSIGN_OR_RETURN(outbox_, Outbox::Open(options, keys_, clock_, std::move(states), gate));
    return absl::OkStatus();
  }
  std::vector<Spool::SpooledFrame> Spooled() {
    EXPECT_OK(outbox_->Sync(outbox_->spool().stats().last));
    return outbox_->spool().Read(0, 10'000, 16 << 20).value();
  }
  // Of a spool in which there is nothing else.
  std::vector<chain::Alarm> SpooledAlarms() {
    std::vector<chain::Alarm> out;
    for (const auto& spooled : Spooled()) {
      const frame::Frame frame = frame::Decode(spooled.bytes, spooled.spelling).value();
      EXPECT_EQ(frame.header.type, frame::Type::kChannelAlarm);
      EXPECT_EQ(spooled.source, "collector-1");
      frame::PayloadReader reader;
      out.push_back(chain::ParseAlarm(reader.Read(frame.payload).value()).value());
    }
    return out;
  }
  // Of frames of version 2.
  static std::vector<std::uint64_t> Numbers(const std::vector<Spool::SpooledFrame>& frames, std::string_view source) {
    std::vector<std::uint64_t> out;
    for (const auto& frame : frames) {
      if (frame.source == source) out.push_back(frame::Decode(frame.bytes, frame.spelling).value().header.sequence);
    }
    return out;
  }

  testutil::TempDir folder_;
  FakeClock clock_;
  frame::KeyRing keys_;
  std::unique_ptr<Outbox> outbox_;
};

}  // namespace virp::deliver::testing
