#include "lib/crypto/aead.h"

#include <gtest/gtest.h>

#include "lib/base/bytes.h"
#include "lib/base/status.h"

namespace virp::crypto {
namespace {

std::string Hex(std::string_view hex) {
  return HexDecode(hex).value();
}

// McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 13 to 16: AES-256.
constexpr std::string_view kKey = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
constexpr std::string_view kText =
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba"
    "637b39";
constexpr std::string_view kNonce = "cafebabefacedbaddecaf888";
constexpr std::string_view kAssociated = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
constexpr std::string_view kSealed =
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abc"
    "c9f66276fc6ece0f4e1768cddf8853bb2d551b";

TEST(Aead, KnownAnswers) {
  const struct {
    std::string key, nonce, associated, text, sealed;
  } cases[] = {
      {std::string(64, '0'), std::string(24, '0'), "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
      {std::string(64, '0'), std::string(24, '0'), "", std::string(32, '0'),
       "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
      {std::string(kKey), std::string(kNonce), std::string(kAssociated), std::string(kText), std::string(kSealed)},
  };
  for (const auto& test : cases) {
    const Secret key(Hex(test.key));
    EXPECT_EQ(HexEncode(*AeadSeal(key, Hex(test.nonce), Hex(test.associated), Hex(test.text))), test.sealed);
    const auto opened = AeadOpen(key, Hex(test.nonce), Hex(test.associated), Hex(test.sealed));
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(HexEncode(opened->view()), test.text);
  }
}

TEST(Aead, OpensNothingThatWasChangedAnywhere) {
  const Secret key(Hex(kKey));
  const auto flip_each = [](std::string bytes, const auto& expect_refused) {
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
      expect_refused(bytes);
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    }
  };
  const auto refused = [](const absl::StatusOr<Secret>& opened) {
    EXPECT_EQ(opened.status().code(), absl::StatusCode::kDataLoss);
  };
  flip_each(Hex(kSealed),
            [&](const std::string& changed) { refused(AeadOpen(key, Hex(kNonce), Hex(kAssociated), changed)); });
  flip_each(Hex(kNonce),
            [&](const std::string& changed) { refused(AeadOpen(key, changed, Hex(kAssociated), Hex(kSealed))); });
  flip_each(Hex(kAssociated),
            [&](const std::string& changed) { refused(AeadOpen(key, Hex(kNonce), changed, Hex(kSealed))); });
  flip_each(Hex(kKey), [&](const std::string& changed) {
    refused(AeadOpen(Secret(changed), Hex(kNonce), Hex(kAssociated), Hex(kSealed)));
  });
  const std::string sealed = Hex(kSealed);
  for (std::size_t size = 0; size < sealed.size(); ++size)
    refused(AeadOpen(key, Hex(kNonce), Hex(kAssociated), std::string_view(sealed).substr(0, size)));
  refused(AeadOpen(key, Hex(kNonce), Hex(kAssociated), sealed + '\0'));
}

TEST(Aead, OtherSizesAreRefused) {
  for (const std::size_t size : {0U, 16U, 24U, 31U, 33U})
    EXPECT_FALSE(AeadSeal(Secret(size), Hex(kNonce), "", "x").ok()) << size;
  // A nonce of another size would be hashed into one of this size: short ones collide.
  for (const std::size_t size : {0U, 8U, 11U, 13U, 16U}) {
    EXPECT_FALSE(AeadSeal(Secret(32), std::string(size, 'n'), "", "x").ok()) << size;
    EXPECT_FALSE(AeadOpen(Secret(32), std::string(size, 'n'), "", std::string(17, 'x')).ok()) << size;
  }
}

}  // namespace
}  // namespace virp::crypto
