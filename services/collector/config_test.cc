// The sources file, and a collector made of what it says: a recorded router over TCP, to the spool and to status.
#include "services/collector/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <fstream>
#include <functional>
#include <thread>

#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/bmp/bmp_testing.h"
#include "lib/frame/key_ring.h"
#include "lib/service/authorization.h"
#include "lib/service/refusal_log.h"
#include "services/collector/transport/access.h"
#include "services/collector/transport/bmp_report.h"
#include "services/collector/transport/frame_listener.h"
#include "services/collector/transport/house.h"
#include "tests/testutil/metrics_doc.h"
#include "tests/testutil/temp_dir.h"

namespace virp::collector {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::Status Parse(const std::string& bmp, Config& config) {
  config.name = "collector-1";
  return ParseSources("{\"bmp\": " + bmp + "}", config);
}

TEST(FrameConfig, TlsAndItsClients) {
  const auto read = [](const std::string& listener, Config& config) {
    config.name = "collector-1";
    return ParseSources("{\"frames\": [" + listener + "]}", config);
  };
  Config config;
  ASSERT_TRUE(read(R"({"listen": "127.0.0.1:9000", "source": "edge-a.bgpd", "spelling": "v2", "tls": true,
                       "clients": ["spiffe://example.net/producer/edge-a"], "allow": ["192.0.2.1"]})",
                   config)
                  .ok());
  ASSERT_EQ(config.frames.size(), 1u);
  EXPECT_TRUE(config.frames[0].tls);
  EXPECT_THAT(config.frames[0].clients, ElementsAre("spiffe://example.net/producer/edge-a"));
  Config plain;
  ASSERT_TRUE(read(R"({"listen": "127.0.0.1:9000", "source": "edge-a.bgpd"})", plain).ok());
  EXPECT_FALSE(plain.frames[0].tls);
  EXPECT_THAT(plain.frames[0].clients, ::testing::IsEmpty());
  EXPECT_EQ(plain.frames[0].spelling, frame::Spelling::kV1Le);

  const auto refusal = [&](const std::string& keys, const std::string& listen = "127.0.0.1:9000") {
    Config refused;
    return std::string(
        Message(read("{\"listen\": \"" + listen + "\", \"source\": \"edge-a.bgpd\", " + keys + "}", refused)));
  };
  EXPECT_THAT(refusal(R"("tls": "yes")"), HasSubstr("frames[0]: tls is not true or false"));
  EXPECT_THAT(refusal(R"("tls": true, "clients": ["alice"])"), HasSubstr("frames[0]: clients"));
  EXPECT_THAT(refusal(R"("tls": true, "clients": "spiffe://example.net/producer/a")"), HasSubstr("frames[0]"));
  EXPECT_THAT(refusal(R"("tls": true, "clients": [1])"), HasSubstr("frames[0]"));
  EXPECT_THAT(refusal(R"("clients": ["spiffe://example.net/producer/a"])"), HasSubstr("add \"tls\": true"));
  EXPECT_THAT(refusal(R"("tls": true)", "unix:/run/frames.sock"), HasSubstr("not for a Unix socket"));
  EXPECT_THAT(refusal(R"("TLS": true)"), HasSubstr("frames[0]"));
}

TEST(FrameConfig, ProducerIdsAreNumbersOf32Bits) {
  const auto read = [](const std::string& id, Config& config) {
    return ParseSources(R"({"frames": [{"listen": "127.0.0.1:9000", "source": "edge-a.bgpd", "spelling": "v1-producer",
                                        "producers": {")" +
                            id + R"(": "edge-b.bgpd"}}]})",
                        config);
  };
  Config config;
  ASSERT_TRUE(read("4294967295", config).ok());
  EXPECT_EQ(config.frames[0].producers.at(4294967295), "edge-b.bgpd");
  ASSERT_TRUE(read("0", config).ok());
  // One that is cut to 32 bits would be another producer's; two spellings of one number would be two lines of the file.
  for (const char* id : {"4294967296", "9999999999", "01", "", "-1", "+1", "1 ", "0x1", "a"}) {
    Config refused;
    EXPECT_THAT(Message(read(id, refused)), HasSubstr("frames[0]: producers maps")) << id;
  }
}

