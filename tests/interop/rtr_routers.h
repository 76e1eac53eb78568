// Real routers that follow an RTR cache on the loopback, and the tables that they have: BIRD, FRR, GoBGP,
// rtrclient, rtrdump.
#pragma once

#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "tests/testutil/frr_lab.h"
#include "tests/testutil/process.h"
#include "tests/testutil/reserved_port.h"
#include "tests/testutil/rtr_lab.h"
#include "tests/testutil/shell.h"
#include "tests/testutil/temp_dir.h"

namespace virp::testutil {

// A router that keeps its session. Used by the test's main thread.
class Router {
 public:
  virtual ~Router() = default;
  virtual absl::Status Start(const RtrLab& lab) = 0;
  virtual RtrTable Table() = 0;
  // What Table() should be when the cache has this one.
  virtual RtrTable View(const RtrTable& table) const { return table; }
  // Whether it stays connected; else it comes anew for each Table().
  virtual bool stays() const { return true; }
};

// Each match of three groups (prefix, longest length, AS) of the text is a VRP.
inline RtrTable Matches(const std::string& text, const std::string& pattern) {
  RtrTable table;
  const std::regex vrp(pattern);
  for (std::sregex_iterator at(text.begin(), text.end(), vrp), end; at != end; ++at)
    table.insert((*at)[1].str() + " " + (*at)[2].str() + " " + (*at)[3].str());
  return table;
}

class Bird final : public Router {
 public:
  explicit Bird(bool ssh, std::string key = "client_key") : ssh_(ssh), key_(std::move(key)) {}

  absl::Status Start(const RtrLab& lab) override {
    std::ofstream config(dir_.File("bird.conf"));
    config << "router id 127.0.0.9;\nlog \"" << dir_.File("log") << "\" all;\nroa4 table r4;\nroa6 table r6;\n"
           << "protocol device { }\nprotocol rpki cache {\n  debug all;\n  roa4 { table r4; };\n  roa6 { table r6; };\n"
           << "  remote 127.0.0.1 port " << (ssh_ ? lab.ssh_port() : lab.tcp_port()) << ";\n  retry keep 1;\n";
    if (ssh_) {
      config << "  transport ssh { bird private key \"" << lab.File(key_) << "\"; remote public key \""
             << lab.known_hosts() << "\"; user \"rpki\"; };\n";
    } else {
      config << "  transport tcp;\n";
    }
    config << "}\n";
    config.close();
    process_.options() = {.command = {"/usr/sbin/bird", "-f", "-c", dir_.File("bird.conf"), "-s", dir_.File("ctl"),
                                      "-P", dir_.File("pid")},
                          .log = dir_.File("output")};
    return process_.Start();
  }
  RtrTable Table() override {
    RtrTable table;
    for (const char* name : {"r4", "r6"}) {
      const std::string text = OutputOf("birdc -s " + dir_.File("ctl") + " show route table " + name);
      table.merge(Matches(text, R"(([0-9a-f.:]+/[0-9]+)-([0-9]+) AS([0-9]+))"));
    }
    return table;
  }
  std::string log() const {
    std::ifstream file(dir_.File("log"));
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

 private:
  const bool ssh_;
  const std::string key_;
  TempDir dir_;
  Process process_;
};

class Frr final : public Router {
 public:
  absl::Status Start(const RtrLab& lab) override {
    FrrOptions options;
    options.name = "rtr-client";
    options.address = "127.0.0.11";
    options.module = "rpki";
    options.config = {
        "rpki",  " rpki retry_interval 1", " rpki cache 127.0.0.1 " + std::to_string(lab.tcp_port()) + " preference 1",
        " exit", "router bgp 65001",       " bgp router-id 127.0.0.11"};
    daemon_ = std::make_unique<FrrDaemon>(std::move(options));
    return daemon_->Start();
  }
  RtrTable Table() override {
    const auto text = daemon_->Show("show rpki prefix-table");
    RtrTable table;
    if (!text.ok()) return table;
    const std::regex line(R"(([0-9a-f.:]+) +([0-9]+) +- +([0-9]+) +([0-9]+))");
    for (std::sregex_iterator at(text->begin(), text->end(), line), end; at != end; ++at)
      table.insert((*at)[1].str() + "/" + (*at)[2].str() + " " + (*at)[3].str() + " " + (*at)[4].str());
    return table;
  }

