// The recorded streams of tests/data/bmp: what real senders send gives the counts in expected.json and the tables that
// its README describes, however the bytes are cut.
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <variant>

#include "lib/bmp/bmp_testing.h"

namespace virp::bmp {
namespace {

using testing::EventLog;
using testing::ReadTestFile;
using testing::SplitWhole;

constexpr std::string_view kB = "192.0.2.2";        // AS 64501, IPv4
constexpr std::string_view kC = "2001:db8:0:2::2";  // AS 65550, IPv6

// ---- counts ----

struct TypeCounter {
  std::string name;
  std::string detail;

  void Peer(const PeerHeader& peer) {
    detail = fmt::format("[pt{} fl{:02x}]", static_cast<int>(peer.type), peer.flags);
  }
  void operator()(const Initiation&) { name = "Initiation"; }
  void operator()(const Termination&) { name = "Termination"; }
  void operator()(const UnknownType&) { name = "Unknown"; }
  void operator()(const PeerUp& m) {
    name = "PeerUp";
    Peer(m.peer);
  }
  void operator()(const PeerDown& m) {
    name = "PeerDown";
    Peer(m.peer);
    detail += fmt::format(" r{}", static_cast<int>(m.reason));
  }
  void operator()(const StatisticsReport& m) {
    name = "StatisticsReport";
    Peer(m.peer);
  }
  void operator()(const RouteMirroring& m) {
    name = "RouteMirroring";
    Peer(m.peer);
  }
  void operator()(const RouteMonitoring& m) {
    name = "RouteMonitoring";
    Peer(m.peer);
    UpdateContext context{false, {false, true}, {false, true}};
    Update update;
    ASSERT_TRUE(DecodeUpdate(m.update, context, update).ok());
    if (update.end_of_rib) {
      detail += " EoR";
    } else if (update.announced.empty()) {
      detail += " withdraw";
    }
  }
};

TEST(Recordings, GiveTheCountsOfExpectedJson) {
  const auto expected = nlohmann::json::parse(ReadTestFile("expected.json"));
  ASSERT_EQ(expected.size(), testing::Recordings().size());
  for (const auto& name : testing::Recordings()) {
    const std::string stream = ReadTestFile(name);
    ASSERT_EQ(stream.size(), expected[name]["bytes"]) << name;
    const auto messages = SplitWhole(stream);
    EXPECT_EQ(messages.size(), expected[name]["messages"]) << name;
    std::map<std::string, int> by_type;
    std::map<std::string, int> by_detail;
    for (const auto& message : messages) {
      const auto decoded = Decode(message);
      ASSERT_TRUE(decoded.ok()) << name << ": " << decoded.status();
      TypeCounter counter;
      std::visit(counter, *decoded);
      ++by_type[counter.name];
      ++by_detail[counter.name + counter.detail];
    }
    EXPECT_EQ(nlohmann::json(by_type), expected[name]["by_type"]) << name;
    EXPECT_EQ(nlohmann::json(by_detail), expected[name]["by_type_peertype_flags"]) << name;
  }
}

// ---- splitting ----

TEST(Recordings, GiveTheSameEventsByteByByte) {
  for (const auto& name : testing::Recordings()) {
    const std::string stream = ReadTestFile(name);
    EventLog whole;
    SessionDecoder at_once(whole);
    ASSERT_TRUE(at_once.Feed(stream).ok()) << name;
    EventLog pieces;
    SessionDecoder byte_by_byte(pieces);
    for (const char byte : stream) ASSERT_TRUE(byte_by_byte.Feed({&byte, 1}).ok()) << name;
    EXPECT_EQ(pieces.lines, whole.lines) << name;
    EXPECT_EQ(byte_by_byte.messages(), at_once.messages());
  }
}

TEST(Recordings, GiveTheSameMessagesSplitAtEachOffset) {
  for (const auto& name : testing::Recordings()) {
    const std::string stream = ReadTestFile(name);
    for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
      StreamSplitter splitter;
      std::size_t at = 0;
      for (const auto part : {std::string_view(stream).substr(0, cut), std::string_view(stream).substr(cut)}) {
        splitter.Push(part);
        for (;;) {
          const auto message = splitter.Next();
          ASSERT_TRUE(message.ok()) << name << " cut at " << cut << ": " << message.status();
          if (!*message) break;
          ASSERT_EQ(**message, std::string_view(stream).substr(at, (*message)->size())) << name << " cut at " << cut;
          at += (*message)->size();
        }
      }
      ASSERT_EQ(at, stream.size()) << name << " cut at " << cut;
      ASSERT_EQ(splitter.buffered(), 0u);
    }
  }
}

TEST(Recordings, GiveTheSameEventsSplitAtEachOffset) {
  for (const auto* name : {"frr-8.4.4-mirror.bin", "bird-3.1.7-prepost.bin"}) {
    const std::string stream = ReadTestFile(name);
    EventLog whole;
    ASSERT_TRUE(SessionDecoder(whole).Feed(stream).ok());
    for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
      EventLog parts;
      SessionDecoder decoder(parts);
      ASSERT_TRUE(decoder.Feed(std::string_view(stream).substr(0, cut)).ok());
      ASSERT_TRUE(decoder.Feed(std::string_view(stream).substr(cut)).ok());
      ASSERT_EQ(parts.lines, whole.lines) << name << " cut at " << cut;
    }
  }
}

