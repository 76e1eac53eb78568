#include "tests/testutil/rtr_lab.h"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "lib/base/file.h"
#include "lib/base/status.h"
#include "tests/testutil/shell.h"
#include "tests/testutil/wait.h"

namespace virp::testutil {
namespace {

constexpr const char* kBridge = VIRP_BINARY_DIR "/services/rtr-bridge/virp-rtr-bridge";

// What a test does not say otherwise.
constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kUsual{{
    {"--source-max-age", "0"},
    {"--max-drop", "100%"},
    {"--generation-interval", "0"},
    {"--notify-interval", "0"},
    {"--rtr-retry", "1"},  // what rtrlib waits before it connects again
}};

absl::Status Shell(const std::string& command) {
  const CommandResult result = RunCommand(command);
  if (result.status == 0) return absl::OkStatus();
  return Unavailable("{} ended with {}: {}", command, result.status, result.output);
}

}  // namespace

RtrTable MakeRtrTable(std::size_t vrps, unsigned seed) {
  RtrTable table;
  for (unsigned i = 0; table.size() < vrps; ++i) {
    const unsigned as = 64'496 + i % 500 + (i % 7 == 0 ? seed * 1'000 : 0);
    if (i % 2 == 0) {
      const unsigned length = 16 + i % 9;
      const std::uint32_t address = (10U << 24 | i << 8) & (~0U << (32 - length));
      table.insert(fmt::format("{}.{}.{}.{}/{} {} {}", address >> 24, address >> 16 & 255, address >> 8 & 255,
                               address & 255, length, std::min(length + i % 4, 32U), as));
    } else {
      table.insert(fmt::format("2001:db8:{:x}::/48 {} {}", i + 1, 48 + i % 17, as));
    }
  }
  return table;
}

std::string RtrTableJson(const RtrTable& table) {
  std::string json = "{\"roas\": [";
  for (const std::string& line : table) {
    std::istringstream words(line);
    std::string prefix, max_length, as;
    words >> prefix >> max_length >> as;
    if (!json.ends_with('[')) json += ",\n";
    json += fmt::format(R"({{"prefix": "{}", "maxLength": {}, "asn": "AS{}"}})", prefix, max_length, as);
  }
  return json + "]}\n";
}

RtrLab::RtrLab() = default;

absl::Status RtrLab::MakeKeys() {
  const std::string at = dir_.path() + "/";
  RETURN_IF_ERROR(Shell("ssh-keygen -q -t ed25519 -N '' -f " + at + "host_key"));
  RETURN_IF_ERROR(Shell("ssh-keygen -q -t ed25519 -N '' -f " + at + "client_key"));
  RETURN_IF_ERROR(Shell("ssh-keygen -q -t rsa -b 2048 -m PEM -N '' -f " + at + "rsa_key"));
  RETURN_IF_ERROR(Shell("for key in client_key rsa_key; do printf 'rpki '; cut -d' ' -f1,2 " + at +
                        "$key.pub; done > " + at + "users"));
  RETURN_IF_ERROR(Shell("umask 077; printf 'rpki:%s\\n' \"$(openssl passwd -6 secret)\" > " + at + "passwords"));
  RETURN_IF_ERROR(Shell(
      fmt::format("(printf '[127.0.0.1]:{} '; cut -d' ' -f1,2 {}host_key.pub) > {}known_hosts", ssh_.port(), at, at)));
  return Shell(
      "umask 077; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost "
      "-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout " +
      at + "tls.key -out " + at + "tls.crt");
}

absl::Status RtrLab::Start(const std::vector<std::string>& more) {
  if (!std::ifstream(dir_.File("host_key"))) RETURN_IF_ERROR(MakeKeys());
  ProcessOptions& options = process_.options();
  options.command = {kBridge,
                     "--rtr",
                     tcp(),
                     "--rtr-tls",
                     tls(),
                     "--rtr-ssh",
                     ssh(),
                     "--rtr-tls-certificate",
                     File("tls.crt"),
                     "--rtr-tls-key",
                     File("tls.key"),
                     "--rtr-ssh-host-key",
                     File("host_key"),
                     "--rtr-ssh-keys",
                     File("users"),
                     "--rtr-ssh-passwords",
                     File("passwords"),
                     "--vrps",
                     File("vrps.json"),
                     "--state",
                     File("state"),
                     "--admin-listen",
                     admin_.address()};
  for (const auto& [name, value] : kUsual) {
    if (std::find(more.begin(), more.end(), name) == more.end())
      options.command.insert(options.command.end(), {std::string(name), std::string(value)});
  }
  options.command.insert(options.command.end(), more.begin(), more.end());
  options.log = dir_.File("log");
  RETURN_IF_ERROR(process_.Start());
  const bool ready = Eventually([&] { return Metric("virp_rtr_bridge_generation") > 0 || !process_.running(); });
  if (ready && process_.running()) return absl::OkStatus();
  return Unavailable("the bridge does not serve: {}", log());
}

absl::Status RtrLab::Stop() {
  ASSIGN_OR_RETURN(const int status, process_.Terminate(std::chrono::seconds(20)));
  return status == 0 ? absl::OkStatus() : Unavailable("the bridge ended with {}: {}", status, log());
}

void RtrLab::WriteText(std::string_view json) {
  const std::string path = dir_.File("vrps.json");
  std::ofstream(path + ".new", std::ios::binary | std::ios::trunc) << json;
  std::rename((path + ".new").c_str(), path.c_str());
}

void RtrLab::Write(const RtrTable& table) {
  WriteText(RtrTableJson(table));
}

void RtrLab::Hangup() const {
  ::kill(process_.pid(), SIGHUP);
}

double RtrLab::Metric(const std::string& name) const {
  std::istringstream lines(OutputOf("curl -s http://" + admin_.address() + "/metrics"));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(name + " ")) return std::strtod(line.c_str() + name.size() + 1, nullptr);
  }
  return 0;
}

}  // namespace virp::testutil
