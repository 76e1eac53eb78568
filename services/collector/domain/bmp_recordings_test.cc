// What real senders said, tests/data/bmp, through the collector: differences only, the tables that the README
// describes, and the same again over a reconnect and a restart.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "lib/base/bytes.h"
#include "services/collector/domain/bmp_test_util.h"

namespace virp::collector {
namespace {

using bmp::testing::ReadTestFile;
using bmp::testing::SplitWhole;
using std::chrono::seconds;
using testing::Contents;
using ::testing::IsEmpty;
using testing::RouterBench;

BmpRouterOptions Routes() {
  BmpRouterOptions router;
  router.mode = BmpMode::kRoutes;
  return router;
}

// Reads observations as an O-Node would and complains about each that says nothing new.
class Reader {
 public:
  int announced = 0, changed = 0, withdrawn = 0, ups = 0, losses = 0, complete = 0, inferred = 0;
  std::map<std::string, std::string> paths;
  std::map<std::string, std::string> peers;

  void Take(testing::KeptOutput& output) {
    for (const auto& item : output.items) Read(item.observation);
    output.items.clear();
  }

 private:
  void Read(const deliver::Observation& observation) {
    const auto payload = reader_.Read(observation.payload);
    ASSERT_TRUE(payload.ok()) << payload.status() << observation.payload;
    const auto text = [&](std::string_view key) { return std::string((*payload)[key].AsString().value_or("?")); };
    EXPECT_EQ(text("router_id"), "192.0.2.1") << observation.payload;
    inferred += (*payload)["inferred"].present() ? 1 : 0;
    const std::string peer = text("peer_addr");
    if (observation.type == frame::Type::kPeerStatusChanged) {
      EXPECT_EQ(text("old_state"), peers.contains(peer) ? peers[peer] : "Unknown") << observation.payload;
      EXPECT_NE(text("new_state"), text("old_state")) << observation.payload;
      peers[peer] = text("new_state");
      const bool up = peers[peer] == "Established";
      (up ? ups : losses) += 1;
      EXPECT_EQ(observation.tier, up ? frame::Tier::kGreen : frame::Tier::kYellow);
      if (!up) std::erase_if(paths, [&](const auto& path) { return path.first.starts_with(peer + " "); });
      return;
    }
    if (observation.type != frame::Type::kBgpProcess) return;
    if (text("event") == "table_complete") {
      ++complete;
      return;
    }
    const std::string key =
        fmt::format("{} {} {}#{}", peer, text("rib"), text("prefix"), (*payload)["path_id"].AsUnsigned().value());
    if (text("event") == "route_withdraw") {
      ++withdrawn;
      EXPECT_EQ(paths.erase(key), 1u) << "withdrawn and not held: " << key;
      return;
    }
    const std::string attributes(AttributesIn(observation.payload));
    EXPECT_FALSE(attributes.empty());
    if (paths.contains(key)) {
      ++changed;
      EXPECT_NE(paths[key], attributes) << "said twice: " << key;
    } else {
      ++announced;
    }
    paths[key] = attributes;
  }

  frame::PayloadReader reader_;
};

std::size_t CountOf(const std::map<std::string, std::string>& paths, std::string_view table) {
  return static_cast<std::size_t>(
      std::count_if(paths.begin(), paths.end(), [&](const auto& path) { return path.first.starts_with(table); }));
}

constexpr std::string_view kB = "192.0.2.2", kC = "2001:db8:0:2::2";

struct Played {
  RouterBench bench{Routes()};
  Reader reader;

