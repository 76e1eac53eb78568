#include "lib/crypto/sha256.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace virp::crypto {
namespace {

// FIPS 180-4 examples.
constexpr std::string_view kEmpty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr std::string_view kAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr std::string_view kMillionA = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

std::string Hex(const Hash& hash) {
  return HexEncode(View(hash));
}

TEST(Sha256, KnownAnswers) {
  EXPECT_EQ(Hex(Sha256("")), kEmpty);
  EXPECT_EQ(Hex(Sha256("abc")), kAbc);
  EXPECT_EQ(Hex(Sha256(std::string(1'000'000, 'a'))), kMillionA);
}

TEST(Sha256, PartsAreHashedAsOneText) {
  EXPECT_EQ(Hex(Sha256({"a", "", "bc"})), kAbc);
  EXPECT_EQ(Hex(Sha256(std::initializer_list<std::string_view>{})), kEmpty);
}

TEST(Sha256, AStreamIsHashedAsOneText) {
  Sha256Stream stream;
  for (const std::string_view part : {"a", "", "bc"}) stream.Add(part);
  EXPECT_EQ(Hex(stream.End()), kAbc);
  EXPECT_EQ(Hex(Sha256Stream().End()), kEmpty);
}

TEST(Sha256, ThreadsDoNotDisturbEachOther) {
  std::vector<std::jthread> threads;
  for (char c = 'a'; c < 'e'; ++c) {
    threads.emplace_back([c] {
      const std::string text(300, c);
      const Hash want = Sha256(text);
      for (int i = 0; i < 2'000; ++i) ASSERT_EQ(Sha256(text), want);
    });
  }
}

}  // namespace
}  // namespace virp::crypto
