// Between domain values and the API's messages: one function a message.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/bytes.h"
#include "lib/base/clock.h"
#include "services/onode/domain/chain.h"
#include "virp/chain/v1/chain_service.pb.h"

namespace virp::onode {

template <typename Hashes, typename Repeated>
void AddHashes(const Hashes& hashes, Repeated* to) {
  for (const Hash& hash : hashes) to->Add(std::string(View(hash)));
}

// An entry with what its bytes say, for people. `row` was checked.
absl::StatusOr<chain::v1::Entry> EntryOf(const EntryRow& row, const Chain& chain);

// Proof file of one entry in the checkpoint. OutOfRange when it does not cover it.
absl::StatusOr<std::string> ProofOf(Chain& chain, std::uint64_t sequence, const StoredCheckpoint& checkpoint);

// A page of frames ends here, too: whoever made them chose their sizes, and a message has 4 MiB.
inline constexpr std::size_t kPageBytes = 2 << 20;

// When a handler must have answered: the caller's deadline, at most `most` from now, or that when the caller set none.
std::chrono::steady_clock::time_point DeadlineOf(std::chrono::system_clock::time_point callers,
                                                 std::chrono::milliseconds most);

}  // namespace virp::onode