// ---- tables ----

using Table = std::map<std::string, std::string>;  // route -> attributes
using Tables = std::map<std::string, Table>;       // "address rib" -> table
using Prefixes = std::set<std::string>;

// Keeps each table as a collector would, and a copy of all of them before every Peer Down of a peer that was up and
// before the first change that was made to the running network.
class TableKeeper : public EventLog {
 public:
  Tables tables;
  std::vector<Tables> before_down;
  std::optional<Tables> first_dump;
  int withdrawn_unheld = 0;
  int skipped = 0;
  int errors = 0;
  int down_while_down = 0;

  void OnPeerUp(const PeerUp& m) override { up_.insert(m.peer.address.ToString()); }
  void OnPeerDown(const PeerDown& m) override {
    const std::string address = m.peer.address.ToString();
    if (up_.erase(address) == 0) {
      ++down_while_down;
      return;
    }
    before_down.push_back(tables);
    for (auto& [name, table] : tables) {
      if (name.starts_with(address + " ")) table.clear();
    }
  }
  void OnRoutes(const PeerHeader& peer, Rib rib, const Update& update) override {
    errors += update.error != UpdateError::kNone;
    Table& table = tables[fmt::format("{} {}", peer.address.ToString(), RibName(rib))];
    for (const auto& route : update.withdrawn) {
      if (table.erase(testing::Text(route)) == 0) ++withdrawn_unheld;
    }
    for (const auto& a : update.announced) {
      const std::string text = testing::Text(a, update.attributes).substr(testing::Text(a.route).size() + 1);
      const bool first_change = text.find("med 20") != std::string::npos && testing::Text(a.route) == "203.0.113.0/28";
      if (first_change && !first_dump) first_dump = tables;
      table[testing::Text(a.route)] = text;
    }
  }
  void OnSkipped(const Skipped&) override { ++skipped; }

 private:
  std::set<std::string> up_;
};

Prefixes Keys(const Table& table) {
  Prefixes out;
  for (const auto& [route, attributes] : table) out.insert(route);
  return out;
}

// What B and C announce by the README.
Prefixes B28And26() {
  Prefixes out;
  for (int i = 0; i < 16; ++i) out.insert(fmt::format("203.0.113.{}/28", 16 * i));
  for (int i = 0; i < 4; ++i) out.insert(fmt::format("198.51.100.{}/26", 64 * i));
  return out;
}
Prefixes B29() {
  Prefixes out;
  for (int i = 0; i < 16; ++i) out.insert(fmt::format("203.0.113.{}/29", 16 * i + 8));
  return out;
}
Prefixes C48() {
  Prefixes out;
  for (int i = 0; i < 24; ++i) out.insert(fmt::format("2001:db8:{:x}::/48", 0x100 + i));
  return out;
}
Prefixes operator+(Prefixes a, const Prefixes& b) {
  a.insert(b.begin(), b.end());
  return a;
}
Prefixes operator-(Prefixes a, const Prefixes& b) {
  for (const auto& prefix : b) a.erase(prefix);
  return a;
}
const Prefixes kBWithdraws = {"203.0.113.16/28"};
const Prefixes kCWithdraws = {"2001:db8:100::/48", "2001:db8:101::/48"};
const Prefixes kOwn4 = {"198.51.100.0/24"};  // of the router; FRR peers send it back
const Prefixes kOwn6 = {"2001:db8:ffff::/48"};

