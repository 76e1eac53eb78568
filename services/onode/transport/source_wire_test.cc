#include "services/onode/transport/source_wire.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>

#include <limits>
#include <string>
#include <utility>

#include "lib/base/error_info.h"
#include "tests/testutil/status_matchers.h"

namespace virp::onode {
namespace {

namespace pb = ::virp::source::v1;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr const char* kSource = R"(
  name: "edge-a.bgpd" suite: SUITE_ED25519 key_version: 3 min_frame_version: 1 vantage: VANTAGE_SERVICE
  types: [1, 255]
  routers { name: "edge-a" bgp_ids: "192.0.2.1" addresses: "2001:db8::1" vrfs: ["default", "red"] }
  subject_prefixes: "ntp/" carried_by: "spiffe://example.org/collector/one")";

pb::Source Parse(const std::string& text) {
  pb::Source message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

TEST(SourceWire, EverythingThatMayBeSaidComesOutAgain) {
  const pb::Source said = Parse(kSource);
  chain::Source source;
  ASSERT_OK_AND_ASSIGN(source.registration, RegistrationOf(said));
  pb::Source shown = MessageOf(source, nullptr);
  EXPECT_EQ(shown.etag(), EtagOf(source));
  EXPECT_EQ(shown.channel_state(), "OK");
  shown.clear_etag();
  shown.clear_channel_state();
  EXPECT_EQ(shown.ShortDebugString(), said.ShortDebugString());
}

TEST(SourceWire, WhatIsLeftOutIsTheDefault) {
  ASSERT_OK_AND_ASSIGN(
      const chain::Registration registration,
      RegistrationOf(Parse(R"(name: "a" suite: SUITE_HMAC_SHA256 vantage: VANTAGE_DAEMON routers { name: "r" })")));
  EXPECT_EQ(registration.key.version, 1U);
  EXPECT_EQ(registration.key.suite, frame::Suite::kHmacSha256);
  EXPECT_EQ(registration.min_frame_version, 2);
  EXPECT_EQ(registration.vantage, chain::Vantage::kDaemon);
  EXPECT_THAT(registration.types, IsEmpty());
  ASSERT_EQ(registration.routers.size(), 1U);
  EXPECT_THAT(registration.routers[0].vrfs, ElementsAre("default"));
}

TEST(SourceWire, EachMistakeIsNamedByItsField) {
  const auto field = [](auto change) {
    pb::Source message = Parse(kSource);
    change(message);
    const absl::Status status = RegistrationOf(message).status();
    const auto fields = GetFields(status);
    return fields.size() == 1 && absl::IsInvalidArgument(status) ? fields[0].field : status.ToString();
  };
  for (const int number : {-1, 0, 3, std::numeric_limits<int>::max()}) {
    EXPECT_EQ(field([&](pb::Source& m) { m.set_suite(static_cast<pb::Suite>(number)); }), "source.suite") << number;
  }
  for (const int number : {-1, 0, 5, std::numeric_limits<int>::max()}) {
    EXPECT_EQ(field([&](pb::Source& m) { m.set_vantage(static_cast<pb::Vantage>(number)); }), "source.vantage")
        << number;
  }
  for (const std::uint32_t version : {3U, 257U, std::numeric_limits<std::uint32_t>::max()}) {
    EXPECT_EQ(field([&](pb::Source& m) { m.set_min_frame_version(version); }), "source.min_frame_version") << version;
  }
  for (const std::uint32_t type : {0U, 256U, std::numeric_limits<std::uint32_t>::max()}) {
    EXPECT_EQ(field([&](pb::Source& m) { m.add_types(type); }), "source.types") << type;
  }
}

TEST(SourceWire, TheEtagChangesWithWhatIsRegisteredKeysAndSuspension) {
  chain::Source source;
  ASSERT_OK_AND_ASSIGN(source.registration, RegistrationOf(Parse(kSource)));
  const std::string before = EtagOf(source);
  EXPECT_EQ(EtagOf(source), before);
  chain::Source other = source;
  other.registration.types.push_back(7);
  EXPECT_NE(EtagOf(other), before);
  other = source;
  other.suspended = true;
  EXPECT_NE(EtagOf(other), before);
  other = source;
  other.keys[3] = {};
  EXPECT_NE(EtagOf(other), before);
}

TEST(SourceWire, KeysAndChannelAreShownAsTheyStand) {
  chain::Source source;
  ASSERT_OK_AND_ASSIGN(source.registration, RegistrationOf(Parse(kSource)));
  chain::KeyState& key = source.keys[3];
  key.statement = {.version = 3, .suite = frame::Suite::kEd25519, .public_key = std::string(32, 'p')};
  key.statement.accept_from = 1'000'000'000;
  key.compromised_since = 5'500'000'000;

  chain::Channel channel;
  channel.newest_epoch = 20;
  channel.held = 12;
  channel.last_entry = 40;
  channel.clock_offset_ns = -5;
  channel.alarms["BAD_TAG"] = {.cause = "BAD_TAG", .state = chain::ChannelState::kAlarmed, .entry = 39, .count = 2};
  channel.epochs[10] = {.epoch = 10, .next = 9, .missing = {{.from = 2, .to = 3}}};
  channel.epochs[20] = {.epoch = 20, .next = 5, .missing = {{.from = 1, .to = 1}, {.from = 4, .to = 4}}};

  const pb::Source shown = MessageOf(source, &channel);
  ASSERT_EQ(shown.keys_size(), 1);
  EXPECT_EQ(shown.keys(0).version(), 3U);
  EXPECT_EQ(shown.keys(0).suite(), pb::SUITE_ED25519);
  EXPECT_EQ(shown.keys(0).accept_from().seconds(), 1);
  EXPECT_FALSE(shown.keys(0).has_accept_until());
  EXPECT_EQ(shown.keys(0).compromised_since().nanos(), 500'000'000);
  EXPECT_EQ(shown.channel_state(), "ALARMED");
  ASSERT_EQ(shown.alarms_size(), 1);
  EXPECT_EQ(shown.alarms(0).ShortDebugString(), R"(cause: "BAD_TAG" state: "ALARMED" entry: 39 count: 2)");
  EXPECT_EQ(shown.newest_epoch(), 20U);
  EXPECT_EQ(shown.next_sequence(), 5U) << "the newest epoch's";
  EXPECT_EQ(shown.held(), 12U);
  EXPECT_EQ(shown.newest_entry(), 40U);
  EXPECT_EQ(shown.clock_offset_ns(), -5);
  EXPECT_THAT(shown.missing(), ElementsAre("10:2-3", "20:1-1", "20:4-4"));

  channel.epochs[10].missing.assign(1'000, {.from = 2, .to = 2});
  EXPECT_EQ(MessageOf(source, &channel).missing_size(), 100) << "a message stays small whatever was lost";
}

}  // namespace
}  // namespace virp::onode