  explicit Played(const std::string& name, std::size_t piece = 100'000) {
    const std::string stream = ReadTestFile(name);
    bench.Connect();
    for (std::size_t at = 0; at < stream.size(); at += piece) bench.Feed(std::string_view(stream).substr(at, piece));
    reader.Take(bench.output);
    EXPECT_EQ(Contents(*bench.tables->Find(testing::kSource)), reader.paths) << name;
  }
  std::size_t Paths(std::string_view peer, std::string_view rib) const {
    return CountOf(reader.paths, fmt::format("{} {} ", peer, rib));
  }
};

// README: B has 16 /28 and 4 /26 (and 16 /29 that policy rejects), withdraws one; C has 24 /48, withdraws two. B is
// lost twice and stays away; C is lost twice and comes back.
TEST(BmpRecordings, Frr84) {
  Played run("frr-8.4.4-adjribin.bin");
  EXPECT_EQ(run.reader.peers,
            (std::map<std::string, std::string>{{"192.0.2.2", "Idle"}, {"2001:db8:0:2::2", "Established"}}));
  EXPECT_EQ(run.reader.ups, 5);
  EXPECT_EQ(run.reader.losses, 4);
  EXPECT_EQ(run.reader.inferred, 0);
  EXPECT_EQ(run.bench.router->Status().counters.unheld_peer_downs, 15u);
  EXPECT_EQ(run.Paths(kB, ""), 0u);
  EXPECT_EQ(run.Paths(kC, "adj-in-post"), 22u);
  EXPECT_EQ(run.Paths("0.0.0.0", "adj-in-post"), 2u);  // its own networks
}

TEST(BmpRecordings, Frr103WithLocRib) {
  Played run("frr-10.3-adjribin-locrib.bin");
  EXPECT_EQ(run.reader.losses, 4);
  EXPECT_EQ(run.bench.router->Status().counters.unheld_peer_downs, 0u);
  EXPECT_EQ(run.reader.peers.at("0.0.0.0"), "Established");  // the Loc-RIB
  EXPECT_EQ(run.Paths(kC, "adj-in-post"), 22u);
  EXPECT_EQ(run.Paths("0.0.0.0", "loc"), 19u + 22u + 2u);
}

TEST(BmpRecordings, Gobgp) {
  Played run("gobgp-3.10.0-all.bin");
  EXPECT_EQ(run.reader.losses, 3);
  EXPECT_EQ(run.Paths(kB, "adj-in-pre"), 0u);
  EXPECT_EQ(run.Paths(kC, "adj-in-pre"), 22u);
  EXPECT_EQ(run.bench.router->Status().counters.unheld_withdrawals, 0u);
}

TEST(BmpRecordings, Bird) {
  Played run("bird-3.1.7-prepost.bin");
  EXPECT_EQ(run.reader.losses, 2);
  EXPECT_EQ(run.Paths(kC, "adj-in-pre"), 22u);
  EXPECT_EQ(run.Paths(kC, "adj-in-post"), 22u);
  EXPECT_TRUE(run.bench.session->terminated());
}

TEST(BmpRecordings, MirroringIsCounted) {
  Played run("frr-8.4.4-mirror.bin");
  EXPECT_EQ(run.bench.router->Status().counters.mirrored, 20u);
  EXPECT_THAT(run.reader.paths, IsEmpty());
}

TEST(BmpRecordings, AddPath) {
  Played run("gobgp-3.10.0-addpath.bin");
  EXPECT_GT(run.reader.announced, 0);
  EXPECT_EQ(run.reader.losses, 1);
}

TEST(BmpRecordings, SayTheSameByteByByte) {
  for (const auto& name : bmp::testing::Recordings()) {
    RouterBench whole(Routes()), pieces(Routes());
    whole.Connect();
    pieces.Connect();
    const std::string stream = ReadTestFile(name);
    whole.Feed(stream);
    for (const char byte : stream) pieces.Feed({&byte, 1});
    ASSERT_EQ(whole.output.items.size(), pieces.output.items.size()) << name;
    for (std::size_t i = 0; i < whole.output.items.size(); ++i) {
      ASSERT_EQ(whole.output.items[i].observation.payload, pieces.output.items[i].observation.payload) << name;
    }
  }
}

// ---- reconnect ----

struct Kinds : bmp::testing::EventCounter {
  bool end_of_rib = false, only_withdraws = false;
  void OnEndOfRib(const bmp::PeerHeader&, bmp::Rib, bmp::AfiSafi) override { end_of_rib = true; }
  void OnRoutes(const bmp::PeerHeader&, bmp::Rib, const bmp::Update& update) override {
    only_withdraws = update.announced.empty();
  }
};

Kinds KindOf(const std::string& message) {
  Kinds kinds;
  EXPECT_TRUE(bmp::SessionDecoder(kinds).Feed(message).ok());
  return kinds;
}

// The messages up to the first that changes or withdraws something: the first dump. Without Peer Down: those that
// FRR 8.4 sends are of peers that were not up then, and would be losses later. FRR 10.3 was recorded as its peers came
// up, so that its tables were empty when it said End-of-RIB: here that comes last, as it does when the same tables are
// dumped again. BIRD's stays in front.
std::vector<std::string> FirstDump(const std::string& name) {
  const bool late_end = name.starts_with("frr-10");
  std::vector<std::string> ends_of_rib;
  RouterBench bench(Routes());
  bench.Connect();
  Reader reader;
  std::vector<std::string> out;
  for (const std::string& message : SplitWhole(ReadTestFile(name))) {
    bench.Feed(message);
    reader.Take(bench.output);
    if (reader.changed + reader.withdrawn + reader.losses > 0) break;
    if (bmp::TypeOf(message) == static_cast<std::uint8_t>(bmp::MessageType::kPeerDown)) continue;
    const Kinds kinds = KindOf(message);
    if (kinds.only_withdraws) continue;  // of routes that were not held
    (kinds.end_of_rib && late_end ? ends_of_rib : out).push_back(message);
  }
  out.insert(out.end(), ends_of_rib.begin(), ends_of_rib.end());
  return out;
}

struct Mentions : bmp::testing::EventCounter {
  std::set<std::string> prefixes;
  void OnRoutes(const bmp::PeerHeader&, bmp::Rib, const bmp::Update& update) override {
    for (const auto& a : update.announced) prefixes.insert(a.route.prefix.ToString());
  }
};

bool MentionsPrefix(const std::string& message, const std::string& prefix) {
  Mentions mentions;
  EXPECT_TRUE(bmp::SessionDecoder(mentions).Feed(message).ok());
  return mentions.prefixes.contains(prefix);
}

class BmpReconnects : public ::testing::TestWithParam<std::string> {};

TEST_P(BmpReconnects, RepeatNothingAndInferWhatVanished) {
  const auto dump = FirstDump(GetParam());
  RouterBench bench(Routes());
  bench.Connect();
  for (const auto& message : dump) bench.Feed(message);
  bench.Pass(seconds(31));
  EXPECT_TRUE(bench.router->connected());
  const auto held = Contents(*bench.tables->Find(testing::kSource));
  ASSERT_GT(held.size(), 4u);
  bench.output.Take();

  for (const bool restart : {false, true}) {
    if (restart) bench.Restart();
    bench.Connect();
    for (const auto& message : dump) bench.Feed(message);
    EXPECT_THAT(bench.output.Take(), IsEmpty());
    bench.Pass(seconds(31));
    EXPECT_TRUE(bench.router->connected());
    for (const auto& line : bench.output.Take()) {
      EXPECT_TRUE(restart && line.starts_with("1 GREEN") && line.ends_with(" restated")) << line;
    }
    EXPECT_TRUE(Contents(*bench.tables->Find(testing::kSource)) == held);
  }

  const std::string gone = GetParam().find("addpath") != std::string::npos ? "203.0.113.0/24" : "203.0.113.32/28";
  bench.Connect();
  for (const auto& message : dump) {
    if (!MentionsPrefix(message, gone)) bench.Feed(message);
  }
  bench.Pass(seconds(31));
  const auto now = Contents(*bench.tables->Find(testing::kSource));
  auto said = bench.output.Take();
  // gobgp put all of IPv4 into the message that is left out, and says no End-of-RIB: whether it still reports IPv4
  // nobody knows.
  std::erase(said, "3 YELLOW table_complete 192.0.2.2 adj-in-pre of 1");
  EXPECT_EQ(said.size(), held.size() - now.size());
  EXPECT_LT(now.size(), held.size());
  for (const auto& line : said) {
    EXPECT_TRUE(line.starts_with("3 GREEN route_withdraw") && line.ends_with(" inferred")) << line;
  }
  for (const auto& [key, attributes] : now) EXPECT_EQ(key.find(gone + "#"), std::string::npos) << key;
}

INSTANTIATE_TEST_SUITE_P(All, BmpReconnects,
                         ::testing::Values("frr-8.4.4-adjribin.bin", "frr-10.3-adjribin-locrib.bin",
                                           "gobgp-3.10.0-all.bin", "bird-3.1.7-prepost.bin", "frr-8.4.4-addpath.bin",
                                           "gobgp-3.10.0-addpath.bin"),
                         [](const auto& param) {
                           std::string name = param.param.substr(0, param.param.size() - 4);
                           std::replace_if(name.begin(), name.end(), [](char c) { return c == '.' || c == '-'; }, '_');
                           return name;
                         });

}  // namespace
}  // namespace virp::collector
