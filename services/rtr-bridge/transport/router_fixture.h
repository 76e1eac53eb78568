// A RouterServer on the loopback, and routers that a test moves by hand.
#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lib/rtr/pdu.h"
#include "services/rtr-bridge/domain/bridge_fixture.h"
#include "services/rtr-bridge/transport/router_server.h"
#include "tests/testutil/status_matchers.h"
#include "tests/testutil/temp_dir.h"
#include "tests/testutil/wait.h"

namespace virp::rtr_bridge::testing {

class RouterServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    options_.loops = 1;
    options_.listeners.resize(1);
    options_.listeners.front().listen = {"127.0.0.1", 0};
  }
  void Start() {
    ASSERT_OK_AND_ASSIGN(server_, RouterServer::Start(options_, log_, clock_));
    Publish(ManyRoas(3));
  }
  void Publish(const std::vector<Roa>& roas) { server_->Publish(NextSnapshot(roas)); }
  std::shared_ptr<const rtr::Snapshot> NextSnapshot(const std::vector<Roa>& roas) {
    auto payloads = std::make_shared<const vrp::Payloads>(SetOf(roas));
    const Hash hash = vrp::HashOf(*payloads);
    history_.Update(std::move(payloads), hash);
    return history_.snapshot();
  }
  // From `from`, an address of the loopback; with room for so little that it is soon stuck when it does not read.
  FileDescriptor Connect(const std::string& from = "127.0.0.1", int room = 0) const {
    const auto to = ParseHostPort(server_->listeners().front().address);
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
    if (room != 0) ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
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
  // Asks without reading until the bridge cannot send any more.
  bool GetStuck(const FileDescriptor& router) const { return Say(router, ManyQueries()) && IsStuck(); }
  static std::string ManyQueries() {
    std::string queries;
    for (int i = 0; i < 100; ++i) rtr::AppendResetQuery(queries, 2);
    return queries;
  }
  bool IsStuck() const {
    std::uint64_t sent = 0;
    return testutil::Eventually([&] {
      const auto views = server_->Views();
      const auto found =
          std::find_if(views.begin(), views.end(), [](const RouterView& view) { return view.queued > 0; });
      if (found == views.end()) return false;
      return std::exchange(sent, found->state.bytes_out) == found->state.bytes_out && sent > 0;
    });
  }
  // The last of whole PDUs.
  static rtr::Header LastHeader(std::string_view pdus) {
    rtr::Header last{};
    while (pdus.size() >= rtr::kHeaderSize) {
      const rtr::Header header = rtr::ReadHeader(pdus);
      if (header.length < rtr::kHeaderSize || header.length > pdus.size()) break;
      last = header;
      pdus.remove_prefix(header.length);
    }
    EXPECT_TRUE(pdus.empty()) << "the stream ends within a PDU";
    return last;
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
  rtr::History history_{{}, [] { return std::uint16_t{7}; }};
  RouterServerOptions options_;
  std::unique_ptr<RouterServer> server_;
};

}  // namespace virp::rtr_bridge::testing
