#include "lib/chain/claim_bundle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/base/status.h"
#include "lib/chain/chain_vectors.h"

namespace virp::chain {
namespace {

using ::testing::HasSubstr;

ByteSink SinkTo(std::string& out) {
  return [&out](std::string_view bytes) {
    out += bytes;
    return absl::OkStatus();
  };
}

// Proof of an entry of the valid chain at size 12.
Proof ProofOf(std::uint64_t index) {
  const auto& chain = VectorChain("valid");
  Proof proof;
  proof.entry = VectorEntries("valid")[index];
  proof.index = index;
  for (const auto& vector : chain["inclusion"]) {
    if (vector["size"].get<std::uint64_t>() == 12 && vector["index"].get<std::uint64_t>() == index) {
      proof.path = UnhexHashes(vector["path_hex"]);
    }
  }
  proof.checkpoint = Text(chain["checkpoints"][11]["note"]);
  return proof;
}

std::vector<VerifierKey> Keys() {
  return {VerifierKey::Parse(Text(VectorChain("valid")["verifier_key"])).value()};
}

ClaimBundle SomeBundle() {
  return {R"({"verdict":"CONFIRMED"})", {ProofOf(3), ProofOf(5), ProofOf(10)}};
}

std::string Written(const ClaimBundle& bundle) {
  std::string out;
  const absl::Status written = WriteClaimBundle(bundle, SinkTo(out));
  EXPECT_TRUE(written.ok()) << written;
  return out;
}

std::string Pack(const std::vector<std::pair<std::string, std::string>>& files) {
  std::string out;
  TarWriter tar(SinkTo(out));
  for (const auto& [name, content] : files) EXPECT_TRUE(tar.Add(name, content).ok());
  EXPECT_TRUE(tar.Finish().ok());
  return out;
}

void ExpectRefused(std::string_view tar, std::string_view why) {
  const auto bundle = ReadClaimBundle(SourceFrom(tar));
  ASSERT_EQ(bundle.status().code(), absl::StatusCode::kInvalidArgument) << why;
  EXPECT_THAT(std::string(Message(bundle.status())), HasSubstr(std::string(why)));
}

TEST(ClaimBundle, RoundTripAndProofsVerify) {
  const std::string tar = Written(SomeBundle());
  const auto bundle = ReadClaimBundle(SourceFrom(tar));
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  EXPECT_EQ(bundle->claim_json, SomeBundle().claim_json);
  ASSERT_EQ(bundle->proofs.size(), 3u);
  for (const Proof& proof : bundle->proofs) EXPECT_TRUE(VerifyProof(proof, Keys()).ok());
  EXPECT_EQ(bundle->proofs[1].index, 5u);
  EXPECT_EQ(Written(*bundle), tar);
  EXPECT_TRUE(ReadClaimBundle(SourceFrom(Written({"{}", {}})))->proofs.empty());
}

TEST(ClaimBundle, EveryChangedByteIsRefused) {
  const std::string good = Written({"{}", {ProofOf(3)}});
  const std::size_t claim_at = good.find("{}");
  for (std::size_t i = 0; i < good.size(); ++i) {
    if (i == claim_at || i == claim_at + 1) continue;  // its author is the channel that it came through
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x02);
    const auto bundle = ReadClaimBundle(SourceFrom(bad));
    if (bundle.ok()) {
      ASSERT_EQ(bundle->proofs.size(), 1u);
      EXPECT_FALSE(VerifyProof(bundle->proofs[0], Keys()).ok()) << "byte " << i;
    }
  }
}

TEST(ClaimBundle, WhatIsRefused) {
  const std::string proof3 = EncodeProof(ProofOf(3));
  const std::string proof5 = EncodeProof(ProofOf(5));
  const std::string name3 = "proof/00000000000000000003.tlog-proof";
  const std::string name5 = "proof/00000000000000000005.tlog-proof";
  ASSERT_TRUE(ReadClaimBundle(SourceFrom(Pack({{"claim.json", "{}"}, {name3, proof3}, {name5, proof5}}))).ok());
  ExpectRefused(Pack({}), "begin with claim.json");
  ExpectRefused(Pack({{name3, proof3}, {"claim.json", "{}"}}), "begin with claim.json");
  ExpectRefused(Pack({{"claim.json", "{}"}, {"claim.json", "{}"}}), "line 1");
  ExpectRefused(Pack({{"claim.json", "{}"}, {name5, proof5}, {name3, proof3}}), "entry 3 after that of 5");
  ExpectRefused(Pack({{"claim.json", "{}"}, {name3, proof3}, {name3, proof3}}), "entry 3 after that of 3");
  ExpectRefused(Pack({{"claim.json", "{}"}, {name3, proof5}}), "is of entry 5");
  ExpectRefused(Pack({{"claim.json", "{}"}, {"proof/3.tlog-proof", proof3}}), "is of entry 3");
  ExpectRefused(Pack({{"claim.json", "{}"}, {name3, "nothing"}}), "line 1");
  ExpectRefused(Pack({{"claim.json", std::string(kMaxClaimFile + 1, ' ')}}), "at most 1048576");
  ExpectRefused(Pack({{"claim.json", "{}"}, {name3, std::string((1 << 20) + 1, ' ')}}), "at most 1048576");
  EXPECT_EQ(ReadClaimBundle(SourceFrom("")).status().code(), absl::StatusCode::kDataLoss);
}

TEST(ClaimBundle, LimitsHoldForWritersToo) {
  std::string out;
  const auto code = [&](const ClaimBundle& bundle) { return WriteClaimBundle(bundle, SinkTo(out)).code(); };
  EXPECT_EQ(code({std::string(kMaxClaimFile + 1, ' '), {}}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({"{}", {ProofOf(5), ProofOf(3)}}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({"{}", {ProofOf(5), ProofOf(5)}}), absl::StatusCode::kInvalidArgument);
  ClaimBundle many{"{}", {}};
  for (std::uint64_t i = 0; i <= kMaxClaimProofs; ++i) many.proofs.push_back({"", i, {}, ProofOf(3).checkpoint});
  EXPECT_EQ(code(many), absl::StatusCode::kInvalidArgument);
  many.proofs.pop_back();
  EXPECT_EQ(ReadClaimBundle(SourceFrom(Written(many)))->proofs.size(), kMaxClaimProofs);
  for (Proof& proof : many.proofs) proof.entry = std::string(20'000, 'x');
  EXPECT_EQ(code(many), absl::StatusCode::kInvalidArgument);
  const auto full = [](std::string_view) { return ResourceExhausted("disk full"); };
  EXPECT_EQ(WriteClaimBundle(SomeBundle(), full).code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace virp::chain
