// The real bridge and real routers: whatever becomes of the data and of the bridge, each router ends with exactly the
// table.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <functional>
#include <sstream>
#include <thread>

#include "tests/interop/openbgpd.h"
#include "tests/interop/rtr_routers.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/wait.h"

namespace virp::testutil {
namespace {

constexpr std::size_t kVrps = 400;
constexpr std::chrono::seconds kReconnect{120};  // GoBGP tries again after half a minute

class RtrBridge : public ::testing::Test {
 protected:
  RtrLab lab_;
};

// What differs, in few words.
std::string Difference(const RtrTable& has, const RtrTable& should) {
  std::string out;
  for (const std::string& line : has) {
    if (!should.contains(line) && out.size() < 300) out += "+" + line + "; ";
  }
  for (const std::string& line : should) {
    if (!has.contains(line) && out.size() < 600) out += "-" + line + "; ";
  }
  return out;
}

void ExpectTable(Router& router, const RtrTable& should, const std::string& when) {
  RtrTable has;
  const RtrTable view = router.View(should);
  const bool same = WaitUntil(kReconnect, [&] { return (has = router.Table()) == view; });
  EXPECT_TRUE(same) << when << ": " << Difference(has, view);
}

void ExpectOneSession(const RtrLab& lab, const Router& router, const std::string& when) {
  if (!router.stays()) return;
  EXPECT_EQ(lab.Metric("virp_rtr_bridge_connections_opened_total"), 1) << when << lab.log();
}

// The tables of the cycle below: the first, three of its refreshes, the one after the reset.
RtrTable CycleTable(unsigned step) {
  return step <= 3 ? MakeRtrTable(kVrps + 10 * step, step) : MakeRtrTable(kVrps, 9);
}
std::vector<RtrTable> TablesOfTheCycle() {
  std::vector<RtrTable> tables;
  for (unsigned step = 0; step <= 4; ++step) tables.push_back(CycleTable(step));
  return tables;
}

void StartWith(RtrLab& lab, Router& router, const RtrTable& table, const std::vector<std::string>& options = {}) {
  lab.Write(table);
  ASSERT_OK(lab.Start(options));
  ASSERT_OK(router.Start(lab));
  ExpectTable(router, table, "at the start");
}

// Start, three churned refreshes, a restart of the bridge, a forced Cache Reset, and a set that is empty and filled
// again.
void FollowThroughEverything(RtrLab& lab, Router& router) {
  RtrTable table = CycleTable(0);
  ASSERT_NO_FATAL_FAILURE(StartWith(lab, router, table, {"--history", "2"}));
  for (unsigned round = 1; round <= 3; ++round) {
    table = CycleTable(round);
    lab.Write(table);
    lab.Hangup();
    ExpectTable(router, table, "refresh " + std::to_string(round));
  }
  ExpectOneSession(lab, router, "before the restart");
  ASSERT_OK(lab.Stop());
  ASSERT_OK(lab.Start({"--history", "2"}));
  EXPECT_TRUE(WaitUntil(kReconnect, [&] {
    return !router.stays() || lab.Metric("virp_rtr_bridge_connections_opened_total") >= 1;
  })) << "the router does not come back";
  ExpectTable(router, table, "after a restart");
  ExpectOneSession(lab, router, "after a restart");
  // Out of the window at once: the state is gone, so the sessions are new.
  lab.Kill();
  std::filesystem::remove_all(lab.File("state"));
  table = CycleTable(4);
  lab.Write(table);
  ASSERT_OK(lab.Start({"--history", "2"}));
  ExpectTable(router, table, "after a Cache Reset");
  lab.Write({});
  lab.Hangup();
  ExpectTable(router, {}, "when it is empty");
  lab.Write(table);
  lab.Hangup();
  ExpectTable(router, table, "when it is filled again");
  ExpectOneSession(lab, router, "at the end");
}

TEST_F(RtrBridge, BirdOverTcp) {
  Bird bird(false);
  FollowThroughEverything(lab_, bird);
}

TEST_F(RtrBridge, BirdOverSsh) {
  Bird bird(true);
  FollowThroughEverything(lab_, bird);
}

// libssh 0.10 as a client signs with an RSA key only when it knows in time that the server takes SHA-2.
TEST_F(RtrBridge, BirdOverSshWithAnRsaKey) {
  const RtrTable table = MakeRtrTable(kVrps);
  Bird bird(true, "rsa_key");
  ASSERT_NO_FATAL_FAILURE(StartWith(lab_, bird, table));
}

TEST_F(RtrBridge, FrrOverTcp) {
  Frr frr;
  FollowThroughEverything(lab_, frr);
}

TEST_F(RtrBridge, GoBgpOverTcp) {
  GoBgp gobgp;
  FollowThroughEverything(lab_, gobgp);
}

TEST_F(RtrBridge, OpenBgpdOverTcp) {
  if (::geteuid() != 0) GTEST_SKIP() << "OpenBGPD starts as root only";
  OpenBgpd openbgpd(TablesOfTheCycle());
  FollowThroughEverything(lab_, openbgpd);
  EXPECT_EQ(openbgpd.Complaints(), "");
}

TEST_F(RtrBridge, RtrClientOverTcp) {
  RtrClient client(false);
  FollowThroughEverything(lab_, client);
}

TEST_F(RtrBridge, RtrClientOverSsh) {
  RtrClient client(true);
  FollowThroughEverything(lab_, client);
}

TEST_F(RtrBridge, RtrDumpOverTcp) {
  RtrDump dump([](const RtrLab& lab) { return "-connect " + lab.tcp(); });
  FollowThroughEverything(lab_, dump);
}

TEST_F(RtrBridge, RtrDumpOverTls) {
  RtrDump dump([](const RtrLab& lab) { return "-type tls -tls.validate=false -connect " + lab.tls(); });
  FollowThroughEverything(lab_, dump);
}

TEST_F(RtrBridge, RtrDumpOverSsh) {
  RtrDump dump([](const RtrLab& lab) {
    return "-type ssh -ssh.method key -ssh.auth.user rpki -ssh.auth.key " + lab.rsa_key() + " -connect " + lab.ssh();
  });
  FollowThroughEverything(lab_, dump);
}

TEST_F(RtrBridge, UsersOfSshComeInWithTheirKeysAndPasswords) {
  const RtrTable table = MakeRtrTable(kVrps);
  lab_.Write(table);
  ASSERT_OK(lab_.Start());
  const std::string ssh = " 127.0.0.1 " + std::to_string(lab_.ssh_port()) + " rpki ";
  EXPECT_EQ(RtrClientTable("ssh" + ssh + lab_.client_key() + " " + lab_.known_hosts()), table);
  EXPECT_EQ(RtrClientTable("ssh" + ssh + lab_.rsa_key() + " " + lab_.known_hosts()), table);
  EXPECT_EQ(RtrClientTable("ssh -w" + ssh + "secret"), table);
  EXPECT_TRUE(RtrClientTable("ssh -w" + ssh + "wrong").empty());
  EXPECT_EQ(RtrDumpTable("-rtr.version 1 -type ssh -ssh.method password -ssh.auth.user rpki -ssh.auth.password secret "
                         "-connect " +
                         lab_.ssh()),
            table);
}

// What a router does that is behind within the window, and what it costs: a delta, no reload.
TEST_F(RtrBridge, ARouterThatComesBackAfterARestartNeedsNoReload) {
  const RtrTable table = MakeRtrTable(kVrps);
  Bird bird(false);
  ASSERT_NO_FATAL_FAILURE(StartWith(lab_, bird, table));
  ASSERT_OK(lab_.Stop());
  ASSERT_OK(lab_.Start());
  ASSERT_TRUE(Eventually([&] { return lab_.Metric("virp_rtr_bridge_answers_total{kind=\"incremental\"}") >= 1; }));
  EXPECT_EQ(lab_.Metric("virp_rtr_bridge_answers_total{kind=\"full\"}"), 0);
  EXPECT_EQ(lab_.Metric("virp_rtr_bridge_answers_total{kind=\"cache_reset\"}"), 0);
  ExpectTable(bird, table, "after the restart");
}

// Restarts, in order and by a kill, while the table is looked at all the time: it never has less, and the router is
// never told that what came was corrupt (error 0).
TEST_F(RtrBridge, ARestartTakesNothingFromARouter) {
  const RtrTable table = MakeRtrTable(kVrps);
  Bird bird(false);
  ASSERT_NO_FATAL_FAILURE(StartWith(lab_, bird, table));
  std::atomic<int> looks{0}, fewer{0};
  {
    const std::jthread looking([&](const std::stop_token& stop) {
      for (; !stop.stop_requested(); std::this_thread::sleep_for(std::chrono::milliseconds(100))) {
        ++looks;
        if (bird.Table() != table) ++fewer;
      }
    });
    for (const bool kill : {false, true, false}) {
      if (kill) {
        lab_.Kill();
      } else {
        ASSERT_OK(lab_.Stop());
      }
      ASSERT_OK(lab_.Start());
      ASSERT_TRUE(Eventually([&] { return lab_.Metric("virp_rtr_bridge_answers_total{kind=\"incremental\"}") >= 1; }));
      const int before = looks;
      ASSERT_TRUE(Eventually([&] { return looks > before + 2; }));
    }
  }
  EXPECT_EQ(fewer, 0) << "of " << looks;
  EXPECT_THAT(bird.log(), ::testing::Not(::testing::HasSubstr("Corrupt")));
  std::cout << looks << " looks at the router's table\n";
}

// How often the log has the line, with all of these in it.
std::size_t LinesWith(const std::string& log, const std::vector<std::string>& words) {
  std::istringstream lines(log);
  std::size_t found = 0;
  for (std::string line; std::getline(lines, line);) {
    found += std::all_of(words.begin(), words.end(),
                         [&](const std::string& word) { return line.find(word) != std::string::npos; })
                 ? 1
                 : 0;
  }
  return found;
}

TEST_F(RtrBridge, BadDataLeaveWhatIsServed) {
  const RtrTable table = MakeRtrTable(kVrps);
  lab_.Write(table);
  ASSERT_OK(lab_.Start());
  const std::string source = lab_.File("vrps.json");
  const std::string failed = "virp_rtr_bridge_source_failures_total{reason=\"BAD_DATA\",source=\"" + source + "\"}";
  double failures = 0;
  for (const std::string& bad :
       {std::string("{\"roas\": [{\"prefix\": \"192.0.2.0/24\""),
        std::string(R"({"roas": [{"prefix": "192.0.2.0/33", "asn": 1}]})"),
        std::string(R"({"roas": [{"prefix": "192.0.2.0/24", "asn": 4294967296}]})"),
        std::string(R"({"roas": [{"prefix": "192.0.2.0/24", "prefix": "10.0.0.0/8", "asn": 1}]})"),
        std::string("\xff\xfe"), std::string(200'000, '['), std::string(R"({"roas": 1})")}) {
    const std::size_t lines = LinesWith(lab_.log(), {"a source could not be read", source, "BAD_DATA"});
    lab_.WriteText(bad);
    lab_.Hangup();
    EXPECT_TRUE(Eventually([&] { return lab_.Metric(failed) > failures; })) << bad.substr(0, 60);
    EXPECT_GT(LinesWith(lab_.log(), {"a source could not be read", source, "BAD_DATA"}), lines) << bad.substr(0, 60);
    failures = lab_.Metric(failed);
    EXPECT_EQ(RtrClientTable("tcp 127.0.0.1 " + std::to_string(lab_.tcp_port())), table) << bad.substr(0, 60);
  }
}

TEST_F(RtrBridge, SlurmFilesThatOverlapLeaveTheLastGoodOnes) {
  const auto write = [&](const std::string& name, const std::string& filtered) {
    std::ofstream(lab_.File(name))
        << R"({"slurmVersion": 1, "validationOutputFilters": {"prefixFilters": [{"prefix": ")" << filtered
        << R"("}], "bgpsecFilters": []}, "locallyAddedAssertions":
                                   {"prefixAssertions": [], "bgpsecAssertions": []}})";
  };
  write("one", "10.1.0.0/16");
  write("two", "10.2.0.0/16");
  lab_.Write({"10.1.2.0/24 24 1", "10.2.2.0/24 24 2", "10.3.3.0/24 24 3"});
  const RtrTable left{"10.3.3.0/24 24 3"};
  ASSERT_OK(lab_.Start({"--slurm", lab_.File("one"), "--slurm", lab_.File("two")}));
  const auto table = [&] { return RtrClientTable("tcp 127.0.0.1 " + std::to_string(lab_.tcp_port())); };
  EXPECT_EQ(table(), left);
  write("two", "10.0.0.0/8");
  lab_.Hangup();
  EXPECT_TRUE(Eventually([&] { return lab_.Metric("virp_rtr_bridge_slurm_failed") == 1; }));
  EXPECT_GE(LinesWith(lab_.log(), {"the SLURM files could not be read", lab_.File("two")}), 1U) << lab_.log();
  EXPECT_EQ(table(), left);
  write("two", "10.3.0.0/16");
  lab_.Hangup();
  EXPECT_TRUE(Eventually([&] { return lab_.Metric("virp_rtr_bridge_slurm_failed") == 0; }));
  EXPECT_TRUE(Eventually([&] { return table() == RtrTable{"10.2.2.0/24 24 2"}; }));
}

}  // namespace
}  // namespace virp::testutil
