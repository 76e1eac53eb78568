#include "services/onode/domain/rolled_keys.h"

#include <gtest/gtest.h>

#include "tests/testutil/must.h"

namespace virp::onode {
namespace {

using testutil::Must;

constexpr std::string_view kOrigin = "virp.example.net/site1";

chain::VerifierKey KeyOf(std::string_view name) {
  return Must(chain::CheckpointSigner::FromSeed(name, std::string(32, 'n'))).verifier_key();
}

class RolledKeysTest : public ::testing::Test {
 protected:
  RolledKeysTest() {
    entry_.header.source = frame::ShortIdOf(kOrigin);
    entry_.header.sequence = 41;
    frame_.header.type = frame::Type::kForeignCheckpoint;
  }
  std::optional<RolledKey> Read(std::string_view payload) {
    return ReadRoll(kOrigin, entry_, frame_, Must(reader_.Read(payload)));
  }

  const chain::VerifierKey key_ = KeyOf(kOrigin);
  const std::string payload_ = BuildRoll(key_, "spiffe://example.net/operator/ann", "yearly", "r-1");
  chain::Entry entry_;
  frame::Frame frame_;
  frame::PayloadReader reader_;
};

TEST_F(RolledKeysTest, WhatIsBuiltIsRead) {
  const auto roll = Read(payload_);
  ASSERT_TRUE(roll.has_value()) << payload_;
  EXPECT_EQ(roll->entry, 41U);
  EXPECT_EQ(roll->request_id, "r-1");
  EXPECT_EQ(roll->key, key_);
}

TEST_F(RolledKeysTest, OnlyTheChainItselfRolls) {
  entry_.header.source = frame::ShortIdOf("edge-a.bgpd");
  EXPECT_FALSE(Read(payload_).has_value());
}

TEST_F(RolledKeysTest, OnlyInAVerifiedEntryOfItsType) {
  entry_.header.result = 1;
  EXPECT_FALSE(Read(payload_).has_value());
  entry_.header.result = 0;
  frame_.header.type = frame::Type::kDecision;
  EXPECT_FALSE(Read(payload_).has_value());
  frame_.header.type = frame::Type::kForeignCheckpoint;
  EXPECT_FALSE(ReadRoll(kOrigin, entry_, frame_, std::nullopt).has_value());
  EXPECT_TRUE(Read(payload_).has_value());
}

TEST_F(RolledKeysTest, NotToAKeyOfAnotherNameOrNone) {
  EXPECT_FALSE(Read(BuildRoll(KeyOf("virp.example.net/site2"), "", "", "")).has_value());
  const std::string head = R"({"domain":"virp","event":"checkpoint_key","source":"virp.example.net/site1")";
  for (const char* tail : {"}", R"(,"verifier_key":""})", R"(,"verifier_key":7})", R"(,"verifier_key":"x+y+z"})"}) {
    EXPECT_FALSE(Read(head + tail).has_value()) << tail;
  }
  EXPECT_TRUE(Read(head + R"(,"verifier_key":")" + key_.ToString() + "\"}").has_value());
  EXPECT_FALSE(Read(R"({"domain":"virp","event":"predecessor","source":"virp.example.net/site1","verifier_key":")" +
                    key_.ToString() + "\"}")
                   .has_value());
}

}  // namespace
}  // namespace virp::onode
