// virpctl's RTR tools against the real bridge and Debian's stayrtr, beside StayRTR's own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/interop/rtr_routers.h"
#include "tests/testutil/program.h"
#include "tests/testutil/shell.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/wait.h"

namespace virp::testutil {
namespace {

using testing::HasSubstr;

constexpr std::size_t kVrps = 400;

// Two VRPs beside those of the table, a router key and an ASPA, as validators write them.
std::string Export() {
  return R"({"metadata": {"buildtime": "2026-11-01T00:00:00Z"}, "roas": [
    {"asn": 64496, "prefix": "192.0.2.0/24", "maxLength": 24, "ta": "x"},
    {"asn": 64497, "prefix": "2001:db8::/32", "maxLength": 48, "ta": "x"}],
    "bgpsec_keys": [{"asn": 64498, "ski": "80a6b49a094f9dfb4b2399bacdf0b0e4e97a6637",
    "pubkey": "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEbuxxw2vGkaSIEbu3Q8uHvW0mwx1kGrJLo1URAqG9jybEMmDJ2NH6gwpE8jF8Cv7nrK+3ZOCsTUYSZIT7yCt8NA=="}],
    "aspas": [{"customer_asid": 64499, "providers": [64500, 64501]}]})";
}

class VirpctlRtr : public ::testing::Test {
 protected:
  ProgramResult Ctl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), VIRPCTL);
    return RunProgram(arguments, {"HOME=" + dir_.path()});
  }
  nlohmann::json Dump(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"rtr", "dump"});
    const ProgramResult result = Ctl(std::move(arguments));
    EXPECT_EQ(result.exit, 0) << result.err;
    return nlohmann::json::parse(result.out, nullptr, /*allow_exceptions=*/false);
  }
  static RtrTable TableOf(const nlohmann::json& dump) {
    RtrTable table;
    if (!dump.contains("roas")) return table;
    for (const auto& roa : dump["roas"])
      table.insert(roa["prefix"].get<std::string>() + " " + std::to_string(roa["maxLength"].get<int>()) + " " +
                   std::to_string(roa["asn"].get<std::uint32_t>()));
    return table;
  }
  // Of a file that only we may read.
  std::string Secret(const std::string& name, const std::string& text) {
    std::ofstream(dir_.File(name)) << text << "\n";
    std::filesystem::permissions(dir_.File(name), std::filesystem::perms::owner_read);
    return dir_.File(name);
  }

  TempDir dir_;
  RtrLab lab_;
};

TEST_F(VirpctlRtr, DumpsOverEveryTransport) {
  const RtrTable table = MakeRtrTable(kVrps);
  lab_.Write(table);
  ASSERT_OK(lab_.Start());
  const std::string tls = "tls://" + lab_.tls(), ssh = "ssh://rpki@" + lab_.ssh();
  EXPECT_EQ(TableOf(Dump({"tcp://" + lab_.tcp()})), table);
  EXPECT_EQ(TableOf(Dump({lab_.tcp(), "--strict"})), table);
  EXPECT_EQ(TableOf(Dump({tls, "--ca", lab_.File("tls.crt")})), table);
  EXPECT_EQ(TableOf(Dump({tls, "--ca", lab_.File("tls.crt"), "--server-name", "localhost"})), table);
  EXPECT_EQ(TableOf(Dump({tls, "--insecure"})), table);
  const std::string password = Secret("password", "secret"), wrong = Secret("wrong", "wrong");
  const std::vector<std::string> known{"--known-hosts", lab_.known_hosts()};
  EXPECT_EQ(TableOf(Dump({ssh, "--ssh-key", lab_.client_key(), known[0], known[1]})), table);
  EXPECT_EQ(TableOf(Dump({ssh, "--ssh-key", lab_.rsa_key(), known[0], known[1]})), table);
  EXPECT_EQ(TableOf(Dump({ssh, "--ssh-password", password, known[0], known[1]})), table);
  EXPECT_EQ(TableOf(Dump({ssh, "--ssh-password", password, "--insecure"})), table);

  const auto refused = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"rtr", "dump"});
    const ProgramResult result = Ctl(std::move(arguments));
    EXPECT_EQ(result.exit, 2);
    EXPECT_EQ(result.out, "");
    return result.err;
  };
  EXPECT_THAT(refused({tls}), HasSubstr("server certificate"));
  EXPECT_THAT(refused({tls, "--ca", lab_.File("tls.crt"), "--server-name", "cache.example.net"}),
              HasSubstr("hostname mismatch"));
  EXPECT_THAT(refused({ssh, "--ssh-password", password}), HasSubstr("SSH key is not in the known hosts"));
  EXPECT_THAT(refused({ssh, "--ssh-password", wrong, known[0], known[1]}), HasSubstr("does not let us in"));
  EXPECT_THAT(refused({ssh, known[0], known[1]}), HasSubstr("--ssh-key or --ssh-password"));
  EXPECT_THAT(refused({"ssh://rpki@" + lab_.tcp(), "--insecure", "--ssh-password", password, "--timeout", "1"}),
              HasSubstr("ssh"));
  EXPECT_THAT(refused({"tls://" + lab_.ssh(), "--insecure"}), HasSubstr("TLS handshake failed"));
}

