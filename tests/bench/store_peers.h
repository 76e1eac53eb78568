// The least that can append chained rows durably to each database: what our stores are measured against. One table with
// the primary key, the unique source index and a subject index, one row that is compared and swapped, one commit a
// batch.
#pragma once

#include <memory>
#include <string>

#include "services/onode/domain/chain_store.h"

namespace virp::bench {

class Peer {
 public:
  virtual ~Peer() = default;
  // Appends the batch in one transaction; exits the program when that fails.
  virtual void Append(const onode::AppendBatch& batch) = 0;
};

std::unique_ptr<Peer> NewSqlitePeer(const std::string& path);
std::unique_ptr<Peer> NewPostgresPeer(const std::string& url);

// A new cluster makes each segment of its log when it is first needed: 16 MiB of zeros and a sync, while every commit
// waits. One that has run for a while uses old ones again. Makes this one such.
void MakeLogSegments(const std::string& url, int count);

}  // namespace virp::bench
