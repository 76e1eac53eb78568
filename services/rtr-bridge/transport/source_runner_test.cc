// Sources that give bad data, or none: what was served stays, and the counters say why.
#include "services/rtr-bridge/transport/source_runner.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <csignal>
#include <fstream>

#include "lib/crypto/sha256.h"
#include "lib/vrp/export.h"
#include "lib/vrp/signing_key.h"
#include "services/rtr-bridge/domain/bridge_fixture.h"
#include "services/rtr-bridge/transport/web_fixture.h"
#include "tests/testutil/program.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/wait.h"

namespace virp::rtr_bridge {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using testing::ManyRoas;
using testing::Ok;
using testing::Say;
using testing::SetOf;
using testing::WebPeer;
using testing::WebServer;
using testutil::Eventually;

class SourceRunnerTest : public ::testing::Test {
 protected:
  SourceRunnerTest() {
    std::signal(SIGPIPE, SIG_IGN);
    options_.name = "source";
    options_.refresh = std::chrono::hours(1);  // RefreshAll says when
  }
  ~SourceRunnerTest() override {
    if (runner_ != nullptr) runner_->Stop();
  }
  std::int64_t now() const { return static_cast<std::int64_t>(clock_.NowNanos() / 1'000'000'000); }
  // A document of `vrps` VRPs, made `age` ago.
  std::string Json(int vrps, std::chrono::seconds age = 0s) const {
    return vrp::WriteJson(SetOf(ManyRoas(vrps)), {.generated = now() - age.count(), .serial = std::nullopt});
  }
  void Start(SourceKind kind, const std::string& location) {
    options_.kind = kind;
    options_.location = location;
    SourceState state;
    state.name = options_.name;
    state.expire = std::chrono::hours(24);
    CacheOptions cache;
    cache.guards.max_drop = 1;
    cache_ = std::make_unique<Cache>(
        cache, SourceTable({state}, {}), !slurm_.paths.empty(), [this] { return ++session_; }, witness_, recorder_,
        state_, clock_, [](const std::shared_ptr<const rtr::Snapshot>&, const Generation&) {});
    ASSERT_OK_AND_ASSIGN(runner_, SourceRunner::Make({options_}, slurm_, {}, *cache_, clock_));
    runner_->Start();
    Refresh();
  }
  void Refresh() { ASSERT_TRUE(runner_->RefreshAll(60s)); }
  std::size_t served() const { return cache_->snapshot() == nullptr ? 0 : cache_->snapshot()->payloads().size(); }
  const SourceCounters& counters() const { return runner_->counters(0); }
  // Of the newest reading; "" when it was good.
  std::string problem() const { return std::string(Message(cache_->status().sources[0].problem)); }
  std::uint64_t failures(std::string_view reason) const {
    const auto at = std::ranges::find(kFailures, reason);
    return counters().failures.at(static_cast<std::size_t>(at - kFailures.begin()));
  }
  // One more failure, for that reason; what was served stays.
  void ExpectKept(std::string_view reason, const std::string& why) {
    const std::uint64_t before = failures(reason), all = counters().failed;
    Refresh();
    EXPECT_EQ(failures(reason), before + 1) << why << ": " << problem();
    EXPECT_EQ(counters().failed, all + 1);
    EXPECT_EQ(served(), 3U) << why;
    EXPECT_NE(problem(), "") << why;
  }

  testutil::TempDir dir_;
  FakeClock clock_;
  SourceOptions options_;
  SlurmFiles slurm_;
  Witness witness_{"bridge-1"};
  testing::FakeRecorder recorder_;
  testing::FakeState state_;
  std::uint16_t session_ = 100;
  std::unique_ptr<Cache> cache_;
  std::unique_ptr<SourceRunner> runner_;
};

struct Bad {
  const char* name;
  std::string text;
};

std::vector<Bad> BadDocuments() {
  const std::string one = R"({"prefix": "10.0.0.0/8", "maxLength": 8, "asn": 1})";
  const auto roas = [](const std::string& list) {
    return R"({"metadata": {"generated": 1700000000}, "roas": [)" + list + "]}";
  };
  return {{"empty", ""},
          {"spaces", std::string(1000, ' ')},
          {"truncated", R"({"metadata": {"generated": 1700000000}, "roas": [)" + one},
          {"truncated within text", R"({"roas": [{"prefix": "10.0.)"},
          {"something behind it", roas(one) + "{}"},
          {"deeply nested", std::string(1'000'000, '[')},
          {"deeply nested where nothing is read", "{\"x\": " + std::string(1'000'000, '[')},
          {"deeply nested objects",
           [] {
             std::string text;
             for (int i = 0; i < 100'000; ++i) text += "{\"roas\":";
             return text;
           }()},
          {"no object", "[]"},
          {"roas of another type", R"({"roas": {"prefix": 1}})"},
          {"a number for a record", roas("1")},
          {"a number for a prefix", roas(R"({"prefix": 10, "maxLength": 8, "asn": 1})")},
          {"text for maxLength", roas(R"({"prefix": "10.0.0.0/8", "maxLength": "8", "asn": 1})")},
          {"a key twice", R"({"roas": [], "roas": []})"},
          {"a key twice in a record",
           roas(R"({"prefix": "10.0.0.0/8", "prefix": "11.0.0.0/8", "maxLength": 8, "asn": 1})")},
          {"a BOM of UTF-16", "\xff\xfe{\"roas\": []}"},
          {"not UTF-8", R"({"metadata": {"generated": 1700000000}, "roas": [], "x": ")"
                        "\xc3\x28"
                        R"("})"},
          {"a surrogate", "{\"roas\": [], \"x\": \"\xed\xa0\x80\"}"},
          {"AS beyond 32 bits", roas(R"({"prefix": "10.0.0.0/8", "maxLength": 8, "asn": 4294967296})")},
          {"negative AS", roas(R"({"prefix": "10.0.0.0/8", "maxLength": 8, "asn": -1})")},
          {"AS as a fraction", roas(R"({"prefix": "10.0.0.0/8", "maxLength": 8, "asn": 1.5})")},
          {"AS as a word", roas(R"({"prefix": "10.0.0.0/8", "maxLength": 8, "asn": "ASX"})")},
          {"length beyond 32", roas(R"({"prefix": "10.0.0.0/33", "maxLength": 33, "asn": 1})")},
          {"length beyond 128", roas(R"({"prefix": "2001:db8::/129", "maxLength": 129, "asn": 1})")},
          {"maxLength beyond 32", roas(R"({"prefix": "10.0.0.0/8", "maxLength": 33, "asn": 1})")},
          {"maxLength below length", roas(R"({"prefix": "10.0.0.0/8", "maxLength": 7, "asn": 1})")},
          {"an address that is none", roas(R"({"prefix": "10.0.0.256/32", "maxLength": 32, "asn": 1})")},
          {"an address without length", roas(R"({"prefix": "10.0.0.0", "maxLength": 32, "asn": 1})")},
          {"no prefix", roas(R"({"maxLength": 32, "asn": 1})")},
          {"no AS", roas(R"({"prefix": "10.0.0.0/8", "maxLength": 8})")},
          {"a web page", "<!DOCTYPE html><html><body>It works!</body></html>"},
          {"zeros", std::string(4096, '\0')}};
}

TEST_F(SourceRunnerTest, BadDocumentsOfAFileLeaveWhatIsServed) {
  const std::string path = dir_.File("vrps.json");
  ASSERT_OK(ReplaceFile(path, Json(3)));
  Start(SourceKind::kFile, path);
  ASSERT_EQ(served(), 3U) << problem();
  for (const Bad& bad : BadDocuments()) {
    ASSERT_OK(ReplaceFile(path, bad.text));
    const std::uint64_t before = failures("BAD_DATA");
    Refresh();  // the watch may have been faster, and both count
    EXPECT_GT(failures("BAD_DATA"), before) << bad.name << ": " << problem();
    EXPECT_EQ(served(), 3U) << bad.name;
  }
  ASSERT_OK(ReplaceFile(path, Json(4)));
  Refresh();
  EXPECT_EQ(served(), 4U);
  EXPECT_EQ(problem(), "");
}

TEST_F(SourceRunnerTest, BadDocumentsOfAServerLeaveWhatIsServed) {
  WebServer server(Say(Ok(Json(3))));
  Start(SourceKind::kHttp, server.url());
  ASSERT_EQ(served(), 3U) << problem();
  for (const Bad& bad : BadDocuments()) {
    server.Become(Say(Ok(bad.text)));
    ExpectKept("BAD_DATA", bad.name);
  }
  server.Become(Say(Ok(Json(4))));
  Refresh();
  EXPECT_EQ(served(), 4U);
}

TEST_F(SourceRunnerTest, ServersThatFailLeaveWhatIsServed) {
  WebServer server(Say(Ok(Json(3))));
  Start(SourceKind::kHttp, server.url());
  ASSERT_EQ(served(), 3U) << problem();
  const struct {
    const char* reason;
    std::string answer;
  } cases[] = {{"HTTP_STATUS", "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"},
               {"HTTP_STATUS", "HTTP/1.1 304 Not Modified\r\n\r\n"},  // nobody had asked
               {"REDIRECT", "HTTP/1.1 301 Moved\r\nLocation: /rpki.json\r\nContent-Length: 0\r\n\r\n"},
               {"UNREACHABLE", "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + Json(5)},
               {"UNREACHABLE", ""},
               // Nobody said how much was to come: what there is must be a whole document.
               {"BAD_DATA", "HTTP/1.1 200 OK\r\n\r\n" + Json(5).substr(0, 600)},
               {"BAD_DATA", "HTTP/1.1 200 OK\r\nContent-Len"}};
  for (const auto& one : cases) {
    server.Become(Say(one.answer));
    ExpectKept(one.reason, one.answer.substr(0, 20));
  }
}

// 200 MB of nothing: within the limit it is bad data, beyond it not even read.
TEST_F(SourceRunnerTest, TwoHundredMegabytes) {
  WebServer server(Say(Ok(Json(3))));
  Start(SourceKind::kHttp, server.url());
  const auto flood = [](const WebPeer& peer, const std::string&) {
    peer.Send("HTTP/1.1 200 OK\r\n\r\n");
    const std::string piece(1'000'000, '[');
    for (int i = 0; i < 200 && peer.Send(piece); ++i) {
    }
  };
  server.Become(flood);
  ExpectKept("BAD_DATA", "within the limit");
  runner_->Stop();
  options_.max_bytes = 1'000'000;
  server.Become(Say(Ok(Json(3))));
  Start(SourceKind::kHttp, server.url());
  server.Become(flood);
  ExpectKept("TOO_LARGE", "beyond the limit");
}

TEST_F(SourceRunnerTest, AFileThatIsGoneLeavesWhatIsServed) {
  const std::string path = dir_.File("vrps.json");
  ASSERT_OK(ReplaceFile(path, Json(3)));
  Start(SourceKind::kFile, path);
  std::filesystem::remove(path);
  ExpectKept("FILE", "gone");
}

TEST_F(SourceRunnerTest, NotModifiedIsAsGoodAsNew) {
  WebServer server(Say(Ok(Json(3), "ETag: \"a\"\r\n")));
  Start(SourceKind::kHttp, server.url());
  server.Become(Say("HTTP/1.1 304 Not Modified\r\n\r\n"));
  clock_.Advance(23h);
  const std::uint64_t before = counters().unchanged;
  Refresh();
  EXPECT_EQ(counters().unchanged, before + 1) << problem();
  EXPECT_EQ(cache_->status().sources[0].last_good, clock_.NowNanos());
}

// A validator that has stopped, behind a server that goes on: what it left is not for ever.
TEST_F(SourceRunnerTest, DataThatStayTheSameGrowTooOld) {
  WebServer server(Say(Ok(Json(3), "ETag: \"a\"\r\n")));
  Start(SourceKind::kHttp, server.url());
  clock_.Advance(25h);
  server.Become(Say("HTTP/1.1 304 Not Modified\r\n\r\n"));
  ExpectKept("TOO_OLD", "304");
  clock_.Advance(25h);
  cache_->Tick();
  EXPECT_TRUE(cache_->status().sources[0].expired_at(clock_.NowNanos()));
}

TEST_F(SourceRunnerTest, AFileThatStaysTheSameGrowsTooOld) {
  const std::string path = dir_.File("vrps.json");
  ASSERT_OK(ReplaceFile(path, Json(3)));
  Start(SourceKind::kFile, path);
  clock_.Advance(25h);
  ExpectKept("TOO_OLD", "the same file");
}

TEST_F(SourceRunnerTest, AgeByTheProducersWord) {
  WebServer server(Say(Ok(Json(3))));
  Start(SourceKind::kHttp, server.url());
  server.Become(Say(Ok(Json(4, 25h))));
  ExpectKept("TOO_OLD", "made 25 hours ago");
  server.Become(Say(Ok(R"({"roas": []})")));
  ExpectKept("TOO_OLD", "no word");
  EXPECT_THAT(problem(), HasSubstr("does not say when it was made"));
}

// A date in the future would never be too old.
TEST_F(SourceRunnerTest, DocumentsOfTheFutureAreRefused) {
  WebServer server(Say(Ok(Json(3))));
  Start(SourceKind::kHttp, server.url());
  server.Become(Say(Ok(Json(4, -2h))));
  ExpectKept("TOO_OLD", "two hours from now");
  server.Become(Say(Ok(R"({"metadata": {"generated": 9223372036854775807}, "roas": []})")));
  ExpectKept("TOO_OLD", "more than nanoseconds count");
  server.Become(Say(Ok(Json(4, -30min))));
  Refresh();
  EXPECT_EQ(served(), 4U) << "clocks differ: " << problem();
}

TEST_F(SourceRunnerTest, DocumentsSayHowLongTheyAreValid) {
  const auto document = [&](std::int64_t valid) {
    return fmt::format(
        R"({{"metadata": {{"generated": {}, "valid": {}}}, "roas": [{{"prefix": "10.0.0.0/24", "asn": 1}}]}})", now(),
        valid);
  };
  WebServer server(Say(Ok(Json(3))));
  Start(SourceKind::kHttp, server.url());
  server.Become(Say(Ok(document(now() - 1))));
  ExpectKept("TOO_OLD", "valid until a second ago");
  server.Become(Say(Ok(document(now() + 60))));
  Refresh();
  EXPECT_EQ(served(), 1U) << problem();
}

TEST_F(SourceRunnerTest, WhatIsLeftOutOfADocumentIsTold) {
  options_.skip_bad_records = true;
  options_.max_age.reset();
  WebServer server(Say(Ok(
      R"({"roas": [{"prefix": "10.0.0.0/24", "asn": 1}, {"prefix": "10.0.0.0/33", "asn": 1}, {"prefix": "x", "asn": 1}]})")));
  Start(SourceKind::kHttp, server.url());
  EXPECT_EQ(served(), 1U);
  const auto reading = cache_->status().sources[0].reading;
  ASSERT_TRUE(reading.has_value());
  EXPECT_EQ(reading->left_out, 2U);
  EXPECT_THAT(reading->problems, ::testing::ElementsAre(HasSubstr("10.0.0.0/33"), HasSubstr("\"x\"")));
}

// What is wrong may be another thing than the file, which then looks as before when it is mended.
TEST_F(SourceRunnerTest, SlurmFilesThatCouldNotBeReadAreTriedAgain) {
  options_.max_age.reset();
  const std::string path = dir_.File("slurm"), empty = R"({"slurmVersion": 1,
    "validationOutputFilters": {"prefixFilters": [], "bgpsecFilters": []},
    "locallyAddedAssertions": {"prefixAssertions": [], "bgpsecAssertions": []}})";
  const timespec then[2] = {{1'700'000'000, 0}, {1'700'000'000, 0}};
  const auto write = [&](const std::string& text) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file << text << std::flush;
    ::utimensat(AT_FDCWD, path.c_str(), then, 0);
  };
  std::ofstream(path) << std::string(empty.size(), ' ');
  write(std::string(empty.size(), ' '));
  slurm_ = {.paths = {path}, .retry = 10ms};
  ASSERT_OK(ReplaceFile(dir_.File("vrps.json"), Json(3)));
  Start(SourceKind::kFile, dir_.File("vrps.json"));
  EXPECT_EQ(served(), 0U) << "nothing is served unfiltered";
  EXPECT_FALSE(cache_->status().slurm.problem.ok());
  // FakeClock stands still, so nobody looks at the file's time.
  write(empty);
  EXPECT_TRUE(Eventually([&] { return served() == 3; }));
  EXPECT_OK(cache_->status().slurm.problem);
}

