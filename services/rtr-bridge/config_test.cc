#include "services/rtr-bridge/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/testutil/read_config.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"

namespace virp::rtr_bridge {
namespace {

using absl::StatusCode;
using ::testing::HasSubstr;
using testutil::StatusIs;

absl::StatusOr<Config> Read(const std::vector<std::string>& arguments) {
  return testutil::ConfigOf<Config>(ReadConfig, arguments);
}
const std::vector<std::string> kLeast{"--rtr", "127.0.0.1:323", "--vrps", "/var/lib/rpki.json", "--state", "/state"};

absl::StatusOr<Config> ReadWith(std::vector<std::string> more) {
  more.insert(more.begin(), kLeast.begin(), kLeast.end());
  return Read(more);
}
absl::StatusOr<std::vector<SourceOptions>> Sources(const std::string& sources) {
  return ParseSources("{\"sources\": [" + sources + "]}", {});
}

TEST(BridgeConfig, TheLeastThatDoes) {
  ASSERT_OK_AND_ASSIGN(const Config config, Read(kLeast));
  EXPECT_FALSE(config.serves_grpc());
  EXPECT_FALSE(config.keeps_evidence());
  EXPECT_EQ(config.sources.size(), 1U);
  EXPECT_EQ(config.sources[0].kind, SourceKind::kFile);
  EXPECT_EQ(config.cache.guards.max_drop, 0.10);
  EXPECT_EQ(config.session_log.per_router, 60U);
  EXPECT_EQ(config.cache.when_stale, WhenStale::kServe);
  EXPECT_EQ(config.cache.pace.interval, std::chrono::seconds(10));
  for (std::size_t left_out = 0; left_out < kLeast.size(); left_out += 2) {
    auto less = kLeast;
    less.erase(less.begin() + static_cast<std::ptrdiff_t>(left_out),
               less.begin() + static_cast<std::ptrdiff_t>(left_out) + 2);
    EXPECT_FALSE(Read(less).ok()) << kLeast[left_out];
  }
}

TEST(BridgeConfig, RefusesWhatWouldNotBeWhatWasMeant) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> wrong{
      {{"--vrps", "/var/lib/rpki.json"}, "two sources"},
      {{"--vrps", "keymgr:127.0.0.1:8444"}, "a feed needs tls-certificate"},
      {{"--merge", "all"}, "merge"},
      {{"--merge", "quorum", "--quorum", "2"}, "can never agree"},
      {{"--max-drop", "-1"}, "max-drop"},
      {{"--max-drop", "10 %"}, "max-drop"},
      {{"--max-drop", "nan"}, "max-drop"},
      {{"--max-drop", "10"}, "max-drop: is more than the whole"},
      {{"--max-growth", "2"}, "max-growth: is more than the whole"},
      {{"--when-stale", "perhaps"}, "when-stale"},
      {{"--min-version", "2", "--max-version", "1"}, "min-version is above max-version"},
      {{"--max-version", "3"}, "max-version"},
      {{"--rtr-tls", "127.0.0.1:324"}, "rtr-tls: needs"},
      {{"--rtr-ssh", "127.0.0.1:22"}, "rtr-ssh: needs"},
      {{"--rtr", "nonsense"}, "rtr"},
      {{"--rtr-tls-router-certificates", "maybe"}, "rtr-tls-router-certificates"},
      {{"--rtr-expire", "600", "--rtr-refresh", "3600"}, "rtr-expire"},
      {{"--name", "bridge-1"}, "name: evidence needs"},
      {{"--break-glass-socket", "/run/x/socket"}, "break-glass-socket: without tls-certificate"},
      {{"--router-records", "0"}, "router-records"},
      {{"--must-stay-valid", "/none"}, "/none"},
      {{"--sources", "/none"}, "/none"},
      {{"--listeners", "/none"}, "/none"},
      {{"--history", "1001"}, "history"},
  };
  for (const auto& [more, why] : wrong) {
    const auto read = ReadWith(more);
    EXPECT_FALSE(read.ok()) << more[0] << " " << more[1];
    EXPECT_THAT(read.status().message(), HasSubstr(why)) << more[0];
  }
}

TEST(BridgeConfig, EvidenceNeedsAllOfItsParts) {
  const testutil::TempDir dir;
  const std::string key = dir.File("key");
  std::ofstream(key) << "x";
  std::filesystem::permissions(key, std::filesystem::perms::owner_read);
  const std::vector<std::pair<std::string, std::string>> parts{
      {"--tls-certificate", "c"},    {"--tls-key", key},
      {"--tls-roots", "r"},          {"--trust-domain", "example.net"},
      {"--name", "bridge-1"},        {"--keys", "/keys"},
      {"--onode", "127.0.0.1:8443"}, {"--origin", "virp.example.net/site1"},
      {"--checkpoint-key", "x"},     {"--spool", "/spool"}};
  for (std::size_t without = 0; without <= parts.size(); ++without) {
    std::vector<std::string> given;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (i != without) given.insert(given.end(), {parts[i].first, parts[i].second});
    }
    const auto read = ReadWith(given);
    if (without == parts.size()) {
      ASSERT_OK(read);
      EXPECT_TRUE(read->keeps_evidence());
    } else if (parts[without].first == "--name") {
      ASSERT_OK(read);
      EXPECT_FALSE(read->keeps_evidence());
    } else {
      EXPECT_FALSE(read.ok()) << "without " << parts[without].first;
    }
  }
}

