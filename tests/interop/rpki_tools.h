// Runs the foreign programs that judge what lib/rpki makes: Debian's openssl, rpki-client 8.2, stayrtr and rtrclient.
// rpki-client's -f always exits with 0, so its words are read; with -n it writes no output at all when it crashes,
// which it does for some of what is wrong, so output that is missing is a failure.
#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/file.h"
#include "tests/testutil/process.h"
#include "tests/testutil/rpki_lab.h"
#include "tests/testutil/shell.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"
#include "tests/testutil/wait.h"

namespace virp::testutil {

inline void WriteBytes(const std::string& path, std::string_view bytes) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// A TCP port of the loopback that was free just now.
inline int FreePort() {
  const FileDescriptor fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  return ntohs(address.sin_port);
}

inline bool CanConnect(const std::string& port) {
  const FileDescriptor fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(port)));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
}

// A relying party's cache, filled by hand, and rpki-client over it without network.
class RelyingParty {
 public:
  struct RouterKey {
    std::uint32_t asn;
    std::string ski;  // 40 upper-case hex digits
    auto operator<=>(const RouterKey&) const = default;
  };

  RelyingParty(std::string_view tal, std::string_view trust_anchor) {
    WriteBytes(dir_.File("test.tal"), tal);
    WriteBytes(dir_.File("cache/ta/test/ta.cer"), trust_anchor);
    std::filesystem::create_directories(dir_.File("out"));
  }

  // The host's content as one snapshot: what is not in it is gone.
  void Fetch(const std::map<std::string, std::string>& files) {
    const std::string host = dir_.File("cache/rpki.example.net");
    std::filesystem::remove_all(host);
    for (const auto& [path, bytes] : files) WriteBytes(host + "/" + path, bytes);
  }

  // The router keys that it would hand on.
  std::set<RouterKey> Validate() {
    std::filesystem::remove(dir_.File("out/json"));
    // As root it gives up its rights to a user of its own, who must be able to read and write here.
    const std::string own =
        ::geteuid() == 0 ? "chown -R _rpki-client " + dir_.path() + " && chmod 755 " + dir_.path() + " && " : "";
    result_ = RunCommand(own + "rpki-client -n -j -v -v -d " + dir_.File("cache") + " -t " + dir_.File("test.tal") +
                         " " + dir_.File("out"));
    std::ifstream file(dir_.File("out/json"));
    const auto json = nlohmann::json::parse(file, nullptr, false);
    EXPECT_TRUE(json.is_object() && json.contains("bgpsec_keys")) << result_.output;
    std::set<RouterKey> out;
    if (!json.is_object()) return out;
    for (const auto& key : json.value("bgpsec_keys", nlohmann::json::array())) {
      EXPECT_TRUE(out.insert({key.at("asn").get<std::uint32_t>(), key.at("ski").get<std::string>()}).second);
    }
    return out;
  }

  // What -f says of one file: "OK", or why not.
  std::string Verdict(const std::string& bytes, const std::string& name) {
    WriteBytes(dir_.File(name), bytes);
    const std::string own =
        ::geteuid() == 0 ? "chown -R _rpki-client " + dir_.path() + " && chmod 755 " + dir_.path() + " && " : "";
    return RunCommand(own + "rpki-client -d " + dir_.File("cache") + " -t " + dir_.File("test.tal") + " -f " +
                      dir_.File(name))
        .output;
  }

  std::string json_path() const { return dir_.File("out/json"); }
  const std::string& log() const { return result_.output; }

 private:
  TempDir dir_;
  CommandResult result_;
};

inline RelyingParty::RouterKey KeyOf(std::uint32_t asn, const crypto::P256PublicKey& key) {
  std::string ski = HexEncode(*rpki::KeyIdentifier(key.spki()));
  for (char& c : ski) c = c >= 'a' ? static_cast<char>(c - 'a' + 'A') : c;
  return {asn, ski};
}

// stayrtr over this JSON, and what its client is told.
inline void ExpectServed(const std::string& json_path, const std::set<RelyingParty::RouterKey>& issued) {
  const TempDir dir;
  const std::string port = std::to_string(FreePort());
  Process cache({.command = {"/usr/bin/stayrtr", "-bind", "127.0.0.1:" + port, "-metrics.addr", "", "-cache", json_path,
                             "-protocol", "1"},
                 .log = dir.File("stayrtr.log")});
  ASSERT_OK(cache.Start());
  ASSERT_TRUE(Eventually([&] { return CanConnect(port); })) << cache.log();
  // It prints each record as it comes (line by line, when told) and does not end by itself.
  Process client({.command = {"/usr/bin/stdbuf", "-oL", "/usr/bin/rtrclient", "tcp", "-k", "127.0.0.1", port},
                  .log = dir.File("rtr.log")});
  ASSERT_OK(client.Start());
  const auto told = [&](const RelyingParty::RouterKey& key) {
    std::string log = client.log();
    std::erase_if(log, [](char c) { return c == ':' || c == ' ' || c == '\n'; });
    for (char& c : log) c = c >= 'a' && c <= 'f' ? static_cast<char>(c - 'a' + 'A') : c;
    return log.find(key.ski) != std::string::npos;
  };
  EXPECT_TRUE(Eventually([&] { return std::all_of(issued.begin(), issued.end(), told); }))
      << client.log() << cache.log();
}

}  // namespace virp::testutil
