#include "services/keymgr/domain/tcp_ao_export.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/testutil/status_matchers.h"

namespace virp::keymgr {
namespace {

using absl::StatusCode;
using testing::HasSubstr;
using testing::Not;
using testutil::StatusIs;

constexpr UnixNanos kStart = 1'790'000'000 * kSecond;  // 2026-09-21T14:13:20Z

class TcpAoExportTest : public testing::Test {
 protected:
  TcpAoExportTest() {
    what_.pair.id = "edge-a/core-1";
    what_.pair.sides[0] = {"edge-a", *IpAddress::Parse("192.0.2.1"), ""};
    what_.pair.sides[1] = {"core-1", *IpAddress::Parse("192.0.2.2"), ""};
    what_.keys.push_back({{70, {1, 2}}, kStart, kStart, kStart + 86'400 * kSecond, &old_});
    what_.keys.push_back({{71, {3, 4}}, kStart + 3'600 * kSecond, kStart + 86'400 * kSecond, std::nullopt, &new_});
    what_.preferred = 70;
  }
  std::string Text(TcpAoFormat format) { return std::string(Export(format, what_)->view()); }

  crypto::Secret old_{std::string_view("0123456789abcdef0123456789abcdef")},
      new_{std::string_view("\xff\x00secret-octets!", 16)};
  const std::string old_text_ = "3031323334353637383961626364656630313233343536373839616263646566";
  const std::string new_text_ = "ff007365637265742d6f637465747321";
  TcpAoExport what_;
};

TEST_F(TcpAoExportTest, Bird) {
  EXPECT_EQ(Text(TcpAoFormat::kBird), R"(# edge-a/core-1 at edge-a: within the protocol bgp whose neighbor is 192.0.2.2
authentication ao;
keys {
  key {
    send id 1;
    recv id 2;
    secret ")" + old_text_ + R"(";
    algorithm hmac sha1;
    preferred;
  };
  key {
    send id 3;
    recv id 4;
    secret ")" + new_text_ + R"(";
    algorithm hmac sha1;
  };
};
)");
  what_.pair.covers_options = false;
  EXPECT_THAT(Export(TcpAoFormat::kBird, what_).status(), StatusIs(StatusCode::kInvalidArgument, HasSubstr("options")));
}

TEST_F(TcpAoExportTest, Junos) {
  what_.end = TcpAoEnd::kB;
  what_.pair.algorithm = TcpAoAlgorithm::kAes128Cmac96;
  const std::string text = Text(TcpAoFormat::kJunos);
  const std::string set = "set security authentication-key-chains key-chain edge-a_core-1 key ";
  EXPECT_THAT(text,
              HasSubstr("delete security authentication-key-chains key-chain edge-a_core-1\n" + set + "6 secret \"" +
                        old_text_ + "\"\n" + set + "6 start-time \"2026-09-21.14:13:20 +0000\"\n" + set +
                        "6 algorithm ao\n" + set + "6 ao-attribute send-id 2\n" + set + "6 ao-attribute recv-id 1\n" +
                        set + "6 ao-attribute tcp-ao-option enabled\n" + set +
                        "6 ao-attribute cryptographic-algorithm aes-128-cmac-96\n"));
  EXPECT_THAT(text, HasSubstr(set + "7 start-time \"2026-09-22.14:13:20 +0000\"\n"));
  what_.pair.covers_options = false;
  what_.pair.algorithm = TcpAoAlgorithm::kHmacSha1_96;
  EXPECT_THAT(Text(TcpAoFormat::kJunos), HasSubstr("tcp-ao-option disabled"));
  EXPECT_THAT(Text(TcpAoFormat::kJunos), HasSubstr("hmac-sha-1-96"));
}

TEST_F(TcpAoExportTest, IosXe) {
  what_.removed.push_back({69, {250, 251}});
  EXPECT_EQ(Text(TcpAoFormat::kIosXe), R"(! edge-a/core-1 at edge-a: times are UTC; then, in router bgp:
!   neighbor 192.0.2.2 ao edge-a_core-1 include-tcp-options
key chain edge-a_core-1 tcp
 no key 69
 key 70
  send-id 1
  recv-id 2
  include-tcp-options
  cryptographic-algorithm hmac-sha-1
  key-string 0 )" + old_text_ + R"(
  accept-lifetime 14:13:20 Sep 21 2026 infinite
  send-lifetime 14:13:20 Sep 21 2026 14:13:20 Sep 22 2026
 key 71
  send-id 3
  recv-id 4
  include-tcp-options
  cryptographic-algorithm hmac-sha-1
  key-string 0 )" + new_text_ + R"(
  accept-lifetime 15:13:20 Sep 21 2026 infinite
  send-lifetime 14:13:20 Sep 22 2026 infinite
)");
}

TEST_F(TcpAoExportTest, Rfc8177) {
  const nlohmann::json json = nlohmann::json::parse(Text(TcpAoFormat::kRfc8177));
  const auto& chain = json.at("ietf-key-chain:key-chains").at("key-chain").at(0);
  EXPECT_EQ(chain.at("name"), "edge-a_core-1");
  EXPECT_THAT(chain.at("description").get<std::string>(), HasSubstr("key 71: SendID 3, RecvID 4"));
  const auto& key = chain.at("key").at(0);
  EXPECT_EQ(key.at("key-id"), "70") << "64 bits are text in JSON of YANG";
  EXPECT_EQ(key.at("crypto-algorithm"), "ietf-key-chain:hmac-sha-1-12");
  EXPECT_EQ(key.at("key-string").at("keystring"), old_text_);
  EXPECT_EQ(key.at("lifetime").at("send-lifetime").at("start-date-time"), "2026-09-21T14:13:20Z");
  EXPECT_EQ(key.at("lifetime").at("send-lifetime").at("end-date-time"), "2026-09-22T14:13:20Z");
  EXPECT_EQ(key.at("lifetime").at("accept-lifetime").at("no-end-time"), nlohmann::json::parse("[null]"));
  EXPECT_TRUE(chain.at("key").at(1).at("lifetime").at("send-lifetime").contains("no-end-time"));
}

TEST_F(TcpAoExportTest, WithoutSecretsNoneIsThere) {
  for (auto& key : what_.keys) key.octets = nullptr;
  for (const auto format : {TcpAoFormat::kBird, TcpAoFormat::kJunos, TcpAoFormat::kIosXe, TcpAoFormat::kRfc8177}) {
    const std::string text = Text(format);
    EXPECT_THAT(text, Not(HasSubstr(old_text_)));
    EXPECT_THAT(text, Not(HasSubstr(new_text_)));
    if (format != TcpAoFormat::kRfc8177) EXPECT_THAT(text, HasSubstr("(not shown)"));
  }
  EXPECT_THAT(Text(TcpAoFormat::kRfc8177), Not(HasSubstr("key-string")));
}

}  // namespace
}  // namespace virp::keymgr
