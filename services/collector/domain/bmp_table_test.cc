#include "services/collector/domain/bmp_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/frame/key_ring.h"
#include "services/collector/domain/bmp_test_util.h"
#include "tests/testutil/temp_dir.h"

namespace virp::collector {
namespace {

using testing::Contents;
using testing::KeptOutput;
using testing::kSource;

bmp::Route At(std::string_view prefix, std::uint32_t path_id = 0) {
  return {Prefix::Parse(prefix).value(), path_id};
}

TEST(AttributeTexts, AreHeldOnceAndFreedWithTheirLastUser) {
  AttributeTexts texts;
  const auto a = texts.Add("first text, long enough for the heap");
  EXPECT_EQ(texts.Add("first text, long enough for the heap"), a);
  const auto b = texts.Add("another");
  EXPECT_NE(a, b);
  EXPECT_EQ(texts.size(), 2u);
  texts.Remove(a);
  EXPECT_EQ(texts.Text(a), "first text, long enough for the heap");
  texts.Remove(a);
  texts.Remove(b);
  EXPECT_EQ(texts.size(), 0u);
  EXPECT_EQ(texts.bytes(), 0u);
  EXPECT_EQ(texts.Text(texts.Add("third")), "third");
}

TEST(PathTable, TellsPathsApartByPrefixLengthAndIdentifier) {
  AttributeTexts texts;
  PathTable table;
  for (const auto& route : {At("0.0.0.0/0"), At("0.0.0.0/1"), At("0.0.0.0/0", 7), At("::/0"), At("2001:db8::/32")}) {
    EXPECT_EQ(table.Find(route), nullptr);
    table.Insert(route, texts.Add(route.prefix.ToString()));
  }
  EXPECT_EQ(table.size(), 5u);
  EXPECT_THAT(table.Routes(), ::testing::ElementsAre(At("0.0.0.0/0"), At("0.0.0.0/0", 7), At("0.0.0.0/1"), At("::/0"),
                                                     At("2001:db8::/32")));
  EXPECT_TRUE(table.Erase(At("::/0"), texts));
  EXPECT_FALSE(table.Erase(At("::/0"), texts));
  table.Clear(texts);
  EXPECT_EQ(texts.size(), 0u);
}

TEST(PathTable, RemembersWhatADumpStatedOverManyDumps) {
  AttributeTexts texts;
  PathTable table;
  table.Insert(At("192.0.2.0/24"), texts.Add("x"));
  table.Insert(At("198.51.100.0/24"), texts.Add("x"));
  for (int i = 0; i < 1'000; ++i) {
    table.BeginDump();
    ASSERT_EQ(table.Unstated().size(), 2u) << i;
    table.Restate(*table.Find(At("192.0.2.0/24")));
    ASSERT_THAT(table.Unstated(), ::testing::ElementsAre(At("198.51.100.0/24"))) << i;
  }
}

// ---- durable ----

// Tables with their outbox, as a collector has them.
struct Process {
  explicit Process(const std::string& folder, const Clock& clock, const frame::KeyProvider& keys) : tables(Options()) {
    auto opened = deliver::Outbox::Open({.directory = folder}, keys, clock, {&tables});
    if (!opened.ok()) throw std::runtime_error(std::string(Message(opened.status())));
    outbox = *std::move(opened);
  }
  static BmpOptions Options() {
    BmpOptions options;
    options.collector_source = "collector-1";
    BmpRouterOptions router;
    router.source = kSource;
    router.addresses = {IpAddress::V4(0xc0000201)};
    router.mode = BmpMode::kRoutes;
    options.routers.push_back(router);
    return options;
  }
  void Emit(KeptOutput& output) {
    for (auto& item : output.items) {
      item.observation.epoch = 0;  // KeptOutput does not know the outbox's
      ASSERT_TRUE(outbox->Emit(item.source, {item.observation}).ok());
    }
    output.items.clear();
  }