// The attributes that B and C give a prefix; `own` is in front of every AS path: FRR's BMP encoder adds its own number
// as if it sent the route to an eBGP peer.
std::string ExpectedAttributes(const std::string& prefix, const std::string& own) {
  const auto parsed = Prefix::Parse(prefix).value();
  if (parsed.family() == IpFamily::kV6) {
    const bool odd = (parsed.address().bytes()[5] & 1) != 0;
    return fmt::format("via {} path [{}65550{}] igp med {}", kC, own, odd ? " 65551 64510" : "", odd ? 0 : 5);
  }
  const std::string rest = fmt::format("via {} path [{}64501", kB, own);
  if (parsed.length() == 29) return rest + "] igp med 0";
  const int kind = parsed.length() == 26 ? 3 : static_cast<std::uint8_t>(parsed.address().bytes()[3]) / 16 % 4;
  switch (kind) {
    case 0:
      return rest + "] igp med 10";
    case 1:
      return rest + "] igp med 20 64501:100 64501:200";
    case 2:
      return rest + " 64502 64503] igp med 0 64501:1:2";
    default:
      return rest + " 65551] incomplete med 0 0x0002fbf50000004d";
  }
}

void ExpectAttributes(const Table& table, const std::string& own, bool after_change) {
  for (const auto& [prefix, attributes] : table) {
    if (kOwn4.contains(prefix) || kOwn6.contains(prefix)) continue;
    const bool changed = after_change && prefix == "203.0.113.0/28";
    const std::string expected = ExpectedAttributes(changed ? "203.0.113.16/28" : prefix, own);
    std::string without_pref = attributes;  // BIRD's import sets one
    if (const auto at = without_pref.find(" pref 100"); at != std::string::npos) without_pref.erase(at, 9);
    EXPECT_EQ(without_pref, expected) << prefix;
  }
}

TableKeeper Keep(const std::string& name, PathIdPolicy policy = PathIdPolicy::kAuto) {
  TableKeeper keeper;
  SessionOptions options;
  options.path_ids = policy;
  SessionDecoder decoder(keeper, options);
  EXPECT_TRUE(decoder.Feed(ReadTestFile(name)).ok());
  if (policy == PathIdPolicy::kAuto) {
    EXPECT_EQ(keeper.skipped, 0) << name;
  }
  EXPECT_EQ(keeper.errors, 0) << name;
  return keeper;
}

std::string In(std::string_view peer, std::string_view rib) {
  return fmt::format("{} {}", peer, rib);
}

TEST(Recordings, Frr84Tables) {
  auto keeper = Keep("frr-8.4.4-adjribin.bin");
  EXPECT_EQ(keeper.down_while_down, 15);
  EXPECT_GT(keeper.withdrawn_unheld, 0);

  Tables& full = keeper.first_dump.value();
  EXPECT_EQ(Keys(full[In(kB, "adj-in-post")]), B28And26());
  EXPECT_EQ(Keys(full[In(kB, "adj-in-pre")]),
            B28And26() + kOwn4);  // 8.4 reports rejected routes as withdrawn from here too
  EXPECT_EQ(Keys(full[In(kC, "adj-in-post")]), C48());
  EXPECT_EQ(Keys(full[In(kC, "adj-in-pre")]), C48() + kOwn6);
  ExpectAttributes(full[In(kB, "adj-in-pre")], "64500 ", false);

  // B by its own shutdown, C by the router's, C by hold time, B killed: each time with whole tables.
  ASSERT_EQ(keeper.before_down.size(), 4u);
  for (Tables& tables : keeper.before_down) {
    EXPECT_EQ(Keys(tables[In(kB, "adj-in-post")]), B28And26() - kBWithdraws);
    EXPECT_EQ(Keys(tables[In(kB, "adj-in-pre")]), B28And26() - kBWithdraws + kOwn4);
    EXPECT_EQ(Keys(tables[In(kC, "adj-in-post")]), C48() - kCWithdraws);
    EXPECT_EQ(Keys(tables[In(kC, "adj-in-pre")]), C48() - kCWithdraws + kOwn6);
    for (const auto& peer : {kB, kC}) ExpectAttributes(tables[In(peer, "adj-in-post")], "64500 ", true);
  }

  EXPECT_TRUE(keeper.tables[In(kB, "adj-in-pre")].empty());
  EXPECT_TRUE(keeper.tables[In(kB, "adj-in-post")].empty());
  EXPECT_EQ(Keys(keeper.tables[In(kC, "adj-in-post")]), C48() - kCWithdraws);
  // Its own networks, as routes of nobody.
  EXPECT_EQ(keeper.tables["0.0.0.0 adj-in-post"], (Table{{"198.51.100.0/24", "via 0.0.0.0 path [] igp med 0"},
                                                         {"2001:db8:ffff::/48", "via :: path [] igp med 0"}}));
}