TEST(SourcesFile, ReadsEachKindOfSource) {
  const auto sources = Sources(R"(
    {"name": "validator-a", "location": "https://a.example.net/rpki.json", "refresh": "5m", "expire": "0", "max_age": "1h",
     "max_bytes": "1MiB", "skip_bad_records": true, "signature_key": "a.pem", "signature": "https://a.example.net/sig",
     "embedded_signature": true, "roots": "r.pem"},
    {"location": "/etc/virp/private.json"},
    {"location": "keymgr:127.0.0.1:8444,127.0.0.1:8445"},
    {"location": "bridge:[::1]:8446"})");
  ASSERT_OK(sources);
  ASSERT_EQ(sources->size(), 4U);
  const SourceOptions& full = (*sources)[0];
  EXPECT_EQ(full.name, "validator-a");
  EXPECT_EQ(full.kind, SourceKind::kHttp);
  EXPECT_EQ(full.refresh, std::chrono::minutes(5));
  EXPECT_FALSE(full.expire.has_value()) << "0 is for ever";
  EXPECT_EQ(full.max_age, std::chrono::hours(1));
  EXPECT_EQ(full.max_bytes, 1U << 20);
  EXPECT_TRUE(full.skip_bad_records);
  EXPECT_TRUE(full.embedded_signature);
  EXPECT_EQ((*sources)[1].name, "/etc/virp/private.json");
  EXPECT_EQ((*sources)[1].kind, SourceKind::kFile);
  EXPECT_EQ((*sources)[2].kind, SourceKind::kKeyManager);
  EXPECT_EQ((*sources)[2].location, "127.0.0.1:8444,127.0.0.1:8445");
  EXPECT_EQ((*sources)[3].kind, SourceKind::kBridge);
}

TEST(SourcesFile, NamesThePlaceOfWhatIsWrong) {
  const std::vector<std::pair<std::string, std::string>> wrong{
      {"{}", "sources[1]"},
      {"7", "sources[1]"},
      {R"({"location": ""})", "sources[1].location"},
      {R"({"location": "ftp://a.example.net/x"})", "sources[1].location"},
      {R"({"location": "x", "refresh": "0"})", "sources[1].refresh"},
      {R"({"location": "x", "refresh": "-1s"})", "sources[1].refresh"},
      {R"({"location": "x", "refresh": 600})", "sources[1]: 'refresh'"},
      {R"({"location": "x", "expire": "soon"})", "sources[1].expire"},
      {R"({"location": "x", "max_age": 1})", "sources[1]: 'max_age'"},
      {R"({"location": "x", "max_bytes": "many"})", "sources[1].max_bytes"},
      {R"({"location": "x", "skip_bad_records": "yes"})", "sources[1].skip_bad_records"},
      {R"({"location": "x", "signature": "x.sig"})", "needs signature_key"},
      {R"({"location": "x", "embedded_signature": true})", "needs signature_key"},
      {R"({"location": "x", "url": "y"})", "url"},
      {R"({"location": "x", "location": "y"})", "location"},
  };
  for (const auto& [source, place] : wrong) {
    EXPECT_THAT(Sources(R"({"location": "good"},)" + source).status(),
                StatusIs(StatusCode::kInvalidArgument, HasSubstr(place)))
        << source;
  }
  for (const std::string& text :
       {std::string(), std::string("{}"), std::string("[]"), std::string(R"({"sources": 1})"),
        "{\"sources\": " + std::string(100'000, '['), std::string("{\"sources\": [\"\xff\"]}")})
    EXPECT_THAT(ParseSources(text, {}).status(), StatusIs(StatusCode::kInvalidArgument)) << text.substr(0, 40);
  std::string many = R"({"location": "x"})";
  for (int i = 0; i < 64; ++i) many += R"(,{"location": "x"})";
  EXPECT_THAT(Sources(many).status(), StatusIs(StatusCode::kInvalidArgument, HasSubstr("at most 64")));
}

}  // namespace
}  // namespace virp::rtr_bridge
