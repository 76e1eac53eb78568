// What virpctl's commands about outside authorities and escrow do: as commands.h.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "tools/virpctl/commands.h"

namespace virp::virpctl {

struct TransferOptions {
  std::string id;                  // of a slot
  std::uint32_t version = 0;       // of the key
  std::string file;                // certificates, or a private key
  std::string trust_anchor;        // file
  std::string form;                // of what is exported
  std::string agent;               // SPIFFE id
  std::string recipient, save;     // files
  std::string reason, request_id;  // of changes
  bool yes = false;
};

absl::StatusOr<Exit> RouterKeysCsr(const Options& options, const TransferOptions& keys);
absl::StatusOr<Exit> RouterKeysImport(const Options& options, const TransferOptions& keys);
absl::StatusOr<Exit> RouterKeysDeposit(const Options& options, const TransferOptions& keys);
absl::StatusOr<Exit> RouterKeysRequestRelease(const Options& options, const TransferOptions& keys);
absl::StatusOr<Exit> RouterKeysApproveRelease(const Options& options, const TransferOptions& keys);
absl::StatusOr<Exit> RouterKeysRelease(const Options& options, const TransferOptions& keys);

}  // namespace virp::virpctl
