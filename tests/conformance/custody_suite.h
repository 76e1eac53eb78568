// What every custody of the key manager must do alike. A back end's test includes this and says how to make one:
//
//   INSTANTIATE_TEST_SUITE_P(Software, CustodyTest, testing::Values(CustodyMaker{"software", MakeSoftware}));
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/error_info.h"
#include "lib/crypto/ed25519.h"
#include "lib/crypto/mac.h"
#include "lib/crypto/p256.h"
#include "lib/crypto/sha256.h"
#include "services/keymgr/domain/custody.h"
#include "tests/testutil/status_matchers.h"

namespace virp::keymgr {

// A custody with all that it stands on.
class CustodyUnderTest {
 public:
  virtual ~CustodyUnderTest() = default;
  virtual Custody& custody() = 0;
  // Another one over the same keys, as after a restart.
  virtual void Restart() = 0;
};

struct CustodyMaker {
  std::string name;
  std::function<std::unique_ptr<CustodyUnderTest>()> make;
};
inline void PrintTo(const CustodyMaker& maker, std::ostream* out) {
  *out << maker.name;
}

class CustodyTest : public testing::TestWithParam<CustodyMaker> {
 protected:
  CustodyTest() : under_test_(GetParam().make()) {}
  Custody& custody() { return under_test_->custody(); }

  static KeyIdentity Router(std::string id = "edge-a/64496", std::uint32_t version = 1) {
    return {KeyKind::kRouter, std::move(id), version, Algorithm::kEcdsaP256};
  }
  static KeyIdentity Hmac() { return {KeyKind::kObservation, "edge-a.bgpd", 1, Algorithm::kHmacSha256}; }
  static KeyIdentity Ed25519() { return {KeyKind::kObservation, "edge-a.bgpd", 2, Algorithm::kEd25519}; }
  static KeyIdentity Octets() { return {KeyKind::kTcpAo, "a/b", 1, Algorithm::kOctets}; }

  // Whether `tag` is the key's over `message`, by the public half or the exported secret alone.
  void ExpectGood(const SealedKey& key, std::string_view message, std::string_view tag) {
    switch (key.identity.algorithm) {
      case Algorithm::kEcdsaP256: {
        ASSERT_OK_AND_ASSIGN(const auto verifier, crypto::P256PublicKey::FromPoint(key.public_half));
        EXPECT_TRUE(verifier.VerifyDigest(crypto::Sha256(message), tag));
        return;
      }
      case Algorithm::kEd25519: {
        ASSERT_OK_AND_ASSIGN(const auto verifier, crypto::Ed25519PublicKey::FromBytes(key.public_half));
        EXPECT_TRUE(verifier.Verify(message, tag));
        return;
      }
      default: {
        ASSERT_OK_AND_ASSIGN(const auto secret, custody().Export(key));
        EXPECT_TRUE(crypto::HmacKey(secret.view()).Verify(message, tag));
      }
    }
  }