TEST(Recordings, Frr103Tables) {
  auto keeper = Keep("frr-10.3-adjribin-locrib.bin");
  EXPECT_EQ(keeper.down_while_down, 0);
  const Prefixes b_all = B28And26() + B29();

  Tables& full = keeper.first_dump.value();
  EXPECT_EQ(Keys(full[In(kB, "adj-in-post")]), B28And26());
  EXPECT_EQ(Keys(full[In(kB, "adj-in-pre")]), b_all + kOwn4);
  EXPECT_EQ(Keys(full[In(kC, "adj-in-post")]), C48());
  EXPECT_EQ(Keys(full["0.0.0.0 loc"]), B28And26() + C48() + kOwn4 + kOwn6);

  ASSERT_EQ(keeper.before_down.size(), 4u);
  const Prefixes loc = B28And26() - kBWithdraws + (C48() - kCWithdraws) + kOwn4 + kOwn6;
  for (Tables& tables : keeper.before_down) {
    EXPECT_EQ(Keys(tables[In(kB, "adj-in-post")]), B28And26() - kBWithdraws);
    EXPECT_EQ(Keys(tables[In(kB, "adj-in-pre")]), b_all - kBWithdraws + kOwn4);
    EXPECT_EQ(Keys(tables[In(kC, "adj-in-post")]), C48() - kCWithdraws);
    EXPECT_EQ(Keys(tables[In(kC, "adj-in-pre")]), C48() - kCWithdraws + kOwn6);
    EXPECT_EQ(Keys(tables["0.0.0.0 loc"]), loc);
    ExpectAttributes(tables["0.0.0.0 loc"], "64500 ", true);
    ExpectAttributes(tables[In(kB, "adj-in-pre")], "64500 ", true);
    ExpectAttributes(tables[In(kC, "adj-in-pre")], "64500 ", true);
  }
  EXPECT_TRUE(keeper.tables[In(kB, "adj-in-pre")].empty());
  EXPECT_EQ(Keys(keeper.tables[In(kC, "adj-in-pre")]), C48() - kCWithdraws + kOwn6);
  EXPECT_EQ(Keys(keeper.tables["0.0.0.0 loc"]), loc);  // the target was unconfigured before it said more
}