// Signed documents.
class SignedSourceTest : public SourceRunnerTest {
 protected:
  SignedSourceTest() {
    EXPECT_EQ(
        testutil::RunProgram({"/usr/bin/openssl", "genpkey", "-algorithm", "ed25519", "-out", dir_.File("key")}).exit,
        0);
    key_ = std::make_unique<vrp::SigningKey>(*vrp::SigningKey::FromPem(testutil::FileText(dir_.File("key"))));
    options_.signature_key = dir_.File("pub");
    EXPECT_OK(ReplaceFile(options_.signature_key, key_->PublicPem()));
  }
  // A server of the document and of a signature.
  static WebServer::Script Both(std::string document, std::string signature) {
    return [document = std::move(document), signature = std::move(signature)](const WebPeer& peer,
                                                                              const std::string& request) {
      peer.Send(Ok(request.starts_with("GET /rpki.json.sig ") ? signature : document));
    };
  }
  std::unique_ptr<vrp::SigningKey> key_;
};

TEST_F(SignedSourceTest, OnlyWhatIsSignedIsTaken) {
  const std::string document = Json(3);
  WebServer server(Both(document, key_->Sign(document)));
  Start(SourceKind::kHttp, server.url());
  ASSERT_EQ(served(), 3U) << problem();
  EXPECT_TRUE(cache_->status().sources[0].reading->signature_verified);
  const std::string other = Json(4);
  for (const std::string& signature :
       {key_->Sign(document), std::string(), std::string(64, 'x'), key_->Sign(other) + "x"}) {
    server.Become(Both(other, signature));
    ExpectKept("BAD_SIGNATURE", signature);
  }
  std::string tampered = other;
  tampered.replace(tampered.find("64496"), 5, "64497");
  server.Become(Both(tampered, key_->Sign(other)));
  ExpectKept("BAD_SIGNATURE", "tampered");
  server.Become(Both(other, key_->Sign(other)));
  Refresh();
  EXPECT_EQ(served(), 4U);
}

