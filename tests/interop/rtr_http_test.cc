// The bridge's HTTP address as other people's programs use it: curl, StayRTR, and a second bridge that believes nothing
// without a signature.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "services/rtr-bridge/transport/web_fixture.h"
#include "tests/interop/rtr_routers.h"
#include "tests/testutil/program.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/tls_client.h"
#include "tests/testutil/wait.h"

namespace virp::testutil {
namespace {

using nlohmann::json;
using rtr_bridge::testing::Ok;
using rtr_bridge::testing::WebPeer;
using rtr_bridge::testing::WebServer;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr std::size_t kVrps = 300;

class RtrHttp : public ::testing::Test {
 protected:
  RtrHttp() {
    EXPECT_EQ(RunProgram({"/usr/bin/openssl", "genpkey", "-algorithm", "ed25519", "-out", lab_.File("sign.key")}).exit,
              0);
    std::filesystem::permissions(lab_.File("sign.key"),
                                 std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    EXPECT_EQ(
        RunProgram({"/usr/bin/openssl", "pkey", "-in", lab_.File("sign.key"), "-pubout", "-out", lab_.File("sign.pub")})
            .exit,
        0);
    lab_.Write(table_);
  }
  void Start(std::vector<std::string> more = {}) {
    more.insert(more.end(), {"--http", std::to_string(http_.port()), "--http-signing-key", lab_.File("sign.key")});
    ASSERT_OK(lab_.Start(more));
  }
  std::string Url(const std::string& path, const std::string& scheme = "http") const {
    return scheme + "://localhost:" + std::to_string(http_.port()) + path;
  }
  static ProgramResult Curl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"/usr/bin/curl", "-sS", "--max-time", "60"});
    return RunProgram(arguments);
  }
  std::string Code(const std::string& path, std::vector<std::string> more = {}) const {
    more.insert(more.end(), {"-o", "/dev/null", "-w", "%{http_code}", Url(path)});
    return Curl(more).out;
  }

  RtrLab lab_;
  ReservedPort http_;
  RtrTable table_ = MakeRtrTable(kVrps);
};

TEST_F(RtrHttp, CurlGetsTheExportOnceAndItsSignatureVerifies) {
  Start();
  const std::string body = lab_.File("got.json"), tag = lab_.File("tag"), signature = lab_.File("got.sig");
  EXPECT_EQ(Curl({"-o", body, "--etag-save", tag, "-w", "%{http_code}", Url("/rpki.json")}).out, "200");
  const json document = json::parse(FileText(body));
  RtrTable got;
  for (const json& roa : document["roas"])
    got.insert(fmt::format("{} {} {}", roa["prefix"].get<std::string>(), roa["maxLength"].get<int>(),
                           roa["asn"].get<std::uint32_t>()));
  EXPECT_EQ(got, table_);
  EXPECT_EQ(OutputOf("python3 " VIRP_SOURCE_DIR "/tests/interop/vrp_set_hash.py " + body).substr(0, 64),
            document["metadata"]["set_sha256"].get<std::string>());

  EXPECT_EQ(Code("/rpki.json", {"--etag-compare", tag}), "304");
  EXPECT_EQ(Code("/rpki.json", {"--time-cond", body}), "304");  // its time is later
  EXPECT_EQ(Code("/rpki.json", {"-H", "If-None-Match: \"other\""}), "200");
  EXPECT_THAT(
      Curl({"-I", Url("/rpki.json")}).out,
      AllOf(HasSubstr("HTTP/1.1 200 OK"), HasSubstr("content-length: " + std::to_string(FileText(body).size()))));

  EXPECT_EQ(Curl({"-o", signature, "-w", "%{http_code}", Url("/rpki.json.sig")}).out, "200");
  EXPECT_EQ(RunProgram({"/usr/bin/openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", lab_.File("sign.pub"),
                        "-in", body, "-sigfile", signature})
                .exit,
            0);
  EXPECT_EQ(lab_.Metric("virp_rtr_bridge_http_answers_total{code=\"304\"}"), 2);
}

TEST_F(RtrHttp, CurlAsksAboutRoutesAndChanges) {
  Start();
  const auto ask = [&](const std::string& path) { return json::parse(Curl({Url(path)}).out); };
  // "PREFIX MAXLENGTH AS"
  std::istringstream words(*table_.begin());
  std::string prefix, longest, as;
  words >> prefix >> longest >> as;
  for (const std::string& path :
       {"/api/v1/validity/AS" + as + "/" + prefix, "/validity?asn=" + as + "&prefix=" + prefix})
    EXPECT_EQ(ask(path)["validated_route"]["validity"]["state"], "valid") << path;
  EXPECT_EQ(ask("/api/v1/validity/AS1/" + prefix)["validated_route"]["validity"]["reason"], "as");
  EXPECT_EQ(Code("/api/v1/validity/AS1/10.0.0.0"), "400");

  const json reset = ask("/json-delta");
  EXPECT_EQ(reset["announced"].size(), kVrps);
  lab_.Write(MakeRtrTable(kVrps + 5));
  lab_.Hangup();
  const std::string since = fmt::format("/json-delta?session={}&serial={}", reset["session"].get<std::string>(),
                                        reset["serial"].get<std::uint32_t>());
  ASSERT_TRUE(Eventually([&] { return ask(since)["announced"].size() == 5; }));
  EXPECT_EQ(ask(since)["reset"], false);
  // The session goes on over a restart.
  ASSERT_OK(lab_.Stop());
  Start();
  EXPECT_EQ(ask(since)["announced"].size(), 5U);
}

