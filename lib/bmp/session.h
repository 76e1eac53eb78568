// One BMP connection: splitter, message decoder, and the little that must be remembered about each peer to read its
// routes. What an observation is, is decided by whoever listens.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "lib/bmp/message.h"
#include "lib/bmp/stream.h"
#include "lib/bmp/update.h"

namespace virp::bmp {

// A part of the stream that was passed over. The connection goes on.
struct Skipped {
  enum class Reason : std::uint8_t {
    kUnknownMessageType,
    kUnknownPeerType,
    kOtherFamily,       // NLRI or End-of-RIB of a family that is not read here; `family` says which
    kNoRoutes,          // an UPDATE that announces and withdraws nothing
    kMalformedMessage,  // what it would have said is lost
    kMalformedUpdate,   // likewise, and so what is known of this peer's table may be wrong from here on
    kTooManyPeers,      // a Peer Up beyond SessionOptions::max_peers; the event itself is delivered
  };
  Reason reason{};
  std::uint8_t message_type = 0;
  const PeerHeader* peer = nullptr;  // null where the message names no peer or its header cannot be read
  std::optional<AfiSafi> family;
  std::string_view detail;  // for a log; empty where the reason says it all
};

// The word for metrics and logs: "unknown_message_type", ...
std::string_view SkippedName(Skipped::Reason reason);

// Called in the order of the stream. Everything handed over is borrowed for the call.
class SessionVisitor {
 public:
  virtual ~SessionVisitor() = default;
  virtual void OnInitiation(const Initiation& message) = 0;
  virtual void OnTermination(const Termination& message) = 0;
  virtual void OnPeerUp(const PeerUp& message) = 0;
  // Also for peers that were not up: FRR 8.4 sends those, repeatedly.
  virtual void OnPeerDown(const PeerDown& message) = 0;
  // At least one route is withdrawn or announced. `update.error` and `update.path_ids_changed` may be worth a counter.
  virtual void OnRoutes(const PeerHeader& peer, Rib rib, const Update& update) = 0;
  // `family` is IPv4 or IPv6 unicast.
  virtual void OnEndOfRib(const PeerHeader& peer, Rib rib, AfiSafi family) = 0;
  virtual void OnStatistics(const StatisticsReport& message) = 0;
  virtual void OnMirroring(const RouteMirroring& message) = 0;
  virtual void OnSkipped(const Skipped& skipped) = 0;
};

// Whether NLRI is read with path identifiers (RFC 7911); docs/formats/bmp.md says why this is not simply negotiated.
enum class PathIdPolicy : std::uint8_t {
  kAuto,        // as negotiated, save for senders known to write otherwise, and corrected where a field reads badly
  kNegotiated,  // by the two OPENs of Peer Up alone; without a Peer Up there are none
  kNever,
};

struct SessionOptions {
  std::size_t max_message = kMaxMessageSize;
  std::size_t max_peers = 16384;  // peers remembered at a time, about 64 bytes each
  PathIdPolicy path_ids = PathIdPolicy::kAuto;
};

// Not thread-safe.
class SessionDecoder {
 public:
  // `visitor` must outlive this.
  explicit SessionDecoder(SessionVisitor& visitor, SessionOptions options = {});

  // The next bytes of the connection, split anywhere; all whole messages in them are delivered before it returns.
  // InvalidArgument when the connection must end (StreamSplitter::Next); every later call says the same again.
  // Otherwise nothing that a router sends is an error: see OnSkipped.
  absl::Status Feed(std::string_view bytes);

  std::uint64_t messages() const { return messages_; }  // whole messages so far
  std::size_t peers() const { return peers_.size(); }   // remembered: up, and not down since

 private:
  // Whether the NLRI of one table of a peer carries path identifiers.
  struct TableForm {
    bool ipv4 = false;
    bool ipv6 = false;
  };
  // By Rib: there are senders that write one view with them and another without.
  using PeerState = std::array<TableForm, 5>;
  friend struct MessageHandler;

  void Handle(std::string_view message);
  void HandleRoutes(std::string_view message);
  void HandlePeerUp(const PeerUp& message);
  void Deliver(const RouteMonitoring& message);
  void Skip(Skipped::Reason reason, const PeerHeader* peer, std::string_view detail = {},
            std::optional<AfiSafi> family = std::nullopt);
  PeerState Negotiated(const PeerUp& message) const;
  TableForm FormOf(const RouteMonitoring& message) const;
  void Remember(const RouteMonitoring& message, TableForm form);
  PeerState* StateFor(const PeerKey& key);

  SessionVisitor& visitor_;
  const SessionOptions options_;
  StreamSplitter splitter_;
  absl::flat_hash_map<PeerKey, PeerState> peers_;
  std::array<bool, 5> writes_no_path_ids_{};  // by Rib, from what Initiation says about the sender
  std::uint8_t message_type_ = 0;
  std::uint64_t messages_ = 0;
  Update update_;
};

}  // namespace virp::bmp
