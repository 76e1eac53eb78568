// Commands that need no O-Node, run as the program that people run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "lib/base/bytes.h"
#include "lib/chain/note.h"
#include "lib/crypto/pki.h"
#include "lib/frame/frame.h"
#include "lib/frame/key_directory.h"
#include "tests/testutil/program.h"

namespace virp::virpctl {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testutil::ProgramResult;

class LocalTest : public ::testing::Test {
 protected:
  ProgramResult Ctl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), VIRPCTL);
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
  // A frame of `spelling` that a new key of source edge-a.bgpd signed.
  std::string SignedFrame(frame::Spelling spelling, frame::Suite suite) {
    const std::string keys = dir_.File("keys");
    EXPECT_TRUE(frame::CreateKeyFile(keys, "edge-a.bgpd", 1, suite, 1).ok());
    frame::Header header;
    header.spelling = spelling;
    header.type = frame::Type::kPeerStatusChanged;
    header.suite = suite;
    header.tier = frame::Tier::kYellow;
    header.timestamp = 1'750'000'000'123'000'000;
    header.sequence = 7;
    header.key_version = 1;
    header.boot_epoch = 3;
    header.source_id = frame::SourceIdOf("edge-a.bgpd");
    const auto directory = frame::KeyDirectory::Open(keys);
    return frame::EncodeSigned(header, R"({"event":"x"})", *(*directory)->Find("edge-a.bgpd", 1)).value();
  }
  testutil::TempDir dir_;
};

TEST_F(LocalTest, TheStateOfASessionIsNotTakenForAFolder) {
  const ProgramResult mistaken = Ctl({"claim", "peer", "--router", "edge-a", "--peer", "192.0.2.2", "--state", "idle"});
  EXPECT_EQ(mistaken.exit, 2);
  EXPECT_THAT(mistaken.err, HasSubstr("--peer-state idle"));
  const ProgramResult unknown =
      Ctl({"claim", "peer", "--router", "edge-a", "--peer", "192.0.2.2", "--peer-state", "up"});
  EXPECT_EQ(unknown.exit, 2);
  EXPECT_THAT(unknown.err, AllOf(HasSubstr("--peer-state"), HasSubstr("Established")));
}

TEST_F(LocalTest, PkiMakesAnAuthorityAndCertificatesThatFitIt) {
  const std::string pki = dir_.File("pki");
  EXPECT_EQ(Ctl({"pki", "init", "--dir", pki}).exit, 0);
  EXPECT_EQ(Ctl({"pki", "init", "--dir", pki}).exit, 2) << "an authority is never overwritten";
  const nlohmann::json made = Json({"pki", "issue", "--dir", pki, "--trust-domain", "example.net", "--role", "reader",
                                    "--name", "app", "--dns", "localhost", "--days", "7"});
  EXPECT_EQ(made["identity"], "spiffe://example.net/reader/app");
  const auto info = crypto::ParseCertificate(testutil::FileText(made["certificate"]));
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(made["identity"], info->uri_sans.front());
  EXPECT_EQ(info->dns_sans.front(), "localhost");
  struct stat key{};
  ASSERT_EQ(stat(made["privateKey"].get<std::string>().c_str(), &key), 0);
  EXPECT_EQ(key.st_mode & 0777, 0600U);

  const std::vector<std::string> again{"pki",         "issue",  "--dir",  pki,      "--trust-domain",
                                       "example.net", "--role", "reader", "--name", "app"};
  EXPECT_EQ(Ctl(again).exit, 2);
  EXPECT_THAT(Ctl({"pki", "issue", "--dir", pki, "--trust-domain", "example.net", "--role", "king", "--name", "a"}).err,
              HasSubstr("'king' is no role"));
  EXPECT_EQ(Ctl({"pki", "issue", "--dir", pki, "--role", "reader", "--name", "b"}).exit, 2) << "without a trust domain";
}