  BmpTables tables;
  std::unique_ptr<deliver::Outbox> outbox;
};

void AddKeys(frame::KeyRing& keys) {
  for (const auto* source : {"edge-a.bmp", "collector-1"}) {
    keys.Put(source, {1, frame::OKey::Hmac(std::string(32, 'k')).value(), 0, std::nullopt});
  }
}

// Compares everything that a table says of peers and paths.
void ExpectEqual(RouterTable& a, RouterTable& b) {
  EXPECT_EQ(Contents(a), Contents(b));
  EXPECT_EQ(a.paths(), b.paths());
  for (const auto& [key, peer] : a.peers()) {
    HeldPeer* other = b.Find(peer->vrf, peer->address);
    if (peer->facts.reported) {
      ASSERT_NE(other, nullptr) << peer->address.ToString();
      PeerFacts facts = other->facts;
      facts.since = peer->facts.since;  // a frame's time is that of its spooling
      EXPECT_EQ(facts, peer->facts) << peer->address.ToString();
    }
    for (std::size_t rib = 0; rib < kRibs && other != nullptr; ++rib) {
      if (peer->tables[rib] == nullptr || peer->tables[rib]->size() == 0) continue;
      EXPECT_EQ(peer->tables[rib]->complete, other->tables[rib]->complete);
    }
  }
}

TEST(BmpTables, AreWhatTheirFramesSayAtEveryMessage) {
  const testutil::TempDir folder;
  frame::KeyRing keys;
  AddKeys(keys);
  for (const std::string name : {"frr-10.3-adjribin-locrib.bin", "gobgp-3.10.0-addpath.bin"}) {
    testing::RouterBench bench(Process::Options().routers[0]);
    bench.Connect();
    auto process = std::make_unique<Process>(folder.File(name), bench.clock, keys);
    int message_number = 0;
    for (const auto& message : bmp::testing::SplitWhole(bmp::testing::ReadTestFile(name))) {
      bench.Feed(message);
      process->Emit(bench.output);
      ++message_number;
      if (message_number % 97 == 0) {  // a snapshot of what replay made, now and then
        process->outbox.reset();
        process = std::make_unique<Process>(folder.File(name), bench.clock, keys);
        ExpectEqual(*bench.tables->Find(kSource), *process->tables.Find(kSource));
        ASSERT_TRUE(process->outbox->Snapshot().ok());
      }
    }
    bench.Pass(std::chrono::seconds(31));
    process->Emit(bench.output);
    process->outbox.reset();
    process = std::make_unique<Process>(folder.File(name), bench.clock, keys);
    ExpectEqual(*bench.tables->Find(kSource), *process->tables.Find(kSource));
    EXPECT_GT(process->tables.Find(kSource)->peers().size(), 1u);
  }
}

TEST(BmpTables, WhatIsOwedIsSavedAndDroppedWhenItsFrameIsThere) {
  const testutil::TempDir folder;
  const FakeClock clock;
  frame::KeyRing keys;
  AddKeys(keys);
  const BmpOptions options = Process::Options();
  auto process = std::make_unique<Process>(folder.path(), clock, keys);
  OwedObservation& owed = process->tables.owed().Add();
  owed.source = process->tables.NameOf(kSource);
  owed.observation = {frame::Type::kBgpProcess, frame::Tier::kRed, R"({"domain":"bgp","event":"table_complete"})"};
  ASSERT_TRUE(process->outbox->Snapshot().ok());

  process = nullptr;
  process = std::make_unique<Process>(folder.path(), clock, keys);
  ASSERT_EQ(process->tables.owed().size(), 1u);
  EXPECT_EQ(*process->tables.owed()[0].source, kSource);
  EXPECT_EQ(process->tables.owed()[0].observation.tier, frame::Tier::kRed);
  ASSERT_TRUE(process->outbox->Emit(kSource, {process->tables.owed()[0].observation}).ok());

  process = nullptr;
  process = std::make_unique<Process>(folder.path(), clock, keys);
  EXPECT_TRUE(process->tables.owed().empty());
}

// A snapshot taken while the spool refused; then what was owed went to RouteFold, which kept routes back, and the
// process was lost.
TEST(BmpTables, WhatIsOwedAndWasOvertakenSinceIsNotSaidAgain) {
  const auto route = [](std::string_view event, std::string_view prefix, int path_id = 1) {
    return fmt::format(R"({{"event":"{}","peer_addr":"192.0.2.2","vrf":"default","rib":"adj-in-pre",)"
                       R"("prefix":"{}","path_id":{}}})",
                       event, prefix, path_id);
  };
  const auto peer = [](std::string_view state, std::string_view address = "192.0.2.2") {
    return fmt::format(R"({{"event":"peer_state_change","peer_addr":"{}","vrf":"default","new_state":"{}"}})", address,
                       state);
  };
  const auto complete = [](std::string_view extra) {
    return fmt::format(R"({{"event":"table_complete","peer_addr":"192.0.2.2","vrf":"default","rib":"adj-in-pre"{}}})",
                       extra);
  };
  const std::string p = route("route_announce", "203.0.113.0/24"), q = route("route_announce", "198.51.100.0/24");
  const std::string no_p = route("route_withdraw", "203.0.113.0/24"), idle = peer("Idle"), up = peer("Established");
  struct Case {
    std::vector<std::string> owed, said, left;
  };
  for (const Case& it : {
           Case{{p, q}, {no_p}, {q}},                                          // the path's newest word
           {{p, q}, {route("route_withdraw", "203.0.113.0/24", 11)}, {p, q}},  // another path
           {{p, q}, {q}, {p}},                                                 // said in another order
           {{p, q, no_p}, {no_p}, {q}},                                        // what was owed before it
           {{p, idle, up, q}, {idle, up}, {q}},                                // the same, of all of a peer
           {{p, q}, {idle}, {}},                                               //
           {{p, q}, {peer("Idle", "192.0.2.20"), peer("Idle", "192.0.2.22"), up}, {p, q}},
           {{complete(""), q}, {complete(R"(,"prefixes":[])")}, {q}},
           {{complete(""), q}, {route("route_announce", "203.0.113.0/24")}, {complete(""), q}},
       }) {
    const testutil::TempDir folder;
    const FakeClock clock;
    frame::KeyRing keys;
    AddKeys(keys);
    auto process = std::make_unique<Process>(folder.path(), clock, keys);
    const auto type_of = [&](const std::string& payload) {
      return payload == idle || payload.find("new_state") != std::string::npos ? frame::Type::kPeerStatusChanged
                                                                               : frame::Type::kBgpProcess;
    };
    for (const std::string& payload : it.owed) {
      OwedObservation& owed = process->tables.owed().Add();
      owed.source = process->tables.NameOf(kSource);
      owed.observation = {type_of(payload), frame::Tier::kGreen, payload, 77};
    }
    ASSERT_TRUE(process->outbox->Snapshot().ok());
    for (const std::string& payload : it.said) {
      ASSERT_TRUE(process->outbox->Emit(kSource, {{type_of(payload), frame::Tier::kRed, payload}}).ok());
      ASSERT_TRUE(process->outbox->Emit("collector-1", {{frame::Type::kBgpProcess, frame::Tier::kGreen, p}}).ok());
    }
    process = nullptr;
    process = std::make_unique<Process>(folder.path(), clock, keys);
    std::vector<std::string> left;
    for (std::size_t i = 0; i < process->tables.owed().size(); ++i) {
      left.push_back(process->tables.owed()[i].observation.payload);
      EXPECT_EQ(process->tables.owed()[i].observation.epoch, 77u);
    }
    EXPECT_EQ(left, it.left);
  }
}

TEST(BmpTables, ADamagedSnapshotIsRefusedAtEveryLength) {
  testing::RouterBench bench(Process::Options().routers[0]);
  bench.Connect();
  bench.Feed(bmp::testing::ReadTestFile("gobgp-3.10.0-addpath.bin").substr(0, 2'000));
  const std::string saved = bench.tables->Save();
  for (std::size_t size = 1; size < saved.size(); ++size) {
    BmpTables tables(Process::Options());
    ASSERT_FALSE(tables.Load(saved.substr(0, size)).ok()) << size;
  }
  BmpTables tables(Process::Options());
  EXPECT_TRUE(tables.Load(saved).ok());
  EXPECT_EQ(tables.Save().size(), saved.size());
}

}  // namespace
}  // namespace virp::collector
