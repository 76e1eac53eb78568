// Producers on plain sockets: signed frames, and BMP. What the connection loses is lost, as it is with a real daemon.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "lib/bmp/bmp_testing.h"
#include "lib/frame/frame.h"
#include "lib/frame/key.h"
#include "tests/fault/load.h"

namespace virp::fault {
namespace {

using namespace std::chrono_literals;
using testutil::ServiceLab;

constexpr auto kPatience = 30s;

class Connection {
 public:
  // A Unix socket's path, or a port of 127.0.0.1.
  explicit Connection(std::string path) : path_(std::move(path)) {}
  explicit Connection(int port) : port_(port) {}

  bool open() const { return static_cast<bool>(socket_); }
  void Close() { socket_ = FileDescriptor(); }

  bool Open() {
    sockaddr_un local{};
    sockaddr_in inet{};
    local.sun_family = AF_UNIX;
    std::memcpy(local.sun_path, path_.data(), std::min(path_.size(), sizeof(local.sun_path) - 1));
    inet.sin_family = AF_INET;
    inet.sin_port = htons(static_cast<std::uint16_t>(port_));
    inet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool is_unix = !path_.empty();
    FileDescriptor socket(::socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto* const address =
        is_unix ? reinterpret_cast<const sockaddr*>(&local) : reinterpret_cast<const sockaddr*>(&inet);
    const timeval patience{5, 0};  // a paused collector must not keep a test for ever
    if (::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) != 0 ||
        ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0 ||
        ::connect(socket.get(), address, is_unix ? sizeof(local) : sizeof(inet)) != 0) {
      return false;
    }
    socket_ = std::move(socket);
    return true;
  }

  bool Send(std::string_view bytes) {
    while (open() && !bytes.empty()) {
      const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0)
        Close();
      else
        bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return open();
  }

  // Says that no more comes; true when the other side has read it all and closed as well.
  bool Finish() {
    char byte = 0;
    const bool read = open() && ::shutdown(socket_.get(), SHUT_WR) == 0 && ::recv(socket_.get(), &byte, 1, 0) == 0;
    Close();
    return read;
  }

 private:
  std::string path_;
  int port_ = 0;
  FileDescriptor socket_;
};

class FrameProducer : public Producer {
 public:
  FrameProducer(ServiceLab& lab, const char* source, unsigned rate)
      : source_(source),
        key_(lab.keys().Find(source, 1)),
        is_v1_(source == std::string_view(ServiceLab::kDaemon)),
        rate_(rate),
        connection_(is_v1_ ? Connection(lab.frame_socket()) : Connection(lab.frame_port().port())),
        epoch_(SystemClock().NowNanos()) {}

  void Run(const std::stop_token& stop) override {
    Pace pace(rate_);
    // The first frame is the run's epoch: it must not be among those that are lost.
    while (last_ == 0 && !stop.stop_requested()) {
      if (connection_.Open()) Say(1);
      if (!connection_.Finish()) last_ = 0;
    }
    while (!stop.stop_requested()) {
      const unsigned due = pace.Wait();
      if (!connection_.open()) connection_.Open();
      Say(due);
    }
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    do {
      if (!connection_.open() && !connection_.Open()) std::this_thread::sleep_for(20ms);
      Say(1);
    } while (!connection_.Finish() && std::chrono::steady_clock::now() < deadline);
  }

  void Report(Ledger& ledger) const override { ledger.sent[source_] = {is_v1_ ? 0 : epoch_, last_}; }

 private:
  void Say(unsigned count) {
    std::string bytes;
    for (unsigned i = 0; i < count; ++i) {
      frame::Header header;
      header.spelling = is_v1_ ? frame::Spelling::kV1Le : frame::Spelling::kV2;
      header.type = frame::Type::kBgpProcess;
      header.timestamp = SystemClock().NowNanos();
      header.sequence = ++last_;
      if (!is_v1_) {
        header.key_version = 1;
        header.boot_epoch = epoch_;
        header.source_id = frame::SourceIdOf(source_);
      }
      bytes += *frame::EncodeSigned(header, PathPayload(source_, last_), *key_);
    }
    offered_ += count;
    connection_.Send(bytes);
  }