TEST_F(VirpctlRtr, ShowsACertificateWhereTheCacheWantsOne) {
  const RtrTable table = MakeRtrTable(10);
  lab_.Write(table);
  ASSERT_OK(lab_.Start({"--rtr-tls-router-certificates", "required", "--rtr-tls-roots", lab_.File("tls.crt")}));
  const std::vector<std::string> dump{"tls://" + lab_.tls(), "--ca", lab_.File("tls.crt")};
  std::vector<std::string> shown = dump;
  shown.insert(shown.end(), {"--certificate", lab_.File("tls.crt"), "--key", lab_.File("tls.key")});
  EXPECT_EQ(TableOf(Dump(shown)), table);
  EXPECT_EQ(Ctl({"rtr", "dump", dump[0], dump[1], dump[2]}).exit, 2);
}

TEST_F(VirpctlRtr, DumpsWhatEachVersionCarriesAndWhatChanged) {
  lab_.WriteText(Export());
  ASSERT_OK(lab_.Start());
  const nlohmann::json two = Dump({lab_.tcp()});
  EXPECT_EQ(two["metadata"]["rtr_version"], 2);
  EXPECT_EQ(two["roas"].size(), 2U);
  ASSERT_EQ(two["bgpsec_keys"].size(), 1U);
  EXPECT_EQ(two["bgpsec_keys"][0]["ski"], "80a6b49a094f9dfb4b2399bacdf0b0e4e97a6637");
  ASSERT_EQ(two["aspas"].size(), 1U);
  EXPECT_EQ(two["aspas"][0]["providers"], nlohmann::json({64500, 64501}));
  const nlohmann::json one = Dump({lab_.tcp(), "--max-version", "1"});
  EXPECT_EQ(one["metadata"]["rtr_version"], 1);
  EXPECT_EQ(one["bgpsec_keys"].size(), 1U);
  EXPECT_TRUE(one["aspas"].empty());
  EXPECT_TRUE(Dump({lab_.tcp(), "--max-version", "0"})["bgpsec_keys"].empty());

  const std::string session = std::to_string(two["metadata"]["sessionid"].get<int>());
  const std::string serial = std::to_string(two["metadata"]["serial"].get<int>());
  lab_.WriteText(R"({"roas": [{"asn": 64496, "prefix": "192.0.2.0/24", "maxLength": 24},
    {"asn": 64511, "prefix": "198.51.100.0/24"}]})");
  lab_.Hangup();
  ASSERT_TRUE(Eventually([&] { return lab_.Metric("virp_rtr_bridge_generation") == 2; }));
  const nlohmann::json delta = Dump({lab_.tcp(), "--session", session, "--serial", serial});
  ASSERT_EQ(delta["announced"].size(), 1U);
  EXPECT_EQ(delta["announced"][0]["prefix"], "198.51.100.0/24");
  EXPECT_EQ(delta["withdrawn"].size(), 3U);
  const ProgramResult unknown = Ctl({"rtr", "dump", lab_.tcp(), "--session", session, "--serial", "4000000000"});
  EXPECT_EQ(unknown.exit, 2);
  EXPECT_THAT(unknown.err, HasSubstr("Cache Reset"));
}