TEST(BmpConfig, ReadsEveryKey) {
  const testutil::TempDir folder;
  const std::string key_file = folder.File("md5");
  std::ofstream(key_file) << "correct horse\n";
  ::chmod(key_file.c_str(), 0600);
  Config config;
  const absl::Status read = Parse(R"({
      "listen": ["127.0.0.1:11019", "[::1]:11019"], "max_connections": 50, "max_connections_per_address": 4,
      "initiation_timeout": "5s", "quiet": "20s", "restate_peers": "10m",
      "routers": [{
        "source": "edge-a.bmp", "addresses": ["192.0.2.1", "::ffff:192.0.2.9"], "sys_name": "edge-a", "md5_key_file": ")" +
                                      key_file + R"(",
        "mode": "prefixes", "prefixes": ["203.0.113.0/24", "2001:db8::/32"], "ribs": ["adj-in-pre", "loc"],
        "peers": [{"address": "192.0.2.2", "mode": "routes"}, {"address": "2001:db8::2", "vrf": "cust-a", "mode": "events"}],
        "vrfs": {"64500:7": "cust-a", "192.0.2.1:7": "cust-b", "4200000000:7": "cust-c", "0x0002000000010007": "cust-d"},
        "path_ids": "never", "max_paths": 1000, "max_attribute_bytes": "64MiB", "max_peers": 10,
        "red": {"protected_prefixes": [{"prefix": "203.0.113.0/24", "origins": [64501]}],
                "sessions_lost": {"more_than": 3, "within": "5m"}, "maximum_prefix": true}},
      {"source": "edge-b.bmp", "dial": "192.0.2.3:11019"}]})",
                                  config);
  ASSERT_TRUE(read.ok()) << read;
  const BmpIngestOptions& bmp = config.bmp;
  EXPECT_THAT(bmp.listen, ElementsAre(HostPort{"127.0.0.1", 11019}, HostPort{"::1", 11019}));
  EXPECT_EQ(bmp.max_connections, 50u);
  EXPECT_EQ(bmp.max_per_address, 4u);
  EXPECT_EQ(bmp.initiation_timeout, seconds(5));
  EXPECT_EQ(bmp.bmp.quiet, seconds(20));
  EXPECT_EQ(bmp.bmp.restate_peers, seconds(600));
  EXPECT_EQ(bmp.bmp.collector_source, "collector-1");
  ASSERT_EQ(bmp.bmp.routers.size(), 2u);
  const BmpRouterOptions& router = bmp.bmp.routers[0];
  EXPECT_EQ(router.source, "edge-a.bmp");
  EXPECT_THAT(router.addresses, ElementsAre(*IpAddress::Parse("192.0.2.1"), *IpAddress::Parse("192.0.2.9")));
  EXPECT_EQ(router.sys_name, "edge-a");
  EXPECT_EQ(router.md5_key, "correct horse");
  EXPECT_EQ(router.mode, BmpMode::kPrefixes);
  EXPECT_THAT(router.prefixes, ElementsAre(*Prefix::Parse("203.0.113.0/24"), *Prefix::Parse("2001:db8::/32")));
  EXPECT_EQ(router.ribs, (std::array<bool, 5>{true, false, true, false, false}));
  ASSERT_EQ(router.peers.size(), 2u);
  EXPECT_EQ(router.peers[0].vrf, "default");
  EXPECT_EQ(router.peers[0].mode, BmpMode::kRoutes);
  EXPECT_EQ(router.peers[1].vrf, "cust-a");
  EXPECT_EQ(VrfName(router, bmp::PeerType::kRd, 0x0000fbf400000007), "cust-a");
  EXPECT_EQ(VrfName(router, bmp::PeerType::kRd, 0x0001c00002010007), "cust-b");
  EXPECT_EQ(VrfName(router, bmp::PeerType::kRd, 0x0002fa56ea000007), "cust-c");
  EXPECT_EQ(VrfName(router, bmp::PeerType::kRd, 0x0002000000010007), "cust-d");
  EXPECT_EQ(router.path_ids, bmp::PathIdPolicy::kNever);
  EXPECT_EQ(router.max_paths, 1000u);
  EXPECT_EQ(router.max_attribute_bytes, 64u << 20);
  EXPECT_EQ(router.max_peers, 10u);
  ASSERT_EQ(router.red.protected_prefixes.size(), 1u);
  EXPECT_THAT(router.red.protected_prefixes[0].origins, ElementsAre(64501u));
  EXPECT_EQ(router.red.sessions_lost, 3u);
  EXPECT_EQ(router.red.within, seconds(300));
  EXPECT_TRUE(router.red.maximum_prefix);
  EXPECT_EQ(bmp.bmp.routers[1].dial, "192.0.2.3:11019");
  EXPECT_EQ(bmp.bmp.routers[1].mode, BmpMode::kEvents);
}

