// Statements of PostgresChainStore; internal to this folder.
#pragma once

#include "lib/base/status.h"
#include "services/onode/storage/postgres/postgres_store.h"
#include "services/onode/storage/store_checks.h"

namespace virp::onode {

// What the store's interface calls it: a timeout, a deadlock or an exhausted pool is "retry", as is a commit in doubt
// of a change that may be made twice (all but Append's). Aborted is kept for being fenced.
inline absl::Status Retryable(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kUnknown:
      return WithCode(status, absl::StatusCode::kUnavailable);
    default:
      return status;
  }
}

template <typename... Args>
absl::StatusOr<store::PostgresResult> PostgresChainStore::Read(std::string_view sql, const Args&... args) {
  auto connection = reads_->Acquire(options_.timeout);
  if (!connection.ok()) return Retryable(connection.status());
  auto result = (*connection)->Query(sql, args...);
  if (!result.ok()) return Retryable(result.status());
  return result;
}

template <typename... Args>
absl::StatusOr<store::PostgresResult> PostgresChainStore::Write(std::string_view sql, const Args&... args) {
  if (writes_ == nullptr) return OpenedReadOnly();
  absl::StatusOr<store::PostgresResult> result;
  const absl::Status written = writes_->Transact(options_.timeout, {}, [&](store::PostgresTransaction& transaction) {
    result = transaction.Exec(sql, args...);
    return result.status();
  });
  if (!written.ok()) return Retryable(written);
  return result;
}

}  // namespace virp::onode
