// Rolls of the checkpoint key, as the chain tells them: entries of type 27 of the O-Node's own source
// (docs/formats/chain.md, "Checkpoint"). Which keys sign is a function of these entries and of what checkpoints cover
// them, so that every replica comes to the same answer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/chain/entry.h"
#include "lib/chain/note.h"
#include "lib/frame/frame.h"
#include "lib/frame/payload.h"

namespace virp::onode {

struct RolledKey {
  std::uint64_t entry = 0;  // chain sequence of the entry that names it
  std::string request_id;
  chain::VerifierKey key;
};

// The payload of an entry that names `key` as the chain's next checkpoint key.
std::string BuildRoll(const chain::VerifierKey& key, std::string_view by, std::string_view reason,
                      std::string_view request_id);

// What an entry of chain `origin`, already checked, rolls; nullopt for every other entry. What another source says in
// the same words is no roll, and neither is a key of another name.
std::optional<RolledKey> ReadRoll(std::string_view origin, const chain::Entry& entry, const frame::Frame& frame,
                                  const std::optional<frame::Value>& payload);

}  // namespace virp::onode
