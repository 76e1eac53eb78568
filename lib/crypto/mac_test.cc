#include "lib/crypto/mac.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "lib/crypto/test_vectors.h"

namespace virp::crypto {
namespace {

TEST(Hmac, Rfc4231) {
  for (const auto& test : ReadPrimitives("hmac_sha256_rfc4231")) {
    SCOPED_TRACE(test.at("case").dump());
    const HmacKey key(Unhex(test.at("key")));
    const std::string data = Unhex(test.at("data"));
    const std::string want = Unhex(test.at("mac"));
    const Hash tag = key.Sign(data);
    EXPECT_EQ(View(tag).substr(0, want.size()), want);
    EXPECT_EQ(key.Verify(data, want), !test.at("truncated").get<bool>());
    EXPECT_TRUE(key.Verify(data, View(tag)));
  }
}

TEST(Hmac, AKeySignsAgainAndAgain) {
  const HmacKey key("0123456789abcdef");
  const Hash first = key.Sign("one");
  const Hash second = key.Sign("two");
  EXPECT_NE(first, second);
  EXPECT_EQ(key.Sign("one"), first);
  EXPECT_EQ(key.Sign("two"), second);
}

TEST(Hmac, RefusesEveryChangedBit) {
  const HmacKey key("0123456789abcdef");
  std::string tag(View(key.Sign("message")));
  for (std::size_t bit = 0; bit < tag.size() * 8; ++bit) {
    tag[bit / 8] = static_cast<char>(tag[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(key.Verify("message", tag)) << bit;
    tag[bit / 8] = static_cast<char>(tag[bit / 8] ^ (1 << bit % 8));
  }
  EXPECT_TRUE(key.Verify("message", tag));
  EXPECT_FALSE(key.Verify("messagf", tag));
  EXPECT_FALSE(key.Verify("message", tag + '\0'));
  EXPECT_FALSE(key.Verify("message", ""));
}

TEST(Hmac, EmptyKeyAndEmptyMessageAreWhatTheRfcSays) {
  EXPECT_EQ(HexEncode(View(HmacKey("").Sign(""))), "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

TEST(Hmac, TwoKeysOnOneThreadStayApart) {
  const HmacKey a("0123456789abcdef");
  HmacKey b("fedcba9876543210");
  const Hash of_a = a.Sign("x");
  const Hash of_b = b.Sign("x");
  EXPECT_NE(of_a, of_b);
  EXPECT_EQ(a.Sign("x"), of_a);
  const HmacKey moved = std::move(b);
  EXPECT_EQ(moved.Sign("x"), of_b);
}

TEST(Hmac, ManyThreadsShareAKey) {
  const HmacKey key("0123456789abcdef");
  const Hash want = key.Sign("message");
  for (int round = 0; round < 2; ++round) {
    std::vector<std::jthread> threads;
    threads.reserve(100);
    for (int i = 0; i < 100; ++i) {
      threads.emplace_back([&] {
        for (int n = 0; n < 50; ++n) ASSERT_EQ(key.Sign("message"), want);
      });
    }
  }
}

}  // namespace
}  // namespace virp::crypto
