#include "services/keymgr/custody/software/software_custody.h"

#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/crypto/rsa.h"
#include "services/keymgr/custody/software/kek_ring.h"
#include "tests/conformance/custody_suite.h"
#include "tests/testutil/temp_dir.h"

namespace virp::keymgr {
namespace {

using testutil::TempDir;

constexpr std::string_view kHex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

void WriteKek(const std::string& path, std::string_view contents = kHex, unsigned mode = 0400) {
  ::unlink(path.c_str());
  ASSERT_OK(ReplaceFile(path, contents, mode));
  ASSERT_EQ(::chmod(path.c_str(), mode), 0);
}

class SoftwareUnderTest final : public CustodyUnderTest {
 public:
  SoftwareUnderTest() {
    WriteKek(folder_.path() + "/1.kek");
    Restart();
  }
  Custody& custody() override { return *custody_; }
  void Restart() override {
    ring_ = std::make_unique<KekRing>(folder_.path());
    custody_ = std::make_unique<SoftwareCustody>(*ring_);
    EXPECT_OK(ring_->Load());
    EXPECT_OK(ring_->Use(1));
  }

 private:
  TempDir folder_;
  std::unique_ptr<KekRing> ring_;
  std::unique_ptr<SoftwareCustody> custody_;
};

INSTANTIATE_TEST_SUITE_P(Software, CustodyTest,
                         testing::Values(CustodyMaker{"software",
                                                      [] { return std::make_unique<SoftwareUnderTest>(); }}),
                         [](const auto& made) { return made.param.name; });

TEST(SoftwareCustody, KeepsSigningKeysOpenWhileItCouldOpenThem) {
  const TempDir folder;
  WriteKek(folder.path() + "/1.kek");
  KekRing ring(folder.path());
  ASSERT_OK(ring.Load());
  ASSERT_OK(ring.Use(1));
  SoftwareCustody custody(ring);
  const auto key = custody.Generate({KeyKind::kIssuer, "ca", 1, Algorithm::kRsa2048}, ExportPolicy::kNever);
  ASSERT_OK(key);
  EXPECT_EQ(custody.kept_open(), 0U);
  const auto verifier = crypto::RsaPublicKey::FromSpki(key->public_half);
  for (int i = 0; i < 3; ++i) {
    const auto signature = custody.Sign(*key, "message");
    ASSERT_OK(signature);
    EXPECT_TRUE(verifier->Verify("message", *signature));
  }
  EXPECT_EQ(custody.kept_open(), 1U);
  // What is open helps nobody whose envelope does not open, or holds another key.
  SealedKey changed = *key;
  changed.blob.back() = static_cast<char>(changed.blob.back() ^ 1);
  EXPECT_EQ(custody.Sign(changed, "message").status().code(), absl::StatusCode::kDataLoss);
  const auto other = custody.Generate({KeyKind::kIssuer, "ca", 1, Algorithm::kRsa2048}, ExportPolicy::kNever);
  ASSERT_OK(other);
  EXPECT_FALSE(verifier->Verify("message", *custody.Sign(*other, "message")));
  EXPECT_EQ(custody.kept_open(), 1U);
  ring.Forget();
  EXPECT_EQ(custody.kept_open(), 0U) << "sealed is sealed";
  EXPECT_EQ(custody.Sign(*key, "message").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(custody.kept_open(), 0U);
}

TEST(KekRing, ReadsBothFormsAndAllVersions) {
  const TempDir folder;
  WriteKek(folder.path() + "/1.kek", std::string(kHex) + "\n");
  WriteKek(folder.path() + "/12.kek", std::string(32, '\x07'));
  WriteKek(folder.path() + "/README", "not a key", 0644);
  WriteKek(folder.path() + "/007.kek", "not a version", 0644);
  KekRing ring(folder.path());
  EXPECT_TRUE(ring.Known().empty());
  ASSERT_OK(ring.Load());
  const auto known = ring.Known();
  ASSERT_EQ(known.size(), 2U);
  EXPECT_EQ(known[0].version, 1U);
  EXPECT_EQ(known[1].version, 12U);
  EXPECT_EQ(known[0].check.size(), 16U);
  EXPECT_NE(known[0].check, known[1].check);
  EXPECT_EQ(ring.current(), 0U) << "which one is used, the ledger says";
  EXPECT_OK(ring.Use(12));
  EXPECT_EQ(ring.Use(2).code(), absl::StatusCode::kNotFound);
  // The same key in the other form, alone.
  const TempDir other;
  WriteKek(other.path() + "/1.kek", *HexDecode(kHex));
  KekRing one(other.path() + "/1.kek");
  ASSERT_OK(one.Load());
  EXPECT_EQ(one.Known()[0].check, known[0].check);
  one.Forget();
  EXPECT_TRUE(one.Known().empty());
}

TEST(KekRing, RefusesWhatOthersMayReadOrIsNoKey) {
  const TempDir folder;
  const std::string path = folder.path() + "/1.kek";
  KekRing ring(folder.path());
  EXPECT_EQ(ring.Load().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(KekRing(folder.path() + "/nowhere").Load().code(), absl::StatusCode::kNotFound);
  for (const unsigned mode : {0404U, 0402U, 0401U, 0420U, 0444U, 0666U}) {
    WriteKek(path, kHex, mode);
    EXPECT_EQ(ring.Load().code(), absl::StatusCode::kFailedPrecondition) << std::oct << mode;
  }
  for (const unsigned mode : {0400U, 0600U, 0440U}) {  // the group is our own
    WriteKek(path, kHex, mode);
    EXPECT_OK(ring.Load()) << std::oct << mode;
  }
  if (::geteuid() == 0) {
    WriteKek(path, kHex, 0440);
    ASSERT_EQ(::chown(path.c_str(), 0, 54'321), 0);
    EXPECT_EQ(ring.Load().code(), absl::StatusCode::kFailedPrecondition) << "a group that we are not in";
    ASSERT_EQ(::chown(path.c_str(), 54'321, 0), 0);
    EXPECT_EQ(ring.Load().code(), absl::StatusCode::kFailedPrecondition) << "somebody else's file";
  }
  const std::string bad[] = {"",
                             "short",
                             std::string(31, 'x'),
                             std::string(33, 'x'),
                             std::string(64, 'g'),
                             std::string(kHex) + "\n\n",
                             std::string(kHex) + " ",
                             std::string(5'000, 'a')};
  for (const std::string& contents : bad) {
    WriteKek(path, contents);
    const absl::Status refused = ring.Load();
    EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition) << contents.size();
    if (!contents.empty()) EXPECT_EQ(Message(refused).find(contents.substr(0, 16)), std::string::npos) << refused;
  }
  EXPECT_EQ(ring.Known().size(), 1U) << "what was known stays";
  ::unlink(path.c_str());
  ASSERT_EQ(::mkfifo(path.c_str(), 0400), 0);
  EXPECT_FALSE(ring.Load().ok());
}

TEST(SoftwareCustody, SealedWithoutAKek) {
  KekRing ring("nowhere");
  SoftwareCustody custody(ring);
  const KeyIdentity identity{KeyKind::kRouter, "a", 1, Algorithm::kEcdsaP256};
  EXPECT_EQ(GetReason(custody.Ready()), "SEALED");
  EXPECT_EQ(GetReason(custody.Generate(identity, ExportPolicy::kNever).status()), "SEALED");
  EXPECT_EQ(GetReason(custody.Import(identity, ExportPolicy::kNever, crypto::Secret(std::string(32, 1))).status()),
            "SEALED");
}

TEST(SoftwareCustody, RewrapsUnderTheNewVersionAndOldOnesOpenOn) {
  const TempDir folder;
  WriteKek(folder.path() + "/1.kek");
  KekRing ring(folder.path());
  SoftwareCustody custody(ring);
  ASSERT_OK(ring.Load());
  ASSERT_OK(ring.Use(1));
  const KeyIdentity identity{KeyKind::kObservation, "a", 1, Algorithm::kEd25519};
  ASSERT_OK_AND_ASSIGN(const SealedKey old, custody.Generate(identity, ExportPolicy::kNever));
  EXPECT_EQ(old.kek_version, 1U);

  WriteKek(folder.path() + "/2.kek", std::string(32, '\x02'));
  ASSERT_OK(ring.Load());
  EXPECT_EQ(ring.current(), 1U) << "a file alone changes nothing";
  ASSERT_OK(ring.Use(2));
  EXPECT_OK(custody.Sign(old, "x"));
  ASSERT_OK_AND_ASSIGN(const SealedKey renewed, custody.Rewrap(old));
  EXPECT_EQ(renewed.kek_version, 2U);
  EXPECT_EQ(renewed.public_half, old.public_half);
  EXPECT_EQ(*custody.Sign(renewed, "x"), *custody.Sign(old, "x"));

  // Without the old one the new envelope opens, and the old envelope says what is missing.
  ::unlink((folder.path() + "/1.kek").c_str());
  ASSERT_OK(ring.Load());
  ASSERT_OK(ring.Use(2));
  EXPECT_OK(custody.Sign(renewed, "x"));
  EXPECT_EQ(GetReason(custody.Sign(old, "x").status()), "SEALED");
  // Another key under the same number is found out.
  WriteKek(folder.path() + "/2.kek", std::string(32, '\x03'));
  ASSERT_OK(ring.Load());
  EXPECT_EQ(GetReason(custody.Sign(renewed, "x").status()), "KEY_DAMAGED");
  EXPECT_EQ(GetReason(custody.Rewrap(renewed).status()), "KEY_DAMAGED");
}

TEST(SoftwareCustody, KeepsTheRsaKeysOfAuthorities) {
  const TempDir folder;
  WriteKek(folder.path() + "/1.kek");
  KekRing ring(folder.path());
  SoftwareCustody custody(ring);
  ASSERT_OK(ring.Load());
  ASSERT_OK(ring.Use(1));
  const KeyIdentity identity{KeyKind::kIssuer, "ca", 1, Algorithm::kRsa2048};
  ASSERT_OK_AND_ASSIGN(const SealedKey key, custody.Generate(identity, ExportPolicy::kNever));
  ASSERT_OK_AND_ASSIGN(const auto verifier, crypto::RsaPublicKey::FromSpki(key.public_half));
  ASSERT_OK_AND_ASSIGN(const std::string signature, custody.Sign(key, "a certificate"));
  EXPECT_TRUE(verifier.Verify("a certificate", signature));
  EXPECT_FALSE(verifier.Verify("another", signature));
  EXPECT_FALSE(custody.Import(identity, ExportPolicy::kNever, crypto::Secret("no PKCS #8")).ok());
}

TEST(SoftwareCustody, AnEnvelopeOpensWholeOrNotAtAll) {
  const TempDir folder;
  WriteKek(folder.path() + "/1.kek");
  KekRing ring(folder.path());
  SoftwareCustody custody(ring);
  ASSERT_OK(ring.Load());
  ASSERT_OK(ring.Use(1));
  const KeyIdentity identity{KeyKind::kObservation, "a", 1, Algorithm::kEd25519};
  ASSERT_OK_AND_ASSIGN(SealedKey key, custody.Generate(identity, ExportPolicy::kNever));
  for (std::size_t bit = 0; bit < key.blob.size() * 8; ++bit) {
    key.blob[bit / 8] = static_cast<char>(key.blob[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(custody.Sign(key, "x").ok()) << bit;
    key.blob[bit / 8] = static_cast<char>(key.blob[bit / 8] ^ (1 << bit % 8));
  }
  EXPECT_OK(custody.Sign(key, "x"));
  SealedKey other = key;
  other.public_half[0] = static_cast<char>(other.public_half[0] ^ 1);
  EXPECT_EQ(GetReason(custody.Sign(other, "x").status()), "KEY_DAMAGED");
}

}  // namespace
}  // namespace virp::keymgr
