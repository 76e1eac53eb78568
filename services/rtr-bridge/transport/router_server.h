// Where routers come in: listeners of each transport, who may use them, and the loops that serve who came in.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/clock.h"
#include "lib/base/ip.h"
#include "lib/base/tcp_ao.h"
#include "lib/base/units.h"
#include "lib/service/credentials.h"
#include "lib/service/tls_stream.h"
#include "services/rtr-bridge/transport/door.h"
#include "services/rtr-bridge/transport/router_loop.h"
#include "services/rtr-bridge/transport/ssh_gateway.h"

namespace virp::rtr_bridge {

// What holds for routers of some addresses; the first that fits counts.
struct PeerRule {
  Prefix peers;
  std::optional<std::uint8_t> min_version, max_version;
};

// A key that segments of one router must carry. `key_file` is read on start and on reload; its first line is the key,
// or "hex:" and the key in hex.
struct PeerKey {
  IpAddress peer;
  std::string key_file;
  // Of TCP-AO; a key without algorithm is one of TCP-MD5.
  std::string algorithm;
  std::uint8_t send_id = 0, recv_id = 0;
};

enum class ListenerKind : std::uint8_t { kTcp, kTls, kSsh };

struct ListenerOptions {
  ListenerKind kind = ListenerKind::kTcp;
  HostPort listen;
  std::vector<Prefix> allow;  // addresses that may connect; empty: any
  std::uint8_t min_version = 0, max_version = rtr::kMaxVersion;
  std::vector<PeerRule> rules;
  std::vector<PeerKey> keys;   // of kTcp: who has one may only come with it
  bool keys_required = false;  // who has none may not come at all
  // Of kTls.
  service::TlsFiles tls;
  service::TlsAcceptor::ClientCertificate certificates = service::TlsAcceptor::ClientCertificate::kNone;
  bool address_in_certificate = true;
  // Of kSsh.
  SshOptions ssh;
};

struct RouterServerOptions {
  std::vector<ListenerOptions> listeners;
  std::size_t loops = 2;
  DoorLimits door;
  std::uint64_t most_pinned =
      256ULL << 20;                   // octets of earlier sets that slow routers may keep in memory, over all loops
  rtr::ServerSessionOptions session;  // versions are the listeners'
};

// Thread-safe but for Stop.
class RouterServer {
 public:
  // Listens on all or on none. `log` and `clock` outlive it. InvalidArgument and Unavailable name the listener.
  static absl::StatusOr<std::unique_ptr<RouterServer>> Start(RouterServerOptions options, SessionLog& log,
                                                             const Clock& clock);
  ~RouterServer();

  void Publish(const std::shared_ptr<const rtr::Snapshot>& snapshot);
  // No new router; those that are there hear the report, have `patience` to take what is queued, and are closed.
  void Drain(rtr::ErrorCode report, std::chrono::milliseconds patience);
  void Stop();
  // SSH users and TCP keys are read again; the first error, with what could be read in force.
  absl::Status Reload();

  // In the order of their numbers. A loop that is busy for longer than a moment says how its routers were before.
  std::vector<RouterView> Views() const;
  struct Bound {
    ListenerKind kind{};
    std::string address;  // as bound, with the port
    std::size_t routers = 0;
  };
  std::vector<Bound> listeners() const;
  const RouterCounters& counters() const { return counters_; }
  const DoorCounters& door() const { return door_.counters(); }
  // Of all SSH listeners: routers that logged in, wrong keys and passwords, connections that failed otherwise, and
  // those that were turned away.
  struct SshLogins {
    std::uint64_t good = 0, refused = 0, failed = 0, turned_away = 0;
  };
  SshLogins ssh_logins() const;
  absl::Status CheckAlive() const;

 private:
  struct Listener;
  RouterServer(RouterServerOptions options, const Clock& clock);
  absl::Status Open(const ListenerOptions& options);
  void AcceptAll(const std::stop_token& stop);
  void AcceptOne(Listener& listener);
  std::shared_ptr<Door::Seat> Admit(Listener& listener, const IpAddress& peer);
  void Enter(Listener& listener, std::unique_ptr<RouterStream> stream, std::shared_ptr<void> seat,
             const IpAddress& peer, std::uint16_t port, std::string identity);
  rtr::ServerSessionOptions SessionFor(const ListenerOptions& options, const IpAddress& peer) const;

  const RouterServerOptions options_;
  const Clock& clock_;
  RouterCounters counters_;
  Door door_;
  std::atomic<std::uint64_t> connections_{0};  // numbers given
  std::vector<std::unique_ptr<RouterLoop>> loops_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::jthread acceptor_;
};

}  // namespace virp::rtr_bridge