TEST_F(VirpctlRtr, SaysTheSameAsRtrdumpOfEitherCache) {
  lab_.WriteText(Export());
  ASSERT_OK(lab_.Start());
  const ReservedPort port;
  Process stayrtr;
  stayrtr.options() = {.command = {"/usr/bin/stayrtr", "-bind", port.address(), "-metrics.addr", "", "-checktime=false",
                                   "-cache", lab_.File("vrps.json")},
                       .log = dir_.File("stayrtr")};
  ASSERT_OK(stayrtr.Start());
  for (const std::string& cache : {lab_.tcp(), port.address()}) {
    const std::string file = dir_.File("rtrdump.json");
    ASSERT_TRUE(Eventually([&] {
      std::filesystem::remove(file);
      OutputOf("timeout 20 rtrdump -rtr.version 1 -connect " + cache + " -file " + file);
      const auto theirs = nlohmann::json::parse(FileText(file), nullptr, false);
      return !theirs.is_discarded() && theirs["roas"].size() == 2;
    })) << cache;
    const nlohmann::json theirs = nlohmann::json::parse(FileText(file));
    const nlohmann::json ours = Dump({cache, "--max-version", "1"});
    const auto roas = [](const nlohmann::json& dump) {
      std::set<std::string> out;
      for (const auto& roa : dump["roas"]) {
        // StayRTR writes a number or "AS64496", by its version.
        const std::string as = roa["asn"].is_string() ? roa["asn"].get<std::string>() : "AS" + roa["asn"].dump();
        out.insert(roa["prefix"].get<std::string>() + " " + roa["maxLength"].dump() + " " + as);
      }
      return out;
    };
    EXPECT_EQ(roas(ours), roas(theirs)) << cache;
    ASSERT_EQ(ours["bgpsec_keys"].size(), 1U) << cache;
    ASSERT_EQ(theirs["bgpsec_keys"].size(), 1U) << cache;
    EXPECT_EQ(ours["bgpsec_keys"][0]["pubkey"], theirs["bgpsec_keys"][0]["pubkey"]) << cache;
    EXPECT_EQ(ours["bgpsec_keys"][0]["asn"], theirs["bgpsec_keys"][0]["asn"]) << cache;
  }
  // And of each other they say: no difference but the ASPA that version 1 has not.
  const ProgramResult same = Ctl({"rtr", "monitor", lab_.tcp(), port.address(), "--once", "--primary-max-version", "1",
                                  "--secondary-max-version", "1"});
  EXPECT_EQ(same.exit, 0) << same.out << same.err;
  EXPECT_EQ(Ctl({"rtr", "monitor", lab_.tcp(), port.address(), "--once", "--secondary-max-version", "1"}).exit, 1);
  const ProgramResult strict = Ctl({"rtr", "dump", port.address(), "--max-version", "1", "--strict"});
  EXPECT_EQ(strict.exit, 0) << strict.err;
}