  const std::string source_;
  const std::shared_ptr<const frame::OKey> key_;
  const bool is_v1_;
  const unsigned rate_;
  Connection connection_;
  const std::uint64_t epoch_;
  std::uint64_t last_ = 0;
};

// Two peers with tables that change all the time, also while nobody listens; each connection begins with all of them.
class BmpRouter : public Producer {
 public:
  BmpRouter(ServiceLab& lab, unsigned rate) : rate_(rate), connection_(lab.bmp_port().port()) {}

  void Run(const std::stop_token& stop) override {
    Pace pace(rate_);
    while (!stop.stop_requested()) {
      const unsigned due = pace.Wait();
      std::string changes;
      for (unsigned i = 0; i < due; ++i) changes += Change();
      offered_ += due;
      if (connection_.open())
        connection_.Send(changes);
      else if (connection_.Open())
        connection_.Send(Dump());
    }
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while ((connection_.open() || (connection_.Open() && connection_.Send(Dump()))) && !connection_.Finish() &&
           std::chrono::steady_clock::now() < deadline) {
    }
  }

  void Report(Ledger& ledger) const override {
    ledger.routes = table_;
    for (const char* peer : kPeers) ledger.peers_up.emplace_back(peer);
  }

 private:
  static constexpr const char* kPeers[] = {"192.0.2.21", "192.0.2.22"};

  static bmp::testing::PeerBytes Peer(const std::string& address) {
    bmp::testing::PeerBytes peer;
    peer.address = address;
    peer.bgp_id = address;
    return peer;
  }

  std::string Update(const std::string& peer, const std::string& prefix, std::uint32_t learnt_from) const {
    using namespace bmp::testing;
    const std::string body = learnt_from == 0
                                 ? UpdateBody(Nlri(prefix), "", "")
                                 : UpdateBody("", BasicAttributes(peer, {64501, learnt_from}), Nlri(prefix));
    return RouteMonitoringBytes(Peer(peer), body);
  }

  std::string Change() {
    const std::string peer = kPeers[random_() % 2];
    const std::string prefix = fmt::format("10.{}.{}.0/24", 128 + random_() % 2, random_() % 200);
    const auto learnt_from = static_cast<std::uint32_t>(random_() % 4 == 0 ? 0 : 64512 + random_() % 1000);
    if (learnt_from == 0)
      table_.erase({peer, prefix});
    else
      table_[{peer, prefix}] = learnt_from;
    return Update(peer, prefix, learnt_from);
  }

  std::string Dump() const {
    using namespace bmp::testing;
    std::string out = Bmp(4, Cat(TlvBytes(1, "a router of the tests"), TlvBytes(2, "edge-b")));
    const std::string families =
        CapabilityBytes(65, U32(64500)) + CapabilityBytes(1, Cat(U16(1), U8(0), U8(1))) + CapabilityBytes(64, U16(0));
    for (const char* peer : kPeers) {
      out +=
          PeerUpBytes(Peer(peer), OpenBody(64500, ServiceLab::kBmpRouterId, families), OpenBody(64501, peer, families));
    }
    for (const auto& [at, learnt_from] : table_) out += Update(at.first, at.second, learnt_from);
    for (const char* peer : kPeers) out += RouteMonitoringBytes(Peer(peer), UpdateBody("", "", ""));  // End-of-RIB
    return out;
  }

  const unsigned rate_;
  Connection connection_;
  std::mt19937 random_{20260101};
  std::map<std::pair<std::string, std::string>, std::uint32_t> table_;
};

}  // namespace

std::unique_ptr<Producer> MakeFrameProducer(ServiceLab& lab, const char* source, unsigned rate) {
  return std::make_unique<FrameProducer>(lab, source, rate);
}
std::unique_ptr<Producer> MakeBmpRouter(ServiceLab& lab, unsigned rate) {
  return std::make_unique<BmpRouter>(lab, rate);
}

}  // namespace virp::fault
