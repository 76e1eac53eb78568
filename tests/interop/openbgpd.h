// OpenBGPD as a follower of an RTR cache. It never shows what it was told, only how many prefixes that is; so a BIRD
// beside it announces routes that tell sets apart, and what is compared is how OpenBGPD judges each of them, and the
// counts.
#pragma once

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/ip.h"
#include "lib/base/status.h"
#include "lib/vrp/json.h"
#include "lib/vrp/validate.h"
#include "tests/interop/rtr_routers.h"
#include "tests/testutil/must.h"

namespace virp::testutil {

// Its folder for chroot, /run/openbgpd, is made when it is not there, as its package does at boot; it needs root.
class OpenBgpd final : public Router {
 public:
  // `tables`: all that it will be told in this test.
  explicit OpenBgpd(const std::vector<RtrTable>& tables) {
    for (const RtrTable& table : tables) {
      for (const std::string& vrp : table) AddProbes(vrp);
    }
  }

  absl::Status Start(const RtrLab& lab) override {
    std::filesystem::create_directories("/run/openbgpd");
    std::ofstream config(dir_.File("bgpd.conf"));
    config << "AS 65001\nrouter-id 127.0.0.12\nlisten on 127.0.0.1 port " << bgp_.port() << "\nfib-update no\nsocket \""
           << dir_.File("ctl") << "\"\nrtr 127.0.0.1 {\n descr \"cache\"\n port " << lab.tcp_port() << "\n}\n"
           << "neighbor 127.0.0.1 {\n remote-as 65009\n multihop 5\n passive\n announce IPv6 unicast\n"
           << " announce IPv4 unicast\n announce add-path recv yes\n}\nallow from any\ndeny to any\n";
    config.close();
    std::filesystem::permissions(dir_.File("bgpd.conf"), std::filesystem::perms(0600));  // it insists
    process_.options() = {.command = {"/usr/sbin/bgpd", "-d", "-f", dir_.File("bgpd.conf")}, .log = dir_.File("log")};
    RETURN_IF_ERROR(process_.Start());
    return StartProbes();
  }

  // "PREFIX AS STATE" for each probe, and "IPv4 prefixes N", "IPv6 prefixes N".
  RtrTable Table() override {
    RtrTable out;
    std::istringstream rib(OutputOf("bgpctl -s " + dir_.File("ctl") + " show rib"));
    const std::regex route(R"(\S+ +([NV!]) (\S+) .* 65009 ([0-9]+) \S)");
    std::smatch at;
    for (std::string line; std::getline(rib, line);) {
      if (std::regex_search(line, at, route)) out.insert(Judgement(at[2], at[3], at[1]));
    }
    const std::string sets = OutputOf("bgpctl -s " + dir_.File("ctl") + " show sets");
    const bool any = std::regex_search(sets, at, std::regex(R"(ROA +RPKI ROA +([0-9]+) +([0-9]+) )"));
    out.insert("IPv4 prefixes " + (any ? at[1].str() : "0"));
    out.insert("IPv6 prefixes " + (any ? at[2].str() : "0"));
    return out;
  }

  RtrTable View(const RtrTable& table) const override {
    const auto set = std::make_shared<vrp::Payloads>(Must(vrp::DecodeJson(RtrTableJson(table))).payloads);
    const vrp::RouteValidator validator(set);
    RtrTable out;
    for (const auto& [prefix, as] : probes_) {
      const vrp::RouteState state = validator.Check(Must(Prefix::Parse(prefix)), as).state;
      out.insert(Judgement(prefix, std::to_string(as),
                           state == vrp::RouteState::kValid      ? "V"
                           : state == vrp::RouteState::kNotFound ? "N"
                                                                 : "!"));
    }
    std::set<std::string> prefixes4, prefixes6;
    for (const std::string& vrp : table) {
      (vrp.find(':') == std::string::npos ? prefixes4 : prefixes6).insert(vrp.substr(0, vrp.find(' ')));
    }
    out.insert(fmt::format("IPv4 prefixes {}", prefixes4.size()));
    out.insert(fmt::format("IPv6 prefixes {}", prefixes6.size()));
    return out;
  }

  // Sessions that it ended, and its reasons.
  std::string Complaints() const {
    std::string out;
    std::istringstream lines(process_.log());
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("rtr cache:") && line.find("error") != std::string::npos) out += line + "\n";
    }
    return out;
  }

 private:
  static std::string Judgement(const std::string& prefix, const std::string& as, const std::string& state) {
    return prefix + " AS" + as + " " + state;
  }

  // Routes that this VRP is needed for: its own, its longest, and one that is too long for it.
  void AddProbes(const std::string& vrp) {
    std::istringstream words(vrp);
    std::string text;
    int longest = 0;
    std::uint32_t as = 0;
    words >> text >> longest >> as;
    const std::string address = text.substr(0, text.find('/'));
    const int length = std::stoi(text.substr(address.size() + 1));
    for (const int probe : {length, longest, longest + 1}) {
      if (probe <= (address.find(':') == std::string::npos ? 32 : 128))
        probes_.insert({fmt::format("{}/{}", address, probe), as});
    }
  }

  // A table of BIRD has one route of each static protocol for a prefix: as many protocols as a prefix has origins.
  absl::Status StartProbes() {
    std::map<std::string, int> origins;
    std::map<int, std::string> layers4, layers6;
    for (const auto& [prefix, as] : probes_) {
      (prefix.find(':') == std::string::npos ? layers4 : layers6)[origins[prefix]++] +=
          fmt::format("  route {} blackhole {{ bgp_path.prepend({}); }};\n", prefix, as);
    }
    std::ofstream config(dir_.File("bird.conf"));
    config << "router id 127.0.0.9;\nlog \"" << dir_.File("bird.log") << "\" all;\nprotocol device { }\n";
    for (const auto& [layer, routes] : layers4) config << "protocol static {\n  ipv4;\n" << routes << "}\n";
    for (const auto& [layer, routes] : layers6) config << "protocol static {\n  ipv6;\n" << routes << "}\n";
    config << "protocol bgp {\n  local 127.0.0.1 port " << bird_bgp_.port() << " as 65009;\n  neighbor 127.0.0.1 port "
           << bgp_.port() << " as 65001;\n  multihop;\n"
           << "  connect delay time 1;\n  connect retry time 1;\n  error wait time 1, 1;\n"
           << "  ipv4 { add paths tx; export all; import none; next hop address 192.0.2.1; };\n"
           << "  ipv6 { add paths tx; export all; import none; next hop address 2001:db8:ffff::1; };\n}\n";
    config.close();
    bird_.options() = {.command = {"/usr/sbin/bird", "-f", "-c", dir_.File("bird.conf"), "-s", dir_.File("bird.ctl"),
                                   "-P", dir_.File("bird.pid")},
                       .log = dir_.File("bird.out")};
    return bird_.Start();
  }

  std::set<std::pair<std::string, std::uint32_t>> probes_;
  TempDir dir_;
  ReservedPort bgp_, bird_bgp_;
  Process process_, bird_;
};

}  // namespace virp::testutil