// Made anew between the two requests: that is no forgery, and the next try shows it.
TEST_F(SignedSourceTest, ADocumentThatIsReplacedMeanwhileIsReadAgain) {
  const std::string before = Json(3), after = Json(4);
  auto reads = std::make_shared<std::atomic<int>>(0);
  WebServer server([this, before, after, reads](const WebPeer& peer, const std::string& request) {
    const bool signature = request.starts_with("GET /rpki.json.sig ");
    peer.Send(Ok(signature ? key_->Sign(after) : (*reads)++ == 0 ? before : after));
  });
  Start(SourceKind::kHttp, server.url());
  EXPECT_EQ(served(), 4U) << problem();
  EXPECT_EQ(counters().failed, 0U);
}

TEST_F(SignedSourceTest, WhileKeysChangeEitherWillDo) {
  const std::string first = key_->PublicPem();
  ASSERT_EQ(
      testutil::RunProgram({"/usr/bin/openssl", "genpkey", "-algorithm", "ed25519", "-out", dir_.File("next")}).exit,
      0);
  const auto next = vrp::SigningKey::FromPem(testutil::FileText(dir_.File("next")));
  ASSERT_OK(ReplaceFile(options_.signature_key, first + next->PublicPem()));
  const std::string one = Json(3), two = Json(4);
  WebServer server(Both(one, key_->Sign(one)));
  Start(SourceKind::kHttp, server.url());
  EXPECT_EQ(served(), 3U) << problem();
  server.Become(Both(two, next->Sign(two)));
  Refresh();
  EXPECT_EQ(served(), 4U) << problem();
}

