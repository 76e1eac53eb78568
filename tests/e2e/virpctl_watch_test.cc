// virpctl observations watch: nothing lost, nothing twice, whatever happens to its connections.
#include <csignal>
#include <sstream>

#include "tests/e2e/tcp_cutter.h"
#include "tests/e2e/virpctl_fixture.h"

namespace virp::e2e {
namespace {

using ::testing::HasSubstr;
using testutil::Program;

class WatchTest : public VirpctlTest {
 protected:
  std::unique_ptr<Program> Watch(const std::string& onode, std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"observations", "watch"});
    return std::make_unique<Program>(Command(std::move(more)), Environment(Role::kReader, onode));
  }
  static std::vector<nlohmann::json> Lines(const std::string& text) {
    std::vector<nlohmann::json> out;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) {
      auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
      if (in.eof() && json.is_discarded()) break;  // not written to its end yet
      EXPECT_FALSE(json.is_discarded()) << line;
      out.push_back(std::move(json));
    }
    return out;
  }
  // Chain sequences of all entries of the source, oldest first.
  std::vector<std::string> Held() {
    std::vector<std::string> out;
    const nlohmann::json all = Json({"observations", "list", "--source", "edge-a.bmp", "--limit", "10000"});
    for (const auto& entry : all["observations"]) {
      out.insert(out.begin(), entry["sequence"].get<std::string>());
    }
    return out;
  }
  static std::vector<std::string> Sequences(const std::vector<nlohmann::json>& entries) {
    std::vector<std::string> out;
    out.reserve(entries.size());
    for (const auto& entry : entries) out.push_back(entry["sequence"]);
    return out;
  }
};

TEST_F(WatchTest, ShowsWhatIsCommittedFromNowOnAndEndsCleanlyWhenInterrupted) {
  PeerIsUp();
  for (const int signal : {SIGINT, SIGTERM}) {
    const auto watch = Watch(server_->address(), {"--source", "edge-a.bmp"});
    ASSERT_TRUE(Until([&] { return watch->out().find("PAYLOAD") != std::string::npos; }));
    PeerGoesDown();
    ASSERT_TRUE(Until([&] { return watch->out().find("peer_down") != std::string::npos; })) << watch->err();
    watch->Signal(signal);
    const ProgramResult result = watch->Wait();
    EXPECT_EQ(result.exit, kYes) << result.err;
    EXPECT_EQ(result.out.find("peer_state_change"), std::string::npos) << "what was there before was not asked for";
    EXPECT_EQ(result.out.find("heartbeat"), std::string::npos) << "nor were other sources";
  }
}

TEST_F(WatchTest, BeginsBehindAnEntryAndEndsAfterSoMany) {
  PeerIsUp();
  PeerGoesDown();
  const std::vector<std::string> held = Held();
  ASSERT_EQ(held.size(), 2U);
  const std::vector<std::string> watch{"observations", "watch", "--source", "edge-a.bmp", "--output", "json"};
  const auto with = [&watch](std::vector<std::string> more) {
    more.insert(more.begin(), watch.begin(), watch.end());
    return more;
  };
  const ProgramResult both = Ctl(with({"--after", "0", "--count", "2"}));
  EXPECT_EQ(both.exit, kYes) << both.err;
  EXPECT_EQ(Sequences(Lines(both.out)), held);
  EXPECT_EQ(Sequences(Lines(Ctl(with({"--after", held[0], "--count", "1"})).out)).front(), held[1]);
}

TEST_F(WatchTest, LosesNothingAndRepeatsNothingWhenConnectionsAreCut) {
  StartONode();
  RegisterBoth();
  StartCollector();
  TcpCutter line(server_->address());
  const auto watch = Watch(line.address(), {"--source", "edge-a.bmp", "--output", "json", "--after", "0"});
  Observe(kPeerUp, frame::Type::kPeerStatusChanged);
  ASSERT_TRUE(Until([&] { return !Lines(watch->out()).empty(); })) << watch->err();
  for (int i = 0; i < 12; ++i) {
    for (int j = 0; j < 10; ++j) Observe(j % 2 == 0 ? kPeerUp : kPeerDown, frame::Type::kPeerStatusChanged);
    const int accepted = line.accepted();
    if (i % 3 == 2) {
      line.Cut();
      ASSERT_TRUE(Until([&] { return line.accepted() > accepted; })) << "it comes again: " << watch->err();
    }
  }
  Beat();
  const std::vector<std::string> held = Held();
  ASSERT_EQ(held.size(), 121U);
  ASSERT_TRUE(Until([&] { return Lines(watch->out()).size() >= held.size(); })) << watch->err();
  watch->Signal(SIGINT);
  const ProgramResult result = watch->Wait();
  EXPECT_EQ(result.exit, kYes);
  EXPECT_EQ(Sequences(Lines(result.out)), held);
  EXPECT_THAT(result.err, HasSubstr("going on at entry"));
}

TEST_F(WatchTest, GoesOnAtAnotherONodeAndNotAtOneThatWasRolledBack) {
  PeerIsUp();
  StopCollector();
  TcpCutter line(server_->address());
  const auto watch = Watch(line.address(), {"--source", "edge-a.bmp"});
  ASSERT_TRUE(Until([&] { return watch->out().find("PAYLOAD") != std::string::npos; }));
  const auto restart = [&] {
    line.SetTarget("");
    line.Cut();
    StopONode();
  };
  restart();
  StartONode();
  line.SetTarget(server_->address());
  StartCollector();
  PeerGoesDown();
  ASSERT_TRUE(Until([&] { return watch->out().find("peer_down") != std::string::npos; })) << watch->err();
  ASSERT_TRUE(Until([this] { return chain_->latest_checkpoint()->size == chain_->size(); }));
  // Whoever else asked has seen a larger checkpoint than the O-Node that it finds now.
  EXPECT_EQ(Ctl({"status"}).exit, kYes);
  StopCollector();
  restart();
  for (const char* file : {"/chain.db", "/chain.db-wal", "/chain.db-shm", "/state", "/spool", "/audit"}) {
    std::filesystem::remove_all(dir_ + file);
  }
  StartONode();
  ASSERT_TRUE(Until([this] { return chain_->latest_checkpoint().has_value(); }));
  line.SetTarget(server_->address());
  const ProgramResult result = watch->Wait();
  EXPECT_EQ(result.exit, kNo) << result.err;
  EXPECT_THAT(result.err, HasSubstr("CHAIN_"));
}

TEST_F(WatchTest, WhatWillNotPassEndsItWithAnError) {
  StartONode();
  EXPECT_EQ(Ctl({"observations", "watch", "--origin", "virp.example.net/other"}).exit, kError);
  EXPECT_EQ(Ctl({"observations", "watch", "--tier", "pink"}).exit, kError);
  EXPECT_EQ(testutil::RunProgram(Command({"observations", "watch", "--timeout", "1"}),
                                 Environment(Role::kReader, "127.0.0.1:1"))
                .exit,
            kError)
      << "an O-Node that was never there";
  EXPECT_EQ(Ctl({"observations", "watch"}, Role::kCollector).exit, kError);
}

}  // namespace
}  // namespace virp::e2e
