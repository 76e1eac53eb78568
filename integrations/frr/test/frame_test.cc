// Frames of the module against the vectors that hold for everybody, and keys from files.
#include "frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "integrations/frr/check/vectors.h"
#include "lib/base/bytes.h"
#include "tests/testutil/temp_dir.h"

namespace virp::frr {
namespace {

using testutil::TempDir;

std::string Hex(const nlohmann::json& value) {
  return *HexDecode(value.get<std::string>());
}

virp_key* Make(virp_suite suite, const std::string& bytes, std::uint32_t version = 1) {
  char why[VIRP_WHY] = "";
  virp_key* key = ::virp_key_make(suite, bytes.data(), bytes.size(), version, why);
  EXPECT_NE(key, nullptr) << why;
  return key;
}

TEST(FrrFrame, AreThoseOfTheVectors) {
  std::ifstream file(VIRP_SOURCE_DIR "/tests/data/vectors/frames.json");
  const auto vectors = nlohmann::json::parse(file);
  int checked = 0;
  for (const auto& vector : vectors["valid"]) {
    const std::string spelling = vector["spelling"];
    if (spelling != "v1-le" && spelling != "v2") continue;
    const auto suite = vector.value("suite", 1) == 2 ? VIRP_ED25519 : VIRP_HMAC_SHA256;
    virp_key* key = Make(suite, Hex(vector["key_hex"]), vector.value("key_version", 1U));
    virp_frame_header header{};
    header.version = spelling == "v2" ? 2 : 1;
    header.type = vector["type"];
    header.tier = vector["tier"];
    header.time_ns = vector["timestamp_ns"];
    header.sequence = vector["sequence"];
    header.epoch = vector.value("boot_epoch", std::uint64_t{0});
    ::virp_source_id(vectors["source"].get<std::string>().c_str(), header.source_id);
    const std::string payload = vector["payload"];
    std::vector<std::uint8_t> frame(VIRP_FRAME_MAX);
    std::copy(payload.begin(), payload.end(), frame.data() + ::virp_frame_header_size(header.version));
    const std::size_t size = ::virp_frame_seal(&header, key, frame.data(), payload.size());
    EXPECT_EQ(std::string(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(size)), Hex(vector["frame_hex"]))
        << vector["name"];
    EXPECT_EQ(::virp_frame_size(frame.data()), size) << vector["name"];
    ::virp_key_free(key);
    ++checked;
  }
  EXPECT_EQ(checked, 7);
}

// Those that virp-frr-check brings along are the same.
TEST(FrrFrame, TheChecksVectorsAreTheProjects) {
  std::ifstream file(VIRP_SOURCE_DIR "/tests/data/vectors/frames.json");
  const auto vectors = nlohmann::json::parse(file);
  for (const auto& ours : ::vectors) {
    const auto at = std::find_if(vectors["valid"].begin(), vectors["valid"].end(),
                                 [&](const auto& vector) { return vector["name"] == ours.name; });
    ASSERT_NE(at, vectors["valid"].end()) << ours.name;
    EXPECT_EQ((*at)["frame_hex"], ours.frame) << ours.name;
    EXPECT_EQ((*at)["key_hex"], ours.key) << ours.name;
  }
}

TEST(FrrFrame, WhatCannotBeSignedIsNot) {
  virp_key* hmac = Make(VIRP_HMAC_SHA256, std::string(32, 'k'));
  virp_key* seed = Make(VIRP_ED25519, std::string(32, 's'));
  std::vector<std::uint8_t> frame(VIRP_FRAME_MAX + 1);
  virp_frame_header header{};
  header.version = 1;
  EXPECT_EQ(::virp_frame_seal(&header, seed, frame.data(), 0), 0u);  // version 1 has no Ed25519
  EXPECT_EQ(::virp_frame_seal(&header, hmac, frame.data(), VIRP_PAYLOAD_MAX), 24u + VIRP_PAYLOAD_MAX + 32);
  EXPECT_EQ(::virp_frame_seal(&header, hmac, frame.data(), VIRP_PAYLOAD_MAX + 1), 0u);
  ::virp_key_free(hmac);
  ::virp_key_free(seed);
}

TEST(FrrKey, TamperingShows) {
  for (const virp_suite suite : {VIRP_HMAC_SHA256, VIRP_ED25519}) {
    virp_key* key = Make(suite, std::string(32, 'k'));
    std::string said = "a session came up";
    std::uint8_t tag[VIRP_TAG_MAX];
    EXPECT_EQ(::virp_key_sign(key, said.data(), said.size(), tag), suite == VIRP_ED25519 ? 64u : 32u);
    EXPECT_TRUE(::virp_key_verify(key, said.data(), said.size(), tag));
    said[2] ^= 1;
    EXPECT_FALSE(::virp_key_verify(key, said.data(), said.size(), tag));
    ::virp_key_free(key);
  }
}

class FrrKeyFile : public ::testing::Test {
 protected:
  // Why the file is refused; empty when it is not.
  std::string Load(const std::string& name, const std::string& bytes, mode_t mode = 0600) {
    const std::string path = dir_.File(name);
    std::ofstream(path) << bytes;
    ::chmod(path.c_str(), mode);
    char why[VIRP_WHY] = "";
    virp_key* key = ::virp_key_load(path.c_str(), 1, why);
    if (key != nullptr) {
      std::uint8_t tag[VIRP_TAG_MAX];
      last_tag_.assign(reinterpret_cast<char*>(tag), ::virp_key_sign(key, "x", 1, tag));
      ::virp_key_free(key);
    }
    return why;
  }
  TempDir dir_;
  std::string last_tag_;
};

TEST_F(FrrKeyFile, TextKeysAreTheirCharactersAndRawOnesTheirBytes) {
  const std::string text(64, 'a');
  EXPECT_EQ(Load("1.hmac", text), "");
  const std::string bare = last_tag_;
  EXPECT_EQ(Load("2.hmac", text + "\r\n"), "");
  EXPECT_EQ(last_tag_, bare);
  EXPECT_EQ(Load("3.hmac", std::string(31, 'a') + "\n"), "");  // 32 bytes: raw, the newline counts
  const std::string raw = last_tag_;
  EXPECT_EQ(Load("4.hmac", std::string(31, 'a')), "");
  EXPECT_NE(last_tag_, raw);
}

TEST_F(FrrKeyFile, OpenOrOddOnesAreRefused) {
  const std::string text(64, 'a');
  EXPECT_THAT(Load("1.hmac", text, 0644), ::testing::HasSubstr("open to others"));
  EXPECT_THAT(Load("2.hmac", text, 0660), ::testing::HasSubstr("open to others"));
  EXPECT_EQ(Load("3.hmac", text, 0440), "");
  EXPECT_THAT(Load("4.hmac", "short"), ::testing::HasSubstr("16 to 256"));
  EXPECT_THAT(Load("5.hmac", std::string(257, 'a')), ::testing::HasSubstr("16 to 256"));
  EXPECT_THAT(Load("6.hmac", std::string(4096, 'a')), ::testing::HasSubstr("too large"));
  EXPECT_THAT(Load("7.seed", std::string(63, 'a')), ::testing::HasSubstr("seed"));
  EXPECT_THAT(Load("8.seed", std::string(63, 'a') + "x"), ::testing::HasSubstr("seed"));
  EXPECT_EQ(Load("9.seed", std::string(64, 'a') + "\n"), "");
  char why[VIRP_WHY] = "";
  EXPECT_EQ(::virp_key_load(dir_.File("none").c_str(), 1, why), nullptr);
  EXPECT_THAT(why, ::testing::HasSubstr("No such file"));
}

}  // namespace
}  // namespace virp::frr