// A file and its signature are never replaced in one step: the later of the two counts.
TEST_F(SignedSourceTest, ASignatureThatComesBehindItsFileIsNoticed) {
  const std::string path = dir_.File("vrps.json");
  const std::string document = Json(3);
  ASSERT_OK(ReplaceFile(path, document));
  Start(SourceKind::kFile, path);
  EXPECT_EQ(failures("FILE"), counters().failed);
  EXPECT_GT(counters().failed, 0U);
  ASSERT_OK(ReplaceFile(path + ".sig", key_->Sign(document)));
  EXPECT_TRUE(Eventually([&] {
    clock_.Advance(1s);
    return served() == 3;
  })) << problem();
}

class FileReaderTest : public SourceRunnerTest {
 protected:
  FileReaderTest() {
    options_.location = dir_.File("vrps.json");
    options_.kind = SourceKind::kFile;
  }
};

TEST_F(FileReaderTest, WhatWasReadIsNoNewsLater) {
  ASSERT_OK(ReplaceFile(options_.location, Json(3)));
  ASSERT_OK_AND_ASSIGN(const auto reader, MakeReader(options_, clock_));
  const std::atomic<bool> stop = false;
  ASSERT_OK(reader->Read(stop));
  // As on a signal, before it is time to look.
  ASSERT_OK(ReplaceFile(options_.location, Json(4)));
  ASSERT_OK_AND_ASSIGN(const auto read, reader->Read(stop));
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->payloads->size(), 4U);
  EXPECT_EQ(read->sha256, crypto::Sha256(Json(4)));
  clock_.Advance(5s);
  EXPECT_FALSE(reader->Changed());
  ASSERT_OK_AND_ASSIGN(const auto again, reader->Read(stop));
  EXPECT_FALSE(again.has_value());
  ASSERT_OK(ReplaceFile(options_.location, Json(5)));
  clock_.Advance(5s);
  EXPECT_TRUE(reader->Changed());
}

