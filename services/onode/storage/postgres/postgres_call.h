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
absl::StatusOr<store::PostgresResult> PostgresChainStore::One(store::PostgresPool& pool, bool read_only,
                                                              std::string_view sql, const Args&... args) {
  const auto run = [&]() -> absl::StatusOr<store::PostgresResult> {
    ASSIGN_OR_RETURN(store::PostgresPool::Lease connection, pool.Acquire(options_.timeout));
    ASSIGN_OR_RETURN(store::PostgresTransaction transaction,
                     store::PostgresTransaction::Begin(*connection, {.read_only = read_only}));
    ASSIGN_OR_RETURN(store::PostgresResult result, transaction.Exec(sql, args...));
    RETURN_IF_ERROR(transaction.Commit());
    return result;
  };
  auto result = run();
  if (!result.ok()) return Retryable(result.status());
  return result;
}

template <typename... Args>
absl::StatusOr<store::PostgresResult> PostgresChainStore::Read(std::string_view sql, const Args&... args) {
  return One(*reads_, true, sql, args...);
}

template <typename... Args>
absl::StatusOr<store::PostgresResult> PostgresChainStore::Write(std::string_view sql, const Args&... args) {
  if (writes_ == nullptr) return OpenedReadOnly();
  return One(*writes_, false, sql, args...);
}

}  // namespace virp::onode
