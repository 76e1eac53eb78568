// A ChainStore that may hold entries without their bytes.
#pragma once

#include "services/onode/domain/chain_store.h"

namespace virp::onode {

class EntryDatabase : public ChainStore {
 public:
  // Entries below it are there without their bytes, which lie in an archive: their rows come with empty `bytes`. 0 when
  // nothing was archived; a multiple of 256. It only grows.
  virtual absl::StatusOr<std::uint64_t> ArchivedBelow(ChainId chain) = 0;
};

}  // namespace virp::onode