TEST_F(VirpctlRtr, MonitorsTwoCachesForGood) {
  lab_.Write(MakeRtrTable(20));
  ASSERT_OK(lab_.Start());
  std::ofstream(dir_.File("other.json")) << RtrTableJson(MakeRtrTable(20));
  Program monitor(
      {VIRPCTL, "rtr", "monitor", lab_.tcp(), dir_.File("other.json"), "--interval", "1s", "--listen", "127.0.0.1:0",
       "--grace", "0s", "--threshold", "0", "--threshold", "1000000", "--save", dir_.File("diff.json")},
      {"HOME=" + dir_.path()});
  ASSERT_TRUE(Eventually([&] { return monitor.err().find("/metrics") != std::string::npos; })) << monitor.err();
  const std::string said = monitor.err();
  const std::size_t at = said.find("http://");
  const std::string metrics = said.substr(at, said.find("/metrics") - at) + "/metrics";
  const auto shows = [&](const std::string& line) {
    return Eventually([&] { return OutputOf("curl -s " + metrics).find(line) != std::string::npos; });
  };
  const std::string side = "{server=\"primary\",url=\"" + lab_.tcp() + "\"";
  EXPECT_TRUE(shows("rpki_vrps" + side + ",type=\"total\"} 20\n"));
  EXPECT_TRUE(shows("rpki_vrps" + side + ",type=\"diff\"} 0\n"));
  lab_.Write(MakeRtrTable(25));
  lab_.Hangup();
  EXPECT_TRUE(shows("rpki_vrps" + side + ",type=\"diff\"} 5\n"));
  EXPECT_TRUE(shows("visibility_seconds=\"0\"} 5\n"));
  EXPECT_TRUE(shows("visibility_seconds=\"1000000\"} 0\n"));
  EXPECT_TRUE(Eventually([&] {
    const auto diff = nlohmann::json::parse(FileText(dir_.File("diff.json")), nullptr, false);
    return !diff.is_discarded() && diff["only-primary"].size() == 5;
  }));
  EXPECT_EQ(lab_.Metric("virp_rtr_bridge_connections_opened_total"), 1) << "one session for all readings";
  lab_.Kill();
  EXPECT_TRUE(shows("rtr_state" + side + "} 0\n"));
  EXPECT_TRUE(shows("rpki_vrps" + side + ",type=\"total\"} 25\n")) << "the last data stay";
  monitor.Signal(SIGTERM);
  EXPECT_EQ(monitor.Wait().exit, 0);
}

TEST_F(VirpctlRtr, ValidatesRoutesOfACommandLineAndOfAFile) {
  lab_.WriteText(Export());
  ASSERT_OK(lab_.Start());
  const ProgramResult valid = Ctl({"rtr", "validate", "192.0.2.0/24", "AS64496", "--from", lab_.tcp()});
  EXPECT_EQ(valid.exit, 0) << valid.err;
  EXPECT_THAT(valid.out, HasSubstr("192.0.2.0/24-24 AS64496"));
  EXPECT_EQ(Ctl({"rtr", "validate", "192.0.2.0/25", "64496", "--from", lab_.tcp()}).exit, 1);
  EXPECT_EQ(Ctl({"rtr", "validate", "198.51.100.0/24", "64496", "--from", lab_.File("vrps.json")}).exit, 3);
  std::ofstream lines(dir_.File("routes"));
  for (int i = 0; i < 1'500; ++i) lines << "2001:db8:" << std::hex << i << std::dec << "::/48 64497\n";
  lines << "AS64497,2001:db8::/32  # the other way round\n";
  lines.close();
  const std::string command =
      std::string(VIRPCTL) + " rtr validate - --output json --from " + lab_.tcp() + " < " + dir_.File("routes");
  const std::string out = OutputOf("HOME=" + dir_.path() + " " + command);
  std::istringstream answers(out);
  std::size_t routes = 0, batches = 0;
  for (std::string line; std::getline(answers, line); ++batches) {
    const nlohmann::json answer = nlohmann::json::parse(line);
    for (const auto& validity : answer["validities"]) {
      ++routes;
      EXPECT_EQ(validity["state"], "VALIDITY_STATE_VALID");
    }
  }
  EXPECT_EQ(routes, 1'501U);
  EXPECT_EQ(batches, 2U);
}

TEST_F(VirpctlRtr, ManyRoutersAtOneCache) {
  lab_.Write(MakeRtrTable(kVrps));
  ASSERT_OK(lab_.Start());
  Program bench({VIRPCTL, "rtr", "bench", lab_.tcp(), "--routers", "50", "--refreshes", "1", "--output", "json"},
                {"HOME=" + dir_.path()});
  ASSERT_TRUE(Eventually([&] { return lab_.Metric("virp_rtr_bridge_answers_total{kind=\"full\"}") >= 51; }));
  lab_.Write(MakeRtrTable(kVrps + 10));
  lab_.Hangup();
  const ProgramResult result = bench.Wait();
  EXPECT_EQ(result.exit, 0) << result.err << result.out;
  const nlohmann::json said = nlohmann::json::parse(result.out);
  EXPECT_EQ(said["records"], std::to_string(kVrps));
  EXPECT_EQ(said["failed"], 0);
  EXPECT_EQ(said["refreshes"][0]["changes"], "10");
}

}  // namespace
}  // namespace virp::testutil