 private:
  std::unique_ptr<FrrDaemon> daemon_;
};

class GoBgp final : public Router {
 public:
  absl::Status Start(const RtrLab& lab) override {
    std::ofstream(dir_.File("gobgpd.toml"))
        << "[global.config]\n  as = 65001\n  router-id = \"127.0.0.10\"\n  port = -1\n[[rpki-servers]]\n"
        << "  [rpki-servers.config]\n    address = \"127.0.0.1\"\n    port = " << lab.tcp_port() << "\n";
    process_.options() = {
        .command = {"/usr/bin/gobgpd", "-t", "toml", "-f", dir_.File("gobgpd.toml"), "--api-hosts", api_.address()},
        .log = dir_.File("output")};
    return process_.Start();
  }
  RtrTable Table() override {
    RtrTable table;
    for (const char* family : {"ipv4", "ipv6"}) {
      const std::string text = OutputOf("gobgp -p " + std::to_string(api_.port()) + " rpki table -a " + family);
      table.merge(Matches(text, R"(([0-9a-f.:]+/[0-9]+) +([0-9]+) +([0-9]+))"));
    }
    return table;
  }

 private:
  TempDir dir_;
  ReservedPort api_;
  Process process_;
};

// rtrlib's client, which prints each change: the table is what these lines come to. A line that does not fit what was
// said before is in the table as it is.
class RtrClient final : public Router {
 public:
  explicit RtrClient(bool ssh) : ssh_(ssh) {}

  absl::Status Start(const RtrLab& lab) override {
    std::vector<std::string> command = {"/usr/bin/stdbuf", "-oL", "/usr/bin/rtrclient", "-p"};
    if (ssh_) {
      command.insert(command.end(),
                     {"ssh", "127.0.0.1", std::to_string(lab.ssh_port()), "rpki", lab.client_key(), lab.known_hosts()});
    } else {
      command.insert(command.end(), {"tcp", "127.0.0.1", std::to_string(lab.tcp_port())});
    }
    process_.options() = {.command = std::move(command), .log = dir_.File("log")};
    return process_.Start();
  }
  RtrTable Table() override {
    RtrTable table;
    const std::string log = process_.log();
    const std::regex change(R"(([+-]) ([0-9a-f.:]+) +([0-9]+) - +([0-9]+) +([0-9]+))");
    for (std::sregex_iterator at(log.begin(), log.end(), change), end; at != end; ++at) {
      const std::string vrp = (*at)[2].str() + "/" + (*at)[3].str() + " " + (*at)[4].str() + " " + (*at)[5].str();
      const bool fits = (*at)[1] == "+" ? table.insert(vrp).second : table.erase(vrp) == 1;
      if (!fits) table.insert(at->str());
    }
    return table;
  }

 private:
  const bool ssh_;
  TempDir dir_;
  Process process_;
};

// What rtrclient has when it has synchronised, as CSV: prefix, length, longest length, AS.
inline RtrTable RtrClientTable(const std::string& arguments) {
  TempDir dir;
  const std::string out = dir.File("out.csv");
  OutputOf("timeout 20 rtrclient -e -t csv -o " + out + " " + arguments);
  RtrTable table;
  std::ifstream file(out);
  const std::regex row(R"re("?([0-9a-f.:]+)"?, *"?([0-9]+)"?, *"?([0-9]+)"?, *"?([0-9]+)"?.*)re");
  for (std::string line; std::getline(file, line);) {
    std::smatch at;
    if (std::regex_match(line, at, row))
      table.insert(at[1].str() + "/" + at[2].str() + " " + at[3].str() + " " + at[4].str());
  }
  return table;
}

// What StayRTR's rtrdump writes, the JSON of exports.
inline RtrTable RtrDumpTable(const std::string& arguments) {
  TempDir dir;
  const std::string out = dir.File("out.json");
  OutputOf("timeout 20 rtrdump -file " + out + " " + arguments);
  std::ifstream file(out);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return Matches(text, R"re("prefix": ?"([^"]+)",\s*"maxLength": ?([0-9]+),\s*"asn": ?"?(?:AS)?([0-9]+))re");
}

// rtrdump as a router that comes anew each time; `how` makes its arguments.
class RtrDump final : public Router {
 public:
  using Arguments = std::function<std::string(const RtrLab&)>;
  explicit RtrDump(Arguments how) : how_(std::move(how)) {}

  absl::Status Start(const RtrLab& lab) override {
    arguments_ = "-rtr.version 1 " + how_(lab);
    return absl::OkStatus();
  }
  RtrTable Table() override { return RtrDumpTable(arguments_); }
  bool stays() const override { return false; }

 private:
  const Arguments how_;
  std::string arguments_;
};

}  // namespace virp::testutil