TEST(BmpConfig, IsOffByDefaultAndOnLoopbackUnlessToldOtherwise) {
  Config off;
  off.name = "collector-1";
  ASSERT_TRUE(ParseSources("{}", off).ok());
  EXPECT_TRUE(off.bmp.bmp.routers.empty());
  EXPECT_TRUE(off.bmp.listen.empty());
  Config on;
  ASSERT_TRUE(Parse(R"({"routers": [{"source": "edge-a.bmp", "addresses": ["192.0.2.1"]}]})", on).ok());
  EXPECT_THAT(on.bmp.listen, ElementsAre(HostPort{"127.0.0.1", 11019}));
  Config dials;
  ASSERT_TRUE(Parse(R"({"routers": [{"source": "edge-a.bmp", "dial": "192.0.2.1:11019"}]})", dials).ok());
  EXPECT_TRUE(dials.bmp.listen.empty());
}

TEST(BmpConfig, RefusesWithThePlace) {
  const testutil::TempDir folder;
  const std::string open_file = folder.File("open"), empty_file = folder.File("empty");
  std::ofstream(open_file) << "key";
  ::chmod(open_file.c_str(), 0644);
  std::ofstream(empty_file) << "\n";
  ::chmod(empty_file.c_str(), 0600);
  const auto router = [](const std::string& keys) {
    Config config;
    const std::string text = R"({"routers": [{"source": "edge-a.bmp", "addresses": ["192.0.2.1"])" +
                             (keys.empty() ? "" : ", " + keys) + "}]}";
    return std::string(Message(Parse(text, config)));
  };
  EXPECT_EQ(router(""), "");
  EXPECT_THAT(router(R"("Mode": "routes")"), HasSubstr("bmp.routers[0]"));
  EXPECT_THAT(router(R"("mode": "all")"), HasSubstr("bmp.routers[0].mode: 'all' is none of"));
  EXPECT_THAT(router(R"("mode": "prefixes")"), HasSubstr("needs a list of prefixes"));
  EXPECT_THAT(router(R"("mode": "prefixes", "prefixes": ["203.0.113.1/24"])"), HasSubstr("bmp.routers[0].prefixes"));
  EXPECT_THAT(router(R"("ribs": ["adj-in"])"), HasSubstr("bmp.routers[0].ribs: 'adj-in'"));
  EXPECT_THAT(router(R"("vrfs": {"64500": "a"})"), HasSubstr("'64500' is no route distinguisher"));
  EXPECT_THAT(router(R"("vrfs": {"64500:4294967296": "a"})"), HasSubstr("no route distinguisher"));
  EXPECT_THAT(router(R"("vrfs": {"64500:1": ""})"), HasSubstr("needs the name of a VRF"));
  EXPECT_THAT(router(R"("path_ids": "always")"), HasSubstr("path_ids"));
  EXPECT_THAT(router(R"("max_paths": -1)"), HasSubstr("max_paths"));
  EXPECT_THAT(router(R"("max_paths": 0)"), HasSubstr("above 0"));
  EXPECT_THAT(router(R"("max_attribute_bytes": "1 heap")"), HasSubstr("max_attribute_bytes"));
  EXPECT_THAT(router(R"("peers": [{"address": "router-b"}])"), HasSubstr("bmp.routers[0].peers[0]"));
  EXPECT_THAT(router(R"("peers": {})"), HasSubstr("bmp.routers[0].peers"));
  EXPECT_THAT(router(R"("dial": "edge-a:11019")"), HasSubstr("ADDRESS:PORT"));
  EXPECT_THAT(router(R"("red": {"sessions_lost": {"more_than": 3}})"), HasSubstr("lost sessions"));
  EXPECT_THAT(router(R"("red": {"sessions_lost": {"more_than": 3, "within": "0s"}})"), HasSubstr("within"));
  EXPECT_THAT(router(R"("red": {"protected_prefixes": [{"prefix": "203.0.113.0/24", "origins": []}]})"),
              HasSubstr("protected_prefixes[0]"));
  EXPECT_THAT(router(R"("red": {"protected_prefixes": [{"prefix": "203.0.113.0/24", "origins": ["64501"]}]})"),
              HasSubstr("AS numbers"));
  EXPECT_THAT(router(R"("md5_key_file": ")" + folder.File("absent") + "\""), HasSubstr("md5_key_file"));
  EXPECT_THAT(router(R"("md5_key_file": ")" + open_file + "\""), HasSubstr("md5_key_file"));
  EXPECT_THAT(router(R"("md5_key_file": ")" + empty_file + "\""), HasSubstr("is empty"));
  const auto section = [](const std::string& text) {
    Config config;
    return std::string(Message(Parse(text, config)));
  };
  EXPECT_THAT(section("[]"), HasSubstr("bmp"));
  EXPECT_THAT(section("{}"), HasSubstr("bmp.routers"));
  const std::string one = R"("routers": [{"source": "edge-a.bmp", "addresses": ["192.0.2.1"]}])";
  EXPECT_THAT(section("{\"listen\": [], " + one + "}"), HasSubstr("nothing is listened on"));
  EXPECT_THAT(section("{\"listen\": [\"localhost:1\"], " + one + "}"), HasSubstr("names are not resolved"));
  EXPECT_THAT(section("{\"max_connections\": 0, " + one + "}"), HasSubstr("above 0"));
  EXPECT_THAT(section("{\"quiet\": \"1500ms\", " + one + "}"), HasSubstr("bmp.quiet"));
  EXPECT_THAT(section("{\"quiet\": 30, " + one + "}"), HasSubstr("quiet"));
  EXPECT_THAT(section(R"({"routers": [{"addresses": ["192.0.2.1"]}]})"), HasSubstr("source"));
  EXPECT_THAT(section(R"({"routers": [{"source": "Edge A", "addresses": ["192.0.2.1"]}]})"), HasSubstr("Edge A"));
}

