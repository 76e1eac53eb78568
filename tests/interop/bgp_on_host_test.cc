// BGP on the host, as data centres publish it: hosts with private AS numbers announce their own prefixes to the switch
// above them, and a table written by hand says which AS has which. The switch (BIRD) takes the table over SSH from
// three bridges and checks each route against the AS of the peer, since a host can write into its path what it likes.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <regex>
#include <sstream>

#include "lib/base/status.h"
#include "tests/testutil/process.h"
#include "tests/testutil/reserved_port.h"
#include "tests/testutil/rtr_lab.h"
#include "tests/testutil/shell.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"
#include "tests/testutil/wait.h"

namespace virp::testutil {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// A BIRD with a control socket; its BGP is on ports of the loopback.
class BirdRouter {
 public:
  absl::Status Start(const std::string& config) {
    std::ofstream(dir_.File("bird.conf"))
        << "router id 192.0.2.1;\nlog \"" << dir_.File("log") << "\" all;\nprotocol device { }\n"
        << config;
    process_.options() = {
        .command = {"/usr/sbin/bird", "-f", "-c", dir_.File("bird.conf"), "-s", dir_.File("ctl"), "-P", dir_.File("p")},
        .log = dir_.File("output")};
    return process_.Start();
  }
  std::string Show(const std::string& what) const { return OutputOf("birdc -s " + dir_.File("ctl") + " show " + what); }
  const ReservedPort& port() const { return port_; }

 private:
  TempDir dir_;
  ReservedPort port_;
  Process process_;
};

constexpr std::uint32_t kSwitch = 4'200'000'100, kWeb = 4'200'000'001, kEvil = 4'200'000'002;
constexpr const char* kBgp = "  multihop;\n  connect delay time 1;\n  connect retry time 1;\n  error wait time 1, 1;\n";

// A host that announces `routes`; `prepend` is what it pretends to have got them from.
std::string HostConfig(int port, std::uint32_t as, const std::string& routes, const std::string& forged = {}) {
  return fmt::format(
      "protocol static {{\n  ipv6;\n{}}}\n"
      "protocol bgp {{\n  local 127.0.0.1 port {} as {};\n  neighbor 127.0.0.1 as {};\n  passive;\n{}"
      "  ipv6 {{ import none; export filter {{ {} accept; }}; next hop address 2001:db8:ffff::{}; }};\n}}\n",
      routes, port, as, kSwitch, kBgp, forged, as % 100);
}

class BgpOnTheHost : public ::testing::Test {
 protected:
  static RtrTable Allowed(std::uint32_t as) {
    return {fmt::format("2001:db8:1::/64 128 {}", as), fmt::format("2001:db8:2::/64 128 {}", kEvil)};
  }

  void WriteEverywhere(const RtrTable& table) {
    for (RtrLab& bridge : bridges_) bridge.Write(table);
  }

  std::string SwitchConfig() const {
    std::string config = "roa6 table hosts;\n";
    int number = 0;
    for (const RtrLab& bridge : bridges_) {
      config += fmt::format(
          "protocol rpki bridge{} {{\n  roa6 {{ table hosts; }};\n  remote 127.0.0.1 port {};\n  retry keep 1;\n"
          "  transport ssh {{ bird private key \"{}\"; remote public key \"{}\"; user \"rpki\"; }};\n}}\n",
          ++number, bridge.ssh_port(), bridge.client_key(), bridge.known_hosts());
    }
    config += "filter of_the_peer { if roa_check(hosts, net, bgp_path.first) = ROA_VALID then accept; reject; }\n";
    for (const auto& [name, host, as] : {std::tuple("web", &web_, kWeb), std::tuple("evil", &evil_, kEvil)}) {
      config += fmt::format(
          "protocol bgp {} {{\n  local 127.0.0.1 port {} as {};\n  neighbor 127.0.0.1 port {} as {};\n{}"
          "  ipv6 {{ import table on; import keep filtered; import filter of_the_peer; export none; "
          "next hop address 2001:db8:ffff::100; }};\n}}\n",
          name, switch_.port().port(), kSwitch, host->port().port(), as, kBgp);
    }
    return config;
  }