TEST(Recordings, GobgpTables) {
  auto keeper = Keep("gobgp-3.10.0-all.bin");
  EXPECT_EQ(keeper.withdrawn_unheld, 0);
  EXPECT_EQ(keeper.down_while_down, 0);
  const Prefixes b_all = B28And26() + B29();  // no policy in this run

  Tables& full = keeper.first_dump.value();
  for (const auto* rib : {"adj-in-pre", "adj-in-post"}) {
    EXPECT_EQ(Keys(full[In(kB, rib)]), b_all);
    EXPECT_EQ(Keys(full[In(kC, rib)]), C48());
    ExpectAttributes(full[In(kB, rib)], "", false);
    ExpectAttributes(full[In(kC, rib)], "", false);
  }
  EXPECT_EQ(Keys(full["0.0.0.0 loc"]), b_all + C48());

  // gobgp withdraws the post-policy and local routes of a peer before it says that the peer is down.
  ASSERT_EQ(keeper.before_down.size(), 3u);
  for (const std::size_t i : {0u, 1u, 2u}) {
    Tables& tables = keeper.before_down[i];
    const bool b_goes = i != 1;
    const Prefixes b = b_all - kBWithdraws;
    const Prefixes c = C48() - kCWithdraws;
    EXPECT_EQ(Keys(tables[In(kB, "adj-in-pre")]), b);
    EXPECT_EQ(Keys(tables[In(kC, "adj-in-pre")]), c);
    EXPECT_EQ(Keys(tables[In(kB, "adj-in-post")]), b_goes ? Prefixes() : b);
    EXPECT_EQ(Keys(tables[In(kC, "adj-in-post")]), b_goes ? c : Prefixes());
    EXPECT_EQ(Keys(tables["0.0.0.0 loc"]), b_goes ? c : b);
    ExpectAttributes(tables[In(kB, "adj-in-pre")], "", true);
  }
  EXPECT_TRUE(keeper.tables[In(kB, "adj-in-pre")].empty());
  EXPECT_EQ(Keys(keeper.tables[In(kC, "adj-in-pre")]), C48() - kCWithdraws);
}

TEST(Recordings, BirdTables) {
  auto keeper = Keep("bird-3.1.7-prepost.bin");
  EXPECT_EQ(keeper.withdrawn_unheld, 0);
  EXPECT_EQ(keeper.down_while_down, 0);
  // The station was connected after the withdrawals; C's first session ended before it had announced anything.
  ASSERT_EQ(keeper.before_down.size(), 2u);
  EXPECT_TRUE(keeper.before_down[0][In(kC, "adj-in-pre")].empty());
  Tables& tables = keeper.before_down[1];
  EXPECT_EQ(Keys(tables[In(kB, "adj-in-pre")]), B28And26() + B29() - kBWithdraws);
  EXPECT_EQ(Keys(tables[In(kB, "adj-in-post")]), B28And26() - kBWithdraws);
  for (const auto* rib : {"adj-in-pre", "adj-in-post"}) {
    EXPECT_EQ(Keys(tables[In(kC, rib)]), C48() - kCWithdraws);
    ExpectAttributes(tables[In(kB, rib)], "", true);
    ExpectAttributes(tables[In(kC, rib)], "", true);
    EXPECT_EQ(Keys(keeper.tables[In(kC, rib)]), C48() - kCWithdraws);
    EXPECT_TRUE(keeper.tables[In(kB, rib)].empty());
  }
}

const Prefixes kAddPathRoutes = {"0.0.0.0/0",        "203.0.113.0/24",    "203.0.113.128/25",
                                 "198.51.100.64/26", "2001:db8:100::/48", "2001:db8:200::/40"};
const Prefixes kAddPathWithdrawn = {"203.0.113.128/25"};

TEST(Recordings, FrrWritesNoPathIdsThoughNegotiated) {
  for (const auto policy : {PathIdPolicy::kAuto, PathIdPolicy::kNever}) {
    auto keeper = Keep("frr-8.4.4-addpath.bin", policy);
    ASSERT_EQ(keeper.before_down.size(), 1u);
    for (const auto* rib : {"adj-in-pre", "adj-in-post"}) {
      EXPECT_EQ(Keys(keeper.before_down[0][In(kB, rib)]), kAddPathRoutes - kAddPathWithdrawn);
    }
  }
  // Read by the letter of RFC 7911 each field is nonsense; luckily nonsense that does not parse.
  auto by_the_letter = Keep("frr-8.4.4-addpath.bin", PathIdPolicy::kNegotiated);
  EXPECT_EQ(by_the_letter.skipped, 14);
}