// ---- what runs ----

class NoConnector final : public deliver::Connector {
 public:
  absl::StatusOr<std::unique_ptr<deliver::Connection>> Connect(const std::string&) override {
    return Unavailable("no O-Node");
  }
};

class CollectorTest : public ::testing::Test {
 protected:
  CollectorTest() {
    for (const auto* source : {"edge-a.bmp", "edge-b.bmp", "collector-1"}) {
      keys_.Put(source, {1, frame::OKey::Hmac(std::string(32, 'k')).value(), 0, std::nullopt});
    }
    const absl::Status read = Parse(R"({"listen": ["127.0.0.1:0"], "routers": [
        {"source": "edge-b.bmp", "addresses": ["192.0.2.77"], "mode": "routes"},
        {"source": "edge-a.bmp", "addresses": ["127.0.0.1"], "mode": "routes"}]})",
                                    config_);
    EXPECT_TRUE(read.ok()) << read;
    bmp_ = std::make_unique<BmpIngest>(config_.bmp, clock_);
    outbox_ = *deliver::Outbox::Open({.directory = folder_.File("spool")}, keys_, clock_, {&bmp_->state()});
    const absl::Status started = bmp_->Start(*outbox_, liveness_);
    EXPECT_TRUE(started.ok()) << started;
  }
  ~CollectorTest() override { bmp_->Stop(); }

  void Play(const std::string& name) {
    const std::string stream = bmp::testing::ReadTestFile(name);
    const FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(bmp_->ports().at(0)));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::connect(socket.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
    ASSERT_TRUE(WriteAll(socket.get(), stream, "the collector").ok());
    ::shutdown(socket.get(), SHUT_WR);
    char byte = 0;
    ASSERT_EQ(::recv(socket.get(), &byte, 1, 0), 0);  // it read to the end and closed
  }
  v1::ListBmpPeersResponse List(int page_size = 0, const std::string& token = "", const std::string& source = "") {
    v1::ListBmpPeersRequest request;
    request.set_page_size(page_size);
    request.set_page_token(token);
    request.set_source(source);
    v1::ListBmpPeersResponse response;
    const absl::Status listed = ListBmpPeers(*bmp_, request, response);
    if (!listed.ok()) response.set_next_page_token("error: " + std::string(Message(listed)));
    return response;
  }

  const SystemClock clock_;
  const testutil::TempDir folder_;
  frame::KeyRing keys_;
  Liveness liveness_{clock_};
  Config config_;
  std::unique_ptr<BmpIngest> bmp_;
  std::unique_ptr<deliver::Outbox> outbox_;
};