  std::unique_ptr<CustodyUnderTest> under_test_;
};

TEST_P(CustodyTest, KeysSignAndSignAgainAfterARestart) {
  const std::pair<KeyIdentity, ExportPolicy> wanted[] = {
      {Router(), ExportPolicy::kOnce}, {Ed25519(), ExportPolicy::kNever}, {Hmac(), ExportPolicy::kShared}};
  for (const auto& [identity, policy] : wanted) {
    SCOPED_TRACE(ToString(identity));
    ASSERT_OK_AND_ASSIGN(const SealedKey key, custody().Generate(identity, policy));
    EXPECT_EQ(key.identity, identity);
    EXPECT_EQ(key.policy, policy);
    EXPECT_EQ(key.custody, custody().name());
    EXPECT_FALSE(key.locked);
    EXPECT_EQ(key.public_half.empty(), IsSymmetric(identity.algorithm));
    for (int i = 0; i < 2; ++i) {
      ASSERT_OK_AND_ASSIGN(const std::string tag, custody().Sign(key, "what was observed"));
      ExpectGood(key, "what was observed", tag);
      under_test_->Restart();
    }
  }
}

TEST_P(CustodyTest, NoTwoKeysAreAlike) {
  std::set<std::string> seen;
  for (std::uint32_t version = 1; version <= 20; ++version) {
    ASSERT_OK_AND_ASSIGN(const SealedKey key, custody().Generate(Router("r", version), ExportPolicy::kNever));
    EXPECT_TRUE(seen.insert(key.public_half).second);
    EXPECT_TRUE(seen.insert(key.blob).second);
  }
}

TEST_P(CustodyTest, WhatIsImportedComesOutAgainAndNothingElse) {
  const std::pair<KeyIdentity, ExportPolicy> wanted[] = {
      {Router(), ExportPolicy::kOnce}, {Octets(), ExportPolicy::kShared}, {Hmac(), ExportPolicy::kShared}};
  for (const auto& [identity, policy] : wanted) {
    SCOPED_TRACE(ToString(identity));
    const crypto::Secret secret(std::string(32, '\x21'));
    ASSERT_OK_AND_ASSIGN(const SealedKey key, custody().Import(identity, policy, secret));
    EXPECT_EQ(key.blob.find(secret.view()), std::string::npos);
    ASSERT_OK_AND_ASSIGN(const crypto::Secret out, custody().Export(key));
    EXPECT_TRUE(crypto::EqualConstantTime(out, secret));
  }
  EXPECT_FALSE(custody().Import(Router(), ExportPolicy::kOnce, crypto::Secret(std::string(32, '\xff'))).ok());
  EXPECT_FALSE(custody().Import(Router(), ExportPolicy::kOnce, crypto::Secret(std::string(31, '\x21'))).ok());
  EXPECT_FALSE(custody().Import(Hmac(), ExportPolicy::kShared, crypto::Secret(std::string(15, '\x21'))).ok());
}

TEST_P(CustodyTest, APolicyIsKept) {
  ASSERT_OK_AND_ASSIGN(const SealedKey never, custody().Generate(Router("never"), ExportPolicy::kNever));
  EXPECT_EQ(GetReason(custody().Export(never).status()), "NOT_EXPORTABLE");
  ASSERT_OK_AND_ASSIGN(SealedKey once, custody().Generate(Router("once"), ExportPolicy::kOnce));
  EXPECT_OK(custody().Export(once));
  once.locked = true;
  for (int i = 0; i < 2; ++i) {
    EXPECT_OK(custody().Lock(once)) << "may be repeated";
    EXPECT_EQ(GetReason(custody().Export(once).status()), "NOT_EXPORTABLE");
    EXPECT_OK(custody().Sign(once, "it signs on"));
  }
  EXPECT_FALSE(custody().Generate(Router(), ExportPolicy::kShared).ok());
  EXPECT_FALSE(custody().Generate(Router("UPPER"), ExportPolicy::kNever).ok());
}

TEST_P(CustodyTest, ARecordInAnothersPlaceDoesNotOpen) {
  ASSERT_OK_AND_ASSIGN(const SealedKey a, custody().Generate(Router("a"), ExportPolicy::kNever));
  ASSERT_OK_AND_ASSIGN(const SealedKey b, custody().Generate(Router("b"), ExportPolicy::kNever));
  SealedKey swapped = a;
  swapped.blob = b.blob;
  EXPECT_EQ(GetReason(custody().Sign(swapped, "x").status()), "KEY_DAMAGED");
  SealedKey renamed = a;
  renamed.identity.version = 2;
  EXPECT_EQ(GetReason(custody().Sign(renamed, "x").status()), "KEY_DAMAGED");
  SealedKey widened = a;  // somebody edits the policy in the database
  widened.policy = ExportPolicy::kOnce;
  EXPECT_FALSE(custody().Export(widened).ok());
  SealedKey cut = a;
  cut.blob.resize(cut.blob.size() / 2);
  EXPECT_EQ(GetReason(custody().Sign(cut, "x").status()), "KEY_DAMAGED");
}

TEST_P(CustodyTest, WhatCrashesLeaveBehindIsFinished) {
  ASSERT_OK_AND_ASSIGN(const SealedKey kept, custody().Generate(Router("kept"), ExportPolicy::kOnce));
  ASSERT_OK_AND_ASSIGN(const SealedKey dropped, custody().Generate(Router("dropped"), ExportPolicy::kOnce));
  SealedKey locked = kept;
  locked.locked = true;
  EXPECT_OK(custody().Destroy(dropped));
  EXPECT_OK(custody().Destroy(dropped)) << "may be repeated";
  under_test_->Restart();
  EXPECT_OK(custody().Reconcile({locked}));
  EXPECT_OK(custody().Sign(locked, "x"));
  EXPECT_FALSE(custody().Export(locked).ok());
}

}  // namespace virp::keymgr