  // "PREFIX HOST: PATH" of each route that the switch uses, or has filtered.
  std::vector<std::string> Routes(const std::string& which) const {
    std::vector<std::string> out;
    std::string prefix;
    std::istringstream lines(switch_.Show("route " + which + " table master6 all"));
    const std::regex route(R"(^(\S*) +\S+ \[(\w+) .*)"), path(R"(\s+BGP.as_path:(.*))");
    std::smatch at;
    for (std::string line; std::getline(lines, line);) {
      if (std::regex_match(line, at, route)) {
        if (at[1].length() > 0) prefix = at[1];
        out.push_back(prefix + " " + at[2].str() + ":");
      } else if (!out.empty() && std::regex_match(line, at, path)) {
        out.back() += at[1];
      }
    }
    return out;
  }

  // Since when each session is up, RTR and BGP.
  std::string Sessions() const {
    std::string out;
    std::istringstream lines(switch_.Show("protocols"));
    for (std::string line; std::getline(lines, line);) {
      if (line.find("Established") != std::string::npos) out += line + "\n";
    }
    return out;
  }

  std::array<RtrLab, 3> bridges_;
  BirdRouter switch_, web_, evil_;
};

TEST_F(BgpOnTheHost, AHostHasItsOwnPrefixAndNoOther) {
  WriteEverywhere(Allowed(kWeb));
  for (RtrLab& bridge : bridges_) ASSERT_OK(bridge.Start());
  ASSERT_OK(web_.Start(HostConfig(web_.port().port(), kWeb, "  route 2001:db8:1::/64 blackhole;\n")));
  // Its own; another's; an address of the other's, which would draw its traffic, as if that had been heard from it.
  ASSERT_OK(evil_.Start(HostConfig(evil_.port().port(), kEvil,
                                   "  route 2001:db8:2::5/128 blackhole;\n  route 2001:db8:1::/64 blackhole;\n"
                                   "  route 2001:db8:1::1/128 blackhole;\n",
                                   fmt::format("if net = 2001:db8:1::1/128 then bgp_path.prepend({});", kWeb))));
  ASSERT_OK(switch_.Start(SwitchConfig()));

  const std::string webs = fmt::format("2001:db8:1::/64 web: {}", kWeb);
  const std::string evils = fmt::format("2001:db8:2::5/128 evil: {}", kEvil);
  const std::string stolen = fmt::format("2001:db8:1::/64 evil: {}", kEvil);
  const std::string forged = fmt::format("2001:db8:1::1/128 evil: {} {}", kEvil, kWeb);
  EXPECT_TRUE(Eventually([&] { return Routes("").size() == 2 && Routes("filtered").size() == 2; }));
  EXPECT_THAT(Routes(""), UnorderedElementsAre(webs, evils));
  EXPECT_THAT(Routes("filtered"), UnorderedElementsAre(stolen, forged));
  EXPECT_TRUE(Eventually([&] {
    const std::string sessions = Sessions();
    return std::count(sessions.begin(), sessions.end(), '\n') == 5;  // three bridges, two hosts
  })) << Sessions();
  const std::string sessions = Sessions();

  // The prefix moves to the other host: first one bridge says so, and the route of the first host stays with the
  // others'; then all do.
  const RtrTable moved = Allowed(kEvil);
  bridges_[0].Write(moved);
  bridges_[0].Hangup();
  EXPECT_TRUE(Eventually([&] { return Routes("filtered").empty(); }));
  EXPECT_THAT(Routes(""), UnorderedElementsAre(webs, evils, stolen, forged));
  WriteEverywhere(moved);
  for (const RtrLab& bridge : bridges_) bridge.Hangup();
  EXPECT_TRUE(Eventually([&] { return Routes("filtered").size() == 1; }));
  EXPECT_THAT(Routes("filtered"), ElementsAre(webs));
  EXPECT_THAT(Routes(""), UnorderedElementsAre(evils, stolen, forged));

  EXPECT_EQ(Sessions(), sessions) << "a session was set up anew";
  for (RtrLab& bridge : bridges_) {
    EXPECT_EQ(bridge.Metric("virp_rtr_bridge_connections_opened_total"), 1) << bridge.log();
    EXPECT_EQ(bridge.Metric("virp_rtr_bridge_answers_total{kind=\"full\"}"), 1);
  }
}

}  // namespace
}  // namespace virp::testutil
