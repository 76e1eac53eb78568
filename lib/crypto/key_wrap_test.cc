#include "lib/crypto/key_wrap.h"

#include <gtest/gtest.h>

#include "lib/base/status.h"
#include "lib/crypto/test_vectors.h"

namespace virp::crypto {
namespace {

TEST(KeyWrap, Rfc3394) {
  const auto test = ReadPrimitives("aes_kw_rfc3394_4_6");
  const Secret kek(Unhex(test.at("kek")));
  EXPECT_EQ(*WrapKey(kek, Unhex(test.at("key"))), Unhex(test.at("wrap")));
  EXPECT_EQ(UnwrapKey(kek, Unhex(test.at("wrap")))->view(), Unhex(test.at("key")));
}

TEST(KeyWrap, Rfc5649) {
  for (const auto& test : ReadPrimitives("aes_kwp_rfc5649")) {
    const Secret kek(Unhex(test.at("kek")));
    EXPECT_EQ(*WrapKeyPadded(kek, Unhex(test.at("key"))), Unhex(test.at("wrap")));
    EXPECT_EQ(UnwrapKeyPadded(kek, Unhex(test.at("wrap")))->view(), Unhex(test.at("key")));
  }
}

TEST(KeyWrap, EverySizeGoesThereAndBack) {
  const Secret kek = Secret::Random(32);
  for (std::size_t size = 1; size <= 300; ++size) {
    const Secret key = Secret::Random(size);
    const auto wrapped = WrapKeyPadded(kek, key.view());
    ASSERT_TRUE(wrapped.ok());
    EXPECT_EQ(wrapped->size(), std::max<std::size_t>(16, (size + 7) / 8 * 8 + 8));
    const auto back = UnwrapKeyPadded(kek, *wrapped);
    ASSERT_TRUE(back.ok()) << size << back.status();
    EXPECT_TRUE(EqualConstantTime(*back, key));
    EXPECT_EQ(WrapKey(kek, key.view()).ok(), size >= 16 && size % 8 == 0) << size;
  }
  EXPECT_FALSE(WrapKeyPadded(kek, "").ok());
  EXPECT_FALSE(WrapKeyPadded(kek, std::string(kMaxWrappedKey + 1, 'x')).ok());
  EXPECT_FALSE(WrapKeyPadded(Secret(31), "key").ok());
}

TEST(KeyWrap, OpensNothingThatWasChanged) {
  const Secret kek = Secret::Random(32);
  for (const bool padded : {false, true}) {
    const auto unwrap = padded ? UnwrapKeyPadded : UnwrapKey;
    const auto refused = [&](const Secret& under, std::string_view wrapped) {
      EXPECT_EQ(unwrap(under, wrapped).status().code(), absl::StatusCode::kDataLoss) << padded << wrapped.size();
    };
    std::string wrapped = *(padded ? WrapKeyPadded : WrapKey)(kek, std::string(32, 'k'));
    for (std::size_t bit = 0; bit < wrapped.size() * 8; ++bit) {
      wrapped[bit / 8] = static_cast<char>(wrapped[bit / 8] ^ (1 << bit % 8));
      refused(kek, wrapped);
      wrapped[bit / 8] = static_cast<char>(wrapped[bit / 8] ^ (1 << bit % 8));
    }
    refused(Secret::Random(32), wrapped);
    for (std::size_t size = 0; size < wrapped.size(); ++size) refused(kek, std::string_view(wrapped).substr(0, size));
    refused(kek, wrapped + std::string(8, '\0'));
    // One form's check value is not the other's (RFC 5649 section 3).
    EXPECT_FALSE((padded ? UnwrapKey : UnwrapKeyPadded)(kek, wrapped).ok());
  }
}

}  // namespace
}  // namespace virp::crypto
