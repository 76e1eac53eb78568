// A RouterServer on the loopback, and routers that a test moves by hand.
#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <fstream>
#include <memory>
#include <string>

#include "lib/rtr/pdu.h"
#include "services/rtr-bridge/domain/bridge_fixture.h"
#include "services/rtr-bridge/transport/router_server.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"
#include "tests/testutil/wait.h"

namespace virp::rtr_bridge::testing {

// The snapshot of a history that knows nothing but these.
inline std::shared_ptr<const rtr::Snapshot> SnapshotOf(const std::vector<Roa>& roas) {
  rtr::History history({}, [] { return std::uint16_t{7}; });
  auto payloads = std::make_shared<const vrp::Payloads>(SetOf(roas));
  const Hash hash = vrp::HashOf(*payloads);
  history.Update(std::move(payloads), hash);
  return history.snapshot();
}

class RouterServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    options_.loops = 1;
    options_.listeners.resize(1);
    options_.listeners.front().listen = {"127.0.0.1", 0};
  }
  void Start() {
    ASSERT_OK_AND_ASSIGN(server_, RouterServer::Start(options_, log_, clock_));
    server_->Publish(SnapshotOf(ManyRoas(3)));
  }
  // From `from`, an address of the loopback.
  FileDescriptor Connect(const std::string& from = "127.0.0.1", std::size_t listener = 0) const {
    const auto to = ParseHostPort(server_->listeners().at(listener).address);
    FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto address = [](const std::string& host, std::uint16_t port) {
      sockaddr_in at{};
      at.sin_family = AF_INET;
      at.sin_port = htons(port);
      const auto ip = IpAddress::Parse(host);
      std::copy(ip->bytes().begin(), ip->bytes().end(), reinterpret_cast<char*>(&at.sin_addr));
      return at;
    };
    const sockaddr_in own = address(from, 0), other = address("127.0.0.1", to->port);
    EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&own), sizeof(own)), 0);
    EXPECT_EQ(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&other), sizeof(other)), 0);
    return socket;
  }
  static bool Say(const FileDescriptor& socket, std::string_view bytes) {
    return ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
  }
  // The first `size` octets that come, fewer when the connection ends.
  static std::string Hear(const FileDescriptor& socket, std::size_t size) {
    std::string heard;
    std::array<char, 4096> bytes;
    while (heard.size() < size) {
      pollfd ready{socket.get(), POLLIN, 0};
      if (::poll(&ready, 1, 30'000) <= 0) break;
      const ssize_t got = ::recv(socket.get(), bytes.data(), std::min(bytes.size(), size - heard.size()), 0);
      if (got <= 0) break;
      heard.append(bytes.data(), static_cast<std::size_t>(got));
    }
    return heard;
  }
  static std::string ResetQuery(std::uint8_t version = 1) {
    std::string pdu;
    rtr::AppendResetQuery(pdu, version);
    return pdu;
  }
  // Whether it is served: asks for everything, and gets the beginning of an answer.
  static bool IsServed(const FileDescriptor& router) {
    return Say(router, ResetQuery()) && Hear(router, 8).size() == 8;
  }
  // Whether the bridge closes it, before or behind what it says.
  static bool IsClosed(const FileDescriptor& router) {
    std::array<char, 4096> bytes;
    while (true) {
      pollfd ready{router.get(), POLLIN, 0};
      if (::poll(&ready, 1, 30'000) <= 0) return false;
      if (::recv(router.get(), bytes.data(), bytes.size(), 0) <= 0) return true;
    }
  }
  void WriteSecret(const std::string& name, std::string_view text) const {
    std::ofstream(dir_.File(name), std::ios::binary | std::ios::trunc) << text;
    ::chmod(dir_.File(name).c_str(), 0600);
  }

  testutil::TempDir dir_;
  const SystemClock clock_;
  const Witness witness_{"rtr.test"};
  SessionLog log_{witness_, clock_};
  RouterServerOptions options_;
  std::unique_ptr<RouterServer> server_;
};

}  // namespace virp::rtr_bridge::testing
