// Between domain values and the API's messages: one function a message.
#pragma once

#include <grpcpp/support/status.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/bytes.h"
#include "lib/base/clock.h"
#include "lib/service/errors.h"
#include "services/onode/domain/chain.h"
#include "virp/chain/v1/chain_service.pb.h"

namespace virp::onode {

inline grpc::Status Reply(const absl::Status& status) {
  return service::ToGrpcStatus(status, "onode");
}
// What was asked for, or why not.
template <typename T>
grpc::Status ReplyWith(absl::StatusOr<T> value, T* out) {
  if (!value.ok()) return Reply(value.status());
  *out = *std::move(value);
  return grpc::Status::OK;
}

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