TEST(Recordings, GobgpWritesPathIdsInOneViewOnly) {
  auto keeper = Keep("gobgp-3.10.0-addpath.bin");
  ASSERT_EQ(keeper.before_down.size(), 1u);
  Tables& tables = keeper.before_down[0];
  EXPECT_EQ(Keys(tables[In(kB, "adj-in-pre")]), (Prefixes{"0.0.0.0/0#2", "203.0.113.0/24#4", "198.51.100.64/26#3",
                                                          "2001:db8:100::/48#2", "2001:db8:200::/40#3"}));
  EXPECT_EQ(keeper.withdrawn_unheld, 0);
  EXPECT_TRUE(tables[In(kB, "adj-in-post")].empty());  // withdrawn before the Peer Down
  EXPECT_TRUE(tables["0.0.0.0 loc"].empty());
}

// ---- what stands in single messages ----

TEST(Recordings, PeerUpOfFrrLocRib) {
  const auto messages = SplitWhole(ReadTestFile("frr-10.3-adjribin-locrib.bin"));
  const auto decoded = Decode(messages[1]);
  const auto& up = std::get<PeerUp>(*decoded);
  EXPECT_EQ(up.peer.type, PeerType::kLocRib);
  EXPECT_EQ(up.peer.address, IpAddress());
  EXPECT_EQ(up.peer.as, 64500u);
  EXPECT_EQ(up.table_name, "global");
  EXPECT_EQ(up.sent.bgp_id, IpAddress());  // made up
  EXPECT_EQ(up.router_id().ToString(), "192.0.2.1");
  EXPECT_TRUE(up.sent.four_octet_as);
  EXPECT_TRUE(up.sent.add_path.empty());  // the capability is there with no family in it
  EXPECT_EQ(up.local_address, IpAddress());
}

