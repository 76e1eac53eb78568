// A chain in which every kind of verdict can be had, and a store that holds it as a leader would have left it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "services/onode/domain/chain_store.h"
#include "services/onode/domain/checkpoint_vault.h"
#include "tests/testutil/chain_builder.h"

namespace virp::onode {

inline constexpr const char* kTamperOrigin = "virp.example.net/site1";

// Peers of router edge-a; what the newest evidence says of each.
inline constexpr const char* kPeerUp = "192.0.2.2";           // up, by an HMAC source
inline constexpr const char* kPeerLost = "192.0.2.3";         // was up, then lost
inline constexpr const char* kPeerSigned = "192.0.2.4";       // up, by an Ed25519 source
inline constexpr const char* kPeerOfBlack = "192.0.2.5";      // up, by a source that is BLACK since
inline constexpr const char* kPeerOfStolenKey = "192.0.2.6";  // up, under a key that is compromised
inline constexpr const char* kPeerOfSuspended = "192.0.2.7";  // up, by a source that is suspended since
inline constexpr const char* kPeerWithGap = "192.0.2.8";      // up, and something is missing after it
inline constexpr const char* kPeerForeign = "192.0.2.9";      // up at edge-b, said by a source of edge-a

struct History {
  History();
  testutil::ChainBuilder builder{kTamperOrigin};
  // Chain sequences of the entries that tests change.
  std::uint64_t registration = 0, up = 0, lost = 0, signed_up = 0, black_alarm = 0, compromise = 0, suspension = 0,
                foreign = 0;
  std::uint64_t early = 0;  // a size within the first full tile at which all of them were up
  UnixNanos early_time = 0;
  std::uint64_t middle = 0;                // a size at which the lost peer was up
  UnixNanos middle_time = 0;               // and the time then
  std::vector<std::uint64_t> checkpoints;  // sizes; the last is the whole chain
  std::uint64_t size() const { return builder.entries.size(); }
  UnixNanos end() const { return builder.now; }
};

// Rows as a leader appends them: bytes, leaf hashes, index columns.
std::vector<EntryRow> RowsOf(const std::vector<std::string>& entries, std::string_view origin);
// Appends all rows to a new chain and keeps its signed checkpoints; the lease is free afterwards.
absl::StatusOr<ChainId> Fill(ChainStore& store, CheckpointVault& vault, const History& history);

}  // namespace virp::onode