TEST_F(RtrHttp, NothingButGetAndNothingTooLarge) {
  Start();
  EXPECT_EQ(Code("/rpki.json", {"-X", "DELETE"}), "405");
  EXPECT_EQ(Code("/rpki.json", {"-d", "x=1"}), "413");
  EXPECT_EQ(Code("/rpki.json", {"-H", "X: " + std::string(20'000, 'x')}), "431");
  EXPECT_EQ(Code("/"), "404");
}

TEST_F(RtrHttp, ConnectionsThatSayNothingKeepNobodyOut) {
  Start();
  std::vector<FileDescriptor> silent;
  for (int i = 0; i < 300; ++i) silent.push_back(ConnectTo(http_.port()));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Code("/validity?asn=1&prefix=10.0.0.0/8"), "200");
}

TEST_F(RtrHttp, OverTlsForWhoShowsACertificate) {
  lab_.Write(table_);
  ASSERT_OK(lab_.Start());  // makes the lab's certificate
  ASSERT_OK(lab_.Stop());
  Start({"--http-certificate", lab_.File("tls.crt"), "--http-key", lab_.File("tls.key"), "--http-client-roots",
         lab_.File("tls.crt")});
  const std::string url = Url("/rpki.json", "https"), roots = lab_.File("tls.crt");
  EXPECT_EQ(Curl({"--cacert", roots, "--cert", roots, "--key", lab_.File("tls.key"), "-o", "/dev/null", "-w",
                  "%{http_code}", url})
                .out,
            "200");
  EXPECT_NE(Curl({"--cacert", roots, "-o", "/dev/null", url}).exit, 0);
  EXPECT_NE(Curl({Url("/rpki.json")}).exit, 0);
}

TEST_F(RtrHttp, StayRtrServesWhatItReadsFromUs) {
  Start();
  ReservedPort rtr;
  Process stayrtr;
  stayrtr.options() = {
      .command = {"/usr/bin/stayrtr", "-bind", rtr.address(), "-cache", Url("/rpki.json"), "-metrics.addr", ""},
      .log = lab_.File("stayrtr.log")};
  ASSERT_OK(stayrtr.Start());
  EXPECT_TRUE(Eventually([&] { return RtrDumpTable("-rtr.version 1 -connect " + rtr.address()) == table_; }))
      << stayrtr.log();
}

// Between the two bridges stands somebody who changes what passes.
TEST_F(RtrHttp, ASecondBridgeTakesOnlyWhatTheFirstHasSigned) {
  Start();
  const auto fetch = [this](const std::string& path) { return Curl({Url(path)}).out; };
  enum class Change { kNothing, kBody, kSignature, kNoSignature };
  std::atomic<Change> change{Change::kNothing};
  const WebServer middle([&](const WebPeer& peer, const std::string& request) {
    const bool signature = request.starts_with("GET /rpki.json.sig ");
    std::string bytes = fetch(signature ? "/rpki.json.sig" : "/rpki.json");
    if (signature && change == Change::kNoSignature) {
      peer.Send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
      return;
    }
    if (signature && change == Change::kSignature) bytes[7] = static_cast<char>(bytes[7] ^ 1);
    if (!signature && change == Change::kBody) bytes.replace(bytes.find("\"asn\": 6"), 8, "\"asn\": 7");
    peer.Send(Ok(bytes));
  });
  RtrLab second;
  second.Write({});
  std::ofstream(second.File("sources.json")) << json({{"sources",
                                                       {{{"name", "first"},
                                                         {"location", middle.url()},
                                                         {"signature_key", lab_.File("sign.pub")},
                                                         {"max_age", "24h"}}}}})
                                                    .dump();
  ASSERT_OK(second.Start({"--sources", second.File("sources.json")}));
  const auto table = [&] { return RtrClientTable("tcp 127.0.0.1 " + std::to_string(second.tcp_port())); };
  EXPECT_EQ(table(), table_);

  const RtrTable next = MakeRtrTable(kVrps + 20, 3);
  lab_.Write(next);
  lab_.Hangup();
  ASSERT_TRUE(Eventually([&] { return lab_.Metric("virp_rtr_bridge_generation") == 2; }));
  const auto failures = [&](const std::string& reason) {
    return second.Metric("virp_rtr_bridge_source_failures_total{reason=\"" + reason + "\",source=\"first\"}");
  };
  for (const auto& [how, reason] : {std::pair(Change::kBody, "BAD_SIGNATURE"),
                                    {Change::kSignature, "BAD_SIGNATURE"},
                                    {Change::kNoSignature, "HTTP_STATUS"}}) {
    change = how;
    const double before = failures(reason);
    second.Hangup();
    EXPECT_TRUE(Eventually([&] { return failures(reason) > before; })) << reason;
    EXPECT_EQ(table(), table_) << reason;
  }
  EXPECT_THAT(second.log(),
              AllOf(HasSubstr("a source could not be read; its last good data stay in use"), HasSubstr("BAD_SIGNATURE"),
                    HasSubstr("the signature of the document does not verify")));
  change = Change::kNothing;
  second.Hangup();
  EXPECT_TRUE(Eventually([&] { return table() == next; }));
}

}  // namespace
}  // namespace virp::testutil