TEST_F(CollectorTest, ARecordedRouterIsSpooledAndListed) {
  Play("gobgp-3.10.0-all.bin");
  EXPECT_GT(outbox_->position("edge-a.bmp").last_sequence, 100u);
  EXPECT_EQ(outbox_->position("edge-b.bmp").last_sequence, 0u);
  const auto all = List();
  ASSERT_EQ(all.routers_size(), 2);
  EXPECT_EQ(all.next_page_token(), "");
  const auto& a = all.routers(0);
  EXPECT_EQ(a.source(), "edge-a.bmp");
  EXPECT_EQ(a.sys_name(), "GoBGP");
  EXPECT_EQ(a.sessions(), 1u);
  EXPECT_FALSE(a.session_up());
  EXPECT_EQ(a.protection(), "");
  EXPECT_TRUE(a.has_last_bytes_at());
  std::uint64_t paths = 0;
  std::map<std::string, std::string> states;
  for (const auto& peer : a.peers()) {
    states[peer.address()] = peer.state();
    EXPECT_EQ(peer.mode(), "routes");
    for (const auto& view : peer.views()) paths += view.paths();
  }
  EXPECT_GT(paths, 0u);
  EXPECT_EQ(paths, a.paths());
  EXPECT_EQ(states["192.0.2.2"], "Idle");  // killed at the end of the recording
  EXPECT_EQ(states["2001:db8:0:2::2"], "Established");
  EXPECT_EQ(all.routers(1).source(), "edge-b.bmp");
  EXPECT_EQ(all.routers(1).peers_size(), 0);
}

TEST_F(CollectorTest, PagesHoldEverythingOnce) {
  Play("frr-10.3-adjribin-locrib.bin");
  const auto text = [](const v1::ListBmpPeersResponse& page) {
    std::vector<std::string> out;
    for (const auto& router : page.routers()) {
      for (const auto& peer : router.peers()) out.push_back(router.source() + " " + peer.vrf() + " " + peer.address());
      if (router.peers().empty()) out.push_back(router.source());
    }
    return out;
  };
  const auto whole = text(List());
  ASSERT_GE(whole.size(), 4u);
  for (const int size : {1, 2, 3}) {
    std::vector<std::string> seen;
    std::string token;
    do {
      const auto page = List(size, token);
      const auto lines = text(page);
      ASSERT_LE(lines.size(), static_cast<std::size_t>(size));
      ASSERT_FALSE(lines.empty());
      seen.insert(seen.end(), lines.begin(), lines.end());
      token = page.next_page_token();
    } while (!token.empty() && seen.size() <= whole.size());
    EXPECT_EQ(seen, whole) << size;
  }
  EXPECT_EQ(text(List(0, "", "edge-b.bmp")), std::vector<std::string>{"edge-b.bmp"});
  EXPECT_THAT(List(0, "", "edge-z.bmp").next_page_token(), HasSubstr("edge-z.bmp"));
  EXPECT_THAT(List(-1).next_page_token(), HasSubstr("page_size"));
  for (const char* wrong : {"x", "edge-a.bmp\n", "edge-a.bmp\ndefault\nnowhere"})
    EXPECT_THAT(List(0, wrong).next_page_token(), HasSubstr("page_token"));
}

