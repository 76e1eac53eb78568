// `virpctl bgpsec`, run as the program that people run, with keys that openssl made.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "lib/base/bytes.h"
#include "tests/testutil/program.h"

namespace virp::virpctl {
namespace {

using ::testing::HasSubstr;
using testutil::ProgramResult;

class BgpsecTest : public ::testing::Test {
 protected:
  ProgramResult Ctl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {VIRPCTL, "bgpsec"});
    return testutil::RunProgram(arguments, {"HOME=" + dir_.path()});
  }
  nlohmann::json Json(std::vector<std::string> arguments, int exit = 0) {
    arguments.insert(arguments.end(), {"--output", "json"});
    const ProgramResult result = Ctl(std::move(arguments));
    EXPECT_EQ(result.exit, exit) << result.err << result.out;
    auto json = nlohmann::json::parse(result.out, nullptr, /*allow_exceptions=*/false);
    EXPECT_FALSE(json.is_discarded()) << result.out;
    return json;
  }
  std::string Write(const std::string& name, const std::string& bytes) {
    std::ofstream(dir_.File(name), std::ios::binary) << bytes;
    return dir_.File(name);
  }
  void OpenSsl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "/usr/bin/openssl");
    ASSERT_EQ(testutil::RunProgram(arguments, {"HOME=" + dir_.path()}).exit, 0);
  }
  // AS.key, AS.pub (PEM), AS.crt (DER).
  void MakeRouter(const std::string& asn) {
    const std::string key = dir_.File(asn + ".key");
    OpenSsl({"genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key});
    OpenSsl({"pkey", "-in", key, "-pubout", "-out", dir_.File(asn + ".pub")});
    OpenSsl({"req", "-x509", "-key", key, "-subj", "/CN=ROUTER", "-outform", "DER", "-out", dir_.File(asn + ".crt")});
  }
  std::string Key(const std::string& asn, const std::string& kind) { return asn + "=" + dir_.File(asn + kind); }
  testutil::TempDir dir_;
};

TEST_F(BgpsecTest, TheUpdatesOfRfc8608AreValid) {
  std::ifstream in(VIRP_SOURCE_DIR "/tests/data/vectors/rfc8608.json");
  const nlohmann::json vectors = nlohmann::json::parse(in);
  std::vector<std::string> keys;
  for (const auto& key : vectors.at("keys")) {
    const std::string asn = std::to_string(key.at("asn").get<std::uint32_t>());
    Write(asn + ".crt", HexDecode(key.at("cert_der").get<std::string>()).value());
    keys.insert(keys.end(), {"--key", Key(asn, ".crt")});
  }
  for (const auto& update : vectors.at("updates")) {
    std::vector<std::string> verify{"verify", "--hex", Write("update", update.at("bgp_update")), "--to", "65537"};
    verify.insert(verify.end(), keys.begin(), keys.end());
    const nlohmann::json verdict = Json(verify);
    EXPECT_EQ(verdict["result"], "VALID");
    EXPECT_EQ(verdict["verified"], 2);
    EXPECT_THAT(update.at("name").get<std::string>(), HasSubstr(verdict["prefix"].get<std::string>()));
    EXPECT_EQ(verdict["path"][1]["asn"], 64'496);
    verify[4] = "65538";
    EXPECT_EQ(Json(verify, 1)["result"], "NOT_VALID") << "sent to somebody else";
    verify.insert(verify.end(), {"--prefix", "198.51.100.0/24"});
    EXPECT_THAT(Ctl(verify).err, HasSubstr("announces"));
  }
}

TEST_F(BgpsecTest, WhatKeysSignTheirPublicHalvesVerify) {
  for (const char* const asn : {"64500", "64501", "4200000000"}) MakeRouter(asn);
  const std::string saved = dir_.File("attribute");
  const nlohmann::json made =
      Json({"sign", "--prefix", "2001:db8::/32", "--to", "64502", "--key", Key("64500", ".key"), "--key",
            Key("64501", ".key"), "--key", Key("4200000000", ".key"), "--save", saved});
  EXPECT_EQ(made["path"].size(), 3U);
  EXPECT_EQ(made["path"][0]["asn"], 4'200'000'000U);
  EXPECT_EQ(made["attribute"], HexEncode(testutil::FileText(saved)));
  std::vector<std::string> verify{"verify",   saved,
                                  "--prefix", "2001:db8::/32",
                                  "--to",     "64502",
                                  "--key",    Key("64500", ".pub"),
                                  "--key",    Key("64501", ".crt"),
                                  "--key",    Key("4200000000", ".pub")};
  EXPECT_EQ(Json(verify)["result"], "VALID");
  EXPECT_EQ(Ctl(verify).out.substr(0, 6), "VALID\n");

  // With one key less, and with it under another AS's number.
  verify.back() = "4200000001=" + dir_.File("4200000000.pub");
  EXPECT_THAT(Json(verify, 1)["reason"].get<std::string>(), HasSubstr("AS4200000000"));
  verify.back() = Key("4200000000", ".pub");
  verify[9] = Key("64500", ".pub");
  const nlohmann::json less = Json(verify, 1);
  EXPECT_EQ(less["verified"], 1);
  EXPECT_EQ(less["path"][0]["verified"], true);
  EXPECT_EQ(less["path"][1]["verified"], false);
  EXPECT_FALSE(less["path"][2].contains("verified")) << "nobody looked at it";
  verify.insert(verify.end(), {"--peer", "64501"});
  EXPECT_EQ(Json(verify, 1)["result"], "MALFORMED");
}

TEST_F(BgpsecTest, AReceivedPathIsSentOn) {
  MakeRouter("64500");
  MakeRouter("64501");
  const ProgramResult first = Ctl({"sign", "--prefix", "192.0.2.0/24", "--to", "64501", "--key", Key("64500", ".key")});
  EXPECT_EQ(first.exit, 0) << first.err;
  const ProgramResult second = Ctl({"sign", "--hex", Write("first", first.out), "--prefix", "192.0.2.0/24", "--to",
                                    "64502", "--key", Key("64501", ".key"), "--pcount", "0"});
  EXPECT_EQ(second.exit, 0) << second.err;
  std::vector<std::string> verify{
      "verify", "--hex", Write("second", second.out), "--prefix", "192.0.2.0/24",      "--to",
      "64502",  "--key", Key("64500", ".pub"),        "--key",    Key("64501", ".pub")};
  EXPECT_EQ(Json(verify, 1)["result"], "MALFORMED");
  verify.emplace_back("--transparent");
  EXPECT_EQ(Json(verify)["result"], "VALID");
}

TEST_F(BgpsecTest, WhatCannotBeReadIsSaid) {
  MakeRouter("64500");
  const std::string good = Key("64500", ".key");
  const auto error = [this](std::vector<std::string> arguments) {
    const ProgramResult result = Ctl(std::move(arguments));
    EXPECT_EQ(result.exit, 2) << result.out;
    return result.err;
  };
  EXPECT_THAT(error({"sign", "--to", "1", "--key", good}), HasSubstr("--prefix"));
  EXPECT_THAT(error({"sign", "--prefix", "192.0.2.0/24", "--to", "1", "--key", "AS1=x"}), HasSubstr("AS=FILE"));
  EXPECT_THAT(error({"sign", "--prefix", "192.0.2.0/24", "--to", "1", "--key", "1="}), HasSubstr("AS=FILE"));
  EXPECT_THAT(error({"sign", "--prefix", "192.0.2.0/24", "--to", "1", "--key", "1=" + dir_.File("none")}),
              HasSubstr("none"));
  EXPECT_THAT(error({"sign", "--prefix", "192.0.2.0/24", "--to", "1", "--key", Key("64500", ".pub")}),
              HasSubstr("private key"));
  EXPECT_THAT(error({"verify", Write("x", "x"), "--prefix", "192.0.2.0/24", "--to", "1"}), HasSubstr("Secure_Path"));
  EXPECT_THAT(error({"verify", Write("x", std::string(19, '\xff')), "--to", "1"}), HasSubstr("UPDATE"));
  EXPECT_THAT(error({"verify", Write("x", std::string(70'000, 'x')), "--to", "1"}), HasSubstr("65535"));
  EXPECT_THAT(error({"verify", Write("x", "0"), "--hex", "--to", "1"}), HasSubstr("hex"));
}

}  // namespace
}  // namespace virp::virpctl
