#include "services/keymgr/domain/key.h"

#include <gtest/gtest.h>

#include <set>

#include "lib/base/error_info.h"
#include "lib/base/status.h"

namespace virp::keymgr {
namespace {

KeyIdentity Router(std::string id = "edge-a/64496", std::uint32_t version = 1) {
  return {KeyKind::kRouter, std::move(id), version, Algorithm::kEcdsaP256};
}

TEST(Key, NamesGoThereAndBack) {
  for (int i = 1; i <= 6; ++i) {
    EXPECT_EQ(KeyKindFromName(KeyKindName(static_cast<KeyKind>(i))), static_cast<KeyKind>(i));
  }
  for (int i = 1; i <= 5; ++i)
    EXPECT_EQ(AlgorithmFromName(AlgorithmName(static_cast<Algorithm>(i))), static_cast<Algorithm>(i));
  for (int i = 1; i <= 4; ++i)
    EXPECT_EQ(ExportPolicyFromName(ExportPolicyName(static_cast<ExportPolicy>(i))), static_cast<ExportPolicy>(i));
  EXPECT_EQ(KeyKindFromName("tls"), std::nullopt);
}

TEST(Key, IdentityIsChecked) {
  EXPECT_TRUE(CheckIdentity(Router()).ok());
  EXPECT_FALSE(CheckIdentity(Router("Edge")).ok());
  EXPECT_FALSE(CheckIdentity(Router("")).ok());
  EXPECT_FALSE(CheckIdentity(Router("a//b")).ok());
  EXPECT_FALSE(CheckIdentity(Router(std::string(300, 'a'))).ok());
  EXPECT_FALSE(CheckIdentity(Router("a", 0)).ok());
  for (const Algorithm other : {Algorithm::kHmacSha256, Algorithm::kEd25519, Algorithm::kRsa2048, Algorithm::kOctets}) {
    EXPECT_FALSE(CheckIdentity({KeyKind::kRouter, "a", 1, other}).ok()) << AlgorithmName(other);
  }
  EXPECT_FALSE(CheckIdentity({KeyKind::kObservation, "a", 1, Algorithm::kRsa2048}).ok());
  EXPECT_FALSE(CheckIdentity({static_cast<KeyKind>(9), "a", 1, Algorithm::kEd25519}).ok());
}

TEST(Key, ExportPoliciesFitTheKey) {
  const KeyIdentity shared{KeyKind::kTcpAo, "a", 1, Algorithm::kOctets};
  const KeyIdentity ca{KeyKind::kIssuer, "ca", 1, Algorithm::kRsa2048};
  EXPECT_TRUE(CheckExportPolicy(Router(), ExportPolicy::kOnce).ok());
  EXPECT_TRUE(CheckExportPolicy(Router(), ExportPolicy::kEscrowOnly).ok());
  EXPECT_FALSE(CheckExportPolicy(Router(), ExportPolicy::kShared).ok());
  EXPECT_TRUE(CheckExportPolicy(shared, ExportPolicy::kShared).ok());
  EXPECT_FALSE(CheckExportPolicy(shared, ExportPolicy::kOnce).ok());
  EXPECT_TRUE(CheckExportPolicy(ca, ExportPolicy::kNever).ok());
  EXPECT_FALSE(CheckExportPolicy(ca, ExportPolicy::kOnce).ok());
  EXPECT_FALSE(CheckExportPolicy(ca, static_cast<ExportPolicy>(0)).ok());
}

TEST(Key, NoTwoIdentitiesHaveOneAssociatedData) {
  std::set<std::string> seen;
  std::size_t made = 0;
  for (const std::string id : {"a", "ab", "a/b", "b"}) {
    for (const std::uint32_t version : {1U, 2U, 0x61'00'00'00U}) {
      for (const KeyKind kind : {KeyKind::kObservation, KeyKind::kRouter, KeyKind::kTcpAo}) {
        for (const Algorithm algorithm : {Algorithm::kEd25519, Algorithm::kHmacSha256}) {
          seen.insert(AssociatedData({kind, id, version, algorithm}));
          ++made;
        }
      }
    }
  }
  EXPECT_EQ(seen.size(), made);
}

TEST(Key, CompromisedAndDestroyedAreNeverUsedAgain) {
  for (int to = 1; to <= 4; ++to) {
    EXPECT_FALSE(CanMove(KeyState::kCompromised, static_cast<KeyState>(to))) << to;
    EXPECT_FALSE(CanMove(KeyState::kDestroyed, static_cast<KeyState>(to))) << to;
    EXPECT_FALSE(CanMove(static_cast<KeyState>(to), static_cast<KeyState>(to))) << to;
    EXPECT_TRUE(CanMove(static_cast<KeyState>(to), KeyState::kCompromised)) << to;
    EXPECT_TRUE(CanMove(static_cast<KeyState>(to), KeyState::kDestroyed)) << to;
  }
  EXPECT_FALSE(CanMove(KeyState::kDeactivated, KeyState::kActive));
  EXPECT_FALSE(CanMove(KeyState::kActive, KeyState::kPreActivation));
  EXPECT_TRUE(CanMove(KeyState::kDestroyed, KeyState::kCompromised));
}

}  // namespace
}  // namespace virp::keymgr
