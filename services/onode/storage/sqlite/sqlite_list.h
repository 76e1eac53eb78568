// Listing by the columns of an entry, over whichever table has them.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/store/sqlite.h"
#include "services/onode/domain/chain_store.h"

namespace virp::onode {

// As ChainStore::List, of the rows of `from` ("table" or "table INDEXED BY name"; its text becomes part of the
// statement), which has the columns chain_id, seq, source, subject and kind. Errors of the database.
absl::StatusOr<std::vector<std::uint64_t>> ListSequences(store::SqliteDb& db, std::string_view from, ChainId chain,
                                                         const ChainStore::Filter& filter, std::size_t limit);

}  // namespace virp::onode