TEST_F(CollectorTest, MetricsAreThoseOfTheDocs) {
  NoConnector connector;
  AlarmingObserver observer("collector-1", *outbox_);
  deliver::DelivererOptions options;
  options.identity = "spiffe://example.net/collector/collector-1";
  options.origin = "example.net/site1";
  options.addresses = {"127.0.0.1:1"};
  options.state_directory = folder_.File("audit");
  options.verifiers = {chain::VerifierKey::Make(options.origin, std::string(32, '\1')).value()};
  const auto deliverer = deliver::Deliverer::Make(options, outbox_->spool(), connector, observer, clock_);
  ASSERT_TRUE(deliverer.ok()) << deliverer.status();
  service::Metrics metrics("collector");
  AddMetrics(metrics, *outbox_, **deliverer, liveness_);
  AddBmpMetrics(metrics, *bmp_);
  FrameListenerOptions listen;
  listen.listen = "127.0.0.1:0";
  listen.source = "edge-a.bgpd";
  RunBook runs;
  FrameIntake intake(listen, *outbox_, runs, liveness_, keys_, clock_);
  const auto listener = FrameListener::Start(intake, *outbox_, liveness_, clock_);
  ASSERT_TRUE(listener.ok()) << listener.status();
  AddListenerMetrics(metrics, **listener);
  EdgeLimits limits({}, clock_);
  const RouteFold fold(limits, clock_);
  AddLimitMetrics(metrics, fold, limits);
  ASSERT_TRUE(MakeDirectory(folder_.File("key-files")).ok());
  const auto supply = keys::KeySupply::Open(folder_.File("key-files"), {}, clock_);
  ASSERT_TRUE(supply.ok()) << supply.status();
  (*supply)->AddMetrics(metrics);
  const service::RefusalLog refusals(clock_);
  refusals.AddMetrics(metrics);
  EXPECT_TRUE(metrics.status().ok()) << metrics.status();
  EXPECT_THAT(testutil::MetricDocDifferences(metrics.Serialize(), "collector",
                                             std::string(VIRP_SOURCE_DIR) + "/docs/metrics.md"),
              ::testing::IsEmpty());

  Play("frr-8.4.4-adjribin.bin");
  const std::string text = metrics.Serialize();
  for (const char* line : {"virp_collector_bmp_routers 2", "virp_collector_bmp_sessions 0",
                           "virp_collector_bmp_accepted_connections_total 1",
                           "virp_collector_bmp_refused_connections_total{reason=\"over_cap\"} 0"}) {
    EXPECT_THAT(text, HasSubstr(std::string(line) + "\n"));
  }
  EXPECT_THAT(text,
              ::testing::Not(HasSubstr(
                  "virp_collector_bmp_passed_over_total{reason=\"peer_down_not_up\"} 0\n")));  // FRR 8.4 sends those
}

TEST(CollectorAccess, EveryMethodHasARow) {
  const auto table = service::AuthorizationTable::Create(AccessTable());
  ASSERT_TRUE(table.ok()) << table.status();
  const std::vector<const google::protobuf::ServiceDescriptor*> services{
      v1::ListBmpPeersRequest::descriptor()->file()->service(0)};
  EXPECT_THAT(table->Problems(services), ::testing::IsEmpty());
}

}  // namespace
}  // namespace virp::collector