TEST(Recordings, PeerUpOfFrr) {
  const auto messages = SplitWhole(ReadTestFile("frr-10.3-adjribin-locrib.bin"));
  const auto decoded = Decode(messages[2]);
  const auto& up = std::get<PeerUp>(*decoded);
  EXPECT_EQ(up.peer.address.ToString(), "192.0.2.2");
  EXPECT_EQ(up.peer.router_time_us(), 1795188326'933781u);
  EXPECT_EQ(up.local_address.ToString(), "192.0.2.1");
  EXPECT_EQ(up.local_port, 0x952a);
  EXPECT_EQ(up.remote_port, 179);
  EXPECT_EQ(up.sent.as, 64500u);
  EXPECT_EQ(up.received.as, 64501u);
  EXPECT_EQ(up.sent.hold_time, 9);
  EXPECT_EQ(up.received.hold_time, 180);
  EXPECT_EQ(up.router_id().ToString(), "192.0.2.1");
  EXPECT_EQ(up.received.bgp_id.ToString(), "192.0.2.2");
  EXPECT_EQ(up.sent.multiprotocol, std::vector<AfiSafi>{kIpv4Unicast});
  EXPECT_TRUE(up.sent.extended_message);
  EXPECT_EQ(up.sent.add_path, (std::vector<AddPath>{{kIpv4Unicast, true, false}}));
  EXPECT_EQ(up.strings, std::vector<std::string>{"transit-b"});
}

TEST(Recordings, PeerUpOfA4OctetAs) {
  const auto messages = SplitWhole(ReadTestFile("frr-10.3-adjribin-locrib.bin"));
  const auto decoded = Decode(messages[3]);
  const auto& up = std::get<PeerUp>(*decoded);
  EXPECT_EQ(up.peer.address.ToString(), kC);
  EXPECT_EQ(up.received.as, 65550u);
  EXPECT_EQ(up.local_address.ToString(), "2001:db8:0:2::1");
  EXPECT_EQ(up.received.multiprotocol, std::vector<AfiSafi>{kIpv6Unicast});
}

TEST(Recordings, PeerDownCarriesTheOperatorsWords) {
  int with_words = 0;
  for (const auto& name : testing::Recordings()) {
    if (name.find("addpath") != std::string::npos) continue;
    for (const auto& message : SplitWhole(ReadTestFile(name))) {
      const auto decoded = Decode(message);
      const auto* down = std::get_if<PeerDown>(&*decoded);
      if (down == nullptr) continue;
      EXPECT_FALSE(down->detail_malformed);
      if (down->reason != PeerDown::Reason::kRemoteNotification) continue;
      ASSERT_TRUE(down->notification.has_value());
      EXPECT_EQ(NotificationName(down->notification->code, down->notification->subcode),
                "Cease/Administrative Shutdown");
      EXPECT_EQ(down->notification->shutdown_message, "planned-maintenance");
      ++with_words;
    }
  }
  EXPECT_EQ(with_words, 5 + 1 + 1);  // 8.4 says it once per failed attempt; 10.3 and gobgp once
}

TEST(Recordings, HoldTimeOfGobgp) {
  for (const auto& message : SplitWhole(ReadTestFile("gobgp-3.10.0-all.bin"))) {
    const auto decoded = Decode(message);
    const auto* down = std::get_if<PeerDown>(&*decoded);
    if (down == nullptr || down->reason != PeerDown::Reason::kLocalNotification) continue;
    EXPECT_EQ(NotificationName(down->notification->code, down->notification->subcode), "Hold Timer Expired");
    return;
  }
  FAIL() << "no Peer Down with reason 1";
}

TEST(Recordings, StatisticsOfFrrAndGobgp) {
  const auto first = [](const std::string& name) {
    for (const auto& message : SplitWhole(ReadTestFile(name))) {
      if (TypeOf(message) != 1) continue;
      std::map<int, std::uint64_t> out;
      const auto decoded = Decode(message);
      for (const auto& s : std::get<StatisticsReport>(*decoded).statistics) out[s.type] = s.value.value();
      return out;
    }
    return std::map<int, std::uint64_t>();
  };
  EXPECT_EQ(
      first("frr-10.3-adjribin-locrib.bin"),
      (std::map<int, std::uint64_t>{{0, 36}, {2, 0}, {3, 0}, {4, 0}, {5, 0}, {7, 36}, {8, 0}, {11, 0}, {65531, 0}}));
  EXPECT_EQ(first("gobgp-3.10.0-all.bin"), (std::map<int, std::uint64_t>{{7, 36}, {8, 36}, {11, 0}, {12, 0}}));
}

TEST(Recordings, MirroredMessagesAreCounted) {
  std::uint32_t mirrored = 0;
  for (const auto& message : SplitWhole(ReadTestFile("frr-8.4.4-mirror.bin"))) {
    const auto decoded = Decode(message);
    if (const auto* mirroring = std::get_if<RouteMirroring>(&*decoded)) {
      mirrored += mirroring->bgp_messages;
      EXPECT_EQ(mirroring->unknown + mirroring->errored_pdus + mirroring->messages_lost, 0u);
    }
  }
  EXPECT_EQ(mirrored, 20u);
}

// ---- damage ----

// Neither may crash or loop; the sanitizer presets make this worth more than it looks.
TEST(Recordings, TruncatedMessagesAreErrorsOrDecode) {
  for (const auto& name : testing::Recordings()) {
    for (const auto& message : SplitWhole(ReadTestFile(name))) {
      for (std::size_t size = 0; size < message.size(); ++size) {
        std::string cut = message.substr(0, size);
        ASSERT_FALSE(Decode(cut).ok());  // the length field disagrees
        if (size < kCommonHeaderSize) continue;
        StoreBe(cut.data() + 1, static_cast<std::uint32_t>(size));
        testing::EventCounter counter;
        ASSERT_TRUE(SessionDecoder(counter).Feed(cut).ok());
        ASSERT_GT(counter.events, 0);
      }
    }
  }
}

TEST(Recordings, FlippedBitsAreErrorsOrDecode) {
  for (const auto& name : testing::Recordings()) {
    for (const auto& message : SplitWhole(ReadTestFile(name))) {
      std::string flipped = message;
      for (std::size_t bit = 0; bit < message.size() * 8; ++bit) {
        flipped[bit / 8] = static_cast<char>(message[bit / 8] ^ (1 << (bit % 8)));
        testing::EventCounter counter;
        const auto status = SessionDecoder(counter).Feed(flipped);
        // A flip in the length field may leave it waiting for more; anywhere else something is said.
        const bool in_length = bit >= 8 && bit < 5 * 8;
        ASSERT_TRUE(!status.ok() || counter.events > 0 || in_length) << name << " bit " << bit;
        flipped[bit / 8] = message[bit / 8];
      }
    }
  }
}

}  // namespace
}  // namespace virp::bmp