TEST_F(LocalTest, KeysAreMadeOnceAndListedWithoutTheirSecrets) {
  const std::string keys = dir_.File("keys");
  EXPECT_EQ(Ctl({"keys", "create", "edge-a.bgpd", "--dir", keys, "--suite", "hmac"}).exit, 0);
  EXPECT_EQ(Ctl({"keys", "create", "edge-a.bgpd", "--dir", keys, "--suite", "hmac"}).exit, 2);
  EXPECT_EQ(Ctl({"keys", "create", "edge-a.bgpd", "--dir", keys, "--suite", "rot13", "--key-version", "2"}).exit, 2);
  EXPECT_EQ(Ctl({"keys", "create", "virp.example.net/site1", "--dir", keys}).exit, 0);

  const ProgramResult list = Ctl({"keys", "list", "--dir", keys});
  EXPECT_EQ(list.exit, 0) << list.err;
  EXPECT_THAT(list.out, AllOf(HasSubstr("edge-a.bgpd"), HasSubstr("virp.example.net/site1")));
  const std::string secret = testutil::FileText(keys + "/edge-a.bgpd/1.hmac");
  EXPECT_EQ(list.out.find(HexEncode(secret)), std::string::npos);
  const nlohmann::json json = Json({"keys", "list", "edge-a.bgpd", "--dir", keys});
  ASSERT_EQ(json["keys"].size(), 1U);
  EXPECT_EQ(json["keys"][0]["commitment"].get<std::string>().size(), 64U);
  EXPECT_TRUE(json["keys"][0]["acceptUntil"].is_null());

  const ProgramResult verifier = Ctl({"keys", "verifier", "virp.example.net/site1", "--dir", keys});
  EXPECT_EQ(verifier.exit, 0);
  EXPECT_TRUE(chain::VerifierKey::Parse(verifier.out.substr(0, verifier.out.size() - 1)).ok()) << verifier.out;
  EXPECT_EQ(Json({"keys", "verifier", "virp.example.net/site1", "--dir", keys})["verifierKeys"].size(), 1U);
  EXPECT_EQ(Ctl({"keys", "verifier", "edge-a.bgpd", "--dir", keys}).exit, 2)
      << "an HMAC key verifies nothing in public";
  EXPECT_EQ(Ctl({"keys", "list", "--dir", dir_.File("nowhere")}).exit, 2);
}

TEST_F(LocalTest, AFrameIsDecodedAndItsTagChecked) {
  const std::string bytes = SignedFrame(frame::Spelling::kV2, frame::Suite::kEd25519);
  const std::string file = Write("frame", bytes);
  const ProgramResult table = Ctl({"frame", "decode", file});
  EXPECT_EQ(table.exit, 0) << table.err;
  EXPECT_THAT(table.out,
              AllOf(HasSubstr("YELLOW"), HasSubstr("2025-06-15T15:06:40.123Z"), HasSubstr(R"({"event":"x"})")));
  const std::vector<std::string> check{"frame", "decode", "--keys", dir_.File("keys"), "--source", "edge-a.bgpd", file};
  EXPECT_EQ(Json(check)["tagCheck"], "VERIFIED");
  EXPECT_EQ(Json(check)["sequence"], "7");
  EXPECT_EQ(Json({"frame", "decode", "--keys", dir_.File("keys"), "--source", "edge-b.bgpd", file}, 3)["tagCheck"],
            "NO_KEY");
  std::string changed = bytes;
  changed[changed.find("\"x\"") + 1] = 'y';
  Write("frame", changed);
  EXPECT_EQ(Json(check, 1)["tagCheck"], "BAD_TAG");
  Write("frame", HexEncode(bytes).insert(10, "\n "));
  EXPECT_EQ(Ctl({"frame", "decode", "--hex", file}).exit, 0);
  Write("frame", bytes.substr(0, 40));
  EXPECT_EQ(Ctl({"frame", "decode", file}).exit, 2);
  EXPECT_EQ(Ctl({"frame", "decode", file, "--spelling", "v3"}).exit, 2);
}

TEST_F(LocalTest, AVersionOneFrameIsCheckedWithEveryKeyOfItsSource) {
  const std::string file = Write("frame", SignedFrame(frame::Spelling::kV1Le, frame::Suite::kHmacSha256));
  ASSERT_TRUE(frame::CreateKeyFile(dir_.File("keys"), "edge-a.bgpd", 2, frame::Suite::kHmacSha256, 1).ok());
  EXPECT_EQ(Json({"frame", "decode", "--spelling", "v1-le", "--keys", dir_.File("keys"), "--source", "edge-a.bgpd",
                  file})["tagCheck"],
            "VERIFIED");
}

TEST_F(LocalTest, SecretsThatPassThroughAreOverwrittenWhenTheyAreFreed) {
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
  GTEST_SKIP() << "a sanitizer has a heap of its own";
#endif
#endif
  const ProgramResult symbols = testutil::RunProgram({"/usr/bin/nm", "--dynamic", "--defined-only", VIRPCTL});
  EXPECT_THAT(symbols.out, HasSubstr(" T free\n")) << "the heap of lib/crypto/wiping_heap.cc";
}

}  // namespace
}  // namespace virp::virpctl