// It is read piece by piece: some are full, the last is not, and what is wrong may be far behind.
TEST_F(FileReaderTest, ALargeFileIsReadToItsEnd) {
  const std::string document = Json(20'000);
  ASSERT_GT(document.size(), std::size_t{1} << 20);
  ASSERT_OK_AND_ASSIGN(const auto reader, MakeReader(options_, clock_));
  const std::atomic<bool> stop = false;
  ASSERT_OK(ReplaceFile(options_.location, document));
  ASSERT_OK_AND_ASSIGN(const auto read, reader->Read(stop));
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->payloads->size(), 20'000U);
  EXPECT_EQ(read->sha256, crypto::Sha256(document));
  ASSERT_OK(ReplaceFile(options_.location, document + "x"));
  EXPECT_THAT(reader->Read(stop), testutil::StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("behind the doc")));
  ASSERT_OK(ReplaceFile(options_.location, document.substr(0, document.size() / 2)));
  EXPECT_THAT(reader->Read(stop), testutil::StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("the text ends")));
}

TEST(FailureTest, EveryReasonHasItsPlace) {
  EXPECT_EQ(kFailures.at(FailureIndexOf(Unavailable("x"))), "UNREACHABLE");
  EXPECT_EQ(kFailures.at(FailureIndexOf(ResourceExhausted("x"))), "TOO_LARGE");
  EXPECT_EQ(kFailures.at(FailureIndexOf(Internal("x"))), "OTHER");
  EXPECT_EQ(kFailures.at(FailureIndexOf(absl::OkStatus())), "OTHER");
}

}  // namespace
}  // namespace virp::rtr_bridge
